"""Frames train a model: a VAE/GAN, or its plain relatives. Killed at any moment, the same command continues.

    python -m refilm.train_model --frames results/frames/256x144/bikes.h5 --recipe "$(cat results/models/bikes/recipe.json)"
        --model results/models/bikes/model.safetensors

Beside the model: training.csv, training.png, previews/, recipe.json, tensorboard/ where that is wanted, and state/, from
which a killed run continues.
"""

import json
import math
import time
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import torch

from refilm.config.recipe import Recipe
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.files import atomic_write
from refilm.models.device import choose_device
from refilm.models.model_file import save_model
from refilm.rendering.curves import diagnose, draw_curves
from refilm.rendering.previews import archive_other_recipes, write_preview
from refilm.rendering.tensorboard import TensorBoardLogger
from refilm.training.checkpoint import StateFolder
from refilm.training.distributed import ProcessGroup, check_shares, local_device, spawn_processes
from refilm.training.loop import Preview, train
from refilm.training.trainer import Trainer

_DRAWN_EVERY = 60.0  # seconds


def main(args) -> None:
    recipe, model = Recipe.from_json(args.recipe), Path(args.model)
    if not args.frames:
        kept = StateFolder(model.parent / "state", recipe).latest() is not None
        again = "restores it from its state" if kept else "trains it anew, for its state is gone"
        raise RefilmError(f"{model}: this model was trained already: the same command again {again}")
    device, films, folder = choose_device(args.device), [Path(file) for file in args.frames], model.parent
    check_shares(recipe, args.gpus, device, args.device)
    with spawn_processes(args.gpus, device) as processes:
        if processes.number:
            train(recipe, films, folder, local_device(device), lambda _preview: None, processes=processes)
        else:
            trainer = _train(args, recipe, films, folder, local_device(device), processes)
    if processes.number:
        return
    save_model(model, trainer.average, recipe, trainer.step)
    draw_curves(folder / "training.csv", folder / "training.png", folder.name)
    print(f"{model}: trained for {trainer.step} steps")
    for title, said in diagnose(pd.read_csv(folder / "training.csv")).items():
        print(f"{folder / 'training.png'}: {title}: {said}")


def _train(args, recipe: Recipe, films: list[Path], folder: Path, device: torch.device, processes: ProcessGroup) -> Trainer:
    """The training, with all that is written while it goes on."""
    previews, key = folder / "previews", recipe.state_key()
    drawn = -math.inf
    events = TensorBoardLogger(folder / "tensorboard", folder / "training.csv", previews) if args.tensorboard else None

    def begin() -> None:
        with atomic_write(folder / "recipe.json") as partial:
            partial.write_text(json.dumps(json.loads(recipe.to_json()), indent=2, sort_keys=True) + "\n", encoding="utf-8")
        archive_other_recipes(previews, key)

    def show(preview: Preview) -> None:
        rows = {"film": preview.originals, "reconstruction": preview.rebuilt}
        sheet = write_preview(previews, preview.step, preview.total, rows, folder.name, key)
        if events:
            events.add_sheet(preview.step, sheet)

    def watch(row: dict) -> None:
        nonlocal drawn
        if events:
            events.add_row(row)
        if time.monotonic() - drawn > _DRAWN_EVERY:
            draw_curves(folder / "training.csv", folder / "training.png", folder.name)
            drawn = time.monotonic()

    with events or nullcontext():
        return train(recipe, films, folder, device, show, args.compile, processes, watch, begin)


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--frames", required=True, nargs="*", help="frames files of the films that the model watches")
    parser.add_argument("--recipe", required=True, help="all that decides the weights, as JSON")
    parser.add_argument("--model", required=True, help="the model file to write; its folder keeps the rest")
    parser.add_argument("--device", default="auto", choices=["auto", "cuda", "mps", "cpu"])
    parser.add_argument("--gpus", type=int, default=1, help="how many GPUs of this machine share the training")
    parser.add_argument("--compile", default="auto", choices=["auto", "true", "false"], help="whether to compile the step")
    parser.add_argument("--tensorboard", action="store_true", help="write events into tensorboard/ beside the model too")
    run_command(main, parser)
