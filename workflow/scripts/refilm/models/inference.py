"""Films through a model: frames to latents, latents to frames, and frames from the prior.

All frames are computed in batches of one size, aligned from the first frame of the film, so that a frame's reconstruction is
the same in previews, stills, clips and videos. Where the frames of a batch change each other (`mixes_batch`) the batches
are those of the training, and whole batches are decoded even if few of their frames are wanted. The last batch of a film
begins inside the one before it: the frames that both have keep the latents of the earlier one.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from refilm.core.prefetch import prefetch
from refilm.frames.store import FrameStore
from refilm.models.base import Model, to_frames, to_network
from refilm.models.device import autocast, compute_type
from refilm.models.latent_search import search_latents
from refilm.models.rng import generator_for

BATCH = 32
# The purpose in the seed of the noise dial. Another word would give every film other noise.
_NOISE_PURPOSE = "rebuilding"


class Latents(Protocol):
    """Latents of a film, a row per frame: an array (N, latent_dim), a LatentStore, or anything that gives slices of rows."""

    def __len__(self) -> int: ...

    def __getitem__(self, frames: slice, /) -> np.ndarray: ...


def inference_batch(model: Model) -> int:
    """Frames that are computed together."""
    return model.recipe.batch_size if model.recipe.spec.mixes_batch else BATCH


def batch_ranges(count: int, batch: int) -> list[tuple[range, range]]:
    """(frames of a batch, those of them that are its own) for a film of `count` frames, in order.

    Every batch has the same size: the last begins early enough to be full. A film shorter than a batch is one range.
    """
    ranges = []
    for start in range(0, count, batch):
        first, end = max(0, min(start, count - batch)), min(count, start + batch)
        ranges.append((range(first, min(count, first + batch)), range(start, end)))
    return ranges


@torch.no_grad()
def encode_film(model: Model, film: FrameStore, noise: float = 0.0, search: int = 0) -> Iterator[np.ndarray]:
    """The latents of consecutive frames, float32 (n, latent_dim) at a time, from the first to the last frame.

    They are the means of the posterior, or with `search` what so many steps of the latent search make of these. With
    `noise` they are samples around that, of the posterior's standard deviation multiplied by that much; a frame's sample
    depends only on its index and the recipe's seed.
    """
    batch = inference_batch(model)
    ranges = batch_ranges(len(film), batch)
    batches = prefetch(_read(film, frames) for frames, _own in ranges)
    for (frames, own), pixels in zip(ranges, batches, strict=True):
        latents = _encode(model, pixels, batch, frames.start, noise, search)
        yield latents[own.start - frames.start :][: len(own)].cpu().numpy()


@torch.no_grad()
def decode_latents(
    model: Model,
    latents: Latents,
    first: int = 0,
    end: int | None = None,
    before: Callable[[range], object] = lambda _frames: None,
) -> Iterator[np.ndarray]:
    """Frames `first` to `end` of the film whose latents these are, uint8 (n, H, W, 3) at a time, in order.

    latents: a LatentStore or an array (N, latent_dim), from the first frame of the film on; before: called with the frames
    of each batch before it is decoded.
    """
    batch, end = inference_batch(model), len(latents) if end is None else min(end, len(latents))
    for frames, own in batch_ranges(len(latents), batch):
        wanted = range(max(own.start, first), min(own.stop, end))
        if wanted:
            before(frames)
            decoded = _decode(model, np.asarray(latents[frames.start : frames.stop]), batch)
            yield decoded[wanted.start - frames.start :][: len(wanted)].cpu().numpy()


@torch.no_grad()
def decode_frames(model: Model, latents: Latents, indices: Sequence[int]) -> np.ndarray:
    """Any frames of the film whose latents these are: uint8 (n, H, W, 3), in the order of `indices`."""
    batch = inference_batch(model)
    if not model.recipe.spec.mixes_batch:
        wanted = np.concatenate([np.asarray(latents[index : index + 1]) for index in indices])
        return np.concatenate([_decode(model, part, batch)[: len(part)].cpu().numpy() for part in _parts(wanted, batch)])
    frames: dict[int, np.ndarray] = {}
    for whole, own in batch_ranges(len(latents), batch):
        if wanted_here := [index for index in set(indices) if index in own]:
            decoded = _decode(model, np.asarray(latents[whole.start : whole.stop]), batch).cpu().numpy()
            frames |= {index: decoded[index - whole.start] for index in wanted_here}
    return np.stack([frames[index] for index in indices])


@torch.no_grad()
def reconstruct_frames(model: Model, film: FrameStore, indices: Sequence[int]) -> np.ndarray:
    """Any frames of a film, encoded and decoded without noise: uint8 (n, H, W, 3), in the order of `indices`."""
    batch = inference_batch(model)
    if model.recipe.spec.mixes_batch:
        return decode_frames(model, _LazyLatents(model, film), indices)
    parts = _parts(film.read(indices), batch)
    return np.concatenate([_decode_tensor(model, _encode(model, part, batch))[: len(part)].cpu().numpy() for part in parts])


class _LazyLatents:
    """The latents of a film, as `encode_film` gives them, computed for the slice that is read."""

    def __init__(self, model: Model, film: FrameStore):
        self.model, self.film = model, film

    def __len__(self) -> int:
        return len(self.film)

    def __getitem__(self, frames: slice) -> np.ndarray:
        batch, parts = inference_batch(self.model), []
        for whole, own in batch_ranges(len(self.film), batch):
            wanted = range(max(own.start, frames.start), min(own.stop, frames.stop))
            if wanted:
                latents = _encode(self.model, _read(self.film, whole), batch)
                parts.append(latents[wanted.start - whole.start :][: len(wanted)].cpu().numpy())
        return np.concatenate(parts)


@torch.no_grad()
def sample_prior(model: Model, normal: Tensor) -> np.ndarray:
    """Frames decoded from the prior: uint8 (n, H, W, 3), from standard normal numbers (n, latent_dim).

    The last batch is filled up from the first ones.
    """
    batch, device = inference_batch(model), next(model.parameters()).device
    filled = normal[torch.arange(-(-len(normal) // batch) * batch) % len(normal)]
    latents = model.prior_latents(filled.to(device))
    frames = [_decode_tensor(model, part).cpu().numpy() for part in latents.split(batch)]
    return np.concatenate(frames)[: len(normal)]


def _parts(values: np.ndarray, batch: int) -> list[np.ndarray]:
    return [values[start : start + batch] for start in range(0, len(values), batch)]


def _read(film: FrameStore, frames: range) -> np.ndarray:
    return film[frames.start : frames.stop]


def _encode(model: Model, pixels: np.ndarray, batch: int, first: int = 0, noise: float = 0.0, search: int = 0) -> Tensor:
    """uint8 (n, H, W, 3) -> float32 (batch, latent_dim); fewer frames than a batch are filled up with the last one."""
    device = next(model.parameters()).device
    frames = to_network(torch.from_numpy(_filled(pixels, batch)).to(device))
    with autocast(device, compute_type(device, model.recipe.precision)):
        mean, log_variance = model.encode(frames)
    latents = search_latents(model, frames, mean.float(), search) if search else mean.float()
    if noise:
        latents = latents + noise * model.posterior_std(log_variance) * _noise(model, first, batch).to(device)
    return latents


def _decode(model: Model, latents: np.ndarray, batch: int) -> Tensor:
    """float32 (n, latent_dim) -> uint8 (batch, H, W, 3); fewer latents than a batch are filled up with the last ones."""
    filled = _filled(np.asarray(latents, np.float32), batch)
    return _decode_tensor(model, torch.from_numpy(filled).to(next(model.parameters()).device))


def _decode_tensor(model: Model, latents: Tensor) -> Tensor:
    with autocast(latents.device, compute_type(latents.device, model.recipe.precision)):
        return to_frames(model.decode(latents))


def _filled(values: np.ndarray, batch: int) -> np.ndarray:
    missing = batch - len(values)
    return np.concatenate([values, np.repeat(values[-1:], missing, axis=0)]) if missing > 0 else values


def _noise(model: Model, first: int, count: int) -> Tensor:
    """Standard normal (count, latent_dim), row n a function of the seed and of frame first + n."""
    generators = (generator_for(model.recipe.seed, _NOISE_PURPOSE, first + n) for n in range(count))
    return torch.stack([torch.randn(model.recipe.latent_dim, generator=generator) for generator in generators])
