"""A network that has watched a film as a sequence of latents, and says which come next.

An LSTM reads the latents of one frame after another. From its output follow how likely a cut is, a mixture of a few normal
distributions of the change to the next frame, and, for after a cut, how likely each opening of the film's shots is. One
weight of the mixture is for a whole frame: one for each number would draw the numbers of a frame from different futures
(mixtures: Ha and Schmidhuber 2018, "World Models").

The latents of the film are kept with the weights, as its memory. For each frame the most similar one of it is recalled, and
the mean of the first component is the way to the frame after that. How much it can be trusted the network learns from how
far away that frame is (memory: Khandelwal et al. 2020, "Generalization through Memorization"; frames of a film that continue
each other: Schodl et al. 2000, "Video Textures").

Latents are (B, T, dim) float32, of T consecutive frames.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refilm.config.predictor_recipe import PredictorRecipe
from refilm.models.inference import Latents
from refilm.models.model_file import read_weights
from refilm.models.rng import generator_for

CONTEXT = 240  # frames of the film that a dream continues
UNITS = 256  # of each of two layers
_COMPONENTS = 4  # of the mixture
_KEY_UNITS = 64  # by which openings are recognised
_LEAST_STD, _MOST_STD = -5.0, 2.0  # logarithms, of a change over the usual one
_SQUASHED = 4.0  # usual changes: larger ones, as at cuts, are not much larger for the network
_TINY = 1e-6
_GAIN = 8.0  # of logits that must become large within some hundred steps, in which Adam moves a weight by the learning rate
_NEAR = 0.01  # squared distances of less are the same, in those of usual changes
_FOLLOWED = 2.0  # the recalled frame moves on with the film while it is not farther than this many times the nearest one
_AROUND = 6  # frames before and after one whose changes are the usual ones there
_STRAY = 1.0  # the most that a dream is away from its memory, squared; less where less than that changes
_STILL = 1e-4  # squared distance of less counts as still
_NEARER = 0.97  # of the distance, at each frame, where the film that is continued is farther away
_JUMPS = 0.04  # fraction of dreamt frames that may recall another moment, at a temperature of 1
_LIKE, _LIKEST = 4.0, 16.0  # squared usual changes by which that moment is chosen, and within which it must be
_BEFORE = 24  # frames before one that was just shown, from which it would soon be shown again

State = tuple[Tensor, Tensor]


class Forecast(NamedTuple):
    """What is predicted of the frame after each of (B, T) frames.

    weights (B, T, K): logarithms, of the components; mean, log_std (B, T, K, dim): of the change to the next frame, in units
    of `Predictor.change`; cut (B, T): the logit of a cut; openings (B, T, S): the logit of each opening after a cut.
    """

    weights: Tensor
    mean: Tensor
    log_std: Tensor
    cut: Tensor
    openings: Tensor

    def expected(self) -> Tensor:
        """The mean change without a cut: (B, T, dim)."""
        return (self.weights.exp()[..., None] * self.mean).sum(-2)


class Predictor(nn.Module):
    """Buffers: mean, std (dim), of the film's latents; low, high (dim), the least and the most of each; change (dim), the
    standard deviation of the change from frame to frame; energy (dim), how much of a frame's pixels such a change of
    each number moves, of mean 1; memory (N, dim) float16, the latents of the film; left (N), how many frames
    of its shot come after each; opening_rows (S), those of the first frames of the shots."""

    mean: Tensor
    std: Tensor
    low: Tensor
    high: Tensor
    change: Tensor
    energy: Tensor
    memory: Tensor
    left: Tensor
    opening_rows: Tensor

    def __init__(self, dim: int, frames: int, openings: int):
        super().__init__()
        for name in ("mean", "std", "low", "high", "change", "energy"):
            self.register_buffer(name, torch.ones(dim))
        self.register_buffer("memory", torch.zeros(frames, dim, dtype=torch.float16))
        self.register_buffer("left", torch.zeros(frames, dtype=torch.int64))
        self.register_buffer("opening_rows", torch.zeros(openings, dtype=torch.int64))
        self.dim = dim
        self.enter = nn.Linear(2 * dim + 2, UNITS)
        self.lstm = nn.LSTM(UNITS, UNITS, 2, batch_first=True)
        self.mixture = nn.Linear(UNITS + 1, _COMPONENTS * (2 * dim + 1))
        self.cut = nn.Linear(UNITS + 2, 1)
        self.query = nn.Linear(UNITS, _KEY_UNITS)
        self.key = nn.Linear(dim, _KEY_UNITS)
        with torch.no_grad():
            self.mixture.weight.mul_(0.1)  # it begins by standing still
            self.cut.bias.fill_(-5.0 / _GAIN)  # cuts are rare

    def forward(
        self, latents: Tensor, recalled: Tensor, before: Tensor | None = None, state: State | None = None
    ) -> tuple[Forecast, State]:
        """What follows each frame, and the state after the last one. recalled: (B, T) row of the memory for each frame;
        before: (B, 1, dim) of the frame before the first, of which `state` is the state; None where nothing was before."""
        before = latents[:, :1] if before is None else before
        changes = (latents - torch.cat([before, latents[:, :-1]], 1)) / self.change
        changes = changes / (1 + changes.abs() / _SQUASHED)
        remembered, following = self.memory[recalled].float(), self.memory[self.next_row(recalled)].float()
        ending = 1 / (1 + self.left[recalled][..., None].float())
        away = (self.weights() * (latents - remembered).square()).sum(2, keepdim=True)
        # Far from its memory the network knows motion alone, not places: what it has learnt by heart of one shot would
        # mislead it in another.
        places = self._whitened(latents) / (1 + away)
        away = (away + _NEAR).log()
        entered = F.silu(self.enter(torch.cat([places, changes, away, ending], 2)))
        output, state = self.lstm(entered, state)
        mixture = self.mixture(torch.cat([output, away], 2)).unflatten(2, (_COMPONENTS, 2 * self.dim + 1))
        keys = self.key(self._whitened(self.memory[self.opening_rows].float()))
        openings = _GAIN * self.query(output) @ keys.T / math.sqrt(_KEY_UNITS)
        way = ((following - latents) / self.change)[:, :, None]
        return Forecast(
            mixture[..., 0].log_softmax(-1),
            torch.cat([way, mixture[:, :, 1:, 1 : self.dim + 1]], 2),
            mixture[..., self.dim + 1 :].clamp(_LEAST_STD, _MOST_STD),
            _GAIN * self.cut(torch.cat([output, away, ending], 2))[..., 0],
            openings,
        ), state

    def _whitened(self, latents: Tensor) -> Tensor:
        return (latents - self.mean) / self.std

    def weights(self) -> Tensor:
        """Of each number in squared distances, such that the usual change from frame to frame has 1: (dim,)."""
        return self.energy / self.change.square() / self.dim

    def next_row(self, rows: Tensor) -> Tensor:
        """The rows after these; of the last frame of a shot, itself."""
        return rows + (self.left[rows] > 0).long()

    def keys(self) -> tuple[Tensor, Tensor]:
        """What `recall` looks through: the memory, scaled so that distances are squared differences, (N, dim), and the
        squared norms (N)."""
        rows = self.memory.float() * self.weights().sqrt()
        return rows, rows.square().sum(1)

    def usual_change(self) -> Tensor:
        """The mean distance from frame to frame around each row of the memory, within its shot: (N,)."""
        rows = torch.arange(len(self.memory), device=self.memory.device)
        ends = rows + self.left
        starts = self.opening_rows[torch.searchsorted(self.opening_rows, rows, right=True) - 1]
        step = (self.memory[self.next_row(rows)].float() - self.memory.float()) * self.weights().sqrt()
        total = F.pad(step.square().sum(1).sqrt().double().cumsum(0), (1, 0))
        first, last = torch.maximum(starts, rows - _AROUND), torch.minimum(ends, rows + _AROUND)
        return ((total[last] - total[first]) / (last - first).clamp_min(1)).float()

    def free(self, shown: Iterable[Tensor]) -> Tensor:
        """Which rows of the memory neither were shown (1, 1) nor lead to one that was: (N,)."""
        free = torch.ones(len(self.memory), dtype=torch.bool, device=self.memory.device)
        shown = torch.cat(list(shown)).flatten()
        before = (shown[:, None] - torch.arange(_BEFORE, device=shown.device)).clamp_min(0)
        free[before.flatten()] = False
        return free

    def recall(
        self, keys: tuple[Tensor, Tensor], latents: Tensor, last: Tensor | None, free: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(rows, distances): of the memory for one more frame (B, 1, dim), (B, 1), and to all rows, (B, N). last: the rows
        for the frame before; the memory moves on with the film, and leaves it where another row is much nearer. free: (N)
        to which it may then go; by default all."""
        one = latents[:, 0] * self.weights().sqrt()
        distances = one.square().sum(1, keepdim=True) - 2 * one @ keys[0].T + keys[1]
        distances = distances.clamp_min(0)
        least, nearest = (distances if free is None else distances.where(free, torch.inf)).min(1, keepdim=True)
        if last is None:
            return nearest, distances
        following = self.next_row(last)
        near = distances.gather(1, following) <= _FOLLOWED * least + _NEAR
        return torch.where(near, following, nearest), distances

    def within_range(self, latents: Tensor) -> Tensor:
        """Each number no less and no more than it ever is in the film."""
        return torch.minimum(torch.maximum(latents, self.low), self.high)

    def sample_next(
        self, forecast: Forecast, latents: Tensor, normal: Tensor, uniform: Tensor, temperature: float
    ) -> Tensor:
        """A draw of the next frame without a cut, after (B, 1, dim): (B, 1, dim). normal (B, 1, dim); uniform (B, 1)."""
        if temperature == 0:
            chosen = forecast.weights.argmax(-1)
        else:
            chances = (forecast.weights / temperature).softmax(-1).cumsum(-1)
            chosen = (uniform[..., None] > chances).sum(-1).clamp_max(_COMPONENTS - 1)
        index = chosen[..., None, None].expand(*chosen.shape, 1, self.dim)
        mean, log_std = forecast.mean.gather(2, index)[:, :, 0], forecast.log_std.gather(2, index)[:, :, 0]
        return self.within_range(latents + self.change * (mean + temperature * log_std.exp() * normal))


def fit_buffers(predictor: Predictor, latents: Tensor, openings: Tensor, energy: Tensor) -> None:
    """Set the buffers from the latents that it is trained on, (N, dim), shot by shot. openings: (S) the first row of each
    shot; energy (dim): what a change by 1 of each number moves in the pixels, squared."""
    ends = torch.cat([openings[1:], torch.tensor([len(latents)])])
    rows = torch.arange(len(latents))
    left = ends[torch.searchsorted(openings, rows, right=True) - 1] - 1 - rows
    changes = latents.diff(dim=0)[left[:-1] > 0]
    predictor.memory.copy_(latents)
    predictor.left.copy_(left)
    predictor.opening_rows.copy_(openings)
    predictor.mean.copy_(latents.mean(0))
    predictor.std.copy_(latents.std(0, correction=0).clamp_min(_TINY))
    predictor.low.copy_(latents.amin(0))
    predictor.high.copy_(latents.amax(0))
    predictor.change.copy_(changes.square().mean(0).sqrt().clamp_min(_TINY))
    moved = energy * predictor.change.square()
    predictor.energy.copy_(moved / moved.mean().clamp_min(_TINY))


@torch.no_grad()
def continue_latents(
    predictor: Predictor, context: np.ndarray, seed: int = 0, temperature: float = 1.0
) -> Iterator[np.ndarray]:
    """What it sees next after the latents of consecutive frames, float32 (T, dim): a row (dim,) after another, without
    an end. All chance is a function of the seed and of the number of the row; memory does not grow."""
    device = predictor.mean.device
    keys, watched = predictor.keys(), torch.from_numpy(np.asarray(context, np.float32)).to(device)[None]
    usual = predictor.usual_change().square().clamp(_STILL, _STRAY)
    forecast, state, rows = _watch(predictor, keys, watched)
    shown = deque(rows, CONTEXT)
    last, recalled, number = watched[:, -1:], rows[-1], 0
    leash = predictor.recall(keys, last, recalled)[1].amin(1)[:, None, None]
    while True:
        generator = generator_for(seed, "dream", number)
        normal = torch.randn(1, 1, predictor.dim, generator=generator).to(device)
        cut, component, choice, jump = torch.rand(4, 1, 1, generator=generator).to(device)
        free = predictor.free(shown)  # what was just shown is not shown again
        if bool(cut < forecast.cut.sigmoid()) or not predictor.left[recalled]:
            row = predictor.opening_rows[_draw(forecast.openings, choice, temperature, free[predictor.opening_rows])]
            following, recalled, leash = predictor.memory[row].float(), row, usual[row][..., None]
        else:
            following = predictor.sample_next(forecast, last, normal, component, temperature)
            recalled, distances = predictor.recall(keys, following, recalled, free)
            leash = (_NEARER * leash).maximum(usual[recalled][..., None])
            pulled = (leash / distances.gather(1, recalled)[..., None].clamp_min(_TINY)).sqrt().clamp_max(1)
            remembered = predictor.memory[recalled].float()
            following = remembered + pulled * (following - remembered)
            if bool(jump < _JUMPS * temperature):
                near = distances / usual[recalled]
                other = _draw(-near[:, None] / _LIKE, choice, temperature, free)
                recalled = torch.where(near.gather(1, other) <= _LIKEST, other, recalled)
        yield following[0, 0].cpu().numpy()
        forecast, state = predictor(following, recalled, last, state)
        shown.append(recalled)
        last, number = following, number + 1


def _watch(predictor: Predictor, keys: tuple[Tensor, Tensor], latents: Tensor) -> tuple[Forecast, State, list[Tensor]]:
    """(what follows, state) after the last of some frames (B, T, dim), and what was recalled for each, (B, 1)."""
    rows: list[Tensor] = []
    for n in range(latents.shape[1]):
        rows.append(predictor.recall(keys, latents[:, n : n + 1], rows[-1] if rows else None)[0])
    forecast, state = predictor(latents, torch.cat(rows, 1))
    return Forecast(*(part[:, -1:] for part in forecast)), state, rows


class DreamtLatents:
    """The latents of a film up to a moment, and then the dream: rows for `decode_latents`, which reads them forwards.

    `lead` rows before row `start` of the film's latents, and `count` dreamt ones. A slice may not begin before the one that
    was read last: only the rows since that are kept, however long the dream is.
    """

    def __init__(
        self, film: Latents, start: int, lead: int, count: int, predictor: Predictor, seed: int, temperature: float
    ):
        self._rows = chain(
            film[start - lead : start],
            continue_latents(predictor, film[max(0, start - CONTEXT) : start], seed, temperature),
        )
        self._count, self._first = lead + count, 0
        self._kept: deque[np.ndarray] = deque()  # from row `_first` on

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, frames: slice) -> np.ndarray:
        first, end = frames.start, min(frames.stop, self._count)
        if first < self._first:
            raise ValueError(f"row {first} was dropped: rows are kept from {self._first} on")
        while self._first + len(self._kept) < end:
            self._kept.append(next(self._rows))
        while self._first < first:
            self._kept.popleft()
            self._first += 1
        return np.stack(list(islice(self._kept, end - first)))


def _draw(logits: Tensor, uniform: Tensor, temperature: float, free: Tensor) -> Tensor:
    """An index by the softmax of logits (B, T, S): (B, T). free: (S) which ones there are to choose from, if any."""
    if free.any():
        logits = logits.where(free, -torch.inf)
    if temperature == 0:
        return logits.argmax(-1)
    chances = (logits.double() / temperature).softmax(-1).cumsum(-1)
    return (uniform[..., None] > chances).sum(-1).clamp_max(logits.shape[-1] - 1)


@torch.no_grad()
def expected_path(predictor: Predictor, contexts: Tensor, count: int) -> Tensor:
    """What it expects of the `count` frames after contexts (B, T, dim), without a cut or chance: (B, count, dim)."""
    keys = predictor.keys()
    forecast, state, rows = _watch(predictor, keys, contexts)
    last, recalled, path = contexts[:, -1:], rows[-1], []
    for _ in range(count):
        following = last + predictor.change * forecast.expected()
        path.append(following)
        recalled, _distances = predictor.recall(keys, following, recalled)
        forecast, state = predictor(following, recalled, last, state)
        last = following
    return torch.cat(path, 1)


def load_predictor(path: Path | str, device: torch.device) -> Predictor:
    """The predictor on the device, ready to dream. Raises RefilmError if the file is not a predictor of this version."""
    with read_weights(path, "predictor") as (recipe, weights):
        PredictorRecipe.from_json(recipe)
        frames, dim = weights["memory"].shape
        predictor = Predictor(dim, frames, len(weights["opening_rows"]))
        predictor.load_state_dict(weights)
    return predictor.to(device).eval().requires_grad_(False)
