"""The figures of a run as a table, and its frames as a picture."""

import json
from pathlib import Path

import numpy as np

# (key, heading, decimals)
_CLOSENESS = [
    ("psnr", "PSNR mean", 2),
    ("psnr_worst", "5 %", 2),
    ("psnr_pooled", "pooled", 2),
    ("ssim", "SSIM", 3),
    ("st_lpips", "ST-LPIPS", 3),
    ("sharpness", "sharpness", 2),
    ("grid_artefact_db", "grid dB", 1),
    ("temporal", "temporal", 2),
    ("boundary", "batch boundary", 2),
]
_ANSWER = [
    ("composition", "composition", 3),
    ("motion", "motion", 3),
    ("static_kept", "static kept", 3),
    ("static_along", "along", 3),
    ("brightness", "brightness", 2),
    ("brightness_bias", "bias", 2),
    ("colour", "colour", 2),
    ("style", "style", 3),
]
_OF_FILM = {"composition": 1, "motion": 1, "static_kept": 1, "static_along": 1} | dict.fromkeys(
    ("brightness", "brightness_bias", "colour"), 0
)


def table(results: dict) -> str:
    """Markdown: how it was measured, then two tables for each part of film with a line per model, then the costs."""
    film, models = results["film"], results["models"]
    lines = [
        f"{film['name']}: {film['frames']:,} frames of {film['size']}, {film['held_out']:,} of them held out. "
        f"{results['budget']}. {results['machine']}; torch {results['torch']}; seed {results['seed']}; one run of each.",
        "",
        f"    {results['command']}",
        *(line for note in results["notes"] for line in ("", note)),
    ]
    for part, style in film["style"].items():
        found = {name: model["parts"][part] for name, model in models.items()}
        counts = next(iter(found.values()))
        lines += ["", f"**{part}** ({counts['frames']:,} frames)", ""]
        lines += _table(_CLOSENESS, {f"`{name}`": values for name, values in found.items()})
        lines += ["", f"**{part}**: the answer ({counts['static_pairs']:,} static pairs)", ""]
        lines += _table(_ANSWER, {"the film": _OF_FILM | {"style": style}} | {f"`{name}`": v for name, v in found.items()})
    return "\n".join([*lines, "", "**cost**", "", *_costs(models)])


def _table(columns: list[tuple[str, str, int]], rows: dict[str, dict]) -> list[str]:
    lines = _head(["", *(heading for _, heading, _ in columns)])
    for name, values in rows.items():
        lines.append(_line([name, *(_number(values[key], decimals) for key, _, decimals in columns)]))
    return lines


def _costs(models: dict[str, dict]) -> list[str]:
    lines = _head(["", "training s", "steps", "frames/s", "bits per pixel", "weights", "latents"])
    for name, model in models.items():
        bits = model["bits_per_pixel"]
        cells = [_number(model["seconds"], 0), _number(model["steps"], 0), _number(model["frames_per_s"], 0)]
        cells += [_number(bits["weights"] + bits["latents"], 3), _number(bits["weights"], 3), _number(bits["latents"], 3)]
        lines.append(_line([f"`{name}`", *cells]))
    return lines


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
    """quality.png from quality.npz: a column for the film and one for each model, a line for each frame."""
    from benchmarks.quality.columns import write_columns  # here, since a machine that only measures need not have matplotlib

    with np.load(folder / "quality.npz") as kept:
        columns = {str(name): kept[f"frames{n}"] for n, name in enumerate(kept["names"])}
        write_columns(folder / "quality.png", columns, title, [str(caption) for caption in kept["captions"]])
    return folder / "quality.png"
