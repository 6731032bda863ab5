"""What a Slurm cluster offers, and whether the jobs of a run fit into it.

Slurm takes jobs that no node could ever run, and lets them wait. So a run is checked before its first job is submitted,
against what sinfo, sacct and sacctmgr say.
"""

import getpass
import re
import subprocess
from dataclasses import dataclass
from typing import Any

from refilm.core.errors import RefilmError

_HEAD = "at the head of profiles/slurm/profile.yaml"
_EARLY = 60  # seconds by which Slurm may send the signal of --signal too early
_GPUS = re.compile(r"\bgpu(?::[\w.-]+)??(?::(\d+))?(?=[(,]|$)")
_SIGNAL = re.compile(r"--signal=(?:\w:)?\w+@(\d+)")


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
    account: str = ""


def check_cluster(status_command: str | None) -> None:
    """Raises RefilmError where there is no Slurm, or the status of jobs cannot be asked for in that way."""
    if asked("sinfo", "--version") is None:
        raise RefilmError("executor slurm: sinfo was not found: run Snakemake on a login node of the cluster")
    if asked("sinfo", "--noheader") is None:
        raise RefilmError("executor slurm: the controller of the cluster does not answer: `sinfo` says why")
    if status_command == "sacct" and asked("sacct", "--noheader", "--allocations") is None:
        raise RefilmError(f"status_command: this cluster has no accounting for sacct to ask: set it to squeue {_HEAD}")


def check_jobs(requests: list[Request]) -> None:
    """Raises RefilmError for an account that is not there, and for the first job that the cluster could never run."""
    nodes = parse_nodes(asked("sinfo", "--all", "--noheader", "--exact", "--format=%R|%c|%m|%G|%l") or "")
    accounts = {request.account for request in requests} - {""}
    for account in sorted(accounts):
        check_account(account, _accounts())
    for request in sorted(requests, key=lambda one: one.title):
        check_request(request, nodes)


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


def request_of(job: Any, title: str) -> Request:
    """What a job of Snakemake asks Slurm for."""
    wanted = job.resources
    gpus = _number(wanted.get("gpu")) or _count_gpus(str(wanted.get("gres") or "")) or 0
    partition = wanted.get("slurm_partition")
    return Request(
        title,
        str(partition) if partition else None,
        _number(job.threads) or 1,
        _number(wanted.get("mem_mb")),
        gpus,
        _number(wanted.get("runtime")),
        str(wanted.get("slurm_extra") or ""),
        str(wanted.get("slurm_account") or ""),
    )


def parse_nodes(text: str) -> list[Nodes]:
    """From the output of sinfo --exact in the format %R|%c|%m|%G|%l."""
    fields = (line.split("|") for line in text.splitlines() if line.strip())
    return [
        Nodes(name, _first_number(cpus), _first_number(memory), _count_gpus(gres), _minutes(limit))
        for name, cpus, memory, gres, limit in fields
    ]


def asked(*words: str) -> str | None:
    """What a command prints, or None if it is not there, fails or does not answer in a minute."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _accounts() -> set[str] | None:
    """The accounts of the user, in lower case; None where the cluster keeps none, empty where it does not say."""
    answers = (
        asked(
            "sacctmgr", "--noheader", "--parsable2", "show", "associations", f"user={getpass.getuser()}", "format=account"
        ),
        asked("sshare", "-U", "--noheader", "--parsable2", "--format=Account"),
    )
    if answers == (None, None):
        return None
    return {line.strip().lower() for answer in answers for line in (answer or "").splitlines() if line.strip()}


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
