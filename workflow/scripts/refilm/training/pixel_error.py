"""`vae` and `autoencoder`: pixel error alone, with or without a prior and noise in the latents.

The blur that the learned similarity was to cure: Kingma and Welling 2013, with the networks of `larsen2015`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.autograd import grad

from refilm.config.recipe import Recipe
from refilm.models.base import Networks
from refilm.models.losses import Step, common_metrics, kl_divergence, pixel_error, sample


def trained_weights(networks: Networks) -> dict[str, list[Tensor]]:
    """Which weights are moved: encoder and decoder, by the one loss."""
    return networks.weights()


def gradients(
    networks: Networks,
    recipe: Recipe,
    frames: Tensor,
    noise: Tensor,
    _prior: Tensor,
    precision: AbstractContextManager,
    _over_processes: Callable,
) -> Step:
    """One step; arguments as in `step.gradients`."""
    is_vae = recipe.recipe == "vae"
    weights = trained_weights(networks)
    with precision:
        mean, log_variance = networks.encoder(frames)
        rebuilt = networks.decoder(sample(mean, log_variance, noise, recipe.noise) if is_vae else mean)
    loss = pixel_error(rebuilt, frames)
    if is_vae:
        loss = loss + recipe.kl_weight * kl_divergence(mean, log_variance).mean()
    both = list(grad(loss, weights["encoder"] + weights["decoder"]))
    count = len(weights["encoder"])
    with torch.no_grad():
        measures = common_metrics(mean, log_variance, rebuilt, frames)
    return Step({"encoder": both[:count], "decoder": both[count:]}, measures)
