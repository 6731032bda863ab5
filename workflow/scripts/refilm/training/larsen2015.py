"""Larsen et al. 2015, Algorithm 1: exact gradients for every network from one graph.

All gradients at the same parameters:

    encoder         L_prior + L_like
    decoder         L_like + L_GAN / gamma      (the paper's gamma * L_like - L_GAN, divided by gamma; non-saturating)
    discriminator   L_GAN

Three separate backward passes would repeat most of their work. Here each derivative is taken once and passed on:

    a = dL_GAN/d(rebuilt frames, prior frames), with the discriminator's own gradients in the same pass
    b = dL_like/d(rebuilt frames)                 which encoder and decoder share
    decoder  <- b + (-a exp(-logit)) / gamma      chained through the decoder from the frames
    encoder  <- L_prior + b                       chained through decoder and encoder

The decoder's non-saturating loss softplus(-logit) has the derivative -sigmoid(-logit), which is -exp(-logit) times the
sigmoid(logit) of the discriminator's loss. So its gradient at a frame is -exp(-logit) times what the discriminator's
pass gives there: exact as long as no layer of the discriminator mixes frames.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.autograd import grad
from torch.nn import functional as F
from torch.nn.utils.parametrize import cached

from refilm.config.recipe import Recipe
from refilm.models.base import Networks
from refilm.models.losses import Step, common_metrics, kl_divergence, likeness, pixel_error, sample

_SATURATED = -30.0  # exp(30) is still a float32; a logit below it is not told from -30
_LARGEST_RATIO = 1e4  # of the likeness gradient to the adversarial, should the latter vanish


def trained_weights(networks: Networks) -> dict[str, list[Tensor]]:
    """Which weights each of the losses moves: every network by its own."""
    return networks.weights()


def gradients(
    networks: Networks,
    recipe: Recipe,
    frames: Tensor,
    noise: Tensor,
    prior: Tensor,
    precision: AbstractContextManager,
    all_reduce_sum: Callable[[Tensor], Tensor],
) -> Step:
    """One step of the VAE/GAN; arguments as in `step.gradients`."""
    weights = trained_weights(networks)
    with precision, cached():
        mean, log_variance = networks.encoder(frames)
        latents = torch.cat([sample(mean, log_variance, noise, recipe.noise), prior])
        # one way through the head, whose gradient is as large as its weights; two through the rest: the encoder's
        # gradient passes through the rebuilt frames alone
        rebuilt, imagined = (networks.decoder.grow(seeds) for seeds in networks.decoder.head(latents).chunk(2))
        real_logits, real_features = networks.discriminator(frames)
        rebuilt_logits, rebuilt_features = networks.discriminator(rebuilt)
        imagined_logits, _ = networks.discriminator(imagined)

    # eq. 2, 8 and 4 of the paper
    l_prior = recipe.kl_weight * kl_divergence(mean, log_variance).mean()
    l_features = likeness(rebuilt_features, real_features, recipe.similarity_layers)
    l_like = l_features + recipe.pixel_weight * pixel_error(rebuilt, frames)
    l_gan = adversarial_loss(real_logits, rebuilt_logits, imagined_logits)

    # a, b, and what follows from them
    on_rebuilt, on_imagined, *of_discriminator = grad(
        l_gan, [rebuilt, imagined, *weights["discriminator"]], retain_graph=True
    )
    (likeness_on_rebuilt,) = grad(l_like, [rebuilt], retain_graph=True)
    on_rebuilt, on_imagined = _non_saturating(on_rebuilt, rebuilt_logits), _non_saturating(on_imagined, imagined_logits)
    inverse_gamma = _inverse_gamma(recipe, likeness_on_rebuilt, on_rebuilt, all_reduce_sum)
    of_decoder = grad(
        [rebuilt, imagined],
        weights["decoder"],
        [likeness_on_rebuilt + inverse_gamma * on_rebuilt, inverse_gamma * on_imagined],
        retain_graph=True,
    )
    of_encoder = grad([l_prior, rebuilt], weights["encoder"], [torch.ones_like(l_prior), likeness_on_rebuilt])

    with torch.no_grad():
        gates = _gates(recipe, real_logits, rebuilt_logits, imagined_logits, all_reduce_sum)
        measures = common_metrics(mean, log_variance, rebuilt, frames) | {
            "feature_loss": l_features,
            "l_gan": l_gan,
            "d_real": real_logits.sigmoid().mean(),
            "d_recon": rebuilt_logits.sigmoid().mean(),
            "d_prior": imagined_logits.sigmoid().mean(),
            "gamma": 1 / inverse_gamma.clamp_min(1e-9),
            **{f"{name}_trained": gate for name, gate in gates.items()},
        }
    parts = {"encoder": list(of_encoder), "decoder": list(of_decoder), "discriminator": of_discriminator}
    return Step(parts, measures, gates)


def adversarial_loss(real: Tensor, rebuilt: Tensor, imagined: Tensor) -> Tensor:
    """L_GAN on logits: -log D(x) - (log(1 - D(rebuilt)) + log(1 - D(imagined))) / 2, a mean over the batch."""
    return F.softplus(-real).mean() + 0.5 * (F.softplus(rebuilt).mean() + F.softplus(imagined).mean())


def _non_saturating(on_frames: Tensor, logits: Tensor) -> Tensor:
    factor = -torch.exp(-logits.detach().clamp_min(_SATURATED))
    return on_frames * factor.view(-1, 1, 1, 1)


def _inverse_gamma(recipe: Recipe, of_likeness: Tensor, of_adversary: Tensor, all_reduce_sum: Callable) -> Tensor:
    """1/gamma: as given, or such that the adversarial gradient has `adversarial` times the norm of the likeness's."""
    if recipe.gamma != "auto":
        return torch.full((), 1.0 / float(recipe.gamma), device=of_likeness.device, dtype=of_likeness.dtype)
    squares = all_reduce_sum(torch.stack([of_likeness.square().sum(), of_adversary.square().sum()]))
    norm_of_likeness, norm_of_adversary = squares.sqrt().unbind()
    return (recipe.adversarial_ratio * norm_of_likeness / (norm_of_adversary + 1e-12)).clamp_max(_LARGEST_RATIO)


def _gates(recipe: Recipe, real: Tensor, rebuilt: Tensor, imagined: Tensor, all_reduce_sum: Callable) -> dict[str, Tensor]:
    """The balance of the paper's own code: a discriminator that wins by more than `margin` waits, a decoder that wins
    waits; and where both would, neither does. Costs are of the discriminator, per frame, ln 2 = 0.69 when undecided."""
    if recipe.equilibrium is None:
        return {}
    costs = torch.stack([F.softplus(-real).mean(), 0.5 * (F.softplus(rebuilt).mean() + F.softplus(imagined).mean())])
    costs = all_reduce_sum(costs) / all_reduce_sum(torch.ones_like(costs))
    discriminator = (costs >= recipe.equilibrium - recipe.equilibrium_margin).all()
    decoder = (costs <= recipe.equilibrium + recipe.equilibrium_margin).all()
    neither = ~(discriminator | decoder)
    return {"discriminator": (discriminator | neither).float(), "decoder": (decoder | neither).float()}
