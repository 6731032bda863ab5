"""Confidence intervals by the bootstrap over shots.

The frames of a shot are alike, so they are no independent observations: what is drawn again and again, with replacement, are
whole shots (Efron and Tibshirani 1993, chapter 8). Of each shot only sums are kept, so a feature film takes no more memory
than its number of shots.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
_SEED = 0
_PERCENTILES = (2.5, 97.5)
_AT_ONCE = 100  # resamples

Statistic = Callable[[np.ndarray], np.ndarray]  # of totals (R, k) -> (R,)


@dataclass(frozen=True)
class Interval:
    """A statistic with its 95 % interval; frames, shots: of which it is."""

    value: float
    low: float
    high: float
    frames: int
    shots: int


def sums_of_groups(shots: np.ndarray, groups: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """The sum of the values of each group in each shot, then their number: float64 (shots, 2 * count).

    shots, groups, values: of each frame, (N,); groups are numbers from 0. Values that are not numbers do not count.
    """
    known = np.isfinite(values)
    _, rows = np.unique(shots[known], return_inverse=True)
    cells = rows * count + groups[known]
    size = (int(rows.max()) + 1 if len(rows) else 0) * count
    sums = np.bincount(cells, values[known], size).reshape(-1, count)
    return np.hstack([sums, np.bincount(cells, minlength=size).reshape(-1, count)])


def means_of_groups(totals: np.ndarray) -> np.ndarray:
    """The mean of each group from sums and numbers: (R, 2 * count) -> (R, count); not a number for an empty one."""
    sums, numbers = np.hsplit(totals, 2)
    means: np.ndarray = np.divide(sums, numbers, out=np.full(sums.shape, np.nan), where=numbers > 0)
    return means


def bootstrap(sums: np.ndarray, statistic: Statistic, frames: int) -> Interval:
    """A statistic of sums over all shots, (shots, k), with its interval. frames: that the sums are of."""
    shots = len(sums)
    if not shots:
        return Interval(np.nan, np.nan, np.nan, frames, 0)
    random, drawn = np.random.default_rng(_SEED), []
    for _ in range(RESAMPLES // _AT_ONCE):
        times = random.multinomial(shots, np.full(shots, 1 / shots), _AT_ONCE)
        drawn.append(statistic(times @ sums))
    values = np.concatenate(drawn)
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, _PERCENTILES) if len(known) else (np.nan, np.nan)
    return Interval(float(statistic(sums.sum(axis=0)[None])[0]), float(low), float(high), frames, shots)
