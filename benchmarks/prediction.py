"""How far ahead a predictor sees, and whether its dreams move as its film does.

    python -m benchmarks.prediction LATENTS FRAMES MODEL PREDICTOR [DREAMS] [SECONDS]

LATENTS are those of the one film that MODEL and PREDICTOR were trained on, FRAMES its frames, for the shots. PSNR is of the
code: squared errors of latents, weighted by how far the decoder moves the pixels for each (`pixel_energy`). Context of ten
frames, within single shots, every eighth frame, at most 256 places; no chance, no cuts. Beside it: standing still; the last
change, damped by the one factor that is best on shots seen; ridge regression, one frame ahead.

Dreams start at random moments, one with each seed, and the film itself is measured from the same moments: what it does not
meet cannot be asked of a dream. A stretch is compared with the film where it is nearest. Speed: the mean change from frame
to frame of a second is .5 to 2 times that of the film there, wanted in 95 % of the seconds. Cuts: of half to twice as many
as the film has there, one over the length of the shot for each frame, and one more or less for the shots in which it begins
and ends. Range: the Mahalanobis distance of 99 % of the frames is below the film's 99.9 %. Loops: seconds in which every
frame equals, within a usual change, one of 1 to 10 seconds before, and which are nearer to those than to their own mean
frame: a still picture with grain is not. `shots`, to which the nearest frames belong.
"""

import sys
from itertools import islice

import numpy as np
import torch

from refilm.frames.latents import LatentStore
from refilm.frames.shots import find_shots
from refilm.frames.store import FrameStore
from refilm.models.model_file import load_model
from refilm.models.pixel_energy import pixel_energy
from refilm.models.predictor import CONTEXT, Predictor, continue_latents, expected_path, load_predictor
from refilm.training.sampler import hold_out_shots
from refilm.training.sequences import LatentSequences

CPU = torch.device("cpu")
AHEAD = (1, 8, 24)
RIDGE = 300.0
_ROUNDING = 1 / (12 * 255**2)  # squared error of frames in 8 bits


def main(latents: str, frames: str, model_file: str, predictor_file: str, dreams: int = 20, seconds: int = 60) -> None:
    model, predictor = load_model(model_file, CPU), load_predictor(predictor_file, CPU)
    with LatentStore(latents) as store, FrameStore(frames) as film:
        rows, fps, shots = store[:], round(store.fps or 24), find_shots(film)
    fraction = model.recipe.holdout_fraction
    held_out = hold_out_shots(shots, fraction, model.recipe.seed) if fraction else np.empty(0, int)
    sequences = LatentSequences([rows], [shots], [held_out], 0)
    energy = pixel_energy(model, sequences.trained()[:: len(sequences) // 256])
    pixels = 4 * 3 * model.recipe.size[0] * model.recipe.size[1]  # of frames in [-1, 1]
    prediction(sequences, predictor, energy / pixels)
    if dreams:
        hidden = (_ROUNDING * pixels / (energy * predictor.change.square()).sum()).sqrt().item()
        dreaming(rows, shots, predictor, hidden, dreams, seconds, fps)


def prediction(sequences: LatentSequences, predictor: Predictor, energy: torch.Tensor) -> None:
    """Prints a table of PSNR by method and frames ahead."""
    seen = sequences.examples(False, 256)
    regression = _ridge(*sequences.examples(False, 4096))
    for name, (context, truth) in (("seen", seen), ("held out", sequences.examples(True, 256))):
        last, change = context[:, -1], context[:, -1] - context[:, -2]
        path = expected_path(predictor, context, truth.shape[1])
        print(f"prediction, {name} shots, n = {len(context)}: PSNR of the code, dB, at {AHEAD} frames ahead")
        for method in ("standing still", "damped", "ridge", "predictor"):
            found = []
            for ahead in AHEAD:
                guess = last
                if method == "damped":
                    guess = last + _damping(*seen, energy, ahead) * change
                if method == "ridge":
                    guess = last + _features(context) @ regression if ahead == 1 else last * torch.nan
                if method == "predictor":
                    guess = path[:, ahead - 1]
                error = (energy * (guess - truth[:, ahead - 1]).square()).sum(1)
                found.append(f"{-10 * torch.log10(error.mean()):7.2f}")
            print(f"  {method:15}", *found)


def _damping(context: torch.Tensor, truth: torch.Tensor, energy: torch.Tensor, ahead: int) -> torch.Tensor:
    change, wanted = context[:, -1] - context[:, -2], truth[:, ahead - 1] - context[:, -1]
    return (energy * change * wanted).sum() / (energy * change.square()).sum()


def _features(context: torch.Tensor) -> torch.Tensor:
    changes = context.diff(dim=1)
    return torch.cat([changes[:, -1], changes[:, -2], 0.1 * context[:, -1], torch.ones(len(context), 1)], 1)


def _ridge(context: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    features, wanted = _features(context), truth[:, 0] - context[:, -1]
    return torch.linalg.solve(features.T @ features + RIDGE * torch.eye(features.shape[1]), features.T @ wanted)


def dreaming(
    rows: np.ndarray, shots: list[range], predictor: Predictor, hidden: float, dreams: int, seconds: int, fps: int
) -> None:
    """Prints the statistics of stretches of the film and of dreams that begin at the same moments. hidden: as of Measure."""
    measure = Measure(rows, shots, predictor, hidden, seconds, fps)
    moments = np.random.default_rng(0).integers(CONTEXT, len(rows) - seconds * fps, dreams).tolist()

    def dreamt(seed: int, start: int) -> np.ndarray:
        return np.stack(list(islice(continue_latents(predictor, rows[start - CONTEXT : start], seed), seconds * fps)))

    for title, made in (("film", lambda _seed, start: rows[start : start + seconds * fps]), ("dreams", dreamt)):
        print(f"{title}: {dreams} of {seconds} s")
        good = [measure(start, made(seed, start)) for seed, start in enumerate(moments)]
        print(f"{title}: {sum(good)} of {dreams} as the film")


class Measure:
    """Compares stretches of latents with a film at the places where they are nearest to it. hidden: the change from frame to
    frame below which nothing is seen."""

    def __init__(self, rows: np.ndarray, shots: list[range], predictor: Predictor, hidden: float, seconds: int, fps: int):
        self.scale, self.seconds, self.fps = predictor.weights().sqrt().numpy(), seconds, fps
        self.hidden = hidden
        self.keys, self.mean = rows * self.scale, rows.mean(0)
        self.starts = np.array([shot.start for shot in shots])
        self.cut_rate = np.concatenate([np.full(len(shot), 1 / len(shot)) for shot in shots])
        speed = np.concatenate([[0], np.linalg.norm(np.diff(self.keys, axis=0), axis=1)])
        speed[self.starts] = np.nan
        around = [speed[max(shot.start, n - 6) : min(shot.stop, n + 7)] for shot in shots for n in shot]
        self.speed = np.array([np.nanmean(near) if len(near) > 1 else 0 for near in around])
        self.inverse = np.linalg.inv(np.cov(rows.T) + 1e-6 * np.eye(rows.shape[1]))
        self.far = self._mahalanobis(rows)
        self.far = np.maximum(1.1 * self.far, np.quantile(self.far, 0.999))

    def __call__(self, start: int, made: np.ndarray) -> bool:
        """Prints the statistics of a stretch that follows row `start` - 1 of the film; whether it is as the film."""
        code = made * self.scale
        distances = _squared_distances(self.keys, code)
        near = self._along(distances)
        moved = np.linalg.norm(np.diff(np.concatenate([self.keys[start - 1 : start], code]), axis=0), axis=1)
        cut = (distances[:, self.starts].min(1) < 1e-3) & (moved > 1)
        moved[cut] = np.nan
        of_seconds = (self.seconds, self.fps)
        speeds = np.nanmean(moved.reshape(of_seconds), 1), self.speed[near].reshape(of_seconds).mean(1)
        ratio = np.divide(*(speed.clip(self.hidden) for speed in speeds))
        steady = ((ratio > 0.5) & (ratio < 2)).mean()
        cuts, expected = cut.sum(), self.cut_rate[near].sum()
        within = (self._mahalanobis(made) < self.far[near]).mean()
        loops = _loops(code, self.fps)
        visited = len(set(np.searchsorted(self.starts, near, side="right")))
        good = steady >= 0.95 and expected / 2 - 1 <= cuts <= 2 * expected + 1 and within >= 0.99 and not loops
        print(
            f"  {start / self.fps:6.1f} s: speed {steady:4.0%} of seconds, {cuts:2} cuts, the film there {expected:4.1f}, "
            f"within {within:6.1%}, {loops} s of loops, {visited} shots{'' if good else '  *'}",
            flush=True,
        )
        return bool(good)

    def _along(self, distances: np.ndarray) -> np.ndarray:
        """The nearest row for each of a stretch, by distances (n, N): the one after the last, where none is much nearer.
        Black frames are in several shots; those of one frame are no places."""
        distances = np.where(self.cut_rate < 1, distances, np.inf)
        nearest, rows = distances.argmin(1), list[int]()
        for n, row in enumerate(nearest.tolist()):
            following = rows[-1] + 1 if rows else row
            goes_on = following < len(self.cut_rate) and following not in self.starts
            rows.append(following if goes_on and distances[n, following] < distances[n, row] + 1e-2 else row)
        return np.array(rows)

    def _mahalanobis(self, rows: np.ndarray) -> np.ndarray:
        away = rows - self.mean
        return np.einsum("ni,ij,nj->n", away, self.inverse, away)


def _squared_distances(keys: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Of each of `code` from each of `keys`: (n, N)."""
    distances = np.square(keys).sum(1) - 2 * code @ keys.T + np.square(code).sum(1)[:, None]
    return distances.clip(0)


def _loops(code: np.ndarray, fps: int) -> int:
    """Seconds that repeat one of 1 to 10 seconds before, and move."""
    found = 0
    for second in range(1, len(code) // fps):
        now = code[second * fps : (second + 1) * fps]
        if np.linalg.norm(np.diff(now, axis=0), axis=1).mean() < 0.1:
            continue  # a still shot
        spread = np.square(now - now.mean(0)).sum(1).mean()
        away = (np.square(now - code[second * fps - lag :][:fps]).sum(1) for lag in range(fps, min(10, second) * fps + 1))
        found += any(distances.max() < 1 and distances.mean() < spread for distances in away)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:5], *map(int, sys.argv[5:]))
