"""The terms that the recipes' losses are made of, what a step hands on, and what it measures on the way."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass
class Step:
    """Gradients of one step, a list per network in the order of `trained_weights`, and what is measured on the way.

    measures: 0-dimensional float32 tensors on the device; nothing here waits for the device.
    gates: by network, 1 where it is to be moved by this step and 0 where not; a network without a gate always is.
    """

    gradients: dict[str, list[Tensor]]
    measures: dict[str, Tensor]
    gates: dict[str, Tensor] = field(default_factory=dict)


def sample(mean: Tensor, log_variance: Tensor, noise: Tensor, dial: float) -> Tensor:
    """A latent of the posterior, its standard deviation multiplied by the noise dial: (B, latent) all."""
    return mean + dial * noise * (0.5 * log_variance).exp()


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(posterior || standard normal) in nats, summed over the latents: (B,)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)


def pixel_error(rebuilt: Tensor, frames: Tensor) -> Tensor:
    """Mean absolute and mean squared error, added: the first for sharp edges, the second against lone outliers."""
    difference = rebuilt - frames
    return difference.abs().mean() + difference.square().mean()


def likeness(rebuilt: list[Tensor], real: list[Tensor], layers: tuple[int, ...]) -> Tensor:
    """Half the squared distance of discriminator features, a mean over all of a layer, then over the layers.

    The negative log-likelihood of a unit Gaussian about the real features, up to a constant, divided by their number.
    Real features are targets: no gradient flows into them.
    """
    terms = [0.5 * F.mse_loss(rebuilt[n - 1].float(), real[n - 1].detach().float()) for n in layers]
    return torch.stack(terms).mean()


def common_metrics(mean: Tensor, log_variance: Tensor, rebuilt: Tensor, frames: Tensor) -> dict[str, Tensor]:
    """What every recipe reports: PSNR of the batch in dB, pixel error, KL in bits a frame."""
    squared = (rebuilt.clamp(-1, 1) - frames).square().mean()
    return {
        "psnr": 10 * torch.log10(4.0 / squared.clamp_min(1e-10)),  # of frames in [-1, 1]: the peak is 2
        "pixel_loss": pixel_error(rebuilt, frames),
        "kl_bits": kl_divergence(mean, log_variance).mean() / math.log(2.0),
    }
