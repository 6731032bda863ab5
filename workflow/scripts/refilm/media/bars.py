"""Black bars: where the picture lies inside the frame, and which part of it fills another shape."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from refilm.core.errors import RefilmError

# Fractions of the frames, chosen so that the films of test_film_in.py and test_hard_cases.py get their known boxes.
_EDGE_SHARE = 0.05  # that must agree on an edge: a glitch does not, a changed aspect ratio does
_BAR_SHARE = 0.2  # that must end at the edge of a bar; what is drawn on black ends somewhere else each time


@dataclass(frozen=True)
class Box:
    """A rectangle of whole pixels, x and y from the top left."""

    x: int
    y: int
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}:{self.height}:{self.x}:{self.y}"


def picture_box(edges: list[tuple[int, int, int, int]], width: int, height: int) -> Box:
    """The picture without its black bars, from the bright area (x1, x2, y1, y2; inclusive) of many frames.

    For each side the outermost edge on which a share of the frames agrees: dark scenes, credits and fades have edges
    further in, and single glitches are not shared. Frames that are almost black are left out. A side on which too few
    frames end at that edge has no bar: an animation on black only seems to have one.
    """
    edges = [(x1, x2, y1, y2) for x1, x2, y1, y2 in edges if x2 - x1 >= width // 4 and y2 - y1 >= height // 4]
    if not edges:
        return Box(0, 0, width, height)
    x1s, x2s, y1s, y2s = zip(*edges, strict=True)
    left, top = _edge(x1s, min, 0), _edge(y1s, min, 0)
    right, bottom = _edge(x2s, max, width - 1), _edge(y2s, max, height - 1)
    # Chroma is subsampled, so where there is a bar the box begins and ends on even pixels, inwards.
    left, top = left + left % 2, top + top % 2
    right = width if right == width - 1 else (right + 1) // 2 * 2
    bottom = height if bottom == height - 1 else (bottom + 1) // 2 * 2
    return Box(left, top, right - left, bottom - top)


def _edge(positions: tuple[int, ...], outermost: Callable[..., int], border: int) -> int:
    """The edge of the picture on one side, whose border is that of the frame; `outermost` is min or max."""
    counts = Counter(positions)
    shares = {edge: sum(counts[near] for near in (edge - 1, edge, edge + 1)) / len(positions) for edge in counts}
    agreed = outermost((edge for edge in counts if shares[edge] >= _EDGE_SHARE), default=border)
    return agreed if agreed != border and shares[agreed] >= _BAR_SHARE else border


def parse_crop_box(crop: str, width: int, height: int) -> Box:
    """The box 'W:H:X:Y' in a picture of that size. Raises RefilmError if it leaves the picture."""
    box_width, box_height, x, y = map(int, crop.split(":"))
    box = Box(x, y, box_width, box_height)
    inside = 0 <= x <= width - box_width and 0 <= y <= height - box_height
    if box.width < 1 or box.height < 1 or not inside:
        raise RefilmError(f"crop {crop}: not a valid crop of a picture of {width}x{height}: write W:H:X:Y inside it")
    return box


def fit_size(box: Box, sample_aspect: Fraction, width: int, height: int) -> tuple[int, int]:
    """(width, height) in pixels of the whole box, in its own shape, as large as it fits into width x height."""
    shape = Fraction(box.width, box.height) * sample_aspect
    return max(1, min(width, round(height * shape))), max(1, min(height, round(width / shape)))


def crop_to_aspect(box: Box, sample_aspect: Fraction, width: int, height: int) -> Box:
    """The largest part in the middle of `box` that has the shape of width x height square pixels."""
    shape = Fraction(width, height) / sample_aspect  # wanted width by height, in the film's own pixels
    fitted_width = min(box.width, _even(box.height * shape, box.width))
    fitted_height = min(box.height, _even(box.width / shape, box.height))
    x = box.x + (box.width - fitted_width) // 4 * 2
    y = box.y + (box.height - fitted_height) // 4 * 2
    return Box(x, y, fitted_width, fitted_height)


def _even(value: Fraction, limit: int) -> int:
    """The nearest even number, or the nearest number where the limit is too small for an even one to be near."""
    return round(value / 2) * 2 if limit >= 16 else max(1, round(value))
