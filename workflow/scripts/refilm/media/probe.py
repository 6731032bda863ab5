"""The video of a film file, measured rather than believed: its frames are counted, its rate is computed from their times,
and their properties are those of decoded frames.
"""

import tempfile
from array import array
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction

import ffmpeg

from refilm.core.errors import RefilmError
from refilm.media import ffmpeg_log
from refilm.media.damage import damage_message, is_truncated
from refilm.media.ffmpeg import command_line, run_ffmpeg_into
from refilm.media.ffmpeg_log import NO_TIME, framecrc_packets
from refilm.media.field_order import detect_field_order, interlaced_field_order
from refilm.media.film_file import FilmFile
from refilm.media.frame_properties import FrameProperties, analyse_frames, analyse_key_frames
from refilm.media.frame_rate import MAX_FPS, frame_rate, nominal_rate

_MAX_EQUAL_TIMES = 24  # consecutive packets: where a file's clock goes back, ffmpeg repeats the time until it has caught up
_MAX_GAP_RATIO = 100  # frames per frame that is there, in a damaged film that is used: with more its clock is broken
_RECORDING_CONTAINERS = {"mpegts", "mpeg"}  # containers of broadcasts, which begin and end in the middle of a frame


@dataclass(frozen=True)
class VideoStream(FrameProperties):
    """The video of a film: the properties of its frames, and when they are shown.

    film: the file; field_order: as measured, not as tagged; tagged_interlaced: most frames are tagged as interlaced; fps:
    frames per second; constant: every frame lies within half a frame of first_time + k / fps; frames: how many there are;
    first_time: seconds of the first frame on the file's own clock; damaged: it is to be used although frames may be missing
    or broken; open_ended: its first and last frames may be incomplete, as in any recording.
    """

    film: FilmFile
    tagged_interlaced: bool
    fps: Fraction
    constant: bool
    frames: int
    first_time: Fraction
    damaged: bool
    open_ended: bool


@dataclass(frozen=True)
class _Packets:
    """times: of all shown packets, in ticks of `tick` seconds; log: what ffmpeg printed when it read them."""

    times: "array[int]"
    tick: Fraction
    log: str


@dataclass(frozen=True)
class _Timing:
    """fps, constant, frames and first_time as in VideoStream."""

    fps: Fraction
    constant: bool
    frames: int
    first_time: Fraction

    @property
    def seconds(self) -> Fraction:
        return self.frames / self.fps


def probe_video(film: FilmFile, deinterlace: str = "auto", damaged: bool = False) -> VideoStream:
    """Measure the video of a film.

    deinterlace: 'auto', 'on', 'fields' or 'off'; only with 'auto' it is measured whether frames that are not tagged so are
    interlaced. Raises RefilmError if the file is missing, empty, unreadable or has no video, or if less is there than its
    header declares, unless it is to be used `damaged`.
    """
    _ = film.video_stream  # read before two threads need it
    with ThreadPoolExecutor(1) as sampler:
        # While packets are counted, the key frames are analysed: most films have enough of them.
        by_key_frames = sampler.submit(analyse_key_frames, film)
        packets = _read_packets(film)
        timing = _timing(film, packets, damaged)
        if not damaged:
            _check_complete(film, packets.log, timing.first_time + timing.seconds)
        properties = by_key_frames.result() or analyse_frames(film, len(packets.times))
    order = _field_order(film, properties, timing, deinterlace)
    return VideoStream(
        **vars(properties) | {"field_order": order},
        film=film,
        tagged_interlaced=properties.field_order != "progressive",
        fps=timing.fps,
        constant=timing.constant and not damaged,
        frames=timing.frames,
        first_time=timing.first_time,
        damaged=damaged,
        open_ended=film.container in _RECORDING_CONTAINERS,
    )


def _field_order(film: FilmFile, properties: FrameProperties, timing: _Timing, deinterlace: str) -> str:
    if deinterlace == "auto":
        return detect_field_order(film, properties, timing.fps, timing.seconds)
    return properties.field_order if deinterlace == "off" else interlaced_field_order(film, properties, timing.seconds)


def _read_packets(film: FilmFile) -> _Packets:
    """The packets of the video. Nothing is decoded.

    Packets in front of the first key frame cannot be decoded and do not count. A packet without a time has NO_TIME. Raises
    RefilmError if the file's clock restarts midway, as in recordings joined end to end.
    """
    source = film.input(copyts=None)[str(film.video_stream.index)]
    output = ffmpeg.output(source, "pipe:1", c="copy", copyinkf=None, format="framecrc")
    times, tick, first_key, latest, equal_times = array("q"), Fraction(0), None, NO_TIME, 0
    with tempfile.TemporaryFile() as out:
        log = run_ffmpeg_into(out, command_line(output), film.path)
        for packet in framecrc_packets(out):
            time, tick = packet.time, packet.tick
            equal_times = equal_times + 1 if time == latest != NO_TIME else 0
            latest = time
            if equal_times > _MAX_EQUAL_TIMES:
                raise RefilmError(
                    f"{film.path}: the file's clock restarts after {float(latest * tick):.1f} s, as where recordings were "
                    "joined end to end: give the parts as films of their own, or convert the file to one first"
                )
            if first_key is None and packet.key:
                first_key = time
            if packet.discard or first_key is None or NO_TIME < time < first_key:
                continue
            times.append(time)
    if not times:
        raise RefilmError(f"{film.path}: the video has no frames: the file is cut off or damaged")
    return _Packets(times, tick, log)


def _timing(film: FilmFile, packets: _Packets, damaged: bool) -> _Timing:
    times, tick = sorted(packets.times), packets.tick
    header_rate = nominal_rate(ffmpeg_log.header_frame_rate(film.video_stream.description))
    fps, constant, first_time = frame_rate(times, tick, header_rate)
    if fps > MAX_FPS:
        raise RefilmError(
            f"{film.path}: its clock says {float(fps):.0f} frames/s, more than any film has: convert it to its true rate"
        )
    frames = len(times) if constant else round((times[-1] - times[0]) * tick * fps) + 1
    if damaged and frames > _MAX_GAP_RATIO * len(times):
        raise RefilmError(f"{film.path}: the film is damaged: the times of its frames are implausible: copy it again")
    return _Timing(fps, constant, frames, first_time)


def _check_complete(film: FilmFile, log: str, end: Fraction) -> None:
    """Raises RefilmError if less is there than the header declares. end: of the video, in seconds on the file's clock."""
    header, truncated = film.declared_duration, is_truncated(film.path, log)
    if header is None:
        if truncated:
            raise RefilmError(damage_message(film.path, "it is cut off"))
        return
    start = min(Fraction(0), header.start)  # some headers count from zero of the clock, some from the start of the film
    tolerance = max(Fraction(1), header.seconds / 50)  # headers round, and sound may last a little longer
    enough = header.seconds - tolerance
    if truncated or (end - start < enough and _last_packet_end(film) - start < enough):
        present = max(0.0, float(end - start))
        declared = f"of the {float(header.seconds):.1f} s that its header declares {present:.1f} s are there"
        raise RefilmError(damage_message(film.path, declared))


def _last_packet_end(film: FilmFile) -> Fraction:
    """Seconds on the file's clock at which the last packet of any stream ends: sound may last longer than the video."""
    source = film.input(copyts=None)
    streams = [source[f"{kind}?"] for kind in "vas"]
    output = ffmpeg.output(*streams, "pipe:1", c="copy", format="framecrc")
    with tempfile.TemporaryFile() as out:
        run_ffmpeg_into(out, command_line(output), film.path)
        ends = (packet.tick * (packet.time + packet.duration) for packet in framecrc_packets(out))
        return max(ends, default=Fraction(0))
