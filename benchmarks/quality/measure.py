"""All metrics of docs/quality.md for one reconstructed part of a film."""

from collections.abc import Iterable

import numpy as np
import torch

from benchmarks.quality.frames import Part
from benchmarks.quality.grid import grid_artefact_db
from benchmarks.quality.st_lpips import StLpips
from refilm.frames.store import FrameStore
from refilm.models import metrics

_NEIGHBOURS = 4  # pairs of frames on each side of a boundary that it is compared with: further away is other motion


def measure(
    part: Part, recon: Iterable[np.ndarray], st_lpips: StLpips | None, device: torch.device
) -> dict[str, float | None]:
    """recon: the part's frames in consecutive batches, uint8 (n, H, W, 3) each.

    psnr, psnr_worst (5 % quantile), psnr_pooled in dB; ssim; st_lpips; sharpness: mean gradient over the film's; colour:
    difference of a frame's mean colour, in grey levels; grid_artefact_db: of the reconstruction less that of the film;
    temporal: difference of a frame's change from the frame before, in grey levels; boundary: temporal across the boundaries
    of batches over that beside them (None if no boundary is inside a shot); frames: how many.
    """
    rows: dict[str, list] = {}
    with FrameStore(part.path) as film:
        start, before, boundaries = 0, None, []
        for batch in recon:
            boundaries.append(start)
            x, y = (torch.from_numpy(frames).to(device) for frames in (film[start : start + len(batch)], batch))
            values = _frame_metrics(x, y, st_lpips)
            first = (x[:1], y[:1]) if before is None else before
            values["temporal"] = metrics.temporal_error(*(torch.cat([a, b]) for a, b in zip(first, (x, y), strict=True)))
            for name, column in values.items():
                rows.setdefault(name, []).append(column.double().cpu().numpy())
            start, before = start + len(batch), (x[-1:], y[-1:])
    return _summary({name: np.concatenate(values) for name, values in rows.items()}, part.continuous, boundaries[1:])


def _frame_metrics(x: torch.Tensor, y: torch.Tensor, st_lpips: StLpips | None) -> dict[str, torch.Tensor]:
    """Columns of frames of the film, x, and of the reconstruction, y: uint8 (n, H, W, 3) -> (n,) each."""
    columns = {
        "psnr": metrics.psnr(x, y),
        "ssim": metrics.ssim(x, y),
        "film_sharpness": metrics.sharpness(x),
        "recon_sharpness": metrics.sharpness(y),
        "grid_artefact_db": grid_artefact_db(y) - grid_artefact_db(x),
        "colour": (x.double().mean(dim=(1, 2)) - y.double().mean(dim=(1, 2))).abs().mean(dim=1),
    }
    return columns | ({"st_lpips": st_lpips(x, y)} if st_lpips else {})


def _summary(rows: dict[str, np.ndarray], continuous: np.ndarray, starts: list[int]) -> dict[str, float | None]:
    temporal, pairs = rows["temporal"][1:], np.arange(1, len(continuous) + 1)
    distance = np.abs(pairs[:, None] - np.array(starts or [-1 - _NEIGHBOURS])).min(axis=1)
    across = temporal[continuous & (distance == 0)]
    beside = temporal[continuous & (distance > 0) & (distance <= _NEIGHBOURS)]
    values = {
        "psnr": rows["psnr"].mean(),
        "psnr_worst": np.quantile(rows["psnr"], 0.05),
        "psnr_pooled": metrics.pooled_psnr(torch.from_numpy(rows["psnr"])),
        "ssim": rows["ssim"].mean(),
        "st_lpips": rows["st_lpips"].mean() if "st_lpips" in rows else None,
        "sharpness": rows["recon_sharpness"].sum() / max(1e-9, rows["film_sharpness"].sum()),
        "colour": rows["colour"].mean(),
        "grid_artefact_db": rows["grid_artefact_db"].mean(),
        "temporal": temporal[continuous].mean() if continuous.any() else None,
        "boundary": across.mean() / beside.mean() if len(across) and beside.sum() > 0 else None,
    }
    rounded = {name: None if value is None else round(float(value), 4) for name, value in values.items()}
    return rounded | {"frames": len(rows["psnr"])}
