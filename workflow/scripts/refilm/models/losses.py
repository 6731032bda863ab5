"""Terms of the recipes' losses, and the metrics that they share."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from refilm.config.recipe import Recipe
from refilm.core.colour import BT709_LUMA
from refilm.models.base import Batch, full_precision

_SCALES, _WINDOW, _STRIDE = 3, 8, 4
_NOISE_ENERGY = 2e-5  # of the change of a pair, mean square of values in [-1, 1]: 0.6 grey levels
_C1, _C2 = 0.01**2, 0.03**2  # of Wang et al. 2004, for luma of range 1


def sample_posterior(mean: Tensor, log_variance: Tensor, noise: Tensor, noise_scale: float) -> Tensor:
    """A sample of the posterior, its standard deviation multiplied by the noise dial: (B, latent_dim) all."""
    return mean + noise_scale * noise * (0.5 * log_variance).exp()


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(posterior || standard normal) in nats, summed over the latents: (B,)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)


def pixel_loss(reconstruction: Tensor, frames: Tensor) -> Tensor:
    """Mean absolute plus mean squared error: the first for sharp edges, the second against single outliers."""
    difference = reconstruction - frames
    # Sums, divided at the end: the gradient of a mean is an array of its own. In a third less time.
    total: Tensor = torch.linalg.vector_norm(difference, 1) + (difference * difference).sum()
    return total / difference.numel()


def feature_loss(reconstruction: list[Tensor], real: list[Tensor], layers: tuple[int, ...]) -> Tensor:
    """Half the squared distance of discriminator features, averaged over each layer, then over the layers.

    The negative log-likelihood of a unit Gaussian around the real features, up to a constant, divided by their number.
    Real features are targets: no gradient flows into them.
    """
    terms = [0.5 * F.mse_loss(full_precision(reconstruction[n - 1]), full_precision(real[n - 1].detach())) for n in layers]
    return torch.stack(terms).mean()


def dissimilarity(reconstruction: Tensor, frames: Tensor) -> Tensor:
    """1 - the structural similarity of the luma (Wang et al. 2004), averaged over three sizes, each half of the one before:
    (B, 3, H, W) in [-1, 1] -> (). Windows of 8x8 pixels, a weight of 1 for each, at every fourth pixel."""
    weights = torch.tensor(BT709_LUMA, device=frames.device, dtype=frames.dtype) / 2
    x, y = (torch.einsum("bchw,c->bhw", values, weights) for values in (frames, reconstruction))
    terms = []
    for scale in range(_SCALES):
        if scale:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        mean_x, mean_y, square_x, square_y, product = (
            F.avg_pool2d(values, _WINDOW, _STRIDE) for values in (x, y, x * x, y * y, x * y)
        )
        # luma in [-1/2, 1/2], so that black has none: the term of brightness is of distances from black
        covariance = product - mean_x * mean_y
        variances = square_x - mean_x.square() + square_y - mean_y.square()
        mean_x, mean_y = mean_x + 0.5, mean_y + 0.5
        brightness = (2 * mean_x * mean_y + _C1) / (mean_x.square() + mean_y.square() + _C1)
        terms.append((brightness * (2 * covariance + _C2) / (variances + _C2)).mean())
    return 1 - torch.stack(terms).mean()


def clips_of(values: Tensor, count: int, length: int) -> Tensor:
    """The last rows of a batch as so many clips: (B, ...) -> (count, length, ...)."""
    clips: Tensor = values[len(values) - count * length :].unflatten(0, (count, length))
    return clips


def pair_loss(reconstruction: Tensor, frames: Tensor, shares: Tensor, length: int) -> Tensor:
    """How wrong the changes between neighbours of clips are, relative to the changes: (B, 3, H, W) in [-1, 1] -> ().

    shares: (n,), weights of the clips of `length` frames, which are the last frames. 1 is the loss of a clip whose
    reconstruction stands still. A change that is smaller than noise counts less.
    """
    clips = [clips_of(values, len(shares), length).diff(dim=1) for values in (frames, reconstruction - frames)]
    change, wrong = (changes.square().mean((2, 3, 4)) for changes in clips)
    return (shares * (wrong / (change + _NOISE_ENERGY)).mean(1)).sum()


def turns(latents: Tensor, frames: Tensor, shares: Tensor, length: int) -> Tensor:
    """How far the paths of clips through the latents are from straight lines: (B, latent_dim), (B, 3, H, W) -> ().

    1 minus the cosine between one step of a path and the next, from 0 to 2, as in Goroshin et al. 2015 (arXiv:1506.03011):
    straight wherever the latents lie, so that it does not shrink them. Where the frames hardly change from the first to the
    third, it counts less. shares: as of `pair_loss`.
    """
    steps = clips_of(latents, len(shares), length).diff(dim=1)
    clips = clips_of(frames, len(shares), length)
    change = (clips[:, 2:] - clips[:, :-2]).square().mean((2, 3, 4))
    cosine = F.cosine_similarity(steps[:, 1:], steps[:, :-1], dim=2)
    return (shares * (change / (change + _NOISE_ENERGY) * (1 - cosine)).mean(1)).sum()


def clip_losses(recipe: Recipe, batch: Batch, reconstruction: Tensor, latents: Tensor) -> dict[str, Tensor]:
    """The losses of the clips of a batch that the recipe asks for: `pair_loss`, and `turns` of their latents."""
    if not recipe.clips:
        return {}
    losses = {"pair_loss": pair_loss(reconstruction, batch.frames, batch.clip_shares, recipe.clip_length)}
    if recipe.straighten_weight:
        losses["turns"] = turns(latents, batch.frames, batch.clip_shares, recipe.clip_length)
    return losses


def neighbours_together(frames: Tensor, length: int, together: int) -> Tensor:
    """Each frame of a batch of clips with the ones after it as channels: (n * length, 3, H, W) -> (n * (length - together
    + 1), 3 * together, H, W), channels_last. The frames themselves where `together` is 1."""
    if together == 1:
        return frames
    clips = frames.unflatten(0, (-1, length))
    windows = [clips[:, start : start + together].flatten(1, 2) for start in range(length - together + 1)]
    return torch.cat(windows).contiguous(memory_format=torch.channels_last)


def psnr_of_batch(reconstruction: Tensor, frames: Tensor) -> Tensor:
    """PSNR over all pixels of a batch in dB: (B, 3, H, W) in [-1, 1] -> ()."""
    squared = torch.linalg.vector_norm(reconstruction.clamp(-1, 1) - frames).square() / frames.numel()
    return 10 * torch.log10(4.0 / squared.clamp_min(1e-10))  # the peak is 2


def reconstruction_metrics(mean: Tensor, log_variance: Tensor, reconstruction: Tensor, frames: Tensor) -> dict[str, Tensor]:
    """What every recipe with an encoder reports: PSNR of the batch in dB, pixel loss, KL divergence in bits per frame."""
    return {
        "psnr": psnr_of_batch(reconstruction, frames),
        "pixel_loss": pixel_loss(reconstruction, frames),
        "kl_bits": kl_divergence(mean, log_variance).mean() / math.log(2.0),
    }
