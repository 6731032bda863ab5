"""How near a reconstruction is to the film: metrics that need no network and no download, computed on the frames' device."""

import functools

import torch
from torch import Tensor

from refilm.core.colour import BT709_LUMA

_WINDOW, _SIGMA = 11, 1.5  # pixels, of Wang et al. 2004
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_ROWS, _COLUMNS = 9, 16  # of a thumbnail
_EVEN = 0.5  # grey levels: a thumbnail with a smaller standard deviation shows only noise
_TINY = 1e-6  # grey levels: what is smaller is rounding
STATIC = (0.25, 1.5)  # grey levels: mean absolute change of a static pair of frames


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


def thumbnails(frames: Tensor) -> Tensor:
    """Mean colours of 9 rows of 16 equal areas: (N, H, W, 3) -> float64 (N, 9, 16, 3). Their mean is that of the frame."""
    height, width = frames.shape[1:3]
    rows = _area_matrix(height, _ROWS, frames.device).T @ frames.double().flatten(2)
    across = _area_matrix(width, _COLUMNS, frames.device)
    return torch.einsum("nrwc,wk->nrkc", rows.unflatten(2, (width, 3)), across)


def composition(film: Tensor, reconstruction: Tensor) -> Tensor:
    """Correlation of the luma of the thumbnails of each frame, from -1 to 1: (N, 9, 16, 3) -> (N,).

    Not a number where the film's frame is even (a standard deviation below half a grey level), such as a black one. An even
    reconstruction of any other frame has 0.
    """
    x, y = (luma(small).flatten(1) for small in (film, reconstruction))
    x, y = x - x.mean(dim=1, keepdim=True), y - y.mean(dim=1, keepdim=True)
    of_film, of_recon = (z.square().mean(dim=1).sqrt() for z in (x, y))
    correlations = (x * y).mean(dim=1) / (of_film * of_recon).clamp_min(_TINY)
    return correlations.where(of_film >= _EVEN, torch.nan)


def brightness_error(film: Tensor, reconstruction: Tensor) -> Tensor:
    """Mean luma of the reconstruction less that of the film, in grey levels, from thumbnails: (N, 9, 16, 3) -> (N,)."""
    return (luma(reconstruction) - luma(film)).mean(dim=(1, 2))


def colour_error(film: Tensor, reconstruction: Tensor) -> Tensor:
    """Absolute difference of the mean colours in grey levels, a mean over channels, from thumbnails: (N, 9, 16, 3) ->
    (N,)."""
    return (reconstruction - film).mean(dim=(1, 2)).abs().mean(dim=1)


def change_products(film: Tensor, reconstruction: Tensor) -> Tensor:
    """Scalar products of the changes from frame to frame, film with reconstruction, film with film and reconstruction
    with reconstruction: (N, ...) -> float64 (N - 1, 3). The sums over some pairs of frames
    make `along`, `kept` and `excess` of them all."""
    x, y = (_changes(frames).flatten(1) for frames in (film, reconstruction))
    return torch.stack([(a * b).sum(dim=1) for a, b in ((x, y), (x, x), (y, y))], dim=1).double()


def along(products: Tensor) -> Tensor:
    """Correlation of changes, from -1 to 1, from `change_products` (..., 3) -> (...): 0 where the reconstruction is still,
    not a number where the film is. No mean is taken away: no change is zero."""
    both, film, recon = products.unbind(-1)
    return (both / (film.sqrt() * recon.sqrt()).clamp_min(_TINY)).where(film > _TINY, torch.nan)


def kept(products: Tensor) -> Tensor:
    """Share of the film's change that the reconstruction has, from `change_products` (..., 3) -> (...): 0 is still, 1
    moves as much in the same direction. Not a number where the film is still."""
    both, film, _ = products.unbind(-1)
    return (both / film.clamp_min(_TINY)).where(film > _TINY, torch.nan)


def excess(products: Tensor) -> Tensor:
    """Energy of the reconstruction's change that is not the film's, over the energy of the film's, from `change_products`
    (..., 3) -> (...): 0 moves only as the film does, 1 moves by itself as much as the film. Not a number where the film is
    still."""
    both, film, recon = products.unbind(-1)
    kept = both / film.clamp_min(_TINY)
    return (recon / film.clamp_min(_TINY) - kept.square()).where(film > _TINY, torch.nan)


def is_static(film_motion: Tensor) -> Tensor:
    """Whether pairs of frames of such a `motion` are nearly still, with a change that is not only noise: (N,) -> (N,)."""
    return (film_motion >= STATIC[0]) & (film_motion <= STATIC[1])


def luma(frames: Tensor) -> Tensor:
    """BT.709 luma in grey levels: (N, H, W, 3) -> float64 (N, H, W)."""
    return frames.double() @ torch.tensor(BT709_LUMA, dtype=torch.float64, device=frames.device)


def _blur(x: Tensor) -> Tensor:
    """Gaussian blur, whole windows only: (..., H, W) -> (..., H - 10, W - 10). As two products with banded matrices,
    which are several times as fast in float64 as convolutions of single channels."""
    return _window_matrix(x.shape[-2], x.device).T @ x @ _window_matrix(x.shape[-1], x.device)


def _changes(frames: Tensor) -> Tensor:
    """(N, ...) -> (N - 1, ...): of uint8 as float32, which holds them exactly, else as they are."""
    return frames.short().diff(dim=0).float() if frames.dtype == torch.uint8 else frames.diff(dim=0)


@functools.cache
def _area_matrix(length: int, count: int, device: torch.device) -> Tensor:
    """(length, count): column k is the mean over the k-th of `count` equal parts, of which a pixel may belong to two."""
    edges = torch.arange(count + 1, dtype=torch.float64) * length / count
    pixels = torch.arange(length, dtype=torch.float64)[:, None]
    overlap = torch.minimum(pixels + 1, edges[1:]) - torch.maximum(pixels, edges[:-1])
    return (overlap.clamp_min(0) * count / length).to(device)


@functools.cache
def _window_matrix(length: int, device: torch.device) -> Tensor:
    """(length, length - 10): column k weighs the pixels of the window that begins at k."""
    at = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    taps = torch.exp(-(at**2) / (2 * _SIGMA**2))
    matrix = torch.zeros(length, length - _WINDOW + 1, dtype=torch.float64)
    for k in range(matrix.shape[1]):
        matrix[k : k + _WINDOW, k] = taps / taps.sum()
    return matrix.to(device)
