"""A trained model, or a predictor, as one safetensors file: weights, and in its metadata recipe and provenance. No code."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

import refilm
from refilm.config.recipe import Recipe, Training, metadata_of_model, training_key_of
from refilm.core.errors import RefilmError
from refilm.core.files import atomic_write, check_exists
from refilm.core.provenance import KEY
from refilm.models.base import Model
from refilm.models.registry import build_model
from refilm.models.tensor_file import save_tensors


def save_model(path: Path | str, model: Model, steps: int, provenance: str = "") -> None:
    """Write the weights of a model, as `save_weights` does."""
    save_weights(path, model, model.recipe, steps, provenance)


def save_weights(path: Path | str, network: nn.Module, recipe: Training, steps: int, provenance: str = "") -> None:
    """Write the weights of a trained network; the file appears under its name when it is complete.

    recipe, steps: kept in the metadata, with provenance, text of `refilm.core.provenance`.
    """
    metadata = {
        "format": "pt",
        "recipe": recipe.to_json(),
        "steps": str(steps),
        "refilm": refilm.__version__,
        "torch": torch.__version__,
    } | ({KEY: provenance} if provenance else {})
    with atomic_write(Path(path)) as partial:
        save_tensors(partial, network.state_dict(), metadata)


@contextmanager
def read_weights(path: Path | str, what: str) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """(recipe as JSON, weights) of a file that `save_weights` wrote. Raises RefilmError where the file, or the network that
    the block makes of it, is not `what` in this version."""
    check_exists(path)
    try:
        with safe_open(path, "pt") as file:
            recipe = (file.metadata() or {}).get("recipe", "{}")
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        yield recipe, weights
    except (SafetensorError, RuntimeError, KeyError, ValueError, RefilmError) as error:
        raise RefilmError(f"{path}: not a {what} of this version of refilm: {' '.join(str(error).split())[:300]}") from error


def load_initial_model(path: Path | str, recipe: Recipe) -> Model | None:
    """The model on the CPU from whose weights a recipe starts, or None. Raises RefilmError if the file is another one."""
    if recipe.initial_model is None:
        return None
    metadata = metadata_of_model(path)
    training, _, step = recipe.initial_model.partition("@")
    found = training_key_of(metadata.get("recipe", "{}")) if "recipe" in metadata else ""
    # what was kept of a shorter training may belong to a longer one, whose key differs in the length
    same = metadata.get("steps") == step and _state(found) == _state(training) if step else found == training
    if not same:
        raise RefilmError(f"{path or '--initial'}: not the model that the recipe starts from: give {recipe.initial_model}")
    return load_model(path, torch.device("cpu"))


def _state(training_key: str) -> str:
    return training_key.partition("-")[0]


def load_model(path: Path | str, device: torch.device) -> Model:
    """The model on the device, ready for inference. Raises RefilmError if the file is not a model of this version."""
    with read_weights(path, "model") as (recipe, weights):
        model = build_model(Recipe.from_json(recipe))
        model.load_state_dict(weights)
    return model.to(device).eval().requires_grad_(False)
