"""The state of a running job as a small JSON file beside its log: what `python -m refilm.watch` shows.

Only a job that Snakemake runs has one: step.sh names the log in the environment. The file appears under its name when it is
complete, and a job never fails or waits because of it. A killed job leaves it as it was: `state` still says running.

    rule, job               train_model, bladerunner
    state                   running, done, failed, or stopped: by a signal, and the same command continues
    message                 the one line of an error
    host, pid               where it runs; slurm_job and gpus where they are set; device: what a network runs on
    started, updated        seconds since 1970
    what, unit              of the progress bar that is shown
    done, total, rate       in that unit, and per second; total and eta_seconds are null where they are unknown
    metrics                 of a training: the last row of training.csv
    peak_mb                 of memory, the largest of its processes; set at the end
"""

import contextlib
import json
import os
import resource
import socket
import sys
import time
from pathlib import Path
from typing import Any

SUFFIX = ".progress.json"
RUNNING, DONE, FAILED, STOPPED = "running", "done", "failed", "stopped"
_VARIABLE = "REFILM_LOG"  # the log of the job
_SECONDS = 5.0  # from one write to the next
_FROM_ENVIRONMENT = {"slurm_job": "SLURM_JOB_ID", "gpus": "CUDA_VISIBLE_DEVICES"}


class _Status:
    """The values of one job, and when they are due to be written again."""

    def __init__(self, log: Path):
        rule = Path(sys.argv[0]).stem
        self.path = log.with_suffix(SUFFIX)
        self.values: dict[str, Any] = {
            "rule": rule,
            "job": str(log.with_suffix("")).rpartition(f"{rule}/")[2],
            "state": RUNNING,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": time.time(),
        } | {key: os.environ[name] for key, name in _FROM_ENVIRONMENT.items() if os.environ.get(name)}
        self.due = 0.0

    def write(self) -> None:
        self.due = time.monotonic() + _SECONDS
        partial = self.path.with_name(f".{self.path.name}.new")
        with contextlib.suppress(OSError):  # a full disk is reported where a result is written
            partial.write_text(json.dumps(self.values | {"updated": time.time()}) + "\n", encoding="utf-8")
            os.replace(partial, self.path)


_status: _Status | None = None


def begin() -> None:
    """Write that the job runs, if this is one. Child processes have no part in it."""
    global _status
    log = os.environ.pop(_VARIABLE, "")
    _status = _Status(Path(log)) if log else None
    record()


def describe(**values: Any) -> None:
    """Set values, which the next write will have."""
    if _status:
        _status.values.update(values)


def is_due() -> bool:
    """Whether the last write is some seconds old."""
    return _status is not None and time.monotonic() >= _status.due


def record(**values: Any) -> None:
    """Set values, and write."""
    if _status:
        _status.values.update(values)
        _status.write()


def end(state: str, message: str = "") -> None:
    """Write the state in which the job ends, and the line of an error."""
    error = {"message": message} if message else {}
    record(state=state, peak_mb=_peak_mb(), **error)


def _peak_mb() -> int:
    """The memory of this process or of its largest child, at its highest."""
    units = 1 if sys.platform == "darwin" else 1024  # bytes or KiB
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(peak * units / 1e6)
