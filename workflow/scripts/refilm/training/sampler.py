"""The data of each step as a pure function of (seed, step): which frames, which noise, which learning rate.

So a training that is killed needs no state of its random numbers: it continues from the step alone.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from refilm.config.recipe import Recipe, Training
from refilm.core.prefetch import prefetch
from refilm.core.sampling import evenly_spaced
from refilm.frames.shots import find_shots
from refilm.frames.store import FrameStore
from refilm.models.augment import draw_augmentations
from refilm.models.base import Batch
from refilm.models.rng import generator_for

_MIN_RATE = 0.01  # the cosine ends at this fraction of the peak learning rate
_PREFETCHED_BATCHES = 3  # read while a step computes
_CLIP_DISTANCES = (1, 2, 4, 8)  # from each frame of a clip to the next, in frames of the film


class FrameSampler:
    """The frames of several films as one sequence, drawn in an order that only the seed and the step decide.

    len() is the number of training frames, which are one epoch; `held_out` are the indices of the others: whole shots,
    the recipe's fraction of each film. With `shard` (n, of) a batch is the n-th of that many equal parts of the recipe's
    batch. Memory: 4 bytes per frame for the order of each of two epochs.
    """

    def __init__(self, stores: Sequence[FrameStore], recipe: Recipe, pinned: bool = False, shard: tuple[int, int] = (0, 1)):
        self.stores, self.recipe, self.pinned, self.shard = stores, recipe, pinned, shard
        self.indices_only = False  # whether batches hold indices in place of frames, which are on the device
        self._starts = np.cumsum([0] + [len(store) for store in stores])
        self._clips = clips_of_batch(recipe)
        shots = [find_shots(store) if recipe.holdout_fraction or self._clips else [] for store in stores]
        self.held_out = np.concatenate([self._hold_out(film, shots[film]) for film in range(len(stores))])
        self._shot_starts = np.array(
            [start + shot.start for start, own in zip(self._starts, shots, strict=False) for shot in own]
            + [self._starts[-1]]
        )
        training = [self._training_frames(film) for film in range(len(stores))]
        self._pools = training if recipe.film_weighting == "equal" else [np.concatenate(training)]
        self._order = functools.lru_cache(maxsize=2 * len(self._pools))(self._epoch_order)

    def __len__(self) -> int:
        return sum(len(pool) for pool in self._pools)

    def indices(self, step: int) -> np.ndarray:
        """Frame indices of a step (from 0). The shuffled epochs follow each other without a gap: no frame is dropped, and
        a batch on the boundary takes the last of one epoch and the first of the next. With equal weighting the films
        alternate, each in epochs of its own. With clips, each of the last frames drawn is one end of a clip."""
        drawn_here = self.recipe.batch_size - self._clips * (self.recipe.clip_length - 1)
        positions = np.arange(step * drawn_here, (step + 1) * drawn_here)
        turns, pools = np.divmod(positions, len(self._pools))
        drawn = np.array([self._draw(int(pool), int(turn)) for pool, turn in zip(pools, turns, strict=True)], np.int64)
        if not self._clips:
            return drawn
        single, ends = np.split(drawn, [drawn_here - self._clips])
        return np.concatenate([single, self._clips_from(ends, step).ravel()])

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The frames at any indices: uint8 (n, H, W, 3)."""
        return self.map_films(indices, lambda store, own: store.read(own))

    def map_films(
        self, indices: Sequence[int] | np.ndarray, function: Callable[[FrameStore, list[int]], np.ndarray]
    ) -> np.ndarray:
        """What `function` gives for the frames of each film, uint8 (n, H, W, 3), in the order of `indices`."""
        frames = np.empty((len(indices), self.stores[0].height, self.stores[0].width, 3), np.uint8)
        indices = np.asarray(indices)
        films = np.searchsorted(self._starts, indices, side="right") - 1
        for film in np.unique(films):
            positions = np.flatnonzero(films == film)
            own = [int(indices[position] - self._starts[film]) for position in positions]
            frames[positions] = function(self.stores[film], own)
        return frames

    def load(self, step: int, total: int) -> Batch:
        """The batch of a step of `total`, or this process's shard of it."""
        generator = generator_for(self.recipe.seed, "noise", step)
        noise, prior = torch.randn(2, self.recipe.batch_size, self.recipe.latent_dim, generator=generator).unbind()
        number, of = self.shard
        part = slice(number * self.recipe.batch_size // of, (number + 1) * self.recipe.batch_size // of)
        indices = self.indices(step)[part]
        frames = torch.from_numpy(indices if self.indices_only else self.read(indices))
        length = self.recipe.clip_length
        count = augmented_frames(self.recipe, step, total)
        augmentations = draw_augmentations(count, generator_for(self.recipe.seed, "augmentations", step))
        single = self.recipe.batch_size - self._clips * length
        if count > single:  # the frames of a clip alike, and no clip in part
            augmentations = augmentations[: single + (count - single) // length * length]
            augmentations[single:] = augmentations[single::length].repeat_interleave(length, 0)
        clips = max(0, part.stop - max(part.start, single)) // length
        shares = torch.full((clips,), of / max(1, self._clips))  # what processes add up is divided by their number
        batch = Batch(frames, noise[part], prior[part], augmentations[part], torch.tensor(step / total), shares)
        return batch.map(torch.Tensor.pin_memory) if self.pinned else batch

    def batches(self, first: int, total: int) -> Iterator[Batch]:
        """The batches of steps `first` to `total` - 1, read by a thread while the steps before them compute."""
        return prefetch((self.load(step, total) for step in range(first, total)), _PREFETCHED_BATCHES)

    def representative(self, count: int) -> np.ndarray:
        """Indices of at most `count` training frames, evenly spaced, as many of each film as the film weighting shows. Where
        a film has fewer, the others give more: the number of frames says how much there is to learn."""
        parts: list[np.ndarray] = []
        for pool in sorted(self._pools, key=len):
            share = (count - sum(map(len, parts))) // (len(self._pools) - len(parts))
            parts.append(pool[evenly_spaced(len(pool), share)])
        return np.concatenate(parts)

    def evenly_spaced(self, count: int, held_out: bool = False) -> np.ndarray:
        """Indices of `count` frames, or all if there are fewer, evenly spaced over the training or the held-out frames."""
        frames = self.held_out if held_out else np.sort(np.concatenate(self._pools))
        return frames[evenly_spaced(len(frames), count)]

    def held_out_per_film(self) -> list[int]:
        """How many frames of each film are held out."""
        counts: list[int] = np.histogram(self.held_out, self._starts)[0].tolist()
        return counts

    def _draw(self, pool: int, turn: int) -> int:
        epoch, position = divmod(turn, len(self._pools[pool]))
        return int(self._pools[pool][self._order(pool, epoch)[position]])

    def _epoch_order(self, pool: int, epoch: int) -> np.ndarray:
        purpose = f"order of {pool}" if pool else "order"
        generator = generator_for(self.recipe.seed, purpose, epoch)
        return torch.randperm(len(self._pools[pool]), generator=generator, dtype=torch.int32).numpy()

    def _clips_from(self, ends: np.ndarray, step: int) -> np.ndarray:
        """(n, clip_length) frames of the shot of each of the n frames, which begins there and goes forwards or backwards.

        As far apart as drawn; nearer in a shot that is too short, and the frame itself again in one of a single frame.
        """
        others = self.recipe.clip_length - 1
        generator = generator_for(self.recipe.seed, "clips", step)
        numbers = torch.randint(2 * len(_CLIP_DISTANCES), (len(ends),), generator=generator).numpy()
        distances, forwards = np.take(_CLIP_DISTANCES, numbers // 2), numbers % 2 == 0
        shots = np.searchsorted(self._shot_starts, ends, side="right") - 1
        before, after = ends - self._shot_starts[shots], self._shot_starts[shots + 1] - 1 - ends
        there, back = np.where(forwards, after, before), np.where(forwards, before, after)
        turned = (distances * others > there) & (there < back)
        distances = np.minimum(distances, np.where(turned, back, there) // others)
        signs = np.where(forwards ^ turned, 1, -1)
        clips: np.ndarray = ends[:, None] + (signs * distances)[:, None] * np.arange(others + 1)
        return clips

    def _hold_out(self, film: int, shots: list[range]) -> np.ndarray:
        if not self.recipe.holdout_fraction:
            return np.empty(0, int)
        held_out: np.ndarray = hold_out_shots(shots, self.recipe.holdout_fraction, self.recipe.seed) + self._starts[film]
        return held_out

    def _training_frames(self, film: int) -> np.ndarray:
        return np.setdiff1d(np.arange(self._starts[film], self._starts[film + 1], dtype=np.int32), self.held_out)


def hold_out_shots(shots: list[range], fraction: float, seed: int) -> np.ndarray:
    """Frame indices of whole shots drawn at random, sorted: as near to `fraction` of all frames as taking one shot after
    another comes, and never all of them. Empty where every shot is too long."""
    missing = fraction * sum(map(len, shots))
    taken: list[range] = []
    left: list[range] = []
    for shot in (shots[number] for number in np.random.default_rng(seed).permutation(len(shots))):
        fits = len(shot) <= missing
        (taken if fits else left).append(shot)
        missing -= len(shot) * fits
    shortest = min(left, key=len, default=range(0))
    if len(left) > 1 and len(shortest) < 2 * missing:  # exceeds the fraction by less than what is missing
        taken.append(shortest)
    return np.sort(np.array([frame for shot in taken for frame in shot], dtype=np.int64))


def augmented_frames(recipe: Recipe, step: int, total: int) -> int:
    """How many frames of a step's batch are augmented, the first of them; none in the last part of the training."""
    return round(recipe.augment * recipe.batch_size) if step < recipe.augment_until * total else 0


def clips_of_batch(recipe: Recipe) -> int:
    """How many clips of one shot a batch ends with."""
    return min(round(recipe.clips * recipe.batch_size / recipe.clip_length), recipe.batch_size // recipe.clip_length)


def learning_rate(recipe: Training, step: int, total: int) -> float:
    """Linear warm-up over the fraction `warmup` of the steps, then half a cosine down to a hundredth of the peak, or
    constant."""
    warm_up = recipe.warmup * total
    if step < warm_up:
        return recipe.learning_rate * (step + 1) / (warm_up + 1)
    if recipe.lr_schedule == "constant":
        return recipe.learning_rate
    progress = (step - warm_up) / max(1.0, total - warm_up)
    return recipe.learning_rate * (_MIN_RATE + (1 - _MIN_RATE) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def preview_steps(total: int, fewest: int = 20, most: int = 40, spacing: int = 20) -> set[int]:
    """After which steps a preview is made: densely at first, when most changes, and at the end.

    spacing: how many steps there are for each preview, where that makes neither fewer nor more of them than these numbers.
    """
    count = min(most, max(fewest, total // spacing))
    return {max(1, round(total * (n / count) ** 2)) for n in range(1, count + 1)}
