"""Progress with rate and ETA: a bar on a terminal, a line every ten seconds in a log, and the file of core/job_status."""

import io
import sys
from typing import NoReturn

from tqdm import tqdm

from refilm.core import job_status

_LINE_SECONDS = 10


class _Lines(io.TextIOBase):
    """The file that tqdm writes to when stderr is a log: each redraw of the bar becomes a line."""

    def write(self, text: str) -> int:
        if text.strip():
            sys.stderr.write(text.strip() + "\n")
            sys.stderr.flush()
        return len(text)


class _Bar(tqdm):  # type: ignore[type-arg]
    """A tqdm bar that also records the progress of its job. One that is hidden does not."""

    def update(self, n: float | None = 1) -> bool | None:
        shown = super().update(n)
        if job_status.is_due():
            self.record()
        return shown

    def close(self) -> None:
        self.record()
        super().close()

    def record(self) -> None:
        """Write what is done, the rate as it is shown, and the seconds that are left."""
        if self.disable:
            return
        values = self.format_dict
        done, total, elapsed = values["n"], values["total"], values["elapsed"]
        rate = values["rate"] or ((done - values["initial"]) / elapsed if elapsed else 0.0)
        left = (total - done) / rate if total and rate else None
        unit = values["unit"].strip()
        job_status.record(what=values["prefix"], unit=unit, done=done, total=total, rate=rate, eta_seconds=left)


def print_line(text: str) -> None:
    """Print a line to stdout, above a bar where one is shown on the same terminal."""
    tqdm.write(text)
    sys.stdout.flush()


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
    bar = _Bar(
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
    bar.record()
    return bar
