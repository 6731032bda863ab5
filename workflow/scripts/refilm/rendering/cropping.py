"""Which part of a film is seen: its frames with the chosen box drawn on them."""

from fractions import Fraction

import numpy as np
from PIL import Image, ImageDraw

from refilm.media.bars import Box
from refilm.rendering.style import SERIES, TITLE

_WIDEST, _HIGHEST = 320, 240  # pixels of a frame on the sheet
_LEFT_OUT = 0.3  # how bright what is left out is shown
_LINE = 2


def display_size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """(width, height) at which a picture of such pixels is drawn, in the shape in which it is meant."""
    shape = width * aspect / height
    drawn = min(Fraction(_WIDEST), _HIGHEST * shape)
    return max(1, round(drawn)), max(1, round(drawn / shape))


def draw_boxes(frames: np.ndarray, picture: tuple[int, int], found: Box, seen: Box) -> np.ndarray:
    """Frames uint8 (n, H, W, 3) of a picture of (width, height) pixels, with what is not `seen` dimmed.

    found: the picture inside its bars, a thin line where it is more than what is seen of it.
    """
    _, height, width, _ = frames.shape
    scale = np.array([width / picture[0], height / picture[1]] * 2)
    drawn = []
    for frame in frames:
        image = Image.fromarray((frame * _LEFT_OUT).astype(np.uint8))
        left, top, right, bottom = _corners(seen, scale)
        image.paste(Image.fromarray(frame[top:bottom, left:right]), (left, top))
        draw = ImageDraw.Draw(image)
        if found != seen:
            _outline(draw, _corners(found, scale), TITLE, 1)
        _outline(draw, (left, top, right, bottom), SERIES[0], _LINE)
        drawn.append(np.asarray(image))
    return np.stack(drawn)


def _corners(box: Box, scale: np.ndarray) -> tuple[int, ...]:
    edges = np.array([box.x, box.y, box.x + box.width, box.y + box.height])
    return tuple(int(edge) for edge in np.rint(edges * scale))


def _outline(draw: ImageDraw.ImageDraw, corners: tuple[int, ...], colour, line: int) -> None:
    left, top, right, bottom = corners
    if right - left > 2 * line and bottom - top > 2 * line:
        draw.rectangle((left, top, right - 1, bottom - 1), outline=colour, width=line)
