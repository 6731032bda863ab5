"""A planner of films and models that are not there, and what is asked of it, without Snakemake."""

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from refilm import layout
from refilm.config.model_folder import ModelFolder
from refilm.planning.planner import Planner
from tests.conftest import config

FILMS = {
    "one": {"source": "films/one.mkv", "title": "Number One"},
    "two": {"source": "films/two.mkv", "audio": "none", "end": "1:00"},
    "walk": {"source": "stills/*.png", "fps": 12},
    "far": {"source": "https://example.org/far.MKV?token=x", "sha256": "A" * 64},
    "made": {"source": "results/one_by_one.mp4"},
}
MODELS = {
    "one": {"films": ["one", "two"]},
    "large": {"films": ["one"], "frame_size": "512x288"},
    "plain": {"films": ["one"], "recipe": "autoencoder"},
}
COMPARISONS = {"both": {"film": "one", "models": ["one", "plain"], "start": 1, "height": 96}}
EXPORTS = {
    "wall": {"film": "one", "model": "plain", "end": "0:10"},
    "images": {"film": "two", "model": "one", "codec": "png", "loop": True},
    "row": {"film": "one", "model": "one@9", "codec": "prores", "screens": 3},
}
WALKS = {
    "between": {"model": "plain", "moments": ["one@1", "two@0:02.5", "one@1"], "seconds": 2, "loop": "close"},
    "slow": {"model": "one@9", "film": "one", "start": 2, "speed": 0.25, "reverse": True, "sound": "one"},
    "mixed": {"model": "one", "film": "one", "mix_with": "two", "title": "A mixture"},
    "near": {"model": "one", "film": "two", "nearest_in": "one", "start": 1, "sound": "one"},
    "own": {"model": "one", "latents": "mine.h5", "fps": 24},
}
BENDS = {
    "melting": {
        "model": "one@9",
        "film": "one",
        "end": 3,
        "title": "Melting",
        "transforms": [
            {"transform": "rotate", "layers": [2], "by": "0 at 0, 90 at 3"},
            {"transform": "flip", "layers": [1]},
        ],
    },
    "own": {
        "model": "plain",
        "latents": "mine.h5",
        "seed": 4,
        "transforms": [{"transform": "translate", "layers": [1], "y": 1}],
    },
}
FOUND = {  # large and other are of one recipe and size, and each was trained on one of the films
    "models": MODELS | {"other": {"films": ["two"], "frame_size": "512x288", "holdout_fraction": 0.1, "title": "Other"}},
    "reconstructions": ["one_by_large", "one_by_other", "two_by_large", "one_by_one", "one_by_other@9"],
}


def planner(**sections) -> Planner:
    return Planner(config(**({"films": FILMS, "models": MODELS, "comparisons": COMPARISONS} | sections)))


def job(**wildcards: str) -> SimpleNamespace:
    return SimpleNamespace(**wildcards)


def touch(file: str, text: str = "", later: float = 0) -> None:
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(text)
    os.utime(file, (1e9 + later, 1e9 + later))


def write_head(file: str | Path, **metadata: str) -> None:
    """The head of a model file or a checkpoint, as far as a plan reads it."""
    touch(str(file))
    head = json.dumps({"__metadata__": metadata}).encode()
    Path(file).write_bytes(len(head).to_bytes(8, "little") + head)


def train(model: str, recipe: str, later: float = 0) -> None:
    """A model file at the end of its training."""
    file = layout.MODEL.format(model=model)
    write_head(file, recipe=recipe, steps="900")
    os.utime(file, (1e9 + later, 1e9 + later))
    ModelFolder(file).keep()


def refusal(capsys, ask, *arguments) -> str:
    """The one line with which a question ends the process."""
    with pytest.raises(SystemExit) as stop:
        ask(*arguments)
    assert stop.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("refilm: ")


def is_to_make(result: str, path: str, **sections) -> bool:
    """Whether a rule with such an output makes the path."""
    start = result.index("{")
    return re.match(planner(**sections).results.to_make(result), path[start:]) is not None
