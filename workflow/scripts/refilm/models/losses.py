"""Terms of the recipes' losses, and the metrics that they share."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from refilm.models.base import full_precision


def sample_posterior(mean: Tensor, log_variance: Tensor, noise: Tensor, noise_scale: float) -> Tensor:
    """A sample of the posterior, its standard deviation multiplied by the noise dial: (B, latent_dim) all."""
    return mean + noise_scale * noise * (0.5 * log_variance).exp()


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(posterior || standard normal) in nats, summed over the latents: (B,)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)


def pixel_loss(reconstruction: Tensor, frames: Tensor) -> Tensor:
    """Mean absolute plus mean squared error: the first for sharp edges, the second against single outliers."""
    difference = reconstruction - frames
    return difference.abs().mean() + difference.square().mean()


def feature_loss(reconstruction: list[Tensor], real: list[Tensor], layers: tuple[int, ...]) -> Tensor:
    """Half the squared distance of discriminator features, averaged over each layer, then over the layers.

    The negative log-likelihood of a unit Gaussian around the real features, up to a constant, divided by their number.
    Real features are targets: no gradient flows into them.
    """
    terms = [0.5 * F.mse_loss(full_precision(reconstruction[n - 1]), full_precision(real[n - 1].detach())) for n in layers]
    return torch.stack(terms).mean()


def reconstruction_metrics(mean: Tensor, log_variance: Tensor, reconstruction: Tensor, frames: Tensor) -> dict[str, Tensor]:
    """What every recipe with an encoder reports: PSNR of the batch in dB, pixel loss, KL divergence in bits per frame."""
    squared = (reconstruction.clamp(-1, 1) - frames).square().mean()
    return {
        "psnr": 10 * torch.log10(4.0 / squared.clamp_min(1e-10)),  # of frames in [-1, 1]: the peak is 2
        "pixel_loss": pixel_loss(reconstruction, frames),
        "kl_bits": kl_divergence(mean, log_variance).mean() / math.log(2.0),
    }
