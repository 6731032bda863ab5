"""A contact sheet: frames of a film above their reconstructions.

python -m refilm.render_stills --frames results/frames/256x144/bikes.h5 --title Bikes --by Bikes
    --reconstruction results/reconstructions/bikes_by_bikes.h5 --sheet results/stills/bikes_by_bikes.png
"""

from refilm.core.command_line import command_parser, run_command
from refilm.core.sampling import evenly_spaced
from refilm.core.times import format_time
from refilm.frames.store import FrameStore
from refilm.rendering.sheet import write_sheet


def main(args) -> None:
    with FrameStore(args.frames) as film, FrameStore(args.reconstruction) as rebuilt:
        chosen = evenly_spaced(len(film), args.count)
        rows = {"original": film.read(chosen), "reconstruction": rebuilt.read(chosen)}
        times = [format_time(n / film.fps) for n in chosen]
        write_sheet(args.sheet, rows, args.title, f"above, and below it as remembered by {args.by}", times)
    print(f"{args.sheet}: {len(chosen)} frames")


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--frames", required=True, help="frames file of the film")
    parser.add_argument("--reconstruction", required=True, help="frames file of the rebuilt film")
    parser.add_argument("--title", required=True, help="the film's title")
    parser.add_argument("--by", required=True, help="the model's title")
    parser.add_argument("--sheet", required=True, help="the PNG to write")
    parser.add_argument("--count", type=int, default=16, help="how many frames")
    run_command(main, parser)
