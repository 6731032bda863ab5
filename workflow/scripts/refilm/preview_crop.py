"""What of a film's picture will be seen: frames from all over it, with the chosen box drawn.

python -m refilm.preview_crop --source films/bikes.mp4 --title Bikes --size 256x144 --sheet results/stills/bikes_crop.png
"""

from refilm.core.command_line import command_parser, run_command
from refilm.core.times import format_time
from refilm.extract_frames import add_film_options, plan
from refilm.media.bars import Box
from refilm.media.decode import DecodePlan, chosen_box, sample_frames
from refilm.rendering.cropping import display_size, draw_boxes
from refilm.rendering.sheet import COLUMNS, write_sheet


def main(args) -> None:
    cut = plan(args, args.title)
    picture = cut.picture
    found = chosen_box(picture, args.crop)
    size = display_size(picture.width, picture.height, picture.sample_aspect)
    frames, moments = sample_frames(args.source, cut, args.count, *size)
    drawn = draw_boxes(frames, (picture.width, picture.height), found, cut.crop)
    times = [format_time(cut.first / cut.fps + moment) for moment in moments]
    words = told(cut, found, args)
    write_sheet(
        args.sheet, {"film": drawn}, args.title, words, times, columns=COLUMNS if size[0] >= size[1] else 2 * COLUMNS
    )
    print(f"{args.sheet}: {len(frames)} frames, {words}")


def told(cut: DecodePlan, found: Box, args) -> str:
    """In words: which box it is, where it comes from, and what of it fills the frames."""
    picture = cut.picture
    whole = (found.width, found.height) == (picture.width, picture.height)
    source = {"auto": "no black bars found" if whole else "black bars found", "none": "crop: none"}
    box = f"{found.width} x {found.height} of {picture.width} x {picture.height}"
    place = "" if whole else f" at {found.x}, {found.y}"
    fills = "it fills" if cut.crop == found else f"{cut.crop.width} x {cut.crop.height} of it fill"
    how = {"crop": fills, "pad": "all of it, between black, in", "stretch": "bent to"}[args.fit]
    return f"{box}{place}: {source.get(args.crop, f'crop: {args.crop}')}; {how} frames of {args.size}"


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--title", required=True, help="the film's title")
    parser.add_argument("--sheet", required=True, help="the PNG to write")
    parser.add_argument("--count", type=int, default=16, help="how many frames")
    add_film_options(parser)
    run_command(main, parser)
