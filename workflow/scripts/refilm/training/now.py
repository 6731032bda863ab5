"""The picture of now: what a model makes of its own films and of others, renewed every minute while it trains.

Every ten minutes a clip too. What is computed here changes no weight, and takes a small share of the time: where it is slow,
it is renewed less often.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from refilm.core.errors import RefilmError
from refilm.core.sampling import evenly_spaced
from refilm.frames.store import FrameStore
from refilm.models.base import Model
from refilm.models.inference import reconstruct_frames

PICTURE_SECONDS, CLIP_SECONDS = 60.0, 600.0  # from one to the next
_SHARE = 0.02  # of the time that either may take
_LENGTH_SECONDS = 5  # of a clip
_FRAMES = 2  # of each film that the model is not trained on

Rows = dict[str, np.ndarray]


@dataclass(frozen=True)
class Now:
    """What a model makes after a step. rows: as those of a preview; others: the same of each film that it is not trained on,
    by its name."""

    step: int
    total: int
    rows: Rows
    others: dict[str, Rows]


@dataclass(frozen=True)
class NowClip:
    """Consecutive frames of films, by their names, and their reconstructions after a step, at `fps`."""

    step: int
    total: int
    films: dict[str, Rows]
    fps: Fraction


class Renewal:
    """When something that takes time is to be made again: every so many seconds, or later if it takes too much of them."""

    def __init__(self, seconds: float):
        self._seconds, self._next = seconds, time.monotonic() + seconds

    def is_due(self) -> bool:
        return time.monotonic() >= self._next

    @contextmanager
    def measured(self) -> Iterator[None]:
        """The block makes it."""
        began = time.monotonic()
        yield
        self._next = time.monotonic() + max(self._seconds, (time.monotonic() - began) / _SHARE)


def reconstruct_others(model: Model, files: Sequence[Path]) -> dict[str, Rows]:
    """Some frames of films that a model is not trained on, and their reconstructions."""
    others = {}
    for file in files:
        with FrameStore(file) as film:
            others[file.stem] = _reconstructed(model, film, evenly_spaced(len(film), _FRAMES))
    return others


def reconstruct_clip(model: Model, film: FrameStore, files: Sequence[Path]) -> dict[str, Rows]:
    """Seconds of the middle of a film that a model is trained on, and of the first one of `files`, at the rate of `film`."""
    count, rate = round(_LENGTH_SECONDS * film.fps), film.fps
    films = {film.path.stem: _reconstructed(model, film, _middle(film, count, rate))}
    for file in files[:1]:
        with FrameStore(file) as other:
            films[file.stem] = _reconstructed(model, other, _middle(other, count, rate))
    shortest = min(len(rows["film"]) for rows in films.values())
    return {name: {label: frames[:shortest] for label, frames in rows.items()} for name, rows in films.items()}


def _middle(film: FrameStore, count: int, fps: Fraction) -> list[int]:
    """Indices of `count` frames in the middle of a film, or of all if it is shorter, as they are seen at `fps`."""
    count = min(count, max(1, int(len(film) * fps / film.fps)))
    first = max(0, len(film) - int(count * film.fps / fps)) // 2
    return [first + int(n * film.fps / fps) for n in range(count)]


def _reconstructed(model: Model, film: FrameStore, indices: list[int]) -> Rows:
    if (film.width, film.height) != model.recipe.size:
        raise RefilmError(
            f"{film.path}: frames are {film.width}x{film.height}, not {model.recipe.frame_size}: extract others"
        )
    return {"film": film.read(indices), "reconstruction": reconstruct_frames(model, film, indices)}
