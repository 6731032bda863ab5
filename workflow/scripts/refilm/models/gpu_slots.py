"""Which GPUs of this machine a process uses: one that no other process of refilm uses, by locks that its end releases.

A cluster says it by CUDA_VISIBLE_DEVICES. Without that every process would take the first GPU.
"""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

from refilm.core import job_status

VARIABLE = "CUDA_VISIBLE_DEVICES"
_FOLDER = Path("/tmp")  # of all users, whatever their TMPDIR is
_QUERY = ("--query-gpu=uuid", "--format=csv,noheader")
_SECONDS = 60  # a driver may load first

_held: list[int] = []  # file descriptors, locked until this process ends


def reserve_gpus(count: int) -> None:
    """Let this process, and those that it starts, see only `count` GPUs that are free.

    To be called before the CUDA library is used. Nothing is reserved where CUDA_VISIBLE_DEVICES is set, and on a machine
    with one GPU or without. Where fewer are free than needed, the others are shared with another process.
    """
    if os.environ.get(VARIABLE) is not None:
        return
    gpus = _gpus()
    if len(gpus) < 2:
        return
    numbers = _lock_free(gpus, count)
    if len(numbers) < count:
        others = [number for number in range(len(gpus)) if number not in numbers]
        print(f"GPUs: of {len(gpus)}, {len(numbers)} are free and {count} needed: shared with another process", flush=True)
        numbers += others[: count - len(numbers)]
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # the order in which nvidia-smi numbers them
    os.environ[VARIABLE] = ",".join(map(str, sorted(numbers)))
    job_status.describe(gpus=os.environ[VARIABLE])


def _lock_free(gpus: list[str], count: int) -> list[int]:
    """The numbers of up to `count` GPUs that were free, and are locked now. No other is locked on the way, not even for a
    moment in which another process would find it in use."""
    numbers: list[int] = []
    for number, uuid in enumerate(gpus):
        if len(numbers) < count and (lock := _try_lock(uuid)) is not None:
            _held.append(lock)
            numbers.append(number)
    return numbers


def _gpus() -> list[str]:
    """The identifiers of the machine's NVIDIA GPUs, in the order of their numbers; none without their driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        done = subprocess.run([tool, *_QUERY], capture_output=True, text=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.split()


def _try_lock(uuid: str) -> int | None:
    """A file descriptor that holds the lock of a GPU, or None where another process holds it."""
    path = _FOLDER / f"refilm-{uuid}.lock"
    try:
        try:
            lock = os.open(path, os.O_RDONLY)  # one that another user made can be locked, but not be opened for writing
        except FileNotFoundError:
            lock = os.open(path, os.O_RDONLY | os.O_CREAT, 0o444)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock
