"""A still: the frame of a film at a moment, beside its reconstruction.

python -m refilm.render_moment --frames results/frames/256x144/bikes.h5 --latents results/latents/bikes_by_bikes.h5
    --model results/models/bikes/model.safetensors --title Bikes --by Bikes --at 00:00:04
    --still results/stills/bikes_by_bikes@00-00-04.png
"""

import argparse

from PIL.PngImagePlugin import PngInfo

from refilm.config.keys import GlobalKeys, add_option
from refilm.core.command_line import command_parser, run_command
from refilm.core.files import atomic_write
from refilm.core.provenance import KEY, made_by
from refilm.core.times import frame_at
from refilm.frames.latents import LatentStore
from refilm.frames.store import FrameStore
from refilm.models.device import choose_device
from refilm.models.inference import decode_frames
from refilm.models.model_file import load_model
from refilm.models.pictures import add_reconstruction_options
from refilm.models.provenance import text_of_decoded
from refilm.rendering.comparison import Arrangement, labels_of
from refilm.rendering.upscale import upscaled_size


def main(args: argparse.Namespace) -> None:
    with FrameStore(args.frames) as film, LatentStore(args.latents) as latents:
        model = load_model(args.model, choose_device(args.device))
        latents.check_model(model.recipe.latent_dim, args.model)
        latents.check_film(film, model.recipe.size)
        frame = frame_at(args.at, film.fps, len(film))
        pictures = [film.read([frame])[0], decode_frames(model, latents, [frame])[0]]
        arrangement = Arrangement(2, "row", *upscaled_size((film.width, film.height), args.height))
        still = arrangement.draw(pictures, arrangement.draw_labels(labels_of(args.title, [args.by])))
        written_by, info = made_by("render_moment", "torch", "pillow"), PngInfo()
        info.add_text(KEY, text_of_decoded(written_by, film.attributes, [latents.attributes], [args.model]))
        with atomic_write(args.still) as partial:
            still.save(partial, pnginfo=info)
    print(f"{args.still}: frame {frame}")


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    add_reconstruction_options(parser)
    parser.add_argument("--at", required=True, help="the moment, HH:MM:SS from the first frame")
    parser.add_argument("--still", required=True, help="the PNG to write")
    parser.add_argument("--height", type=int, default=720, help="height of each picture in pixels (default: 720)")
    add_option(parser, GlobalKeys, "device")
    run_command(main, parser)
