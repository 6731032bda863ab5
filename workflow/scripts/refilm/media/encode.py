"""From raw frames to a video that plays in a browser: H.264, yuv420p, faststart, colour tagged, sound in step.

Also what any other output of raw frames needs: its colours, and the run of ffmpeg.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import IO

import ffmpeg
import numpy as np
from ffmpeg.nodes import FilterableStream, OutputStream

from refilm.core.errors import RefilmError
from refilm.core.files import atomic_write, check_space, scratch_folder
from refilm.core.progress import progress_bar
from refilm.media.ffmpeg import FfmpegProcess, command_line, raw_frames_input
from refilm.media.sound import SAMPLE_RATE, Sound, sound_pipe, synchronise_audio
from refilm.media.tags import Chapter, Tags, with_tags, write_tags

# RGB to BT.709 in limited range, with full-resolution chroma and exact rounding on the way, and tags that say so.
EXACT = "accurate_rnd+full_chroma_int+full_chroma_inp"
TO_YUV = {"out_color_matrix": "bt709", "out_range": "tv"}
TAGS = {"color_primaries": "bt709", "color_trc": "bt709"}
YUV_TAGS = TAGS | {"colorspace": "bt709", "range": "tv"}
# At such qualities bits do what effort would: `medium` takes 2.3 times the processor time for 5 % less data and 51.5 dB in
# place of 49.8 (250 frames of a clip of 1608x512 at a crf of 14, one run).
PRESET = "veryfast"
_VIDEO_OPTIONS: dict[str, object] = {
    "c:v": "libx264",
    "preset": PRESET,
    "movflags": "+faststart",
    "fps_mode": "passthrough",
    "format": "mp4",
}
_SOUND_OPTIONS: dict[str, object] = {"c:a": "aac", "b:a": "192k", "ar": SAMPLE_RATE}
_MIN_TIMESCALE = 10_000  # ticks per second of the video track
_LEAST_BYTES = 0.01  # of a pixel: a third of what reconstructions of the Sintel trailer take, which are soft and still

Arrange = Callable[[FilterableStream], FilterableStream]


def encode_video(path: Path | str, frames: Iterable[np.ndarray], count: int, size: tuple[int, int], fps: Fraction, crf: int,
                 sound: Sound | None, label: str, arrange: Arrange | None = None, provenance: str = "",
                 chapters: Sequence[Chapter] = (), title: str = "", key_frames: int = 0,
                 video_size: tuple[int, int] | None = None) -> None:  # fmt: skip
    """Write an MP4 of exactly `count` frames, and of nothing but these, the sound and the tags.

    frames: uint8 (n, H, W, 3) or (H, W, 3) RGB arrays of `size` (width, height); crf: H.264 quality; sound lasts exactly as
    long as the video, padded with silence or cut; label: of the progress, which is not shown without one; arrange: a
    function of the ffmpeg-python stream of these frames that returns the stream to encode; provenance: text of
    `refilm.core.provenance`, which becomes the comment of the file; chapters: in seconds from the first frame;
    key_frames: how many frames from one key frame to the next, by default what the encoder chooses; video_size: (width,
    height) of the video, by default of the frames. Raises RefilmError if ffmpeg fails or the number of frames is not
    `count`.
    """
    path = Path(path)
    video = raw_frames_input(*size, fps) if arrange is None else arrange(raw_frames_input(*size, fps))
    scaled = video.filter_("scale", *(video_size or ()), **TO_YUV, flags=f"bicubic+{EXACT}")
    streams = [scaled.filter_("format", "yuv420p").filter_("setparams", **YUV_TAGS)]
    options = _VIDEO_OPTIONS | {"crf": crf, "video_track_timescale": timescale(fps)}
    options |= {"g": key_frames} if key_frames else {}
    check_space(path, int(count * size[0] * size[1] * _LEAST_BYTES))
    with atomic_write(path) as partial, ExitStack() as stack:
        pipes = []
        if sound is not None:
            pipes.append(stack.enter_context(sound_pipe(sound, count / fps)))
            streams.append(synchronise_audio(sound, pipes[0], count / fps))
            options |= _SOUND_OPTIONS | {"metadata:s:a:0": f"language={sound.language}"}
        output = ffmpeg.output(*streams, f"file:{partial}", **options)
        run_encoder(output, str(path), frames, count, label, pipes, Tags(title, provenance, tuple(chapters)))


def run_encoder(output: OutputStream, name: str, frames: Iterable[np.ndarray], count: int, label: str, pipes: Sequence[int],
                tags: Tags | None) -> None:  # fmt: skip
    """Run ffmpeg for an output that reads these frames from its standard input.

    name: for error messages; pipes: open files that it reads, too; tags: of the files that it writes, None where they have
    none. Raises RefilmError if ffmpeg fails or the number of frames is not `count`.
    """
    command = command_line(output, "-v", "warning")
    with ExitStack() as stack:
        if tags is not None:
            tags_file = stack.enter_context(scratch_folder()) / "tags.txt"
            write_tags(tags_file, tags)
            command = with_tags(command, tags_file)
        process = stack.enter_context(FfmpegProcess(command, name, stdin=True, pass_fds=pipes))
        written = _write_frames(process.stdin, frames, count, label)
        process.finish()
    check_written(name, written, count)


def check_written(name: str, written: int, count: int) -> None:
    """Raises RefilmError if not so many frames were written."""
    if written != count:
        raise RefilmError(f"{name}: {written} frames were written of {count}")


def _write_frames(stdin: IO[bytes], frames: Iterable[np.ndarray], count: int, label: str) -> int:
    """Write the frames to ffmpeg until it ends; returns how many were written."""
    written = 0
    with progress_bar(label, count, " frames", hidden=not label) as bar:
        for batch in frames:
            try:
                stdin.write(batch.data.cast("B"))
            except BrokenPipeError:
                break  # ffmpeg has ended: finish() raises the cause
            added = 1 if batch.ndim == 3 else len(batch)
            written += added
            bar.update(added)
    return written


def timescale(fps: Fraction) -> int:
    """Ticks per second of the video track, such that a frame lasts a whole number of them."""
    scale = fps.numerator
    while scale < _MIN_TIMESCALE:
        scale *= 2
    return scale
