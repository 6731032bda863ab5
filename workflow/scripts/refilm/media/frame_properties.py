"""Properties of the decoded frames of a film: size and shape, colour, field order, and the picture inside black bars.

Taken from what ffmpeg's filters `showinfo` and `cropdetect` print about sampled frames.
"""

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import ffmpeg

from refilm.core.errors import RefilmError
from refilm.media import ffmpeg_log
from refilm.media.bars import Box, picture_box
from refilm.media.colour import HDR, Colour, colour_of
from refilm.media.ffmpeg import command_line, run_ffmpeg
from refilm.media.ffmpeg_log import ColourTags
from refilm.media.film_file import FilmFile
from refilm.media.filters import SHOW_FRAMES, unify_size_filters

_SAMPLED_FRAMES = 200  # about so many frames are searched for black bars: 5 % of them, which must agree on an edge, are 10
_MIN_KEY_FRAMES = 24  # fewer key frames than these say too little about black bars
_MIN_FULL_FRAMES = 4  # but where most of them fill the frame, so many are enough
_MAX_KEY_FRAMES = 800  # of a film of nothing but key frames about so many are decoded
_CROPDETECT = f"cropdetect=limit={24 / 255}:round=2:reset=1:skip=0"  # the limit is the filter's default

Value = TypeVar("Value")


@dataclass(frozen=True)
class FrameProperties:
    """Properties that most frames of a film share.

    width, height: the most frequent size in pixels, after rotation; sample_aspect: width of a pixel by its height;
    variable_size: some frames have another size or shape; field_order: 'progressive', 'tff' or 'bff' (top or bottom field
    first), as most frames are tagged; box: the picture without its black bars.
    """

    width: int
    height: int
    sample_aspect: Fraction
    variable_size: bool
    colour: Colour
    field_order: str
    box: Box


def analyse_key_frames(film: FilmFile) -> FrameProperties | None:
    """The properties of a film by its key frames, or None where these are too few."""
    # Dropped by the demuxer already, the other packets cost nothing: five times faster than skipping them in the decoder.
    # Of a film of nothing but key frames, such as ProRes, one in every so many bytes of the file is taken.
    step = Path(film.path).stat().st_size // _MAX_KEY_FRAMES
    sparse = f"noise=drop='if(key*gte(pos+2,ld(0)),st(0,pos+{step})*0,1)'"
    options = {"discard": "nokey", "skip_frame": "nokey", "bsf:v": sparse}
    return _analyse(film, options, every=1, min_frames=_MIN_KEY_FRAMES)


def analyse_frames(film: FilmFile) -> FrameProperties:
    """The properties of a film by the frames that other frames refer to. RefilmError if none can be decoded."""
    fast = {"skip_frame": "noref", "skip_loop_filter": "all"}  # half the time, and blocks do not hide a bar
    properties = _analyse(film, fast, every=max(1, (film.estimated_frames or 0) // _SAMPLED_FRAMES), min_frames=1)
    if properties is None:
        raise RefilmError(
            f"{film.path}: no frame of the video can be decoded: it is damaged or its codec is not supported by ffmpeg"
        )
    return properties


def _analyse(film: FilmFile, options: dict[str, str], every: int, min_frames: int) -> FrameProperties | None:
    log = _run_filters(film, options, [*SHOW_FRAMES, *_every(every), _CROPDETECT])
    frames = ffmpeg_log.shown_frames(log)
    if not frames:
        return None
    shapes = Counter((frame.width, frame.height, frame.sample_aspect) for frame in frames)
    width, height, aspect = shapes.most_common(1)[0][0]
    areas, variable_size = ffmpeg_log.bright_areas(log), len(shapes) > 1
    if len(frames) < min_frames and (variable_size or not _fills_frame(areas, width, height)):
        return None
    if variable_size:
        unified = unify_size_filters(width, height, aspect, variable_size=True)
        log_of_unified = _run_filters(film, options | {"reinit_filter": "0"}, [*unified, *_every(every), _CROPDETECT])
        areas = ffmpeg_log.bright_areas(log_of_unified)
    all_tags = ffmpeg_log.colour_tags(log)
    _warn_of_changes(film, all_tags)
    pixel_format, own = _mode(frame.pixel_format for frame in frames), _mode(all_tags)
    header = ffmpeg_log.header_colour(film.video_stream.description)  # what only the container states is not in the frames
    tags = ColourTags(*(stated if tag == "unknown" else tag for tag, stated in zip(own, header, strict=True)))
    colour = colour_of(_without_reserved(film, pixel_format), tags, width, height)
    field_order = _mode(frame.field_order for frame in frames)
    return FrameProperties(width, height, aspect, variable_size, colour, field_order, picture_box(areas, width, height))


def _warn_of_changes(film: FilmFile, tags: list[ColourTags]) -> None:
    """Say that a film changes between high and standard dynamic range, of which it has one in its frames."""
    hdr = sum(tag.transfer in HDR for tag in tags)
    if 0 < hdr < len(tags):
        print(
            f"{film.path}: of {len(tags)} frames that were looked at {hdr} are HDR and the others SDR: all are converted as "
            f"{'HDR' if 2 * hdr > len(tags) else 'SDR'}, which is wrong for the rest: convert these first",
            file=sys.stderr,
        )


def _without_reserved(film: FilmFile, pixel_format: str) -> str:
    """The pixel format; the fourth byte of an uncompressed AVI is not alpha, as ffmpeg takes it, but reserved."""
    reserved = film.container == "avi" and film.video_codec == "rawvideo" and pixel_format == "bgra"
    return "bgr0" if reserved else pixel_format


def _fills_frame(areas: list[tuple[int, int, int, int]], width: int, height: int) -> bool:
    """Whether most frames, and a few at least, are bright at all four edges: then the other frames cannot show bars."""
    full = sum(x1 <= 1 and y1 <= 1 and x2 >= width - 2 and y2 >= height - 2 for x1, x2, y1, y2 in areas)
    return full >= _MIN_FULL_FRAMES and 2 * full > len(areas)


def _every(every: int) -> list[str]:
    """The filter that passes one in `every` frames."""
    return [f"select=not(mod(n\\,{every}))"] if every > 1 else []


def _run_filters(film: FilmFile, options: dict[str, str], filters: list[str]) -> str:
    """What ffmpeg prints when the video passes these filters."""
    output = ffmpeg.output(film.video(**options), "-", format="null", fps_mode="passthrough", vf=",".join(filters))
    return run_ffmpeg(command_line(output), film.path)[1]


def _mode(values: Iterable[Value]) -> Value:
    """The most frequent of the values."""
    return Counter(values).most_common(1)[0][0]
