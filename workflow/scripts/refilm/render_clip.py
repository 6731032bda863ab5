"""A GIF or WebP of a part of a film: the original beside its reconstruction, in a loop, to be sent or put on a page.

python -m refilm.render_clip --frames results/frames/256x144/bikes.h5 --latents results/latents/bikes_by_bikes.h5
    --model results/models/bikes/model.safetensors --title Bikes --by Bikes --start 00:00:01 --end 00:00:03
    --clip results/clips/bikes_by_bikes@00-00-01_to_00-00-03.gif
"""

import argparse
from contextlib import ExitStack
from pathlib import Path

from refilm.config.keys import GlobalKeys, add_option
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.provenance import made_by
from refilm.core.times import TimeSpan
from refilm.frames.store import FrameStore
from refilm.layout import MAX_CLIP_SECONDS
from refilm.models.device import choose_device
from refilm.models.pictures import add_reconstruction_options, film_and_reconstructions
from refilm.models.provenance import text_of_decoded
from refilm.rendering.animation import write_animation
from refilm.rendering.comparison import Arrangement, labels_of, side_by_side
from refilm.rendering.upscale import upscaled_size


def main(args: argparse.Namespace) -> None:
    with ExitStack() as stack:
        film = stack.enter_context(FrameStore(args.frames))
        first, count = TimeSpan.parse(args.start, args.end).frame_range(film.fps, len(film))
        if count / film.fps > MAX_CLIP_SECONDS:
            raise RefilmError(f"{args.clip}: {float(count / film.fps):.0f} s are too long: at most {MAX_CLIP_SECONDS} s fit")
        device, end = choose_device(args.device), first + count
        pictures, encoded = film_and_reconstructions(stack, film, [args.latents], [args.model], device, first, end)
        arrangement = Arrangement(2, "row", *upscaled_size((film.width, film.height), args.height))
        labels = arrangement.draw_labels(labels_of(args.title, [args.by]))
        drawn = [arrangement.draw(frames, labels) for frames in side_by_side(pictures)]
        written_by = made_by("render_clip", "torch", "pillow")
        provenance = text_of_decoded(written_by, film.attributes, encoded, [args.model])
        write_animation(args.clip, drawn, film.fps, provenance)
    print(f"{args.clip}: {count} frames, {Path(args.clip).stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    add_reconstruction_options(parser)
    parser.add_argument("--start", required=True, help="first moment, HH:MM:SS from the first frame")
    parser.add_argument("--end", required=True, help="end, HH:MM:SS")
    parser.add_argument("--clip", required=True, help="the .gif or .webp to write")
    parser.add_argument("--height", type=int, default=216, help="height of each picture in pixels (default: 216)")
    add_option(parser, GlobalKeys, "device")
    run_command(main, parser)
