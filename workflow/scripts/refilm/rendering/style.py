"""One style for every picture: colours and type."""

import functools
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

BACKGROUND = (14, 14, 15)
TITLE = (232, 230, 225)
REMARK = (140, 138, 133)
SERIES = ("#e8a33d", "#5aa9c8", "#c8605a", "#8fb56a", "#a58bc4")  # distinct on the background for colour-blind people too


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans at a size in pixels: it comes with matplotlib and has Latin, Greek and Cyrillic."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def text_height(size: int) -> int:
    """Height of a line of that size in pixels, the same for every text."""
    return sum(font(size).getmetrics())


def draw_text(image: Image.Image, left: int, top: int, width: int, size: int, title: str, remark: str = "") -> None:
    """A line of text inside `width` pixels: the title, and after it a remark if there is room. All lengths in pixels."""
    draw, face, gap = ImageDraw.Draw(image), font(size), round(0.6 * size) if title else 0
    remark_width = face.getlength(remark) + gap if remark else 0
    if remark and face.getlength(title) + remark_width <= width:
        draw.text((left + face.getlength(title) + gap, top), remark, REMARK, face)
    draw.text((left, top), shorten(title, face, width), TITLE, face)


def shorten(text: str, face: ImageFont.FreeTypeFont, width: float) -> str:
    """The text, or its beginning and an ellipsis where it is wider than `width` pixels."""
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"
