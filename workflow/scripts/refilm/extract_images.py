"""Make frames of a folder of images: each image is one frame, in natural order, written as HDF5.

python -m refilm.extract_images --source 'stills/*.png' --fps 24 --frames results/frames/256x144/stills.h5 --size 256x144
"""

import argparse
import json
import os
from pathlib import Path

from refilm.config.keys import FilmKeys, add_option
from refilm.config.recipe import parse_size
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.files import check_space
from refilm.core.provenance import film_record, made_by, provenance_text
from refilm.core.times import TimeSpan
from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import write_frames_from
from refilm.media.bars import Box, parse_crop_box
from refilm.media.images import ImageSequence, check_same_size, images_box, probe_images, render_images
from refilm.sources.images_index import images_digest
from refilm.sources.listing import image_files, parse_rate

_PIXEL_OPTIONS = ("start", "end", "crop", "fit")
_FILTER = "box average in float32"


def main(args: argparse.Namespace) -> None:
    size, name = parse_size(args.size, "--size"), Path(args.frames).stem
    span = TimeSpan.parse(args.start, args.end)
    files = image_files(args.source)
    digest = images_digest(files, Path(args.index) if args.index else None)
    if not files or args.images not in (None, digest):
        raise RefilmError(f"{args.source}: the images changed after the plan was made: run the same command again")
    images = probe_images(files, parse_rate(args.fps, "fps"), args.threads)
    try:
        first, count = span.frame_range(images.fps, len(files))
        box = _selected_box(images, args.crop, args.threads)
    except RefilmError as error:
        raise RefilmError(f"film '{name}' ({args.source}): {error}") from error
    check_space(args.frames, count * size[0] * size[1] * 3)
    settings = {key: getattr(args, key) for key in _PIXEL_OPTIONS}
    record = film_record(
        name,
        args.source,
        made_by("extract_images", "h5py", "numpy", "pillow"),
        images=digest,
        size=args.size,
        fps=str(images.fps),
        crop=str(box or "none"),
        filter=_FILTER,
        settings=settings,
    )
    metadata = FrameMetadata(
        fps=images.fps,
        start_time=first / images.fps,
        source=args.source,
        crop=str(box or "none"),
        filter=_FILTER,
        details={"images": digest, "settings": json.dumps(settings)},
        made_of=args.made_of,
        provenance=provenance_text(record["made_by"], record),
    )
    frames = render_images(images, range(first, first + count), size, box, args.fit, args.threads, f"extract {name}")
    write_frames_from(args.frames, *size, metadata, frames)
    picture = f"picture {box} of {'x'.join(map(str, images.common_size))}" if box else "each image on its own"
    print(f"{args.frames}: {count} frames at {images.fps} frames/s, {picture}")


def _selected_box(images: ImageSequence, crop: str, threads: int) -> Box | None:
    """The part of every image that is taken; None for all of each, whatever its size."""
    if crop == "none":
        return None
    check_same_size(images)
    return images_box(images, threads) if crop == "auto" else parse_crop_box(crop, *images.common_size)


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--source", required=True, help="a folder, or a pattern of images in quotes")
    parser.add_argument("--fps", required=True, help="frames per second, such as 24 or 24000/1001")
    parser.add_argument("--frames", required=True, help="the frames file to write")
    parser.add_argument("--size", required=True, help="WIDTHxHEIGHT of the frames in pixels")
    for key in _PIXEL_OPTIONS:
        add_option(parser, FilmKeys, key)
    parser.add_argument("--index", help="a file that remembers the digest of each image")
    parser.add_argument("--images", help="the number of images and a digest of them when the plan was made")
    parser.add_argument("--made-of", default="", help="text of the plan, which is kept in the file")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="processor cores to use")
    run_command(main, parser)
