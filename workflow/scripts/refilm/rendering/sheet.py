"""Contact sheets: frames of the film above what became of them. A sheet can say where its frames are, and give them back."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from refilm.core.files import atomic_write
from refilm.rendering.style import BACKGROUND, draw_text, text_height

COLUMNS = 4
_MARGIN, _GAP, _PAIR_GAP = 24, 8, 2  # pixels: around the sheet, between groups, between a frame and its rebuilding
_TYPE = 15
_CHUNK = "refilm"  # name of the text in a PNG that says what is on it


def write_sheet(
    path: Path,
    rows: dict[str, np.ndarray],
    title: str,
    remark: str = "",
    times: list[str] | None = None,
    facts: dict | None = None,
    columns: int = COLUMNS,
) -> None:
    """Write a PNG of groups of frames that belong together, one above the other, in columns.

    rows: label -> uint8 (n, H, W, 3), all with the same shape, in the order in which they stand in a group;
    times: a text for each of the n groups; facts: what is kept in the file with the places of the frames, for
    `read_sheet`; columns: how many groups stand side by side. The labels stand in the head, in the order of the rows.
    """
    count, height, width, _ = next(iter(rows.values())).shape
    columns = min(columns, count)
    lines = -(-count // columns)
    line = text_height(_TYPE)
    head = line + _GAP
    foot = line if times else 0
    group = len(rows) * height + (len(rows) - 1) * _PAIR_GAP + foot
    sheet = Image.new(
        "RGB",
        (2 * _MARGIN + columns * width + (columns - 1) * _GAP, 2 * _MARGIN + head + lines * group + (lines - 1) * 2 * _GAP),
        BACKGROUND,
    )
    inner = sheet.width - 2 * _MARGIN
    draw_text(sheet, _MARGIN, _MARGIN, inner, _TYPE, title, remark or "  above  ".join(rows))
    places: dict[str, list] = {label: [] for label in rows}
    for n in range(count):
        left = _MARGIN + (n % columns) * (width + _GAP)
        top = _MARGIN + head + (n // columns) * (group + 2 * _GAP)
        for k, (label, film) in enumerate(rows.items()):
            places[label].append((left, top + k * (height + _PAIR_GAP)))
            sheet.paste(Image.fromarray(film[n]), places[label][-1])
        if times:
            draw_text(sheet, left, top + group - foot, width, _TYPE - 4, "", times[n])
    said = PngInfo()
    if facts is not None:
        said.add_text(_CHUNK, json.dumps({"facts": facts, "size": [width, height], "places": places}))
    with atomic_write(path) as partial:
        sheet.save(partial, pnginfo=said)


def read_sheet(path: Path, frames: bool = True) -> tuple[dict[str, np.ndarray], dict | None]:
    """(rows, facts) of a sheet that was written with facts; rows are empty where frames are not wanted, and facts None
    where the sheet does not say what it shows."""
    try:
        with Image.open(path) as sheet:
            said = json.loads(sheet.text[_CHUNK])
            if not frames:
                return {}, said["facts"]
            pixels, (width, height) = np.asarray(sheet), said["size"]
    except (OSError, KeyError, ValueError, AttributeError):  # no PNG, or one of another program
        return {}, None
    found = {
        label: np.stack([pixels[top : top + height, left : left + width] for left, top in places])
        for label, places in said["places"].items()
    }
    return found, said["facts"]


def write_columns(path: Path, columns: dict[str, np.ndarray], title: str, captions: list[str]) -> None:
    """Write a PNG of the same frames side by side, a column for each label, which stands over it.

    columns: label -> uint8 (n, H, W, 3), all with the same shape; captions: what is said of each of the n lines, under it.
    """
    count, height, width, _ = next(iter(columns.values())).shape
    line, label = text_height(_TYPE), text_height(_TYPE - 2)
    head = line + label + 2 * _GAP
    step = height + text_height(_TYPE - 4) + _GAP
    size = (2 * _MARGIN + len(columns) * (width + _GAP) - _GAP, 2 * _MARGIN + head + count * step - _GAP)
    sheet = Image.new("RGB", size, BACKGROUND)
    draw_text(sheet, _MARGIN, _MARGIN, sheet.width - 2 * _MARGIN, _TYPE, title)
    for k, (name, frames) in enumerate(columns.items()):
        left = _MARGIN + k * (width + _GAP)
        draw_text(sheet, left, _MARGIN + line + _GAP, width, _TYPE - 2, name)
        for n in range(count):
            sheet.paste(Image.fromarray(frames[n]), (left, _MARGIN + head + n * step))
    for n, caption in enumerate(captions):
        draw_text(sheet, _MARGIN, _MARGIN + head + n * step + height, size[0] - 2 * _MARGIN, _TYPE - 4, "", caption)
    with atomic_write(path) as partial:
        sheet.save(partial)
