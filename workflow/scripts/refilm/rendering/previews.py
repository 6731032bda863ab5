"""Previews: the same few frames again and again while a model trains, as contact sheets that know what they show.

previews/step-000001200.png    frames of the films above what the model made of them after so many steps
previews/1f0c63a4e2d1/         those of another recipe that the model had before, by its key
"""

import re
from pathlib import Path

import numpy as np

from refilm.rendering.sheet import read_sheet, write_sheet

_NAME = re.compile(r"step-(\d+)\.png")


def write_preview(
    folder: Path, step: int, total: int, film: np.ndarray, rebuilt: np.ndarray, model: str, recipe: str
) -> Path:
    """Write one sheet and return its path.

    film, rebuilt: uint8 (n, H, W, 3) each; model: its name; recipe: its key, as StateFolder has it.
    """
    path = Path(folder) / f"step-{step:09}.png"
    caption = f"step {step:,} of {total:,}"
    write_sheet(path, {"film": film, "rebuilt": rebuilt}, model, caption, facts={"step": step, "recipe": recipe})
    return path


def preview_sheets(folder: Path) -> list[tuple[int, Path]]:
    """(step, sheet) of all previews, in the order of the steps."""
    found = [(int(match[1]), path) for path in Path(folder).glob("step-*.png") if (match := _NAME.fullmatch(path.name))]
    return sorted(found)


def read_previews(folder: Path, key: str, last: int) -> list[tuple[int, dict[str, np.ndarray]]]:
    """(step, {'film': frames, 'rebuilt': frames}) of the previews that a recipe made up to step `last`, in their order."""
    sheets = [(step, *read_sheet(path)) for step, path in preview_sheets(folder) if step <= last]
    return [(step, rows) for step, rows, facts in sheets if facts and facts["recipe"] == key]


def archive_other_recipes(folder: Path, key: str) -> None:
    """Previews of any recipe but this one go into a folder of their own, so that the memories of two are never mixed."""
    for _step, path in preview_sheets(folder):
        other = (read_sheet(path, frames=False)[1] or {}).get("recipe", "before")
        if other != key:
            (path.parent / other).mkdir(exist_ok=True)
            path.rename(path.parent / other / path.name)
