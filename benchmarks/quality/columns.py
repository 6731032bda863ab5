"""The same frames of a film and of several models side by side, as one picture."""

from pathlib import Path

import numpy as np
from PIL import Image

from refilm.core.files import atomic_write
from refilm.rendering.style import BACKGROUND, draw_text, text_height

_MARGIN, _GAP, _TYPE = 24, 8, 15  # pixels


def write_columns(path: Path, columns: dict[str, np.ndarray], title: str, captions: list[str]) -> None:
    """Write a PNG with a column of frames for each label, and the label above it.

    columns: label -> uint8 (n, H, W, 3), all of the same shape; captions: a text below each of the n lines.
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
