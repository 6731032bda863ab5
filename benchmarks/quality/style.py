"""Style: how unlike the small patches of some frames are to those of another film, wherever in the picture they lie.

Sliced Wasserstein distance of patches of 7x7 pixels of a Laplacian pyramid, as Karras et al. 2018 measure generated pictures
(Progressive Growing of GANs, arXiv:1710.10196, section 5). Two differences: patches are normalised by the mean and standard
deviation of the other film alone, so that a reconstruction without its contrast is unlike it, and all of the pyramid's three
levels count for one number.
"""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from refilm.core.sampling import evenly_spaced
from refilm.frames.store import FrameStore

_FRAMES = 256  # at most, of each side
_PATCHES = 64  # of a frame
_PATCH = 7  # pixels
_LEVELS = 3
_DIRECTIONS = 256
_LEAST = 0.01  # grey levels: the smallest standard deviation that patches are divided by


class Style:
    """The patches of a film, to which those of other frames are compared."""

    def __init__(self, film: Path | str, device: torch.device):
        """film: a frames file."""
        self._film, self._device = film, device
        self._films: dict[int, list[tuple[Tensor, Tensor, Tensor]]] = {}

    def places(self, count: int) -> list[int]:
        """Which of `count` frames are compared: as many as the film has, 256 at most, evenly spaced."""
        with FrameStore(self._film) as film:
            return evenly_spaced(count, min(_FRAMES, len(film)))

    def __call__(self, frames: Tensor) -> float:
        """The distance of frames, uint8 (n, H, W, 3), from as many of the film, of as many patches at the same
        random places: 0 for the same frames. In standard deviations of the film's patches, a mean over levels and
        directions."""
        if len(frames) not in self._films:
            self._films[len(frames)] = self._of_film(len(frames))
        distances = []
        for patches, (mean, std, sorted_) in zip(_patches(frames.to(self._device)), self._films[len(frames)], strict=True):
            distances.append((_projected(patches, mean, std) - sorted_).abs().mean())
        return torch.stack(distances).mean().item()

    def _of_film(self, count: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Of each level: mean and standard deviation of the channels, and the sorted projections of the film's patches."""
        with FrameStore(self._film) as film:
            frames = torch.from_numpy(film.read(evenly_spaced(len(film), count)))
        levels = []
        for patches in _patches(frames.to(self._device)):
            mean = patches.mean(dim=(0, 2), keepdim=True)
            std = patches.std(dim=(0, 2), correction=0, keepdim=True).clamp_min(_LEAST)
            levels.append((mean, std, _projected(patches, mean, std)))
        return levels


def _projected(patches: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Normalised patches (P, 3, 49) along random directions, sorted along each: (256, P)."""
    flat = ((patches - mean) / std).flatten(1)
    directions = torch.randn(_DIRECTIONS, flat.shape[1], generator=torch.Generator().manual_seed(0)).to(flat.device)
    return (F.normalize(directions) @ flat.T).sort(dim=1).values


def _patches(frames: Tensor) -> list[Tensor]:
    """uint8 (n, H, W, 3) -> of each level of the pyramid, patches at random places of each frame: (n * 64, 3, 49)."""
    generator = torch.Generator().manual_seed(0)
    patches = []
    for level in _pyramid(frames.permute(0, 3, 1, 2).float()):
        windows = level.unfold(2, _PATCH, 1).unfold(3, _PATCH, 1)
        sides = (len(level), _PATCHES)
        rows, columns = (torch.randint(windows.shape[k], sides, generator=generator).to(level.device) for k in (2, 3))
        numbers = torch.arange(len(level), device=level.device)[:, None]
        patches.append(windows[numbers, :, rows, columns].flatten(0, 1).flatten(2))
    return patches


def _pyramid(frames: Tensor) -> list[Tensor]:
    """The Laplacian pyramid of frames (n, 3, H, W), from fine to coarse; each level has half the height and width of the one
    before, and the last is the picture itself at that size."""
    levels = []
    for _ in range(_LEVELS - 1):
        small = _blurred(frames)[:, :, ::2, ::2]
        spread = torch.zeros_like(frames)
        spread[:, :, ::2, ::2] = 4 * small  # three of four pixels are zero
        levels.append(frames - _blurred(spread))
        frames = small
    return [*levels, frames]


def _blurred(x: Tensor) -> Tensor:
    """Blurred with the binomial 1 4 6 4 1 along both axes: (n, 3, H, W) -> the same."""
    taps = torch.tensor([1, 4, 6, 4, 1], device=x.device) / 16
    padded = F.pad(x, (2, 2, 2, 2), "reflect")
    across = F.conv2d(padded, taps.expand(3, 1, 1, 5), groups=3)
    return F.conv2d(across, taps[:, None].expand(3, 1, 5, 1), groups=3)
