"""When the frames of a film are shown: the decoder's own times, and the constant rate that follows from them."""

from array import array
from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from refilm.core.errors import RefilmError
from refilm.media.ffmpeg_log import NO_TIME
from refilm.media.frame_rate import MAX_AWAY, MAX_FPS, frame_rate

_MAX_UNORDERED = 24  # frames whose time is not after the one before: with more the file's clock restarts
_MAX_HOLD_SECONDS = 600  # that one frame is shown: after more the file's clock has jumped ahead


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
    while 2 * film.fps * MAX_AWAY < 1 and _farthest(film, shown) > MAX_AWAY:
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
