"""Several processes that train one model, each on its own GPU with its share of every batch.

The sum over all is what one process would have computed: losses are means over the batch, so gradients are averaged, as
one flat buffer; what must be known of the whole batch within a step is summed over the processes.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor

from refilm.config.recipe import Recipe
from refilm.core.errors import RefilmError
from refilm.core.files import scratch_folder
from refilm.core.signals import EXIT_TEMPFAIL, cleanup_on_signal, exit_now, kill_child

_ENDED = "training process {} ended; the same command continues from the last state"
_PLACE = "REFILM_PROCESS"  # of a process that another one started: NUMBER:PARENT:MEETING, the file where they meet


class ProcessGroup:
    """The processes that share a training: `number` of this one, from 0, and how many there are, `count`."""

    def __init__(self, number: int, count: int):
        self.number, self.count = number, count

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, which all have."""
        if self.count > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor)
        return tensor

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean over all processes, which all have."""
        return self.sum(tensor) / self.count if self.count > 1 else tensor

    def average_gradients(self, gradients: dict[str, list[Tensor]]) -> None:
        """Put the mean over all processes in the place of each gradient."""
        if self.count == 1:
            return
        tensors = [gradient for own in gradients.values() for gradient in own]
        # elements as they lie in memory, whatever the order of dimensions: it is the same in all processes
        flat = torch.cat([_in_memory(tensor) for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.count
        for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            _in_memory(tensor).copy_(mean)

    def same(self, value: int) -> int:
        """The first process's value, in all of them. Waits for the device."""
        if self.count == 1:
            return value
        answer = torch.tensor([value], device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.broadcast(answer, src=0)
        return int(answer.item())


SINGLE_PROCESS = ProcessGroup(0, 1)


def local_device(device: torch.device) -> torch.device:
    """The device of this process: with CUDA each has a GPU of its own."""
    if device.type == "cuda" and _PLACE in os.environ:
        return torch.device("cuda", int(os.environ[_PLACE].partition(":")[0]))
    return device


def check_shares(recipe: Recipe, count: int, device: torch.device, asked_for: str) -> None:
    """Raises RefilmError where a training cannot be shared by so many processes with the result of one. asked_for: the
    device as configured; processes share a CPU only where that is said."""
    if count == 1:
        return
    if recipe.recipe == "broad2016":
        raise RefilmError("gpus: broad2016 norms every frame by its whole batch, which cannot be shared: set gpus: 1")
    if recipe.batch_size % count:
        raise RefilmError(
            f"gpus: batch_size {recipe.batch_size} is not divisible by {count}: set batch_size to a multiple of {count}"
        )
    there = torch.cuda.device_count()
    if there < count and asked_for != "cpu":
        raise RefilmError(f"gpus: {count} are wanted and this machine shows {there} of CUDA: set gpus to {max(1, there)}")


@contextmanager
def spawn_processes(count: int, device: torch.device) -> Iterator[ProcessGroup]:
    """Within the block `count` processes run this same program: the first starts the others with its own command line.

    Whichever ends, the others end too: the first says so in one line, and its states are there to continue from.
    """
    if count == 1:
        yield SINGLE_PROCESS
        return
    with ExitStack() as stack:
        others = []
        if _PLACE in os.environ:
            number, parent, rendezvous = os.environ[_PLACE].split(":", 2)
            threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
        else:
            number, rendezvous = "0", str(stack.enter_context(scratch_folder()) / "rendezvous")
            for other in range(1, count):
                others.append(stack.enter_context(cleanup_on_signal(partial(_start, other, rendezvous), kill_child)))
            threading.Thread(target=_watch, args=(others,), daemon=True).start()
        if device.type == "cuda":
            torch.cuda.set_device(int(number))
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            init_method=f"file://{rendezvous}",
            rank=int(number),
            world_size=count,
        )
        try:
            yield ProcessGroup(int(number), count)
        except BaseException as error:
            dead = _dead_soon(others) if others and isinstance(error, RuntimeError) else None
            for other in others:  # wherever they are: they write nothing
                other.expected = True
                other.kill()
            if dead:
                raise RefilmError(_ENDED.format(dead)) from error
            raise
        dist.destroy_process_group()  # by all at the same time: with NCCL each waits for the others here
        for other in others:
            other.wait()
            other.expected = True


def _start(number: int, rendezvous: str) -> subprocess.Popen:
    words, place = [sys.executable, *sys.orig_argv[1:]], f"{number}:{os.getpid()}:{rendezvous}"
    process = subprocess.Popen(words, env=os.environ | {_PLACE: place}, stdout=subprocess.DEVNULL)
    process.expected = False  # whether it may end
    return process


def _watch(others: list[subprocess.Popen]) -> None:
    """End this process when another ended that should not have: it would wait for it for ever."""
    while not all(other.expected for other in others):
        time.sleep(0.5)
        dead = _dead(others)
        time.sleep(5.0 if dead else 0.0)  # time to hear of it by an error, and to end in order
        if dead and not others[dead - 1].expected:
            told = (
                others[dead - 1].returncode == EXIT_TEMPFAIL
            )  # as this one was, which waits for the others and does not hear
            exit_now(EXIT_TEMPFAIL if told else 1, _ENDED.format(dead))


def _dead_soon(others: list[subprocess.Popen]) -> int | None:
    """The same, by when the system may take longer to bury it than to close its connections."""
    end = time.monotonic() + 2
    while (dead := _dead(others)) is None and time.monotonic() < end:
        time.sleep(0.05)
    return dead


def _dead(others: list[subprocess.Popen]) -> int | None:
    """The number of a process that failed; None while none has."""
    return next((number for number, other in enumerate(others, 1) if other.poll() not in (None, 0)), None)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _in_memory(tensor: Tensor) -> Tensor:
    """All elements of a dense tensor in their order in memory: (numel,), a view."""
    return tensor.as_strided((tensor.numel(),), (1,))
