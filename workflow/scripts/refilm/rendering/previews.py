"""Previews: contact sheets of the same few frames, made again and again while a model trains.

previews/step-000001200.png    frames of the films above their reconstructions after so many steps; or samples alone
previews/now.png, now.mp4      the same of the latest moment, with films that the model is not trained on; and as a clip
previews/1f0c63a4e2d1/         previews of another recipe that the model had before, by its key
"""

import re
from fractions import Fraction
from pathlib import Path

import numpy as np

from refilm import layout
from refilm.core.files import scratch_folder
from refilm.media.encode import encode_video
from refilm.rendering.comparison import Arrangement, Label
from refilm.rendering.sheet import Rows, read_sheet, write_sheet
from refilm.rendering.upscale import upscaled_size

_TRAINED_ON, _OTHER = "trained on", "not trained on"
_CLIP_HEIGHT = 288  # pixels of each picture
_CRF = 18
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


def write_now(
    folder: Path | str, rows: Rows, others: dict[str, Rows], model: str, step: str, key: str, provenance: str = ""
) -> None:
    """Write the sheet of now. rows: as of a preview; others: the same of each film that the model is not trained on, by its
    name; step: as text; model, key, provenance: as of a preview."""
    shown = {label: np.concatenate([frames, *(other[label] for other in others.values())]) for label, frames in rows.items()}
    own = len(next(iter(rows.values())))
    names = [_TRAINED_ON] * own + [f"{name}, {_OTHER}" for name, other in others.items() for _ in other["film"]]
    write_sheet(
        Path(folder) / layout.NOW_PICTURE,
        shown,
        model,
        step,
        names if others else None,
        metadata={"recipe": key},
        provenance=provenance,
    )


def write_now_clip(
    folder: Path | str, films: dict[str, Rows], fps: Fraction, model: str, step: str, provenance: str = ""
) -> None:
    """Write the clip of now: films by their names, each beside its reconstruction, one below the other."""
    pictures = [frames for rows in films.values() for frames in (rows["film"], rows["reconstruction"])]
    count, height, width, _ = pictures[0].shape
    labels = [label for name in films for label in (Label(name, "original"), Label(f"as remembered by {model}", step))]
    arrangement = Arrangement(
        len(pictures), "row" if len(films) == 1 else "grid", *upscaled_size((width, height), _CLIP_HEIGHT)
    )
    with scratch_folder() as scratch:
        arrangement.draw_labels(labels).save(scratch / "labels.png")
        encode_video(
            Path(folder) / layout.NOW_CLIP,
            (np.concatenate(frames) for frames in zip(*pictures, strict=True)),
            count,
            (width, height * len(pictures)),
            fps,
            _CRF,
            None,
            "",
            arrangement.filter(scratch / "labels.png"),
            provenance,
        )


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
    for path, other in [(path, _recipe_of(path)) for path in _files(Path(folder))]:
        if other != key:
            (path.parent / other).mkdir(exist_ok=True)
            path.rename(path.parent / other / path.name)
    for path in _files(Path(folder) / key):
        path.rename(Path(folder) / path.name)


def _files(folder: Path) -> list[Path]:
    """The previews of a folder, with those of now."""
    now = [folder / name for name in (layout.NOW_PICTURE, layout.NOW_CLIP)]
    return [*(path for _step, path in preview_sheets(folder)), *(path for path in now if path.exists())]


def _recipe_of(path: Path) -> str:
    """The key of the recipe whose preview a file is; for a clip, that of the picture beside it."""
    return str((read_sheet(path.with_suffix(".png"), frames=False)[1] or {}).get("recipe", "unknown"))
