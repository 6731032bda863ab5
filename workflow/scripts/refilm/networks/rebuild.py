"""A film through a model: read, encode, decode and hand on, at the rate of the bare networks."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from refilm.frames.store import FrameStore
from refilm.networks.device import autocast, compute_type
from refilm.networks.networks import Networks, to_frames, to_network
from refilm.settings.recipe import Recipe

BATCH = 32


@torch.no_grad()
def rebuild_film(networks: Networks, recipe: Recipe, film: FrameStore, batch: int = BATCH) -> Iterator[tuple]:
    """(first index, latents float32 (n, latent), frames uint8 (n, H, W, 3)) of consecutive batches, in order.

    The latents are the posterior's means: no noise. Nothing in the networks mixes frames, and the last batch is filled
    up to the size of the others, so that every frame is computed alike and depends on itself alone.
    """
    device = next(networks.parameters()).device
    dtype = compute_type(device, recipe.precision)
    with ThreadPoolExecutor(1, "read-frames") as reader:
        following = reader.submit(film.__getitem__, slice(0, batch))
        for start in range(0, len(film), batch):
            frames = following.result()
            following = reader.submit(film.__getitem__, slice(start + batch, start + 2 * batch))
            count = len(frames)
            if count < batch:
                frames = np.concatenate([frames, np.repeat(frames[-1:], batch - count, axis=0)])
            with autocast(device, dtype):
                latents, _ = networks.encoder(to_network(torch.from_numpy(frames).to(device)))
                rebuilt = to_frames(networks.decoder(latents))
            yield start, latents[:count].float().cpu().numpy(), rebuilt[:count].cpu().numpy()
