"""The training step as it is usually written: three losses, each with a forward and a backward pass of its own.

What training/step.py must equal, to rounding, and what it is timed against. Slow, and simple enough to be believed.
"""

import torch
from torch import Tensor

from refilm.config.recipe import Recipe
from refilm.models.base import Networks
from refilm.models.losses import kl_divergence, likeness, pixel_error
from refilm.training.larsen2015 import adversarial_loss


def naive_gradients(
    networks: Networks, recipe: Recipe, frames: Tensor, noise: Tensor, prior: Tensor
) -> dict[str, list[Tensor]]:
    """Gradients of each network's own loss (Larsen et al. 2015, Algorithm 1), by name of the network."""
    inverse_gamma = _inverse_gamma(networks, recipe, frames, noise)
    found = {}
    for name, part in networks.parts().items():
        networks.zero_grad(set_to_none=True)
        mean, log_variance = networks.encoder(frames)
        rebuilt = networks.decoder(mean + recipe.noise * noise * torch.exp(log_variance / 2))
        imagined = networks.decoder(prior)
        real_logits, real_features = networks.discriminator(frames)
        rebuilt_logits, rebuilt_features = networks.discriminator(rebuilt)
        imagined_logits, _ = networks.discriminator(imagined)
        l_prior = recipe.kl_weight * kl_divergence(mean, log_variance).mean()
        l_like = likeness(rebuilt_features, real_features, recipe.similarity_layers)
        l_like = l_like + recipe.pixel_weight * pixel_error(rebuilt, frames)
        # non-saturating: the decoder wants its frames called film, -log D
        believed = -0.5 * (rebuilt_logits.sigmoid().log().mean() + imagined_logits.sigmoid().log().mean())
        losses = {
            "encoder": l_prior + l_like,
            "decoder": l_like + inverse_gamma * believed,
            "discriminator": adversarial_loss(real_logits, rebuilt_logits, imagined_logits),
        }
        losses[name].backward()
        found[name] = [weight.grad.clone() for weight in part.parameters()]
    networks.zero_grad(set_to_none=True)
    return found


def _inverse_gamma(networks: Networks, recipe: Recipe, frames: Tensor, noise: Tensor) -> float | Tensor:
    """1/gamma; for `auto` from the norms of the two losses' own gradients at the rebuilt frames."""
    if recipe.gamma != "auto":
        return 1 / float(recipe.gamma)
    with torch.no_grad():
        mean, log_variance = networks.encoder(frames)
        rebuilt = networks.decoder(mean + recipe.noise * noise * torch.exp(log_variance / 2))
        _, real_features = networks.discriminator(frames)
    rebuilt.requires_grad_()
    logits, features = networks.discriminator(rebuilt)
    l_like = likeness(features, real_features, recipe.similarity_layers) + recipe.pixel_weight * pixel_error(rebuilt, frames)
    believed = -0.5 * logits.sigmoid().log().mean()
    (of_likeness,) = torch.autograd.grad(l_like, rebuilt, retain_graph=True)
    (of_belief,) = torch.autograd.grad(believed, rebuilt)
    return recipe.adversarial_ratio * of_likeness.norm() / of_belief.norm()
