"""Contact sheets: frames of the film above what became of them."""

from pathlib import Path

import numpy as np
from PIL import Image

from refilm.settings.files import partial_file
from refilm.viewing.style import BACKGROUND, draw_text, text_height

COLUMNS = 4
_MARGIN, _GAP, _PAIR_GAP = 24, 8, 2  # pixels: around the sheet, between groups, between a frame and its rebuilding
_TYPE = 15


def write_sheet(
    path: Path,
    rows: dict[str, np.ndarray],
    title: str,
    remark: str = "",
    times: list[str] | None = None,
    columns: int = COLUMNS,
) -> None:
    """Write a PNG of groups of frames that belong together, one above the other, in columns.

    rows: label -> uint8 (n, H, W, 3), all with the same shape, in the order in which they stand in a group;
    times: a text for each of the n groups; columns: how many groups stand side by side. The labels stand in the
    head, in the order of the rows.
    """
    frames = list(rows.values())
    count, height, width, _ = frames[0].shape
    columns = min(columns, count)
    lines = -(-count // columns)
    line = text_height(_TYPE)
    head = line + _GAP
    foot = line if times else 0
    group = len(frames) * height + (len(frames) - 1) * _PAIR_GAP + foot
    sheet = Image.new(
        "RGB",
        (2 * _MARGIN + columns * width + (columns - 1) * _GAP, 2 * _MARGIN + head + lines * group + (lines - 1) * 2 * _GAP),
        BACKGROUND,
    )
    inner = sheet.width - 2 * _MARGIN
    draw_text(sheet, _MARGIN, _MARGIN, inner, _TYPE, title, remark or "  above  ".join(rows))
    for n in range(count):
        left = _MARGIN + (n % columns) * (width + _GAP)
        top = _MARGIN + head + (n // columns) * (group + 2 * _GAP)
        for k, film in enumerate(frames):
            sheet.paste(Image.fromarray(film[n]), (left, top + k * (height + _PAIR_GAP)))
        if times:
            draw_text(sheet, left, top + group - foot, width, _TYPE - 4, "", times[n])
    with partial_file(path) as partial:
        sheet.save(partial)


def spread(count: int, wanted: int) -> list[int]:
    """`wanted` frame numbers spread evenly over a film of `count` frames, each in the middle of its stretch."""
    wanted = min(wanted, count)
    return [(2 * n + 1) * count // (2 * wanted) for n in range(wanted)]
