"""A preview of the crop of a film: frames from all of it, with the chosen box drawn.

python -m refilm.preview_crop --source films/bikes.mp4 --title Bikes --size 256x144 --sheet results/stills/bikes_crop.png
"""

import argparse
from pathlib import Path

from refilm import layout
from refilm.core.command_line import check_count, command_parser, run_command
from refilm.core.provenance import made_by, provenance_text
from refilm.core.times import format_time
from refilm.extract_frames import add_film_options, describe_film, plan_film
from refilm.media.bars import Box
from refilm.media.decode import DecodePlan, sample_frames, selected_box
from refilm.media.ffmpeg import version
from refilm.media.film_file import FilmFile
from refilm.rendering.cropping import display_size, draw_boxes
from refilm.rendering.sheet import COLUMNS, write_sheet


def main(args: argparse.Namespace) -> None:
    check_count(args.count)
    plan = plan_film(FilmFile(args.source), args, args.title)
    video, box = plan.video, selected_box(plan.video, args.crop)
    size = display_size(video.width, video.height, video.sample_aspect)
    frames, times = sample_frames(plan, args.count, size)
    drawn = draw_boxes(frames, (video.width, video.height), box, plan.crop)
    labels = [format_time(time) for time in times]
    caption = describe_crop(plan, box, args)
    columns = COLUMNS if size[0] >= size[1] else 2 * COLUMNS
    provenance = _provenance(plan, args)
    write_sheet(args.sheet, {"film": drawn}, args.title, caption, labels, columns=columns, provenance=provenance)
    print(f"{args.sheet}: {len(frames)} frames, {caption}")


def _provenance(plan: DecodePlan, args: argparse.Namespace) -> str:
    name, index = Path(args.sheet).stem.removesuffix("_crop"), layout.film_index(layout.CROP_PREVIEW, args.sheet)
    written_by = made_by("preview_crop", "pillow", ffmpeg=version())
    return provenance_text(written_by, describe_film(name, plan, args, index, written_by))


def describe_crop(plan: DecodePlan, box: Box, args: argparse.Namespace) -> str:
    """In words: which box is taken, where it comes from, and how it fills the frames."""
    video = plan.video
    whole = (box.width, box.height) == (video.width, video.height)
    origin = {"auto": "no black bars found" if whole else "black bars found", "none": "crop: none"}
    part = f"{box.width} x {box.height} of {video.width} x {video.height}"
    place = "" if whole else f" at {box.x}, {box.y}"
    cropped = "it fills" if plan.crop == box else f"{plan.crop.width} x {plan.crop.height} of it fill"
    fit = {"crop": cropped, "pad": "all of it, padded with black, fills", "stretch": "it is stretched to"}[args.fit]
    return f"{part}{place}: {origin.get(args.crop, f'crop: {args.crop}')}; {fit} frames of {args.size}"


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--title", required=True, help="the film's title")
    parser.add_argument("--sheet", required=True, help="the PNG to write")
    parser.add_argument("--count", type=int, default=16, help="number of frames (default: 16)")
    add_film_options(parser)
    run_command(main, parser)
