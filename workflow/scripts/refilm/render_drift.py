"""A film of frames that a model makes of noise: a drift through its latent space that returns to where it started.

python -m refilm.render_drift --model results/models/bikes/model.safetensors --film results/samples/bikes.mp4

Played in a loop it has no seam.
"""

import argparse
from fractions import Fraction
from pathlib import Path

from refilm.config.keys import ComparisonKeys, GlobalKeys, VideoKeys, add_option
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.prefetch import prefetch
from refilm.core.provenance import made_by
from refilm.media.encode import encode_video
from refilm.media.ffmpeg import version
from refilm.models.device import choose_device
from refilm.models.model_file import load_model
from refilm.models.provenance import text_of_model
from refilm.rendering.samples import FPS, check_samples, closed_path, decode_path
from refilm.rendering.upscale import upscale, upscaled_size

_MAX_SECONDS = 3600


def main(args: argparse.Namespace) -> None:
    if not 0 < args.seconds <= _MAX_SECONDS:
        raise RefilmError(f"--seconds: {args.seconds} is not a valid length: it must be above 0 and at most {_MAX_SECONDS}")
    model = load_model(args.model, choose_device(args.device))
    check_samples(model, args.model)
    path = closed_path(args.seconds, model.recipe.latent_dim, args.seed)
    size = upscaled_size(model.recipe.size, args.height)
    encode_video(
        args.film,
        prefetch(decode_path(model, path)),
        len(path),
        model.recipe.size,
        Fraction(FPS),
        args.crf,
        None,
        f"drift {Path(args.film).stem}",
        lambda stream: upscale(stream, size),
        text_of_model(args.model, made_by("render_drift", "torch", ffmpeg=version())),
    )
    print(f"{args.film}: {len(path)} frames at {FPS} frames/s, seed {args.seed}")


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="the trained model")
    parser.add_argument("--film", required=True, help="the MP4 to write")
    parser.add_argument("--seconds", type=float, default=20, help="length of the loop (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the path")
    add_option(parser, ComparisonKeys, "height")
    add_option(parser, VideoKeys, "crf")
    add_option(parser, GlobalKeys, "device")
    run_command(main, parser)
