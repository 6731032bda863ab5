"""A training as a film: the same frames at every preview, with the originals beside them where the model reconstructs.

Previews follow each other at a constant pace. Early steps have many previews and late ones few, so the film is slow where
most changes. The last preview stays.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from refilm.rendering.style import BACKGROUND, REMARK, SERIES, TITLE, draw_line, font, shorten

SIZE = (1920, 1080)
FPS = Fraction(24)
_FIRST, _HELD, _BLENDED, _LAST = 24, 7, 7, 120  # frames: of the first preview, of each, between two, of the last
_MARGIN, _GAP, _PAIR_GAP = 48, 28, 4  # pixels
_TITLE, _TYPE = 34, 20  # pixels
_BASELINE, _LINE, _HEAD = 78, 104, 128  # pixels from the top: the text, the progress line, the first pictures
_LINE_COLOUR = (52, 51, 50)


@dataclass(frozen=True)
class TrainingFilm:
    """The film of a training.

    title: the model's; originals: uint8 (n, H, W, 3), or None for a model that does not reconstruct; previews: (step,
    frames of the model at that step), in order, at least one.
    """

    title: str
    originals: np.ndarray | None
    previews: list[tuple[int, np.ndarray]]

    def __len__(self) -> int:
        """The number of frames."""
        return _FIRST + (len(self.previews) - 1) * (_HELD + _BLENDED) + _LAST

    def frames(self) -> Iterator[np.ndarray]:
        """The frames one by one, uint8 (1080, 1920, 3)."""
        step, pictures = self.previews[0]
        yield from [self._draw(pictures, step, step)] * _FIRST
        for (before, old), (step, new) in pairwise(self.previews):
            for n in range(1, _BLENDED + 1):
                share = n / (_BLENDED + 1)
                blended = np.rint(old * (1 - share) + new * share).astype(np.uint8)
                yield self._draw(blended, step if share > 0.5 else before, before + share * (step - before))
            yield from [self._draw(new, step, step)] * _HELD
        step, pictures = self.previews[-1]
        yield from [self._draw(pictures, step, step)] * _LAST

    def _draw(self, pictures: np.ndarray, step: int, progress: float) -> np.ndarray:
        """One frame; step: the number that is written; progress: the step that the line has reached."""
        canvas, (tile, places) = self._background.copy(), self.tiles
        offset = 0 if self.originals is None else tile[0] + _PAIR_GAP
        for picture, (left, top) in zip(pictures, places, strict=True):
            canvas.paste(_resize(picture, tile), (left + offset, top))
        total, (left, right) = self.previews[-1][0], self._edges
        draw, counter, of = ImageDraw.Draw(canvas), f"{step:,}", f" of {total:,} steps"
        start = right - font(_TYPE).getlength(of) - font(_TITLE).getlength(counter)
        draw.text((start, _BASELINE), counter, TITLE, font(_TITLE), anchor="ls")
        draw.text((right, _BASELINE), of, REMARK, font(_TYPE), anchor="rs")
        draw.line((left, _LINE, left + (right - left) * progress / total, _LINE), SERIES[0], 3)
        return np.asarray(canvas)

    @functools.cached_property
    def _background(self) -> Image.Image:
        """What is the same in every frame: title, originals, the empty progress line."""
        canvas, (tile, places) = Image.new("RGB", SIZE, BACKGROUND), self.tiles
        left, right = self._edges
        title = shorten(self.title, _TITLE, (right - left) * 2 / 3)
        draw_line(ImageDraw.Draw(canvas), left, _BASELINE, title, TITLE, _TITLE)
        ImageDraw.Draw(canvas).line((left, _LINE, right, _LINE), _LINE_COLOUR, 3)
        for picture, place in zip(() if self.originals is None else self.originals, places, strict=False):
            canvas.paste(_resize(picture, tile), place)
        return canvas

    @functools.cached_property
    def _edges(self) -> tuple[int, int]:
        """Left and right edge of the pictures."""
        tile, places = self.tiles
        return min(x for x, _ in places), max(x for x, _ in places) + self._group_width(tile[0])

    def _group_width(self, tile_width: int) -> int:
        """Width of what stands together: a picture, or an original and its reconstruction."""
        return tile_width if self.originals is None else 2 * tile_width + _PAIR_GAP

    @functools.cached_property
    def tiles(self) -> tuple[tuple[int, int], list[tuple[int, int]]]:
        """((width, height) of a picture, (left, top) of each group) in pixels: as large as possible, centred."""
        count, height, width, _ = self.previews[0][1].shape
        room = (SIZE[0] - 2 * _MARGIN, SIZE[1] - _HEAD - _MARGIN)
        gap = self._group_width(0)

        def scale(columns: int) -> float:
            lines = -(-count // columns)
            across: float = (room[0] - (columns - 1) * _GAP - columns * gap) / (columns * (self._group_width(width) - gap))
            down: float = (room[1] - (lines - 1) * _GAP) / (lines * height)
            return min(across, down)

        columns = max(range(1, count + 1), key=scale)
        tile = (int(width * scale(columns)), int(height * scale(columns)))
        group, lines = self._group_width(tile[0]), -(-count // columns)
        left = (SIZE[0] - columns * group - (columns - 1) * _GAP) // 2
        top = _HEAD + (room[1] - lines * tile[1] - (lines - 1) * _GAP) // 2
        places = [(left + n % columns * (group + _GAP), top + n // columns * (tile[1] + _GAP)) for n in range(count)]
        return tile, places


def _resize(picture: np.ndarray, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)
