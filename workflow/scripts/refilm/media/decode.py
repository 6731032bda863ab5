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

import ffmpeg
import numpy as np

from refilm.core.errors import RefilmError
from refilm.core.progress import progress_bar
from refilm.core.times import frame_range
from refilm.media import damage
from refilm.media.bars import Box, crop_to_aspect, parse_crop_box
from refilm.media.ffmpeg import (
    FfmpegProcess,
    Watchdog,
    command_line,
    film_input,
    run_ffmpeg,
    run_ffmpeg_into,
)
from refilm.media.ffmpeg_log import broken_frame_count, summarise_stderr
from refilm.media.filters import deinterlace_filters, scaled, unify_size_filters
from refilm.media.probe import Picture

_SEEK_SECONDS = 10  # how far before its first frame a part of a film is decoded
_LOOK_SECONDS = 0.25  # how often the growing file is looked at
_RAGGED_FRAMES = 2  # so many may be incomplete at the ends of a recording


@dataclass(frozen=True)
class DecodePlan:
    """Which frames of a film are taken and how each becomes width x height: all that decides the frames' pixels.

    fps: frames a second, which is twice the film's where each field becomes a frame; first, frames: index of the first frame
    taken and how many are expected; start_time: seconds of that frame on the film file's own clock, by which the sound is
    cut.
    """

    picture: Picture
    fps: Fraction
    width: int
    height: int
    first: int
    frames: int
    crop: Box
    filters: str

    @property
    def start_time(self) -> Fraction:
        return self.picture.first_time + self.first / self.fps


def plan_decode(
    picture: Picture,
    width: int,
    height: int,
    start: Fraction | None = None,
    end: Fraction | None = None,
    crop: str = "auto",
    fit: str = "crop",
    deinterlace: str = "auto",
) -> DecodePlan:
    """Decide which frames and which part of the picture make the frames file.

    start, end: seconds of the film as shown, the first frame at or after `start` to the last before `end`;
    crop: 'auto' (without the black bars), 'none', or 'W:H:X:Y' in the film's pixels; fit: 'crop' fills the frame and
    cuts what is over, 'pad' shows all and fills with black, 'stretch' bends it to the frame's shape; deinterlace: 'auto'
    and 'on' make one frame of two fields, 'fields' one of each, 'off' leaves them as they are.
    Raises RefilmError for a start past the end of the film and a crop that leaves it.
    """
    each_field = deinterlace == "fields"
    fps, count = picture.fps * (1 + each_field), picture.frames * (1 + each_field)
    first, count = frame_range(start, end, fps, count)
    box = chosen_box(picture, crop)
    if fit == "crop":
        box = crop_to_aspect(box, picture.sample_aspect, width, height)
    chain = unify_size_filters(picture.width, picture.height, picture.sample_aspect, picture.changing)
    if deinterlace != "off":
        chain += deinterlace_filters(picture.fields, picture.tagged, each_field)
    chain += _pick_frames(picture, fps, first)
    chain += scaled(picture.colour, picture.sample_aspect, box, width, height, fit)
    return DecodePlan(picture, fps, width, height, first, count, box, ",".join(chain))


def decode_frames(path: Path | str, cut: DecodePlan, into, what: str, threads: int, hwaccel: str = "none") -> int:
    """Decode the frames of `cut` as rgb24 into the file object `into`, from its present position on.

    threads: processor cores to use; hwaccel: 'none', 'auto', or what ffmpeg calls it; where that does not work, it is said
    and the CPU decodes. Returns how many frames there are. Shows progress under the name `what`. Raises RefilmError if
    ffmpeg fails or hangs, or, unless the film is to be used damaged, if frames are missing or broken.
    """
    base = into.tell()
    accelerator = _present_hardware() if hwaccel == "auto" else hwaccel
    if accelerator not in (None, "none"):
        try:
            return _decode(path, cut, into, what, threads, {"hwaccel": accelerator})
        except RefilmError as error:
            print(f"hwaccel {accelerator}: the CPU decodes instead, since: {error}", file=sys.stderr)
            into.seek(base)
            into.truncate()
    return _decode(path, cut, into, what, threads, {})


def _present_hardware() -> str | None:
    """The name of a video decoder that this machine seems to have."""
    if sys.platform == "darwin":
        return "videotoolbox"
    devices = {"/dev/nvidia0": "cuda", "/dev/dri/renderD128": "vaapi"}
    return next((name for device, name in devices.items() if Path(device).exists()), None)


def _decode(path, cut: DecodePlan, into, what: str, threads: int, options: dict) -> int:
    frame_bytes = cut.width * cut.height * 3
    base = into.tell()
    # Its own default leaves cores idle while the scaler works: three threads a core are 4 % faster on two cores.
    with FfmpegProcess(_command(path, cut, min(16, 3 * threads), options), str(path), stdout=into) as process:
        _watch(process, into, base, frame_bytes, cut.frames, f"{path}", what)
        said = process.finish()
    count, rest = divmod(max(0, into.seek(0, os.SEEK_END) - base), frame_bytes)
    if rest or count == 0:
        raise RefilmError(f"{path}: ffmpeg stopped inside frame {count}: {summarise_stderr(said) or 'no more was written'}")
    if not cut.picture.damaged:
        _check_whole(path, cut, count, said)
    return count


def _check_whole(path, cut: DecodePlan, count: int, said: str) -> None:
    """Raises RefilmError if frames are missing, or ffmpeg had to conceal errors in some."""
    allowed = _RAGGED_FRAMES if cut.picture.ragged else 0
    lost = cut.frames - count - (not cut.picture.constant)  # the last frame of a variable-rate film may be rounded away
    broken = broken_frame_count(said)
    if broken > allowed and cut.first:  # perhaps in front of the first frame, from where it was sought
        broken = _broken_until(path, cut, cut.frames) - _broken_until(path, cut, 0)
    if count > cut.frames or lost > allowed or broken > allowed:
        whole = max(0, min(count, cut.frames) - broken)
        told = summarise_stderr(said)
        raise RefilmError(
            damage.line(path, f"of {cut.frames} frames {whole} are there and whole{f' ({told})' if told else ''}")
        )


def _broken_until(path, cut: DecodePlan, frame: int) -> int:
    """Broken frames of the stretch that is decoded, from where it was sought to frame `frame` of the cut. By one thread:
    several do not conceal the same errors every time. A line for each frame shows that ffmpeg does not hang."""
    until = f"trim=end={float(cut.start_time + frame / cut.fps):.6f}"
    return broken_frame_count(run_ffmpeg(_command(path, cut, 1, {}, vf=until, format="framecrc"), str(path))[1])


def _pick_frames(picture: Picture, fps: Fraction, first: int) -> list[str]:
    """The filters that make the rate constant and drop what lies before frame `first`, on the file's own clock."""
    if not picture.constant:
        picked = [f"fps={fps}:start_time={float(picture.first_time):.6f}"]
        return [*picked, f"trim=start_frame={first}"] if first else picked
    # Half a frame early, so that rounding in the file's clock cannot lose the first frame.
    early = picture.first_time + (first - Fraction(1, 2)) / fps
    return [f"trim=start={float(early):.6f}"] if first else []


def _command(path, cut: DecodePlan, threads: int, options: dict, **to) -> list[str]:
    """ffmpeg's command for the frames of `cut`, or to do with that stretch of the film what `to` says."""
    options = options | {"threads": threads, "reinit_filter": 0} | cut.picture.decoder
    if cut.first and cut.picture.constant:
        # Only to save time: well before the start, since seeking may land late; the filter takes the exact frame.
        options |= {"noaccurate_seek": None, "seek_timestamp": 1, "ss": f"{float(cut.start_time - _SEEK_SECONDS):.6f}"}
    if cut.picture.damaged:
        options |= {"max_error_rate": 1}
    to = to or {"vf": cut.filters, "format": "rawvideo", "pix_fmt": "rgb24", "frames:v": cut.frames}
    source = film_input(path, copyts=None, **options)
    output = ffmpeg.output(source[str(cut.picture.stream)], "pipe:1", fps_mode="passthrough", **to)
    return command_line(output, "-v", "repeat+level+warning")


def _watch(process: FfmpegProcess, into, base: int, frame_bytes: int, total: int, path: str, what: str) -> None:
    """Show how the file grows, until ffmpeg ends; raise if it stops growing.

    Meanwhile what is written goes to the disk, so that at the end there is little left to wait for.
    """
    watchdog, done = Watchdog(path), 0
    with progress_bar(what, total, " frames") as bar, ThreadPoolExecutor(1) as disk:
        written = disk.submit(os.fsync, into.fileno())
        while process.running(wait_seconds=_LOOK_SECONDS):
            now = (os.fstat(into.fileno()).st_size - base) // frame_bytes
            bar.update(max(0, now - done))
            done = max(done, now)
            watchdog.check(done, process.stderr_size(), "frames")
            if written.done():
                written.result()  # a disk that fails says so once, to whoever asks first
                written = disk.submit(os.fsync, into.fileno())
        written.result()
        bar.update(max(0, (os.fstat(into.fileno()).st_size - base) // frame_bytes - done))


def sample_frames(
    path: Path | str, cut: DecodePlan, count: int, width: int, height: int
) -> tuple[np.ndarray, list[Fraction]]:
    """About `count` whole pictures spread over the stretch of `cut`: uint8 (n, height, width, 3), and their seconds of it.

    What cannot be read of a damaged film is left out. Raises RefilmError if nothing can.
    """
    picture = cut.picture
    chain = unify_size_filters(picture.width, picture.height, picture.sample_aspect, picture.changing)
    chain += deinterlace_filters(picture.fields, picture.tagged, each_field=False)
    whole = Box(0, 0, picture.width, picture.height)
    chain += scaled(picture.colour, picture.sample_aspect, whole, width, height, "stretch")
    moments = [Fraction(2 * n + 1, 2 * count) * cut.frames / cut.fps for n in range(min(count, cut.frames))]

    def read(moment: Fraction) -> bytes:
        place = {"ss": f"{float(cut.first / cut.fps + moment):.3f}"}
        source = film_input(path, reinit_filter=0, **place, **picture.decoder)[str(picture.stream)]
        to = {"vf": ",".join(chain), "format": "rawvideo", "pix_fmt": "rgb24", "frames:v": 1}
        with tempfile.TemporaryFile() as out:
            run_ffmpeg_into(out, command_line(ffmpeg.output(source, "pipe:1", **to)), str(path))
            return out.read()

    with ThreadPoolExecutor(2) as pool:
        found = [(raw, moment) for raw, moment in zip(pool.map(read, moments), moments, strict=True) if raw]
    if not found:
        raise RefilmError(f"{path}: no frame of the picture can be read")
    frames = np.frombuffer(b"".join(raw for raw, _ in found), np.uint8).reshape(-1, height, width, 3)
    return frames, [moment for _, moment in found]


def chosen_box(picture: Picture, crop: str) -> Box:
    """The part of the picture that `crop` says, before it is cut to the shape of the frames.

    Raises RefilmError for a box that leaves the picture.
    """
    if crop == "auto":
        return picture.box
    if crop == "none":
        return Box(0, 0, picture.width, picture.height)
    return parse_crop_box(crop, picture.width, picture.height)
