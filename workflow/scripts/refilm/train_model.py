"""Frames train a model: a VAE/GAN, or its plain relatives. Killed at any moment, the same command continues.

    python -m refilm.train_model --frames results/frames/256x144/bikes.h5 --recipe "$(cat results/models/bikes/recipe.json)"
        --model results/models/bikes/model.safetensors

Beside the model: training.csv, training.png, previews/, recipe.json, and state/, from which a killed run continues.
"""

import json
from pathlib import Path

from refilm.networks.device import choose_device
from refilm.networks.model_file import save_model
from refilm.settings.errors import RefilmError, command_parser, run_command
from refilm.settings.files import partial_file
from refilm.settings.recipe import Recipe
from refilm.training.loop import Preview, train
from refilm.viewing.curves import draw_curves
from refilm.viewing.sheet import write_sheet


def main(args) -> None:
    recipe, model = Recipe.from_json(args.recipe), Path(args.model)
    if not args.frames:
        raise RefilmError(f"{model}: this model was trained already: the same command again restores it from its state")
    folder = model.parent
    folder.mkdir(parents=True, exist_ok=True)
    with partial_file(folder / "recipe.json") as partial:
        partial.write_text(json.dumps(json.loads(recipe.to_json()), indent=2, sort_keys=True) + "\n", encoding="utf-8")

    def show(preview: Preview) -> None:
        caption = f"step {preview.step:,} of {preview.total:,}"
        rows = {"film": preview.originals, folder.name: preview.rebuilt}
        write_sheet(folder / "previews" / f"step-{preview.step:09}.png", rows, caption)

    trainer = train(recipe, [Path(file) for file in args.frames], folder, choose_device(args.device), show)
    save_model(model, trainer.average, recipe, trainer.step)
    draw_curves(folder / "training.csv", folder / "training.png", folder.name)
    print(f"{model}: trained for {trainer.step} steps")


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--frames", required=True, nargs="*", help="frames files of the films that the model watches")
    parser.add_argument("--recipe", required=True, help="all that decides the weights, as JSON")
    parser.add_argument("--model", required=True, help="the model file to write; its folder keeps the rest")
    parser.add_argument("--device", default="auto", choices=["auto", "cuda", "mps", "cpu"])
    run_command(main, parser)
