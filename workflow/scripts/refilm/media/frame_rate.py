"""The frame rate of a film, computed from the times of its frames."""

import itertools
from collections import Counter
from fractions import Fraction

from refilm.media.ffmpeg_log import NO_TIME

MAX_FPS = 300  # frames per second: no film has more, so that a clock that says more is wrong
_DEFAULT_FPS = Fraction(25)  # of raw streams, which have neither times nor a rate: ffmpeg's own default for them
_COMMON_SHARE = Fraction(1, 10)  # of the gaps between frames that must be so short: fewer are jitter of the clock

# Rates that films have. A measured rate within a tick of the file's clock of one of these is that one.
_STANDARD_RATES = [Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120)] + [Fraction(n) for n in range(1, 241)]


def nominal_rate(printed: Fraction | None) -> Fraction:
    """The rate that a header means, which ffmpeg prints rounded to two decimals, or ffmpeg's default without one."""
    rate = printed or Fraction(0)
    nearest = min(_STANDARD_RATES, key=lambda standard: abs(standard - rate))
    if abs(nearest - rate) < Fraction(1, 100):
        return nearest
    return rate if 0 < rate <= MAX_FPS else _DEFAULT_FPS


def frame_rate(times: list[int], tick: Fraction, header_rate: Fraction) -> tuple[Fraction, bool, Fraction]:
    """(fps, constant, seconds of the first frame) of frames shown at `times`, in ticks of `tick` seconds, ascending.

    Constant means that every frame lies within half a frame of its place at that rate, so that the frames can be taken
    as they are and stay in step with the sound. Frames without times have the rate of the header.
    """
    if times[0] == NO_TIME:
        known = [time for time in times if time != NO_TIME]
        return header_rate, True, (known[0] if known else 0) * tick
    first, count = times[0], len(times)
    duration = (times[-1] - first) * tick
    if duration == 0:
        return header_rate, True, first * tick

    def deviation(fps: Fraction) -> float:
        step = float(1 / (fps * tick))
        return max(abs(time - first - k * step) for k, time in enumerate(times)) * float(tick)

    measured = (count - 1) / duration
    near = [rate for rate in _STANDARD_RATES if abs(rate - measured) < measured / 100]
    rate = min([*near, measured], key=lambda fps: (deviation(fps) > tick, fps == measured, deviation(fps)))
    if deviation(rate) < 1 / (2 * rate):
        return rate, True, first * tick
    return _common_rate(times, tick, header_rate), False, first * tick


def _common_rate(times: list[int], tick: Fraction, header_rate: Fraction) -> Fraction:
    """The rate of a variable-rate film: that of the shortest gap between frames that is common, so that hardly a frame is
    lost. The rate of the header, or the nearest standard rate, if it lies within the rounding of the file's clock."""
    gaps = Counter(b - a for a, b in itertools.pairwise(times) if b > a)

    def equal_gaps(gap: int) -> list[int]:
        rounding = min(1, gap // 8)  # on a coarse clock a tick more is another gap
        return [other for other in range(gap - rounding, gap + rounding + 1) if other in gaps]

    shares = {gap: sum(gaps[other] for other in equal_gaps(gap)) for gap in gaps}
    enough = min(Fraction(max(shares.values())), _COMMON_SHARE * sum(gaps.values()))
    shortest = min(gap for gap, share in shares.items() if share >= enough)
    common_gap = max(equal_gaps(shortest), key=lambda gap: shares[gap])  # the middle one of neighbouring gaps
    rate = Fraction(shares[common_gap], sum(gap * gaps[gap] for gap in equal_gaps(common_gap))) / tick
    nearest = min(_STANDARD_RATES, key=lambda standard: abs(standard - rate))
    return next((known for known in (header_rate, nearest) if abs(known - rate) < rate / 200), rate)
