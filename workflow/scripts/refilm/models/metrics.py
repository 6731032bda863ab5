"""How near a rebuilt frame is to the film's, in numbers that need no network and no download; on the frames' device."""

import functools

import torch
from torch import Tensor

_LUMA = (0.2126, 0.7152, 0.0722)  # BT.709
_WINDOW, _SIGMA = 11, 1.5  # of Wang et al. 2004
_GRIDS = (2, 4, 8)  # pixels: what a decoder's last three doublings could weave
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def psnr(film: Tensor, rebuilt: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each frame in dB, over all its pixels and channels: uint8 (N, H, W, 3) -> (N,)."""
    squared = (film.double() - rebuilt.double()).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(255.0**2 / squared.clamp_min(1e-10))


def ssim(film: Tensor, rebuilt: Tensor) -> Tensor:
    """Structural similarity of each frame, a mean over channels (Wang et al. 2004: Gaussian window of 11 pixels, whole
    windows only): uint8 (N, H, W, 3) -> (N,)."""
    x, y = (frames.permute(0, 3, 1, 2).double() for frames in (film, rebuilt))
    blurred = [_blur(z) for z in (x, y, x * x, y * y, x * y)]
    mean_x, mean_y, square_x, square_y, product = blurred
    variance_x, variance_y = square_x - mean_x**2, square_y - mean_y**2
    covariance = product - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    return (likeness / ((mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2))).mean(dim=(1, 2, 3))


def contrast(frames: Tensor) -> Tensor:
    """Standard deviation of the luma in grey levels: (N, H, W, 3) -> (N,)."""
    return _luma(frames).std(dim=(1, 2), correction=0)


def sharpness(frames: Tensor) -> Tensor:
    """Mean absolute gradient of the luma, in grey levels a pixel: (N, H, W, 3) -> (N,)."""
    luma = _luma(frames)
    return (luma.diff(dim=1).abs().mean(dim=(1, 2)) + luma.diff(dim=2).abs().mean(dim=(1, 2))) / 2


def weave(frames: Tensor) -> Tensor:
    """How far the frequencies of a grid stand out of those around them, in dB of the luma's power, a mean over grids of 2, 4
    and 8 pixels across, down and both: (N, H, W, 3) -> (N,). About 0 for a picture without a grid. White noise of one grey
    level is added to all frequencies, since a grid that drowns in that is not seen."""
    luma = _luma(frames)
    height, width = luma.shape[1:]
    window = torch.outer(*(torch.hann_window(n, dtype=luma.dtype, device=luma.device) for n in (height, width)))
    power = torch.fft.fft2((luma - luma.mean((1, 2), keepdim=True)) * window).abs().square() + window.square().sum()
    steps = torch.arange(-5, 6, device=luma.device)
    far = torch.maximum(steps.abs()[:, None], steps.abs()[None])  # from the frequency in the middle
    found = []
    for grid in _GRIDS:
        across, down = round(width / grid), round(height / grid)
        for row, column in ((0, across), (down, 0), (down, across)):
            around = power[:, (row + steps)[:, None] % height, (column + steps)[None] % width]
            found.append(around[:, far <= 1].mean(1) / around[:, far >= 3].median(1).values)
    return 10 * torch.log10(torch.stack(found)).mean(0)


def motion(frames: Tensor) -> Tensor:
    """Mean absolute difference of each frame from the one before, in grey levels: (N, H, W, 3) -> (N - 1,)."""
    return frames.double().diff(dim=0).abs().mean(dim=(1, 2, 3))


def temporal_error(film: Tensor, rebuilt: Tensor) -> Tensor:
    """Mean absolute difference between the film's change from frame to frame and the rebuilt film's, in grey levels: what
    flickers, or fails to move: (N, H, W, 3) -> (N - 1,)."""
    return (film.double().diff(dim=0) - rebuilt.double().diff(dim=0)).abs().mean(dim=(1, 2, 3))


def _luma(frames: Tensor) -> Tensor:
    return frames.double() @ torch.tensor(_LUMA, dtype=torch.float64, device=frames.device)


def _blur(x: Tensor) -> Tensor:
    """Gaussian blur, whole windows only: (..., H, W) -> (..., H - 10, W - 10). As two products with banded matrices,
    which are several times as fast in float64 as convolutions of single channels."""
    return _window_matrix(x.shape[-2], x.device).T @ x @ _window_matrix(x.shape[-1], x.device)


@functools.cache
def _window_matrix(length: int, device: torch.device) -> Tensor:
    """(length, length - 10): column k weighs the pixels of the window that begins at k."""
    at = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    taps = torch.exp(-(at**2) / (2 * _SIGMA**2))
    matrix = torch.zeros(length, length - _WINDOW + 1, dtype=torch.float64)
    for k in range(matrix.shape[1]):
        matrix[k : k + _WINDOW, k] = taps / taps.sum()
    return matrix.to(device)
