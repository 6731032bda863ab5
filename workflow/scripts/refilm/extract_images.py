"""A folder of images becomes frames: every image one, in the order that a person means, into HDF5.

python -m refilm.extract_images --source 'stills/*.png' --fps 24 --frames results/frames/256x144/stills.h5 --size 256x144
"""

import json
import os
from pathlib import Path

from refilm.config.recipe import parse_size
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.files import check_space
from refilm.core.times import frame_range, parse_time
from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import write_frames_from
from refilm.media.bars import Box, parse_crop_box
from refilm.media.stills import ImageSequence, check_alike, probe_stills, render_stills, still_box
from refilm.sources.listing import image_files, images_digest, parse_rate


def main(args) -> None:
    width, height = parse_size(args.size, "--size")
    name = Path(args.frames).stem
    start, end = (value and parse_time(value, key) for value, key in ((args.start, "start"), (args.end, "end")))
    files = image_files(args.source)
    digest = images_digest(files)
    if not files or args.images not in (None, digest):
        raise RefilmError(f"{args.source}: the images are not those that were planned for: run the same command again")
    stills = probe_stills(files, parse_rate(args.fps, "fps"), args.threads)
    try:
        first, count = frame_range(start, end, stills.fps, len(files))
        box = _seen(stills, args.crop, args.threads)
    except RefilmError as error:
        raise RefilmError(f"film '{name}' ({args.source}): {error}") from error
    check_space(args.frames, count * width * height * 3)
    metadata = FrameMetadata(
        fps=stills.fps,
        start_time=first / stills.fps,
        source=args.source,
        crop=str(box or "none"),
        filter="box average in float32",
        details={
            "images": digest,
            "settings": json.dumps({"start": args.start, "end": args.end, "crop": args.crop, "fit": args.fit}),
        },
    )
    frames = render_stills(stills, first, count, (width, height), box, args.fit, args.threads, f"extract {name}")
    write_frames_from(args.frames, width, height, metadata, frames)
    shape = f"picture {box} of {'x'.join(map(str, stills.usual_size))}" if box else "each image by itself"
    print(f"{args.frames}: {count} frames at {stills.fps} frames/s, {shape}")


def _seen(stills: ImageSequence, crop: str, threads: int) -> Box | None:
    """The part of every image that is seen; None for all of each, whatever its size."""
    if crop == "none":
        return None
    check_alike(stills)
    return still_box(stills, threads) if crop == "auto" else parse_crop_box(crop, *stills.usual_size)


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--source", required=True, help="a folder, or a pattern of images in quotes")
    parser.add_argument("--fps", required=True, help="frames a second, such as 24 or 24000/1001")
    parser.add_argument("--frames", required=True, help="the frames file to write")
    parser.add_argument("--size", required=True, help="WIDTHxHEIGHT of the frames in pixels")
    parser.add_argument("--start", help="first moment taken: seconds or HH:MM:SS")
    parser.add_argument("--end", help="end of what is taken: seconds or HH:MM:SS")
    parser.add_argument("--crop", default="auto", help="auto, none, or W:H:X:Y")
    parser.add_argument("--fit", default="crop", choices=["crop", "pad", "stretch"])
    parser.add_argument("--images", help="how many images there should be and a sum of their names, as the plan saw them")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="processor cores to use")
    run_command(main, parser)
