"""Slurm: why the jobs of a run wait, and how Slurm ended those that failed.

`begin` is called by onstart in the main process, before the first job is submitted. It refuses what the cluster could never
run, names the jobs that an earlier run left, and starts a thread that prints why jobs wait. All is asked of squeue.
"""

import getpass
import importlib
import os
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refilm.config.slurm_limits import asked, check_cluster, check_jobs, request_of

_SECONDS = "REFILM_SLURM_SECONDS"  # between two looks at the queue
_SECONDS_TO_END = 60.0  # between TERM and KILL, Slurm's KillWait, it is 30 by default
_QUEUE_FORMAT = "%i|%j|%T|%r|%k|%Z"
_ENDED = ("COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "BOOT_FAIL", "DEADLINE")
_ORDINARY, _AGAIN = ("Priority", "Resources"), "BeginTime"
_REASONS = {  # man squeue has all; those that are not here are printed as they are
    "Priority": "other jobs go first",
    "Resources": "no node is free",
    _AGAIN: "it was queued again, and starts in about two minutes",
    "PartitionTimeLimit": "its walltime is above the limit of the partition",
    "PartitionConfig": "it asks for more than the partition allows",
    "PartitionDown": "the partition is down",
    "ReqNodeNotAvail": "a node that it needs is down or reserved",
    "JobHeldUser": "it is held: `scontrol release` lets it go",
    "JobHeldAdmin": "it is held by an administrator",
}


@dataclass(frozen=True)
class QueuedJob:
    """A job as squeue lists it. name: the run of Snakemake that submitted it; comment: its rule and wildcards."""

    number: str
    name: str
    state: str
    reason: str
    comment: str
    folder: str

    @property
    def title(self) -> str:
        """'train_model bikes', or the name of a group."""
        return _title(self.comment)


def begin(workflow: Any) -> None:
    """Check the jobs of a run on Slurm, and watch them from now on. Raises RefilmError for what can never run."""
    if workflow.executor_plugin.name != "slurm":
        return
    os.environ["REFILM_REQUEUE"] = "1"  # for step.sh in the jobs
    _see_cancelled_jobs()
    check_cluster(workflow.executor_settings.status_command)
    check_jobs([request_of(job, _title(_comment(job))) for job in _submitted(workflow.dag)])
    _watch.start()


def how_it_ended(job: Any) -> str | None:
    """How Slurm ended a job of this run that failed, in one line; None if the job ended by itself, or is not known."""
    until = time.monotonic() + _SECONDS_TO_END
    while True:
        found = [queued for queued in _watch.jobs() if queued.comment == _comment(job)]
        # sacct calls a job cancelled while its processes still save their state.
        if not found or found[-1].state != "COMPLETING" or time.monotonic() > until:
            return describe_end(found[-1]) if found else None
        time.sleep(1)


def parse_queue(text: str) -> list[QueuedJob]:
    """From the output of squeue in the format %i|%j|%T|%r|%k|%Z."""
    return [QueuedJob(*line.split("|", 5)) for line in text.splitlines() if line.count("|") >= 5]


def describe_waiting(jobs: Iterable[QueuedJob], shown: set[tuple[str, str]]) -> list[str]:
    """A line for each reason why jobs wait that `shown` does not have yet, which then has it: pairs of job and reason.

    Of the reasons that pass by themselves a job is shown once; that it was queued again, each time.
    """
    waiting: dict[str, list[QueuedJob]] = {}
    for job in jobs:
        if job.state == "RUNNING":
            shown.discard((job.number, _AGAIN))
        key = (job.number, "" if job.reason in _ORDINARY else job.reason)
        if job.state == "PENDING" and job.reason != "None" and key not in shown:
            shown.add(key)
            waiting.setdefault(job.reason, []).append(job)
    return [_waiting_line(reason, found) for reason, found in waiting.items()]


def describe_earlier(jobs: list[QueuedJob]) -> list[str]:
    """A line for the jobs that an earlier run left in the queue, if there are any."""
    if not jobs:
        return []
    names = " ".join(sorted({f"--name={job.name}" for job in jobs}))
    return [
        f"Slurm: {_some(jobs)} of an earlier run in this folder: not ended. A training waits for one of the same "
        f"model that runs, and takes what it made. To cancel: scancel {names}"
    ]


def describe_end(job: QueuedJob) -> str | None:
    """How Slurm ended a job, with what helps against it; None for a job that ended by itself."""
    rule = job.title.split()[0]
    how = {
        "CANCELLED": "was cancelled",
        "TIMEOUT": f"reached its walltime: give it more by --set-resources {rule}:runtime=…",
        "OUT_OF_MEMORY": f"ran out of memory: give it more by --set-resources {rule}:mem_mb=…",
        "NODE_FAIL": "was lost with its node",
        "BOOT_FAIL": "was lost with its node",
        "DEADLINE": "reached its deadline",
    }.get(job.state)
    return how and f"{job.title}: Slurm job {job.number} {how}"


class _Watch:
    """The queue of Slurm, and what was shown of it. Jobs of earlier runs are not those of this one."""

    def __init__(self) -> None:
        self.earlier: set[str] = set()  # numbers
        self.shown: set[tuple[str, str]] = set()
        self.started = False

    def start(self) -> None:
        found = _queue()
        self.earlier = {job.number for job in found}
        _show(describe_earlier([job for job in found if job.state not in _ENDED]))
        self.started = True
        threading.Thread(target=self._run, daemon=True, name="slurm-queue").start()

    def jobs(self) -> list[QueuedJob]:
        """Those of this run, the ended ones too while Slurm remembers them."""
        return [job for job in _queue() if job.number not in self.earlier] if self.started else []

    def _run(self) -> None:
        while True:
            time.sleep(float(os.environ.get(_SECONDS, "30")))
            _show(describe_waiting(self.jobs(), self.shown))


_watch = _Watch()


def _see_cancelled_jobs() -> None:
    """Let the plugin see jobs that sacct lists as 'CANCELLED by 1000': version 2.8.0 would wait for their end for ever."""
    plugin: Any = importlib.import_module("snakemake_executor_plugin_slurm")
    ask = plugin.query_job_status

    async def query_job_status(command: str, logger: Any) -> tuple[dict[str, str] | None, float | None]:
        states, seconds = await ask(command, logger)
        return {job: state.partition(" by ")[0] for job, state in states.items()} if states is not None else None, seconds

    plugin.query_job_status = query_job_status


def _submitted(dag: Any) -> list[Any]:
    """The jobs of Slurm that a run submits: single ones and groups."""
    single = [job for job in dag.needrun_jobs() if not job.is_local]
    return list({id(job): job for job in (dag.get_job_group(one) or one for one in single)}.values())


def _title(comment: str) -> str:
    return comment.removeprefix("rule_").replace("_wildcards_", " ")


def _comment(job: Any) -> str:
    """The comment that the plugin gives to a job: its rule, or the name of its group, and its wildcards."""
    wildcards = "" if job.is_group() else "_".join(job.wildcards).replace("/", "_")
    return f"rule_{job.name}" + (f"_wildcards_{wildcards}" if wildcards else "")


def _waiting_line(reason: str, jobs: list[QueuedJob]) -> str:
    meaning = _REASONS.get(reason.split(",")[0].strip("()"))
    return f"Slurm: {_some(jobs)} {'wait' if len(jobs) > 1 else 'waits'}: {reason}" + (f" ({meaning})" if meaning else "")


def _some(jobs: list[QueuedJob]) -> str:
    """'job 7 (train_model bikes)', 'job 7 (train_model bikes) and 3 more'."""
    more = f" and {len(jobs) - 1} more" if len(jobs) > 1 else ""
    return f"job {jobs[0].number} ({jobs[0].title}){more}"


def _queue() -> list[QueuedJob]:
    """The jobs that were submitted from this folder."""
    text = asked("squeue", "--noheader", "--states=all", f"--user={getpass.getuser()}", f"--format={_QUEUE_FORMAT}")
    return [job for job in parse_queue(text or "") if Path(job.folder) == Path.cwd()]


def _show(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr, flush=True)
