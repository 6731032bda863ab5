"""ST-LPIPS: the perceptual difference of two pictures, by a network that was trained on human judgements.

Ghildyal and Liu 2022, Shift-tolerant Perceptual Similarity Metric (arXiv:2207.13686), the variant on AlexNet. It is not
LPIPS and its values are not LPIPS's. The weights are the authors', BSD 2-Clause, out of the wheel `stlpips-pytorch`, of
which nothing but that file is read: the package itself wants torchvision.
"""

import importlib.util
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from refilm.core.errors import RefilmError

_WHEEL, _WEIGHTS = "stlpips_pytorch", "weights/vST0.0/alex_shift_tolerant.pth"
_TINY = 1e-10


class StLpips:
    """Called with two batches of frames, uint8 (N, H, W, 3) on its device, gives (N,) float32: 0 for the same picture;
    on frames of an animation some 0.1 for one blurred to half its resolution and 0.4 for one to an eighth."""

    def __init__(self, device: torch.device, weights: Path | str | None = None):
        """weights: the file, where the wheel is not installed. Raises RefilmError if there is none."""
        loaded = torch.load(weights or _installed(), map_location=device, weights_only=True)
        self.shift, self.scale = loaded["scaling_layer.shift"], loaded["scaling_layer.scale"]
        self.layers = [
            (loaded[f"net.{name}.weight"], loaded[f"net.{name}.bias"])
            for name in ("slice1.0", "slice2.5", "slice3.9", "slice4.11", "slice5.13")
        ]
        self.heads = [loaded[f"lin{n}.model.1.weight"] for n in range(5)]

    @torch.no_grad()
    def __call__(self, film: Tensor, recon: Tensor) -> Tensor:
        pairs = zip(self._features(film), self._features(recon), self.heads, strict=True)
        return sum(F.conv2d((x - y).square_(), head).mean(dim=(1, 2, 3)) for x, y, head in pairs)

    def _features(self, frames: Tensor):
        """Of each layer, every pixel's features at unit length: (N, C, h, w)."""
        x = (frames.permute(0, 3, 1, 2).float() / 127.5 - 1 - self.shift) / self.scale
        (first, second, *others) = self.layers
        x = F.conv2d(x, *first, padding=2)  # every pixel, and only then halved: what makes it tolerant of shifts
        x = _halved(x).relu_()
        yield _unit(x)
        x = F.conv2d(_halved(F.max_pool2d(x, 3, 1)), *second, padding=2).relu_()
        yield _unit(x)
        x = _halved(F.max_pool2d(x, 3, 1))
        for layer in others:
            x = F.conv2d(x, *layer, padding=1).relu_()
            yield _unit(x)


def _halved(x: Tensor) -> Tensor:
    """Blurred with the binomial 1 2 1, then every other pixel."""
    taps = torch.tensor([0.25, 0.5, 0.25], device=x.device)
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(x, (2, 2, 2, 2), "reflect"), kernel, stride=2, groups=x.shape[1])


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum(dim=1, keepdim=True).sqrt() + _TINY)


def _installed() -> Path:
    spec = importlib.util.find_spec(_WHEEL)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (file := Path(folder, _WEIGHTS)).exists():
            return file
    raise RefilmError("ST-LPIPS: its weights are not installed: pip install stlpips-pytorch==0.0.2, or name the file")
