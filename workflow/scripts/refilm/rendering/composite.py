"""Original and reconstructions as the tiles of one video. A viewer that draws them from it draws them in step: they are
parts of the same frame.

Around each tile lies a gutter of its own edge, so that neither the encoder's blocks nor its coarser colour mix two tiles.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np

from refilm.media.encode import encode_video
from refilm.media.sound import Sound

_GUTTER = 8  # pixels of a frame, on each side: with frame sizes in multiples of 16, tiles begin at half a macroblock
_LEAST_HEIGHT = 288  # pixels of a tile, where the limit leaves room: smaller frames are enlarged by a whole number
_MOST = 4096  # pixels a side, that decoders of browsers take
_KEY_FRAME_SECONDS = 0.5  # a seek decodes from the key frame before it


@dataclass(frozen=True)
class Composite:
    """`count` tiles of frames of width x height pixels, in rows from left to right."""

    count: int
    width: int
    height: int

    @property
    def columns(self) -> int:
        return math.ceil(math.sqrt(self.count))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the canvas, in pixels of the frames."""
        rows = math.ceil(self.count / self.columns)
        return self.columns * (self.width + 2 * _GUTTER), rows * (self.height + 2 * _GUTTER)

    @property
    def factor(self) -> int:
        """By how much the canvas is enlarged: chroma of half the resolution then still has that of the frames."""
        return max(1, min(_LEAST_HEIGHT // self.height, _MOST // max(self.size)))

    @property
    def video_size(self) -> tuple[int, int]:
        """(width, height) of the video in pixels."""
        return self.size[0] * self.factor, self.size[1] * self.factor

    def place(self, n: int) -> tuple[int, int]:
        """(left, top) of the n-th tile on the canvas, without its gutter."""
        row, column = divmod(n, self.columns)
        return column * (self.width + 2 * _GUTTER) + _GUTTER, row * (self.height + 2 * _GUTTER) + _GUTTER

    def write(self, path: Path | str, pictures: Sequence[Iterable[np.ndarray]], count: int, fps: Fraction, crf: int,
              sound: Sound | None, label: str, provenance: str = "", title: str = "") -> None:  # fmt: skip
        """Write the video of `count` frames. pictures: of each tile its frames, uint8 (n, height, width, 3) at a time; the
        others: as of `encode_video`."""
        encode_video(path, self._draw(pictures), count, self.size, fps, crf, sound, label,
                     provenance=provenance, title=title, key_frames=max(1, round(_KEY_FRAME_SECONDS * fps)),
                     video_size=self.video_size)  # fmt: skip

    def _draw(self, pictures: Sequence[Iterable[np.ndarray]]) -> Iterator[np.ndarray]:
        """The canvas of each frame, uint8 (H, W, 3): always the same array, which the next frame overwrites."""
        width, height = self.size
        canvas = np.zeros((height, width, 3), np.uint8)
        for frames in zip(*map(chain.from_iterable, pictures), strict=True):
            for n, frame in enumerate(frames):
                self._paste(canvas, frame, *self.place(n))
            yield canvas

    def _paste(self, canvas: np.ndarray, frame: np.ndarray, left: int, top: int) -> None:
        right, bottom = left + self.width, top + self.height
        canvas[top:bottom, left:right] = frame
        rows = canvas[top:bottom]
        rows[:, left - _GUTTER : left], rows[:, right : right + _GUTTER] = frame[:, :1], frame[:, -1:]
        wide = canvas[:, left - _GUTTER : right + _GUTTER]
        wide[top - _GUTTER : top], wide[bottom : bottom + _GUTTER] = wide[top], wide[bottom - 1]
