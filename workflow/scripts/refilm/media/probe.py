"""What a film file holds, measured and not believed: its frames are counted, its rate is computed from their times,
and how they look is read off decoded frames.
"""

import itertools
import math
import tempfile
from array import array
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import ffmpeg

from refilm.core.errors import RefilmError
from refilm.media import damage, ffmpeg_log
from refilm.media.ffmpeg import command_line, dump_streams, film_input, run_ffmpeg_into
from refilm.media.ffmpeg_log import NO_TIME, StreamInfo, framecrc_packets, summarise_stderr
from refilm.media.look import Look, analyse_frames, analyse_key_frames, detect_field_order, order_of_fields

_STUCK_PACKETS = 24  # where a file's clock goes back, ffmpeg lets it stand still until it has caught up
_GOOD_SHARE = Fraction(1, 10)
_MAX_FPS = 300  # frames a second; a clock that says more is wrong
_MAX_GAP_RATIO = 100  # frames for each that is there, in a film that is used although it is damaged
_CONTAINERS_WITH_DURATION = {"mov", "matroska", "avi", "flv", "asf"}  # containers whose header says how long the film is
_BROADCAST = {"mpegts", "mpeg"}  # containers of recordings, which begin and end in the middle of a frame

# Rates that films have; a measured rate within a tick of the file's clock of one of these is that one.
STANDARD_RATES = [Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120)] + [Fraction(n) for n in range(1, 241)]


@dataclass(frozen=True)
class Picture(Look):
    """The picture of a film: how its frames look, and when they are shown.

    fields: as measured, and not as tagged; tagged: the frames say themselves whether they have fields; fps in frames a
    second; constant: every frame lies within half a frame of first_time + k / fps; frames: how many there are; first_time:
    seconds of the first frame on the file's own clock; decoder: what options its decoder needs; damaged: it is to be used
    although frames may be missing or broken; ragged: its first and last frames may be incomplete, as in any recording.
    """

    stream: int
    tagged: bool
    fps: Fraction
    constant: bool
    frames: int
    first_time: Fraction
    decoder: dict
    damaged: bool
    ragged: bool

    @property
    def seconds(self) -> Fraction:
        return self.frames / self.fps


@dataclass(frozen=True)
class _Packets:
    """times: of all shown packets, in ticks; tick: seconds; said: what ffmpeg said of them."""

    times: array
    tick: Fraction
    said: str


def probe_picture(path: Path | str, deinterlace: str = "auto", damaged: bool = False) -> Picture:
    """Measure the picture of the film at `path`.

    deinterlace: 'auto', 'on', 'fields' or 'off'; only with 'auto' fields are looked for where frames are not tagged so.
    Raises RefilmError in one line if the file is missing, empty, unreadable, or has no picture, or if less is there than it
    promises, unless it is to be used `damaged`.
    """
    text = described_film(path)
    best = _best_picture(ffmpeg_log.parse_streams(text), path)
    stream, codec = best.index, ffmpeg_log.codec_name(best.description)
    decoder = _decoder(codec, text)
    container = ffmpeg_log.container_name(text)
    with ThreadPoolExecutor(1) as sampler:
        # While packets are counted, the key frames are looked at: most films have enough of them.
        by_key_frames = sampler.submit(analyse_key_frames, path, stream, decoder)
        packets = _read_packets(path, stream)
        fps, constant, frames, first_time = _timing(path, packets, _header_rate(best.description), damaged)
        missing = _missing(path, text, container, packets.said, first_time + frames / fps)
        if missing and not damaged:
            raise RefilmError(damage.line(path, missing))
        look = by_key_frames.result() or analyse_frames(path, stream, decoder, len(packets.times))
    fields, seconds = look.fields, float(frames / fps)
    if deinterlace == "auto":
        fields = detect_field_order(
            path, stream, codec, look, ffmpeg_log.is_declared_progressive(best.description), fps, seconds
        )
    elif deinterlace != "off":
        fields = order_of_fields(path, stream, look, seconds)
    return Picture(
        **vars(look) | {"fields": fields},
        stream=stream,
        tagged=look.fields != "progressive",
        fps=fps,
        constant=constant and not damaged,
        frames=frames,
        first_time=first_time,
        decoder=decoder,
        damaged=damaged,
        ragged=container in _BROADCAST,
    )


def _timing(path, packets: _Packets, header_rate: Fraction, damaged: bool) -> tuple[Fraction, bool, int, Fraction]:
    """(fps, constant, frames, seconds of the first frame) of a film with such packets."""
    times, tick = sorted(packets.times), packets.tick
    fps, constant, first_time = frame_rate(times, tick, header_rate)
    if fps > _MAX_FPS:
        raise RefilmError(f"{path}: its clock says {float(fps):.0f} frames/s, as no film has: convert it to its true rate")
    frames = len(times) if constant else round((times[-1] - times[0]) * tick * fps) + 1
    if damaged and frames > _MAX_GAP_RATIO * len(times):
        raise RefilmError(f"{path}: the film is damaged: the times of its frames make no sense: copy it again")
    return fps, constant, frames, first_time


def _best_picture(streams: list[StreamInfo], path) -> StreamInfo:
    """The stream with the most pixels that is a moving picture; cover art is no film."""
    pictures = [stream for stream in streams if stream.kind == "Video" and not ffmpeg_log.is_cover_art(stream.description)]
    if not pictures:
        raise RefilmError(f"{path}: there is no picture in this file, only sound: give a film as its source")
    return max(pictures, key=lambda stream: math.prod(ffmpeg_log.frame_size(stream.description)))


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


def described_film(path) -> str:
    """What ffmpeg says of a film's streams. Raises RefilmError in one line if it cannot be read as a film."""
    check_film_file(path)
    said = dump_streams(path)
    if not any(stream.kind in ("Video", "Audio") for stream in ffmpeg_log.parse_streams(said)):
        if ffmpeg_log.is_index_missing(said) and damage.declared_size(path):
            raise RefilmError(
                f"{path}: the film is damaged: its index, which such files have at their end, is not there, and without it "
                "nothing can be read: copy it again"
            )
        if ffmpeg_log.is_container_refused(said):
            raise RefilmError(
                f"{path}: this is no film but a single image, or a list or script that names other files, none of which is "
                "opened: give the film itself"
            )
        raise RefilmError(f"{path}: this file cannot be read as a film: {summarise_stderr(said, 1)}")
    if ffmpeg_log.is_dolby_vision_5(said):
        raise RefilmError(
            f"{path}: Dolby Vision profile 5, whose colours ffmpeg's filters cannot show: convert it to HDR10 or SDR first"
        )
    return said


def _decoder(codec: str, text: str) -> dict:
    """Options of the decoder: of the two for VP8 and VP9 only libvpx knows transparency."""
    if codec in ("vp8", "vp9") and ffmpeg_log.has_alpha_mode(text):
        return {"c:v": "libvpx" if codec == "vp8" else "libvpx-vp9"}
    return {}


def _header_rate(description: str) -> Fraction:
    rate = ffmpeg_log.header_frame_rate(description) or Fraction(0)
    near = min(STANDARD_RATES, key=lambda standard: abs(standard - rate))
    if abs(near - rate) < Fraction(1, 100):
        return near
    return rate if 0 < rate <= _MAX_FPS else Fraction(25)


def _read_packets(path, stream: int) -> _Packets:
    """The packets of the picture. Nothing is decoded.

    Those in front of the first key frame cannot be, and do not count. A packet without a time has NO_TIME. Raises
    RefilmError if the file's clock starts anew midway, as in recordings joined end to end.
    """
    source = film_input(path, copyts=None)
    output = ffmpeg.output(source[str(stream)], "pipe:1", c="copy", copyinkf=None, format="framecrc")
    times, tick, first_key, latest, stuck = array("q"), Fraction(0), None, NO_TIME, 0
    with tempfile.TemporaryFile() as out:
        said = run_ffmpeg_into(out, command_line(output), str(path))
        for packet in framecrc_packets(out):
            time, tick = packet.time, packet.tick
            stuck = stuck + 1 if time == latest != NO_TIME else 0
            latest = time
            if stuck > _STUCK_PACKETS:
                raise RefilmError(
                    f"{path}: the file's clock starts anew after {float(latest * tick):.1f} s, as where recordings were "
                    "joined end to end: give the parts as films of their own, or convert the file to one first"
                )
            if first_key is None and packet.key:
                first_key = time
            if packet.discard or first_key is None or NO_TIME < time < first_key:
                continue
            times.append(time)
    if not times:
        raise RefilmError(f"{path}: the picture has no frames: the file is cut off or damaged")
    return _Packets(times, tick, said)


def _missing(path, text: str, container: str, said: str, end: Fraction) -> str:
    """What is not there that the file promises, or ''. end: seconds of the end of the picture on the file's clock."""
    header = ffmpeg_log.header_duration(text) if container in _CONTAINERS_WITH_DURATION else None
    if header is None:
        return "it is cut off" if damage.is_cut_off(path, said) else ""
    start = min(Fraction(0), header.start)  # some headers count from the clock's zero, some from the film's start
    seconds = header.seconds
    there = end - start
    tell = f"of the {float(seconds):.1f} s that its header promises {max(0.0, float(there)):.1f} s are there"
    if damage.is_cut_off(path, said):
        return tell
    near = max(1, seconds / 50)  # headers round, and sound may last a little longer
    return tell if there < seconds - near and _last_moment(path) - start < seconds - near else ""


def _last_moment(path) -> Fraction:
    """Seconds on the file's clock of the last packet of any stream: a film may have more sound than picture."""
    source = film_input(path, copyts=None)
    streams = [source[f"{kind}?"] for kind in "vas"]
    with tempfile.TemporaryFile() as out:
        run_ffmpeg_into(out, command_line(ffmpeg.output(*streams, "pipe:1", c="copy", format="framecrc")), str(path))
        return max((packet.tick * (packet.time + packet.duration) for packet in framecrc_packets(out)), default=Fraction(0))


def frame_rate(times: list[int], tick: Fraction, header_rate: Fraction) -> tuple[Fraction, bool, Fraction]:
    """The rate of frames shown at `times` (ticks, ascending): (fps, constant, seconds of the first frame).

    Constant means that every frame lies within half a frame of its place at that rate, so that the frames can be taken
    as they are and stay with the sound. Where frames have no times the header is all there is.
    """
    if times[0] == NO_TIME:
        known = [time for time in times if time != NO_TIME]
        return header_rate, True, (known[0] if known else 0) * tick
    first, count = times[0], len(times)
    span = (times[-1] - first) * tick
    if span == 0:
        return header_rate, True, first * tick

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
    """The rate of a variable-rate film: of the gaps between its frames the shortest that a good share of them have, so that
    hardly a frame is lost; the header's rate, or the nearest that films have, where it lies within the rounding of the
    file's clock."""
    gaps = Counter(b - a for a, b in itertools.pairwise(times) if b > a)

    def alike(gap: int) -> list[int]:
        rounding = min(1, gap // 8)  # on a coarse clock a tick more is another gap
        return [other for other in range(gap - rounding, gap + rounding + 1) if other in gaps]

    shares = {gap: sum(gaps[other] for other in alike(gap)) for gap in gaps}
    enough = min(max(shares.values()), _GOOD_SHARE * sum(gaps.values()))
    shortest = min(gap for gap, share in shares.items() if share >= enough)
    usual_gap = max(alike(shortest), key=shares.get)  # of neighbours the one in the middle of them
    usual = Fraction(shares[usual_gap], sum(gap * gaps[gap] for gap in alike(usual_gap))) / tick
    near = [header_rate, *sorted(STANDARD_RATES, key=lambda rate: abs(rate - usual))[:1]]
    for rate in near:
        if abs(rate - usual) < usual / 200:
            return rate
    return usual
