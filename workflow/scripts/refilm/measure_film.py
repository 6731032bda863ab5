"""Measure how close each frame of a reconstruction is to the film: a row per frame.

    python -m refilm.measure_film --frames results/frames/256x144/bikes.h5 --latents results/latents/bikes_by_bikes.h5
        --model results/models/bikes/model.safetensors --metrics results/metrics/bikes_by_bikes.csv

frame, seconds; psnr in dB; ssim; film_motion, recon_motion: mean change from the frame before in grey levels, and
temporal_error: mean difference of the two changes; film_contrast, recon_contrast; film_sharpness, recon_sharpness;
composition: correlation of thumbnails of 16x9 areas; brightness_error: mean luma less the film's, and colour_error: mean
difference of the mean colours, in grey levels; motion_correlation: correlation of the thumbnails' changes from the frame
before; static_kept, static_along: where film_motion is 0.25 to 1.5, the share of the film's change that is there, and the
correlation of the two.

A value is missing where there is none: composition in even frames; changes in the first frame, and the last three columns in
the first of each shot too.
"""

import argparse
import math
from collections.abc import Callable, Iterator
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
from refilm.frames.shots import find_shots
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
        starts = [shot.start for shot in find_shots(film)]
        reconstruction = prefetch(decode_latents(model, latents))
        columns = _measure_film(film, reconstruction, f"measure {Path(args.metrics).stem}")
    pairs = _of_pairs(columns.pop("small_products"), columns.pop("products"), columns["film_motion"], starts)
    numbers = np.arange(len(columns["psnr"]))
    of_pairs = {name: measure(products) for name, (measure, products) in pairs.items()}
    table = pd.DataFrame({"frame": numbers, "seconds": numbers / float(film.fps), **columns, **of_pairs})
    with atomic_write(Path(args.metrics)) as partial:
        table.round(4).to_csv(partial, index=False)
    pooled = {name: measure(products.nansum(dim=0)).item() for name, (measure, products) in pairs.items()}
    print(f"{args.metrics}: {_summary(table, pooled)}")


def _measure_film(film: FrameStore, reconstruction: Iterator[np.ndarray], what: str) -> dict[str, Tensor]:
    """Columns of all frames, (N, ...) each, from batches of the reconstruction, uint8 (n, H, W, 3) each."""
    columns: dict[str, Tensor] = {}
    before, start = None, 0
    with progress_bar(what, len(film), " frames") as bar:
        for batch in reconstruction:
            pair = torch.from_numpy(film[start : start + len(batch)]), torch.from_numpy(batch)
            for name, values in _measure(pair, before).items():
                # in one block each: many small ones, kept between the large ones of the frames, would fragment the heap
                column = columns.setdefault(name, values.new_empty(len(film), *values.shape[1:]))
                column[start : start + len(batch)] = values
            before, start = (pair[0][-1:], pair[1][-1:]), start + len(batch)
            bar.update(len(batch))
    return columns


def _measure(pair: tuple[Tensor, Tensor], before: tuple[Tensor, Tensor] | None) -> dict[str, Tensor]:
    """Columns of consecutive frames, (n, ...) each. pair: of film and reconstruction, uint8 (n, H, W, 3); before: the frame
    before each, uint8 (1, H, W, 3), or None at the first frame, whose change is not a number."""
    long_x, long_y = pair if before is None else (torch.cat([a, b]) for a, b in zip(before, pair, strict=True))
    long_x, long_y = long_x.float(), long_y.float()
    x, y = long_x[-len(pair[0]) :], long_y[-len(pair[1]) :]
    small_x, small_y = metrics.thumbnails(long_x), metrics.thumbnails(long_y)
    changes_x, changes_y = metrics.changes(long_x), metrics.changes(long_y)
    changes = {
        "film_motion": metrics.motion(changes_x),
        "recon_motion": metrics.motion(changes_y),
        "temporal_error": metrics.temporal_error(changes_x, changes_y),
        "products": metrics.change_products(changes_x, changes_y),
        "small_products": metrics.change_products(*(metrics.changes(metrics.luma(z)) for z in (small_x, small_y))),
    }
    if before is None:
        changes = {name: torch.cat([torch.full_like(change[:1], torch.nan), change]) for name, change in changes.items()}
    luma_x, luma_y = metrics.luma(x), metrics.luma(y)
    for name, measure in (("contrast", metrics.contrast), ("sharpness", metrics.sharpness)):
        changes |= {f"film_{name}": measure(luma_x), f"recon_{name}": measure(luma_y)}
    small = small_x[-len(x) :], small_y[-len(x) :]
    answer = {
        "composition": metrics.composition(*small),
        "brightness_error": metrics.brightness_error(*small),
        "colour_error": metrics.colour_error(*small),
    }
    return {"psnr": metrics.psnr(x, y), "ssim": metrics.ssim(x, y)} | changes | answer


def _of_pairs(
    small_products: Tensor, products: Tensor, film_motion: Tensor, starts: list[int]
) -> dict[str, tuple[Callable[[Tensor], Tensor], Tensor]]:
    """(measure, products of changes that it is of, (N, 3)) for each column of pairs of frames; the products are not numbers
    where the column has no value. starts: the first frames of the shots, which have no frame before them."""
    inside = torch.ones(len(products), 1, dtype=torch.bool)
    inside[starts] = False
    static = products.where(inside & metrics.is_static(film_motion)[:, None], torch.nan)
    return {
        "motion_correlation": (metrics.along, small_products.where(inside, torch.nan)),
        "static_kept": (metrics.kept, static),
        "static_along": (metrics.along, static),
    }


def _summary(table: pd.DataFrame, pooled: dict[str, float]) -> str:
    """The film in one line. pooled: the columns of pairs of frames, each of all its pairs together."""
    psnr, of_film, brightness = table["psnr"], table["film_sharpness"].sum(), table["brightness_error"]
    pooled_psnr = metrics.pooled_psnr(torch.tensor(psnr.to_numpy()))
    sharpness = table["recon_sharpness"].sum() / of_film if of_film else math.nan  # of a film of even frames
    return (
        f"PSNR mean {psnr.mean():.2f}, pooled {pooled_psnr:.2f}, worst 5 % {psnr.quantile(0.05):.2f} dB; SSIM "
        f"{table['ssim'].mean():.3f}; sharpness {sharpness:.2f} of the film's; composition "
        f"{table['composition'].mean():.3f}, motion {pooled['motion_correlation']:.3f}; static pairs kept "
        f"{pooled['static_kept']:.3f}, along {pooled['static_along']:.3f}; brightness error {brightness.abs().mean():.2f} "
        f"(signed {brightness.mean():+.2f}), colour error {table['colour_error'].mean():.2f}"
    )


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--frames", required=True, help="frames file of the film")
    parser.add_argument("--latents", required=True, help="its latents")
    parser.add_argument("--model", required=True, help="the model that decodes them")
    parser.add_argument("--metrics", required=True, help="the CSV to write")
    add_option(parser, GlobalKeys, "device")
    run_command(main, parser)
