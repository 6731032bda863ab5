"""From a film to raw frames of one size, at the full speed of the decoder.

ffmpeg writes its frames straight into the file that keeps them: no frame passes through Python.
"""

import os
import sys
import tempfile
from array import array
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, NamedTuple

import ffmpeg
import numpy as np

from refilm.core.errors import RefilmError
from refilm.core.progress import progress_bar
from refilm.core.sampling import midpoints
from refilm.core.times import TimeSpan, first_frame
from refilm.media import ffmpeg_log
from refilm.media.bars import Box, crop_to_aspect, parse_crop_box
from refilm.media.damage import damage_message, is_truncated
from refilm.media.ffmpeg import FfmpegProcess, Watchdog, command_line, run_ffmpeg_into
from refilm.media.ffmpeg_log import summarise_stderr
from refilm.media.film_file import FilmFile
from refilm.media.filters import SHOW_FRAMES, deinterlace_filters, scale_filters, unify_size_filters
from refilm.media.probe import VideoStream
from refilm.media.timeline import DecodedTimes, Timeline, make_timeline

_SECONDS_BEHIND = 1.0  # that are decoded after the end of a part, so that its rate is known
_QUEUED_FRAMES = 8  # that ffmpeg has decoded, and not yet printed: the length of its queue
_POLL_SECONDS = 0.25  # how often the growing file is measured
_MAX_INCOMPLETE_FRAMES = 2  # so many may be incomplete at each end of a recording
_FIELDS = 2  # of a frame, of which each may be concealed
_THREADS_PER_CORE = 3  # ffmpeg's default leaves cores idle while the scaler works: three are 4 % faster on two cores
_MAX_THREADS = 16  # ffmpeg advises against more


@dataclass(frozen=True)
class DecodePlan:
    """Which part of a film is taken and how each frame becomes width x height: all that decides the frames' pixels.

    each_field: each field becomes a frame, at twice the film's rate; crop: the part of the picture that is taken, in the
    film's pixels; shape, scale: the filters before and after the frames of `span` are selected.
    """

    video: VideoStream
    span: TimeSpan
    width: int
    height: int
    each_field: bool
    crop: Box
    shape: tuple[str, ...]
    scale: tuple[str, ...]

    @property
    def film(self) -> FilmFile:
        return self.video.film

    @property
    def filters(self) -> str:
        """All filters that make the pixels."""
        return ",".join((*self.shape, *self.scale))

    @property
    def nominal_rate(self) -> Fraction:
        """Frames per second by the film's header."""
        return self.film.nominal_rate * (1 + self.each_field)

    @property
    def estimated_seconds(self) -> tuple[Fraction, Fraction] | None:
        """(start, end) of the part in the film by its header; None where it does not say how long the film is."""
        seconds = self.film.estimated_seconds
        if seconds is None:
            return None
        end = seconds if self.span.end is None else min(seconds, self.span.end)
        return min(self.span.start or Fraction(0), end), end

    @property
    def estimated_frames(self) -> int | None:
        """How many frames it will be by the film's header; None where it does not say."""
        frames, part = self.film.estimated_frames, self.estimated_seconds
        if frames is None or part is None:
            return None
        return min(frames * (1 + self.each_field), round((part[1] - part[0]) * self.nominal_rate))


class DecodedPart(NamedTuple):
    """What is known of the frames of a plan once they are decoded.

    fps: frames per second; constant: the film has that rate throughout; start_time: seconds of the first frame on the film
    file's own clock, by which the sound is cut; times: of each frame on that clock, float64 (n,) in seconds, as the decoder
    gives it; a frame that is shown for longer has its time several times.
    """

    fps: Fraction
    constant: bool
    start_time: Fraction
    times: np.ndarray


def plan_decode(
    video: VideoStream,
    size: tuple[int, int],
    span: TimeSpan | None = None,
    crop: str = "auto",
    fit: str = "crop",
    deinterlace: str = "auto",
) -> DecodePlan:
    """Decide which part of a film and of its picture makes the frames file.

    size: (width, height) of a frame; span: the part of the film, None for all of it; crop: 'auto' (without the black bars),
    'none', or 'W:H:X:Y' in the film's pixels; fit: 'crop' fills the frame and cuts what is over, 'pad' shows all and fills
    with black, 'stretch' distorts it to the frame's shape; deinterlace: 'auto' and 'on' make one frame of two fields,
    'fields' one of each, 'off' leaves them as they are. Raises RefilmError for a start that lies after the end by the film's
    header, and a crop that leaves the picture.
    """
    each_field = deinterlace == "fields"
    box = selected_box(video, crop)
    if fit == "crop":
        box = crop_to_aspect(box, video.sample_aspect, *size)
    shape = _whole_picture_filters(video)
    if deinterlace != "off":
        shape += deinterlace_filters(video.field_order, video.tagged_interlaced, each_field)
    scale = scale_filters(video.colour, video.sample_aspect, box, *size, fit)
    plan = DecodePlan(video, span or TimeSpan(), *size, each_field, box, tuple(shape), tuple(scale))
    declared = video.film.declared_duration
    if declared and plan.span.start and plan.span.start > declared.seconds + 1:  # before all of the film is decoded
        rate = video.film.nominal_rate
        plan.span.frame_range(rate, round(declared.seconds * rate), video.film.path)
    return plan


def selected_box(video: VideoStream, crop: str) -> Box:
    """The part of the picture that `crop` selects, before it is cut to the shape of the frames.

    Raises RefilmError for a box that leaves the picture.
    """
    if crop == "auto":
        return video.box
    if crop == "none":
        return Box(0, 0, video.width, video.height)
    return parse_crop_box(crop, video.width, video.height)


def _whole_picture_filters(video: VideoStream) -> list[str]:
    """Filters after which each frame has the size of the film, and a matrix that the scaler knows."""
    unified = unify_size_filters(video.width, video.height, video.sample_aspect, video.variable_size)
    return video.colour.before_scaler + unified


def decode_frames(plan: DecodePlan, into: BinaryIO, label: str, threads: int, hwaccel: str = "none") -> DecodedPart:
    """Decode the planned frames as rgb24 into the file object `into`, from its present position on.

    label: of the progress; threads: processor cores to use; hwaccel: 'none', 'auto', or a name that ffmpeg knows: where it
    does not work, a message says so and the CPU decodes. Raises RefilmError if ffmpeg fails or stalls, if the file's clock
    restarts, for a start past the end of the film, and, unless the film is to be used damaged, if frames are missing or
    broken.
    """
    base = into.tell()
    accelerator = _available_hwaccel() if hwaccel == "auto" else hwaccel
    if accelerator not in (None, "none"):
        try:
            return _decode(plan, into, label, threads, {"hwaccel": accelerator})
        except RefilmError as error:
            print(f"hwaccel {accelerator}: decoding on the CPU instead: {error}", file=sys.stderr)
    into.seek(base)
    into.truncate()
    return _decode(plan, into, label, threads, {})


def _available_hwaccel() -> str | None:
    """The name of a video decoder that this machine seems to have."""
    if sys.platform == "darwin":
        return "videotoolbox"
    devices = {"/dev/nvidia0": "cuda", "/dev/dri/renderD128": "vaapi"}
    return next((name for device, name in devices.items() if Path(device).exists()), None)


class _Decoder:
    """One run of ffmpeg, which writes frames and prints the time of each one that it decodes, whether written or not.

    selected: seconds from the film's first frame at which the written part begins and ends; broken: for each frame that
    could not be decoded whole, how many frames were decoded before; concealed: the same for each frame, or field, of which
    the decoder guessed a part, whether it is marked as broken or not.
    """

    def __init__(self, plan: DecodePlan, selected: tuple[float | None, float | None]):
        self._plan, self._selected = plan, selected
        self.decoded, self.broken, self.concealed, self.log = DecodedTimes(), array("q"), array("q"), ""

    def run(self, into: BinaryIO, label: str, threads: int, options: dict[str, str]) -> int:
        """Write the frames; returns how many there are."""
        plan, base = self._plan, into.tell()
        with FfmpegProcess(self._command(threads, options), plan.film.path, stdout=into, note=self._note) as process:
            _wait_with_progress(process, into, base, plan, label, self.decoded)
            self.log = process.finish()
        count, rest = divmod(max(0, into.seek(0, os.SEEK_END) - base), plan.width * plan.height * 3)
        if rest or not self.decoded:
            reason = summarise_stderr(self.log) or "no more was written"
            raise RefilmError(f"{plan.film.path}: ffmpeg stopped inside frame {count}: {reason}")
        return count

    def _command(self, threads: int, options: dict[str, str]) -> list[str]:
        plan, (start, end) = self._plan, self._selected
        given: dict[str, object] = options | {"threads": min(_MAX_THREADS, _THREADS_PER_CORE * threads), "reinit_filter": 0}
        if plan.video.damaged:
            given |= {"max_error_rate": 1}
        select = [f"gte(t-start_t\\,{start:.7f})"] if start else []
        select += [f"lt(t-start_t\\,{end:.7f})"] if end is not None else []
        filters = [
            *SHOW_FRAMES,
            *([f"trim=duration={end + _SECONDS_BEHIND:.3f}"] if end is not None else []),  # the rest need not be decoded
            *plan.shape,
            *(["select=" + "*".join(select)] if select else []),
            *plan.scale,
            "settb=1/1000,setpts=N",  # what is written has no times, but of equal ones ffmpeg prints a line for each
        ]
        output = {"vf": ",".join(filters), "format": "rawvideo", "pix_fmt": "rgb24", "fps_mode": "passthrough"}
        output |= {"enc_time_base": "1:1000"}
        video = plan.film.video(copyts=None, **given)
        return command_line(ffmpeg.output(video, "pipe:1", **output), "-v", "repeat+level+info")

    def _note(self, line: str) -> str:
        """Note what a line of ffmpeg says; returns what is to be kept of it for messages."""
        if frame := ffmpeg_log.decoded_frame(line):
            self.decoded.add(*frame)
        elif not self.decoded and (tick := ffmpeg_log.time_base(line)):
            self.decoded.tick = tick
        message = ffmpeg_log.warning(line)
        if ffmpeg_log.is_broken_frame(message):
            self.broken.append(len(self.decoded))
        if ffmpeg_log.is_concealed_frame(line):
            self.concealed.append(len(self.decoded))
        return message


def _decode(plan: DecodePlan, into: BinaryIO, label: str, threads: int, options: dict[str, str]) -> DecodedPart:
    base, rate = into.tell(), float(plan.nominal_rate)
    # Half a frame early, so that rounding in the file's clock cannot lose the first frame or add one at the end.
    times = (plan.span.start, plan.span.end)
    start, end = (None if time is None else (first_frame(time, plan.nominal_rate) - 0.5) / rate for time in times)
    while True:
        decoder = _Decoder(plan, (start, end))
        written = decoder.run(into, label, threads, options)
        timeline = make_timeline(decoder.decoded, plan.film.nominal_rate, plan.film.path)
        whole = plan.span.end is None or timeline.frames < plan.span.end * timeline.fps
        if plan.each_field:
            timeline = timeline.of_fields()
        first, count = plan.span.frame_range(timeline.fps, timeline.frames, plan.film.path)
        shown = timeline.frames_shown(first, count)
        kept, seconds = np.arange(len(timeline.ticks), dtype=np.int32), None
        if start or end is not None:
            seconds = timeline.since_start(decoder.decoded.times)
            kept = kept[(seconds >= (start or -np.inf)) & (seconds < (np.inf if end is None else end))]
        if not plan.video.damaged:
            if whole:
                _check_one_stream(plan.film, timeline)
                _check_complete(plan.film, decoder.log, timeline.first_time + timeline.frames / timeline.fps)
            _check_intact(plan, timeline, decoder, shown)
        if len(kept) and kept[0] <= shown[0] and shown[-1] <= kept[-1]:
            break
        # The header's rate is not the film's, or the frame that is shown at the start began before it: now times are known.
        seconds = timeline.since_start(decoder.decoded.times) if seconds is None else seconds
        start, end = float(seconds[shown[0]]) - 0.1 / rate, float(seconds[shown[-1]]) + 0.1 / rate
        into.seek(base)
        into.truncate()
    if written != len(kept):
        raise RefilmError(f"{plan.film.path}: ffmpeg wrote {written} frames where {len(kept)} were expected")
    if not np.array_equal(kept, shown):
        places = np.maximum(0, np.searchsorted(kept, shown, "right") - 1)  # in the file, of the frames that are shown
        _rearrange(into, base, plan.width * plan.height * 3, places)
        kept = kept[places]
    start_time = timeline.first_time + first / timeline.fps
    return DecodedPart(timeline.fps, timeline.constant, start_time, timeline.ticks[kept] * float(timeline.tick))


def _rearrange(file: BinaryIO, base: int, size: int, places: np.ndarray) -> None:
    """Make frame n of a file the one that is at places[n]; places ascend. Frames have `size` bytes and begin at `base`."""

    def copy(source: int, target: int) -> None:
        if source != target:
            os.pwrite(file.fileno(), os.pread(file.fileno(), size, base + source * size), base + target * size)

    new = np.diff(places, prepend=-1) > 0
    used, ranks = places[new], np.cumsum(new, dtype=np.int32) - 1
    for target, source in enumerate(used):  # first without those that are not shown
        copy(int(source), target)
    for target in reversed(range(len(places))):  # then, from the end, each as often as it is shown
        copy(int(ranks[target]), target)
    file.seek(base + len(places) * size)
    file.truncate()


def _check_complete(film: FilmFile, log: str, end: Fraction) -> None:
    """Raises RefilmError if less is there than the header declares. end: of the video, in seconds on the file's clock."""
    header, truncated = film.declared_duration, is_truncated(film.path, log)
    if header is None:
        if truncated:
            raise RefilmError(damage_message(film.path, "it is cut off"))
        return
    start = min(Fraction(0), header.start)  # some headers count from zero of the clock, some from the start of the film
    # Headers round, and sound may last a little longer. A file that is too short may still hold all frames.
    tolerance = Fraction(1, 10) if truncated else max(Fraction(1), header.seconds / 50)
    enough = header.seconds - tolerance
    if end - start < enough and (truncated or _last_packet_end(film) - start < enough):
        present = max(0.0, float(end - start))
        declared = f"of the {float(header.seconds):.1f} s that its header declares {present:.1f} s are there"
        raise RefilmError(damage_message(film.path, declared))


def _check_one_stream(film: FilmFile, timeline: Timeline) -> None:
    """Raises RefilmError if the video continues in another stream of the file, or came from one before."""
    start, end = timeline.first_time, timeline.first_time + timeline.frames / timeline.fps
    for other in film.other_videos:
        span = film.packet_span(str(other.index))
        if span and (span[0] > end - 1 or span[1] < start + 1):
            seconds = float(max(start, span[0]) - min(start, span[0]))
            raise RefilmError(
                f"{film.path}: the video changes to another stream after {seconds:.1f} s, as where recordings were joined "
                "end to end: give the parts as films of their own, or convert the file to one first"
            )


def _last_packet_end(film: FilmFile) -> Fraction:
    """Seconds on the file's clock at which the last packet of any stream ends: sound may last longer than the video."""
    span = film.packet_span("v?", "a?", "s?")
    return span[1] if span else Fraction(0)


def _check_intact(plan: DecodePlan, timeline: Timeline, decoder: _Decoder, shown: np.ndarray) -> None:
    """Raises RefilmError if ffmpeg concealed errors in frames that are taken. A recording may begin or end with a few."""
    scale = 1 + plan.each_field
    first, last = int(shown[0]) // scale, int(shown[-1]) // scale
    allowed, frames = _MAX_INCOMPLETE_FRAMES, len(decoder.decoded)
    # ffmpeg prints of a broken frame before it prints the frame itself, up to so many frames before. What it prints after
    # the last one is about a frame that should follow.
    end = frames if last == frames - 1 else last
    broken, concealed = (
        [place for place in places if first - _QUEUED_FRAMES <= place <= end]
        for places in (decoder.broken, decoder.concealed)
    )
    whole = plan.video.open_ended and timeline.constant  # but for its ends no frame is missing
    if whole and _at_ends(broken, frames, allowed) and _at_ends(concealed, frames, allowed * _FIELDS):
        return
    if broken or concealed:
        taken = np.unique(shown)
        reason = summarise_stderr(decoder.log)
        intact = max(0, len(taken) - len(broken or concealed))
        present = f"of {len(shown)} frames {intact} are intact{f' ({reason})' if reason else ''}"
        raise RefilmError(damage_message(plan.film.path, present))


def _at_ends(places: list[int], frames: int, allowed: int) -> bool:
    """Whether all messages came with the first or the last frames, at most `allowed` at each end."""
    at_start = sum(place < _MAX_INCOMPLETE_FRAMES for place in places)
    at_end = sum(place >= frames - _MAX_INCOMPLETE_FRAMES - _QUEUED_FRAMES for place in places)
    return at_start + at_end >= len(places) and max(at_start, at_end) <= allowed


def _wait_with_progress(
    process: FfmpegProcess, into: BinaryIO, base: int, plan: DecodePlan, label: str, decoded: DecodedTimes
) -> None:
    """Show how the file grows, until ffmpeg ends; raises RefilmError if nothing more is decoded.

    Meanwhile what is written is synced to the disk, so that at the end there is little left to wait for.
    """

    def written_frames() -> int:
        return max(0, (os.fstat(into.fileno()).st_size - base) // (plan.width * plan.height * 3))

    watchdog, shown = Watchdog(plan.film.path), 0
    with progress_bar(label, plan.estimated_frames, " frames") as bar, ThreadPoolExecutor(1) as disk:
        sync = disk.submit(os.fsync, into.fileno())
        while process.running(wait_seconds=_POLL_SECONDS):
            now = written_frames()
            bar.update(max(0, now - shown))
            shown = max(shown, now)
            watchdog.check(len(decoded), process.stderr_size(), "frames")
            if sync.done():
                sync.result()  # a disk error is reported once, to the first that asks
                sync = disk.submit(os.fsync, into.fileno())
        sync.result()
        bar.update(max(0, written_frames() - shown))
        bar.total = bar.n


def sample_frames(plan: DecodePlan, count: int, size: tuple[int, int]) -> tuple[np.ndarray, list[Fraction]]:
    """About `count` uncropped frames, evenly spaced over the planned part: uint8 (n, height, width, 3), and their seconds
    from the start of the film.

    size: (width, height). Frames of a damaged film that cannot be decoded are left out. Raises RefilmError if none can.
    """
    video = plan.video
    filters = _whole_picture_filters(video)
    filters += deinterlace_filters(video.field_order, video.tagged_interlaced, each_field=False)
    whole = Box(0, 0, video.width, video.height)
    filters += scale_filters(video.colour, video.sample_aspect, whole, *size, "stretch")
    start, end = plan.estimated_seconds or (Fraction(0), Fraction(0))
    times = [start + time for time in midpoints(end - start, min(count, plan.estimated_frames or 1))]
    with ThreadPoolExecutor(2) as pool:
        raw_frames = pool.map(lambda time: _read_frame(plan, time, ",".join(filters)), times)
        decoded = [(raw, time) for raw, time in zip(raw_frames, times, strict=True) if raw]
    if not decoded:
        raise RefilmError(f"{plan.film.path}: no frame of the video can be decoded")
    frames = np.frombuffer(b"".join(raw for raw, _ in decoded), np.uint8).reshape(-1, size[1], size[0], 3)
    return frames, [time for _, time in decoded]


def _read_frame(plan: DecodePlan, seconds: Fraction, filters: str) -> bytes:
    """The first frame at or after `seconds` of the film, as rgb24; b'' if it cannot be decoded."""
    video = plan.film.video(reinit_filter=0, ss=f"{float(seconds):.3f}")
    options = {"vf": filters, "format": "rawvideo", "pix_fmt": "rgb24", "frames:v": 1}
    with tempfile.TemporaryFile() as out:
        run_ffmpeg_into(out, command_line(ffmpeg.output(video, "pipe:1", **options)), plan.film.path)
        return out.read()
