"""Measure how close each frame of a reconstruction is to the film: a row per frame.

    python -m refilm.measure_film --frames results/frames/256x144/bikes.h5 --latents results/latents/bikes_by_bikes.h5
        --model results/models/bikes/model.safetensors --metrics results/metrics/bikes_by_bikes.csv

frame, seconds; psnr in dB; ssim; film_motion, recon_motion: mean change from the frame before in grey levels, and
temporal_error: mean difference of the two changes; film_contrast, recon_contrast; film_sharpness, recon_sharpness.
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from refilm.config.keys import GlobalKeys, add_option
from refilm.core.command_line import command_parser, run_command
from refilm.core.files import atomic_write
from refilm.core.prefetch import prefetch
from refilm.core.progress import progress_bar
from refilm.frames.latents import LatentStore
from refilm.frames.store import FrameStore
from refilm.models import metrics
from refilm.models.device import choose_device
from refilm.models.inference import decode_latents
from refilm.models.model_file import load_model


def main(args: argparse.Namespace) -> None:
    with FrameStore(args.frames) as film, LatentStore(args.latents) as latents:
        model = load_model(args.model, choose_device(args.device))
        latents.check_model(model.recipe.latent_dim, args.model)
        latents.check_film(film, model.recipe.size)
        reconstruction = prefetch(decode_latents(model, latents))
        table = _measure_film(film, reconstruction, f"measure {Path(args.metrics).stem}")
    with atomic_write(Path(args.metrics)) as partial:
        table.round(4).to_csv(partial, index=False)
    print(f"{args.metrics}: {_summary(table)}")


def _measure_film(film: FrameStore, reconstruction: Iterator[np.ndarray], what: str) -> pd.DataFrame:
    """The table of all frames, from batches of the reconstruction, uint8 (n, H, W, 3) each."""
    tables: list[pd.DataFrame] = []
    before, start = None, 0
    with progress_bar(what, len(film), " frames") as bar:
        for batch in reconstruction:
            pair = torch.from_numpy(film[start : start + len(batch)]), torch.from_numpy(batch)
            numbers = np.arange(start, start + len(batch))
            columns = {"frame": numbers, "seconds": numbers / float(film.fps), **_measure(pair, before)}
            tables.append(pd.DataFrame({name: np.asarray(values) for name, values in columns.items()}))
            before, start = (pair[0][-1:], pair[1][-1:]), start + len(batch)
            bar.update(len(batch))
    return pd.concat(tables)


def _measure(pair: tuple[Tensor, Tensor], before: tuple[Tensor, Tensor] | None) -> dict[str, Tensor]:
    """Columns of consecutive frames, (n,) each. pair: of film and reconstruction, uint8 (n, H, W, 3); before: the frame
    before each, uint8 (1, H, W, 3), or None at the first frame, whose change is not a number."""
    x, y = pair
    columns = {"psnr": metrics.psnr(x, y), "ssim": metrics.ssim(x, y)}
    long_x, long_y = pair if before is None else (torch.cat([a, b]) for a, b in zip(before, pair, strict=True))
    changes = {
        "film_motion": metrics.motion(long_x),
        "recon_motion": metrics.motion(long_y),
        "temporal_error": metrics.temporal_error(long_x, long_y),
    }
    if before is None:
        changes = {name: torch.cat([torch.full((1,), torch.nan), change]) for name, change in changes.items()}
    for name, measure in (("contrast", metrics.contrast), ("sharpness", metrics.sharpness)):
        changes |= {f"film_{name}": measure(x), f"recon_{name}": measure(y)}
    return columns | changes


def _summary(table: pd.DataFrame) -> str:
    """The film in one line."""
    psnr, of_film = table["psnr"], table["film_sharpness"].sum()
    pooled = metrics.pooled_psnr(torch.tensor(psnr.to_numpy()))
    sharpness = table["recon_sharpness"].sum() / of_film if of_film else math.nan  # of a film of even frames
    return (
        f"PSNR mean {psnr.mean():.2f}, pooled {pooled:.2f}, worst 5 % {psnr.quantile(0.05):.2f} dB; SSIM "
        f"{table['ssim'].mean():.3f}; sharpness {sharpness:.2f} of the film's"
    )


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--frames", required=True, help="frames file of the film")
    parser.add_argument("--latents", required=True, help="its latents")
    parser.add_argument("--model", required=True, help="the model that decodes them")
    parser.add_argument("--metrics", required=True, help="the CSV to write")
    add_option(parser, GlobalKeys, "device")
    run_command(main, parser)
