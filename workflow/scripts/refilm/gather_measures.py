"""The measures of a film by its models, and its shots, as the data of a page: see `refilm.rendering.gallery`.

python -m refilm.gather_measures --frames results/frames/256x144/bikes.h5 --metrics results/metrics/bikes_by_bikes.csv
    --models bikes --measures results/gallery/films/256x144/bikes.js
"""

import argparse
from pathlib import Path

from refilm.core.command_line import command_parser, run_command
from refilm.core.files import atomic_write
from refilm.frames.shots import find_shots
from refilm.frames.store import FrameStore
from refilm.rendering.gallery import describe, film_script, read_measures


def main(args: argparse.Namespace) -> None:
    measures = Path(args.measures)
    with FrameStore(args.frames) as film:
        shots = [shot.start for shot in find_shots(film)]
        described = describe(len(film), film.fps, (film.width, film.height), args.models)
    described = {"made_of": args.made_of} | described
    read = read_measures(args.metrics, range(described["frames"]))
    with atomic_write(measures) as partial:
        partial.write_text(film_script(f"{measures.parent.name}/{measures.stem}", described, read | {"shots": shots}))
    print(f"{args.measures}: {described['frames']} frames, {len(shots)} shots, {len(args.models)} models")


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--frames", required=True, help="frames file of the film")
    parser.add_argument("--metrics", required=True, nargs="+", help="its metrics by each model")
    parser.add_argument("--models", required=True, nargs="+", help="the names of these models, in the same order")
    parser.add_argument("--measures", required=True, help="the JavaScript file to write")
    parser.add_argument("--made-of", default="", help="what a plan knows it by")
    run_command(main, parser)
