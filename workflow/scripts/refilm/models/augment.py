"""Augmentation: frames as another film might have shot them, brighter or darker, nearer, mirrored.

A network that is trained on one film alone answers every other film with that one. With exposures and framings that the film
does not have, it learns what depends on its input. The target of an augmented frame is the augmented frame itself: a network
that is to undo the changes would answer with other colours and another framing (Feigin et al. 2020, arXiv:2011.13026).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

_NUMBERS = 6  # that are drawn for a frame
_MIN_VIEW = 0.65  # of the width and height of a frame
_GAIN = (-1.1, 0.5)  # logarithm of the factor of all values: 0.33 to 1.65
_GAMMA = (-0.6, 0.6)  # logarithm of the exponent of all values: 0.55 to 1.82


def draw_augmentations(count: int, generator: torch.Generator) -> Tensor:
    """Random augmentations of so many frames: (count, 6) in [0, 1)."""
    return torch.rand(count, _NUMBERS, generator=generator)


def augment(frames: Tensor, augmentations: Tensor) -> Tensor:
    """The frames, the first of them augmented: (B, 3, H, W) in [-1, 1] -> the same, channels_last.

    augmentations: (n, 6), of `draw_augmentations`, for the first n frames: the size of the view, its place across and down,
    whether it is mirrored, the gain and the gamma. What is brighter than white is clipped.
    """
    count = len(augmentations)
    if not count:
        return frames
    augmented = _exposed(_framed(frames[:count], augmentations), augmentations)
    return torch.cat([augmented, frames[count:]]).contiguous(memory_format=torch.channels_last)


def _framed(frames: Tensor, augmentations: Tensor) -> Tensor:
    """A part of each frame at its full size, by bilinear interpolation, every second one mirrored."""
    size, across, down, mirrored = augmentations[:, :4].to(frames.dtype).unbind(1)
    view = 1 - (1 - _MIN_VIEW) * size
    zero = torch.zeros_like(view)
    rows = [
        torch.stack([view * (1 - 2 * (mirrored < 0.5).to(view.dtype)), zero, (2 * across - 1) * (1 - view)], 1),
        torch.stack([zero, view, (2 * down - 1) * (1 - view)], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(frames.shape), align_corners=False)
    return F.grid_sample(frames, grid, padding_mode="border", align_corners=False)


def _exposed(frames: Tensor, augmentations: Tensor) -> Tensor:
    """Values v between black and white become gain * v ** gamma."""
    numbers = augmentations[:, 4:].to(frames.dtype)
    gain, gamma = (
        (low + (high - low) * numbers[:, n]).exp().view(-1, 1, 1, 1) for n, (low, high) in enumerate((_GAIN, _GAMMA))
    )
    values = frames.add(1).div(2).clamp(0, 1).pow(gamma)
    return (gain * values).clamp(0, 1).mul(2).sub(1)
