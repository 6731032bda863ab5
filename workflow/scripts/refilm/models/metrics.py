"""How near a reconstruction is to the film: metrics that need no network and no download, computed on the frames' device.

Frames are uint8, or float32 with the same values, in which they are computed: who needs several metrics converts once.
"""

import functools
import math

import torch
from torch import Tensor

from refilm.core.colour import BT709_LUMA

_WINDOW, _SIGMA = 11, 1.5  # pixels, of Wang et al. 2004
_GAUSS = [math.exp(-((k - _WINDOW // 2) ** 2) / (2 * _SIGMA**2)) for k in range(_WINDOW)]
_TAPS = [value / sum(_GAUSS) for value in _GAUSS]
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_ROWS, _COLUMNS = 9, 16  # of a thumbnail
_EVEN = 0.5  # grey levels: a thumbnail with a smaller standard deviation shows only noise
_TINY = 1e-6  # grey levels: what is smaller is rounding
STATIC = (0.25, 1.5)  # grey levels: mean absolute change of a static pair of frames


def psnr(film: Tensor, reconstruction: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each frame in dB, over all its pixels and channels: (N, H, W, 3) -> (N,)."""
    # Squares of whole numbers are exact in float32; their sum is not.
    squared = (film.float() - reconstruction.float()).square().mean(dim=(1, 2, 3), dtype=torch.float64)
    return 10 * torch.log10(255.0**2 / squared.clamp_min(1e-10))


def pooled_psnr(psnr: Tensor) -> Tensor:
    """PSNR over all pixels of some frames in dB, from the PSNR of each frame: (N,) -> ()."""
    return -10 * torch.log10((10 ** (-psnr.double() / 10)).mean())


def ssim(film: Tensor, reconstruction: Tensor) -> Tensor:
    """Structural similarity of each frame, a mean over channels (Wang et al. 2004: Gaussian window of 11 pixels, whole
    windows only): (N, H, W, 3) -> (N,)."""
    # One frame at a time, which stays in the cache of a processor.
    return torch.stack([_similarity(x.float(), y.float()) for x, y in zip(film, reconstruction, strict=True)]).double()


def contrast(luma: Tensor) -> Tensor:
    """Standard deviation of the luma in grey levels: (N, H, W) -> (N,)."""
    # std() is three times as slow
    return (luma - luma.mean(dim=(1, 2), keepdim=True)).square().mean(dim=(1, 2)).sqrt().double()


def sharpness(luma: Tensor) -> Tensor:
    """Mean absolute gradient of the luma, in grey levels a pixel: (N, H, W) -> (N,)."""
    return ((luma.diff(dim=1).abs().mean(dim=(1, 2)) + luma.diff(dim=2).abs().mean(dim=(1, 2))) / 2).double()


def changes(frames: Tensor) -> Tensor:
    """The difference of each frame from the one before: (N, ...) -> (N - 1, ...)."""
    return (frames.float() if frames.dtype == torch.uint8 else frames).diff(dim=0)


def motion(changes: Tensor) -> Tensor:
    """Mean absolute difference of each frame from the one before, in grey levels, from `changes` (N, H, W, 3) -> (N,)."""
    return changes.abs().mean(dim=(1, 2, 3)).double()


def temporal_error(film: Tensor, reconstruction: Tensor) -> Tensor:
    """Mean absolute difference between the film's change from frame to frame and the reconstruction's, in grey levels. It is
    high where the reconstruction flickers or fails to move. From `changes` (N, H, W, 3) -> (N,)."""
    return motion(film - reconstruction)


def thumbnails(frames: Tensor) -> Tensor:
    """Mean colours of 9 rows of 16 equal areas: (N, H, W, 3) -> float64 (N, 9, 16, 3). Their mean is that of the frame."""
    height, width = frames.shape[1:3]
    rows = (_area_matrix(height, _ROWS, frames.device).float().T @ frames.float().flatten(2)).double()
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
    with reconstruction, from `changes` (N, ...) -> float64 (N, 3). The sums over some pairs of frames make `along`, `kept`
    and `excess` of them all."""
    x, y = film.flatten(1), reconstruction.flatten(1)
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
    (..., 3) -> (...): 0 moves only as the film does, at 1 as much again moves independently. Not a number where the film is
    still."""
    both, film, recon = products.unbind(-1)
    kept = both / film.clamp_min(_TINY)
    return (recon / film.clamp_min(_TINY) - kept.square()).where(film > _TINY, torch.nan)


def is_static(film_motion: Tensor) -> Tensor:
    """Whether pairs of frames of such a `motion` are nearly still, with a change that is not only noise: (N,) -> (N,)."""
    return (film_motion >= STATIC[0]) & (film_motion <= STATIC[1])


def luma(frames: Tensor) -> Tensor:
    """BT.709 luma in grey levels: (N, H, W, 3) -> (N, H, W), of uint8 float32."""
    values = frames.float() if frames.dtype == torch.uint8 else frames
    return values @ torch.tensor(BT709_LUMA, dtype=values.dtype, device=frames.device)


def _similarity(x: Tensor, y: Tensor) -> Tensor:
    """SSIM of a frame: float32 (H, W, 3) each -> (). By sum and difference of the two, which need four blurred pictures
    instead of five."""
    pictures = torch.stack([x + y, x - y])
    means = _blur(pictures).square_()  # their difference is 4 mean(x) mean(y), their sum 2 (mean(x)² + mean(y)²)
    variances = _blur(pictures.square_()).sub_(means)  # in the same way
    top = (means[0] - means[1]).add_(2 * _C1).mul_((variances[0] - variances[1]).add_(2 * _C2))
    bottom = (means[0] + means[1]).add_(2 * _C1).mul_((variances[0] + variances[1]).add_(2 * _C2))
    return top.div_(bottom).mean()


def _blur(x: Tensor) -> Tensor:
    """Gaussian blur, whole windows only: (n, H, W, 3) -> (n, H - 10, W - 10, 3). As sums of shifted pictures, which are
    several times as fast on a CPU as convolutions of single channels."""
    for dim in (1, 2):
        length = x.shape[dim] - _WINDOW + 1
        blurred = x.narrow(dim, 0, length) * _TAPS[0]
        for k in range(1, _WINDOW):
            blurred.add_(x.narrow(dim, k, length), alpha=_TAPS[k])
        x = blurred
    return x


@functools.cache
def _area_matrix(length: int, count: int, device: torch.device) -> Tensor:
    """(length, count): column k is the mean over the k-th of `count` equal parts, of which a pixel may belong to two."""
    edges = torch.arange(count + 1, dtype=torch.float64) * length / count
    pixels = torch.arange(length, dtype=torch.float64)[:, None]
    overlap = torch.minimum(pixels + 1, edges[1:]) - torch.maximum(pixels, edges[:-1])
    return (overlap.clamp_min(0) * count / length).to(device)
