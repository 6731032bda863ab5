"""Train the predictor of a model, which knows in which order the latents of its films come. Killed at any moment, the same
command continues.

    python -m refilm.train_predictor --latents results/latents/bikes_by_bikes.h5 --frames results/frames/256x144/bikes.h5
        --model results/models/bikes/model.safetensors --recipe "$(cat results/predictors/bikes/recipe.json)"
        --predictor results/predictors/bikes/predictor.safetensors

The frames say where the shots are; those that the model has held out, the predictor does not see either. The predictor is
kept under trained/ beside --predictor, which becomes a link to it. Beside it are training.csv, training.png, previews/,
recipe.json and state/, as beside a model.
"""

import argparse
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from refilm import layout
from refilm.config.keys import GlobalKeys, add_option
from refilm.config.model_folder import ModelFolder
from refilm.config.predictor_recipe import PredictorRecipe
from refilm.config.recipe import metadata_of_model, training_key_of
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.files import copy_file
from refilm.core.provenance import KEY
from refilm.frames.latents import LatentStore
from refilm.frames.shots import find_shots
from refilm.frames.store import FrameStore
from refilm.models.base import Model
from refilm.models.device import choose_device
from refilm.models.inference import decode_frames
from refilm.models.model_file import load_model, save_weights
from refilm.models.pixel_energy import pixel_energy
from refilm.models.predictor import CONTEXT, Predictor, continue_latents
from refilm.models.provenance import text_of_predictor
from refilm.rendering.curves import draw_curves
from refilm.rendering.previews import write_preview
from refilm.train_model import FileCallbacks, show_again
from refilm.training.checkpoint import StateFolder
from refilm.training.predictor import train_predictor
from refilm.training.sampler import hold_out_shots
from refilm.training.sequences import LatentSequences

_ENERGY_FRAMES = 128
_PREVIEW_FRAMES, _PREVIEW_SECONDS = 8, 4  # of a dream, from the middle of the first film


def main(args: argparse.Namespace) -> None:
    recipe, folder = PredictorRecipe.from_json(args.recipe), ModelFolder(args.predictor)
    with StateFolder(folder.folder, recipe).locked():
        kept = folder.find(recipe)
        if kept:
            show_again(recipe, folder, metadata_of_model(kept).get(KEY, ""))
            print(f"{folder.model}: trained before: linked to {kept}")
        else:
            kept = _train(args, recipe, folder)
        folder.link(kept)


def _train(args: argparse.Namespace, recipe: PredictorRecipe, folder: ModelFolder) -> Path:
    """Train to the end, keep the predictor under trained/, and return its path."""
    if not args.latents:
        raise RefilmError(f"{folder.file(recipe)}: this predictor was deleted a moment ago: run the same command again")
    if len(args.latents) != len(args.frames):
        raise RefilmError("--latents and --frames: give as many of each, in the same order")
    _check_model(args.model, recipe)
    device = choose_device(args.device)
    model = load_model(args.model, device)
    with ExitStack() as stack:
        stores = [stack.enter_context(LatentStore(file)) for file in args.latents]
        films = [stack.enter_context(FrameStore(file)) for file in args.frames]
        for latents, film in zip(stores, films, strict=True):
            latents.check_model(model.recipe.latent_dim, args.model)
            latents.check_film(film, model.recipe.size)
        shots = [find_shots(film) for film in films]
        fraction = model.recipe.holdout_fraction
        held_out = [hold_out_shots(own, fraction, model.recipe.seed) if fraction else np.empty(0, int) for own in shots]
        sequences = LatentSequences([store[:] for store in stores], shots, held_out, recipe.seed)
        if sequences.changes() < 2:
            raise RefilmError(f"{args.latents[0]}: no shot with three frames to learn from: give a film that moves")
        provenance = text_of_predictor(recipe, args.model, [store.attributes for store in stores])
        previewer = Previewer(model, stores[0])

        def show(step: int, total: int, predictor: Predictor) -> None:
            rows = previewer.rows(predictor)
            previews, name = folder.folder / layout.PREVIEWS, folder.folder.name
            write_preview(previews, step, total, rows, name, recipe.state_key(), provenance(step))

        def energy() -> torch.Tensor:
            rows = sequences.trained()
            return pixel_energy(model, rows[:: max(1, len(rows) // _ENERGY_FRAMES)][:_ENERGY_FRAMES])

        callbacks = stack.enter_context(FileCallbacks(folder, recipe, args.tensorboard, provenance))
        trainer = train_predictor(recipe, sequences, energy, folder.folder, device, callbacks, show)
    log = folder.folder / layout.TRAINING_LOG
    copy_file(log, folder.log(recipe))
    save_weights(folder.file(recipe), trainer.ema, recipe, trainer.step, provenance(trainer.step))
    draw_curves(log, folder.folder / layout.TRAINING_CURVES, folder.folder.name, provenance(trainer.step))
    print(f"{folder.model}: trained for {trainer.step} steps on {len(sequences):,} frames")
    return folder.file(recipe)


def _check_model(model: Path | str, recipe: PredictorRecipe) -> None:
    """Raises RefilmError if the model is another than that of the recipe, but for the length of its training."""
    known = metadata_of_model(model).get("recipe")
    if known is None or training_key_of(known).partition("-")[0] != recipe.model.partition("-")[0]:
        raise RefilmError(f"{model}: not the model whose films the predictor is trained on: give {recipe.model}")


class Previewer:
    """Eight frames of the film, as the model reconstructs it, above what the predictor dreams instead of them."""

    def __init__(self, model: Model, latents: LatentStore):
        self.model = model
        spacing = round(_PREVIEW_SECONDS * (latents.fps or 24) / _PREVIEW_FRAMES)
        self.spacing = max(1, min(spacing, len(latents) // (2 * _PREVIEW_FRAMES)))
        start = len(latents) // 2
        self.context = latents[max(0, start - CONTEXT) : start]
        self._film = self._decode(latents[start : start + _PREVIEW_FRAMES * self.spacing])

    def rows(self, predictor: Predictor) -> dict[str, np.ndarray]:
        """Rows of frames uint8 (n, H, W, 3) by name."""
        dream = islice(continue_latents(predictor, self.context), len(self._film) * self.spacing)
        return {"film": self._film, "dream": self._decode(np.stack(list(dream)))}

    def _decode(self, latents: np.ndarray) -> np.ndarray:
        return decode_frames(self.model, latents, range(self.spacing - 1, len(latents), self.spacing))


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--latents", required=True, nargs="*", help="latents of the model's films, by this model")
    parser.add_argument("--frames", required=True, nargs="*", help="frames files of the same films, in the same order")
    parser.add_argument("--model", required=True, help="the model, whose held-out shots are held out here as well")
    parser.add_argument("--recipe", required=True, help="everything that decides the weights, as JSON")
    parser.add_argument("--predictor", required=True, help="the predictor file to write; its folder holds the rest")
    for key in ("device", "tensorboard"):
        add_option(parser, GlobalKeys, key)
    run_command(main, parser)
