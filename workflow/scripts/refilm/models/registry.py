"""From the name of a recipe to its class. The only module that knows all recipes."""

import importlib

import torch

from refilm.config.recipe import Recipe
from refilm.models.base import Model


def build_model(recipe: Recipe) -> Model:
    """The networks of a recipe with their initial weights, in channels_last order."""
    module, _, name = recipe.spec.model.partition(":")
    model: Model = getattr(importlib.import_module(module), name)(recipe)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in the stubs
    return model
