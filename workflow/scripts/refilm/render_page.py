"""One comparison as one HTML file with its video inside, to be sent.

python -m refilm.render_page --frames results/frames/256x144/bikes.h5 --latents results/latents/bikes_by_bikes.h5
    --models results/models/bikes/model.safetensors --metrics results/metrics/bikes_by_bikes.csv --names bikes
    --title Bikes --by Bikes --source films/bikes.mp4 --page results/gallery/bikes.html
"""

import argparse
from contextlib import ExitStack
from pathlib import Path

from refilm.config.keys import ComparisonKeys, FilmKeys, GlobalKeys, add_option
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.files import atomic_write, scratch_folder
from refilm.core.provenance import made_by
from refilm.core.times import TimeSpan, format_time
from refilm.frames.shots import find_shots
from refilm.frames.store import FrameStore
from refilm.media.ffmpeg import version
from refilm.media.sound import film_sound
from refilm.models.device import choose_device
from refilm.models.pictures import film_and_reconstructions
from refilm.models.provenance import text_of_decoded
from refilm.rendering.composite import Composite
from refilm.rendering.gallery import Entry, describe, film_script, read_description, read_measures, render_page
from refilm.rendering.templates import data_url

_CRF = 22  # what is sent is small rather than perfect
MOST_BYTES = 20_000_000  # what mail and messengers take
_MARGIN = 0.9  # of the stretch that fits: the rest of a film may take more


def main(args: argparse.Namespace) -> None:
    if not len(args.models) == len(args.metrics) == len(args.names) == len(args.by):
        raise RefilmError("--models, --metrics, --names and --by: give as many of each, in the same order")
    page = Path(args.page)
    with ExitStack() as stack:
        film, folder = stack.enter_context(FrameStore(args.frames)), stack.enter_context(scratch_folder())
        span = TimeSpan.parse(args.start, args.end)
        first, count = span.frame_range(film.fps, len(film), f"comparison '{page.stem}'")
        end = first + count
        device = choose_device(args.device)
        pictures, encoded = film_and_reconstructions(stack, film, args.latents, args.models, device, first, end)
        composite, video = Composite(len(pictures), film.width, film.height), folder / "video.mp4"
        sound = film_sound(args.source, film.metadata.start_time + first / film.fps, args.audio)
        written_by = made_by("render_page", "torch", ffmpeg=version())
        provenance = text_of_decoded(written_by, film.attributes, encoded, args.models)
        composite.write(video, pictures, count, film.fps, _CRF, sound, f"page {page.stem}", provenance)
        described = describe(count, film.fps, (film.width, film.height), args.names)
        shots = [max(0, shot.start - first) for shot in find_shots(film) if shot.stop > first and shot.start < end]
        measures = read_measures(args.metrics, range(first, end)) | {"shots": shots}
        script = folder / "film.js"
        script.write_text(film_script(page.stem, described, measures))
        entry = Entry(page.stem, args.title, dict(zip(args.names, args.by, strict=True)), "", read_description(script))
        html = render_page(entry, script.read_text(), data_url(video.read_bytes(), "video/mp4"), args.made_of)
        check_size(len(html.encode()), page.stem, first / film.fps, count / film.fps)
    with atomic_write(page) as partial:
        partial.write_text(html, encoding="utf-8")
    print(f"{page}: {count} frames, {len(pictures)} pictures, {len(html) / 1e6:.1f} MB")


def check_size(size: int, name: str, start: float, seconds: float) -> None:
    """Raises RefilmError, with the stretch that fits, for a page of too many bytes."""
    if size > MOST_BYTES:
        fits = format_time(start + seconds * _MARGIN * MOST_BYTES / size)
        raise RefilmError(
            f"comparison '{name}': as one file it has {size / 1e6:.0f} MB, and {MOST_BYTES / 1e6:.0f} MB is the most: set "
            f'comparisons.{name}.end to "{fits}", up to which it fits'
        )


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--frames", required=True, help="frames file of the original")
    parser.add_argument("--latents", required=True, nargs="+", help="its latents, of each model")
    parser.add_argument("--models", required=True, nargs="+", help="the models that decode them, in the same order")
    parser.add_argument("--metrics", required=True, nargs="+", help="the metrics by each of them")
    parser.add_argument("--names", required=True, nargs="+", help="their names")
    parser.add_argument("--title", required=True, help="the film's title")
    parser.add_argument("--by", required=True, action="append", help="the title of a model; once for each")
    parser.add_argument("--source", default="", help="the film file, for its sound; without it the page is silent")
    add_option(parser, FilmKeys, "audio")
    for key in ("start", "end"):
        add_option(parser, ComparisonKeys, key)
    parser.add_argument("--page", required=True, help="the HTML file to write")
    parser.add_argument("--made-of", default="", help="what a plan knows it by")
    add_option(parser, GlobalKeys, "device")
    run_command(main, parser)
