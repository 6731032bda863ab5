"""The state of a training: written atomically, keyed by the recipe, locked by one process at a time.

state/
    lock                             held with flock by the process that trains
    1f0c63a4e2d1/                    a folder for each recipe that was trained here, by its key
        step-000001200.safetensors   model, its moving average, optimisers; the two latest are kept
        training.csv                 as it was at that step
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

import refilm
from refilm.config.recipe import Recipe
from refilm.core.errors import RefilmError
from refilm.core.files import atomic_write

_NAME = re.compile(r"step-(\d+)\.safetensors")
_KEPT = 2


class StateFolder:
    """The checkpoints of one training run."""

    def __init__(self, folder: Path | str, recipe: Recipe):
        self.root, self.recipe = Path(folder), recipe
        self.folder = self.root / recipe.state_key()

    @contextmanager
    def locked(self) -> Iterator[Self]:
        """Lock the folder. Raises RefilmError if another process trains in it. A process that dies releases its lock."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.root / "lock", "a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise RefilmError(
                    f"{self.root}: another process ({lock.read().strip() or 'unknown'}) is training this model: "
                    "wait for it, or stop it first"
                ) from None
            except OSError as error:
                raise RefilmError(
                    f"{self.root}: the file system does not support locks ({error.strerror}), so two trainings could write "
                    "here: mount it with flock, or put results/ on another one"
                ) from error
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {os.uname().nodename}")
            lock.flush()
            for partial in self.folder.glob(".*.part*"):  # of a process that was killed while writing
                partial.unlink()
            yield self

    def save(self, step: int, tensors: dict[str, torch.Tensor], log: Path) -> None:
        """Write the checkpoint after `step` steps, with the log so far, and delete all but the latest two."""
        with atomic_write(self.folder / log.name) as partial:
            partial.write_bytes(log.read_bytes())
        metadata = {"recipe": self.recipe.to_json(), "refilm": refilm.__version__}
        with atomic_write(self._file(step)) as partial:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial, metadata)
        for _step, old in self._checkpoints()[_KEPT:]:
            old.unlink()

    def load(self, total: int, log: Path) -> tuple[int, dict[str, torch.Tensor]] | None:
        """(step, tensors) of the latest good checkpoint of this recipe, or None where training starts. `log` becomes the
        log of that training.

        States of other recipes are in folders of their own, and never deleted. Raises RefilmError if this recipe was trained
        for more than `total` steps: the shorter training is not a part of the longer one.
        """
        others = sorted(folder.name for folder in self.root.iterdir() if folder.is_dir() and folder != self.folder)
        if others and not self._checkpoints():
            print(
                f"{self.root}: the states of other recipes are kept ({', '.join(others)}); this one starts at step 0",
                flush=True,
            )
        if (self.folder / log.name).exists():
            with atomic_write(log) as partial:
                partial.write_bytes((self.folder / log.name).read_bytes())
        else:
            log.unlink(missing_ok=True)
        for step, file in self._checkpoints():
            try:
                tensors = self.read(step)
                if step > total:
                    raise RefilmError(
                        f"{self.folder}: this model was trained for {step} steps, and its recipe now has {total}: set "
                        f"{step} or more, or delete this folder to train it from the beginning"
                    )
                return step, tensors
            except SafetensorError as error:
                aside = file.replace(file.with_suffix(".damaged"))  # or it would take the place of a good one
                print(f"{aside}: corrupt ({error}), using the checkpoint before it", flush=True)
        return None

    def latest(self) -> int | None:
        """The step of the latest checkpoint of this recipe, or None."""
        return next((step for step, _file in self._checkpoints()), None)

    def read(self, step: int) -> dict[str, torch.Tensor]:
        """The tensors saved after `step` steps. Raises SafetensorError if the file is corrupt."""
        with safe_open(self._file(step), "pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)

    def _file(self, step: int) -> Path:
        return self.folder / f"step-{step:09}.safetensors"

    def _checkpoints(self) -> list[tuple[int, Path]]:
        """(step, file), latest first."""
        files = self.folder.iterdir() if self.folder.is_dir() else ()
        checkpoints = [(int(match[1]), file) for file in files if (match := _NAME.fullmatch(file.name))]
        return sorted(checkpoints, reverse=True)
