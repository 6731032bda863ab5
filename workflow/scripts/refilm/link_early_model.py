"""Link what a model was after so many steps of its training, which keeps it.

python -m refilm.link_early_model --recipe "$(cat results/models/bikes/recipe.json)"
    --model results/models/bikes/model.safetensors --step 500
"""

import argparse

from refilm.config.model_folder import ModelFolder
from refilm.config.recipe import Recipe
from refilm.config.shared_training import fetch_training
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError


def main(args: argparse.Namespace) -> None:
    recipe, folder = Recipe.from_json(args.recipe), ModelFolder(args.model)
    fetch_training(folder, recipe)
    kept = folder.find_early(recipe, args.step)
    if kept is None:
        raise RefilmError(
            f"{folder.early_file(recipe, args.step)}: the training did not keep its model after {args.step} steps: ask for "
            "a step that it kept"
        )
    folder.link(kept, args.step)
    print(f"{folder.early_link(args.step)}: linked to {kept}")


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--recipe", required=True, help="the recipe of the model, as JSON")
    parser.add_argument("--model", required=True, help="the model at the end of its training; its folder holds the rest")
    parser.add_argument("--step", required=True, type=int, help="the step after which it was kept")
    run_command(main, parser)
