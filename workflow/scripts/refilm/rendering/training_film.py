"""A memory forming, as a film: the same frames at every preview of a training, the originals beside them.

Previews follow each other at one pace, and there are many of the first steps and few of the last: so the film is slow where
much happens. The last of them stays.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from PIL import Image, ImageDraw

from refilm.rendering.style import BACKGROUND, REMARK, SERIES, TITLE, font, shortened

SIZE = (1920, 1080)
FPS = Fraction(24)
_FIRST, _HELD, _BLENDED, _LAST = 24, 7, 7, 120  # frames: of the first preview, of each, from each to the next, of the last
_MARGIN, _GAP, _PAIR_GAP = 48, 28, 4  # pixels
_TITLE, _TYPE = 34, 20
_BASE, _LINE, _HEAD = 78, 104, 128  # where in the head the text stands, the line is, and the pictures begin


@dataclass(frozen=True)
class TrainingFilm:
    """The film of a training.

    title: the model's; originals: uint8 (n, H, W, 3); previews: (step, frames as rebuilt then) in order, one at least.
    """

    title: str
    originals: np.ndarray
    previews: list[tuple[int, np.ndarray]]

    def __len__(self) -> int:
        """How many frames the film has."""
        return _FIRST + (len(self.previews) - 1) * (_HELD + _BLENDED) + _LAST

    def frames(self) -> Iterator[np.ndarray]:
        """The film, uint8 (1080, 1920, 3) at a time."""
        step, now = self.previews[0]
        yield from [self._draw(now, step, step)] * _FIRST
        for (before, old), (step, new) in zip(self.previews, self.previews[1:], strict=False):
            for n in range(1, _BLENDED + 1):
                share = n / (_BLENDED + 1)
                mixed = np.rint(old * (1 - share) + new * share).astype(np.uint8)
                yield self._draw(mixed, step if share > 0.5 else before, before + share * (step - before))
            yield from [self._draw(new, step, step)] * _HELD
        step, now = self.previews[-1]
        yield from [self._draw(now, step, step)] * _LAST

    def _draw(self, rebuilt: np.ndarray, step: int, place: float) -> np.ndarray:
        """One frame; step: what is written, place: how far the line in the head has come."""
        canvas, (tile, places) = self._background.copy(), self._places
        for picture, (left, top) in zip(rebuilt, places, strict=True):
            canvas.paste(Image.fromarray(picture).resize(tile, Image.Resampling.BICUBIC), (left + tile[0] + _PAIR_GAP, top))
        total, (left, right) = self.previews[-1][0], self._edges
        draw, face = ImageDraw.Draw(canvas), font(_TITLE)
        counter, of = f"{step:,}", f" of {total:,} steps"
        start = right - font(_TYPE).getlength(of) - face.getlength(counter)
        draw.text((start, _BASE), counter, TITLE, face, anchor="ls")
        draw.text((right, _BASE), of, REMARK, font(_TYPE), anchor="rs")
        draw.line((left, _LINE, left + (right - left) * place / total, _LINE), SERIES[0], 3)
        return np.asarray(canvas)

    @functools.cached_property
    def _background(self) -> Image.Image:
        """What never changes: title, originals, the line that is to be filled."""
        canvas, (tile, places) = Image.new("RGB", SIZE, BACKGROUND), self._places
        left, right = self._edges
        title = shortened(self.title, font(_TITLE), (right - left) * 2 / 3)
        ImageDraw.Draw(canvas).text((left, _BASE), title, TITLE, font(_TITLE), anchor="ls")
        ImageDraw.Draw(canvas).line((left, _LINE, right, _LINE), (52, 51, 50), 3)
        for picture, (x, y) in zip(self.originals, places, strict=True):
            canvas.paste(Image.fromarray(picture).resize(tile, Image.Resampling.BICUBIC), (x, y))
        return canvas

    @functools.cached_property
    def _edges(self) -> tuple[int, int]:
        """Left and right edge of the pictures."""
        tile, places = self._places
        return min(x for x, _ in places), max(x for x, _ in places) + 2 * tile[0] + _PAIR_GAP

    @functools.cached_property
    def _places(self) -> tuple[tuple[int, int], list[tuple[int, int]]]:
        """((width, height) of a picture, (left, top) of each pair), as large as they fit, in the middle."""
        count, height, width, _ = self.originals.shape
        room = (SIZE[0] - 2 * _MARGIN, SIZE[1] - _HEAD - _MARGIN)

        def scale(columns: int) -> float:
            lines = -(-count // columns)
            across = (room[0] - (columns - 1) * _GAP - columns * _PAIR_GAP) / (2 * columns * width)
            return min(across, (room[1] - (lines - 1) * _GAP) / (lines * height))

        columns = max(range(1, count + 1), key=scale)
        tile = (int(width * scale(columns)), int(height * scale(columns)))
        pair, lines = 2 * tile[0] + _PAIR_GAP, -(-count // columns)
        left = (SIZE[0] - columns * pair - (columns - 1) * _GAP) // 2
        top = _HEAD + (room[1] - lines * tile[1] - (lines - 1) * _GAP) // 2
        places = [(left + n % columns * (pair + _GAP), top + n // columns * (tile[1] + _GAP)) for n in range(count)]
        return tile, places
