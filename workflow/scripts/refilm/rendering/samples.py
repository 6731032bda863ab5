"""Noise for samples: independent draws of a prior, and a closed path along which every point is one."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from refilm.core.errors import RefilmError
from refilm.models.base import Model
from refilm.models.inference import inference_batch, sample_prior
from refilm.models.rng import generator_for

FPS = 24  # of a path
_MAX_FREQUENCY = 0.25  # of the fastest wave, in Hz: one picture becomes an unrelated one in about two seconds


def check_samples(model: Model, path: str) -> None:
    """Raises RefilmError if a model, named by its file, has no prior to draw from."""
    if not model.recipe.spec.samples:
        raise RefilmError(
            f"{path}: recipe {model.recipe.recipe} has no prior to draw samples from: use a model of another recipe"
        )


def independent_noise(count: int, dim: int, seed: int) -> Tensor:
    """Standard normal numbers, float32 (count, dim); row n is a function of the seed and of n."""
    generators = (generator_for(seed, "samples", n) for n in range(count))
    return torch.stack([torch.randn(dim, generator=generator) for generator in generators])


def closed_path(seconds: float, dim: int, seed: int) -> Tensor:
    """Standard normal numbers for each frame of a loop: float32 (frames, dim), a function of the arguments alone.

    z(t) = sum over k of s (a_k cos kt + b_k sin kt), with a_k, b_k ~ N(0, I) and s^2 = 1 / number of waves, so that z(t) ~
    N(0, I) at every t. It is smooth and has the period 2 pi. Frame n of N is z(2 pi n / N): frame N would be frame 0, so
    the loop has no doubled and no missing frame.
    """
    frames = max(2, round(seconds * FPS))
    waves = max(1, math.floor(seconds * _MAX_FREQUENCY))
    a, b = (_coefficients(seed, name, waves, dim) for name in ("cosines", "sines"))
    angles = (
        2 * math.pi / frames * torch.outer(torch.arange(frames, dtype=torch.float64), torch.arange(1.0, waves + 1).double())
    )
    return ((angles.cos() @ a + angles.sin() @ b) / math.sqrt(waves)).float()


def _coefficients(seed: int, name: str, waves: int, dim: int) -> Tensor:
    """Standard normal numbers, float64 (waves, dim); row k is a function of the seed and of k."""
    generators = (generator_for(seed, f"drift {name}", k) for k in range(waves))
    return torch.stack([torch.randn(dim, generator=generator, dtype=torch.float64) for generator in generators])


def decode_path(model: Model, path: Tensor) -> Iterator[np.ndarray]:
    """The frames of a closed path (frames, dim), uint8 (n, H, W, 3) at a time.

    The last batch is filled from the start of the path: where the frames of a batch change each other, all have neighbours
    from the path.
    """
    batch = inference_batch(model)
    for start in range(0, len(path), batch):
        indices = torch.arange(start, start + batch) % len(path)
        yield sample_prior(model, path[indices])[: len(path) - start]
