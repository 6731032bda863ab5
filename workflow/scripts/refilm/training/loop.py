"""The training loop, read from top to bottom: load a batch, take the exact gradients, step, average, report, keep.

Nothing in a step waits for the device; measures are summed there and fetched when a line is due.
"""

import math
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from refilm.config.recipe import Recipe
from refilm.core.errors import Interrupted, RefilmError
from refilm.core.progress import progress_bar
from refilm.core.signals import STOP_SIGNALS
from refilm.frames.store import FrameStore
from refilm.models.device import capture_stream, device_name
from refilm.training.checkpoint import StateFolder
from refilm.training.distributed import SINGLE_PROCESS, ProcessGroup
from refilm.training.log import TrainingLog, format_progress
from refilm.training.schedule import FrameSampler, prefetch, preview_steps
from refilm.training.trainer import Trainer

_REPORT_STEPS = 20  # measures are a mean over so many steps
_CHECKPOINT_SECONDS = 300.0
_CHECKPOINT_SHARE = 0.01  # of the time may go into checkpoints: where they are slow they are made less often
_PREVIEWS = 8  # frames on a preview sheet
_MIN_STEPS_TO_COMPILE = 20_000  # steps: a minute to compile, 5 ms saved at each
_EXAMINED = 64  # frames shown, and as many held out, whose PSNR is measured at each preview
_REEL_SHARE = 0.5  # of a GPU's free memory may be taken by frames
_REEL_CHUNK = 512  # frames read at once


@dataclass(frozen=True)
class Preview:
    """What a preview shows, uint8 (n, H, W, 3) each: the same frames of the films every time, and as rebuilt now."""

    step: int
    total: int
    originals: np.ndarray
    rebuilt: np.ndarray


def train(
    recipe: Recipe,
    frame_files: list[Path],
    folder: Path,
    device: torch.device,
    show: Callable[[Preview], None],
    compiled: str = "auto",
    processes: ProcessGroup = SINGLE_PROCESS,
    watch: Callable[[dict], None] = lambda row: None,
    begin: Callable[[], None] = lambda: None,
) -> Trainer:
    """Train to the end of the recipe, or continue to it, and return the trainer.

    folder: where training.csv and the state/ folder live; show: called with a Preview every so often; compiled: 'true',
    'false', or 'auto' for a CUDA GPU and a training long enough to gain by it; processes: those that share the training,
    of which only the first writes anything; watch: called with every row of training.csv, once it is written there; begin:
    called once the folder is this training's alone.
    Raises Interrupted after SIGTERM or SIGINT, with the state kept, and RefilmError for a loss that is not finite.
    """
    first = processes.number == 0
    with ExitStack() as opened:
        opened.enter_context(capture_stream(device))
        states = StateFolder(folder / "state", recipe)
        if first:
            opened.enter_context(states.locked())
            begin()
        stop_signals = opened.enter_context(_stop_signals())
        stores = [opened.enter_context(FrameStore(file)) for file in frame_files]
        _check_sizes(recipe, stores)
        footage = FrameSampler(stores, recipe, device.type == "cuda", (processes.number, processes.count))
        total, name = recipe.total_steps(len(footage)), folder.name
        compiling = compiled == "true" or (compiled == "auto" and device.type == "cuda" and total >= _MIN_STEPS_TO_COMPILE)
        trainer = Trainer(recipe, device, compiling, processes, load_resident_frames(footage, device))
        opened.push(_release_on_clean_exit(trainer))
        log_file = folder / "training.csv"
        found = states.load(total, log_file) if first else None
        if first:
            shared = f"{processes.count} x " if processes.count > 1 else ""
            dtype = str(trainer.dtype).removeprefix("torch.")
            print(
                f"{name}: {total:,} steps of {recipe.batch_size} frames, in {dtype} on {shared}{device_name(device)}",
                flush=True,
            )
        if first and recipe.holdout_fraction:
            print(f"{name}: held out: {_held_out(footage)}", flush=True)
        if start := processes.same(found[0] if found else 0):
            trainer.restore(start, found[1] if found else states.read(start))
            if first:
                print(f"{name}: continues after step {start:,} of {total:,}", flush=True)
        log = TrainingLog(log_file, trainer.step, recipe.batch_size, len(footage)) if first else None
        originals, exam = footage.read(footage.spread(_PREVIEWS)), HoldoutEvaluator(footage)
        previews, next_save = preview_steps(total), time.monotonic() + _CHECKPOINT_SECONDS

        with progress_bar(f"train {name}", total, " steps", trainer.step, hidden=not first) as bar:
            for _step, batch in prefetch(footage.load, trainer.step, total):
                trainer.train_step(batch, total)
                due = trainer.step % _REPORT_STEPS == 0 or trainer.step == total
                # asked once a step: a state is kept only after its measures were checked
                stopped = bool(processes.same(bool(stop_signals))) if due or processes.count == 1 else False

                # show
                if first and trainer.step in previews:
                    trainer.wait()  # the steps behind it are training time, and what follows is not
                    with log.pause():
                        show(Preview(trainer.step, total, originals, trainer.rebuild(originals)))
                        exam.sit(trainer)

                # report
                if due or stopped:
                    means = trainer.pop_metrics()  # the one host-device sync
                    if first:
                        _check_finite(means, trainer.step, states)
                        row = log.write(trainer.step, means | exam.pop_metrics())
                        with log.pause():
                            watch(row)
                        bar.set_postfix_str(f" {format_progress(row)}", refresh=False)
                bar.update(1)
                if not first:
                    if stopped and trainer.step < total:
                        return trainer
                    continue

                # keep
                if stopped or (time.monotonic() > next_save and not trainer.unreported) or trainer.step == total:
                    trainer.wait()
                    began = time.monotonic()
                    with log.pause():
                        states.save(trainer.step, trainer.state(), log_file)
                    cost = time.monotonic() - began
                    next_save = time.monotonic() + checkpoint_interval(cost)
                if stopped and trainer.step < total:
                    raise Interrupted(f"{name}: stopped after step {trainer.step} of {total}; the same command continues")
    return trainer


def checkpoint_interval(cost: float) -> float:
    """Seconds from one checkpoint to the next, when one takes `cost` seconds."""
    return max(_CHECKPOINT_SECONDS, cost / _CHECKPOINT_SHARE)


def load_resident_frames(footage: FrameSampler, device: torch.device) -> torch.Tensor | None:
    """All frames on a CUDA GPU, uint8 (N, H, W, 3), if they take no more than half of its free memory; `footage` then
    gives numbers in place of frames. Else None: batches are read from the disk while steps compute."""
    if device.type != "cuda":
        return None
    count = sum(len(store) for store in footage.stores)
    shape = (count, footage.stores[0].height, footage.stores[0].width, 3)
    if math.prod(shape) > torch.cuda.mem_get_info(device)[0] * _REEL_SHARE:
        return None
    reel = torch.empty(shape, dtype=torch.uint8, device=device)
    for start in range(0, count, _REEL_CHUNK):
        frames = footage.read(range(start, min(count, start + _REEL_CHUNK)))
        reel[start : start + len(frames)] = torch.from_numpy(frames).to(device)
    footage.on_device = True
    return reel


class HoldoutEvaluator:
    """PSNR of frames that are shown and, where some are held out, of those: the same ones every time."""

    def __init__(self, footage: FrameSampler):
        self._eval_frames, self._marks = {}, {}
        if len(footage.held_out):
            for name, held_out in (("seen_psnr", False), ("held_out_psnr", True)):
                self._eval_frames[name] = footage.read(footage.spread(_EXAMINED, held_out))

    def sit(self, trainer: Trainer) -> None:
        """Measure the average networks as they are now, in dB over all pixels of the frames."""
        for name, frames in self._eval_frames.items():
            rebuilt = np.concatenate(
                [trainer.rebuild(part) for part in np.array_split(frames, -(-len(frames) // _PREVIEWS))]
            )
            squared = np.square(rebuilt.astype(np.float32) - frames).mean()
            self._marks[name] = round(float(10 * np.log10(255**2 / max(squared, 1e-6))), 3)

    def pop_metrics(self) -> dict[str, float | str]:
        """What was measured since this was called last; empty words where nothing was, and no keys without an exam."""
        marks, self._marks = self._marks, {}
        return {name: marks.get(name, "") for name in self._eval_frames}


def _release_on_clean_exit(trainer: Trainer) -> Callable[..., None]:
    """What the trainer is owed at an end that all processes come to; at any other its device may never answer."""

    def end(kind: type | None, *_exception) -> None:
        if kind in (None, Interrupted):
            trainer.release_graph()

    return end


def _held_out(footage: FrameSampler) -> str:
    """How many frames of each film are held out, in words."""
    counts = footage.held_out_of_each()
    return ", ".join(
        f"{count:,} of the {len(store):,} frames of {store.path.stem}" + ("" if count else " (no shot is short enough)")
        for count, store in zip(counts, footage.stores, strict=True)
    )


def _check_sizes(recipe: Recipe, stores: list[FrameStore]) -> None:
    for store in stores:
        if (store.width, store.height) != recipe.size:
            raise RefilmError(f"{store.path}: frames are {store.width}x{store.height} and the recipe's {recipe.frame_size}")


def _check_finite(means: dict[str, float], step: int, states: StateFolder) -> None:
    bad = [key for key, value in means.items() if not math.isfinite(value)]
    if bad:
        latest = states.latest()
        kept = "no state had been kept"
        if latest is not None:
            kept = f"the state after step {latest:,} is kept in {states.folder}, and the same command goes on from there"
        raise RefilmError(
            f"training has broken down: {', '.join(bad)} not finite at step {step:,}; {kept}. "
            "Should it break down again, set a lower learning_rate, or another seed, or precision: float32: each of them "
            "trains the model anew"
        )


class _stop_signals:
    """Within the block SIGTERM and SIGINT only ask to stop: the value becomes true, and the loop keeps its work."""

    def __enter__(self) -> "_stop_signals":
        self._asked = False
        heard = [sign for sign in STOP_SIGNALS if signal.getsignal(sign) is not signal.SIG_IGN]
        self._before = {sign: signal.signal(sign, self._ask) for sign in heard}
        return self

    def __exit__(self, *_exception) -> None:
        for sign, handler in self._before.items():
            signal.signal(sign, handler)

    def __bool__(self) -> bool:
        return self._asked

    def _ask(self, _signal, _frame) -> None:
        self._asked = True
