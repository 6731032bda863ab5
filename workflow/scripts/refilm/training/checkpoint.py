"""The state of a training: written whole or not at all, keyed by the recipe, held by one process at a time.

state/
    lock                      held with flock by the process that trains
    step-000001200.safetensors   networks, their average, optimiser; the two latest are kept
"""

import fcntl
import os
import re
import time
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

import refilm
from refilm.settings.errors import RefilmError
from refilm.settings.files import partial_file
from refilm.settings.recipe import Recipe

_NAME = re.compile(r"step-(\d+)\.safetensors")
_KEPT = 2


class StateFolder:
    """The checkpoints of one training run."""

    def __init__(self, folder: Path | str, recipe: Recipe):
        self.folder, self.recipe = Path(folder), recipe

    @contextmanager
    def locked(self):
        """Hold the folder. Raises RefilmError if another process trains in it; a process that dies lets go of it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "lock", "a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise RefilmError(
                    f"{self.folder}: another process ({lock.read().strip() or 'unknown'}) is training this model: "
                    "wait for it, or stop it first"
                ) from None
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {os.uname().nodename}")
            lock.flush()
            yield self

    def save(self, step: int, tensors: dict[str, torch.Tensor]) -> None:
        """Write the state after `step` steps, and let go of all but the latest two."""
        metadata = {"recipe": self.recipe.to_json(), "key": self.recipe.state_key(), "refilm": refilm.__version__}
        with partial_file(self.folder / f"step-{step:09}.safetensors") as partial:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial, metadata)
        for _step, old in self._checkpoints()[_KEPT:]:
            old.unlink()

    def load(self) -> tuple[int, dict[str, torch.Tensor]] | None:
        """(step, tensors) of the latest whole checkpoint of this recipe, or None where training starts.

        States of another recipe are moved aside and named, never mixed and never deleted.
        """
        for step, file in self._checkpoints():
            try:
                with safe_open(file, "pt") as opened:
                    if (opened.metadata() or {}).get("key") != self.recipe.state_key():
                        self._move_aside(opened.metadata())
                        return None
                    return step, {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            except SafetensorError as error:
                print(f"{file}: damaged ({error}), taking the one before", flush=True)
        return None

    def _checkpoints(self) -> list[tuple[int, Path]]:
        """(step, file), latest first."""
        found = [(int(match[1]), file) for file in self.folder.iterdir() if (match := _NAME.fullmatch(file.name))]
        return sorted(found, reverse=True)

    def _move_aside(self, metadata: dict | None) -> None:
        aside = self.folder.with_name(f"state-{(metadata or {}).get('key', 'unknown')}-{time.strftime('%Y%m%d-%H%M%S')}")
        aside.mkdir()
        for _step, file in self._checkpoints():
            file.rename(aside / file.name)
        print(f"{self.folder}: holds the training of another recipe: moved to {aside}; this one starts anew", flush=True)
