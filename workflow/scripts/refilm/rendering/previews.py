"""Previews: contact sheets of the same few frames, made again and again while a model trains.

previews/step-000001200.png    frames of the films above their reconstructions after so many steps; or samples alone
previews/1f0c63a4e2d1/         previews of another recipe that the model had before, by its key
"""

import re
from pathlib import Path

from refilm.rendering.sheet import Rows, read_sheet, write_sheet

_NAME = re.compile(r"step-(\d+)\.png")


def write_preview(folder: Path | str, step: int, total: int, rows: Rows, model: str, key: str, provenance: str = "") -> Path:
    """Write one sheet and return its path.

    rows: {'film': frames, 'reconstruction': frames} or {'sample': frames}, uint8 (n, H, W, 3) each; model: its name; key:
    the recipe's, `Recipe.state_key`; provenance: text of `refilm.core.provenance`, kept in the file.
    """
    path = Path(folder) / f"step-{step:09}.png"
    metadata: dict[str, str | int] = {"step": step, "recipe": key}
    write_sheet(path, rows, model, f"step {step:,} of {total:,}", metadata=metadata, provenance=provenance)
    return path


def preview_sheets(folder: Path | str) -> list[tuple[int, Path]]:
    """(step, sheet) of all previews, in the order of the steps."""
    sheets = [(int(match[1]), path) for path in Path(folder).glob("step-*.png") if (match := _NAME.fullmatch(path.name))]
    return sorted(sheets)


def read_previews(folder: Path | str, key: str, last: int) -> list[tuple[int, Rows]]:
    """(step, rows) of the previews of one recipe up to step `last`, in their order; rows as they were written."""
    sheets = [(step, *read_sheet(path)) for step, path in preview_sheets(folder) if step <= last]
    return [(step, rows) for step, rows, metadata in sheets if metadata and metadata["recipe"] == key]


def switch_previews(folder: Path | str, key: str) -> None:
    """Move previews of every other recipe into a folder of their own, and those of this one back from theirs, so that two
    trainings are never mixed."""
    for _step, path in preview_sheets(folder):
        other = str((read_sheet(path, frames=False)[1] or {}).get("recipe", "unknown"))
        if other != key:
            (path.parent / other).mkdir(exist_ok=True)
            path.rename(path.parent / other / path.name)
    for _step, path in preview_sheets(Path(folder) / key):
        path.rename(Path(folder) / path.name)
