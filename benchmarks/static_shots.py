"""How much of the small changes in static shots survives, by recipe, with the ceiling; and a picture of it.

    python -m benchmarks.static_shots FRAMES PICTURE [--recipes hybrid broad2016 …] [--steps 1000] [--set KEY=VALUE …]
        [--at SECONDS] [--apart FRAMES] [--work FOLDER]

Each recipe is trained on the whole film, and all static pairs of neighbouring frames are measured (docs/quality.md): kept,
along and excess of their changes, and their temporal error, which is flicker. The ceiling: as many principal components as a
model has latents, fitted on each shot alone; a shot of no more frames than that it repeats exactly. Besides, as many of the
whole film. The second table is of the shot of the picture alone.

PSNR is pooled over the first frames of the pairs.
The picture shows frames of the film from --at on, --apart frames apart, and below each how it differs from the one before,
eight times as strong; then the same of each recipe.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import default_recipe, settings_of
from benchmarks.quality.linear import LinearCode
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.files import scratch_folder
from refilm.core.times import format_time
from refilm.frames.shots import find_shots
from refilm.frames.store import FrameStore
from refilm.models import metrics
from refilm.models.base import Model
from refilm.models.device import choose_device, full_float32
from refilm.models.inference import BATCH, decode_latents, encode_film
from refilm.rendering.sheet import write_sheet
from refilm.training.loop import train

CPU = torch.device("cpu")
_SHOWN, _LARGER = 6, 2  # frames of the picture, and how many times as large it shows them
_STRONGER = 8  # differences in the picture
_COLUMNS = ("kept", "along", "excess", "flicker", "PSNR")


def main(args: argparse.Namespace) -> None:
    with FrameStore(args.frames) as film, scratch_folder() as scratch:
        shots = find_shots(film)
        first = round(args.at * film.fps)
        shown = range(first - args.apart, first + _SHOWN * args.apart, args.apart)
        shot = next((shot for shot in shots if first in shot), None)
        if shot is None or shown[0] not in shot or shown[-1] not in shot:
            raise RefilmError(f"--at {args.at}: {_SHOWN} frames, {args.apart} apart, and one before are not in one shot")
        pairs = _pairs(film, shots)
        in_shot = pairs & (torch.arange(len(film) - 1) >= shot.start) & (torch.arange(len(film) - 1) < shot.stop - 1)
        frames = {"film": film.read(list(shown))}
        tables: dict[str, list[str]] = {f"{int(pairs.sum()):,} static pairs of {args.frames}": []}
        tables[f"the {int(in_shot.sum()):,} in the shot at {format_time(args.at)}"] = []
        dim = default_recipe().latent_dim
        works = {"ceiling": _shot_by_shot(film, shots, dim), "principal components": _components(film, dim)}
        for name, recon in (works | dict.fromkeys(args.recipes)).items():
            batches = recon or _reconstruct(_trained(name, args, film, Path(args.work or scratch)), film)
            measured, kept = _measure(film, batches, shown)
            for lines, which in zip(tables.values(), (pairs, in_shot), strict=True):
                lines.append(f"| {name} | {' | '.join(_summary(measured, which))} |")
            if recon is None:
                frames[name] = kept
            print(f"{name}: {_summary(measured, pairs)}", flush=True)
        _draw(args.picture, frames, [f"{float(n / film.fps):.2f} s" for n in shown[1:]])
    for title, lines in tables.items():
        print(f"\n{title}\n\n| | {' | '.join(_COLUMNS)} |\n{'|---' * (len(_COLUMNS) + 1)}|", *lines, sep="\n")


def _pairs(film: FrameStore, shots: list[range]) -> Tensor:
    """Whether each frame and the next are a static pair of one shot: (N - 1,)."""
    change = torch.cat([metrics.motion(metrics.changes(torch.from_numpy(film[n : n + 2]))) for n in range(len(film) - 1)])
    cuts = torch.tensor([shot.start - 1 for shot in shots if shot.start])
    change[cuts] = torch.nan
    return metrics.is_static(change)


def _trained(recipe: str, args: argparse.Namespace, film: FrameStore, work: Path) -> Model:
    name, _, own = recipe.partition(":")
    settings = settings_of([*args.set, *(own.split(",") if own else [])])
    made = default_recipe(recipe=name, frame_size=f"{film.width}x{film.height}", steps=args.steps, **settings)
    return train(made, [Path(args.frames)], work / recipe, choose_device("auto")).ema.eval()


def _reconstruct(model: Model, film: FrameStore) -> Iterator[np.ndarray]:
    yield from decode_latents(model, np.concatenate(list(encode_film(model, film))))


def _components(film: FrameStore, count: int) -> Iterator[np.ndarray]:
    yield from LinearCode(film, count, CPU).reconstruct(film, BATCH)


def _shot_by_shot(film: FrameStore, shots: list[range], count: int) -> Iterator[np.ndarray]:
    """Each shot by its own principal components."""
    for shot in shots:
        frames = torch.from_numpy(film[shot.start : shot.stop])
        flat = frames.flatten(1).float()
        mean = flat.mean(0)
        away = flat - mean
        with full_float32():
            weights = torch.linalg.eigh((away @ away.T).double())[1][:, -count:].float()
            recon = weights @ (weights.T @ away) + mean
        yield recon.round_().clamp_(0, 255).byte().view_as(frames).numpy()


def _measure(film: FrameStore, batches: Iterator[np.ndarray], shown: range) -> tuple[dict[str, Tensor], np.ndarray]:
    """(products and temporal errors of all pairs of neighbours, PSNR of the first of each; the frames that are shown)."""
    columns: list[tuple[Tensor, ...]] = []
    kept, start, before = [], 0, None
    for batch in batches:
        kept += [batch[n - start] for n in shown if start <= n < start + len(batch)]
        own = torch.from_numpy(film[max(0, start - 1) : start + len(batch)])
        recon = torch.from_numpy(batch if before is None else np.concatenate([before, batch]))
        changes = metrics.changes(own), metrics.changes(recon)
        of_pairs = metrics.change_products(*changes), metrics.temporal_error(*changes)
        columns.append((*of_pairs, metrics.psnr(own, recon)[:-1]))
        before, start = batch[-1:], start + len(batch)
    joined = map(torch.cat, zip(*columns, strict=True))
    return dict(zip(("products", "flicker", "psnr"), joined, strict=True)), np.stack(kept)


def _summary(measured: dict[str, Tensor], pairs: Tensor) -> list[str]:
    products = measured["products"][pairs].sum(0)
    shares = [of(products).item() for of in (metrics.kept, metrics.along, metrics.excess)]
    return [
        *(f"{share:.3f}" for share in shares),
        f"{measured['flicker'][pairs].mean():.2f}",
        f"{metrics.pooled_psnr(measured['psnr'][pairs]).item():.2f}",
    ]


def _draw(path: str, frames: dict[str, np.ndarray], times: list[str]) -> None:
    rows = {}
    for name, own in frames.items():
        large = own.repeat(_LARGER, 1).repeat(_LARGER, 2)
        change = np.diff(large.astype(np.int16), axis=0)
        rows[name] = large[1:]
        rows[f"{name}, change"] = (128 + _STRONGER * change).clip(0, 255).astype(np.uint8)
    remark = f"{', '.join(frames)}; below each how it differs from the frame before, {_STRONGER} times as strong"
    write_sheet(path, rows, "Static shots", remark, times, columns=_SHOWN)


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("frames", help="frames file of the film")
    parser.add_argument("picture", help="the PNG to write")
    parser.add_argument("--recipes", nargs="*", default=["broad2016", "hybrid"], help="NAME or NAME:key=value,key=value")
    parser.add_argument("--steps", type=int, default=1000, help="of each training (1000)")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of every recipe")
    parser.add_argument("--at", type=float, default=0.0, help="seconds of the first frame of the picture (0)")
    parser.add_argument("--apart", type=int, default=3, help="frames from one frame of the picture to the next (3)")
    parser.add_argument("--work", help="folder of the trainings; stopped ones continue from it (default: temporary)")
    run_command(main, parser)
