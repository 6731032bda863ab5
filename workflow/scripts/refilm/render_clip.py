"""A GIF or WebP of a part of a film: the original beside its reconstruction, in a loop, to be sent or put on a page.

python -m refilm.render_clip --frames results/frames/256x144/bikes.h5 --latents results/latents/bikes_by_bikes.h5
    --model results/models/bikes/model.safetensors --title Bikes --by Bikes --start 00:00:01 --end 00:00:03
    --clip results/clips/bikes_by_bikes@00-00-01_to_00-00-03.gif
"""

import argparse
from pathlib import Path

from refilm.config.keys import GlobalKeys, add_option
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.provenance import made_by
from refilm.core.times import TimeSpan
from refilm.frames.latents import LatentStore
from refilm.frames.store import FrameStore
from refilm.models.device import choose_device
from refilm.models.inference import decode_latents
from refilm.models.model_file import load_model
from refilm.models.provenance import text_of_decoded
from refilm.rendering.animation import write_animation
from refilm.rendering.comparison import Arrangement, labels_of, side_by_side
from refilm.rendering.upscale import upscaled_size

_MAX_SECONDS = 30  # all of whose pictures are in memory
_CHUNK = 16  # frames of the original read at once


def main(args: argparse.Namespace) -> None:
    with FrameStore(args.frames) as film, LatentStore(args.latents) as latents:
        model = load_model(args.model, choose_device(args.device))
        latents.check_model(model.recipe.latent_dim, args.model)
        latents.check_film(film, model.recipe.size)
        first, count = TimeSpan.parse(args.start, args.end).frame_range(film.fps, len(film))
        if count / film.fps > _MAX_SECONDS:
            raise RefilmError(f"{args.clip}: {float(count / film.fps):.0f} s are too long: at most {_MAX_SECONDS} s fit")
        pictures = [film.batches(_CHUNK, first, first + count), decode_latents(model, latents, first, first + count)]
        arrangement = Arrangement(2, "row", *upscaled_size((film.width, film.height), args.height))
        labels = arrangement.draw_labels(labels_of(args.title, [args.by]))
        drawn = [arrangement.draw(frames, labels) for frames in side_by_side(pictures)]
        written_by = made_by("render_clip", "torch", "pillow")
        provenance = text_of_decoded(written_by, film.attributes, [latents.attributes], [args.model])
        write_animation(args.clip, drawn, film.fps, provenance)
    print(f"{args.clip}: {count} frames, {Path(args.clip).stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--frames", required=True, help="frames file of the film")
    parser.add_argument("--latents", required=True, help="its latents")
    parser.add_argument("--model", required=True, help="the model that decodes them")
    parser.add_argument("--title", required=True, help="the film's title")
    parser.add_argument("--by", required=True, help="the model's title")
    parser.add_argument("--start", required=True, help="first moment, HH:MM:SS from the first frame")
    parser.add_argument("--end", required=True, help="end, HH:MM:SS")
    parser.add_argument("--clip", required=True, help="the .gif or .webp to write")
    parser.add_argument("--height", type=int, default=216, help="height of each picture in pixels (default: 216)")
    add_option(parser, GlobalKeys, "device")
    run_command(main, parser)
