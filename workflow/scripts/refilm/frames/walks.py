"""Walks through latents: sequences of latents that are computed where they are read.

Each class is a sequence made of others. `walk.at(indices)` is float32 (n, dim) for any frame numbers, `walk[10:20]` the same
for consecutive ones, and `len(walk)` the number of frames. Nothing holds more than the rows that a read needs, so a walk of
hours takes no more memory than one of seconds. A walk is a function of its arguments alone.

A closed walk is one whose first frame follows its last one as any frame follows another.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Protocol

import numpy as np

_BLOCK = 16384  # rows read at once for the statistics
_STRAIGHT = 1e-4  # radians: between nearer directions, and opposite ones, the way is a straight line
_REACH = 4  # standard deviations to each side that are smoothed over

Interpolation = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


class Store(Protocol):
    """Rows of a latents file: `refilm.frames.latents.LatentStore` or an array."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice, /) -> np.ndarray: ...


class Walk(ABC):
    """A sequence of latents."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def at(self, indices: np.ndarray) -> np.ndarray:
        """The latents of any frames: int64 (n,) -> float32 (n, dim)."""

    def __getitem__(self, frames: slice) -> np.ndarray:
        return self.at(np.arange(*frames.indices(len(self))))


class Film(Walk):
    """Consecutive frames of a latents file: `count` from `first` on."""

    def __init__(self, store: Store, first: int = 0, count: int | None = None):
        self._store, self._first = store, first
        self._count = len(store) - first if count is None else count

    def __len__(self) -> int:
        return self._count

    def at(self, indices: np.ndarray) -> np.ndarray:
        wanted, places = np.unique(indices, return_inverse=True)
        runs = np.split(wanted, np.flatnonzero(np.diff(wanted) > 1) + 1)  # a seam needs rows of both ends, and no others
        first = self._first
        rows = np.concatenate([self._store[first + int(run[0]) : first + int(run[-1]) + 1] for run in runs])
        return rows[places]


class Smoothed(Walk):
    """Each frame the mean of those around it, weighted by a Gaussian. deviation: its standard deviation in frames. At both
    ends the mean is of the frames that are there."""

    def __init__(self, walk: Walk, deviation: float):
        self._walk, reach = walk, int(np.ceil(_REACH * deviation))
        self._offsets = np.arange(-reach, reach + 1)
        self._weights = np.exp(-0.5 * (self._offsets / deviation) ** 2)

    def __len__(self) -> int:
        return len(self._walk)

    def at(self, indices: np.ndarray) -> np.ndarray:
        around = indices[:, None] + self._offsets
        weights = np.where((around >= 0) & (around < len(self)), self._weights, 0)
        wanted, places = np.unique(np.clip(around, 0, len(self) - 1), return_inverse=True)
        matrix = np.zeros((len(indices), len(wanted)))
        np.add.at(matrix, (np.arange(len(indices))[:, None], places.reshape(around.shape)), weights)
        smooth: np.ndarray = (matrix / matrix.sum(1, keepdims=True)) @ self._walk.at(wanted)
        return smooth.astype(np.float32)


class Closed(Walk):
    """A walk that is closed by blending its last frames into its first ones; it is shorter by those.

    blend: their number, at least 1 and at most half of the walk. The first frame is the one after the last frame that is
    left, and over `blend` frames the way turns from there into the beginning.
    """

    def __init__(self, walk: Walk, blend: int, between: Interpolation):
        self._walk, self._blend, self._between = walk, blend, between

    def __len__(self) -> int:
        return len(self._walk) - self._blend

    def at(self, indices: np.ndarray) -> np.ndarray:
        share = np.minimum(indices / self._blend, 1)
        ending = np.where(share < 1, indices + len(self), indices)
        return self._between(self._walk.at(ending), self._walk.at(indices), share * share * (3 - 2 * share))


class Paced(Walk):
    """A walk at another pace: floor((N - 1) / step) + 1 frames of N. step: frames of the walk from one frame to the next;
    between two of them is interpolated."""

    def __init__(self, walk: Walk, step: Fraction, between: Interpolation):
        self._walk, self._step, self._between = walk, step, between

    def __len__(self) -> int:
        return int((len(self._walk) - 1) / self._step) + 1

    def at(self, indices: np.ndarray) -> np.ndarray:
        before, rest = np.divmod(indices * self._step.numerator, self._step.denominator)
        if not rest.any():
            return self._walk.at(before)
        after = np.where(rest > 0, before + 1, before)
        return self._between(self._walk.at(before), self._walk.at(after), rest / self._step.denominator)


class Backwards(Walk):
    """A walk from its end to its beginning."""

    def __init__(self, walk: Walk):
        self._walk = walk

    def __len__(self) -> int:
        return len(self._walk)

    def at(self, indices: np.ndarray) -> np.ndarray:
        return self._walk.at(len(self) - 1 - indices)


class ThereAndBack(Walk):
    """A walk to its end and back: 2 N - 2 frames of N, closed. Its ends are there once, so that no frame is seen twice in a
    row."""

    def __init__(self, walk: Walk):
        self._walk = walk

    def __len__(self) -> int:
        return max(1, 2 * len(self._walk) - 2)

    def at(self, indices: np.ndarray) -> np.ndarray:
        return self._walk.at(np.minimum(indices, len(self) - indices)) if len(self) > 1 else self._walk.at(indices)


class Mixed(Walk):
    """Two walks in one, as long as the shorter. share: a function of frame numbers, of the second walk: 0 is the first walk
    alone, 1 the second."""

    def __init__(self, one: Walk, other: Walk, share: Callable[[np.ndarray], np.ndarray], between: Interpolation):
        self._one, self._other, self._share, self._between = one, other, share, between

    def __len__(self) -> int:
        return min(len(self._one), len(self._other))

    def at(self, indices: np.ndarray) -> np.ndarray:
        return self._between(self._one.at(indices), self._other.at(indices), self._share(indices))


class Through(Walk):
    """A walk of `count` frames through points. places: the frame, perhaps between two, at which each point is passed, in
    ascending order from 0 on; points: float32 (n, dim)."""

    def __init__(self, places: Sequence[float], points: np.ndarray, count: int, between: Interpolation):
        self._places, self._points, self._count, self._between = np.asarray(places, float), points, count, between

    def __len__(self) -> int:
        return self._count

    def at(self, indices: np.ndarray) -> np.ndarray:
        before = np.clip(np.searchsorted(self._places, indices, side="right") - 1, 0, len(self._places) - 2)
        share = (indices - self._places[before]) / (self._places[before + 1] - self._places[before])
        return self._between(self._points[before], self._points[before + 1], share)


class Directions:
    """The directions of latents, as `Spherical.directions` gives them, computed where they are read."""

    def __init__(self, store: Store, space: "Spherical"):
        self._store, self._space = store, space

    def __len__(self) -> int:
        return len(self._store)

    def __getitem__(self, frames: slice) -> np.ndarray:
        return self._space.directions(self._store[frames])


def linear(one: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The points between latents, (n, dim) both, on a straight line. share: (n,), 0 is `one` and 1 `other`, exactly."""
    share = np.asarray(share)[:, None]
    mixed: np.ndarray = ((1 - share) * one + share * other).astype(np.float32)
    return mixed


class Spherical:
    """Interpolation at the distance from the mean that latents have (Shoemake 1985; White 2016, arXiv:1609.04468).

    Half-way on a straight line between two unrelated frames latents are nearer to the mean than those of any frame, by a
    factor of 1.4, and decode to a greyer picture. Here the direction from the mean turns evenly, and the distance
    changes evenly from one frame's to the other's, both measured in standard deviations of each number. So it suits latents
    of a posterior near the standard normal prior, those of a weak prior, which lie elsewhere, and those of a linear code.
    """

    def __init__(self, mean: np.ndarray, deviation: np.ndarray):
        """mean, deviation: of each number, (dim,)."""
        self._mean, self._deviation = mean, np.where(deviation > 0, deviation, 1)

    def directions(self, latents: np.ndarray) -> np.ndarray:
        """The directions of latents from the mean, of length 1: (n, dim) both."""
        a = (latents - self._mean) / self._deviation
        directions: np.ndarray = a / np.maximum(np.linalg.norm(a, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return directions.astype(np.float32)

    def __call__(self, one: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
        share = np.asarray(share)
        a, b = ((latents - self._mean) / self._deviation for latents in (one, other))
        norm_a, norm_b = (np.linalg.norm(points, axis=1) for points in (a, b))
        with np.errstate(invalid="ignore", divide="ignore"):
            angle = np.arccos(np.clip((a * b).sum(1) / (norm_a * norm_b), -1, 1))
            norm, sine = (1 - share) * norm_a + share * norm_b, np.sin(angle)
            weights = [np.sin((1 - share) * angle) / sine * norm / norm_a, np.sin(share * angle) / sine * norm / norm_b]
        turns = (np.minimum(angle, np.pi - angle) > _STRAIGHT) & (share > 0) & (share < 1)
        mixed = self._mean + self._deviation * (weights[0][:, None] * a + weights[1][:, None] * b)
        return np.where(turns[:, None], mixed, linear(one, other, share)).astype(np.float32)

    @classmethod
    def of(cls, stores: Sequence[Store]) -> "Spherical":
        """With the mean and standard deviation of all latents of some files."""
        count, total, squares = 0, np.zeros(()), np.zeros(())
        for store in stores:
            for start in range(0, len(store), _BLOCK):
                block = store[start : start + _BLOCK].astype(np.float64)
                count, total, squares = count + len(block), total + block.sum(0), squares + (block**2).sum(0)
        mean = total / count
        return cls(mean, np.sqrt(np.maximum(squares / count - mean**2, 0)))


def way_over(directions: np.ndarray, start: int, end: int) -> list[int]:
    """The way from one point to another over points that lie near each other, by their numbers (Dijkstra 1959).

    directions: of length 1, (n, dim). It is the way with the least sum of the fourth powers of distances: several small
    steps are less than a large one, so it follows a shot from frame to frame, and leaves it where another one is nearest.
    """
    costs, before, left = np.full(len(directions), np.inf), np.zeros(len(directions), int), np.ones(len(directions), bool)
    costs[start] = 0
    while left[end]:
        here = int(np.where(left, costs, np.inf).argmin())
        left[here] = False
        reached = costs[here] + (2 - 2 * directions @ directions[here]).clip(0) ** 2
        nearer = left & (reached < costs)
        costs[nearer], before[nearer] = reached[nearer], here
    way = [end]
    while way[-1] != start:
        way.append(int(before[way[-1]]))
    return way[::-1]
