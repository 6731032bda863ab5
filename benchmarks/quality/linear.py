"""What models are compared with: the best linear code of a given size, and each frame's own mean colour.

The code is the principal components of all frames, from a stream of them.

Randomised subspace iteration (Halko, Martinsson and Tropp 2011, arXiv:0909.4061, algorithm 4.4): a random subspace a
little larger than wanted is multiplied by the frames' covariance several times, which turns it towards that of the largest
components; these are then computed exactly within it. Memory: a few subspaces and one batch of frames.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from refilm.frames.store import FrameStore
from refilm.models.device import full_float32

_BATCH = 128
_OVERSAMPLING = 56  # dimensions more than wanted during the iterations
_ITERATIONS = 4


class LinearCode:
    """mean: (D,); components: (D, count), orthonormal; D = height * width * 3."""

    def __init__(self, film: FrameStore, count: int, device: torch.device, iterations: int = _ITERATIONS):
        """Fit to all frames of `film`; `count` is reduced to what a short film can have."""
        values = film.height * film.width * 3
        self.device, self.mean = device, torch.zeros(values, device=device)
        count = min(count, len(film) - 1, values)
        with full_float32():
            for frames in _streamed(film, device):
                self.mean += frames.sum(0) / len(film)
            generator = torch.Generator(device).manual_seed(0)
            basis = torch.randn(values, min(count + _OVERSAMPLING, values), generator=generator, device=device)
            for _ in range(iterations):
                basis = torch.linalg.qr(self._times_covariance(film, basis))[0]
            inner = sum(coordinates.T @ coordinates for _, coordinates in self._coordinates(film, basis))
            self.components = basis @ torch.linalg.eigh(inner.double())[1].flip(1)[:, :count].float()

    def reconstruct(self, film: FrameStore, batch: int) -> Iterator[np.ndarray]:
        """Consecutive batches of reconstructed frames, uint8 (n, H, W, 3)."""
        with full_float32():
            for frames in _streamed(film, self.device, batch):
                recon = (frames - self.mean) @ self.components @ self.components.T + self.mean
                yield recon.round_().clamp_(0, 255).byte().unflatten(1, (film.height, film.width, 3)).cpu().numpy()

    def _times_covariance(self, film: FrameStore, basis: Tensor) -> Tensor:
        product = torch.zeros_like(basis)
        for frames, coordinates in self._coordinates(film, basis):
            product.addmm_(frames.T, coordinates)
        return product

    def _coordinates(self, film: FrameStore, basis: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for frames in _streamed(film, self.device):
            frames -= self.mean
            yield frames, frames @ basis


def even_frames(film: FrameStore) -> Iterator[np.ndarray]:
    """Consecutive batches of even frames, each of the mean colour of the film's frame: uint8 (n, H, W, 3)."""
    for frames in film.batches(_BATCH):
        colours = frames.mean(axis=(1, 2), keepdims=True).round().astype(np.uint8)
        yield np.broadcast_to(colours, frames.shape).copy()


def _streamed(film: FrameStore, device: torch.device, batch: int = _BATCH) -> Iterator[Tensor]:
    """Batches of frames as grey levels: float32 (n, D)."""
    for frames in film.batches(batch):
        yield torch.from_numpy(frames).to(device).float().flatten(1)
