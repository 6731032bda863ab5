"""A film file becomes frames: probed, black bars removed, cut and scaled, every frame counted, into HDF5.

python -m refilm.extract_frames --source films/bikes.mp4 --frames results/frames/256x144/bikes.h5 --size 256x144
"""

import dataclasses
import json
import os
from fractions import Fraction
from pathlib import Path

from refilm.config.recipe import parse_size
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.files import check_sha256, check_space
from refilm.core.times import parse_time
from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import write_frames
from refilm.media.decode import DecodePlan, decode_frames, plan_decode
from refilm.media.ffmpeg import version
from refilm.media.probe import probe_picture
from refilm.media.sound import film_sound

_PIXEL_OPTIONS = ("start", "end", "crop", "fit", "deinterlace", "damaged")


def plan(args, name: str) -> DecodePlan:
    """What the options say of the film called `name`: which frames, and which part of its picture."""
    width, height = parse_size(args.size, "--size")
    start, end = (value and parse_time(value, key) for value, key in ((args.start, "start"), (args.end, "end")))
    picture = probe_picture(args.source, args.deinterlace, args.damaged == "use")
    try:
        return plan_decode(picture, width, height, start, end, args.crop, args.fit, args.deinterlace)
    except RefilmError as error:
        raise RefilmError(f"film '{name}' ({args.source}): {error}") from error


def main(args) -> None:
    name = Path(args.frames).stem
    if args.sha256:
        check_sha256(args.source, args.sha256)
    film_sound(args.source, Fraction(0), args.audio)  # a soundtrack that is not there is told now, not after the training
    cut = plan(args, name)
    picture, width, height = cut.picture, cut.width, cut.height
    check_space(args.frames, cut.frames * width * height * 3)
    metadata = FrameMetadata(
        fps=cut.fps,
        start_time=cut.start_time,
        source=args.source,
        crop=str(cut.crop),
        filter=cut.filters,
        details={
            **dataclasses.asdict(picture.colour),
            "fields": picture.fields,
            "constant_rate": picture.constant,
            "settings": json.dumps({key: getattr(args, key) for key in _PIXEL_OPTIONS}),
            "ffmpeg": version(),
        },
    )

    def produce(file) -> int:
        return decode_frames(args.source, cut, file, f"extract {name}", args.threads, args.hwaccel)

    count = write_frames(args.frames, width, height, metadata, produce)
    print(f"{args.frames}: {count} frames at {cut.fps} frames/s, picture {cut.crop} of {picture.width}x{picture.height}")


def add_film_options(parser) -> None:
    """The options that say which film it is and what of it is seen."""
    parser.add_argument("--source", required=True, help="the film file")
    parser.add_argument("--size", required=True, help="WIDTHxHEIGHT of the frames in pixels")
    parser.add_argument("--start", help="first moment taken: seconds or HH:MM:SS")
    parser.add_argument("--end", help="end of what is taken: seconds or HH:MM:SS")
    parser.add_argument("--crop", default="auto", help="auto, none, or W:H:X:Y")
    parser.add_argument("--fit", default="crop", choices=["crop", "pad", "stretch"])
    parser.add_argument("--deinterlace", default="auto", choices=["auto", "on", "fields", "off"])
    parser.add_argument("--damaged", default="refuse", choices=["refuse", "use"])


def film_parser():
    """The command line of this step."""
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--frames", required=True, help="the frames file to write")
    parser.add_argument("--hwaccel", default="none", help="none, auto, or cuda, vaapi, videotoolbox, ... as ffmpeg calls it")
    parser.add_argument("--audio", default="auto", help="the soundtrack that results will have: checked to be there")
    parser.add_argument("--sha256", help="the SHA-256 that the film file has, if it is the right one")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="processor cores to use")
    add_film_options(parser)
    return parser


if __name__ == "__main__":
    run_command(main, film_parser())
