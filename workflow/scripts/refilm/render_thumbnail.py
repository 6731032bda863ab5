"""A still of a video of tiles, for the gallery: of some of its key frames the one with the most contrast.

python -m refilm.render_thumbnail --video results/gallery/films/256x144/bikes.mp4
    --thumbnail results/gallery/films/256x144/bikes.webp
"""

import argparse
import io
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import ffmpeg
from PIL import Image, ImageStat

from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.files import atomic_write
from refilm.core.sampling import midpoints
from refilm.media.ffmpeg import command_line, run_ffmpeg_into
from refilm.media.film_file import FilmFile

_MOMENTS = 8
_QUALITY = 82


def main(args: argparse.Namespace) -> None:
    film = FilmFile(args.video)
    still = max(_stills(film), key=_contrast, default=None)
    if still is None:
        raise RefilmError(f"{args.video}: no frame could be decoded: delete it and run the same command again")
    with atomic_write(Path(args.thumbnail)) as partial:
        still.save(partial, "WEBP", quality=_QUALITY, method=4, xmp=args.made_of.encode())
    print(f"{args.thumbnail}: {still.width}x{still.height}")


def _stills(film: FilmFile) -> Iterator[Image.Image]:
    for seconds in midpoints(film.estimated_seconds or Fraction(0), _MOMENTS):
        output = ffmpeg.output(film.video(ss=float(seconds)), "pipe:", vframes=1, format="image2pipe", vcodec="png")
        with tempfile.TemporaryFile() as out:
            run_ffmpeg_into(out, command_line(output, "-v", "error"), film.path)
            if content := out.read():
                yield Image.open(io.BytesIO(content)).convert("RGB")


def _contrast(still: Image.Image) -> float:
    return float(ImageStat.Stat(still.convert("L")).stddev[0])


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--video", required=True, help="the video")
    parser.add_argument("--thumbnail", required=True, help="the WebP to write")
    parser.add_argument("--made-of", default="", help="what a plan knows it by")
    run_command(main, parser)
