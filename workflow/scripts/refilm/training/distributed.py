"""Several processes that train one model, each on its own GPU with its shard of every batch.

The result is what one process would have computed: losses are means over the batch, so gradients are averaged, as one flat
buffer; what depends on the whole batch within a step is summed over the processes.
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

_ENDED = "training process {} ended; the same command continues from the last checkpoint"
_VARIABLE = "REFILM_PROCESS"  # set for a process that another one started: RANK:PARENT:RENDEZVOUS_FILE


class ProcessGroup:
    """The processes that share a training: the `rank` of this one, from 0, and how many there are."""

    def __init__(self, rank: int, world_size: int):
        self.rank, self.world_size = rank, world_size

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, in all of them."""
        if self.world_size > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor)
        return tensor

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean over all processes, in all of them."""
        return self.sum(tensor) / self.world_size if self.world_size > 1 else tensor

    def average_gradients(self, gradients: dict[str, list[Tensor]]) -> None:
        """Replace each gradient by its mean over all processes."""
        if self.world_size == 1:
            return
        tensors = [gradient for own in gradients.values() for gradient in own]
        # elements in memory order, whatever the order of dimensions: it is the same in all processes
        flat = torch.cat([_in_memory_order(tensor) for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.world_size
        for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            _in_memory_order(tensor).copy_(mean)

    def broadcast(self, value: int) -> int:
        """The main process's value, in all of them. Waits for the device."""
        if self.world_size == 1:
            return value
        tensor = torch.tensor([value], device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.broadcast(tensor, src=0)
        return int(tensor.item())


SINGLE_PROCESS = ProcessGroup(0, 1)


def is_worker() -> bool:
    """Whether the main process of a shared training started this one."""
    return _VARIABLE in os.environ


def local_device(device: torch.device) -> torch.device:
    """The device of this process: with CUDA each has a GPU of its own."""
    if device.type == "cuda" and is_worker():
        return torch.device("cuda", int(os.environ[_VARIABLE].partition(":")[0]))
    return device


def check_shards(recipe: Recipe, count: int, device: torch.device, requested: str) -> None:
    """Raises RefilmError where a training cannot be shared by `count` processes with the result of one. requested: the
    device as configured; processes share a CPU only where that is requested."""
    if count == 1:
        return
    if not recipe.spec.shardable:
        raise RefilmError(
            f"gpus: {recipe.recipe} normalises every frame by its whole batch, which cannot be split: set gpus: 1"
        )
    if recipe.batch_size % count:
        raise RefilmError(
            f"gpus: batch_size {recipe.batch_size} is not divisible by {count}: set batch_size to a multiple of {count}"
        )
    if recipe.clips and recipe.batch_size // count % recipe.clip_length:
        raise RefilmError(
            f"gpus: clips are shared whole: set batch_size to a multiple of {recipe.clip_length * count}, or clips to 0"
        )
    available = torch.cuda.device_count()
    if available < count and requested != "cpu":
        raise RefilmError(
            f"gpus: {count} requested, and {available} CUDA GPUs are available: set gpus to {max(1, available)}"
        )


@contextmanager
def spawn_processes(count: int, device: torch.device) -> Iterator[ProcessGroup]:
    """Within the block `count` processes run this same program: the main one starts the others with its own command line.

    If one ends, the others end too: the main one reports it in one line, and its checkpoints are there to continue from.
    """
    if count == 1:
        yield SINGLE_PROCESS
        return
    with ExitStack() as stack:
        workers: list[Worker] = []
        if is_worker():
            rank, parent, rendezvous = os.environ[_VARIABLE].split(":", 2)
            threading.Thread(target=_exit_with_parent, args=(int(parent),), daemon=True).start()
        else:
            rank, rendezvous = "0", str(stack.enter_context(scratch_folder()) / "rendezvous")
            for number in range(1, count):
                workers.append(stack.enter_context(cleanup_on_signal(partial(_start, number, rendezvous), kill_child)))
            threading.Thread(target=_watch, args=(workers,), daemon=True).start()
        if device.type == "cuda":
            torch.cuda.set_device(int(rank))
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, init_method=f"file://{rendezvous}", rank=int(rank), world_size=count)
        try:
            yield ProcessGroup(int(rank), count)
        except BaseException as error:
            dead = _wait_for_dead(workers) if workers and isinstance(error, RuntimeError) else None
            for worker in workers:  # wherever they are: they write nothing
                worker.expected = True
                worker.kill()
            if dead:
                raise RefilmError(_ENDED.format(dead)) from error
            raise
        dist.destroy_process_group()  # by all at the same time: with NCCL each waits for the others here
        for worker in workers:
            worker.wait()
            worker.expected = True


class Worker(subprocess.Popen[bytes]):
    """A process that the main one started. expected: whether it may end."""

    expected = False


def _start(rank: int, rendezvous: str) -> Worker:
    words, variable = [sys.executable, *sys.orig_argv[1:]], f"{rank}:{os.getpid()}:{rendezvous}"
    return Worker(words, env=os.environ | {_VARIABLE: variable}, stdout=subprocess.DEVNULL)


def _watch(workers: list[Worker]) -> None:
    """End this process when a worker ended that should not have: a collective operation would wait for it for ever."""
    while not all(worker.expected for worker in workers):
        time.sleep(0.5)
        dead = _dead(workers)
        time.sleep(5.0 if dead else 0.0)  # for the main thread to receive an error and end in order
        if dead and not workers[dead - 1].expected:
            # interrupted as this process was, which waits for the others and does not notice
            interrupted = workers[dead - 1].returncode == EXIT_TEMPFAIL
            exit_now(EXIT_TEMPFAIL if interrupted else 1, _ENDED.format(dead))


def _wait_for_dead(workers: list[Worker]) -> int | None:
    """The same, after up to two seconds: the system may close a process's connections before it reports its end."""
    end = time.monotonic() + 2
    while (dead := _dead(workers)) is None and time.monotonic() < end:
        time.sleep(0.05)
    return dead


def _dead(workers: list[Worker]) -> int | None:
    """The rank of a process that failed; None while none has."""
    return next((rank for rank, worker in enumerate(workers, 1) if worker.poll() not in (None, 0)), None)


def _exit_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _in_memory_order(tensor: Tensor) -> Tensor:
    """All elements of a dense tensor in their order in memory: (numel,), a view."""
    return tensor.as_strided((tensor.numel(),), (1,))
