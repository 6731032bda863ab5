"""Grid artefacts of an upsampling decoder: periodic patterns of 2, 4 or 8 pixels."""

import torch
from torch import Tensor

from refilm.models.metrics import luma

_PERIODS = (2, 4, 8)  # pixels: the grids that the last three upsamplings of a decoder can leave


def grid_artefact_db(frames: Tensor) -> Tensor:
    """Power of the luma at the frequencies of a grid over that of the frequencies around them, in dB: (N, H, W, 3) -> (N,).

    A mean over periods of 2, 4 and 8 pixels, horizontally, vertically and both; about 0 for a frame without a grid. White
    noise of one grey level is added to all frequencies, since a grid that is weaker than that is not visible.
    """
    y = luma(frames)
    height, width = y.shape[1:]
    window = torch.outer(*(torch.hann_window(n, dtype=y.dtype, device=y.device) for n in (height, width)))
    power = torch.fft.fft2((y - y.mean((1, 2), keepdim=True)) * window).abs().square() + window.square().sum()
    steps = torch.arange(-5, 6, device=y.device)
    distance = torch.maximum(steps.abs()[:, None], steps.abs()[None])
    ratios = []
    for period in _PERIODS:
        across, down = round(width / period), round(height / period)
        for row, column in ((0, across), (down, 0), (down, across)):
            around = power[:, (row + steps)[:, None] % height, (column + steps)[None] % width]
            ratios.append(around[:, distance <= 1].mean(1) / around[:, distance >= 3].median(1).values)
    return 10 * torch.log10(torch.stack(ratios)).mean(0)
