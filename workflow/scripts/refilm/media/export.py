"""Frames enlarged for a screen, and written for a player, an editor or an archive: in one file, or in one for each screen.

The scaler makes size, matrix, range and depth of the codec in one step, from the frames as they are.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import ffmpeg
import numpy as np
from ffmpeg.nodes import FilterableStream

from refilm.core.files import atomic_folder, atomic_write, check_space
from refilm.layout import CRF_CODECS
from refilm.media.encode import EXACT, TAGS, TO_YUV, YUV_TAGS, check_written, run_encoder, timescale
from refilm.media.ffmpeg import raw_frames_input
from refilm.media.sound import SAMPLE_RATE, Sound, sound_pipe, synchronise_audio
from refilm.media.tags import Tags

_SCALERS = {"lanczos": "lanczos", "bicubic": "bicubic", "nearest": "neighbor"}
_RGB_TAGS = TAGS | {"colorspace": "gbr", "range": "pc"}
_IMAGE_TAGS = _RGB_TAGS | {"color_trc": "iec61966-2-1"}  # sRGB, which any program shows as the frames are
_PCM = {"c:a": "pcm_s24le"}
_DIGITS = 6  # of the number of an image


@dataclass(frozen=True)
class Codec:
    """How a codec is written. suffix: of its files; video, sound: options of ffmpeg; bytes: that a pixel takes at least, a
    third of what reconstructions, enlarged to 1080p by lanczos, took."""

    suffix: str
    pixel_format: str
    video: Mapping[str, object]
    sound: Mapping[str, object]
    bytes: float

    @property
    def is_rgb(self) -> bool:
        return self.pixel_format in ("bgr0", "rgb24")


CODECS = {
    "h264": Codec(
        "mp4",
        "yuv420p",
        {"c:v": "libx264", "preset": "medium", "format": "mp4", "movflags": "+faststart"},
        {"c:a": "aac", "b:a": "320k"},
        0.001,
    ),
    # A closed GOP, so that a player that loops shows the first frame without the last ones; hvc1, which Apple asks for.
    "hevc": Codec(
        "mp4",
        "yuv420p10le",
        {
            "c:v": "libx265",
            "preset": "medium",
            "x265-params": "open-gop=0:log-level=error",
            "tag:v": "hvc1",
            "format": "mp4",
            "movflags": "+faststart",
        },
        {"c:a": "aac", "b:a": "320k"},
        0.001,
    ),
    "prores": Codec(
        "mov", "yuv422p10le", {"c:v": "prores_ks", "profile:v": "hq", "vendor": "apl0", "format": "mov"}, _PCM, 0.04
    ),
    "ffv1": Codec(
        "mkv",
        "bgr0",
        {"c:v": "ffv1", "level": 3, "g": 1, "slices": 16, "slicecrc": 1, "format": "matroska"},
        _PCM,
        0.03,
    ),
    "png": Codec("png", "rgb24", {"c:v": "png", "format": "image2"}, _PCM, 0.06),
}


@dataclass(frozen=True)
class Picture:
    """What an export looks like. codec: of CODECS; height: of the picture in pixels; scaler: lanczos, bicubic or nearest;
    screens: over how many it is divided, from left to right."""

    codec: str
    height: int
    scaler: str
    screens: int = 1

    @property
    def is_images(self) -> bool:
        return self.codec == "png"

    @property
    def in_folder(self) -> bool:
        return self.is_images or self.screens > 1

    def screen_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) of each screen, for frames of `size` in their shape; the width is even."""
        return max(2, round(self.height * size[0] / size[1] / self.screens / 2) * 2), self.height


def export_frames(
    path: Path | str,
    frames: Iterable[np.ndarray],
    count: int,
    size: tuple[int, int],
    fps: Fraction,
    picture: Picture,
    crf: int,
    sound: Sound | None,
    label: str,
    tags: Tags,
) -> None:
    """Write exactly `count` frames, uint8 (n, H, W, 3) RGB arrays of `size` (width, height), and the sound, as long.

    path: the file, or the folder of images or of a file for each screen; crf: quality of H.264 and HEVC; label: of the
    progress; tags: their comment is the text of `refilm.core.provenance`. Every file of several screens has the sound;
    beside images there are a WAV file and a JSON file of the provenance. Raises RefilmError if ffmpeg fails or the number of
    frames is not `count`.
    """
    path, codec, seconds = Path(path), CODECS[picture.codec], count / fps
    width, height = picture.screen_size(size)
    check_space(path, int(count * width * height * picture.screens * codec.bytes))
    with ExitStack() as stack:
        target = stack.enter_context(atomic_folder(path) if picture.in_folder else atomic_write(path))
        files = _files(target, path.name, picture) if picture.in_folder else [target]
        screens = _screens(_scaled(raw_frames_input(*size, fps), size, picture), picture.screens)
        pipes = [stack.enter_context(sound_pipe(sound, seconds))] if sound else []
        heard = [synchronise_audio(sound, pipe, seconds) for pipe in pipes if sound]
        options = _options(picture, fps, crf, sound.language if sound else None)
        if picture.is_images:
            outputs = [ffmpeg.output(screen, _url(file), **options) for screen, file in zip(screens, files, strict=True)]
            wav = f"file:{target / path.name}.wav"
            outputs += [ffmpeg.output(track, wav, format="wav", ar=SAMPLE_RATE, **codec.sound) for track in heard]
            (target / f"{path.name}.json").write_text(tags.comment + "\n", encoding="utf-8")
        else:
            tracks = [[copy] for track in heard for copy in _copies(track, "asplit", len(files))] or [[]] * len(files)
            shown = zip(screens, tracks, files, strict=True)
            outputs = [ffmpeg.output(screen, *own, f"file:{file}", **options) for screen, own, file in shown]
        output = outputs[0] if len(outputs) == 1 else ffmpeg.merge_outputs(*outputs)
        run_encoder(output, str(path), frames, count, label, pipes, None if picture.is_images else tags)
        if picture.is_images:
            check_written(str(path), min(len(list(file.parent.glob("*.png"))) for file in files), count)


def _options(picture: Picture, fps: Fraction, crf: int, language: str | None) -> dict[str, object]:
    """The options of each output of frames. language: of the sound inside; None without."""
    codec = CODECS[picture.codec]
    options: dict[str, object] = {**codec.video, "fps_mode": "passthrough"}
    options |= {"crf": crf} if picture.codec in CRF_CODECS else {}
    options |= {"video_track_timescale": timescale(fps)} if codec.suffix in ("mp4", "mov") else {}
    inside = language is not None and not picture.is_images
    return options | ({**codec.sound, "ar": SAMPLE_RATE, "metadata:s:a:0": f"language={language}"} if inside else {})


def _files(folder: Path, name: str, picture: Picture) -> list[Path]:
    """The file of each screen in a folder, or the pattern of its images."""
    suffix = CODECS[picture.codec].suffix
    names = [name] if picture.screens == 1 else [f"{name}-{n + 1}" for n in range(picture.screens)]
    if not picture.is_images:
        return [folder / f"{each}.{suffix}" for each in names]
    folders = [folder if picture.screens == 1 else folder / each for each in names]
    for each in folders:
        each.mkdir(exist_ok=True)
    patterns = [f"{each.replace('%', '%%')}-%0{_DIGITS}d.{suffix}" for each in names]
    return [each / pattern for each, pattern in zip(folders, patterns, strict=True)]


def _url(images: Path) -> str:
    """The pattern of images for ffmpeg: in the names of its folders every % is doubled."""
    return f"file:{str(images.parent).replace('%', '%%')}/{images.name}"


def _scaled(frames: FilterableStream, size: tuple[int, int], picture: Picture) -> FilterableStream:
    """The stream at the size of all screens together, in the pixel format of the codec, tagged."""
    codec = CODECS[picture.codec]
    width, height = picture.screen_size(size)
    whole = width * picture.screens, height
    if whole != size or not codec.is_rgb:
        to_codec = {} if codec.is_rgb else TO_YUV
        frames = frames.filter_("scale", *whole, flags=f"{_SCALERS[picture.scaler]}+{EXACT}", **to_codec)
    tags = _IMAGE_TAGS if picture.is_images else _RGB_TAGS if codec.is_rgb else YUV_TAGS
    return frames.filter_("format", codec.pixel_format).filter_("setparams", **tags).filter_("setsar", 1)


def _screens(picture: FilterableStream, count: int) -> Sequence[FilterableStream]:
    """The parts of the picture, from left to right."""
    if count == 1:
        return [picture]
    return [
        copy.filter_("crop", f"iw/{count}", "ih", f"{n}*iw/{count}", 0)
        for n, copy in enumerate(_copies(picture, "split", count))
    ]


def _copies(stream: FilterableStream, splitter: str, count: int) -> Sequence[FilterableStream]:
    if count == 1:
        return [stream]
    split = stream.filter_multi_output(splitter, count)
    return [split.stream(n) for n in range(count)]
