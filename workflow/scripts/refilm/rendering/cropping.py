"""Frames of a film with the crop box drawn on them."""

from fractions import Fraction

import numpy as np
from PIL import Image, ImageDraw

from refilm.media.bars import Box
from refilm.rendering.style import SERIES, TITLE

_MAX_WIDTH, _MAX_HEIGHT = 320, 240  # pixels of a frame on the sheet
_DIMMED = 0.3  # brightness of what is cropped away
_LINE = 2  # pixels


def display_size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """(width, height) in pixels at which a picture is drawn, in its display shape. aspect: of a pixel, width by height."""
    shape = width * aspect / height
    drawn = min(Fraction(_MAX_WIDTH), _MAX_HEIGHT * shape)
    return max(1, round(drawn)), max(1, round(drawn / shape))


def draw_boxes(frames: np.ndarray, picture: tuple[int, int], picture_box: Box, crop_box: Box) -> np.ndarray:
    """Dim what is cropped away and draw the boxes: uint8 (n, H, W, 3) -> the same shape.

    picture: (width, height) in which the boxes are measured; picture_box: the picture inside its black bars, a thin line
    where it is larger than the crop; crop_box: the part that fills the frames.
    """
    _, height, width, _ = frames.shape
    scale = np.array([width / picture[0], height / picture[1]] * 2)
    drawn = []
    for frame in frames:
        image = Image.fromarray((frame * _DIMMED).astype(np.uint8))
        left, top, right, bottom = _corners(crop_box, scale)
        image.paste(Image.fromarray(frame[top:bottom, left:right]), (left, top))
        draw = ImageDraw.Draw(image)
        if picture_box != crop_box:
            _outline(draw, _corners(picture_box, scale), TITLE, 1)
        _outline(draw, (left, top, right, bottom), SERIES[0], _LINE)
        drawn.append(np.asarray(image))
    return np.stack(drawn)


def _corners(box: Box, scale: np.ndarray) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) in pixels of the drawn frame."""
    edges = np.array([box.x, box.y, box.x + box.width, box.y + box.height])
    left, top, right, bottom = np.rint(edges * scale).astype(int).tolist()
    return left, top, right, bottom


def _outline(
    draw: ImageDraw.ImageDraw, corners: tuple[int, int, int, int], colour: str | tuple[int, int, int], line: int
) -> None:
    left, top, right, bottom = corners
    if right - left > 2 * line and bottom - top > 2 * line:
        draw.rectangle((left, top, right - 1, bottom - 1), outline=colour, width=line)
