"""Progress with rate and ETA: a bar on a terminal, a line every ten seconds in a log."""

import io
import sys
from typing import NoReturn

from tqdm import tqdm

_LINE_SECONDS = 10


class _Lines(io.TextIOBase):
    """The file that tqdm writes to when stderr is a log: each redraw of the bar becomes a line."""

    def write(self, text: str) -> int:
        if text.strip():
            sys.stderr.write(text.strip() + "\n")
            sys.stderr.flush()
        return len(text)


def progress_bar(
    what: str, total: int | None, unit: str, initial: int = 0, scaled: bool = False, hidden: bool = False
) -> "tqdm[NoReturn]":
    """A tqdm bar for a job. Use it as a context manager, and call its `update(n)`.

    what     the name of the job
    total    how many units it has, None if unknown
    unit     the word after a number, such as " frames"
    initial  units done before
    scaled   write large numbers as 1.5M
    hidden   show nothing
    """
    terminal = sys.stderr.isatty()
    percent = "{percentage:3.0f}% " if total else ""
    return tqdm(
        total=total,
        initial=initial,
        desc=what,
        unit=unit,
        disable=hidden,
        unit_scale=scaled,
        file=sys.stderr if terminal else _Lines(),
        mininterval=0.2 if terminal else _LINE_SECONDS,
        maxinterval=_LINE_SECONDS,
        dynamic_ncols=terminal,
        bar_format="{desc}: " + percent + "{n_fmt}/{total_fmt}, {rate_noinv_fmt}, ETA {remaining}{postfix}",
    )
