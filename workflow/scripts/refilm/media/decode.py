"""From a film to raw frames of one size, at the full speed of the decoder.

ffmpeg writes its frames straight into the file that keeps them: no frame passes through Python.
"""

import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import ffmpeg
import numpy as np

from refilm.core.errors import RefilmError
from refilm.core.progress import progress_bar
from refilm.core.sampling import midpoints
from refilm.core.times import TimeSpan
from refilm.media.bars import Box, crop_to_aspect, parse_crop_box
from refilm.media.damage import damage_message
from refilm.media.ffmpeg import FfmpegProcess, Watchdog, command_line, run_ffmpeg, run_ffmpeg_into
from refilm.media.ffmpeg_log import broken_frame_count, summarise_stderr
from refilm.media.film_file import FilmFile
from refilm.media.filters import deinterlace_filters, scale_filters, unify_size_filters
from refilm.media.probe import VideoStream

_SEEK_SECONDS = (
    10  # how far before its first frame a part of a film is decoded: longer than the usual distance of key frames
)
_POLL_SECONDS = 0.25  # how often the growing file is measured
_MAX_INCOMPLETE_FRAMES = 2  # so many may be incomplete at the ends of a recording
_THREADS_PER_CORE = 3  # ffmpeg's default leaves cores idle while the scaler works: three are 4 % faster on two cores
_MAX_THREADS = 16  # ffmpeg advises against more


@dataclass(frozen=True)
class DecodePlan:
    """Which frames of a film are taken and how each becomes width x height: all that decides the frames' pixels.

    fps: frames per second, twice the film's where each field becomes a frame; first, frames: index of the first frame taken
    and how many are expected; crop: the part of the picture that is taken, in the film's pixels.
    """

    video: VideoStream
    fps: Fraction
    width: int
    height: int
    first: int
    frames: int
    crop: Box
    filters: str

    @property
    def film(self) -> FilmFile:
        return self.video.film

    @property
    def start_time(self) -> Fraction:
        """Seconds of the first frame on the film file's own clock, by which the sound is cut."""
        return self.video.first_time + self.first / self.fps


def plan_decode(
    video: VideoStream,
    size: tuple[int, int],
    span: TimeSpan | None = None,
    crop: str = "auto",
    fit: str = "crop",
    deinterlace: str = "auto",
) -> DecodePlan:
    """Decide which frames and which part of the picture make the frames file.

    size: (width, height) of a frame; span: the part of the film, None for all of it; crop: 'auto' (without the black bars),
    'none', or 'W:H:X:Y' in the film's pixels; fit: 'crop' fills the frame and cuts what is over, 'pad' shows all and fills
    with black, 'stretch' distorts it to the frame's shape; deinterlace: 'auto' and 'on' make one frame of two fields,
    'fields' one of each, 'off' leaves them as they are. Raises RefilmError for a start past the end of the film and a crop
    that leaves the picture.
    """
    each_field = deinterlace == "fields"
    fps, count = video.fps * (1 + each_field), video.frames * (1 + each_field)
    first, count = (span or TimeSpan()).frame_range(fps, count)
    box = selected_box(video, crop)
    if fit == "crop":
        box = crop_to_aspect(box, video.sample_aspect, *size)
    filters = video.colour.before_scaler + unify_size_filters(
        video.width, video.height, video.sample_aspect, video.variable_size
    )
    if deinterlace != "off":
        filters += deinterlace_filters(video.field_order, video.tagged_interlaced, each_field)
    filters += _select_filters(video, fps, first)
    filters += scale_filters(video.colour, video.sample_aspect, box, *size, fit)
    return DecodePlan(video, fps, *size, first, count, box, ",".join(filters))


def selected_box(video: VideoStream, crop: str) -> Box:
    """The part of the picture that `crop` selects, before it is cut to the shape of the frames.

    Raises RefilmError for a box that leaves the picture.
    """
    if crop == "auto":
        return video.box
    if crop == "none":
        return Box(0, 0, video.width, video.height)
    return parse_crop_box(crop, video.width, video.height)


def _select_filters(video: VideoStream, fps: Fraction, first: int) -> list[str]:
    """The filters that make the rate constant and drop what lies before frame `first`, on the file's own clock."""
    if not video.constant:
        constant = [f"fps={fps}:start_time={float(video.first_time):.6f}"]
        return [*constant, f"trim=start_frame={first}"] if first else constant
    # Half a frame early, so that rounding in the file's clock cannot lose the first frame.
    early = video.first_time + (first - Fraction(1, 2)) / fps
    return [f"trim=start={float(early):.6f}"] if first else []


def decode_frames(plan: DecodePlan, into: BinaryIO, label: str, threads: int, hwaccel: str = "none") -> int:
    """Decode the planned frames as rgb24 into the file object `into`, from its present position on.

    label: of the progress; threads: processor cores to use; hwaccel: 'none', 'auto', or a name that ffmpeg knows: where it
    does not work, a message says so and the CPU decodes. Returns how many frames there are. Raises RefilmError if ffmpeg
    fails or stalls, or, unless the film is to be used damaged, if frames are missing or broken.
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


def _decode(plan: DecodePlan, into: BinaryIO, label: str, threads: int, options: dict[str, str | None]) -> int:
    frame_bytes = plan.width * plan.height * 3
    base = into.tell()
    output = {"vf": plan.filters, "format": "rawvideo", "pix_fmt": "rgb24", "frames:v": plan.frames}
    command = _command(plan, min(_MAX_THREADS, _THREADS_PER_CORE * threads), options, output)
    with FfmpegProcess(command, plan.film.path, stdout=into) as process:
        _wait_with_progress(process, into, base, plan, label)
        log = process.finish()
    count, rest = divmod(max(0, into.seek(0, os.SEEK_END) - base), frame_bytes)
    if rest or count == 0:
        reason = summarise_stderr(log) or "no more was written"
        raise RefilmError(f"{plan.film.path}: ffmpeg stopped inside frame {count}: {reason}")
    if not plan.video.damaged:
        _check_frames(plan, count, log)
    return count


def _command(plan: DecodePlan, threads: int, options: dict[str, str | None], output: dict[str, object]) -> list[str]:
    """ffmpeg's command that decodes the planned part of the film to what `output` says, on its stdout."""
    given = options | {"threads": threads, "reinit_filter": 0}
    if plan.first and plan.video.constant:
        # Only to save time: well before the start, since seeking may land late; the filter takes the exact frame.
        given |= {"noaccurate_seek": None, "seek_timestamp": 1, "ss": f"{float(plan.start_time - _SEEK_SECONDS):.6f}"}
    if plan.video.damaged:
        given |= {"max_error_rate": 1}
    video = plan.film.video(copyts=None, **given)
    return command_line(ffmpeg.output(video, "pipe:1", fps_mode="passthrough", **output), "-v", "repeat+level+warning")


def _check_frames(plan: DecodePlan, count: int, log: str) -> None:
    """Raises RefilmError if frames are missing, or ffmpeg had to conceal errors in some."""
    allowed = _MAX_INCOMPLETE_FRAMES if plan.video.open_ended else 0
    missing = plan.frames - count - (not plan.video.constant)  # the last frame of a variable-rate film may be rounded away
    broken = broken_frame_count(log)
    if broken > allowed and plan.first:  # perhaps before the first frame, where decoding started
        broken = _broken_frames_before(plan, plan.frames) - _broken_frames_before(plan, 0)
    if count > plan.frames or missing > allowed or broken > allowed:
        intact = max(0, min(count, plan.frames) - broken)
        reason = summarise_stderr(log)
        present = f"of {plan.frames} frames {intact} are intact{f' ({reason})' if reason else ''}"
        raise RefilmError(damage_message(plan.film.path, present))


def _broken_frames_before(plan: DecodePlan, frame: int) -> int:
    """How many frames are broken from where decoding starts to frame `frame` of the plan. Decoded by one thread: several do
    not conceal the same errors every time. ffmpeg prints a line per frame, which shows that it does not stall."""
    output: dict[str, object] = {"vf": f"trim=end={float(plan.start_time + frame / plan.fps):.6f}", "format": "framecrc"}
    return broken_frame_count(run_ffmpeg(_command(plan, 1, {}, output), plan.film.path)[1])


def _wait_with_progress(process: FfmpegProcess, into: BinaryIO, base: int, plan: DecodePlan, label: str) -> None:
    """Show how the file grows, until ffmpeg ends; raises RefilmError if it stops growing.

    Meanwhile what is written is synced to the disk, so that at the end there is little left to wait for.
    """

    def written_frames() -> int:
        return max(0, (os.fstat(into.fileno()).st_size - base) // (plan.width * plan.height * 3))

    watchdog, shown = Watchdog(plan.film.path), 0
    with progress_bar(label, plan.frames, " frames") as bar, ThreadPoolExecutor(1) as disk:
        sync = disk.submit(os.fsync, into.fileno())
        while process.running(wait_seconds=_POLL_SECONDS):
            now = written_frames()
            bar.update(max(0, now - shown))
            shown = max(shown, now)
            watchdog.check(shown, process.stderr_size(), "frames")
            if sync.done():
                sync.result()  # a disk error is reported once, to the first that asks
                sync = disk.submit(os.fsync, into.fileno())
        sync.result()
        bar.update(max(0, written_frames() - shown))


def sample_frames(plan: DecodePlan, count: int, size: tuple[int, int]) -> tuple[np.ndarray, list[Fraction]]:
    """About `count` uncropped frames, evenly spaced over the planned part: uint8 (n, height, width, 3), and their seconds
    from its start.

    size: (width, height). Frames of a damaged film that cannot be decoded are left out. Raises RefilmError if none can.
    """
    video = plan.video
    filters = video.colour.before_scaler + unify_size_filters(
        video.width, video.height, video.sample_aspect, video.variable_size
    )
    filters += deinterlace_filters(video.field_order, video.tagged_interlaced, each_field=False)
    whole = Box(0, 0, video.width, video.height)
    filters += scale_filters(video.colour, video.sample_aspect, whole, *size, "stretch")
    times = midpoints(plan.frames / plan.fps, min(count, plan.frames))
    with ThreadPoolExecutor(2) as pool:
        raw_frames = pool.map(lambda time: _read_frame(plan, plan.first / plan.fps + time, ",".join(filters)), times)
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
