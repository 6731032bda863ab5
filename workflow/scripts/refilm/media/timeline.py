"""When the frames of a film are shown: the decoder's own times, and the constant rate that follows from them."""

from array import array
from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from refilm.core.errors import RefilmError
from refilm.media.ffmpeg_log import NO_TIME

MAX_FPS = 300  # frames per second: no film has more, so that a clock that says more is wrong
_DEFAULT_FPS = Fraction(25)  # of raw streams, which have neither times nor a rate: ffmpeg's own default for them
_COMMON_SHARE = Fraction(1, 10)  # of the gaps between frames that must be so short: fewer are jitter of the clock
_CLOCK_ROUNDING = Fraction(1, 1000)  # seconds: of Matroska and FLV, whatever clock their times are copied to
_JITTER = 0.18  # of a gap, by which a camera or a screen recorder is early or late; 25 and 30 frames/s are further apart
_MOST = 0.9  # of the gaps
_SAME = 0.05  # of a gap, by which two estimates of it may differ
_LONGEST_MULTIPLE = 4  # gaps, of a frame that is shown for longer because others are missing
_MAX_AWAY = Fraction(1, 10)  # seconds of a picture from its time
_MAX_UNORDERED = 24  # frames whose time is not after the one before: with more the file's clock restarts
_MAX_HOLD_SECONDS = 600  # that one frame is shown: after more the file's clock has jumped ahead

# Rates that films have. A measured rate within a tick of the file's clock of one of these is that one.
_STANDARD_RATES = [Fraction(n * 1000, 1001) for n in (12, 15, 20, 24, 30, 48, 60, 120)] + [
    Fraction(n) for n in range(1, 241)
]


class DecodedTimes:
    """The times of the frames in the order in which the decoder gives them out, noted while it works.

    times: in ticks of `tick` seconds, NO_TIME where they are unknown.
    """

    def __init__(self) -> None:
        self.times, self.tick = array("q"), Fraction(0)
        self._duration = 0  # of the last frame
        self._too_long = 0  # frames whose duration is clearly longer than the next frame allows

    def __len__(self) -> int:
        return len(self.times)

    def add(self, time: int, duration: int) -> None:
        """Note the time and the duration of the next frame; a duration of 0 is unknown."""
        if self.times and 0 < 3 * (time - self.times[-1]) < 2 * self._duration:
            self._too_long += 1
        self.times.append(time)
        self._duration = duration

    @property
    def last_duration(self) -> int:
        """Ticks that the last frame is shown; 0 if unknown, also where the durations of most frames are wrong: a header may
        state one for all."""
        return 0 if 2 * self._too_long >= len(self.times) else self._duration


@dataclass(frozen=True)
class Timeline:
    """Times of all decoded frames, ascending, and the rate of the film.

    ticks: int64 (n,) on the file's own clock, in units of `tick` seconds; fps: frames per second; constant: every frame
    lies within half a frame of its place at that rate; last: how many frames at that rate the last one is shown.
    """

    ticks: np.ndarray
    tick: Fraction
    fps: Fraction
    constant: bool
    last: int = 1

    @property
    def first_time(self) -> Fraction:
        """Seconds of the first frame on the file's own clock."""
        return int(self.ticks[0]) * self.tick

    def since_start(self, times: "array[int]") -> np.ndarray:
        """Seconds from the first of these times as the decoder gave them to each frame, float64 (n,), as ffmpeg counts."""
        given = np.frombuffer(times, np.int64)
        if len(given) < len(self.ticks):
            given = _of_fields(given)
        return np.where(given == NO_TIME, np.nan, (given - given[0]) * float(self.tick))

    def of_fields(self) -> "Timeline":
        """The timeline of the fields of these frames: twice as many, the second one half way to the next frame."""
        return Timeline(_of_fields(self.ticks), self.tick / 2, 2 * self.fps, self.constant, 2 * self.last - 1)

    def frames_shown(self, first: int, count: int) -> np.ndarray:
        """The indices of the decoded frames that are shown at `count` places from `first` on, integers (count,)."""
        wanted = np.arange(first, first + count, dtype=np.int32)
        return wanted if self.constant else np.maximum(0, np.searchsorted(self.places, wanted, "right") - 1)

    @cached_property
    def places(self) -> np.ndarray:
        """The place of each frame of a variable-rate film at the constant rate, from 0, int64 (n,): the nearest, or the one
        beside it where that is empty and two frames would have the same."""
        step = self.tick * self.fps
        places: np.ndarray = self.ticks - self.ticks[0]
        places *= 2 * step.numerator  # in units of 1 / (2 * denominator), in place, since long films have many frames
        places += step.denominator
        places //= 2 * step.denominator
        room = np.append(places[1:] - places[:-1], np.iinfo(np.int64).max)
        shared = np.flatnonzero(room[:-1] == 0) + 1  # frames that have the place of the one before them
        late = shared[room[shared] > 1]
        places[late] += 1
        early = np.setdiff1d(shared, late) - 1
        places[early[(early > 0) & (places[early] - places[early - 1] > 1)]] -= 1
        return places

    @property
    def frames(self) -> int:
        """How many frames the film has at the constant rate."""
        return (len(self.ticks) - 1 if self.constant else int(self.places[-1])) + self.last


def _of_fields(ticks: np.ndarray) -> np.ndarray:
    """Times of two fields of each frame, in half ticks."""
    if len(ticks) < 2:
        return np.repeat(2 * ticks, 2)
    half_steps = np.append(np.diff(ticks), ticks[-1] - ticks[-2])
    return np.stack([2 * ticks, 2 * ticks + half_steps], 1).ravel()


def make_timeline(decoded: DecodedTimes, header_rate: Fraction, name: str) -> Timeline:
    """The timeline of a film called `name` in messages. Frames without times have the rate of the header.

    Raises RefilmError where the clock restarts, or jumps ahead so far that it says nothing of the film.
    """
    tick = decoded.tick
    times = _ascending(decoded.times, tick, header_rate, name)
    if times is None:
        return Timeline(np.arange(len(decoded)), 1 / header_rate, header_rate, True)
    shown = decoded.last_duration * tick  # 0 where it is unknown
    fps, constant = (
        frame_rate(times, tick, header_rate) if len(times) > 1 else (_rate_of_one(shown, tick, header_rate), True)
    )
    if fps > MAX_FPS:
        raise RefilmError(
            f"{name}: its clock says {float(fps):.0f} frames/s, more than any film has: convert it to its true rate"
        )
    gaps = np.diff(times)
    if len(gaps) and gaps.max() * tick > _MAX_HOLD_SECONDS:
        jump = int(gaps.argmax())
        after, ahead = float((times[jump] - times[0]) * tick), float(gaps[jump] * tick)
        raise RefilmError(
            f"{name}: the file's clock jumps ahead by {ahead:.0f} s after {after:.1f} s, as where recordings were "
            "joined end to end: give the parts as films of their own, or convert the file to one first"
        )
    shown = shown if 0 < shown <= _MAX_HOLD_SECONDS else 1 / fps
    film = Timeline(times, tick, fps, constant and round(shown * fps) <= 1, max(1, round(shown * fps)))
    # Of pictures that are shown for seconds half a frame is much.
    while 2 * film.fps * _MAX_AWAY < 1 and _farthest(film, shown) > _MAX_AWAY:
        rate = film.fps + fps
        film = Timeline(times, tick, rate, False, max(1, round(shown * rate)))
    return film


def _farthest(film: Timeline, shown: Fraction) -> Fraction:
    """How many seconds a picture, or the end of the film, is away from its time. shown: seconds of the last frame."""
    end = abs(film.last / film.fps - shown)
    if film.constant:
        return end  # the pictures are in step
    ticks = float(film.fps * film.tick)
    away = np.abs(film.places - (film.ticks - film.ticks[0]) * ticks).max() / float(film.fps)
    return max(end, Fraction(float(away)))


def _rate_of_one(shown: Fraction, tick: Fraction, header_rate: Fraction) -> Fraction:
    """The rate of a film of one frame, so that this is as long as it is shown."""
    known = 1 / MAX_FPS <= shown <= _MAX_HOLD_SECONDS and abs(1 / header_rate - shown) > tick
    return 1 / shown if known else header_rate


def _ascending(times: "array[int]", tick: Fraction, header_rate: Fraction, name: str) -> np.ndarray | None:
    """The times in their order; one that is unknown, or not between its neighbours, lies evenly between known ones, or where
    the rate of the header puts it if all but a few have that. None if all are unknown. Raises RefilmError if these are so
    many that the clock restarts, as where recordings were joined."""
    known = np.frombuffer(times, np.int64)  # not copied: a long film has a hundred thousand times
    if (known[1:] > known[:-1]).all() and known[0] != NO_TIME:
        return known
    order = np.flatnonzero(known != NO_TIME)
    if not len(order):
        return None
    steps = np.diff(known[order])
    if (steps <= 0).any():
        constant = _constant_but_for_a_few(known, order, float(1 / (header_rate * tick)))
        if constant is not None:
            return constant
    if (steps < 0).any():
        back = order[int(np.flatnonzero(steps < 0)[0])]
        kept = order[_longest_ascent(known[order])]
        if len(order) - len(kept) > _MAX_UNORDERED:
            raise RefilmError(
                f"{name}: the file's clock restarts after {float((known[back] - known[order[0]]) * tick):.1f} s, as where "
                "recordings were joined end to end: give the parts as films of their own, or convert the file to one first"
            )
        order = kept
    if len(order) == len(known):
        return known
    step = round(float(np.median(np.diff(known[order])))) if len(order) > 1 else 0
    filled = np.interp(np.arange(len(known)), order, known[order]).round().astype(np.int64)
    before, after = np.arange(order[0]), np.arange(order[-1] + 1, len(known))
    filled[before] -= step * (order[0] - before)
    filled[after] += step * (after - order[-1])
    return filled


def _constant_but_for_a_few(times: np.ndarray, known: np.ndarray, step: float) -> np.ndarray | None:
    """The times of a film in which all frames but a few are `step` ticks apart, with these few in their places; else None.

    known: indices of the frames that have a time. In a program stream a picture that begins at the end of one packet may get
    the time of the next one, and those after it follow from that.
    """
    raster = np.arange(len(times)) * step
    raster = np.rint(raster + np.median(times[known] - raster[known])).astype(np.int64)
    wrong = np.ones(len(times), bool)
    wrong[known] = np.abs(times[known] - raster[known]) > min(1, step / 4)
    if wrong.sum() > min(_MAX_UNORDERED, len(times) // 10):
        return None
    return np.where(wrong, raster, times)


def _longest_ascent(times: np.ndarray) -> np.ndarray:
    """Indices of a longest subsequence that never descends, ascending."""
    in_order = times == np.maximum.accumulate(times)
    in_order &= times == np.minimum.accumulate(times[::-1])[::-1]
    others = np.flatnonzero(~in_order)  # only these are before or after one that they should not be
    ends: list[int] = []  # the least last time of an ascent of each length, and the index of that time
    indices: list[int] = []
    before: list[int] = []
    for index, time in enumerate(times[others].tolist()):
        length = bisect_right(ends, time)
        before.append(indices[length - 1] if length else -1)
        ends[length : length + 1], indices[length : length + 1] = [time], [index]
    chain, index = [], indices[-1]
    while index >= 0:
        chain.append(index)
        index = before[index]
    in_order[others[chain]] = True
    return np.flatnonzero(in_order)


def nominal_rate(printed: Fraction | None) -> Fraction:
    """The rate that a header means, which ffmpeg prints rounded to two decimals, or ffmpeg's default without one."""
    rate = printed or Fraction(0)
    nearest = min(_STANDARD_RATES, key=lambda standard: abs(standard - rate))
    if abs(nearest - rate) < Fraction(1, 100):
        return nearest
    return rate if 0 < rate <= MAX_FPS else _DEFAULT_FPS


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
        if seconds.max() > _MAX_AWAY:
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
    if in_step(rate):
        return rate, True
    return _common_rate(gaps, tick, header_rate), False


def _common_rate(all_gaps: np.ndarray, tick: Fraction, header_rate: Fraction) -> Fraction:
    """The rate of a variable-rate film: that of the shortest gap between frames that is common, so that hardly a frame is
    lost. It is the standard rate that the header names, or the nearest, if that is less than half a percent away.

    Times that are rounded or shaken make many gaps of one. Where nearly all gaps are multiples of one length, it is that.
    """
    lengths, counts = np.unique(all_gaps[all_gaps > 0], return_counts=True)
    rounded = np.minimum(
        lengths / 8, max(1.0, float(_CLOCK_ROUNDING / tick))
    )  # on a coarse clock a tick more is another gap
    period, multiples = _shortest_common(lengths, counts, rounded), 0.0
    for tolerance in (rounded, _JITTER * lengths):
        common = _shortest_common(lengths, counts, tolerance)
        refined = _refined(lengths, counts, common)
        share, number = _multiples(lengths, counts, refined, float(np.interp(refined, lengths, tolerance)))
        # Of two gaps that are not much apart the mean is a multiple of neither.
        if share >= _MOST and abs(refined - common) < _SAME * common:
            period, multiples = refined, number
            break
    rate = 1 / (Fraction(period).limit_denominator(10**6) * tick)

    def drift(known: Fraction) -> float:
        """Frames by which the film is ahead of a known rate at its end, or behind."""
        return abs(float(rate / known - 1)) * multiples

    nearest = min(_STANDARD_RATES, key=lambda standard: abs(standard - rate))
    named = header_rate in _STANDARD_RATES and (drift(header_rate) < 0.5 or drift(nearest) > 0.25)
    standard = (header_rate, nearest) if named else (nearest,)
    return next((known for known in standard if abs(known - rate) < rate / 200), rate)


def _shortest_common(lengths: np.ndarray, counts: np.ndarray, tolerance: np.ndarray) -> float:
    """The mean of gaps that are equal within a tolerance, of the shortest such gaps that are common."""
    totals, sums = (np.concatenate([[0], np.cumsum(values)]) for values in (counts, counts * lengths))
    first, end = np.searchsorted(lengths, lengths - tolerance), np.searchsorted(lengths, lengths + tolerance, "right")
    shares = totals[end] - totals[first]
    shortest = int(np.argmax(shares >= min(shares.max(), float(_COMMON_SHARE) * totals[-1])))
    common = first[shortest] + int(np.argmax(shares[first[shortest] : end[shortest]]))  # the middle one of equal gaps
    return float((sums[end[common]] - sums[first[common]]) / shares[common])


def _refined(lengths: np.ndarray, counts: np.ndarray, period: float) -> float:
    """The period of which gaps of one and of two periods are multiples on average, from a value near it."""
    for _ in range(5):
        multiples = np.rint(lengths / period)
        near = (multiples >= 1) & (multiples <= 2)
        period = float((lengths * counts)[near].sum() / (multiples * counts)[near].sum())
    return period


def _multiples(lengths: np.ndarray, counts: np.ndarray, period: float, tolerance: float) -> tuple[float, float]:
    """(share, number): of the gaps which share are multiples of a period within a tolerance, and how many periods these are
    together. Long gaps, which are held pictures, are not counted."""
    multiples = np.rint(lengths / period)
    short = multiples <= _LONGEST_MULTIPLE
    near = short & (multiples >= 1) & (np.abs(lengths - multiples * period) <= tolerance)
    return float(counts[near].sum() / counts[short].sum()), float((multiples * counts)[near].sum())
