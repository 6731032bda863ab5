"""The training step as it is usually written: three losses, each with a forward and a backward pass of its own.

What the gradients of models/larsen2015.py must equal, to rounding, and what they are timed against. Slow and simple.
"""

import torch
from torch import Tensor

from refilm.models.base import Batch
from refilm.models.larsen2015 import VAEGAN, adversarial_loss
from refilm.models.losses import feature_loss, kl_divergence, pixel_loss


def naive_gradients(model: VAEGAN, batch: Batch) -> dict[str, list[Tensor]]:
    """Gradients of each network's own loss (Larsen et al. 2015, Algorithm 1), by name of the network."""
    recipe, inverse_gamma, gradients = model.recipe, _inverse_gamma(model, batch), {}
    for name, network in model.networks().items():
        model.zero_grad(set_to_none=True)
        mean, log_variance = model.encoder(batch.frames)
        recon = model.decoder(mean + recipe.noise * batch.noise * torch.exp(log_variance / 2))
        samples = model.decoder(batch.prior)
        real_logits, real_features = model.discriminator(batch.frames)
        recon_logits, recon_features = model.discriminator(recon)
        prior_logits, _ = model.discriminator(samples)
        l_prior = recipe.kl_weight * kl_divergence(mean, log_variance).mean()
        l_like = feature_loss(recon_features, real_features, recipe.similarity_layers)
        l_like = l_like + recipe.pixel_weight * pixel_loss(recon, batch.frames)
        # non-saturating: the decoder maximises log D of its frames
        l_generator = -0.5 * (recon_logits.sigmoid().log().mean() + prior_logits.sigmoid().log().mean())
        losses = {
            "encoder": l_prior + l_like,
            "decoder": l_like + inverse_gamma * l_generator,
            "discriminator": adversarial_loss(real_logits, recon_logits, prior_logits),
        }
        losses[name].backward()
        gradients[name] = [weight.grad.clone() for weight in network.parameters()]
    model.zero_grad(set_to_none=True)
    return gradients


def _inverse_gamma(model: VAEGAN, batch: Batch) -> float | Tensor:
    """1/gamma; for `auto` from the norms of the two losses' own gradients at the reconstruction."""
    recipe = model.recipe
    if recipe.gamma != "auto":
        return 1 / float(recipe.gamma)
    with torch.no_grad():
        mean, log_variance = model.encoder(batch.frames)
        recon = model.decoder(mean + recipe.noise * batch.noise * torch.exp(log_variance / 2))
        _, real_features = model.discriminator(batch.frames)
    recon.requires_grad_()
    logits, features = model.discriminator(recon)
    l_like = feature_loss(features, real_features, recipe.similarity_layers)
    l_like = l_like + recipe.pixel_weight * pixel_loss(recon, batch.frames)
    l_generator = -0.5 * logits.sigmoid().log().mean()
    (like_grad,) = torch.autograd.grad(l_like, recon, retain_graph=True)
    (generator_grad,) = torch.autograd.grad(l_generator, recon)
    return recipe.adversarial_ratio * like_grad.norm() / generator_grad.norm()
