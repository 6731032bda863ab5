"""Show what runs: every job with its progress, rate and ETA, and the newest that ended.

    python -m refilm.watch          refreshed on a terminal until Ctrl-C, printed once elsewhere
    python -m refilm.watch --once

On a terminal it renews the page results/watch.html too, with the pictures and curves of trainings, and opens it where there
is a desktop.

Reads the files that jobs write beside their logs, in logs/ of the working directory: of this machine and of others that
share it.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import time
import webbrowser
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from tqdm import tqdm

from refilm import layout
from refilm.core.command_line import command_parser, run_command
from refilm.core.files import atomic_write
from refilm.core.job_status import RUNNING
from refilm.core.times import format_duration
from refilm.rendering.watch_page import pictures_of_training, render_watch_page

Job = dict[str, Any]  # the values of refilm.core.job_status
_SECONDS = 3.0  # between two tables
_SILENT_SECONDS = 300.0  # a job that wrote nothing for so long is marked: few are at work so long without a number
_LOST_SECONDS = 3600.0  # one of another machine, whose processes are not seen from here, is taken to have ended
_NEWEST, _NEWEST_ON_PAGE = 5, 20
_KILLED, _LOST = "killed", "lost"
_EXPLAINED = {_KILLED: "its process is gone", _LOST: "nothing was heard of it since"}
_HEADINGS = ("", "done", "", "per s", "ETA", "quality", "written", "where")
_MIN_NAME, _MAX_HOST = 12, 8
_CLEAR = "\x1b[H\x1b[J"  # to the upper left corner, and erase all below


def main(args: argparse.Namespace) -> None:
    refreshed = sys.stdout.isatty() and not args.once
    page = Path(args.page or (layout.WATCH_PAGE if refreshed else ""))
    if not refreshed:
        _show(page)
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the way to end it, and no error
    with contextlib.suppress(KeyboardInterrupt):
        _write_page(page, read_jobs(), time.time())
        if _has_desktop():
            webbrowser.open(page.resolve().as_uri())
        while True:
            print(_CLEAR, end="")
            _show(page)
            time.sleep(_SECONDS)


def _show(page: Path) -> None:
    jobs, now = read_jobs(), time.time()
    print(*table(jobs, now, _columns()), sep="\n", flush=True)
    if page.name:
        _write_page(page, jobs, now)
        print(f"\npage: {page}", flush=True)


def _write_page(page: Path, jobs: list[Job], now: float) -> None:
    running, ended = _sorted(jobs, now)
    with atomic_write(page) as partial:
        partial.write_text(render_watch_page(running, ended[:_NEWEST_ON_PAGE], page.parent, now), encoding="utf-8")


def _has_desktop() -> bool:
    """Whether a browser would open where the person is, and not on a server."""
    if "SSH_CONNECTION" in os.environ:
        return False
    return sys.platform == "darwin" or any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def read_jobs() -> list[Job]:
    """The jobs whose files are in the working directory."""
    jobs = []
    for path in layout.progress_files():
        with contextlib.suppress(OSError, ValueError):  # deleted meanwhile
            jobs.append(_read(path, path.stat().st_mtime_ns))
    return jobs


@cache
def _read(path: Path, _changed: int) -> Job:
    job: Job = json.loads(path.read_text(encoding="utf-8"))
    return job


def table(jobs: Iterable[Job], now: float, columns: int) -> list[str]:
    """The lines to show, none longer than so many columns. now: seconds since 1970."""
    running, ended = _sorted(jobs, now)
    lines = _running_lines(running, now, columns) if running else ["nothing is running"]
    if pictures := [picture for job in running for picture in pictures_of_training(job)]:
        lines += ["", *(f"to see: {picture}" for picture in pictures)]
    if any(_is_silent(job, now) for job in running):
        lines += ["", f"! nothing was written for {format_duration(_SILENT_SECONDS)} or more: it may have been killed"]
    if ended:
        lines += ["", "ended:", *(_ended_line(state, job, now) for state, job in ended[:_NEWEST])]
    return [_cut(line, columns) for line in lines]


def _sorted(jobs: Iterable[Job], now: float) -> tuple[list[Job], list[tuple[str, Job]]]:
    """(running, ended): the jobs at work by rule and name, and the others with their states, the newest first."""
    states = [(_state(job, now), job) for job in jobs]
    running = sorted((job for state, job in states if state == RUNNING), key=lambda job: (job["rule"], job["job"]))
    ended = sorted(((state, job) for state, job in states if state != RUNNING), key=lambda pair: -pair[1]["updated"])
    return running, ended


def _state(job: Job, now: float) -> str:
    """The state of a job: another one where its file says that it runs, and it cannot be so."""
    if job["state"] == RUNNING and job["host"] == socket.gethostname():
        return RUNNING if _is_alive(job["pid"]) else _KILLED
    if job["state"] == RUNNING and now - job["updated"] > _LOST_SECONDS:
        return _LOST
    return str(job["state"])


def _is_silent(job: Job, now: float) -> bool:
    return bool(now - job["updated"] > _SILENT_SECONDS)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # a process of another user
    return True


def _running_lines(jobs: list[Job], now: float, columns: int) -> list[str]:
    """A table with a row per job, under the name of its rule. Columns without a value are left out; names of jobs are cut in
    the middle where there is no room."""
    rows = [_HEADINGS, *(_row(job, now) for job in jobs)]
    kept = [number for number in range(len(_HEADINGS)) if any(row[number] for row in rows[1:])]
    widths = [max(len(row[number]) for row in rows) for number in kept]
    widths[0] = max(_MIN_NAME, min(widths[0], columns - sum(widths[1:]) - 2 * len(widths)))
    lines = [_line([row[number] for number in kept], widths) for row in rows]
    shown, rule = [lines[0]], ""
    for job, line in zip(jobs, lines[1:], strict=True):
        shown += [] if job["rule"] == rule else [job["rule"]]
        rule = job["rule"]
        shown.append(line)
    return shown


def _line(cells: list[str], widths: list[int]) -> str:
    """The first cell to the left, the others to the right."""
    name = cells[0] if len(cells[0]) <= widths[0] else _shorten(cells[0], widths[0])
    numbers = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return "  ".join([f"  {name:{widths[0]}}", *numbers]).rstrip()


def _shorten(name: str, width: int) -> str:
    head = (width - 1) // 2
    return f"{name[:head]}…{name[len(name) - (width - 1 - head) :]}"


def _row(job: Job, now: float) -> tuple[str, ...]:
    done, total = job.get("done"), job.get("total")
    return (
        job["job"],
        "" if done is None else _number(done) + (f"/{_number(total)}" if total else ""),
        f"{100 * done // total:.0f}%" if total else "",
        _number(job["rate"]) if job.get("rate") else "",
        "" if job.get("eta_seconds") is None else format_duration(job["eta_seconds"]),
        _metric(job.get("metrics", {})),
        format_duration(now - job["updated"]) + (" !" if _is_silent(job, now) else ""),
        job["host"].partition(".")[0][:_MAX_HOST] + (f":{job['gpus']}" if "gpus" in job else ""),
    )


def _metric(metrics: dict[str, Any]) -> str:
    """What tells most of a training: PSNR, or the discriminator's mean output for samples where nothing is reconstructed."""
    if "psnr" in metrics:
        return f"{metrics['psnr']:.1f} dB"
    return f"D {metrics['d_prior']:.2f}" if "d_prior" in metrics else ""


def _number(value: float) -> str:
    """At most five characters: 24, 9999, 0.86, 123k, 1.02M."""
    if value >= 10_000:
        return str(tqdm.format_sizeof(value))
    return f"{value:.0f}" if value == int(value) or value >= 100 else f"{value:.3g}"


def _ended_line(state: str, job: Job, now: float) -> str:
    """One that was killed says nothing itself."""
    message = job.get("message") or _EXPLAINED.get(state, "")
    when = f"{format_duration(now - job['updated'])} ago"
    return f"  {state:7}  {when:>10}  {job['rule']} {job['job']}" + (f": {message}" if message else "")


def _cut(line: str, columns: int) -> str:
    return line if len(line) <= columns else f"{line[: columns - 1]}…"


def _columns() -> int:
    return shutil.get_terminal_size((80, 24)).columns


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--once", action="store_true", help="print one table, on a terminal too")
    parser.add_argument("--page", default="", help="the HTML file to write; on a terminal it is results/watch.html")
    run_command(main, parser)
