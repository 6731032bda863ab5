"""Original and reconstructions in one picture: positions, labels, and the ffmpeg filter that arranges them."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import ffmpeg
import numpy as np
from ffmpeg.nodes import FilterableStream
from PIL import Image

from refilm.rendering.style import BACKGROUND, draw_text, text_height
from refilm.rendering.upscale import upscale


@dataclass(frozen=True)
class Label:
    """The text above a picture: a title and a remark."""

    title: str
    remark: str = ""


def labels_of(title: str, by: Sequence[str]) -> list[Label]:
    """The labels of a film's original and of its reconstructions by models of these titles."""
    return [Label(title, "original"), *(Label(title, f"as remembered by {model}") for model in by)]


def side_by_side(pictures: Iterable[Iterator[np.ndarray]]) -> Iterator[tuple[np.ndarray, ...]]:
    """The same frame of every picture, uint8 (H, W, 3), from their batches."""
    return zip(*map(chain.from_iterable, pictures), strict=True)


@dataclass(frozen=True)
class Arrangement:
    """Pictures of one size in a row, column or grid on a canvas. All lengths in pixels; the canvas has even sides."""

    count: int
    layout: str
    tile_width: int
    tile_height: int

    @property
    def columns(self) -> int:
        return {"row": self.count, "column": 1, "grid": math.ceil(math.sqrt(self.count))}[self.layout]

    @property
    def margin(self) -> int:
        return max(2, self.tile_height // 18)

    @property
    def type_size(self) -> int:
        return max(9, self.tile_height // 22)

    @property
    def label_height(self) -> int:
        return text_height(self.type_size) + self.margin // 3

    def place(self, n: int) -> tuple[int, int]:
        """(left, top) of the n-th picture; its label stands above it."""
        column, row = n % self.columns, n // self.columns
        left = self.margin + column * (self.tile_width + self.margin)
        top = self.margin + self.label_height + row * (self.tile_height + self.margin + self.label_height)
        return left, top

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the canvas."""
        last_column, _ = self.place(self.columns - 1)
        _, last_row = self.place(self.count - 1)
        width, height = last_column + self.tile_width + self.margin, last_row + self.tile_height + self.margin
        return width + width % 2, height + height % 2

    def draw_labels(self, labels: list[Label]) -> Image.Image:
        """The labels on a transparent canvas."""
        canvas = Image.new("RGBA", self.size, (*BACKGROUND, 0))
        for n, label in enumerate(labels):
            left, top = self.place(n)
            draw_text(canvas, left, top - self.label_height, self.tile_width, self.type_size, label.title, label.remark)
        return canvas

    def draw(self, frames: Sequence[np.ndarray], labels: Image.Image) -> Image.Image:
        """The pictures, uint8 (H, W, 3) each, on the canvas. labels: those of `draw_labels`."""
        canvas = Image.new("RGB", self.size, BACKGROUND)
        for n, frame in enumerate(frames):
            picture = Image.fromarray(frame)
            tile = (self.tile_width, self.tile_height)
            canvas.paste(picture if picture.size == tile else picture.resize(tile, Image.Resampling.BICUBIC), self.place(n))
        canvas.paste(labels, mask=labels)
        return canvas

    def filter(self, labels: Path, later: tuple[Path, int] | None = None) -> Callable[[FilterableStream], FilterableStream]:
        """A function from the ffmpeg-python stream of frames stacked vertically to the stream of the clip.

        labels: the file of `draw_labels`. The others are laid over the first picture: the clip has its frames and its
        timestamps, and the still image adds none. later: labels that take their place, and the frame from which on.
        """

        def arrange(stacked: FilterableStream) -> FilterableStream:
            copies = stacked.filter_multi_output("split", self.count)
            colour = "0x{:02x}{:02x}{:02x}".format(*BACKGROUND)
            canvas = self._tile(copies.stream(0), 0).filter_("pad", *self.size, *self.place(0), color=colour)
            for n in range(1, self.count):
                canvas = ffmpeg.filter_([canvas, self._tile(copies.stream(n), n)], "overlay", *self.place(n), format="gbrp")
            if later is None:
                return self._labelled(canvas, labels)
            canvas = self._labelled(canvas, labels, enable=f"lt(n,{later[1]})")
            return self._labelled(canvas, later[0], enable=f"gte(n,{later[1]})")

        return arrange

    def _labelled(self, canvas: FilterableStream, labels: Path, **when: str) -> FilterableStream:
        still = ffmpeg.input(f"file:{labels}")
        return ffmpeg.filter_([canvas, still], "overlay", 0, 0, format="gbrp", eof_action="repeat", **when)

    def _tile(self, stacked: FilterableStream, n: int) -> FilterableStream:
        """The n-th of the stacked pictures, upscaled."""
        tile = stacked.filter_("crop", "iw", f"ih/{self.count}", 0, f"{n}*ih/{self.count}")
        return upscale(tile, (self.tile_width, self.tile_height))
