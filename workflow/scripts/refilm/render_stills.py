"""A contact sheet: frames of a film above their reconstructions.

python -m refilm.render_stills --frames results/frames/256x144/bikes.h5 --latents results/latents/bikes_by_bikes.h5
    --model results/models/bikes/model.safetensors --title Bikes --by Bikes --sheet results/stills/bikes_by_bikes.png
"""

import argparse

from refilm.config.keys import GlobalKeys, add_option
from refilm.core.command_line import check_count, command_parser, run_command
from refilm.core.provenance import made_by
from refilm.core.sampling import evenly_spaced
from refilm.core.times import format_time
from refilm.frames.latents import LatentStore
from refilm.frames.store import FrameStore
from refilm.models.device import choose_device
from refilm.models.inference import decode_frames
from refilm.models.model_file import load_model
from refilm.models.provenance import text_of_decoded
from refilm.rendering.sheet import write_sheet


def main(args: argparse.Namespace) -> None:
    check_count(args.count)
    with FrameStore(args.frames) as film, LatentStore(args.latents) as latents:
        model = load_model(args.model, choose_device(args.device))
        latents.check_model(model.recipe.latent_dim, args.model)
        latents.check_film(film, model.recipe.size)
        indices = evenly_spaced(len(film), args.count)
        rows = {"original": film.read(indices), "reconstruction": decode_frames(model, latents, indices)}
        times = [format_time(n / film.fps) for n in indices]
        written_by = made_by("render_stills", "torch", "pillow")
        provenance = text_of_decoded(written_by, film.attributes, [latents.attributes], [args.model])
        remark = f"above, and below it as remembered by {args.by}"
        write_sheet(args.sheet, rows, args.title, remark, times, provenance=provenance)
    print(f"{args.sheet}: {len(indices)} frames")


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--frames", required=True, help="frames file of the film")
    parser.add_argument("--latents", required=True, help="its latents")
    parser.add_argument("--model", required=True, help="the model that decodes them")
    parser.add_argument("--title", required=True, help="the film's title")
    parser.add_argument("--by", required=True, help="the model's title")
    parser.add_argument("--sheet", required=True, help="the PNG to write")
    parser.add_argument("--count", type=int, default=16, help="number of frames (default: 16)")
    add_option(parser, GlobalKeys, "device")
    run_command(main, parser)
