"""Latent search: gradient descent on the latents of each frame, with the decoder as it is.

The encoder maps a frame to latents at once, and far from the best ones where the film is not the one that it was trained on.
The search starts there and moves them by Adam (Kingma and Ba 2014, arXiv:1412.6980), so that the decoded frame gets nearer to
the frame by the pixel loss. It is the inversion of a generator (Zhu et al. 2016, arXiv:1609.03552) with an encoder's start.

The standard deviation of latents is 1 in one model and 16 in another, so a step is a fraction of the root mean square of the
frame's own latents. Nothing in the search depends on other frames: neither on those beside it, nor on the length of the film.
"""

import torch
from torch import Tensor
from torch.autograd import grad

from refilm.models.base import Model
from refilm.models.device import autocast, compute_type
from refilm.models.losses import pixel_loss

_RATE = 0.03  # of Adam, in root mean squares of a frame's latents


def search_latents(model: Model, frames: Tensor, latents: Tensor, steps: int) -> Tensor:
    """The latents with the least pixel loss of each frame, among those given and those after each of the steps.

    frames: (B, 3, H, W) in [-1, 1]; latents: (B, latent_dim) float32, also those that are returned. Where the frames of a
    batch change each other, the latents of all are those of the step that is best for the batch. Does not wait for the device.
    """
    scale = latents.square().mean(dim=1, keepdim=True).sqrt()
    offsets = torch.zeros_like(latents, requires_grad=True)
    adam = torch.optim.Adam([offsets], lr=_RATE)
    best, least = latents, torch.full_like(scale, torch.inf)
    for step in range(steps + 1):
        with torch.set_grad_enabled(step < steps):
            moved = latents + scale * offsets
            losses = _losses(model, frames, moved)
        best, least = torch.where(losses < least, moved.detach(), best), torch.minimum(losses.detach(), least)
        if step < steps:
            (offsets.grad,) = grad(losses.sum(), offsets)
            adam.step()
    return best


def _losses(model: Model, frames: Tensor, latents: Tensor) -> Tensor:
    """The pixel loss of each frame: (B, 1)."""
    with autocast(latents.device, compute_type(latents.device, model.recipe.precision)):
        decoded = model.decode(latents)
    losses: Tensor = torch.vmap(pixel_loss)(decoded, frames).unsqueeze(1)
    return losses.mean().expand_as(losses) if model.recipe.spec.mixes_batch else losses
