"""The last lines of a run of Snakemake: what it made, or why its steps failed.

The Snakefile calls it from onstart, onsuccess and onerror. Those are called by the main process alone,
not for a plan or a report, not when there was nothing to do, and not when refilm is a module of another workflow.
"""

import atexit
import os
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from refilm import layout
from refilm.config import slurm
from refilm.core.times import format_time

_KINDS = {  # what is looked at first stands first
    "gallery": layout.GALLERY,
    "comparisons as one file": layout.COMPARISON_PAGE,
    "videos": layout.VIDEO,
    "comparisons": layout.COMPARISON,
    "walks": layout.WALK,
    "bends": layout.BEND,
    "posters": layout.POSTER,
    "posters for printing": layout.POSTER_PAGE,
    "exports": layout.EXPORT_FILE,
    "exported folders": layout.EXPORT_FOLDER,
    "dreams": layout.DREAM,
    "contact sheets": layout.STILLS,
    "sheets of shots": layout.ORDERED_STILLS,
    "stills": layout.MOMENT,
    "animations": layout.CLIP,
    "crop previews": layout.CROP_PREVIEW,
    "trainings as films": layout.TRAINING_FILM,
    "networks in pictures": layout.NETWORK,
    "networks at a moment": layout.NETWORK_AT,
    "findings": layout.FINDINGS,
    "findings as Markdown": layout.FINDINGS_TABLE,
    "sample sheets": layout.SAMPLES,
    "sample films": layout.DRIFT,
    "metrics": layout.METRICS,
    "lists of shots": layout.SHOTS,
    "models": layout.MODEL,
    "early models": layout.EARLY_MODEL,
    "predictors": layout.PREDICTOR,
    "latents": layout.LATENTS,
    "frames": layout.FRAMES,
}
_OTHER = "other files"


def hold_errors() -> None:
    """Let steps keep the line of an error to their logs, since `print_errors` will print it."""
    os.environ["REFILM_ERRORS_LAST"] = "1"


def print_results(workflow: Any) -> None:
    """Print what the run made, by kind, when Snakemake has printed its own last lines."""
    files = [str(file) for job in workflow.dag.finished_jobs for file in job.output]
    if files and not workflow.touch:
        seconds = (datetime.now() - workflow.start_time).total_seconds()
        _print_at_exit(["", *describe_results(files, seconds)])


def print_errors(workflow: Any) -> None:
    """Print the one line of each step that failed or was stopped, when Snakemake has printed its own last lines."""
    scheduler, began = workflow.scheduler, workflow.start_time
    lines = set().union(
        *(_ended_by_slurm(job, began) or _errors(job, began) or {_no_error(job)} for job in scheduler.failed)
    )
    # After Ctrl-C the steps that ran are not counted as failed; those that had nothing to say have ended well.
    lines = lines.union(*(_errors(job, began) for job in scheduler.running))
    if lines:
        _print_at_exit(["", *sorted(lines)])


def describe_results(files: Iterable[str], seconds: float) -> list[str]:
    """A heading with the number of files and the time, and a line for each kind of result."""
    kinds: dict[str, list[str]] = {kind: [] for kind in (*_KINDS, _OTHER)}
    for file in sorted(files):
        kinds[_kind(file)].append(file)
    made = {kind: found for kind, found in kinds.items() if found}
    count, width = sum(map(len, made.values())), max(map(len, made))
    digits = len(f"{count:,}")
    heading = f"Made in {format_time(seconds)}, with logs in logs/:"
    return [heading, *(f"  {kind:{width}}  {len(found):{digits},}  {_some(found)}" for kind, found in made.items())]


def _kind(file: str) -> str:
    of = (kind for kind, pattern in _KINDS.items() if file == pattern or layout.wildcards(pattern, Path(file)))
    return next(of, _OTHER)


def _some(files: list[str]) -> str:
    """The first of the files, and how many there are besides."""
    return files[0] + (f" and {len(files) - 1:,} more" if len(files) > 1 else "")


def _errors(job: Any, began: datetime) -> set[str]:
    """The last line of an error in each log that a job, or a job of a group, wrote since the run began, with the path."""
    logs = [Path(log) for single in _single_jobs(job) for log in single.log]
    written = [log for log in logs if log.exists() and log.stat().st_mtime >= began.timestamp()]
    found = ((log, _last_error(log.read_text(encoding="utf-8", errors="replace"))) for log in written)
    return {f"{line} (log: {log})" for log, line in found if line}


def _ended_by_slurm(job: Any, began: datetime) -> set[str]:
    """The line for a job that Slurm ended, with what the step had to say of it, if anything."""
    how = slurm.how_it_ended(job)
    if how is None:
        return set()
    messages = "; ".join(sorted(line.removeprefix("refilm: ") for line in _errors(job, began)))
    return {f"refilm: {how}" + (f": {messages}" if messages else "")}


def _last_error(text: str) -> str | None:
    return next((line for line in reversed(text.splitlines()) if line.startswith("refilm: ")), None)


def _no_error(job: Any) -> str:
    """The line for a job that failed without the line of an error, or for a group of which no job has one."""
    names = ", ".join(" ".join([single.rule.name, *single.wildcards]) for single in _single_jobs(job))
    logs = ", ".join(log for single in _single_jobs(job) for log in single.log)
    return f"refilm: {names}: failed without an error message: see what Snakemake printed, and {logs}"


def _single_jobs(job: Any) -> list[Any]:
    return list(job.jobs) if job.is_group() else [job]


def _print_at_exit(lines: list[str]) -> None:
    atexit.register(lambda: print("\n".join(lines), file=sys.stderr))
