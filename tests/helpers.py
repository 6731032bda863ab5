"""Functions that several test files share."""

import hashlib
import html
import json
import re
import subprocess
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import torch
from PIL import Image
from safetensors import safe_open

from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import FrameStore, write_frames_from
from refilm.media.film_file import FilmFile
from refilm.media.probe import VideoStream, probe_video
from refilm.training.recorder import Preview, TrainingCallbacks
from tests.conftest import command, decoded, ffmpeg, heard


def wait_for(condition: Callable[[], object], seconds: float = 60, failed: Callable[[], object] = lambda: False) -> None:
    """Return as soon as the condition holds; fails after so many seconds, or at once when `failed` holds.

    failed: for example `lambda: process.poll() is not None`.
    """
    end = time.monotonic() + seconds
    while not condition():
        assert not failed(), "the process ended before what was waited for"
        assert time.monotonic() < end, f"waited for {seconds} s"
        time.sleep(0.02)


def extract(film, folder: Path, size: str = "64x48", name: str = "frames", **options) -> tuple[np.ndarray, dict]:
    """The frames that extract_frames makes of a film, uint8 (n, H, W, 3), and the attributes of the file."""
    path = folder / f"{name}.h5"
    words = [f"--{key}={value}" for key, value in options.items()]
    done = command("extract_frames", f"--source={film}", f"--frames={path}", f"--size={size}", *words)
    assert done.returncode == 0, done.stderr
    with FrameStore(path) as store:
        return store[:], store.attributes


def provenance_of(file: Path) -> dict:
    """The provenance in the metadata of a file, read by the libraries of its format; of MP4, from its atom."""
    if file.suffix == ".h5":
        with h5py.File(file) as opened:
            return json.loads(opened.attrs["provenance"])
    if file.suffix == ".safetensors":
        with safe_open(file, "pt") as opened:
            return json.loads(opened.metadata()["provenance"])
    if file.suffix == ".html":
        return json.loads(html.unescape(re.search('<meta name="provenance" content="([^"]*)">', file.read_text())[1]))
    return json.loads(Image.open(file).text["provenance"] if file.suffix == ".png" else comment_of(file))


def comment_of(video: Path) -> str:
    """The comment in the atoms of an MP4: size, name, and in it size, 'data', type, locale, text."""
    content = video.read_bytes()
    name = content.index(b"\xa9cmt")
    end = name - 4 + int.from_bytes(content[name - 4 : name])
    return content[name + 4 + 16 : end].decode()


def sha256_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


class CollectedPreviews(TrainingCallbacks):
    """The previews of a training, in their order."""

    def __init__(self) -> None:
        self.collected: list[Preview] = []

    def on_preview(self, preview: Preview) -> None:
        self.collected.append(preview)


def store_of(path: Path, count: int) -> Path:
    """Write a frames file of `count` random frames, 64x48; always the same ones."""
    random = np.random.default_rng(count)
    frames = random.integers(0, 256, (count, 48, 64, 3), dtype=np.uint8)
    write_frames_from(path, 64, 48, FrameMetadata(Fraction(24)), [frames])
    return path


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of named tensors are equal, bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def probe(film) -> VideoStream:
    """The video of a film file, measured with the default options."""
    return probe_video(FilmFile(film))


def done(process: subprocess.CompletedProcess) -> str:
    """What a command printed; asserts that it succeeded."""
    assert process.returncode == 0, process.stderr
    return process.stdout


def through(film, folder, model, *options) -> Path:
    """A film extracted, with these options of that command, encoded and rendered: the video."""
    frames, latents, video = (folder / name for name in ("frames.h5", "latents.h5", "video.mp4"))
    decoding = (f"--model={model}", "--device=cpu")
    done(command("extract_frames", f"--source={film}", f"--frames={frames}", "--size=64x48", *options))
    done(command("encode_film", f"--frames={frames}", f"--latents={latents}", *decoding))
    done(command("render_video", f"--latents={latents}", f"--source={film}", f"--video={video}", *decoding))
    return video


def flash_and_beep(path, seconds, fps, *, late=None):
    """Every five seconds, from the second on, a fifth of a second of white with a tone; else black and silence."""
    now = "between(mod(t,5),1,1.2)"
    picture = f"color=black:size=64x48:rate={fps}:duration={seconds},drawbox=color=white:t=fill:enable='{now}'"
    sound = f"aevalsrc='if({now},0.8*sin(2*PI*1000*t),0)':sample_rate=48000:duration={seconds}"
    shift = ["-itsoffset", str(late)] if late else []
    ffmpeg(
        "-f", "lavfi", "-i", picture, *shift, "-f", "lavfi", "-i", sound, "-pix_fmt", "yuv420p", "-preset", "ultrafast", path
    )
    return path


def onsets(video, fps, size=(64, 48), tile=None) -> tuple[list[float], list[float]]:
    """Seconds at which the picture turns white, and at which the tone begins."""
    grey = decoded(video, size)[:, slice(None), tile or slice(None)].mean((1, 2, 3))
    white = grey > grey.min() + 0.5 * (grey.max() - grey.min())
    flashes = (np.flatnonzero(white[1:] & ~white[:-1]) + 1) / float(fps)
    sound = np.abs(heard(video))
    loud = np.array([chunk.max() for chunk in np.array_split(sound, len(sound) // 16)]) > 0.1
    chunks = np.flatnonzero(loud)
    beeps = chunks[np.diff(chunks, prepend=-(10**6)) > 1000] * 16 / 8000
    return list(flashes), list(beeps)
