"""What the benchmarks share: a recipe, a batch and a clock."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from refilm.config.recipe import Recipe
from refilm.config.recipes import RECIPES
from refilm.training.schedule import Batch

# The defaults of the schema as plain JSON, so that a benchmark needs neither YAML nor a validator; a test holds them equal.
_DEFAULTS = Path(__file__).with_name("recipe_defaults.json")


def default_recipe(**values) -> Recipe:
    """The recipe of a model of one film with nothing set but what a benchmark sets; `steps` takes the place of epochs."""
    spec = RECIPES[values.get("recipe", "larsen2015")]
    own = {"architecture_version": spec.version, "films": {"film": {"crop": "auto", "fit": "crop"}}}
    settings = json.loads(_DEFAULTS.read_text(encoding="utf-8")) | own
    settings |= spec.defaults
    if values.get("steps") is not None:
        settings["epochs"] = None
    return Recipe.from_json(json.dumps(settings | values))


def made_batch(recipe: Recipe) -> Batch:
    """A batch of random frames, always the same one."""
    width, height = recipe.size
    frames = np.random.default_rng(0).integers(0, 256, (recipe.batch_size, height, width, 3), dtype=np.uint8)
    noise, prior = torch.randn(2, recipe.batch_size, recipe.latent_dim, generator=torch.Generator().manual_seed(0))
    return Batch(torch.from_numpy(frames), noise, prior)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
