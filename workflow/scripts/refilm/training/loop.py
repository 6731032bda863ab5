"""The training loop, read from top to bottom: load a batch, take the exact gradients, step, preview, report, save.

Nothing in a step waits for the device; metrics are summed there and fetched when a row of training.csv is due.
"""

import math
import signal
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from refilm.config.recipe import Recipe
from refilm.core.errors import Interrupted, RefilmError
from refilm.core.progress import progress_bar
from refilm.core.signals import STOP_SIGNALS
from refilm.frames.store import FrameStore
from refilm.models.base import FITTED_FRAMES, Model
from refilm.models.device import capture_stream
from refilm.training.distributed import SINGLE_PROCESS, ProcessGroup
from refilm.training.recorder import REPORT_STEPS, BaseRecorder, NullRecorder, TrainingCallbacks, make_recorder
from refilm.training.sampler import FrameSampler
from refilm.training.trainer import BaseTrainer, Trainer

_MIN_STEPS_TO_COMPILE = 20_000  # compiling takes a minute and saves 5 ms per step
_RESIDENT_SHARE = 0.5  # of a GPU's free memory that frames may take
_RESIDENT_CHUNK = 512  # frames read at once


class Interrupt:
    """Whether a signal to stop was received."""

    is_set = False


@contextmanager
def interrupt_flag() -> Iterator[Interrupt]:
    """Within the block the signals to stop only set a flag, and the loop saves its state."""
    flag = Interrupt()

    def receive(_signal: int, _frame: object) -> None:
        flag.is_set = True

    handled = [sign for sign in STOP_SIGNALS if signal.getsignal(sign) is not signal.SIG_IGN]
    previous = {sign: signal.signal(sign, receive) for sign in handled}
    try:
        yield flag
    finally:
        for sign, handler in previous.items():
            signal.signal(sign, handler)


def train(
    recipe: Recipe,
    frame_files: list[Path],
    folder: Path,
    device: torch.device,
    callbacks: TrainingCallbacks | None = None,
    compiled: str = "auto",
    group: ProcessGroup = SINGLE_PROCESS,
    initial: Model | None = None,
) -> Trainer:
    """Train to the end of the recipe, or continue to it, and return the trainer.

    folder: where training.csv and state/ are written; `StateFolder.locked` keeps other processes out of it; compiled:
    'true', 'false', or 'auto' for a CUDA GPU and a training that is long enough to gain by it; group: the processes that
    share the training, of which only the main one writes; initial: from whose weights it starts. Raises Interrupted after
    a signal to stop, with the state saved, and RefilmError for a loss that is not finite.
    """
    with ExitStack() as stack:
        stack.enter_context(capture_stream(device))
        recorder = make_recorder(recipe, folder, callbacks or TrainingCallbacks(), group)
        interrupt = stack.enter_context(interrupt_flag())
        stores = [stack.enter_context(FrameStore(file)) for file in frame_files]
        _check_sizes(recipe, stores)
        sampler = FrameSampler(stores, recipe, device.type == "cuda", (group.rank, group.world_size))
        total = recipe.total_steps(len(sampler))
        trainer = Trainer(recipe, device, _compiles(compiled, device, total), group, load_resident_frames(sampler, device))
        if initial is not None:
            trainer.start_from(initial)
        stack.enter_context(_release_on_clean_exit(trainer))
        recorder.start(trainer, sampler, total)
        if recipe.spec.linear_code and trainer.step == 0 and initial is None:
            trainer.fit(sampler.read(sampler.representative(FITTED_FRAMES)))

        run_steps(trainer, sampler.batches(trainer.step, total), total, recorder, interrupt, f"train {folder.name}")
    return trainer


def run_steps(
    trainer: BaseTrainer,
    batches: Iterable[Any],
    total: int,
    recorder: BaseRecorder | NullRecorder,
    interrupt: Interrupt,
    label: str,
) -> None:
    """Train the steps that are left of `total`, one with each of the batches. label: of the progress. Raises Interrupted
    after a signal to stop, with the state saved."""
    group = trainer.group
    with progress_bar(label, total, " steps", trainer.step, hidden=not group.is_main) as bar:
        for batch in batches:
            trainer.train_step(batch, total)
            due = trainer.step % REPORT_STEPS == 0 or trainer.step == total
            # Read once per step: a state is saved only after its metrics were checked.
            stopped = bool(group.broadcast(int(interrupt.is_set))) if due or group.world_size == 1 else False
            recorder.preview()
            recorder.show_now()
            recorder.keep()
            if due or stopped:
                metrics = trainer.pop_metrics()  # the one host-device sync
                bar.set_postfix_str(recorder.report(metrics), refresh=False)
            bar.update(1)
            recorder.save(force=stopped or trainer.step == total)
            if stopped and trainer.step < total:
                recorder.interrupt()
                break


def load_resident_frames(sampler: FrameSampler, device: torch.device) -> torch.Tensor | None:
    """All frames on a CUDA GPU, uint8 (N, H, W, 3), if they take at most half of its free memory; batches of `sampler` then
    hold indices in place of frames. Otherwise None: batches are read from the disk while steps compute."""
    if device.type != "cuda":
        return None
    count = sum(len(store) for store in sampler.stores)
    shape = (count, sampler.stores[0].height, sampler.stores[0].width, 3)
    if math.prod(shape) > torch.cuda.mem_get_info(device)[0] * _RESIDENT_SHARE:
        return None
    resident = torch.empty(shape, dtype=torch.uint8, device=device)
    for start in range(0, count, _RESIDENT_CHUNK):
        frames = sampler.read(range(start, min(count, start + _RESIDENT_CHUNK)))
        resident[start : start + len(frames)] = torch.from_numpy(frames).to(device)
    sampler.indices_only = True
    return resident


def _compiles(compiled: str, device: torch.device, total: int) -> bool:
    return compiled == "true" or (compiled == "auto" and device.type == "cuda" and total >= _MIN_STEPS_TO_COMPILE)


@contextmanager
def _release_on_clean_exit(trainer: Trainer) -> Iterator[None]:
    """Release the recorded step at an end that all processes reach; after any other the device may never answer."""
    try:
        yield
    except Interrupted:
        trainer.release_graph()
        raise
    trainer.release_graph()


def _check_sizes(recipe: Recipe, stores: list[FrameStore]) -> None:
    for store in stores:
        if (store.width, store.height) != recipe.size:
            raise RefilmError(
                f"{store.path}: frames are {store.width}x{store.height}, but the recipe's frame_size is {recipe.frame_size}"
            )
