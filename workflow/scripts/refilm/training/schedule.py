"""What a step does, as a pure function of (seed, step): which frames, which noise, which learning rate.

So a run that is killed needs no memory of its random numbers: it continues by knowing the step.
"""

import functools
import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from refilm.config.recipe import Recipe
from refilm.core.sampling import evenly_spaced
from refilm.frames.shots import find_shots, hold_out
from refilm.frames.store import FrameStore
from refilm.models.rng import generator_for

_FLOOR = 0.01  # the cosine ends at this share of the peak learning rate
_AHEAD = 3  # batches read while a step computes


@dataclass(frozen=True)
class Batch:
    """All that a step takes in, on the CPU.

    frames: (B, H, W, 3) uint8, or (B,) int64: their numbers in a reel that lies on the device already.
    noise, prior: (B, latent) float32 standard normal.
    """

    frames: torch.Tensor
    noise: torch.Tensor
    prior: torch.Tensor


class FrameSampler:
    """The frames of several films as one sequence, drawn from in an order that only the seed and the step decide.

    len() is of the frames shown, which are one epoch; `held_out` are the numbers of those that are not: whole shots,
    the recipe's share of each film. With `share` (n, of) a batch is the n-th of so many equal parts of the recipe's
    batch. Memory: 4 bytes a frame for the order of each of two epochs.
    """

    def __init__(self, stores: list[FrameStore], recipe: Recipe, pinned: bool = False, share: tuple[int, int] = (0, 1)):
        self.stores, self.recipe, self.pinned, self.share = stores, recipe, pinned, share
        self.on_device = False  # whether frames are to be named by number only
        self._starts = np.cumsum([0] + [len(store) for store in stores])
        self.held_out = np.concatenate([self._hold_out(film) for film in range(len(stores))])
        shown = [self._shown(film) for film in range(len(stores))]
        self._pools = shown if recipe.film_weighting == "equal" else [np.concatenate(shown)]
        self._order = functools.lru_cache(maxsize=2 * len(self._pools))(self._order_of_epoch)

    def __len__(self) -> int:
        return sum(len(pool) for pool in self._pools)

    def indices(self, step: int) -> np.ndarray:
        """Frame numbers of a step (from 0). The shuffled epochs follow each other without a gap: no frame is dropped,
        and a batch on the border takes the last of one epoch and the first of the next. With equal weights the films
        take turns, each in epochs of its own."""
        places = np.arange(step * self.recipe.batch_size, (step + 1) * self.recipe.batch_size)
        turns, pools = np.divmod(places, len(self._pools))
        drawn = [self._draw(int(pool), int(turn)) for pool, turn in zip(pools, turns, strict=True)]
        return np.array(drawn, np.int64)

    def read(self, indices) -> np.ndarray:
        """The frames of any numbers: uint8 (n, H, W, 3)."""
        frames = np.empty((len(indices), self.stores[0].height, self.stores[0].width, 3), np.uint8)
        films = np.searchsorted(self._starts, indices, side="right") - 1
        for film in np.unique(films):
            places = np.flatnonzero(films == film)
            frames[places] = self.stores[film].read([int(indices[place] - self._starts[film]) for place in places])
        return frames

    def load(self, step: int) -> Batch:
        """What the step takes in: this process's share of it."""
        generator = generator_for(self.recipe.seed, "noise", step)
        noise, prior = torch.randn(2, self.recipe.batch_size, self.recipe.latent_dim, generator=generator).unbind()
        number, of = self.share
        part = slice(number * self.recipe.batch_size // of, (number + 1) * self.recipe.batch_size // of)
        indices = self.indices(step)[part]
        frames = torch.from_numpy(indices if self.on_device else self.read(indices))
        tensors = (frames, noise[part], prior[part])
        return Batch(*(tensor.pin_memory() if self.pinned else tensor for tensor in tensors))

    def spread(self, count: int, held_out: bool = False) -> np.ndarray:
        """Numbers of `count` frames, or fewer if there are no more, evenly spread over those shown or those held out: the
        middles of equal stretches, for the ends of a film are black."""
        frames = self.held_out if held_out else np.sort(np.concatenate(self._pools))
        return frames[evenly_spaced(len(frames), count)]

    def held_out_of_each(self) -> list[int]:
        """How many frames of each film are held out."""
        return np.histogram(self.held_out, self._starts)[0].tolist()

    def _draw(self, pool: int, turn: int) -> int:
        epoch, place = divmod(turn, len(self._pools[pool]))
        return self._pools[pool][self._order(pool, epoch)[place]]

    def _order_of_epoch(self, pool: int, epoch: int) -> np.ndarray:
        purpose = f"order of {pool}" if pool else "order"
        generator = generator_for(self.recipe.seed, purpose, epoch)
        return torch.randperm(len(self._pools[pool]), generator=generator, dtype=torch.int32).numpy()

    def _hold_out(self, film: int) -> np.ndarray:
        if not self.recipe.holdout_fraction:
            return np.empty(0, int)
        return hold_out(find_shots(self.stores[film]), self.recipe.holdout_fraction, self.recipe.seed) + self._starts[film]

    def _shown(self, film: int) -> np.ndarray:
        return np.setdiff1d(np.arange(self._starts[film], self._starts[film + 1], dtype=np.int32), self.held_out)


def prefetch(load: Callable[[int], Batch], first: int, end: int) -> Iterator[tuple[int, Batch]]:
    """(step, load(step)) for steps first to end - 1, loaded by a thread while the steps before compute."""
    with ThreadPoolExecutor(1, "read-frames") as reader:
        pending = deque(reader.submit(load, step) for step in range(first, min(end, first + _AHEAD)))
        try:
            for step in range(first, end):
                batch = pending.popleft().result()
                if step + _AHEAD < end:
                    pending.append(reader.submit(load, step + _AHEAD))
                yield step, batch
        finally:
            for future in pending:
                future.cancel()


def learning_rate(recipe: Recipe, step: int, total: int) -> float:
    """A rise over the first share `warmup` of the steps, then half a cosine down to a hundredth of the peak; or no fall."""
    rising = recipe.warmup * total
    if step < rising:
        return recipe.learning_rate * (step + 1) / (rising + 1)
    if recipe.lr_schedule == "constant":
        return recipe.learning_rate
    done = (step - rising) / max(1.0, total - rising)
    return recipe.learning_rate * (_FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def preview_steps(total: int, count: int = 40) -> set[int]:
    """After which steps a preview is made: densely at first, when most happens, and at the end."""
    return {max(1, round(total * (n / count) ** 2)) for n in range(1, count + 1)}
