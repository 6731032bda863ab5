"""Progress with a rate and an ETA: a bar on a terminal, a line every ten seconds in a log."""

import io
import sys

from tqdm import tqdm

_LINE_SECONDS = 10


class _Lines(io.TextIOBase):
    """Stands between tqdm and a log file: each redraw of the bar becomes a line of its own."""

    def write(self, text: str) -> int:
        if text.strip():
            sys.stderr.write(text.strip() + "\n")
            sys.stderr.flush()
        return len(text)


def progress_bar(
    what: str, total: int | None, unit: str, initial: int = 0, scaled: bool = False, hidden: bool = False
) -> tqdm:
    """A tqdm bar that names its job and never floods a log. Use as a context manager; `update(n)`.

    scaled: large numbers are written as 1.5M; hidden: nothing is shown.
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
