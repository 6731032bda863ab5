"""The figures of a run as a table, and its frames as a picture."""

import json
from pathlib import Path

import numpy as np

# (key, heading, decimals, direction of better)
_COLUMNS = [
    ("psnr", "PSNR mean", 2),
    ("psnr_worst", "5 %", 2),
    ("psnr_pooled", "pooled", 2),
    ("ssim", "SSIM", 3),
    ("st_lpips", "ST-LPIPS", 3),
    ("sharpness", "sharpness", 2),
    ("colour", "colour", 2),
    ("grid_artefact_db", "grid dB", 1),
    ("temporal", "temporal", 2),
    ("boundary", "batch boundary", 2),
]


def table(results: dict) -> str:
    """Markdown: how it was measured, then a table for each part of film with a line per recipe, then the costs."""
    film, models = results["film"], results["models"]
    lines = [
        f"{film['name']}: {film['frames']:,} frames of {film['size']}, {film['held_out']:,} of them held out. "
        f"Same for every recipe: {results['budget']}. {results['machine']}; torch {results['torch']}; seed "
        f"{results['seed']}; one run of each.",
        "",
        f"    {results['command']}",
    ]
    parts = dict.fromkeys(part for model in models.values() for part in model["parts"])
    for part in parts:
        frames = next(model["parts"][part]["frames"] for model in models.values() if part in model["parts"])
        lines += ["", f"**{part}** ({frames:,} frames)", "", *_head(["recipe", *(heading for _, heading, _ in _COLUMNS)])]
        for name, model in models.items():
            values = model["parts"][part]
            lines.append(_line([f"`{name}`", *(_number(values[key], decimals) for key, _, decimals in _COLUMNS)]))
    lines += [
        "",
        "**cost**",
        "",
        *_head(["recipe", "training s", "steps", "frames/s", "bits per pixel", "weights", "latents"]),
    ]
    for name, model in models.items():
        bits = model["bits_per_pixel"]
        cells = [_number(model["seconds"], 0), _number(model["steps"], 0), _number(model["frames_per_s"], 0)]
        cells += [_number(bits["weights"] + bits["latents"], 3), _number(bits["weights"], 3), _number(bits["latents"], 3)]
        lines.append(_line([f"`{name}`", *cells]))
    return "\n".join(lines)


def _head(cells: list[str]) -> list[str]:
    return [_line(cells), "|" + "---|" * len(cells)]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:,.{decimals}f}"


def write_results(folder: Path, results: dict, shown: dict[str, np.ndarray], captions: list[str]) -> None:
    """quality.json, and quality.npz: the frames that the picture shows."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = {f"frames{n}": frames for n, frames in enumerate(shown.values())}
    np.savez_compressed(folder / "quality.npz", captions=np.array(captions), names=np.array(list(shown)), **frames)
    (folder / "quality.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def draw(folder: Path, title: str) -> Path:
    """quality.png from quality.npz: a column for the film and one for each recipe, a line for each frame."""
    from benchmarks.quality.columns import write_columns  # here, since a machine that only measures need not have matplotlib

    with np.load(folder / "quality.npz") as kept:
        columns = {str(name): kept[f"frames{n}"] for n, name in enumerate(kept["names"])}
        write_columns(folder / "quality.png", columns, title, [str(caption) for caption in kept["captions"]])
    return folder / "quality.png"
