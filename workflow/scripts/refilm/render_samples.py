"""A sheet of frames that a model makes of noise: draws from its prior, decoded.

python -m refilm.render_samples --model results/models/bikes/model.safetensors --title Bikes
    --sheet results/samples/bikes.png
"""

import argparse

from refilm.config.keys import GlobalKeys, add_option
from refilm.core.command_line import check_count, command_parser, run_command
from refilm.core.provenance import made_by
from refilm.models.device import choose_device
from refilm.models.inference import sample_prior
from refilm.models.model_file import load_model
from refilm.models.provenance import text_of_model
from refilm.rendering.samples import check_samples, independent_noise
from refilm.rendering.sheet import write_sheet

_COLUMNS = 8


def main(args: argparse.Namespace) -> None:
    check_count(args.count)
    model = load_model(args.model, choose_device(args.device))
    check_samples(model, args.model)
    frames = sample_prior(model, independent_noise(args.count, model.recipe.latent_dim, args.seed))
    provenance = text_of_model(args.model, made_by("render_samples", "torch", "pillow"))
    write_sheet(args.sheet, {"sample": frames}, args.title, "frames from noise", columns=_COLUMNS, provenance=provenance)
    print(f"{args.sheet}: {args.count} frames, seed {args.seed}")


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="the trained model")
    parser.add_argument("--title", required=True, help="its title")
    parser.add_argument("--sheet", required=True, help="the PNG to write")
    parser.add_argument("--count", type=int, default=64, help="number of frames (default: 64)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the noise; a frame depends on it and on its number")
    add_option(parser, GlobalKeys, "device")
    run_command(main, parser)
