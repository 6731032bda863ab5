"""Slurm: whether the cluster can run the jobs of a run, why they wait, and how Slurm ended those that failed.

`begin` is called by onstart in the main process, before the first job is submitted. It refuses jobs that no node could ever
run, and starts a thread that prints why jobs wait. All is asked of sinfo, squeue and sacctmgr, as a user would.
"""

import getpass
import importlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refilm.core.errors import RefilmError

_HEAD = "at the head of profiles/slurm/profile.yaml"
_SECONDS = "REFILM_SLURM_SECONDS"  # between two looks at the queue
_EARLY = 60  # seconds by which Slurm may send the signal of --signal too early
_GPUS = re.compile(r"\bgpu(?::[\w.-]+)??(?::(\d+))?(?=[(,]|$)")
_SIGNAL = re.compile(r"--signal=(?:\w:)?\w+@(\d+)")
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
class Nodes:
    """Nodes of a partition that are alike. walltime: minutes, None where it is unlimited."""

    partition: str
    cpus: int
    memory_mb: int
    gpus: int
    walltime: int | None


@dataclass(frozen=True)
class Request:
    """What a job asks for; None where it says nothing, or is known only when its input exists."""

    title: str
    partition: str | None
    cpus: int
    memory_mb: int | None
    gpus: int
    walltime: int | None
    extra: str = ""


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
        return self.comment.removeprefix("rule_").replace("_wildcards_", " ")


def begin(workflow: Any) -> None:
    """Check the jobs of a run on Slurm, and watch them from now on. Raises RefilmError for what can never run."""
    if workflow.executor_plugin.name != "slurm":
        return
    os.environ["REFILM_REQUEUE"] = "1"  # for step.sh in the jobs
    _see_cancelled_jobs()
    check_cluster(workflow.executor_settings.status_command)
    requests = [request_of(job) for job in _submitted(workflow.dag)]
    nodes = parse_nodes(_asked("sinfo", "--noheader", "--exact", "--format=%R|%c|%m|%G|%l") or "")
    for request in sorted(requests, key=lambda one: one.title):
        check_request(request, nodes)
    for account in {str(job.resources.get("slurm_account") or "") for job in _submitted(workflow.dag)} - {""}:
        check_account(account, _accounts())
    _watch.start()


def how_it_ended(job: Any) -> str | None:
    """How Slurm ended a job of this run that failed, in one line; None if the job ended by itself, or is not known."""
    ended = [queued for queued in _watch.jobs() if queued.comment == _comment(job)]
    return describe_end(ended[-1]) if ended else None


def check_cluster(status_command: str | None) -> None:
    """Raises RefilmError where there is no Slurm, or the status of jobs cannot be asked for in that way."""
    if _asked("sinfo", "--version") is None:
        raise RefilmError("executor slurm: sinfo was not found: run Snakemake on a login node of the cluster")
    if _asked("sinfo", "--noheader") is None:
        raise RefilmError("executor slurm: the controller of the cluster does not answer: `sinfo` says why")
    if status_command == "sacct" and _asked("sacct", "--noheader", "--allocations") is None:
        raise RefilmError(f"status_command: this cluster has no accounting for sacct to ask: set it to squeue {_HEAD}")


def check_request(request: Request, nodes: list[Nodes]) -> None:
    """Raises RefilmError for a job that no node of its partition could ever run, with the limit."""
    if request.partition is None:
        return
    here = [node for node in nodes if node.partition == request.partition]
    if not here:
        known = ", ".join(sorted({node.partition for node in nodes}))
        raise RefilmError(f"there is no partition '{request.partition}'; there are: {known}: set it {_HEAD}")
    place = f"partition '{request.partition}'"
    for value, limit, unit, remedy in (
        (request.cpus, max(node.cpus for node in here), "CPUs", f"set cpus {_HEAD}"),
        (request.gpus, max(node.gpus for node in here), "GPUs", f"set gpu_partition, or training_gpus, {_HEAD}"),
        (request.memory_mb or 0, max(node.memory_mb for node in here), "MB of memory", _option(request, "mem_mb")),
    ):
        if value > limit:
            raise RefilmError(f"{request.title}: {value} {unit}, but a node of {place} has {limit} at most: {remedy}")
    if not any(_fits(request, node) for node in here):
        raise RefilmError(
            f"{request.title}: {request.cpus} CPUs, {request.memory_mb or 0} MB and {request.gpus} GPUs: no node of {place} "
            f"has all of them: set cpus {_HEAD}, or {_option(request, 'mem_mb')}"
        )
    _check_walltime(request, here, place)


def check_account(account: str, known: set[str] | None) -> None:
    """Raises RefilmError for an account that the user does not have. known: None where the cluster has no accounts."""
    if known is None:
        raise RefilmError(f"account '{account}': this cluster has no accounts: set it to \"\" {_HEAD}")
    if known and account.lower() not in known:
        raise RefilmError(f"account '{account}' is not yours; yours are: {', '.join(sorted(known))}: set it {_HEAD}")


def request_of(job: Any) -> Request:
    """What a job of Snakemake asks Slurm for."""
    asked = job.resources
    gpus = _number(asked.get("gpu")) or _count_gpus(str(asked.get("gres") or "")) or 0
    partition = asked.get("slurm_partition")
    return Request(
        _comment(job).removeprefix("rule_").replace("_wildcards_", " "),
        str(partition) if partition else None,
        _number(job.threads) or 1,
        _number(asked.get("mem_mb")),
        gpus,
        _number(asked.get("runtime")),
        str(asked.get("slurm_extra") or ""),
    )


def parse_nodes(text: str) -> list[Nodes]:
    """From the output of sinfo --exact in the format %R|%c|%m|%G|%l."""
    fields = (line.split("|") for line in text.splitlines() if line.strip())
    return [
        Nodes(name, _first_number(cpus), _first_number(memory), _count_gpus(gres), _minutes(limit))
        for name, cpus, memory, gres, limit in fields
    ]


def parse_queue(text: str) -> list[QueuedJob]:
    """From the output of squeue in the format %i|%j|%T|%r|%k|%Z."""
    return [QueuedJob(*line.split("|", 5)) for line in text.splitlines() if line.count("|") >= 5]


def describe_waiting(jobs: Iterable[QueuedJob], told: set[tuple[str, str]]) -> list[str]:
    """A line for each reason why jobs wait that `told` does not have yet, which then has it: pairs of job and reason.

    Of the reasons that pass by themselves a job is told once; that it was queued again, each time.
    """
    waiting: dict[str, list[QueuedJob]] = {}
    for job in jobs:
        if job.state == "RUNNING":
            told.discard((job.number, _AGAIN))
        key = (job.number, "" if job.reason in _ORDINARY else job.reason)
        if job.state == "PENDING" and job.reason != "None" and key not in told:
            told.add(key)
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
    """The queue of Slurm, and what was told of it. Jobs of earlier runs are not those of this one."""

    def __init__(self) -> None:
        self.earlier: set[str] = set()  # numbers
        self.told: set[tuple[str, str]] = set()
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
            _show(describe_waiting(self.jobs(), self.told))


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


def _comment(job: Any) -> str:
    """The comment that the plugin gives to a job: its rule, or the name of its group, and its wildcards."""
    wildcards = "" if job.is_group() else "_".join(job.wildcards).replace("/", "_")
    return f"rule_{job.name}" + (f"_wildcards_{wildcards}" if wildcards else "")


def _fits(request: Request, node: Nodes) -> bool:
    return request.cpus <= node.cpus and (request.memory_mb or 0) <= node.memory_mb and request.gpus <= node.gpus


def _check_walltime(request: Request, here: list[Nodes], place: str) -> None:
    limits = [node.walltime for node in here]
    longest = None if None in limits else max(limit for limit in limits if limit is not None)
    remedy = f"set training_walltime {_HEAD}" if _SIGNAL.search(request.extra) else _option(request, "runtime")
    if request.walltime is None:
        return
    if longest is not None and request.walltime > longest:
        raise RefilmError(f"{request.title}: {request.walltime} minutes, but {place} allows {longest} at most: {remedy}")
    signal = _SIGNAL.search(request.extra)
    if signal and request.walltime * 60 < int(signal[1]) + _EARLY:
        raise RefilmError(
            f"{request.title}: a walltime of {request.walltime} minutes leaves no time to train, with {signal[1]} seconds "
            f"to save its state and {_EARLY} more, by which Slurm may be early: {remedy}"
        )


def _option(request: Request, resource: str) -> str:
    return f"use --set-resources {request.title.split()[0]}:{resource}=…"


def _waiting_line(reason: str, jobs: list[QueuedJob]) -> str:
    meaning = _REASONS.get(reason.split(",")[0].strip("()"))
    return f"Slurm: {_some(jobs)} {'wait' if len(jobs) > 1 else 'waits'}: {reason}" + (f" ({meaning})" if meaning else "")


def _some(jobs: list[QueuedJob]) -> str:
    """'job 7 (train_model bikes)', 'job 7 (train_model bikes) and 3 more'."""
    more = f" and {len(jobs) - 1} more" if len(jobs) > 1 else ""
    return f"job {jobs[0].number} ({jobs[0].title}){more}"


def _queue() -> list[QueuedJob]:
    """The jobs that were submitted from this folder."""
    text = _asked("squeue", "--noheader", "--states=all", f"--user={getpass.getuser()}", f"--format={_QUEUE_FORMAT}")
    return [job for job in parse_queue(text or "") if Path(job.folder) == Path.cwd()]


def _accounts() -> set[str] | None:
    """The accounts of the user, in lower case; None where the cluster keeps none, empty where it does not say."""
    answers = (
        _asked(
            "sacctmgr", "--noheader", "--parsable2", "show", "associations", f"user={getpass.getuser()}", "format=account"
        ),
        _asked("sshare", "-U", "--noheader", "--parsable2", "--format=Account"),
    )
    if answers == (None, None):
        return None
    return {line.strip().lower() for answer in answers for line in (answer or "").splitlines() if line.strip()}


def _asked(*words: str) -> str | None:
    """What a command prints, or None if it is not there, fails or does not answer in a minute."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _show(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr, flush=True)


def _number(value: object) -> int | None:
    """None for a value that Snakemake cannot know yet."""
    return value if isinstance(value, int) else None


def _first_number(text: str) -> int:
    """Of '16', or '16+' where sinfo puts unequal nodes into one line."""
    found = re.match(r"\d+", text)
    return int(found[0]) if found else 0


def _count_gpus(gres: str) -> int:
    """Of 'gpu:4', 'gpu:a100:4(S:0-1),nvme:1', 'gpu'."""
    return sum(int(count or 1) for count in _GPUS.findall(gres))


def _minutes(text: str) -> int | None:
    """Of 'infinite', '30:00', '12:00:00', '3-00:00:00'."""
    days, _, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts) or len(parts) < 2:
        return None
    hours = int(parts[-3]) if len(parts) > 2 else 0
    return int(days or 0) * 24 * 60 + hours * 60 + int(parts[-2])
