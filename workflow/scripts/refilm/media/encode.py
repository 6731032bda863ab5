"""From raw frames to a video that plays in a browser: H.264, yuv420p, faststart, colour tagged, sound in step."""

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import ffmpeg

from refilm.core.errors import RefilmError
from refilm.core.files import atomic_write
from refilm.core.progress import progress_bar
from refilm.media.ffmpeg import FfmpegProcess, command_line, raw_frames_input
from refilm.media.sound import RATE, Sound, sound_pipe, synchronise_audio

# RGB to BT.709 in limited range, with full-resolution chroma and exact rounding on the way, and tags that say so.
_TO_YUV = {"out_color_matrix": "bt709", "out_range": "tv", "flags": "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"}
_TAGS = {"color_primaries": "bt709", "color_trc": "bt709", "colorspace": "bt709", "range": "tv"}
_SOUND = {"c:a": "aac", "b:a": "192k", "ar": RATE}


def encode_video(path: Path | str, frames, count: int, size: tuple[int, int], fps: Fraction, crf: int, sound: Sound | None,
                 what: str, arrange=None) -> None:  # fmt: skip
    """Write an MP4 of exactly `count` frames.

    frames: iterable of uint8 (n, H, W, 3) or (H, W, 3) RGB arrays of `size` (width, height); sound lasts exactly as long
    as the picture, padded with silence or cut. arrange: a function of the ffmpeg-python stream of these frames that
    returns the stream to encode. Raises RefilmError if ffmpeg fails or the number of frames is another.
    """
    path = Path(path)
    picture = raw_frames_input(*size, fps)
    if arrange is not None:
        picture = arrange(picture)
    streams = [picture.filter_("scale", **_TO_YUV).filter_("format", "yuv420p").filter_("setparams", **_TAGS)]
    options = {"c:v": "libx264", "preset": "medium", "crf": crf, "movflags": "+faststart", "fps_mode": "passthrough"}
    written = 0
    with atomic_write(path) as partial, ExitStack() as stack:
        pipes = [] if sound is None else [stack.enter_context(sound_pipe(sound, count / fps))]
        if sound is not None:
            streams.append(synchronise_audio(sound, *pipes, count / fps))
            options |= _SOUND
        output = ffmpeg.output(*streams, f"file:{partial}", format="mp4", video_track_timescale=_timescale(fps), **options)
        with FfmpegProcess(command_line(output, "-v", "warning"), str(path), stdin=True, pass_fds=pipes) as process:
            with progress_bar(what, count, " frames") as bar:
                for batch in frames:
                    try:
                        process.stdin.write(memoryview(batch).cast("B"))
                    except BrokenPipeError:
                        break  # ffmpeg has ended: finish() says why
                    written += 1 if batch.ndim == 3 else len(batch)
                    bar.update(1 if batch.ndim == 3 else len(batch))
            process.finish()
        if written != count:
            raise RefilmError(f"{path}: {written} frames were written of {count}")


def _timescale(fps: Fraction) -> int:
    """Ticks a second of the video track, such that a frame is a whole number of them."""
    scale = fps.numerator
    while scale < 10000:
        scale *= 2
    return scale
