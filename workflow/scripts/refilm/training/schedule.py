"""What a step does, as a pure function of (seed, step): which frames, which noise, which learning rate.

So a run that is killed needs no memory of its random numbers: it continues by knowing the step.
"""

import functools
import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from refilm.frames.store import FrameStore

_FLOOR = 0.01  # the cosine ends at this share of the peak learning rate
_AHEAD = 3  # batches read while a step computes


@dataclass(frozen=True)
class Batch:
    """frames: (B, H, W, 3) uint8; noise, prior: (B, latent) float32 standard normal. All on the CPU."""

    frames: torch.Tensor
    noise: torch.Tensor
    prior: torch.Tensor


class Footage:
    """The frames of several films as one sequence, drawn from in an order that only the seed and the step decide."""

    def __init__(self, stores: list[FrameStore], batch: int, latent: int, seed: int, pinned: bool = False):
        self.stores, self.batch, self.latent, self.seed, self.pinned = stores, batch, latent, seed, pinned
        self._starts = np.cumsum([0] + [len(store) for store in stores])
        self._order = functools.lru_cache(maxsize=2)(self._order_of_epoch)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def indices(self, step: int) -> np.ndarray:
        """Frame numbers of a step (from 0). The shuffled epochs follow each other without a gap: no frame is dropped,
        and a batch on the border takes the last of one epoch and the first of the next."""
        places = range(step * self.batch, (step + 1) * self.batch)
        return np.array([self._order(place // len(self))[place % len(self)] for place in places])

    def read(self, indices) -> np.ndarray:
        """The frames of any numbers: uint8 (n, H, W, 3)."""
        frames = np.empty((len(indices), self.stores[0].height, self.stores[0].width, 3), np.uint8)
        films = np.searchsorted(self._starts, indices, side="right") - 1
        for film in np.unique(films):
            places = np.flatnonzero(films == film)
            frames[places] = self.stores[film].read([int(indices[place] - self._starts[film]) for place in places])
        return frames

    def load(self, step: int) -> Batch:
        """All that the step takes in."""
        generator = seeded(self.seed, "noise", step)
        noise, prior = torch.randn(2, self.batch, self.latent, generator=generator).unbind()
        tensors = (torch.from_numpy(self.read(self.indices(step))), noise, prior)
        return Batch(*(tensor.pin_memory() if self.pinned else tensor for tensor in tensors))

    def _order_of_epoch(self, epoch: int) -> np.ndarray:
        return torch.randperm(len(self), generator=seeded(self.seed, "order", epoch)).numpy()


def seeded(seed: int, purpose: str, number: int) -> torch.Generator:
    """A CPU generator for one purpose at one step or epoch, unlike that of any other."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{number}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def ahead(load: Callable[[int], Batch], first: int, end: int) -> Iterator[tuple[int, Batch]]:
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


def learning_rate(peak: float, warmup: float, step: int, total: int) -> float:
    """A rise over the first share `warmup` of the steps, then half a cosine down to a hundredth of the peak."""
    rising = max(1.0, warmup * total)
    if step < rising:
        return peak * (step + 1) / (rising + 1)
    done = (step - rising) / max(1.0, total - rising)
    return peak * (_FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def preview_steps(total: int, count: int = 40) -> set[int]:
    """After which steps a preview is made: densely at first, when most happens, and at the end."""
    return {max(1, round(total * (n / count) ** 2)) for n in range(1, count + 1)}
