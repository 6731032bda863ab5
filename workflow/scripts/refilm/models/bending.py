"""Network bending: features of the decoder are transformed on their way (Broad et al. 2021, arXiv:2005.12420).

A transform is a function from features, (B, C, H, W) float32, and its parameters, (B, 1, 1, 1) each, to features of the same
shape. To add one: a function here, under a name of its own, and a line in refilm/config/transforms.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from refilm.config.transforms import TRANSFORMS
from refilm.core.curves import Curve
from refilm.core.errors import RefilmError
from refilm.models.base import Model
from refilm.models.rng import generator_for

_LEAST_SCALE = 0.01


def ablate(features: Tensor) -> Tensor:
    return torch.zeros_like(features)


def invert(features: Tensor) -> Tensor:
    return -features


def multiply(features: Tensor, by: Tensor) -> Tensor:
    return features * by


def threshold(features: Tensor, by: Tensor) -> Tensor:
    return (features > by).to(features.dtype)


def scale(features: Tensor, by: Tensor) -> Tensor:
    inverse = 1 / by.clamp_min(_LEAST_SCALE)
    return _resampled(features, inverse, 0 * by, 0 * by, 0 * by, inverse, 0 * by)


def translate(features: Tensor, x: Tensor, y: Tensor) -> Tensor:
    one = torch.ones_like(x)
    return _resampled(features, one, 0 * x, -2 * x, 0 * x, one, -2 * y)


def rotate(features: Tensor, by: Tensor) -> Tensor:
    cosine, sine, shape = by.deg2rad().cos(), by.deg2rad().sin(), features.shape[2] / features.shape[3]
    return _resampled(features, cosine, -shape * sine, 0 * by, sine / shape, cosine, 0 * by)


def flip(features: Tensor) -> Tensor:
    return features.flip(3)


def erode(features: Tensor, by: Tensor) -> Tensor:
    return -dilate(-features, by)


def dilate(features: Tensor, by: Tensor) -> Tensor:
    radii, widened = by.flatten().round().clamp_min(0).int(), features.clone()
    for radius in map(int, radii.unique()):
        rows = radii == radius
        widened[rows] = F.max_pool2d(features[rows], 2 * radius + 1, stride=1, padding=radius)
    return widened


def _resampled(features: Tensor, *matrix: Tensor) -> Tensor:
    """The features at other places: matrix, row by row, is the map (2, 3) from a place in the result to that in `features`,
    where each side of the picture is from -1 to 1. Beyond its edges the picture is mirrored, so that none are seen."""
    grid = F.affine_grid(torch.cat(matrix, 1).reshape(-1, 2, 3), list(features.shape), align_corners=False)
    return F.grid_sample(features, grid, padding_mode="reflection", align_corners=False)


_FUNCTIONS: dict[str, Callable[..., Tensor]] = {name: globals()[name] for name in TRANSFORMS}


@dataclass(frozen=True)
class Step:
    """A transform at some layers. layers: as of `Model.bent_modules`; channels: their numbers, none for all; share: of the
    channels, drawn at random, where they have no numbers; amount: 0 leaves the features as they are, 1 puts the
    transformed ones in their place; parameters: of its function, by name."""

    transform: str
    layers: tuple[int, ...]
    channels: tuple[int, ...] = ()
    share: float = 1.0
    amount: Curve = field(default_factory=lambda: Curve((0.0,), (1.0,)))
    parameters: Mapping[str, Curve] = field(default_factory=dict)


class Bending:
    """A model whose decoder is bent while the `with` block lasts. Call `at` before each batch that is decoded."""

    def __init__(self, model: Model, steps: Sequence[Step], fps: Fraction, first: int = 0, seed: int = 0):
        """fps: frames per second; first: the frame at which curves begin; seed: of random channels and of noise. Raises
        RefilmError for a layer that the decoder has not."""
        layers = model.bent_modules().keys()
        for layer in (layer for step in steps for layer in step.layers if layer not in layers):
            raise RefilmError(f"layer {layer}: {model.recipe.recipe} has the layers {', '.join(map(str, layers))}")
        self._model, self._steps, self._fps, self._first, self._seed = model, steps, fps, first, seed
        self._frames = range(1)
        self._hooks: list[Any] = []

    def __enter__(self) -> "Bending":
        for layer, module in self._model.bent_modules().items():
            steps = [(number, step) for number, step in enumerate(self._steps) if layer in step.layers]
            if steps:
                hook = module.register_forward_pre_hook(
                    lambda _module, given, layer=layer, steps=steps: (*given[:-1], self._bent(given[-1], layer, steps))
                )
                self._hooks.append(hook)
        return self

    def __exit__(self, *_exception: object) -> None:
        while self._hooks:
            self._hooks.pop().remove()

    def at(self, frames: range) -> None:
        """The frames that are decoded next; a batch that has more is filled up with the last one."""
        self._frames = frames

    def _bent(self, features: Tensor, layer: int, steps: list[tuple[int, Step]]) -> Tensor:
        bent = features.float().clone()
        with torch.autocast(bent.device.type, enabled=False):  # bfloat16 is too coarse for places in a picture
            for number, step in steps:
                channels = self._channels(number, step, layer, bent.shape[1]).to(bent.device)
                chosen = bent[:, channels]
                values = {name: self._values(curve, f"{number}/{name}", bent) for name, curve in step.parameters.items()}
                changed = _FUNCTIONS[step.transform](chosen, **values)
                bent[:, channels] = torch.lerp(chosen, changed, self._values(step.amount, f"{number}/amount", bent))
        return bent.to(features.dtype)

    def _values(self, curve: Curve, name: str, features: Tensor) -> Tensor:
        """The values of a curve at the frames of a batch: (B, 1, 1, 1)."""
        times = [float((frame - self._first) / self._fps) for frame in self._frames]
        values = [curve.at(time, f"{self._seed}/{name}") for time in times]
        values += values[-1:] * (len(features) - len(values))
        return torch.tensor(values, dtype=features.dtype, device=features.device)[:, None, None, None]

    def _channels(self, number: int, step: Step, layer: int, count: int) -> Tensor:
        """The channels of a layer that a step transforms: all, those that it numbers, or some drawn at random."""
        if step.channels:
            if max(step.channels) >= count:
                raise RefilmError(f"channel {max(step.channels)}: layer {layer} has {count}, from 0 to {count - 1}")
            return torch.tensor(step.channels)
        drawn = torch.randperm(count, generator=generator_for(self._seed, f"bend {number} layer {layer}", 0))
        return drawn[: max(1, round(step.share * count))].sort().values
