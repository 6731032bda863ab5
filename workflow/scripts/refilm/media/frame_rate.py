"""The rate of a film, from the times of its frames and from what its header states."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np

MAX_FPS = 300  # frames per second: no film has more, so that a clock that says more is wrong
MAX_AWAY = Fraction(1, 10)  # seconds of a picture from its time
_DEFAULT_FPS = Fraction(25)  # of raw streams, which have neither times nor a rate: ffmpeg's own default for them
_COMMON_SHARE = Fraction(1, 10)  # of the gaps between frames that must be so short: fewer are jitter of the clock
_CLOCK_ROUNDING = Fraction(1, 1000)  # seconds: of Matroska and FLV, whatever clock their times are copied to
_JITTER = 0.18  # of a gap, by which frames of a camera or a screen recorder are early or late
_MOST = 0.9  # of the gaps
_COHERENT = 0.7  # of times that are up to a seventh of a frame early or late: 0.87
_PART_FRAMES = 24
_SHORT_FILM = 0.02  # by which the mean of few gaps may be off
_ITERATIONS = 20
_LONGEST_MULTIPLE = 4  # gaps, of a frame that is shown for longer because others are missing

# Rates that films have. A measured rate within a tick of the file's clock of one of these is that one.
_STANDARD_RATES = [Fraction(n * 1000, 1001) for n in (12, 15, 20, 24, 30, 48, 60, 120)] + [
    Fraction(n) for n in range(1, 241)
]


def nominal_rate(printed: Fraction | None) -> Fraction:
    """The rate that a header means, which ffmpeg prints rounded to two decimals, or ffmpeg's default without one."""
    rate = printed or Fraction(0)
    nearest = _nearest_standard(rate)
    if abs(nearest - rate) < Fraction(1, 100):
        return nearest
    return rate if 0 < rate <= MAX_FPS else _DEFAULT_FPS


def _nearest_standard(rate: Fraction) -> Fraction:
    return min(_STANDARD_RATES, key=lambda standard: abs(standard - rate))


def frame_rate(times: np.ndarray | list[int], tick: Fraction, header_rate: Fraction) -> tuple[Fraction, bool]:
    """(fps, constant) of frames shown at `times`, in ticks of `tick` seconds, ascending.

    Constant means that every frame lies within half a frame and a tenth of a second of its place at that rate, so that the
    frames can be taken as they are and stay in step with the sound.
    """
    times = np.asarray(times, np.int64)
    duration = int(times[-1] - times[0]) * tick
    if duration == 0:
        return header_rate, True

    def deviations(fps: Fraction) -> np.ndarray:
        """Seconds of each frame from its place."""
        distances = np.arange(len(times), dtype=np.float64)
        distances *= float(1 / (fps * tick))
        distances += float(times[0])
        distances -= times
        np.abs(distances, out=distances)
        distances *= float(tick)
        return distances

    def in_step(fps: Fraction) -> bool:
        seconds = deviations(fps)
        if seconds.max() > MAX_AWAY:
            return False
        away = seconds * float(fps)
        # A time that the file gives to two frames, or that is out of order, puts a few frames one place off.
        few = 20 * np.count_nonzero(away >= 0.5) < len(times)
        return bool(away.max() < 0.5 or (few and away.max() < 1.1 and away[-1] < 0.5))

    gaps = np.diff(times)
    gap = int(gaps[0]) * tick if (gaps == gaps[0]).all() else None  # each rounded alone, as in formats that keep durations
    measured = (len(times) - 1) / duration
    near = [rate for rate in _STANDARD_RATES if abs(rate - measured) < measured / 100]

    def preference(fps: Fraction) -> tuple[bool, bool, bool, bool, float]:
        error = float(deviations(fps).max())
        # Between the times that a file has, ffmpeg adds up rounded durations: then the header's rate is a hundredth off.
        rounding = max(tick, 1 / (100 * fps)) if fps == header_rate else tick
        wrong = error > rounding and (gap is None or 2 * abs(1 / fps - gap) > tick)
        return wrong, fps not in _STANDARD_RATES, fps != measured, fps != header_rate, error

    rate = min([*near, measured], key=preference)
    is_wrong, *_ = preference(rate)
    if not is_wrong and in_step(rate):
        return rate, True
    common, is_raster = _common_rate(times, tick, header_rate)
    # Of a short film in which a frame is missing all others are within half a frame of their places at a lower rate.
    is_missing = is_raster and round(duration * common) >= len(times) and 2 * int(gaps.max()) * tick * common >= 3
    return (common, False) if (is_missing and is_wrong) or not in_step(rate) else (rate, True)


def _common_rate(times: np.ndarray, tick: Fraction, header_rate: Fraction) -> tuple[Fraction, bool]:
    """(rate, is_raster) of a variable-rate film: that of the shortest gap between frames that is common, so that hardly a
    frame is lost. It is the standard rate that the header names, or the nearest, if that is less than half a percent away.

    Times that are rounded or shaken make many gaps of one. Where nearly all gaps are multiples of one length, which are then
    a raster, it is that.
    """
    gaps = _Gaps(np.diff(times))

    def rounding(length: float) -> float:  # on a coarse clock a tick more is another gap
        return min(length / 8, max(1.0, float(_CLOCK_ROUNDING / tick)))

    def jitter(length: float) -> float:
        return _JITTER * length

    def half(length: float) -> float:
        return length / 2

    period = gaps.mean_near(gaps.shortest_common(rounding), rounding)
    share, multiples = gaps.multiples(period, rounding)
    is_raster = share >= _MOST
    if not is_raster:
        # The mean of all gaps is exact, since what makes one longer makes the next shorter. It depends on which are taken
        # for one period and which for two.
        shortest, middle = gaps.shortest_common(jitter), gaps.median()
        means = [gaps.mean_near(start, half) for start in (gaps.mean_near(shortest, jitter), middle, middle / 2)]
        standards = [1 / float(standard * tick) for standard in _STANDARD_RATES]
        near = [known for known in standards if any(abs(known - mean) < _SHORT_FILM * mean for mean in means)]
        for candidates in (means, near):  # of a short film a mean may be off
            longer = [candidate for candidate in candidates if candidate >= shortest]
            whole = max(longer, key=lambda candidate: _coherence(times, candidate), default=period)
            is_raster = _coherence(times, whole) >= _COHERENT
            if is_raster:
                break
        if is_raster:
            period, (_share, multiples) = whole, gaps.multiples(whole, half)
    rate = 1 / (Fraction(period).limit_denominator(10**6) * tick)

    def drift(known: Fraction) -> float:
        """Frames by which the film is ahead of a known rate at its end, or behind."""
        return abs(float(rate / known - 1)) * multiples

    nearest = _nearest_standard(rate)
    named = header_rate in _STANDARD_RATES and (drift(header_rate) < 0.5 or drift(nearest) > 0.25)
    standard = (header_rate, nearest) if named else (nearest,)
    return next((known for known in standard if abs(known - rate) < rate / 200), rate), is_raster


def _coherence(times: np.ndarray, period: float) -> float:
    """How near times are to multiples of a period in most short parts of a film, from 0 to 1, where they are exact. Frames
    of two rates have all phases of any one period."""
    count = min(len(times), _PART_FRAMES)
    parts = times[: len(times) // count * count].reshape(-1, count)
    turns = (parts - parts[:, :1]) / period
    return float(np.median(np.abs(np.exp(2j * np.pi * turns).mean(axis=1))))


class _Gaps:
    """Distances between frames in ticks. A tolerance is a function of a length."""

    def __init__(self, gaps: np.ndarray):
        self._lengths, self._counts = np.unique(gaps[gaps > 0], return_counts=True)

    def shortest_common(self, tolerance: Callable[[float], float]) -> float:
        """The shortest length near which a common share of the gaps is, or, where none is common, the most."""
        lengths = self._lengths
        totals = np.concatenate([[0], np.cumsum(self._counts)])
        away = np.array([tolerance(length) for length in lengths.tolist()])
        shares = totals[np.searchsorted(lengths, lengths + away, "right")] - totals[np.searchsorted(lengths, lengths - away)]
        return float(lengths[np.argmax(shares >= min(shares.max(), float(_COMMON_SHARE) * totals[-1]))])

    def median(self) -> float:
        """The gap of which half are longer."""
        return float(self._lengths[np.searchsorted(np.cumsum(self._counts), self._counts.sum() / 2)])

    def mean_near(self, period: float, tolerance: Callable[[float], float]) -> float:
        """The period of which the gaps of about one period, and of two, are multiples on average, beginning at a value."""
        for _ in range(_ITERATIONS):
            multiples = np.rint(self._lengths / period)
            near = (multiples >= 1) & (multiples <= 2) & (np.abs(self._lengths - multiples * period) <= tolerance(period))
            if not near.any():
                return period
            period = float((self._lengths * self._counts)[near].sum() / (multiples * self._counts)[near].sum())
        return period

    def multiples(self, period: float, tolerance: Callable[[float], float]) -> tuple[float, float]:
        """(share, number): of the gaps which share are multiples of a period, and how many periods these are together. Long
        gaps, which are held pictures, are not counted."""
        multiples = np.rint(self._lengths / period)
        short = multiples <= _LONGEST_MULTIPLE
        near = short & (multiples >= 1) & (np.abs(self._lengths - multiples * period) <= tolerance(period))
        return float(self._counts[near].sum() / self._counts[short].sum()), float((multiples * self._counts)[near].sum())
