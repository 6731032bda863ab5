"""A program for a test: trains the same model twice, once in peace, once ended at so many random moments.

    python -m tests.unit.kill_training FOLDER MOMENTS SEED

Each time by KILL, by TERM, or by a disk on which no file of a state can be written whole. Prints how often it was ended
and whether the weights are the same, bit for bit. A program of its own: children are forked after torch was imported, which
is quick, and safe only where no thread of torch's has begun.
"""

import json
import os
import random
import resource
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch

from refilm.frames.store import write_frames_from
from refilm.settings.errors import Interrupted
from refilm.training import loop
from tests.conftest import small_recipe

STEPS = 400


def main(folder: Path, moments: int, seed: int) -> None:
    torch.set_num_threads(1)
    frames = np.random.default_rng(0).integers(0, 256, (13, 48, 64, 3), dtype=np.uint8)
    film = folder / "film.h5"
    write_frames_from(film, 64, 48, {"fps": "24", "source": "x", "start_time": "0"}, [frames])
    chance, ended = random.Random(seed), []
    _child(film, folder / "peace")
    while len(ended) < moments:
        how = chance.choice(["KILL", "TERM", "disk"])
        if _ended(film, folder / "war", how, chance.uniform(0.0, 0.6)) == 0:
            break  # it was done before
        ended.append(how)
    _child(film, folder / "war")
    one, other = (torch.load(folder / name / "weights.pt") for name in ("peace", "war"))
    same = one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    print(json.dumps({"ended": ended, "same": same}))


def _child(film: Path, folder: Path, how: str = "peace") -> int:
    """A training in a process of its own, from the last state there is; returns its number, or waits in peace."""
    child = os.fork()
    if child == 0:
        try:
            _train(film, folder, how)
        except Interrupted:
            os._exit(75)
        except Exception:
            os._exit(1)
        os._exit(0)
    if how == "peace":
        _, status = os.waitpid(child, 0)
        assert status == 0
    return child


def _train(film: Path, folder: Path, how: str) -> None:
    loop._REPORT_STEPS = 5
    loop._CHECKPOINT_SECONDS, loop._CHECKPOINT_SHARE = 0.0, 1e9  # a state at every report
    if how == "disk":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    folder.mkdir(exist_ok=True)
    trainer = loop.train(small_recipe(steps=STEPS), [film], folder, torch.device("cpu"), lambda _preview: None)
    torch.save(trainer.state(), folder / "weights.pt")


def _ended(film: Path, folder: Path, how: str, after: float) -> int:
    """Start it, end it in that way so many seconds later, and return its wait status."""
    child = _child(film, folder, how)
    if how != "disk":
        time.sleep(after)
        os.kill(child, signal.Signals[f"SIG{how}"])
    return os.waitpid(child, 0)[1]


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
