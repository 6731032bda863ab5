"""A film through a model: read, encode, decode and hand on, at the rate of the bare networks."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from refilm.config.recipe import Recipe
from refilm.frames.store import FrameStore
from refilm.models.base import Networks, to_frames, to_network
from refilm.models.device import autocast, compute_type
from refilm.models.rng import generator_for

BATCH = 32


def batch_size(recipe: Recipe) -> int:
    """Frames that are rebuilt together. With `broad2016` they change each other: as many as in training, as in 2016."""
    return recipe.batch_size if recipe.recipe == "broad2016" else BATCH


@torch.no_grad()
def reconstruct_film(networks: Networks, recipe: Recipe, film: FrameStore, noise: float = 0.0) -> Iterator[tuple]:
    """(first index, latents float32 (n, latent), frames uint8 (n, H, W, 3)) of consecutive batches, in order.

    The latents are the posterior's means. With `noise` the frames are rebuilt from samples of the posterior, its standard
    deviation multiplied by so much; a frame's sample depends on its number and the recipe's seed alone.

    Every batch has the same size, so that every frame is computed alike: the last takes in frames of the one before, or,
    where the film is shorter than a batch, its last frame again.
    """
    device, batch = next(networks.parameters()).device, batch_size(recipe)
    dtype = compute_type(device, recipe.precision)
    starts = range(0, len(film), batch)
    firsts = [max(0, min(start, len(film) - batch)) for start in starts]
    with ThreadPoolExecutor(1, "read-frames") as reader:
        following = reader.submit(film.__getitem__, slice(0, batch))
        for start, first, next_first in zip(starts, firsts, [*firsts[1:], len(film)], strict=True):
            frames = following.result()
            following = reader.submit(film.__getitem__, slice(next_first, next_first + batch))
            if len(frames) < batch:
                frames = np.concatenate([frames, np.repeat(frames[-1:], batch - len(frames), axis=0)])
            with autocast(device, dtype):
                latents, log_variance = networks.encoder(to_network(torch.from_numpy(frames).to(device)))
                samples = latents
                if noise:
                    deviation = (0.5 * log_variance).exp() if recipe.recipe != "autoencoder" else 1.0
                    samples = latents + noise * deviation * _noise_of(first, batch, recipe).to(device)
                rebuilt = to_frames(networks.decoder(samples))
            own = slice(start - first, min(batch, len(film) - first))
            yield start, latents[own].float().cpu().numpy(), rebuilt[own].cpu().numpy()


def _noise_of(first: int, count: int, recipe: Recipe) -> Tensor:
    """Standard normal (count, latent), row n a function of the seed and of frame first + n."""
    generators = (generator_for(recipe.seed, "rebuilding", first + n) for n in range(count))
    return torch.stack([torch.randn(recipe.latent_dim, generator=generator) for generator in generators])
