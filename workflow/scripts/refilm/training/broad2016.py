"""The 2016 code as it in effect trained, under the TensorFlow that it was written for.

Its losses, on sigmoids, with means everywhere:

    kl       = mean over batch and latents of the KL divergence      (here kl_weight 1/latent times the sum over latents)
    likeness = mean over the discriminator's four layers, after their activation, of the mean squared difference
    gan      = (bce(real, 1) + bce(rebuilt, 0) + bce(imagined, 0)) / 6, divided by the batch size once more
    e_loss   = kl + likeness
    g_loss   = gamma * likeness - gan            minimax, not the non-saturating form; gamma 2.5
    d_loss   = gan

Its lists of variables were swapped: "e_loss" moved the decoder, and "g_loss" the encoder. The encoder's log-variance head
bears a name that is in both lists, and is moved by both. So the decoder learned likeness alone, without any adversary,
and the encoder learned to be rebuilt and to please the discriminator, with no prior but the bounds of its tanh. Priors
are drawn from U(-1, 1). Three Adams step at once, on gradients at the same parameters. Losses were clipped at 100 and
sigmoids at 1e-10, which no training comes near.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.autograd import grad
from torch.nn import functional as F

from refilm.config.recipe import Recipe
from refilm.models.base import Networks
from refilm.models.losses import Step, common_metrics, kl_divergence, sample


def trained_weights(networks: Networks) -> dict[str, list[Tensor]]:
    """Which weights each of the three optimisers has. The log-variance head is in two lists, as it was."""
    lists = networks.weights()
    lists["decoder"] += list(networks.encoder.log_variance_head.parameters())
    return lists


def gradients(
    networks: Networks,
    recipe: Recipe,
    frames: Tensor,
    noise: Tensor,
    prior: Tensor,
    precision: AbstractContextManager,
    _over_processes: Callable,
) -> Step:
    """One step of 2016; arguments as in `step.gradients`."""
    weights = trained_weights(networks)
    with precision:
        mean, log_variance = networks.encoder(frames)
        rebuilt = networks.decoder(sample(mean, log_variance, noise, recipe.noise))
        with torch.no_grad():  # nothing but the discriminator learns from it
            imagined = networks.decoder(uniform(prior))
        real_logits, real_features = networks.discriminator(frames)
        rebuilt_logits, rebuilt_features = networks.discriminator(rebuilt)
        imagined_logits, _ = networks.discriminator(imagined)

    kl = recipe.kl_weight * kl_divergence(mean, log_variance).mean()
    likeness = layer_likeness(rebuilt_features, real_features, recipe.similarity_layers)
    gan = gan_loss(real_logits, rebuilt_logits, imagined_logits)

    # each derivative once: of gan and of likeness at the rebuilt frames, then through decoder and encoder
    on_rebuilt, *of_discriminator = grad(gan, [rebuilt, *weights["discriminator"]], retain_graph=True)
    (likeness_on_rebuilt,) = grad(likeness, [rebuilt], retain_graph=True)
    of_decoder = grad([kl, rebuilt], weights["decoder"], [torch.ones_like(kl), likeness_on_rebuilt], retain_graph=True)
    of_encoder = grad([rebuilt], weights["encoder"], [float(recipe.gamma) * likeness_on_rebuilt - on_rebuilt])

    with torch.no_grad():
        measures = common_metrics(mean, log_variance, rebuilt, frames) | {
            "feature_loss": likeness,
            "l_gan": gan,
            "d_real": real_logits.sigmoid().mean(),
            "d_recon": rebuilt_logits.sigmoid().mean(),
            "d_prior": imagined_logits.sigmoid().mean(),
        }
    parts = {"encoder": list(of_encoder), "decoder": list(of_decoder), "discriminator": of_discriminator}
    return Step(parts, measures)


def uniform(normal: Tensor) -> Tensor:
    """Standard normal numbers as numbers of U(-1, 1), by their distribution function."""
    return torch.erf(normal / math.sqrt(2.0))


def layer_likeness(rebuilt: list[Tensor], real: list[Tensor], layers: tuple[int, ...]) -> Tensor:
    """Mean squared difference of each layer's features, and of those the mean."""
    terms = [F.mse_loss(rebuilt[n - 1].float(), real[n - 1].detach().float()) for n in layers]
    return torch.stack(terms).mean()


def gan_loss(real: Tensor, rebuilt: Tensor, imagined: Tensor) -> Tensor:
    """The discriminator's loss from logits (B,): binary cross-entropies, divided by six and by the batch size."""
    total = F.softplus(-real).mean() + F.softplus(rebuilt).mean() + F.softplus(imagined).mean()
    return total / 6 / len(real)
