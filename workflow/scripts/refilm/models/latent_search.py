"""Latent search: gradient descent on the latents of each frame, with the decoder as it is.

The encoder maps a frame to latents at once, and far from the best ones where the film is not the one that it was trained on.
The search starts there and moves them so that the decoded frame gets nearer to the frame by the pixel loss: the inversion of
a generator (Zhu et al. 2016, arXiv:1609.03552). Steps are those of Adam (Kingma and Ba 2014, arXiv:1412.6980) with one mean
squared gradient for all latents of a frame. Adam's own, one for each latent, moves those most that matter least, which are
other ones in each frame: that flickers more and does not get nearer.

The standard deviation of latents is 1 in one model and 16 in another, so a step is a fraction of the root mean square of the
frame's own latents. So the search depends on no other frame: neither on those beside it, nor on the length of the film.
"""

import torch
from torch import Tensor
from torch.autograd import grad

from refilm.models.base import Model
from refilm.models.device import autocast, compute_type
from refilm.models.losses import pixel_loss

_RATE = 0.06  # root mean square of a step over that of the frame's latents
_BETA1, _BETA2 = 0.9, 0.999  # Adam's


@torch.no_grad()
def search_latents(model: Model, frames: Tensor, latents: Tensor, steps: int) -> Tensor:
    """The latents with the least pixel loss of each frame, among those given and those after each of the steps.

    frames: (B, 3, H, W) in [-1, 1]; latents: (B, latent_dim) float32, also those that are returned. Where the frames of a
    batch change each other, the latents of all are those of the step that is best for the batch. Never waits for the device.
    """
    scale = latents.square().mean(dim=1, keepdim=True).sqrt()
    mean, square = torch.zeros_like(latents), torch.zeros_like(scale)  # of the gradients
    best, least = latents, torch.full_like(scale, torch.inf)
    for step in range(1, steps + 1):
        losses, gradient = _losses_and_gradient(model, frames, latents)
        best, least = torch.where(losses < least, latents, best), torch.minimum(losses, least)
        mean.lerp_(gradient, 1 - _BETA1)
        square.lerp_(gradient.square().mean(dim=1, keepdim=True), 1 - _BETA2)
        rate = _RATE * (1 - _BETA2**step) ** 0.5 / (1 - _BETA1**step)
        latents = latents - rate * scale * mean / square.clamp_min(torch.finfo(square.dtype).tiny).sqrt()
    return torch.where(_losses(model, frames, latents) < least, latents, best)


def _losses_and_gradient(model: Model, frames: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
    """The pixel loss of each frame, (B, 1), and its gradient at the latents, (B, latent_dim)."""
    with torch.enable_grad():
        latents = latents.detach().requires_grad_()
        losses = _losses(model, frames, latents)
        (gradient,) = grad(losses.sum(), latents)
    return losses.detach(), gradient


def _losses(model: Model, frames: Tensor, latents: Tensor) -> Tensor:
    """The pixel loss of each frame: (B, 1)."""
    with autocast(latents.device, compute_type(latents.device, model.recipe.precision)):
        decoded = model.decode(latents)
    losses: Tensor = torch.vmap(pixel_loss)(decoded, frames).unsqueeze(1)
    return losses.mean().expand_as(losses) if model.recipe.spec.mixes_batch else losses
