"""The page that `make watch` renews: what runs, and the pictures and curves of trainings. It opens without a server."""

import csv
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refilm import layout
from refilm.rendering.templates import render_template

Job = Mapping[str, Any]  # the values of refilm.core.job_status
_RENEWED_SECONDS = 5  # after which the page loads itself again
_WIDTH, _HEIGHT, _MAX_POINTS = 600, 140, 300  # of a curve, in units of its drawing
# Columns of training.csv that tell most: the first group of which there is a value is drawn.
_UNKNOWN = {"done": None, "total": None, "rate": None, "eta_seconds": None, "unit": "", "message": ""}  # of a job at first
_CURVES = (
    {"seen_psnr": "seen", "held_out_psnr": "held out"},
    {"psnr": "the batches"},
)


@dataclass(frozen=True)
class Curve:
    """A measure of a training over its steps. points: 'x,y x,y ...' of an SVG; latest: its last value in dB."""

    name: str
    points: str
    latest: float


@dataclass(frozen=True)
class Training:
    """What there is to see of a training. pictures: URLs of its present pictures; low, high: range of the curves in dB."""

    job: Job
    pictures: Sequence[str]
    curves: Sequence[Curve]
    low: float
    high: float
    steps: int


def render_watch_page(running: Sequence[Job], ended: Sequence[tuple[str, Job]], folder: Path, now: float) -> str:
    """The page, as HTML.

    running: the jobs at work; ended: the newest of the others with their states; folder: where the page will be, to which
    its pictures are relative; now: seconds since 1970. Reads the files of trainings in the working directory.
    """
    trainings = [_training(job, folder) for job in running if job["rule"] == "train_model"]
    left = [job["eta_seconds"] for job in running if job.get("eta_seconds") is not None]
    return render_template(
        "watch.html",
        trainings=trainings,
        running=[_UNKNOWN | dict(job) for job in running],
        ended=[(state, _UNKNOWN | dict(job)) for state, job in ended],
        now=now,
        left=max(left, default=None),
        renewed=_RENEWED_SECONDS,
        width=_WIDTH,
        height=_HEIGHT,
        at=time.strftime("%H:%M:%S", time.localtime(now)),
    )


def _training(job: Job, folder: Path) -> Training:
    model = Path(layout.MODEL.format(model=job["job"])).parent
    pictures = [path for path in [model / layout.PREVIEWS / layout.NOW_PICTURE] if path.exists()]
    # The time of the file makes another URL of each picture: a browser keeps what it has of the same one.
    urls = [f"{os.path.relpath(path, folder)}?{path.stat().st_mtime_ns}" for path in pictures]
    return Training(_UNKNOWN | dict(job), urls, *_curves(model / layout.TRAINING_LOG))


def _curves(log: Path) -> tuple[list[Curve], float, float, int]:
    """(curves, lowest value, highest value, last step) of the log of a training."""
    try:
        rows = list(csv.DictReader(log.read_text(encoding="utf-8").splitlines()))
    except OSError:  # it has just begun
        rows = []
    for group in _CURVES:
        series = {name: _series(rows, column) for column, name in group.items()}
        series = {name: points for name, points in series.items() if len(points) > 1}
        if series:
            values = [value for points in series.values() for _, value in points]
            low, high, steps = min(values), max(values), max(points[-1][0] for points in series.values())
            curves = [Curve(name, _drawn(points, low, high, steps), points[-1][1]) for name, points in series.items()]
            return curves, low, high, int(steps)
    return [], 0.0, 0.0, 0


def _series(rows: Sequence[Mapping[str, str]], column: str) -> list[tuple[float, float]]:
    """(step, value) of at most _MAX_POINTS rows that have a value in this column, the last of them included."""
    points = [(float(row["step"]), float(row[column])) for row in rows if row.get(column)]
    every = max(1, len(points) // _MAX_POINTS)
    return points[::-every][::-1]


def _drawn(points: Sequence[tuple[float, float]], low: float, high: float, steps: float) -> str:
    span = (high - low) or 1.0
    return " ".join(f"{_WIDTH * step / steps:.1f},{_HEIGHT * (1 - (value - low) / span):.1f}" for step, value in points)
