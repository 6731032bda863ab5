"""Models and batches for tests of gradients, in float64."""

from pathlib import Path

import torch

from refilm.config.recipe import Recipe
from refilm.config.recipes import RECIPES
from refilm.models.base import Batch, Model, StepContext, StepResult
from refilm.models.model_file import save_model
from refilm.models.registry import build_model
from tests.conftest import small_recipe


def recipe_named(name: str, **values) -> Recipe:
    """A small recipe with the registry's defaults of that name."""
    return small_recipe(recipe=name, **(dict(RECIPES[name].defaults) | values))


def model_of(recipe: Recipe) -> Model:
    """The model with the same initial weights each time, float64."""
    torch.manual_seed(0)
    return build_model(recipe).double()


def batch_of(recipe: Recipe, count: int = 3) -> Batch:
    """Random frames (count, 3, H, W) in [-1, 1] and noise, float64, the same each time."""
    generator = torch.Generator().manual_seed(1)
    width, height = recipe.size
    frames = torch.rand(count, 3, height, width, generator=generator, dtype=torch.float64) * 2 - 1
    noise, prior = torch.randn(2, count, recipe.latent_dim, generator=generator, dtype=torch.float64)
    return Batch(frames, noise, prior)


def step_of(recipe: Recipe, count: int = 3) -> StepResult:
    """The gradients of that model for that batch."""
    return model_of(recipe).gradients(batch_of(recipe, count), StepContext())


def relative_difference(ours: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    """Norm of the difference over the norm of what is expected."""
    difference = torch.stack([(a - b).norm() for a, b in zip(ours, expected, strict=True)]).norm()
    return (difference / torch.stack([b.norm() for b in expected]).norm()).item()


def save_untrained(path: Path, recipe: Recipe) -> Path:
    """A model file of the recipe with its initial weights, the same each time."""
    torch.manual_seed(0)
    save_model(path, build_model(recipe), 0)
    return path
