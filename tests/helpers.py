"""Functions that several test files share."""

import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import FrameStore, write_frames_from
from refilm.media.film_file import FilmFile
from refilm.media.probe import VideoStream, probe_video
from tests.conftest import command


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
