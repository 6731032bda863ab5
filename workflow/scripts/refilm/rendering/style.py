"""One style for every picture: colours and type, in any script for which the system has a font.

Pillow shapes text by raqm where that is there: Arabic and Hebrew from right to left, Indic scripts with their ligatures.
"""

import functools
from itertools import groupby
from pathlib import Path
from unicodedata import category

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from refilm.core.progress import print_line

BACKGROUND = (14, 14, 15)
TITLE = (232, 230, 225)
REMARK = (140, 138, 133)
Colour = tuple[int, int, int]
SERIES = ("#e8a33d", "#5aa9c8", "#c8605a", "#8fb56a", "#a58bc4")  # distinct on the background for colour-blind people too


# DejaVu Sans comes with matplotlib and has Latin, Greek, Cyrillic, and what simple texts of a few other scripts need.
_USUAL_FONT = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
_LEAST_FOR_REMARK = 16  # times the size of the type
_OTHER_STYLES = ("bold", "black", "heavy", "italic", "oblique", "light", "thin", "condensed", "mono", "serif")
_PLACEHOLDERS = ("lastresort", "adobeblank")  # fonts that have a glyph for every character, and it says nothing
_INVISIBLE = ("Cc", "Cf", "Zl", "Zp", "Zs")  # categories of characters that need no glyph


@functools.cache
def font(size: int, file: str = _USUAL_FONT) -> ImageFont.FreeTypeFont:
    """A font at a size in pixels."""
    return ImageFont.truetype(file, size)


def text_height(size: int) -> int:
    """Height of a line of that size in pixels, the same for every text."""
    return sum(font(size).getmetrics())


def text_width(text: str, size: int) -> float:
    """Width of a line of text in pixels."""
    runs = _runs(text)
    spaces = font(size).getlength(" ") * (len(runs) - 1)
    return sum(font(size, file).getlength(run) for file, run in runs) + max(0, spaces)


def draw_line(draw: ImageDraw.ImageDraw, left: float, baseline: float, text: str, colour: Colour, size: int) -> None:
    """A line of text, each word of it in a font that has its characters."""
    for file, run in _runs(text):
        draw.text((left, baseline), run, colour, font(size, file), anchor="ls")
        left += font(size, file).getlength(run) + font(size).getlength(" ")


def draw_text(image: Image.Image, left: int, top: int, width: int, size: int, title: str, remark: str = "") -> None:
    """A line of text inside `width` pixels: the title, and after it a remark. Where they are too long the title has what the
    remark leaves, and half of the width at least; where there is hardly room for one, it has all. All lengths in pixels."""
    draw, baseline = ImageDraw.Draw(image), top + font(size).getmetrics()[0]
    gap = round(0.6 * size) if title else 0
    fits = text_width(title, size) + gap + text_width(remark, size) <= width
    if title and remark and not fits:
        remark = remark if width >= _LEAST_FOR_REMARK * size else ""
        title = shorten(title, size, max(width / 2, width - text_width(remark, size)) - gap if remark else width)
    place = text_width(title, size) + gap if title else 0
    draw_line(draw, left + place, baseline, shorten(remark, size, width - place), REMARK, size)
    draw_line(draw, left, baseline, shorten(title, size, width), TITLE, size)


def shorten(text: str, size: int, width: float) -> str:
    """The text, or its beginning and an ellipsis where it is wider than `width` pixels."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _runs(text: str) -> list[tuple[str, str]]:
    """(font file, words) of a text: neighbouring words of one font together, since a script may run from right to left."""
    words = [(_font_file("".join(sorted(set(word)))), word) for word in text.split()]
    return [(file, " ".join(word for _, word in run)) for file, run in groupby(words, key=lambda word: word[0])]


@functools.cache
def _font_file(characters: str) -> str:
    """The file of DejaVu Sans, or of a font of the system that has characters which it lacks, the plainest one first."""
    if not _missing(_USUAL_FONT, characters):
        return _USUAL_FONT
    files = [_USUAL_FONT, *sorted(_system_fonts(), key=_plainness)]
    best = min(files, key=lambda file: len(_missing(file, characters)))
    if missing := _missing(best, characters):
        print_line(f"no font has {missing}, shown as boxes: install one, such as Noto Sans of its script, and make it again")
    return best


@functools.cache
def _system_fonts() -> tuple[str, ...]:
    return tuple(font_manager.findSystemFonts())


def _plainness(file: str) -> tuple[int, bool, str]:
    """Less for a regular sans-serif."""
    name = Path(file).stem.lower().replace("sansserif", "sans")
    return sum(style in name for style in _OTHER_STYLES), "sans" not in name, file


def _missing(file: str, characters: str) -> str:
    """Those of the characters that a font has no glyph for."""
    glyphs = _glyphs(file)
    return "".join(each for each in characters if ord(each) not in glyphs and category(each) not in _INVISIBLE)


@functools.cache
def _glyphs(file: str) -> frozenset[int]:
    """The code points of a font that has any size; none of another file, nor of a font of placeholders."""
    try:
        face = FT2Font(file)
        usable = face.scalable and not any(name in file.lower() for name in _PLACEHOLDERS)
        return frozenset(face.get_charmap() if usable else ())
    except (OSError, RuntimeError):
        return frozenset()
