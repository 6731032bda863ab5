"""A number that may change over time, as a key of the configuration writes it.

0.5                             always the same
0 at 0:00, 1 at 0:10            straight lines between points of time; before the first and after the last point the same
drift -20 to 20 every 4         smooth noise between two numbers, which comes to another one every 4 seconds
"""

import bisect
import hashlib
import re
from dataclasses import dataclass
from itertools import pairwise

from refilm.core.errors import RefilmError
from refilm.core.times import parse_time

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)"
_POINT = re.compile(rf"({_NUMBER})\s+at\s+(\S+)")
_DRIFT = re.compile(rf"drift\s+({_NUMBER})\s+to\s+({_NUMBER})\s+every\s+(\S+)")
_FORMS = "write a number, '0 at 0:00, 1 at 0:10' or 'drift 0 to 1 every 4'"


@dataclass(frozen=True)
class Curve:
    """times: seconds, in ascending order, and the value at each; or with `every`, the limits of a drift and its seconds."""

    times: tuple[float, ...]
    values: tuple[float, ...]
    every: float = 0.0

    def at(self, seconds: float, seed: str = "") -> float:
        """The value at a time. seed: of the noise; of another seed it is another drift."""
        return self._drift(seconds, seed) if self.every else self._between(seconds)

    @property
    def limits(self) -> tuple[float, float]:
        """(least, greatest) value."""
        return min(self.values), max(self.values)

    def _between(self, seconds: float) -> float:
        after = bisect.bisect_right(self.times, seconds)
        if after in (0, len(self.times)):
            return self.values[max(0, after - 1)]
        share = (seconds - self.times[after - 1]) / (self.times[after] - self.times[after - 1])
        return self.values[after - 1] + share * (self.values[after] - self.values[after - 1])

    def _drift(self, seconds: float, seed: str) -> float:
        """Uniform random numbers at multiples of `every`, and between them a cubic that rests there."""
        number, share = divmod(seconds / self.every, 1.0)
        before, after = (_uniform(f"{seed}/{int(number) + k}") for k in (0, 1))
        level = before + share * share * (3 - 2 * share) * (after - before)
        return self.values[0] + level * (self.values[1] - self.values[0])


def parse_curve(value: str | float, place: str) -> Curve:
    """The curve of a key's value. `place` is the key that an error names. Raises RefilmError for any other value."""
    text = str(value).strip()
    if re.fullmatch(_NUMBER, text):
        return Curve((0.0,), (float(text),))
    if drift := _DRIFT.fullmatch(text):
        every = float(parse_time(drift[3], place))
        if every <= 0:
            raise RefilmError(f"{place}: {text!r}: a drift needs a time above 0 after 'every'")
        return Curve((), (float(drift[1]), float(drift[2])), every)
    points = [_POINT.fullmatch(part.strip()) for part in text.split(",")]
    if not all(points):
        raise RefilmError(f"{place}: {value!r} is not a valid curve: {_FORMS}")
    times = [float(parse_time(point[2], place)) for point in points if point]
    if any(later <= earlier for earlier, later in pairwise(times)):
        raise RefilmError(f"{place}: {text!r}: each point must be later than the one before it")
    return Curve(tuple(times), tuple(float(point[1]) for point in points if point))


def _uniform(key: str) -> float:
    """A number from 0 to 1, a function of the text."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big") / (1 << 56)
