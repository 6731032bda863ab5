"""Shared by the benchmarks: a recipe and its settings, a batch, a film and clocks."""

import json
import resource
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from refilm.config.recipe import Recipe
from refilm.core.errors import RefilmError
from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import write_frames_from
from refilm.models.base import Batch


def default_recipe(**values) -> Recipe:
    """The recipe of a model of one film with the defaults, except for `values`; `steps` takes the place of epochs."""
    return Recipe.from_settings(values, {"film": {"crop": "auto", "fit": "crop"}})


def settings_of(words: list[str]) -> dict:
    """The settings KEY=VALUE, each as JSON reads the value, or else as text. Raises RefilmError for other words."""
    settings = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise RefilmError(f"{word}: write key=value")
        try:
            settings[key] = json.loads(value)
        except ValueError:
            settings[key] = value
    return settings


_BATCH = 32  # frames written at once


def random_film(path: Path, count: int, size: tuple[int, int] = (256, 144)) -> Path:
    """Write a frames file of `count` random frames, a multiple of 32, of `size` (width, height); always the same ones."""
    random, (width, height) = np.random.default_rng(0), size
    batches = (random.integers(0, 256, (_BATCH, height, width, 3), dtype=np.uint8) for _ in range(count // _BATCH))
    write_frames_from(path, width, height, FrameMetadata(Fraction(24)), batches)
    return path


def random_batch(recipe: Recipe) -> Batch:
    """A batch of random frames, always the same one."""
    width, height = recipe.size
    frames = np.random.default_rng(0).integers(0, 256, (recipe.batch_size, height, width, 3), dtype=np.uint8)
    noise, prior = torch.randn(2, recipe.batch_size, recipe.latent_dim, generator=torch.Generator().manual_seed(0))
    return Batch(torch.from_numpy(frames), noise, prior)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def wall_and_processor_seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor time of one call, with that of all threads and of child processes that have ended."""
    before = _processor_seconds()
    return seconds(work), _processor_seconds() - before


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
