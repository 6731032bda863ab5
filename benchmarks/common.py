"""Shared by the benchmarks: a recipe, a batch and a clock."""

import time
from collections.abc import Callable

import numpy as np
import torch

from refilm.config.recipe import Recipe
from refilm.models.base import Batch


def default_recipe(**values) -> Recipe:
    """The recipe of a model of one film with the defaults, except for `values`; `steps` takes the place of epochs."""
    return Recipe.from_settings(values, {"film": {"crop": "auto", "fit": "crop"}})


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
