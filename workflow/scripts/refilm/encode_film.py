"""Encode a film: every frame becomes latents, in order.

python -m refilm.encode_film --frames results/frames/256x144/bikes.h5 --model results/models/bikes/model.safetensors
    --latents results/latents/bikes_by_bikes.h5
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from refilm.config.keys import GlobalKeys, ReconstructionKeys, add_option
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.files import check_space
from refilm.core.progress import progress_bar
from refilm.core.provenance import KEY
from refilm.frames.latents import write_latents
from refilm.frames.store import FrameStore
from refilm.models.base import Model
from refilm.models.device import choose_device
from refilm.models.inference import encode_film
from refilm.models.model_file import load_model
from refilm.models.provenance import text_of_latents

_BYTES = 4  # of a float32


def main(args: argparse.Namespace) -> None:
    if not 0 <= args.noise < math.inf:
        raise RefilmError(f"--noise: {args.noise} is not a valid noise scale: it must be 0 or more")
    if args.search < 0:
        raise RefilmError(f"--search: {args.search} is not a valid number of steps: it must be 0 or more")
    model = load_model(args.model, choose_device(args.device))
    dim = model.recipe.latent_dim
    settings = {"noise": args.noise} | ({"search": args.search} if args.search else {})
    with FrameStore(args.frames) as film:
        _check_model(model, args.model, film)
        check_space(args.latents, len(film) * dim * _BYTES)
        attributes = film.metadata.shared_attributes()
        attributes |= {"model": args.model, "recipe": model.recipe.to_json(), **settings}
        attributes |= {KEY: text_of_latents(film.attributes, args.model, settings)}
        encoded = encode_film(model, film, args.noise, args.search)
        batches = _shown(encoded, len(film), f"encode {Path(args.latents).stem}")
        write_latents(args.latents, len(film), dim, attributes, batches, args.made_of)
        print(f"{args.latents}: {len(film)} frames as {dim} numbers each")


def _check_model(model: Model, path: str, film: FrameStore) -> None:
    """Raises RefilmError if the model cannot encode the frames."""
    recipe = model.recipe
    if not recipe.spec.reconstructs:
        raise RefilmError(f"{path}: recipe {recipe.recipe} does not reconstruct films: use a model of another recipe")
    if (film.width, film.height) != recipe.size:
        raise RefilmError(
            f"{film.path}: frames are {film.width}x{film.height}, but {path} was trained at {recipe.frame_size}: extract "
            "them at that size"
        )


def _shown(batches: Iterator[np.ndarray], count: int, what: str) -> Iterator[np.ndarray]:
    """The batches, with a progress bar."""
    with progress_bar(what, count, " frames") as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch))


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--frames", required=True, help="frames file of the film")
    parser.add_argument("--model", required=True, help="the model that encodes it")
    parser.add_argument("--latents", required=True, help="the latents file to write")
    parser.add_argument("--made-of", default="", help="text of the plan, which is kept in the file")
    add_option(parser, ReconstructionKeys, "noise")
    add_option(parser, ReconstructionKeys, "search")
    add_option(parser, GlobalKeys, "device")
    run_command(main, parser)
