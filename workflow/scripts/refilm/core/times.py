"""Times: parsing, formatting, and the frames between two of them."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from refilm.core.errors import RefilmError

_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)")


def parse_time(value: str | int | float, place: str) -> Fraction:
    """Seconds from '90', 90, 1.5, '01:30', '00:01:30.5'.

    `place` is the key that the error names, such as "films.bikes.start". Raises RefilmError for anything else.
    """
    match = _CLOCK.fullmatch(str(value).strip())
    if match is None:
        raise RefilmError(f'{place}: {value!r} is not a valid time: write seconds, or "HH:MM:SS" in quotes')
    hours, minutes, seconds = match.groups(default="0")
    return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)


def first_frame(seconds: Fraction, fps: Fraction) -> int:
    """The index of the first frame at or after a time."""
    return math.ceil(seconds * fps)


def frame_at(moment: str, fps: Fraction, frames: int) -> int:
    """The frame of a film with so many frames that is on the screen at a moment, HH:MM:SS of the option --at. Raises
    RefilmError if there is none."""
    frame = math.floor(parse_time(moment, "--at") * fps)
    if frame >= frames:
        raise RefilmError(f"{moment} lies after the end of the film, which lasts {format_time(frames / fps)}")
    return frame


def format_time(seconds: float | Fraction) -> str:
    """'1:02:03' or '2:03', rounded to seconds."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def format_times(all_seconds: Sequence[float | Fraction]) -> list[str]:
    """The same of several times, with tenths of a second where without them two would be equal."""
    times = [format_time(seconds) for seconds in all_seconds]
    if len(set(times)) == len(times):
        return times
    tenths = [round(10 * seconds) for seconds in all_seconds]
    return [f"{format_time(tenth // 10)}.{tenth % 10}" for tenth in tenths]


def format_duration(seconds: float) -> str:
    """At most six characters: 4 s, 12 min, 3.5 h, 12 d."""
    if seconds < 100:
        return f"{max(0, seconds):.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} d"


@dataclass(frozen=True)
class TimeSpan:
    """A part of a film in seconds from its start: the frames at or after `start` and before `end`; None where unlimited."""

    start: Fraction | None = None
    end: Fraction | None = None

    @classmethod
    def parse(cls, start: str | None, end: str | None) -> "TimeSpan":
        """From the texts of the options --start and --end; None or '' where one is not set. Raises RefilmError."""
        return cls(*(parse_time(text, name) if text else None for text, name in ((start, "start"), (end, "end"))))

    def frame_range(self, fps: Fraction, frames: int, of: str = "") -> tuple[int, int]:
        """(first, count) of these frames of a film with so many frames. Raises RefilmError if there are none; its message
        begins with `of`, the name of the film or of what is made of it."""
        place = of and f"{of}: "
        start, end = self.start or Fraction(0), self.end
        first = first_frame(start, fps)
        last = frames if end is None else min(frames, first_frame(end, fps))
        if first >= frames:
            raise RefilmError(
                f"{place}start {format_time(start)} lies after the end of the film, which lasts {format_time(frames / fps)}"
            )
        if end is not None and last <= first:
            raise RefilmError(
                f"{place}end {format_time(end)} is not after start {format_time(start)}: no frame of the film is between "
                "them"
            )
        return first, last - first
