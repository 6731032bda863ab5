"""One training step of any recipe: the exact gradients of a batch, and nothing that waits for the device."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from torch import Tensor

from refilm.config.recipe import Recipe
from refilm.models.base import Networks
from refilm.models.losses import Step
from refilm.training import broad2016, larsen2015, pixel_error

_RECIPES = {"larsen2015": larsen2015, "broad2016": broad2016, "vae": pixel_error, "autoencoder": pixel_error}

_AS_THEY_ARE = nullcontext()


def gradients(
    networks: Networks,
    recipe: Recipe,
    frames: Tensor,
    noise: Tensor,
    prior: Tensor,
    precision: AbstractContextManager = _AS_THEY_ARE,
    all_reduce_sum: Callable[[Tensor], Tensor] = lambda tensor: tensor,
) -> Step:
    """The gradients of one batch for the recipe's networks.

    frames: (B, 3, H, W) in [-1, 1]; noise: (B, latent) standard normal, for the posterior; prior: (B, latent) standard
    normal, decoded to show the discriminator frames that no film held; precision: the autocast of the networks, under
    which losses and backward passes must not be, or every large head would be cast anew; all_reduce_sum: sums a tensor
    over the processes that share the batch.
    """
    return _RECIPES[recipe.recipe].gradients(networks, recipe, frames, noise, prior, precision, all_reduce_sum)


def trained_weights(networks: Networks, recipe: Recipe) -> dict[str, list[Tensor]]:
    """The weights that each gradient of `gradients` belongs to, by name of its optimiser."""
    return _RECIPES[recipe.recipe].trained_weights(networks)
