"""A linear code of frames: cosines, which describe any film, and principal components of one.

Frames are sums of orthonormal patterns, and a latent is how much of one is in a frame, over its standard deviation in the
film. Cosines are the patterns of the discrete cosine transform that vary most in the film. The principal components are
those of what the cosines leave. The fewer cosines, the nearer the code is to its own film, and the farther from others.
"""

import functools
import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refilm.models.device import full_float32

_COMPONENT_ROUNDS = 12  # of subspace iteration
_OVERSAMPLING = 40
_BLOCK = 256  # frames that are converted at once
_PERIODS = (8, 4, 2)  # pixels of the shortest half period of a cosine: the first that gives as many cosines as latents
_NOT_A_PRODUCT = 1e-3  # share of a pattern's energy beside a product of a column and a row; float16 leaves 1e-6
_MIN_STD = 1e-3  # of a latent in the film: those that hardly vary are not amplified


class LinearCode(nn.Module):
    """Frames to latents of zero mean and unit variance over the film, and back. Fitted, not trained.

    Buffers: mean (D,), of which only what the patterns describe is kept where all are cosines; scale (latent_dim,), the
    standard deviations; patterns (latent_dim, D) float16, sqrt(D) times the orthonormal ones; D = 3 * height * width.
    """

    mean: Tensor
    scale: Tensor
    patterns: Tensor
    basis: Tensor

    def __init__(self, latent_dim: int, frame_size: tuple[int, int]):
        super().__init__()
        width, height = frame_size
        self.shape = (height, width, 3)
        count = math.prod(self.shape)
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("scale", torch.ones(latent_dim))
        self.register_buffer("patterns", torch.zeros(latent_dim, count, dtype=torch.float16))
        # float32, which would otherwise be made of float16 at every step
        self.register_buffer("basis", torch.zeros(latent_dim, count), persistent=False)
        self.register_load_state_dict_post_hook(LinearCode._update_basis)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> latents (B, latent_dim), float32."""
        flat = frames.permute(0, 2, 3, 1).flatten(1).to(self.mean.dtype)
        # This product and not its transpose: of few frames the CPU makes it in a third of the time.
        latents: Tensor = (self.basis @ (flat - self.mean).T).T / self.scale
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, latent_dim) -> the frames that they describe, (B, 3, H, W), not limited to [-1, 1]."""
        flat = (latents.to(self.mean.dtype) * self.scale) @ self.basis + self.mean
        frames: Tensor = flat.unflatten(1, self.shape).permute(0, 3, 1, 2)
        return frames

    @torch.no_grad()
    @full_float32()
    def fit(self, frames: np.ndarray, cosines: int) -> None:
        """Fit to frames of a film, uint8 (n, H, W, 3). Where there are too few frames for the components, more of the
        latents are cosines."""
        latent_dim, count = self.patterns.shape
        cosines = max(cosines, latent_dim - max(0, len(frames) - 1))
        device = self.mean.device
        self.mean.copy_(_sum(block.sum(0) for block in _blocks(frames, device)) / len(frames))
        small = self._halved(frames)
        fixed = _cosines_of_most_variance(small, cosines)
        basis = fixed.at_size(*self.shape[:2])
        if cosines < latent_dim:
            rows = fixed.at_size(*small.shape[1:3]).to(device)
            flat = small.flatten(1)
            weights = _component_weights(flat, flat @ rows.T, latent_dim - cosines)
            components = _sum(
                part.T @ (block - self.mean)
                for part, block in zip(weights.split(_BLOCK), _blocks(frames, device), strict=True)
            )
            basis = basis.to(device)
            components = components - (components @ basis.T) @ basis
            basis = torch.cat([basis, torch.linalg.qr(components.T)[0].T])
        self.patterns.copy_((basis * math.sqrt(count)).half())
        self._update_basis()
        if cosines == latent_dim:
            # What of the mean no latent can change would be in every frame of every film.
            self.mean.copy_((self.mean @ self.basis.T) @ self.basis)
        squares = _sum(((block - self.mean) @ self.basis.T).square().sum(0) for block in _blocks(frames, device))
        self.scale.copy_((squares / len(frames)).sqrt().clamp_min(_MIN_STD * math.sqrt(count)))

    def count_cosines(self) -> int:
        """How many of the patterns are cosines. They are the first ones, and each is a product of a column and a row."""
        height = self.shape[0]
        for number, pattern in enumerate(self.basis):
            rows = pattern.unflatten(0, (height, -1))
            row = F.normalize(rows[rows.square().sum(1).argmax()], dim=0)
            rest = rows - torch.outer(rows @ row, row)
            if rest.square().sum() > _NOT_A_PRODUCT * rows.square().sum():
                return number
        return len(self.basis)

    def _halved(self, frames: np.ndarray) -> Tensor:
        """The frames at half the size without their mean: (n, H/2, W/2, 3) float32."""
        parts = [
            (block - self.mean).unflatten(1, self.shape).unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).mean((2, 4))
            for block in _blocks(frames, self.mean.device)
        ]
        return torch.cat(parts)

    def _update_basis(self, *_of_hook: object) -> None:
        self.basis.copy_(self.patterns.to(self.basis.dtype) / math.sqrt(self.patterns.shape[1]))


class _Cosines:
    """Chosen patterns of a cosine transform: colour, frequency down and across of each."""

    _COLOURS = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (1.0, -2.0, 1.0))  # grey, red against blue, green against both

    def __init__(self, colour: Tensor, down: Tensor, across: Tensor):
        self.colour, self.down, self.across = colour, down, across

    def at_size(self, height: int, width: int) -> Tensor:
        """The patterns at a size, orthonormal rows (count, height * width * 3)."""
        rows, columns = _cosine_rows(height, height)[self.down], _cosine_rows(width, width)[self.across]
        patterns: Tensor = torch.einsum("nh,nw,nc->nhwc", rows, columns, self.colours()[self.colour])
        return patterns.flatten(1)

    @classmethod
    def colours(cls) -> Tensor:
        """Orthonormal axes of colour: (3, 3)."""
        return F.normalize(torch.tensor(cls._COLOURS))


def _cosines_of_most_variance(frames: Tensor, count: int) -> _Cosines:
    """The cosines in which the frames (n, H, W, 3), without their mean, vary most."""
    height, width = frames.shape[1:3]
    sizes = [(2 * height // period, 2 * width // period) for period in _PERIODS]
    down, across = next((size for size in sizes if 3 * math.prod(size) >= count), sizes[-1])
    rows, columns = _cosine_rows(height, down), _cosine_rows(width, across)
    rows, columns, colours = (part.to(frames.device) for part in (rows, columns, _Cosines.colours()))
    variance = torch.zeros(len(colours), len(rows), len(columns), device=frames.device)
    for block in frames.split(_BLOCK):
        variance += torch.einsum("nhwc,yh,xw,kc->nkyx", block, rows, columns, colours).square().sum(0)
    chosen = variance.flatten().cpu().argsort(descending=True, stable=True)[:count]
    return _Cosines(*torch.unravel_index(chosen, variance.shape))


def _cosine_rows(length: int, count: int) -> Tensor:
    """The first orthonormal rows of the cosine transform (DCT-II): (count, length)."""
    places = (torch.arange(length) + 0.5) / length
    rows = torch.cos(math.pi * torch.arange(count)[:, None] * places) * math.sqrt(2 / length)
    rows[0] /= math.sqrt(2)
    return rows


def _component_weights(frames: Tensor, cosines: Tensor, count: int) -> Tensor:
    """How much of each frame is in each principal component of what the cosines leave: (n, count). frames: (n, d); cosines:
    the frames' latents of those (n, k)."""
    gram = frames @ frames.T - cosines @ cosines.T
    generator = torch.Generator().manual_seed(0)
    space = torch.randn(len(gram), min(len(gram), count + _OVERSAMPLING), generator=generator).to(gram.device)
    for _ in range(_COMPONENT_ROUNDS):
        space = torch.linalg.qr(gram @ space)[0]
    values, vectors = torch.linalg.eigh(space.T @ gram @ space)
    most = slice(len(values) - count, None)
    weights: Tensor = (space @ vectors)[:, most].flip(1) / values[most].flip(0).clamp_min(1e-6).sqrt()
    return weights


def _sum(tensors: Iterable[Tensor]) -> Tensor:
    return functools.reduce(torch.add, tensors)


def _blocks(frames: np.ndarray, device: torch.device) -> Iterator[Tensor]:
    """The frames as values in [-1, 1], some at a time: float32 (n, D)."""
    for start in range(0, len(frames), _BLOCK):
        block = torch.from_numpy(frames[start : start + _BLOCK]).to(device)
        yield block.flatten(1).float().div_(127.5).sub_(1)
