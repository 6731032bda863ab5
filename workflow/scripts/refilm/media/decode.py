"""From a film to raw frames of one size, at the full speed of the decoder.

ffmpeg writes its frames straight into the file that keeps them: no frame passes through Python.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import ffmpeg

from refilm.media.bars import Box, box_by_hand, fill_box
from refilm.media.ffmpeg import FfmpegProcess, command_line, film_input, last_words
from refilm.media.probe import Picture
from refilm.settings.errors import RefilmError
from refilm.settings.progress import progress_bar
from refilm.settings.times import chosen_frames

# ffmpeg's default flags are 1.25 grey levels off and 20 dB from an exact box average; these are within 0.01 and 52 dB.
SCALER = "area+accurate_rnd+full_chroma_int"

_SEEK_SECONDS = 10  # how far before its first frame a part of a film is decoded
_LOOK_SECONDS = 0.25  # how often the growing file is looked at
_SILENT_SECONDS = 120  # an ffmpeg that writes no frame for so long hangs on a damaged file


@dataclass(frozen=True)
class Cut:
    """Which frames of a film are taken and how each becomes width x height: all that decides the frames' pixels.

    first, frames: index of the first frame taken and how many are expected; start_time: seconds of that frame on the
    film file's own clock, by which the sound is cut.
    """

    picture: Picture
    width: int
    height: int
    first: int
    frames: int
    crop: Box
    filters: str

    @property
    def start_time(self) -> Fraction:
        return self.picture.first_time + self.first / self.picture.fps


def plan_cut(
    picture: Picture,
    width: int,
    height: int,
    start: Fraction | None = None,
    end: Fraction | None = None,
    crop: str = "auto",
    fit: str = "crop",
) -> Cut:
    """Decide which frames and which part of the picture make the frames file.

    start, end: seconds of the film as shown, the first frame at or after `start` to the last before `end`;
    crop: 'auto' (without the black bars), 'none', or 'W:H:X:Y' in the film's pixels; fit: 'crop' fills the frame and
    cuts what is over, 'pad' shows all and fills with black, 'stretch' bends it to the frame's shape.
    Raises RefilmError for a start past the end of the film and a crop that leaves it.
    """
    first, count = chosen_frames(start, end, picture.fps, picture.frames)
    box = _chosen_box(picture, crop)
    if fit == "crop":
        box = fill_box(box, picture.sample_aspect, width, height)
    chain = [*_pick_frames(picture, first), f"crop={box}"]
    chain.append(_scale(picture, box, width, height, fit))
    chain.append("format=rgb24")
    return Cut(picture, width, height, first, count, box, ",".join(chain))


def decode_frames(path: Path | str, cut: Cut, into, what: str, threads: int) -> int:
    """Decode the frames of `cut` as rgb24 into the file object `into`, from its present position on.

    threads: processor cores to use. Returns how many frames there are. Shows progress under the name `what`. Raises
    RefilmError if ffmpeg fails or hangs, if the last frame is cut off, or if a constant-rate film gives another number of
    frames than it has.
    """
    frame_bytes = cut.width * cut.height * 3
    base = into.tell()
    with FfmpegProcess(_command(path, cut, threads), str(path), stdout=into) as process:
        _watch(process, into, base, frame_bytes, cut.frames, f"{path}", what)
        said = process.finish()
    count, rest = divmod(max(0, into.seek(0, os.SEEK_END) - base), frame_bytes)
    if rest or count == 0:
        raise RefilmError(f"{path}: ffmpeg stopped inside frame {count}: {last_words(said) or 'no more was written'}")
    if cut.picture.constant and count != cut.frames:
        raise RefilmError(
            f"{path}: {cut.frames} frames are promised but {count} can be decoded: the file is damaged or cut off"
            f"{'; ' + last_words(said) if said.strip() else ''}: copy or convert it again"
        )
    return count


def _pick_frames(picture: Picture, first: int) -> list[str]:
    """The filters that make the rate constant and drop what lies before frame `first`, on the file's own clock."""
    if not picture.constant:
        picked = [f"fps={picture.fps}:start_time={float(picture.first_time):.6f}"]
        return [*picked, f"trim=start_frame={first}"] if first else picked
    # Half a frame early, so that rounding in the file's clock cannot lose the first frame.
    early = picture.first_time + (first - Fraction(1, 2)) / picture.fps
    return [f"trim=start={float(early):.6f}"] if first else []


def _command(path, cut: Cut, threads: int) -> list[str]:
    # Its own default leaves cores idle while the scaler works: three threads a core are 4 % faster on two cores.
    options = {"threads": min(16, 3 * threads)}
    if cut.first and cut.picture.constant:
        # Only to save time: well before the start, since seeking may land late; the filter takes the exact frame.
        options |= {"noaccurate_seek": None, "seek_timestamp": 1, "ss": f"{float(cut.start_time - _SEEK_SECONDS):.6f}"}
    source = film_input(path, copyts=None, **options)
    output = ffmpeg.output(
        source[str(cut.picture.stream)],
        "pipe:1",
        vf=cut.filters,
        format="rawvideo",
        pix_fmt="rgb24",
        fps_mode="passthrough",
        **{"frames:v": cut.frames},
    )
    return command_line(output, "-v", "warning")


def _watch(process: FfmpegProcess, into, base: int, frame_bytes: int, total: int, path: str, what: str) -> None:
    """Show how the file grows, until ffmpeg ends; raise if it stops growing.

    Meanwhile what is written goes to the disk, so that at the end there is little left to wait for.
    """
    silent, done = 0.0, 0
    with progress_bar(what, total, " frames") as bar, ThreadPoolExecutor(1) as disk:
        written = disk.submit(os.fsync, into.fileno())
        while process.running(wait_seconds=_LOOK_SECONDS):
            now = (os.fstat(into.fileno()).st_size - base) // frame_bytes
            silent = 0.0 if now > done else silent + _LOOK_SECONDS
            bar.update(max(0, now - done))
            done = max(done, now)
            if silent > _SILENT_SECONDS:
                raise RefilmError(f"{path}: ffmpeg has decoded nothing for {_SILENT_SECONDS} s after frame {done}")
            if written.done():
                written.result()  # a disk that fails says so once, to whoever asks first
                written = disk.submit(os.fsync, into.fileno())
        written.result()
        bar.update(max(0, (os.fstat(into.fileno()).st_size - base) // frame_bytes - done))


def _chosen_box(picture: Picture, crop: str) -> Box:
    if crop == "auto":
        return picture.box
    if crop == "none":
        return Box(0, 0, picture.width, picture.height)
    return box_by_hand(crop, picture.width, picture.height)


def _scale(picture: Picture, box: Box, width: int, height: int, fit: str) -> str:
    colour = f"in_color_matrix={picture.matrix}:in_range={'pc' if picture.full_range else 'tv'}"
    if fit != "pad":
        return f"scale={width}:{height}:flags={SCALER}:{colour}"
    shown = Fraction(box.width, box.height) * picture.sample_aspect
    inner_width = min(width, round(height * shown))
    inner_height = min(height, round(width / shown))
    return (
        f"scale={inner_width}:{inner_height}:flags={SCALER}:{colour},format=rgb24,"
        f"pad={width}:{height}:(ow-iw)/2:(oh-ih)/2:black"
    )
