"""What a film file holds, measured and not believed: its frames are counted, its rate is computed from their times,
its size, shape and colour are read off decoded frames, and its black bars are found on key frames of the whole film.
"""

import itertools
import re
from array import array
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import ffmpeg

from refilm.media.bars import Box, picture_box
from refilm.media.ffmpeg import FfmpegProcess, command_line, executable, film_input, last_words, run_ffmpeg
from refilm.settings.errors import RefilmError

_STREAM = re.compile(r"^\s*Stream #0:(\d+)\S*: (Video|Audio): (.*)$", re.MULTILINE)
_SIZE = re.compile(r", ([1-9]\d*)x([1-9]\d*)\b")
_FRAME = re.compile(r"\bn: *\d+ .*? sar:(\d+)/(\d+) s:(\d+)x(\d+) ")
_COLOUR = re.compile(r"color_range:(\S+) color_space:(\S+)")
_EDGES = re.compile(r"\bx1:(-?\d+) x2:(-?\d+) y1:(-?\d+) y2:(-?\d+) w:")

_NO_TIME = -(2**63)  # AV_NOPTS_VALUE
_DISCARD = 0x4  # AV_PKT_FLAG_DISCARD: decoded but not shown, as an edit list demands
_STUCK_PACKETS = 24  # where a file's clock goes back, ffmpeg lets it stand still until it has caught up
_SAMPLES = 200  # about so many frames are looked at for black bars
_FEW_KEY_FRAMES = 24  # below this the key frames alone say too little about black bars

# Rates that films have; a measured rate within a tick of the file's clock of one of these is that one.
STANDARD_RATES = [Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120)] + [Fraction(n) for n in range(1, 241)]


@dataclass(frozen=True)
class Picture:
    """The picture of a film.

    width, height: decoded size in pixels, after rotation; sample_aspect: width of a pixel over its height;
    matrix: 'bt601', 'bt709', ..., as the scaler names it; full_range: 0-255 and not 16-235;
    box: the picture without its black bars; fps in frames a second; constant: every frame lies within half a frame of
    first_time + k / fps; frames: how many there are; first_time: seconds of the first frame on the file's own clock.
    """

    stream: int
    width: int
    height: int
    sample_aspect: Fraction
    matrix: str
    full_range: bool
    box: Box
    fps: Fraction
    constant: bool
    frames: int
    first_time: Fraction

    @property
    def seconds(self) -> Fraction:
        return self.frames / self.fps


def probe_picture(path: Path | str) -> Picture:
    """Measure the picture of the film at `path`.

    Raises RefilmError in one line if the file is missing, empty, unreadable, or has no picture.
    """
    streams = _streams(path)
    stream = _best_picture(streams, path)
    with ThreadPoolExecutor(1) as sampler:
        # While packets are counted, the key frames are looked at: most films have enough of them.
        by_key_frames = sampler.submit(_sample_key_frames, path, stream)
        times, tick, key_frames = _packet_times(path, stream)
    if not times:
        raise RefilmError(f"{path}: the picture has no frames: the file is cut off or damaged")
    fps, constant, first_time = frame_rate(sorted(times), tick, _header_rate(streams, stream))
    frames = len(times) if constant else round((max(times) - min(times)) * tick * fps) + 1
    if key_frames >= _FEW_KEY_FRAMES:
        said = by_key_frames.result()
    else:
        said = _describe_frames(path, stream, film_input(path), every=max(1, len(times) // _SAMPLES))
    width, height, aspect = _size(said, path)
    matrix, full_range = _colour(said, width, height)
    edges = [tuple(map(int, found)) for found in _EDGES.findall(said)]
    box = picture_box(edges, width, height)
    return Picture(stream, width, height, aspect, matrix, full_range, box, fps, constant, frames, first_time)


def _best_picture(streams: list[tuple[str, str, str]], path) -> int:
    """The number of the stream with the most pixels that is a moving picture; cover art is no film."""
    pictures = [(int(n), text) for n, kind, text in streams if kind == "Video" and "attached pic" not in text]
    if not pictures:
        raise RefilmError(f"{path}: there is no picture in this file, only sound: give a film as its source")

    def pixels(stream):
        size = _SIZE.search(stream[1])
        return int(size[1]) * int(size[2]) if size else 0

    return max(pictures, key=pixels)[0]


def check_film_file(path: Path | str) -> None:
    """Raises RefilmError in one line if there is no readable, filled file at `path`."""
    path = Path(path)
    if not path.exists():
        raise RefilmError(f"{path}: there is no such file: put the film there, or change its source in config/config.yaml")
    if not path.is_file():
        raise RefilmError(f"{path}: this is not a file: a film's source is one video file")
    if path.stat().st_size == 0:
        raise RefilmError(f"{path}: the file is empty (0 bytes): copy the film again")
    with open(path, "rb"):
        pass  # an unreadable file is named here by the operating system, before ffmpeg wraps it


def describe_film(path) -> str:
    """What ffmpeg says of the film's streams. Raises RefilmError in one line if it cannot be read as a film."""
    check_film_file(path)
    # With no output named ffmpeg describes its input and exits with status 1: its words are the result.
    command = [executable(), "-hide_banner", "-nostdin", "-protocol_whitelist", "file,pipe", "-i", f"file:{path}"]
    with FfmpegProcess(command, str(path)) as process:
        process.stdout.read()
        process.running(wait_seconds=60)
        said = process.said()
    if not _STREAM.search(said):
        raise RefilmError(f"{path}: this file cannot be read as a film: {last_words(said, 1)}")
    return said


def _streams(path) -> list[tuple[str, str, str]]:
    return _STREAM.findall(describe_film(path))


def _header_rate(streams: list[tuple[str, str, str]], stream: int) -> Fraction:
    text = next(text for n, _kind, text in streams if int(n) == stream)
    found = re.search(r"([\d.]+)(k?) (?:fps|tbr)", text)
    rate = Fraction(found[1]) * (1000 if found[2] else 1) if found else Fraction(25)
    near = min(STANDARD_RATES, key=lambda standard: abs(standard - rate))
    return near if abs(near - rate) < Fraction(1, 100) or rate == 0 else rate


def _packet_times(path, stream: int) -> tuple[array, Fraction, int]:
    """Presentation times of all shown packets, in ticks; seconds of a tick; how many packets are key frames.

    Nothing is decoded. Packets in front of the first key frame cannot be, and do not count. A packet without a time has
    _NO_TIME. Raises RefilmError if the file's clock starts anew midway, as in recordings joined end to end.
    """
    source = film_input(path, copyts=None)
    output = ffmpeg.output(source[str(stream)], "pipe:1", c="copy", copyinkf=None, format="framecrc")
    times, tick, key_frames, first_key, latest, stuck = array("q"), Fraction(0), 0, None, _NO_TIME, 0
    with FfmpegProcess(command_line(output), str(path)) as process:
        for line in process.stdout:
            fields = line.split(b",")
            if line.startswith(b"#tb 0:"):
                tick = Fraction(line.split()[-1].decode())
            if line.startswith(b"#") or len(fields) < 6:
                continue
            flags = next((int(f.split(b"=")[1], 16) for f in fields if b"F=" in f), 0x1)
            time = int(fields[2])
            stuck = stuck + 1 if time == latest != _NO_TIME else 0
            latest = time
            if stuck > _STUCK_PACKETS:
                raise RefilmError(
                    f"{path}: the file's clock starts anew after {float(latest * tick):.1f} s, as where recordings were "
                    "joined end to end: give the parts as films of their own, or convert the file to one first"
                )
            if first_key is None and flags & 0x1:
                first_key = time
            if flags & _DISCARD or first_key is None or _NO_TIME < time < first_key:
                continue
            key_frames += flags & 0x1
            times.append(time)
        process.finish()
    return times, tick, key_frames


def frame_rate(times: list[int], tick: Fraction, header_rate: Fraction) -> tuple[Fraction, bool, Fraction]:
    """The rate of frames shown at `times` (ticks, ascending): (fps, constant, seconds of the first frame).

    Constant means that every frame lies within half a frame of its place at that rate, so that the frames can be taken
    as they are and stay with the sound. Where frames have no times the header is all there is.
    """
    if times[0] == _NO_TIME:
        known = [time for time in times if time != _NO_TIME]
        return header_rate, True, (known[0] if known else 0) * tick
    first, count = times[0], len(times)
    span = (times[-1] - first) * tick
    if count == 1 or span == 0:
        return header_rate, count == 1, first * tick

    def deviation(fps: Fraction) -> float:
        step = float(1 / (fps * tick))
        return max(abs(time - first - k * step) for k, time in enumerate(times)) * float(tick)

    measured = (count - 1) / span
    near = [rate for rate in STANDARD_RATES if abs(rate - measured) < measured / 100]
    rate = min([*near, measured], key=lambda fps: (deviation(fps) > tick, fps == measured, deviation(fps)))
    if deviation(rate) < 1 / (2 * rate):
        return rate, True, first * tick
    return _usual_rate(times, tick, header_rate), False, first * tick


def _usual_rate(times: list[int], tick: Fraction, header_rate: Fraction) -> Fraction:
    """The rate of most of a variable-rate film: of all gaps within a tick of the commonest, the mean; the header's rate,
    or the nearest that films have, where it lies within the rounding of the file's clock."""
    gaps = Counter(b - a for a, b in itertools.pairwise(times) if b > a)
    commonest = gaps.most_common(1)[0][0]
    alike = [(gap, count) for gap, count in gaps.items() if abs(gap - commonest) <= 1]
    usual = Fraction(sum(count for _, count in alike), sum(gap * count for gap, count in alike)) / tick
    near = [header_rate, *sorted(STANDARD_RATES, key=lambda rate: abs(rate - usual))[:1]]
    for rate in near:
        if abs(rate - usual) < usual / 200:
            return rate
    return usual


def _sample_key_frames(path, stream: int) -> str:
    # Dropped by the demuxer already, the other packets cost nothing: five times faster than skipping them in the decoder.
    return _describe_frames(path, stream, film_input(path, discard="nokey", skip_frame="nokey"), every=1)


def _describe_frames(path, stream: int, source, every: int) -> str:
    """What `showinfo` and `cropdetect` say of each `every`-th frame of the film."""
    frames = source[str(stream)]
    if every > 1:
        frames = frames.filter("select", f"not(mod(n,{every}))")
    frames = frames.filter("showinfo", checksum=0).filter("cropdetect", limit=24 / 255, round=2, reset=1, skip=0)
    return run_ffmpeg(command_line(ffmpeg.output(frames, "-", format="null", fps_mode="passthrough")), str(path))[1]


def _size(said: str, path) -> tuple[int, int, Fraction]:
    frames = Counter(_FRAME.findall(said))
    if not frames:
        raise RefilmError(f"{path}: no frame of the picture can be decoded: {last_words(said)}")
    aspect_x, aspect_y, width, height = map(int, frames.most_common(1)[0][0])
    return width, height, Fraction(aspect_x, aspect_y) if aspect_x and aspect_y else Fraction(1)


def _colour(said: str, width: int, height: int) -> tuple[str, bool]:
    """Matrix and range; an untagged film is BT.709 if it is HD and BT.601 if not, in limited range."""
    colour_range, space = Counter(_COLOUR.findall(said)).most_common(1)[0][0]
    known = {"bt709": "bt709", "smpte170m": "bt601", "bt470bg": "bt601", "smpte240m": "smpte240m", "fcc": "fcc"}
    known |= {"bt2020nc": "bt2020", "bt2020c": "bt2020"}
    untagged = "bt709" if width >= 1280 or height > 576 else "bt601"
    return known.get(space, untagged), colour_range == "pc"
