"""A film of a training: the same frames at every preview, beside the originals where the model reconstructs.

python -m refilm.render_training --model results/models/bikes/model.safetensors --title Bikes
    --film results/models/bikes/training.mp4
"""

import argparse
from pathlib import Path

import numpy as np

from refilm import layout
from refilm.config.keys import VideoKeys, add_option
from refilm.config.model_folder import ModelFolder
from refilm.config.recipe import Recipe, metadata_of_model
from refilm.config.shared_training import fetch_training
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.provenance import made_by
from refilm.media.encode import encode_video
from refilm.media.ffmpeg import version
from refilm.models.provenance import text_of_model
from refilm.rendering.previews import read_previews, switch_previews
from refilm.rendering.sheet import Rows
from refilm.rendering.training_film import FPS, SIZE, TrainingFilm


def main(args: argparse.Namespace) -> None:
    previews = _previews_of(args.model)
    originals, pictures = _split(previews[-1][1])
    film = TrainingFilm(
        args.title,
        originals,
        [(step, made) for step, rows in previews if (made := _split(rows)[1]).shape == pictures.shape],
    )
    provenance = text_of_model(args.model, made_by("render_training", "pillow", ffmpeg=version()))
    what = f"training of {args.title}"
    encode_video(args.film, film.frames(), len(film), SIZE, FPS, args.crf, None, what, provenance=provenance)
    print(f"{args.film}: {len(film.previews)} previews up to step {film.previews[-1][0]:,}")


def _previews_of(model: str) -> list[tuple[int, Rows]]:
    """(step, rows) of the previews of the training that made the model, at least one."""
    folder, metadata = Path(model).parent / layout.PREVIEWS, metadata_of_model(model)
    if "recipe" not in metadata:
        raise RefilmError(f"{model}: not a model of refilm: give the model.safetensors of a training")
    recipe = Recipe.from_json(metadata["recipe"])
    fetch_training(ModelFolder(model), recipe)
    switch_previews(folder, recipe.state_key())
    previews = read_previews(folder, recipe.state_key(), int(metadata["steps"]))
    if not previews:
        raise RefilmError(f"{folder}: there are no previews of this training: train the model again to have them")
    return previews


def _split(rows: Rows) -> tuple[np.ndarray | None, np.ndarray]:
    """(originals, frames of the model) of a preview; originals are None for a model that does not reconstruct."""
    return (rows["film"], rows["reconstruction"]) if "film" in rows else (None, rows["sample"])


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="the trained model; its folder has the previews")
    parser.add_argument("--title", required=True, help="the model's title")
    parser.add_argument("--film", required=True, help="the MP4 to write")
    add_option(parser, VideoKeys, "crf")
    run_command(main, parser)
