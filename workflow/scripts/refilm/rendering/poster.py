"""Posters: a grid of many frames that fills a page, from left to right and from top to bottom, with the titles below."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from refilm.core.files import atomic_write
from refilm.core.provenance import KEY
from refilm.rendering.style import BACKGROUND, draw_text, text_height

_INCH = 25.4  # mm
_MARGIN = 0.03  # of the shorter side of the page
_TYPE = 0.4  # of the margin: the title stands in the lower one
_PDF_QUALITY = 95  # of the JPEG inside


@dataclass(frozen=True)
class Page:
    """A grid of frames on a page. width, height, margin, frame_width, frame_height: pixels."""

    width: int
    height: int
    dpi: int
    columns: int
    rows: int
    frame_width: int
    frame_height: int

    @classmethod
    def fit(cls, width: float, height: float, dpi: int, size: tuple[int, int], count: int) -> "Page":
        """The page of so many mm with the largest grid of at least `count` frames of the shape of `size`."""
        across, down = (round(side / _INCH * dpi) for side in (width, height))
        free_across, free_down = (side - 2 * _margin(across, down) for side in (across, down))
        for columns in range(1, free_across + 1):
            frame_width = free_across // columns
            frame_height = max(1, round(frame_width * size[1] / size[0]))
            rows = free_down // frame_height
            if columns * rows >= count:
                return cls(across, down, dpi, columns, rows, frame_width, frame_height)
        raise AssertionError("a pixel for each frame")

    def place(self, n: int) -> tuple[int, int]:
        """(left, top) of the n-th frame; the grid is in the middle of the page."""
        left = (self.width - self.columns * self.frame_width) // 2
        top = (self.height - self.rows * self.frame_height) // 2
        return left + n % self.columns * self.frame_width, top + n // self.columns * self.frame_height


def draw_poster(page: Page, frames: Iterable[np.ndarray], title: str, remark: str) -> Image.Image:
    """The frames, uint8 (H, W, 3) each, on the page, with a title below."""
    poster = Image.new("RGB", (page.width, page.height), BACKGROUND)
    size = page.frame_width, page.frame_height
    for n, frame in enumerate(frames):
        picture = Image.fromarray(frame)
        poster.paste(picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS), page.place(n))
    left, bottom = page.place(page.columns * page.rows)
    size_of_type = max(6, round(_TYPE * _margin(page.width, page.height)))
    top = bottom + (page.height - bottom - text_height(size_of_type)) // 2
    draw_text(poster, left, top, page.columns * page.frame_width, size_of_type, title, remark)
    return poster


def write_poster(poster: Image.Image, dpi: int, title: str, provenance: str, png: Path | str, pdf: Path | str) -> None:
    """Write a poster as PNG and as a PDF of the same size in mm. provenance: text of `refilm.core.provenance`, in both."""
    info = PngInfo()
    info.add_text(KEY, provenance)
    with atomic_write(Path(png)) as partial:
        poster.save(partial, pnginfo=info, dpi=(dpi, dpi))
    with atomic_write(Path(pdf)) as partial:
        # the same poster is the same file: no time of its making
        poster.save(partial, resolution=dpi, quality=_PDF_QUALITY, subsampling=0, title=title, keywords=provenance,
                    creationDate=None, modDate=None)  # fmt: skip


def _margin(width: int, height: int) -> int:
    return round(_MARGIN * min(width, height))
