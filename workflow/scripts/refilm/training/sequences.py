"""The data of a predictor's training: windows of consecutive latents, each step's a pure function of (seed, step)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from refilm.core.prefetch import prefetch
from refilm.core.sampling import evenly_spaced
from refilm.models.rng import generator_for

WINDOW = 64  # frames of a window, and one more that is only predicted
_LEAST = 8  # frames in a window, where a stretch of film is longer
_MOST_NOISE = 0.5  # of the usual change from frame to frame
_PREFETCHED = 3
CONTEXT, HORIZON = 10, 24  # frames of an example: those that are seen, and those that are predicted
_EXAMPLE_STEP = 8  # frames from one example to the next


@dataclass(frozen=True)
class Windows:
    """A batch of B windows of T = WINDOW frames and the one after each.

    latents (B, T + 1, dim); row (B, T): of each frame among `LatentSequences.trained`; known (B, 1): whether the predictor
    may recall the frame itself; cut (B, T): whether a shot begins after a frame; opening (B, T): which one; used (B, T):
    whether the frame after one belongs to the stretch; noise (B, T, dim): of the context, in usual changes; normal
    (B, T, dim) and uniform (B, T): for draws of the predictor.
    """

    latents: Tensor
    row: Tensor
    known: Tensor
    cut: Tensor
    opening: Tensor
    used: Tensor
    noise: Tensor
    normal: Tensor
    uniform: Tensor

    def to(self, device: torch.device) -> "Windows":
        """On a device."""
        return Windows(*(tensor.to(device) for tensor in vars(self).values()))


class LatentSequences:
    """The latents of several films, and what of them is trained on.

    latents: of each film, float32 (N, dim); shots: the shots of each; held_out: the frames of each that are not trained on,
    whole shots. `openings` are the first rows of the shots in `trained`. A window is within a stretch of frames
    that are trained on, and may have cuts in it.
    """

    def __init__(
        self, latents: Sequence[np.ndarray], shots: Sequence[list[range]], held_out: Sequence[np.ndarray], seed: int
    ):
        self.latents = torch.from_numpy(np.concatenate(latents))
        self.seed, (count, self.dim) = seed, self.latents.shape
        starts = np.cumsum([0] + [len(rows) for rows in latents])
        every, out = list[range](), np.zeros(count, bool)
        for own, frames, start in zip(shots, held_out, starts.tolist(), strict=False):
            every += [range(shot.start + start, shot.stop + start) for shot in own]
            out[frames + start] = True
        self._shots = {held: [shot for shot in every if out[shot.start] == held] for held in (False, True)}
        starts_of_shots = torch.tensor([shot.start for shot in self._shots[False]])
        self._opening = torch.full((count,), -1)
        self._opening[starts_of_shots] = torch.arange(len(starts_of_shots))
        self._row = torch.from_numpy(np.cumsum(~out) - 1)
        self.openings = self._row[starts_of_shots]
        self._ends = np.zeros(count, np.int64)  # of the stretch that a frame belongs to
        firsts: list[range] = []
        for stretch in _stretches(~out, starts[1:]):
            self._ends[stretch.start : stretch.stop] = stretch.stop
            firsts.append(range(stretch.start, max(stretch.start + 1, stretch.stop - _LEAST)))
        self._firsts = np.concatenate([np.arange(first.start, first.stop) for first in firsts])
        self.training = int((~out).sum())

    def __len__(self) -> int:
        """How many frames are trained on."""
        return self.training

    def changes(self) -> int:
        """How many frames that are trained on follow another one of their shot."""
        return len(self) - len(self.openings)

    def trained(self) -> Tensor:
        """The latents that are trained on, shot by shot: (len, dim)."""
        return torch.cat([self.latents[shot.start : shot.stop] for shot in self._shots[False]])

    def load(self, step: int, count: int) -> Windows:
        """The `count` windows of a step."""
        generator = generator_for(self.seed, "windows", step)
        picked = torch.randint(len(self._firsts), (count,), generator=generator).numpy()
        first = self._firsts[picked]
        last = self._ends[first] - 1
        index = torch.from_numpy(np.minimum(first[:, None] + np.arange(WINDOW + 1), last[:, None]))
        used = torch.from_numpy(first[:, None] + np.arange(1, WINDOW + 1) <= last[:, None])
        opening = self._opening[index[:, 1:]]
        scale = _MOST_NOISE * torch.rand(count, 1, 1, generator=generator)
        noise, normal = torch.randn(2, count, WINDOW, self.dim, generator=generator)
        uniform = torch.rand(count, WINDOW, generator=generator)
        known = torch.arange(count)[:, None] % 2 == 0
        return Windows(
            self.latents[index],
            self._row[index[:, :-1]],
            known,
            (opening >= 0) & used,
            opening.clamp_min(0),
            used,
            scale * noise,
            normal,
            uniform,
        )

    def batches(self, first: int, total: int, count: int) -> Iterator[Windows]:
        """The windows of steps `first` to `total` - 1, drawn by a thread while the steps before them compute."""
        return prefetch((self.load(step, count) for step in range(first, total)), _PREFETCHED)

    def examples(self, held_out: bool, count: int) -> tuple[Tensor, Tensor]:
        """(contexts, continuations) of at most `count` places within single shots, evenly spaced: (n, CONTEXT, dim) and
        (n, HORIZON, dim). None where no shot is long enough."""
        whole = CONTEXT + HORIZON
        shots = [range(0), *self._shots[held_out]]
        places = np.concatenate([np.arange(shot.start, shot.stop - whole + 1, _EXAMPLE_STEP) for shot in shots])
        chosen = torch.from_numpy(places[evenly_spaced(len(places), count)])
        rows = self.latents[chosen[:, None] + torch.arange(whole)] if len(chosen) else torch.empty(0, whole, self.dim)
        return rows[:, :CONTEXT], rows[:, CONTEXT:]


def _stretches(wanted: np.ndarray, ends: np.ndarray) -> Iterator[range]:
    """The longest ranges of wanted frames, none over the end of a film."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], wanted, [False]]).astype(int)))
    for first, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        inner = [int(cut) for cut in ends if first < cut < end]
        for start, stop in zip([first, *inner], [*inner, end], strict=True):
            yield range(start, stop)
