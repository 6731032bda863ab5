"""The state of a training: written atomically, keyed by the recipe, locked by one process at a time.

state/
    lock                             held with flock by the process that trains
    1f0c63a4e2d1/                    a folder for each recipe that was trained here, by its key
        step-000001200.safetensors   model, its moving average, optimisers; the two latest are kept
        training.csv                 as it was at that step
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self, TextIO

import torch
from safetensors import SafetensorError, safe_open

import refilm
from refilm import layout
from refilm.config.model_folder import check_length, checkpoints
from refilm.config.recipe import Training
from refilm.core.files import atomic_write, copy_file, try_lock
from refilm.models.tensor_file import save_tensors

_KEPT = 2
_COPIES = 4  # of the weights in a checkpoint: they, their average, and two moments of the optimiser
_SECONDS_BETWEEN_TRIES = 1.0


class StateFolder:
    """The checkpoints of one training run."""

    def __init__(self, model_folder: Path | str, recipe: Training):
        self.root, self.recipe = Path(model_folder) / layout.STATE, recipe
        self.folder = self.root / recipe.state_key()

    @contextmanager
    def locked(self) -> Iterator[Self]:
        """Lock the folder; wait while another process trains in it. A process that dies releases its lock."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.root / layout.LOCK, "a+") as lock:
            self._wait_for(lock)
            with suppress(OSError):  # on a full disk, of which the training will say how much it needs
                os.truncate(lock.fileno(), 0)
                os.write(lock.fileno(), f"process {os.getpid()} on {os.uname().nodename}".encode())
            for partial in self.folder.glob(".*.part*"):  # of a process that was killed while writing
                partial.unlink()
            yield self

    def _wait_for(self, lock: TextIO) -> None:
        waits = False
        while not try_lock(lock):
            if not waits:
                lock.seek(0)
                owner = lock.read().strip() or "unknown"
                print(f"{self.root}: another process ({owner}) is training this model: waiting for its end", flush=True)
            waits = True
            time.sleep(_SECONDS_BETWEEN_TRIES)

    def save(self, step: int, tensors: dict[str, torch.Tensor], log: Path, frames: int) -> None:
        """Write the checkpoint after `step` steps, with the log so far, and delete all but the latest two.

        frames: how many the model is trained on, from which a plan knows the steps of an epoch.
        """
        copy_file(log, self.folder / log.name)
        metadata = {"recipe": self.recipe.to_json(), "refilm": refilm.__version__, "frames": str(frames)}
        with atomic_write(self._file(step)) as partial:
            save_tensors(partial, tensors, metadata)
        for _step, old in checkpoints(self.folder)[_KEPT:]:
            old.unlink()

    def needed_bytes(self, weights: int) -> int:
        """How much the disk will need for the checkpoints that are not there yet, and for the one that is written before
        the oldest is deleted. weights: bytes of the model's weights."""
        return _COPIES * weights * (_KEPT + 1 - min(_KEPT, len(checkpoints(self.folder))))

    def load(self, total: int, log: Path) -> tuple[int, dict[str, torch.Tensor]] | None:
        """(step, tensors) of the latest good checkpoint of this recipe, or None where training starts. `log` becomes the
        log of that training.

        States of other recipes are in folders of their own, and never deleted. Raises RefilmError if this recipe was trained
        for more than `total` steps: the shorter training is not a part of the longer one.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        others = sorted(folder.name for folder in self.root.iterdir() if folder.is_dir() and folder != self.folder)
        if others and not checkpoints(self.folder):
            print(
                f"{self.root}: the states of other recipes are kept ({', '.join(others)}); this one starts at step 0",
                flush=True,
            )
        if (self.folder / log.name).exists():
            copy_file(self.folder / log.name, log)
        else:
            log.unlink(missing_ok=True)
        for step, file in checkpoints(self.folder):
            try:
                tensors = self.read(step)
                check_length(self.folder, step, total)
                return step, tensors
            except SafetensorError as error:
                aside = file.replace(file.with_suffix(".damaged"))  # or it would take the place of a good one
                print(f"{aside}: corrupt ({error}), using the checkpoint before it", flush=True)
        return None

    def latest(self) -> int | None:
        """The step of the latest checkpoint of this recipe, or None."""
        return next((step for step, _file in checkpoints(self.folder)), None)

    def read(self, step: int) -> dict[str, torch.Tensor]:
        """The tensors saved after `step` steps. Raises SafetensorError if the file is corrupt."""
        with safe_open(self._file(step), "pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)

    def _file(self, step: int) -> Path:
        return self.folder / f"step-{step:09}.safetensors"
