"""How near a reconstruction is to the film: metrics that need no network and no download, computed on the frames' device."""

import functools

import torch
from torch import Tensor

from refilm.core.colour import BT709_LUMA

_WINDOW, _SIGMA = 11, 1.5  # pixels, of Wang et al. 2004
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def psnr(film: Tensor, reconstruction: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each frame in dB, over all its pixels and channels: uint8 (N, H, W, 3) -> (N,)."""
    squared = (film.double() - reconstruction.double()).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(255.0**2 / squared.clamp_min(1e-10))


def pooled_psnr(psnr: Tensor) -> Tensor:
    """PSNR over all pixels of some frames in dB, from the PSNR of each frame: (N,) -> ()."""
    return -10 * torch.log10((10 ** (-psnr.double() / 10)).mean())


def ssim(film: Tensor, reconstruction: Tensor) -> Tensor:
    """Structural similarity of each frame, a mean over channels (Wang et al. 2004: Gaussian window of 11 pixels, whole
    windows only): uint8 (N, H, W, 3) -> (N,)."""
    x, y = (frames.permute(0, 3, 1, 2).double() for frames in (film, reconstruction))
    blurred = [_blur(z) for z in (x, y, x * x, y * y, x * y)]
    mean_x, mean_y, square_x, square_y, product = blurred
    variance_x, variance_y = square_x - mean_x**2, square_y - mean_y**2
    covariance = product - mean_x * mean_y
    similarity = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    return (similarity / ((mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2))).mean(dim=(1, 2, 3))


def contrast(frames: Tensor) -> Tensor:
    """Standard deviation of the luma in grey levels: (N, H, W, 3) -> (N,)."""
    return luma(frames).std(dim=(1, 2), correction=0)


def sharpness(frames: Tensor) -> Tensor:
    """Mean absolute gradient of the luma, in grey levels a pixel: (N, H, W, 3) -> (N,)."""
    y = luma(frames)
    return (y.diff(dim=1).abs().mean(dim=(1, 2)) + y.diff(dim=2).abs().mean(dim=(1, 2))) / 2


def motion(frames: Tensor) -> Tensor:
    """Mean absolute difference of each frame from the one before, in grey levels: (N, H, W, 3) -> (N - 1,)."""
    return frames.double().diff(dim=0).abs().mean(dim=(1, 2, 3))


def temporal_error(film: Tensor, reconstruction: Tensor) -> Tensor:
    """Mean absolute difference between the film's change from frame to frame and the reconstruction's, in grey levels. It is
    high where the reconstruction flickers or fails to move: (N, H, W, 3) -> (N - 1,)."""
    return (film.double().diff(dim=0) - reconstruction.double().diff(dim=0)).abs().mean(dim=(1, 2, 3))


def luma(frames: Tensor) -> Tensor:
    """BT.709 luma in grey levels: (N, H, W, 3) -> float64 (N, H, W)."""
    return frames.double() @ torch.tensor(BT709_LUMA, dtype=torch.float64, device=frames.device)


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
