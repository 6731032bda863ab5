"""Contact sheets: frames in groups, one above the other. A sheet may keep in its metadata where its frames are."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from refilm.core.files import atomic_write
from refilm.core.provenance import KEY
from refilm.rendering.style import BACKGROUND, draw_text, text_height

COLUMNS = 4
_MARGIN, _GAP, _PAIR_GAP = 24, 8, 2  # pixels: around the sheet, between groups, between the frames of a group
_TYPE = 15  # pixels
_PNG_KEY = "refilm"  # of the text chunk that holds the metadata

Rows = dict[str, np.ndarray]  # label -> uint8 (n, H, W, 3), all of the same shape


@dataclass(frozen=True)
class _Grid:
    """Where groups of `rows` frames of width x height stand on a sheet. Lengths in pixels."""

    count: int
    columns: int
    rows: int
    width: int
    height: int
    foot: int

    @property
    def head(self) -> int:
        return text_height(_TYPE) + _GAP

    @property
    def group(self) -> int:
        """Height of a group, with the text below it."""
        return self.rows * self.height + (self.rows - 1) * _PAIR_GAP + self.foot

    @property
    def line_gap(self) -> int:
        """Between lines of groups: more than between columns, so that the frames of a group are seen as one."""
        return _GAP if self.rows == 1 and not self.foot else 2 * _GAP

    @property
    def size(self) -> tuple[int, int]:
        lines = -(-self.count // self.columns)
        width = self.columns * self.width + (self.columns - 1) * _GAP
        height = self.head + lines * self.group + (lines - 1) * self.line_gap
        return 2 * _MARGIN + width, 2 * _MARGIN + height

    def place(self, n: int, row: int = 0) -> tuple[int, int]:
        """(left, top) of a frame of the n-th group."""
        left = _MARGIN + (n % self.columns) * (self.width + _GAP)
        top = _MARGIN + self.head + (n // self.columns) * (self.group + self.line_gap)
        return left, top + row * (self.height + _PAIR_GAP)


def write_sheet(
    path: Path | str,
    rows: Rows,
    title: str,
    remark: str = "",
    times: list[str] | None = None,
    metadata: dict[str, str | int] | None = None,
    columns: int = COLUMNS,
    provenance: str = "",
) -> None:
    """Write a PNG of groups of frames that belong together.

    rows: label -> uint8 (n, H, W, 3), in the order in which they stand in a group; remark: after the title, by default the
    labels; times: a text below each of the n groups; metadata: kept in the file with the positions of the frames, for
    `read_sheet`; columns: number of groups side by side; provenance: text of `refilm.core.provenance`, kept in the file.
    """
    count, height, width, _ = next(iter(rows.values())).shape
    grid = _Grid(count, min(columns, count), len(rows), width, height, text_height(_TYPE) if times else 0)
    sheet = Image.new("RGB", grid.size, BACKGROUND)
    draw_text(sheet, _MARGIN, _MARGIN, sheet.width - 2 * _MARGIN, _TYPE, title, remark or "  above  ".join(rows))
    places = {label: [grid.place(n, row) for n in range(count)] for row, label in enumerate(rows)}
    for label, frames in rows.items():
        for frame, place in zip(frames, places[label], strict=True):
            sheet.paste(Image.fromarray(frame), place)
    for n, text in enumerate(times or []):
        left, top = grid.place(n)
        draw_text(sheet, left, top + grid.group - grid.foot, width, _TYPE - 4, "", text)
    with atomic_write(Path(path)) as partial:
        sheet.save(partial, pnginfo=_png_info(metadata, places, (width, height), provenance))


def _png_info(
    metadata: dict[str, str | int] | None,
    places: dict[str, list[tuple[int, int]]],
    size: tuple[int, int],
    provenance: str,
) -> PngInfo:
    """The text chunks of a PNG, none of what is not given."""
    info = PngInfo()
    if metadata is not None:
        info.add_text(_PNG_KEY, json.dumps({"metadata": metadata, "size": size, "places": places}))
    if provenance:
        info.add_text(KEY, provenance)
    return info


def read_sheet(path: Path | str, frames: bool = True) -> tuple[Rows, dict[str, str | int] | None]:
    """(rows, metadata) of a sheet that was written with metadata. Rows are empty with `frames` False; metadata is None for
    any other file."""
    try:
        with Image.open(path) as sheet:
            info = json.loads(sheet.text[_PNG_KEY])  # type: ignore[attr-defined]
            metadata = info["metadata"]
            if not frames:
                return {}, metadata
            pixels, (width, height) = np.asarray(sheet), info["size"]
    except (OSError, KeyError, ValueError, AttributeError):  # not a PNG, or one of another program
        return {}, None
    rows = {
        label: np.stack([pixels[top : top + height, left : left + width] for left, top in places])
        for label, places in info["places"].items()
    }
    return rows, metadata
