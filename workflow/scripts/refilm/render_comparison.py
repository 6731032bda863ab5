"""Original and reconstructions in one picture: labelled, in step, with sound, from any moment to any other.

python -m refilm.render_comparison --frames results/frames/256x144/bikes.h5 --title Bikes
    --reconstructions results/reconstructions/bikes_by_bikes.h5 --by=Bikes --source films/bikes.mp4
    --clip results/comparisons/bikes.mp4
"""

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import numpy as np

from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.files import scratch_folder
from refilm.core.times import first_frame, format_time, parse_time
from refilm.frames.store import FrameStore
from refilm.media.encode import encode_video
from refilm.media.sound import film_sound
from refilm.rendering.comparison import Arrangement, Label

_CHUNK = 16  # frames of each film handed to ffmpeg at once


def main(args) -> None:
    with ExitStack() as stack:
        films = [stack.enter_context(FrameStore(file)) for file in [args.frames, *args.reconstructions]]
        original = films[0]
        _check_alike(films)
        first, end = _stretch(original, args)
        sound = film_sound(args.source, original.metadata.start_time + first / original.fps, args.audio)
        tile_width = round(args.height * original.width / original.height / 2) * 2
        arrangement = Arrangement(len(films), args.layout, tile_width, args.height)
        labels = [Label(args.title, "original"), *(Label(args.title, f"as remembered by {by}") for by in args.by)]
        with scratch_folder() as scratch:
            drawn = scratch / "labels.png"
            arrangement.draw_labels(labels).save(drawn)
            encode_video(
                args.clip,
                _stacked(films, first, end),
                end - first,
                (original.width, original.height * len(films)),
                original.fps,
                args.crf,
                sound,
                f"compare {Path(args.clip).stem}",
                arrangement.filter(drawn),
            )
    print(f"{args.clip}: {end - first} frames, {len(films)} pictures of {tile_width}x{args.height}")


def _stacked(films: list[FrameStore], first: int, end: int):
    """The same frame of every film, one on top of the other: (n, H * films, W, 3)."""
    for start in range(first, end, _CHUNK):
        yield np.concatenate([film[start : min(end, start + _CHUNK)] for film in films], axis=1)


def _stretch(film: FrameStore, args) -> tuple[int, int]:
    """(first frame, frame after the last) between start and end, in seconds of the film as rebuilt."""
    start, end = (parse_time(value, key) if value else None for value, key in ((args.start, "start"), (args.end, "end")))
    first = first_frame(start or Fraction(0), film.fps)
    last = len(film) if end is None else min(len(film), first_frame(end, film.fps))
    if first >= last:
        raise RefilmError(
            f"comparison '{Path(args.clip).stem}': nothing lies between start {format_time(start or 0)} and end "
            f"{format_time(end) if end else 'of the film'}: the film lasts {format_time(len(film) / film.fps)}"
        )
    return first, last


def _check_alike(films: list[FrameStore]) -> None:
    for film in films[1:]:
        if (len(film), film.width, film.height) != (len(films[0]), films[0].width, films[0].height):
            raise RefilmError(f"{film.path}: not as many frames, or not as large, as {films[0].path}: rebuild it again")


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--frames", required=True, help="frames file of the original")
    parser.add_argument("--reconstructions", required=True, nargs="+", help="frames files of its reconstructions")
    parser.add_argument("--title", required=True, help="the film's title")
    parser.add_argument("--by", required=True, action="append", help="the title of a reconstruction's model; one for each")
    parser.add_argument("--source", default="", help="the film file, for its sound; without one the result is silent")
    parser.add_argument("--audio", default="auto", help="its soundtrack: auto, a language, a number from 1, or none")
    parser.add_argument("--clip", required=True, help="the MP4 to write")
    parser.add_argument("--start", help="first moment shown: seconds or HH:MM:SS of the rebuilt film")
    parser.add_argument("--end", help="end of what is shown")
    parser.add_argument("--layout", default="row", choices=["row", "column", "grid"])
    parser.add_argument("--height", type=int, default=432, help="height of each picture in pixels")
    parser.add_argument("--crf", type=int, default=14, help="H.264 quality, 0 (lossless) to 51")
    run_command(main, parser)
