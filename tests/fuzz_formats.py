"""Generated films of every container and codec, each checked against the numbers in its frames and the beeps in its sound.

    python -m tests.fuzz_formats [COUNT] [SEED]

Container, codec, frame rate, B-frames, variable rate, time offset, sound layout, the delay of the sound, and `start` and
`end` vary. What is right is computed from how the film was made, never from what refilm measures: every number, in order;
the exact frame rate; every beep within 20 ms of the frame where it belongs, with each side at its level. A transport stream
that is joined end to end with itself is right if it is refused for its clock. Film n of a seed is always the same. Prints
how many films of each container were right; those that were wrong are kept.
"""

import random
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np

from refilm.core.errors import RefilmError
from tests.fuzz import Outcome, extract, fuzz_with, report
from tests.numbered_films import (
    BEEP_SECONDS,
    BEEPS,
    LEVEL,
    beeps_in,
    make_video,
    numbers_in,
    rate_in,
    samples_in,
    tones_in,
    write_beeps,
    write_film,
)

SYNC_SECONDS = 0.02
_LEVEL_TOLERANCE = 0.08  # lossy sound codecs change the level of a short tone by a few percent

_NTSC = (Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001))
_RATES = (Fraction(25, 2), *_NTSC, *map(Fraction, (10, 12, 15, 24, 25, 30, 48, 50, 60)))
_MPEG_RATES = (*_NTSC, *map(Fraction, (24, 25, 30, 50, 60)))  # of MPEG-1 and 2: ISO/IEC 13818-2, table 6-4
_MXF_RATES = (*_NTSC, *map(Fraction, (24, 25, 50)))
_CENTISECOND_RATES = (Fraction(25, 2), *map(Fraction, (10, 20, 25, 50)))  # a GIF's clock ticks 100 times a second

_CODECS: dict[str, tuple[str, ...]] = {
    "h264": ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"),
    "hevc": ("-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p"),
    "mpeg2": ("-c:v", "mpeg2video", "-b:v", "2M", "-pix_fmt", "yuv420p"),
    "mpeg1": ("-c:v", "mpeg1video", "-b:v", "2M", "-pix_fmt", "yuv420p"),
    "mpeg4": ("-c:v", "mpeg4", "-q:v", "4"),
    "mjpeg": ("-c:v", "mjpeg", "-q:v", "4", "-pix_fmt", "yuvj420p"),
    "vp9": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "1M"),
    "av1": ("-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "lp=1"),
    "ffv1": ("-c:v", "ffv1"),
    "prores": ("-c:v", "prores_ks", "-profile:v", "0"),
    "dnxhd": ("-c:v", "dnxhd", "-profile:v", "dnxhr_lb", "-pix_fmt", "yuv422p"),
    "wmv2": ("-c:v", "wmv2", "-q:v", "4"),
    "theora": ("-c:v", "libtheora", "-b:v", "1M", "-pix_fmt", "yuv420p"),
    "gif": ("-c:v", "gif"),
    "apng": ("-c:v", "apng"),
    "webp": ("-c:v", "libwebp_anim"),
    "y4m": ("-pix_fmt", "yuv420p"),
}
_B_FRAMES = {"h264": ("-bf", "2"), "mpeg1": ("-bf", "2"), "mpeg2": ("-bf", "2"), "mpeg4": ("-bf", "2"), "hevc": ()}
_NO_B_FRAMES = {"h264": ("-bf", "0"), "mpeg1": ("-bf", "0"), "mpeg2": ("-bf", "0"), "mpeg4": ("-bf", "0"), "hevc": ()}
_X265 = "log-level=error:pools=none:bframes={}"
_FINE_CLOCK = "settb=1/90000,setpts={}"
_FINE_CODECS = ("h264", "hevc")
_SIZES = {"av1": (128, 96), "dnxhd": (256, 144)}  # the smallest that the codec takes; others 96x64


@dataclass(frozen=True)
class Container:
    """What a container can hold.

    codecs: of the video; rates: frames per second; sounds: ffmpeg's codecs; layouts: of the sound, 'none' without it;
    offsets: seconds at which the film begins on the file's clock; variable: frames may last differently; delays: seconds
    that the sound is late.
    """

    codecs: tuple[str, ...]
    rates: tuple[Fraction, ...] = _RATES
    sounds: tuple[str, ...] = ()
    layouts: tuple[str, ...] = ("none",)
    offsets: tuple[float, ...] = (0,)
    variable: bool = False
    delays: tuple[float, ...] = (0,)


_LAYOUTS, _DELAYS = ("none", "left", "stereo", "stereo", "5.1"), (0, 0, 0.237, -0.13)
_HOUR, _ROLL_OVER = 3600, 2**33 / 90000
_HIDDEN, _HIDDEN_FRAMES = -1, 5  # in place of an offset: so many frames come before the zero of the file's clock
_CONTAINERS = {
    "mp4": Container(
        ("h264", "hevc", "mpeg4", "mpeg2", "vp9", "av1"), sounds=("aac", "ac3"), layouts=_LAYOUTS,
        offsets=(0, 0, 0.7, 5, _HIDDEN), variable=True, delays=_DELAYS,
    ),
    "mov": Container(
        ("h264", "hevc", "prores", "mjpeg", "dnxhd"), sounds=("aac", "pcm_s16le"), layouts=(*_LAYOUTS, "two mono"),
        offsets=(0, 0, 0.7, _HIDDEN), variable=True, delays=_DELAYS,
    ),
    "mkv": Container(
        ("h264", "hevc", "mpeg2", "mpeg4", "mjpeg", "vp9", "av1", "ffv1", "prores"),
        sounds=("aac", "flac", "ac3", "pcm_s16le"), layouts=(*_LAYOUTS, "two mono"), offsets=(0, 0, 0.7, 3 * _HOUR),
        variable=True, delays=_DELAYS,
    ),
    "webm": Container(
        ("vp9", "av1"), sounds=("libopus", "libvorbis"), layouts=_LAYOUTS, offsets=(0, 0.7), variable=True, delays=_DELAYS
    ),
    "ts": Container(
        ("h264", "hevc", "mpeg2"), sounds=("mp2", "ac3", "aac"), layouts=_LAYOUTS,
        offsets=(0, 0, 10 * _HOUR, _ROLL_OVER - 2.4, _ROLL_OVER - 1.5), variable=True, delays=_DELAYS,
    ),
    "mpg": Container(("mpeg2", "mpeg1"), sounds=("mp2", "ac3"), layouts=_LAYOUTS, offsets=(0, 0.7, _HOUR), delays=_DELAYS),
    "avi": Container(("mpeg4", "mjpeg", "ffv1"), sounds=("pcm_s16le",), layouts=("none", "left", "stereo")),
    "flv": Container(
        ("h264",), sounds=("aac",), layouts=("none", "left", "stereo"), offsets=(0, 0.7), variable=True, delays=_DELAYS
    ),
    "mxf": Container(
        ("mpeg2", "prores", "dnxhd"), rates=_MXF_RATES, sounds=("pcm_s16le",), layouts=(*_LAYOUTS, "two mono")
    ),
    "nut": Container(
        ("h264", "mpeg4", "ffv1"), sounds=("pcm_s16le", "aac"), layouts=_LAYOUTS, offsets=(0, 0.7), variable=True,
        delays=_DELAYS,
    ),
    "m2ts": Container(("h264", "mpeg2"), sounds=("ac3",), layouts=_LAYOUTS, offsets=(0, 10 * _HOUR), delays=_DELAYS),
    "vob": Container(("mpeg2",), sounds=("ac3", "mp2"), layouts=_LAYOUTS, offsets=(0, _HOUR), delays=_DELAYS),
    "wmv": Container(("wmv2",), sounds=("wmav2",), layouts=("none", "left", "stereo"), delays=(0, 0.237)),
    "ogv": Container(("theora",), sounds=("libvorbis",), layouts=("none", "left", "stereo")),
    "ivf": Container(("vp9",)),
    "gif": Container(("gif",), rates=_CENTISECOND_RATES, variable=True),
    "apng": Container(("apng",), variable=True),
    "webp": Container(("webp",), variable=True),
    "y4m": Container(("y4m",)),
    "h264": Container(("h264",)),
    "hevc": Container(("hevc",)),
}  # fmt: skip
_PAIRS = [(name, codec) for name, container in _CONTAINERS.items() for codec in container.codecs]
_PAIRS.sort(key=lambda pair: _CONTAINERS[pair[0]].codecs.index(pair[1]))  # each container once, before its other codecs


@dataclass(frozen=True)
class Film:
    """A film to be made.

    steps: how many times 1 / rate each frame is shown; the number of a frame is its place here; joined_hours: the film is
    followed by itself in the same file, so many hours later on the file's clock, which then does not say when it is shown;
    jitter: every frame is up to a seventh of its duration early or late, as from a phone; milliseconds: on a finer clock its
    time is rounded to them, as in a copy of a film in Matroska.
    """

    container: str
    codec: str
    rate: Fraction
    steps: tuple[int, ...]
    b_frames: bool
    offset: float
    layout: str
    sound: str
    delay: float
    start: float | None
    end: float | None
    joined_hours: int | None = None
    jitter: bool = False
    milliseconds: bool = False

    def __str__(self) -> str:
        words = [self.container, self.codec, f"{self.rate} frames/s", "B-frames" * self.b_frames]
        words += ["variable" * self.variable, "jitter" * self.jitter, "milliseconds" * self.milliseconds]
        words += [f"offset {self.offset:g} s" if self.offset else ""]
        words += [f"{self.layout} {self.sound}".rstrip(), f"delayed {self.delay:g} s" if self.delay else ""]
        words += [f"{key} {value}" for key, value in (("start", self.start), ("end", self.end)) if value is not None]
        words += [f"joined {self.joined_hours} h later"] if self.joined_hours is not None else []
        return ", ".join(word for word in words if word)

    @property
    def variable(self) -> bool:
        return set(self.steps) != {1}

    @property
    def seconds(self) -> float:
        return float(sum(self.steps) / self.rate)


def choose(seed: int, number: int) -> Film:
    """Film `number` of a seed: containers and codecs take turns, the rest is drawn."""
    rng = random.Random(f"formats {seed} {number}")
    name, codec = _PAIRS[number % len(_PAIRS)]
    container = _CONTAINERS[name]
    rates = [rate for rate in container.rates if codec not in ("mpeg1", "mpeg2") or rate in _MPEG_RATES]
    rate, layout = rng.choice(rates), rng.choice(container.layouts)
    sounds = [sound for sound in container.sounds if layout != "5.1" or sound != "mp2"]
    sound = rng.choice(sounds) if sounds and layout != "none" else ""
    layout = layout if sound else "none"
    count = round(rng.uniform(2, 3) * rate)
    variable = container.variable and codec != "mpeg2" and rng.random() < 0.25
    start = rng.choice([0.5, 0.81]) if rng.random() < 0.25 else None
    end = rng.choice([1.5, 1.77]) if rng.random() < 0.25 else None
    offset = rng.choice(container.offsets)
    is_fine = container.variable and offset >= 0 and codec in _FINE_CODECS
    joined = rng.choice([0, 10]) if name == "ts" and end is None and rng.random() < 0.3 else None
    clock = rng.choice(["jitter", "milliseconds", "", "", ""]) if is_fine else ""
    return Film(
        name,
        codec,
        rate,
        _variable_steps(count, rng) if variable else (1,) * count,
        codec in _B_FRAMES and rng.random() < 0.5,
        float(-_HIDDEN_FRAMES / rate) if offset == _HIDDEN else offset,
        layout,
        sound,
        rng.choice(container.delays) if sound else 0,
        start,
        end,
        joined,
        clock == "jitter",
        clock == "milliseconds",
    )


def _variable_steps(count: int, rng: random.Random) -> tuple[int, ...]:
    """Frames that last one step, but for some in the middle: those of a third last two, or one lasts a third of the film,
    or one lasts two."""
    third = count // 3
    middle = rng.choice([(2,) * (third // 2), (third,), (2,)])
    return (1,) * third + middle + (1,) * third


def make(film: Film, folder: Path) -> Path:
    """The film file."""
    options = [*_CODECS[film.codec], *(_B_FRAMES if film.b_frames else _NO_B_FRAMES).get(film.codec, ())]
    if film.codec == "hevc":
        options += ["-x265-params", _X265.format(2 if film.b_frames else 0)]
    step = _shown_at(film.steps)
    if film.jitter or film.milliseconds:
        ticks = f"({step}+sin(N*2.4)/7)/({film.rate})/TB" if film.jitter else f"90*round(1000*({step})/({film.rate}))"
        options += ["-vf", _FINE_CLOCK.format(ticks), "-enc_time_base", "1/90000", "-fps_mode", "passthrough"]
    elif film.variable:
        options += ["-vf", f"setpts={step}", "-fps_mode", "passthrough"]
    if film.sound:
        options += ["-c:a", film.sound]
    if film.sound in ("libvorbis", "libopus", "mp2", "aac", "ac3", "wmav2"):
        options += ["-b:a", "384k" if film.layout == "5.1" else "128k"]
    path = folder / f"film.{film.container}"
    _write(film, path, *options, *_offset(film.offset))
    if film.joined_hours is not None:
        later = path.with_stem("later")
        _write(film, later, *options, *_offset(film.offset + film.joined_hours * _HOUR))
        path.write_bytes(path.read_bytes() + later.read_bytes())
    return path


def _offset(seconds: float) -> list[str]:
    """Options by which a film begins so many seconds after the zero of the file's clock."""
    words = ["-output_ts_offset", f"{seconds:.6f}"] if seconds else []
    return words + (["-avoid_negative_ts", "disabled"] if seconds < 0 else [])


def _write(film: Film, path: Path, *options: str) -> None:
    sides = {"none": (), "two mono": ("left", "right")}.get(film.layout, (film.layout,))
    sounds = [write_beeps(path.with_name(f"{side}.wav"), film.seconds, side) for side in sides]
    delay = ("-itsoffset", film.delay) if film.delay else ()
    size = _SIZES.get(film.codec, (96, 64))
    write_film(path, range(len(film.steps)), film.rate, *options, size=size, sounds=sounds, before_sound=delay)


def _shown_at(steps: tuple[int, ...]) -> str:
    """The expression of `setpts` by which frame N comes after those before it, in steps."""
    longer = [(n, length - 1) for n, length in enumerate(steps) if length > 1]
    return "+".join(["N", *(f"{more}*gt(N\\,{n})" for n, more in longer)])


def numbers_expected(film: Film) -> list[int]:
    """The number of each frame of the frames file."""
    shown = [number for number, length in enumerate(film.steps) for _ in range(length)]
    return shown[_first(film) : None if film.end is None else _hidden(film) + ceil(film.end * film.rate)]


def _hidden(film: Film) -> int:
    """How many steps an edit list hides, because they lie before the beginning of the file's clock."""
    return _HIDDEN_FRAMES if film.offset < 0 else 0


def _first(film: Film) -> int:
    """The step with which the frames file begins."""
    return _hidden(film) + ceil((film.start or 0) * film.rate)


def beeps_expected(film: Film) -> list[float]:
    """Seconds at which each beep begins in the result; negative, or after its end, where it is not heard from the start.

    AVI has no times: a frame is shown when the decoder gives it out. With B-frames that is one frame late.
    """
    late = 1 if film.container == "avi" and film.b_frames else 0
    begin = float((_first(film) + late) / film.rate)
    return [beep + film.delay - begin for beep in BEEPS if beep + BEEP_SECONDS <= film.seconds]


def compare(film: Film, path: Path, frames: Path) -> str:
    """What is wrong with the frames file of a film and with the sound of its video, or ''."""
    expected, found = numbers_expected(film), numbers_in(frames)
    if found != expected:
        return f"frames {_ranges(found)}, not {_ranges(expected)}"
    rate = rate_in(frames)
    if abs(rate / film.rate - 1) > _rate_tolerance(film):
        return f"{rate} frames/s, not {film.rate}"
    video = frames.with_name("video.mp4")
    if make_video(frames, path, video) != bool(film.sound):
        return "the sound is missing" if film.sound else "sound out of nowhere"
    return _compare_sound(film, video, len(expected) / film.rate) if film.sound else ""


def _rate_tolerance(film: Film) -> Fraction:
    """How far the rate of the frames may be from the film's, as a part of it; 0 where the clock of the file is exact."""
    if film.variable or film.milliseconds:
        return Fraction(1, 500)  # a clock may be too coarse to distinguish 30 and 30000/1001
    return Fraction(2, 7) / len(film.steps) if film.jitter else Fraction(0)  # the first and the last frame may be off


def _compare_line(film: Film, line: str) -> str:
    """What is wrong with the line of error of a film, '' if there is none."""
    if film.joined_hours is None:
        return f"refused: {line}"
    return "" if "clock" in line else f"not refused for its clock: {line or 'frames'}"


def _compare_sound(film: Film, video: Path, seconds: Fraction) -> str:
    samples = samples_in(video)
    expected = [beep for beep in beeps_expected(film) if beep >= 0 and beep + BEEP_SECONDS <= seconds]
    cut = [beep for beep in beeps_expected(film) if beep not in expected]
    found = [beep for beep in beeps_in(samples) if not any(_is_part(beep, whole) for whole in cut)]
    if len(found) != len(expected) or any(abs(a - b) > SYNC_SECONDS for a, b in zip(found, expected, strict=True)):
        return f"beeps at {[round(beep, 3) for beep in found]}, not {[round(beep, 3) for beep in expected]}"
    if abs(samples.shape[1] / 48000 - float(seconds)) > 0.03:
        return f"sound of {samples.shape[1] / 48000:.3f} s, not {float(seconds):.3f} s"
    one_side = film.layout == "left" or (film.layout == "two mono" and film.container not in ("mov", "mxf"))
    right = {"left": (LEVEL, LEVEL if one_side else 0), "right": (0, 0 if one_side else LEVEL)}
    tones = [tones_in(samples, beep) for beep in found]
    for side, levels in right.items():
        # The median, since ffmpeg's AAC encoder makes a single beep 2 dB louder now and then.
        measured = np.median([tone[side] for tone in tones], axis=0) if tones else levels
        if np.abs(np.subtract(measured, levels)).max() > _LEVEL_TOLERANCE:
            return f"tone of the {side} at levels {measured}, not {levels}"
    return ""


def _is_part(sound: float, beep: float) -> bool:
    """Whether a sound that begins at `sound` may be the rest of a beep of which the beginning or the end is cut off."""
    return beep - SYNC_SECONDS <= sound <= beep + BEEP_SECONDS + SYNC_SECONDS


def _ranges(numbers: list[int]) -> str:
    """'0-24 26-47' of numbers in order; '24x3' where one comes three times."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1 and runs[-1][2] == 1:
            runs[-1][1] = number
        elif runs and number == runs[-1][0] == runs[-1][1]:
            runs[-1][2] += 1
        else:
            runs.append([number, number, 1])
    return f"{len(numbers)}: " + " ".join(f"{a}x{n}" if n > 1 else f"{a}-{b}" if a < b else f"{a}" for a, b, n in runs)


def examine(seed: int, number: int, keep: Path) -> Outcome:
    """Make, extract and check film `number`; one that is wrong is copied to `keep`."""
    film, line = choose(seed, number), ""
    with tempfile.TemporaryDirectory() as folder:
        path, frames = make(film, Path(folder)), Path(folder, "out", "film.h5")
        words = [f"--{key}={value}" for key, value in (("start", film.start), ("end", film.end)) if value is not None]
        try:
            line = extract(path, frames, "--size={}x{}".format(*_SIZES.get(film.codec, (96, 64))), *words)
            wrong = _compare_line(film, line) if line or film.joined_hours is not None else compare(film, path, frames)
        except (RefilmError, ValueError, subprocess.CalledProcessError) as error:
            wrong = f"{type(error).__name__}: {error}"
        if wrong:
            keep.mkdir(exist_ok=True, parents=True)
            shutil.copy(path, keep / f"{number}.{film.container}")
            wrong = f"film {number} ({film}): {wrong}"
    return film.container, "wrong" if wrong else "refused" if line else "right", wrong


def fuzz(count: int, seed: int, keep: Path, workers: int):
    """Examine so many films: (how often each outcome occurred, what was wrong)."""
    return fuzz_with(examine, [(seed, number, keep) for number in range(count)], workers)


if __name__ == "__main__":
    report("formats", fuzz, *map(int, sys.argv[1:] or (500,)))
