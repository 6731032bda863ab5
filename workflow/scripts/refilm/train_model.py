"""Train a model on frames files. Killed at any moment, the same command continues.

    python -m refilm.train_model --frames results/frames/256x144/bikes.h5 --recipe "$(cat results/models/bikes/recipe.json)"
        --model results/models/bikes/model.safetensors

The model is kept under trained/ beside --model, which becomes a link to it: what was trained before is linked again. So is
what it was after the steps of --keep. Beside it are training.csv, training.png, previews/, recipe.json, tensorboard/ if
requested, and state/, from which a killed training continues. While another process trains the model, this one waits for its
end.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pandas as pd

from refilm import layout
from refilm.config.keys import GlobalKeys, add_option
from refilm.config.model_folder import ModelFolder
from refilm.config.recipe import Recipe, Training
from refilm.config.shared_training import fetch_training, share_training
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.files import atomic_write, copy_file
from refilm.models.base import Model
from refilm.models.device import choose_device
from refilm.models.model_file import load_initial_model, save_model
from refilm.models.provenance import text_of_model, text_of_training
from refilm.rendering.curves import diagnose, draw_curves
from refilm.rendering.previews import switch_previews, write_now, write_now_clip, write_preview
from refilm.rendering.tensorboard import TensorBoardLogger
from refilm.training.checkpoint import StateFolder
from refilm.training.distributed import check_shards, is_worker, local_device, spawn_processes
from refilm.training.log import Row
from refilm.training.loop import train
from refilm.training.now import Now, NowClip
from refilm.training.recorder import Preview, TrainingCallbacks
from refilm.training.trainer import Trainer

_SECONDS_BETWEEN_CURVES = 60.0


def main(args: argparse.Namespace) -> None:
    recipe, folder = Recipe.from_json(args.recipe), ModelFolder(args.model)
    if is_worker():
        _train(args, recipe, folder)
        return
    with StateFolder(folder.folder, recipe).locked():
        kept = folder.find(recipe)
        if kept:
            show_again(recipe, folder, text_of_model(kept))
            print(f"{folder.model}: trained before: linked to {kept}")
        else:
            fetch_training(folder, recipe)
            folder.inherit_early(recipe)
            kept = _train(args, recipe, folder)
            share_training(folder, recipe)
        folder.link(kept)


def _train(args: argparse.Namespace, recipe: Recipe, folder: ModelFolder) -> Path:
    """Train to the end, keep the model under trained/, and return its path."""
    if not args.frames:
        raise RefilmError(f"{folder.file(recipe)}: this model was deleted a moment ago: run the same command again")
    device, films = choose_device(args.device, args.gpus), [Path(file) for file in args.frames]
    check_shards(recipe, args.gpus, device, args.device)
    initial = load_initial_model(args.initial, recipe)
    provenance = text_of_training(folder.folder.name, recipe, films, args.initial if initial else "")
    with spawn_processes(args.gpus, device) as group, ExitStack() as stack:
        callbacks = TrainingCallbacks()
        if group.is_main:
            callbacks = stack.enter_context(FileCallbacks(folder, recipe, args.tensorboard, provenance))
            callbacks.keep, callbacks.preview_films = args.keep, [Path(file) for file in args.preview_frames]
        device = local_device(device)
        trainer = train(recipe, films, folder.folder, device, callbacks, args.compile, group, initial)
    if group.is_main:
        _finish(trainer, folder, provenance(trainer.step))
    return folder.file(recipe)


def _finish(trainer: Trainer, folder: ModelFolder, provenance: str) -> None:
    """Keep the model and the log of its training, and report what is not as it should be."""
    log, picture = folder.folder / layout.TRAINING_LOG, folder.folder / layout.TRAINING_CURVES
    copy_file(log, folder.log(trainer.recipe))
    save_model(folder.file(trainer.recipe), trainer.ema, trainer.step, provenance)
    draw_curves(log, picture, folder.folder.name, provenance)
    print(f"{folder.model}: trained for {trainer.step} steps")
    for title, problem in diagnose(pd.read_csv(log)).items():
        print(f"{picture}: {title}: {problem}")


def show_again(recipe: Training, folder: ModelFolder, provenance: str) -> None:
    """Let what is beside a model or a predictor be that of its own training, after another recipe was trained here."""
    with FileCallbacks(folder, recipe, False, lambda _step: provenance) as callbacks:
        callbacks.on_start()
        if folder.log(recipe).exists():
            copy_file(folder.log(recipe), callbacks.log)
            draw_curves(callbacks.log, callbacks.curves, folder.folder.name, provenance)


class FileCallbacks(TrainingCallbacks):
    """Writes recipe.json, previews, curves, early models and TensorBoard events while a model trains.

    Use as a context manager. provenance: from a step to the text of what shows the model after it.
    """

    def __init__(self, model: ModelFolder, recipe: Training, tensorboard: bool, provenance: Callable[[int], str]):
        folder = model.folder
        self.model, self.folder, self.recipe, self.previews = model, folder, recipe, folder / layout.PREVIEWS
        self.provenance = provenance
        self.log, self.curves = folder / layout.TRAINING_LOG, folder / layout.TRAINING_CURVES
        self.tensorboard = TensorBoardLogger(folder / layout.TENSORBOARD, self.log, self.previews) if tensorboard else None
        self._drawn = -math.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self.tensorboard:
            self.tensorboard.close()

    def on_start(self) -> None:
        text = json.dumps(json.loads(self.recipe.to_json()), indent=2, sort_keys=True) + "\n"
        with atomic_write(self.folder / layout.RECIPE) as partial:
            partial.write_text(text, encoding="utf-8")
        switch_previews(self.previews, self.recipe.state_key())

    def on_preview(self, preview: Preview) -> None:
        sheet = write_preview(
            self.previews,
            preview.step,
            preview.total,
            preview.rows,
            self.folder.name,
            self.recipe.state_key(),
            self.provenance(preview.step),
        )
        if self.tensorboard:
            self.tensorboard.add_sheet(preview.step, sheet)

    def on_now(self, now: Now) -> None:
        name, provenance = self.folder.name, self.provenance(now.step)
        step = f"step {now.step:,} of {now.total:,}"
        write_now(self.previews, now.rows, now.others, name, step, self.recipe.state_key(), provenance)

    def on_clip(self, clip: NowClip) -> None:
        step = f"step {clip.step:,} of {clip.total:,}"
        write_now_clip(self.previews, clip.films, clip.fps, self.folder.name, step, self.provenance(clip.step))

    def on_keep(self, step: int, model: Model) -> None:
        save_model(self.model.early_file(self.recipe, step), model, step, self.provenance(step))

    def on_row(self, row: Row) -> None:
        if self.tensorboard:
            self.tensorboard.add_row(row)
        if time.monotonic() - self._drawn > _SECONDS_BETWEEN_CURVES:
            draw_curves(self.log, self.curves, self.folder.name, self.provenance(int(row["step"])))
            self._drawn = time.monotonic()


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--frames", required=True, nargs="*", help="frames files of the model's films")
    parser.add_argument("--preview-frames", nargs="*", default=[], help="frames files of other films, to be shown")
    parser.add_argument("--initial", default="", help="the model from whose weights the recipe starts, if it names one")
    parser.add_argument("--recipe", required=True, help="everything that decides the weights, as JSON")
    parser.add_argument("--model", required=True, help="the model file to write; its folder holds the rest")
    parser.add_argument("--keep", type=int, action="append", default=[], help="a step after which the model is kept, too")
    for key in ("device", "gpus", "compile", "tensorboard"):
        add_option(parser, GlobalKeys, key)
    run_command(main, parser)
