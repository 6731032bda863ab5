"""A program for a test: trains the same model twice, once undisturbed, once ended at random moments.

    python -m tests.integration.kill_training FOLDER MOMENTS SEED

Each time by KILL, by TERM, or by a disk on which no checkpoint can be written. KILL and TERM are sent some steps after it
began, or before the first one, and then at any moment of a step, of a report, or of a checkpoint. Prints how it was ended,
which checkpoint was the latest after each of these, and whether the weights are the same, bit for bit.
It is a program of its own: children are forked after torch was imported, which is fast, and safe only before torch has
started a thread.
"""

import json
import os
import random
import resource
import signal
import sys
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
import torch._dynamo  # the optimiser imports it at its first step: a second of each child's short life

from refilm.config.recipe import Recipe
from refilm.core.errors import Interrupted
from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import write_frames_from
from refilm.training import loop, recorder
from refilm.training.trainer import Trainer
from tests.conftest import small_recipe

_MOST_STEPS = 12  # between one end and the next
_MOST_SECONDS = 0.03  # about what a step, its report and its checkpoint take


def main(folder: Path, moments: int, seed: int) -> None:
    torch.set_num_threads(1)
    frames = np.random.default_rng(0).integers(0, 256, (13, 48, 64, 3), dtype=np.uint8)
    film = folder / "film.h5"
    write_frames_from(film, 64, 48, FrameMetadata(Fraction(24)), [frames])
    chance, ended = random.Random(seed), []
    recipe = small_recipe(steps=moments * (_MOST_STEPS + 2))  # not finished before the last end
    assert _child(recipe, film, folder / "undisturbed") == 0
    kept = []
    while len(ended) < moments:
        how = chance.choice(["KILL", "TERM", "disk"])
        moment = chance.randint(0, _MOST_STEPS), chance.uniform(0, _MOST_SECONDS)
        assert _child(recipe, film, folder / "ended", how, *moment) != 0
        ended.append(how)
        kept.append(
            max((int(file.stem.removeprefix("step-")) for file in (folder / "ended").rglob("step-*[0-9].*")), default=0)
        )
    assert _child(recipe, film, folder / "ended") == 0
    one, other = (torch.load(folder / name / "weights.pt") for name in ("undisturbed", "ended"))
    same = one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    print(json.dumps({"ended": ended, "kept": kept, "same": same}))


def _child(recipe: Recipe, film: Path, folder: Path, how: str = "undisturbed", steps: int = 0, seconds: float = 0.0) -> int:
    """A training in a process of its own, from the latest checkpoint, ended in that way; returns its wait status."""
    child = os.fork()
    if child == 0:
        try:
            if how == "disk":
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
            elif how != "undisturbed":
                _end_self(signal.Signals[f"SIG{how}"], steps, seconds)
            _train(recipe, film, folder)
        except Interrupted:
            os._exit(75)
        except Exception:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def _end_self(sign: int, steps: int, seconds: float) -> None:
    """Send the signal to this process `seconds` after `steps` steps have begun."""
    timer, train_step, begun = threading.Timer(seconds, os.kill, (os.getpid(), sign)), Trainer.train_step, 0

    def counted(*arguments) -> None:
        nonlocal begun
        begun += 1
        if begun == steps:
            timer.start()
        train_step(*arguments)

    Trainer.train_step = counted
    if steps == 0:
        timer.start()


def _train(recipe: Recipe, film: Path, folder: Path) -> None:
    loop.REPORT_STEPS = 5
    recorder._CHECKPOINT_SECONDS, recorder._CHECKPOINT_SHARE = 0.0, 1e9  # a checkpoint at every report
    folder.mkdir(exist_ok=True)
    trainer = loop.train(recipe, [film], folder, torch.device("cpu"))
    torch.save(trainer.state(), folder / "weights.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
