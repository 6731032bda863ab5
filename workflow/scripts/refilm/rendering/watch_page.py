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
_UNKNOWN = {"done": None, "total": None, "rate": None, "eta_seconds": None, "unit": "", "message": ""}  # of a job at first
_FOLDERS = {"train_model": Path(layout.MODEL).parent, "train_predictor": Path(layout.PREDICTOR).parent}
# Columns of training.csv that tell most, and what they measure: the first group of which there is a value is drawn.
_CURVES = (
    ("PSNR", {"seen_psnr": "seen", "held_out_psnr": "held out"}),
    ("PSNR", {"psnr": "the batches"}),
    ("Prediction over standing still", {"seen_gain": "seen", "held_out_gain": "held out"}),
)


@dataclass(frozen=True)
class Curve:
    """A measure of a training over its steps. points: 'x,y x,y ...' of an SVG; latest: its last value in dB."""

    name: str
    points: str
    latest: float


@dataclass(frozen=True)
class Training:
    """What there is to see of a training. pictures: URLs of its present pictures; measure: what the curves show; low, high:
    their range in dB."""

    job: Job
    pictures: Sequence[str]
    measure: str
    curves: Sequence[Curve]
    low: float
    high: float
    steps: int


def render_watch_page(running: Sequence[Job], ended: Sequence[tuple[str, Job]], folder: Path, now: float) -> str:
    """The page, as HTML.

    running: the jobs at work; ended: the newest of the others with their states; folder: where the page will be, to which
    its pictures are relative; now: seconds since 1970. Reads the files of trainings in the working directory.
    """
    trainings = [_training(job, folder) for job in running if job["rule"] in _FOLDERS]
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


def pictures_of_training(job: Job) -> list[Path]:
    """The picture of what the training of a model or a predictor has come to; none of another job, or before it is there."""
    if job["rule"] not in _FOLDERS:
        return []
    previews = _folder(job) / layout.PREVIEWS
    now = previews / layout.NOW_PICTURE
    return [now] if now.exists() else sorted(previews.glob("step-*.png"))[-1:]


def _folder(job: Job) -> Path:
    return Path(str(_FOLDERS[job["rule"]]).format(model=job["job"]))


def _training(job: Job, folder: Path) -> Training:
    pictures = pictures_of_training(job)
    # The time of the file makes another URL of each picture: a browser keeps what it has of the same one.
    urls = [f"{os.path.relpath(path, folder)}?{path.stat().st_mtime_ns}" for path in pictures]
    return Training(_UNKNOWN | dict(job), urls, *_curves(_folder(job) / layout.TRAINING_LOG))


def _curves(log: Path) -> tuple[str, list[Curve], float, float, int]:
    """(what is measured, curves, lowest value, highest value, last step) of the log of a training."""
    try:
        rows = list(csv.DictReader(log.read_text(encoding="utf-8").splitlines()))
    except OSError:  # it has just begun
        rows = []
    for measure, group in _CURVES:
        series = {name: _series(rows, column) for column, name in group.items()}
        series = {name: points for name, points in series.items() if len(points) > 1}
        if series:
            values = [value for points in series.values() for _, value in points]
            low, high, steps = min(values), max(values), max(points[-1][0] for points in series.values())
            curves = [Curve(name, _drawn(points, low, high, steps), points[-1][1]) for name, points in series.items()]
            return measure, curves, low, high, int(steps)
    return "", [], 0.0, 0.0, 0


def _series(rows: Sequence[Mapping[str, str]], column: str) -> list[tuple[float, float]]:
    """(step, value) of at most _MAX_POINTS rows that have a value in this column, the last of them included."""
    points = [(float(row["step"]), float(row[column])) for row in rows if row.get(column)]
    every = max(1, len(points) // _MAX_POINTS)
    return points[::-every][::-1]


def _drawn(points: Sequence[tuple[float, float]], low: float, high: float, steps: float) -> str:
    span = (high - low) or 1.0
    return " ".join(f"{_WIDTH * step / steps:.1f},{_HEIGHT * (1 - (value - low) / span):.1f}" for step, value in points)
