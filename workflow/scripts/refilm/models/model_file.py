"""A trained model as one safetensors file: the weights, and in its metadata the recipe and the versions. No code."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

import refilm
from refilm.config.recipe import Recipe
from refilm.core.errors import RefilmError
from refilm.core.files import atomic_write
from refilm.models.base import Networks


def save_model(path: Path | str, networks: Networks, recipe: Recipe, steps: int) -> None:
    """Write the networks; the file appears under its name when it is whole."""
    metadata = {
        "format": "pt",
        "recipe": recipe.to_json(),
        "steps": str(steps),
        "refilm": refilm.__version__,
        "torch": torch.__version__,
    }
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in networks.state_dict().items()}
    with atomic_write(Path(path)) as partial:
        save_file(weights, partial, metadata)


def load_model(path: Path | str, device: torch.device) -> tuple[Networks, Recipe]:
    """The networks, ready to rebuild (no gradients), and their recipe. Raises RefilmError if it is no model."""
    try:
        with safe_open(path, "pt") as file:
            recipe = Recipe.from_json((file.metadata() or {}).get("recipe", "{}"))
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        networks = Networks(recipe)
        networks.load_state_dict(weights)
    except (SafetensorError, RuntimeError, json.JSONDecodeError, RefilmError) as error:
        raise RefilmError(f"{path}: this is not a model of this refilm: {' '.join(str(error).split())[:300]}") from error
    return networks.to(device).eval().requires_grad_(False), recipe
