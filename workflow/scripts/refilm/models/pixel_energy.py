"""How much each latent moves the pixels of the frames that a model decodes."""

import torch
from torch import Tensor
from torch.autograd import grad

from refilm.models.base import Model
from refilm.models.inference import inference_batch
from refilm.models.rng import generator_for


@torch.no_grad()
def pixel_energy(model: Model, latents: Tensor) -> Tensor:
    """The squared change of a whole frame by a change of each latent, per square of that: (dim,), a mean over the latents
    (n, dim) of n frames.

    Of random weights of the pixels the gradient has the mean square that the derivatives of all pixels have together
    (Hutchinson 1989): one pass back for each frame instead of one for each number.
    """
    batch, device = inference_batch(model), next(model.parameters()).device
    total, count = torch.zeros(latents.shape[1], device=device), 0
    for number, part in enumerate(latents.split(batch)):
        if len(part) < batch and count:
            break  # where the frames of a batch change each other, it must be whole
        part = part.to(device)
        with torch.enable_grad():
            part.requires_grad_()
            frames = model.decode(part)
            weights = torch.randn(frames.shape, generator=generator_for(0, "pixel energy", number)).to(device)
            (gradient,) = grad(frames, part, weights)
        total += gradient.square().sum(0)
        count += len(part)
    return total / count
