"""All metrics of docs/quality.md for one reconstructed part of a film."""

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from benchmarks.quality.frames import Part
from benchmarks.quality.grid import grid_artefact_db
from benchmarks.quality.st_lpips import StLpips
from benchmarks.quality.style import Style
from refilm.frames.store import FrameStore
from refilm.models import metrics

_NEIGHBOURS = 4  # pairs of frames on each side of a boundary that it is compared with: further away is other motion


def measure(
    part: Part, recon: Iterable[np.ndarray], st_lpips: StLpips | None, style: Style, device: torch.device
) -> dict[str, float | None]:
    """recon: the part's frames in consecutive batches, uint8 (n, H, W, 3) each.

    psnr, psnr_worst (5 % quantile), psnr_pooled in dB; ssim; st_lpips; sharpness: mean gradient over the film's;
    grid_artefact_db: of the reconstruction less that of the film; temporal: difference of a frame's change from the frame
    before, in grey levels; boundary: temporal across the boundaries of batches over that beside them (None if no boundary is
    inside a shot); composition: correlation of thumbnails; motion: that of their changes in all pairs of frames of a shot;
    brightness and brightness_bias: mean absolute and mean signed difference of a frame's luma, and colour: absolute
    difference of its mean colour, in grey levels; style: distance from the film that was trained on; static_kept and
    static_along: share and correlation of the changes in static pairs; static_pairs and frames: how many. None is what no
    frame has a value for.
    """
    of_frames: list[dict[str, Tensor]] = []
    of_pairs: list[dict[str, Tensor]] = []
    places, chosen = style.places(len(part.numbers)), []
    with FrameStore(part.path) as film:
        start, before, boundaries = 0, None, []
        for batch in recon:
            boundaries.append(start)
            chosen += [batch[place - start] for place in places if start <= place < start + len(batch)]
            pair = [torch.from_numpy(frames).to(device) for frames in (film[start : start + len(batch)], batch)]
            of_frames.append(_of_frames(*pair, st_lpips))
            of_pairs.append(_of_pairs(*(pair if before is None else map(torch.cat, zip(before, pair, strict=True)))))
            start, before = start + len(batch), [frames[-1:] for frames in pair]
    columns, pairs = _joined(of_frames), _joined(of_pairs)
    continuous = torch.from_numpy(part.continuous)
    static = continuous & metrics.is_static(pairs["film_motion"])
    values = _summary(columns) | {
        "temporal": pairs["temporal"][continuous].mean(),
        "boundary": _boundary(pairs["temporal"], continuous, boundaries[1:]),
        "motion": metrics.along(pairs["thumbnail_products"][continuous].sum(dim=0)),
        "style": style(torch.from_numpy(np.stack(chosen))),
        "static_kept": metrics.kept(pairs["products"][static].sum(dim=0)),
        "static_along": metrics.along(pairs["products"][static].sum(dim=0)),
    }
    rounded = {name: None if math.isnan(value) else round(float(value), 4) + 0.0 for name, value in values.items()}
    return rounded | {"static_pairs": int(static.sum()), "frames": len(part.numbers)}


def _joined(tables: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([table[name] for table in tables]).double().cpu() for name in tables[0]}


def _of_frames(x: Tensor, y: Tensor, st_lpips: StLpips | None) -> dict[str, Tensor]:
    """Columns of frames of the film, x, and of the reconstruction, y: uint8 (n, H, W, 3) -> (n,) each."""
    small = metrics.thumbnails(x), metrics.thumbnails(y)
    columns = {
        "psnr": metrics.psnr(x, y),
        "ssim": metrics.ssim(x, y),
        "film_sharpness": metrics.sharpness(metrics.luma(x)),
        "recon_sharpness": metrics.sharpness(metrics.luma(y)),
        "grid_artefact_db": grid_artefact_db(y) - grid_artefact_db(x),
        "composition": metrics.composition(*small),
        "brightness": metrics.brightness_error(*small),
        "colour": metrics.colour_error(*small),
    }
    return columns | ({"st_lpips": st_lpips(x, y)} if st_lpips else {})


def _of_pairs(x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Columns of each frame but the first with the one before it: uint8 (n, H, W, 3) -> (n - 1, ...) each."""
    changes = metrics.changes(x), metrics.changes(y)
    small = (metrics.changes(metrics.luma(metrics.thumbnails(frames))) for frames in (x, y))
    return {
        "temporal": metrics.temporal_error(*changes),
        "film_motion": metrics.motion(changes[0]),
        "products": metrics.change_products(*changes),
        "thumbnail_products": metrics.change_products(*small),
    }


def _summary(columns: dict[str, Tensor]) -> dict[str, Tensor]:
    """The part's values from those of its frames, (n,) each."""
    psnr, brightness = columns["psnr"], columns["brightness"]
    missing = torch.full_like(psnr, math.nan)
    return {
        "psnr": psnr.mean(),
        "psnr_worst": psnr.quantile(0.05),
        "psnr_pooled": metrics.pooled_psnr(psnr),
        "ssim": columns["ssim"].mean(),
        "st_lpips": columns.get("st_lpips", missing).mean(),
        "sharpness": columns["recon_sharpness"].sum() / columns["film_sharpness"].sum().clamp_min(1e-9),
        "grid_artefact_db": columns["grid_artefact_db"].mean(),
        "composition": columns["composition"].nanmean(),
        "brightness": brightness.abs().mean(),
        "brightness_bias": brightness.mean(),
        "colour": columns["colour"].mean(),
    }


def _boundary(temporal: Tensor, continuous: Tensor, starts: list[int]) -> Tensor:
    """Temporal error across the boundaries of batches, which begin at `starts`, over that beside them."""
    pairs = torch.arange(1, len(continuous) + 1)
    distance = (pairs[:, None] - torch.tensor(starts or [-1 - _NEIGHBOURS])).abs().amin(dim=1)
    across = temporal[continuous & (distance == 0)].mean()
    beside = temporal[continuous & (distance > 0) & (distance <= _NEIGHBOURS)].mean()
    return (across / beside).where(beside > 0, torch.nan)
