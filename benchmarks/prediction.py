"""How far ahead a predictor sees, and whether its dreams move as its film does.

    python -m benchmarks.prediction LATENTS FRAMES MODEL PREDICTOR [DREAMS] [SECONDS]

LATENTS are those of the one film that MODEL and PREDICTOR were trained on, FRAMES its frames, for the shots. PSNR is of the
code: squared errors of latents, weighted by how far the decoder moves the pixels for each (`pixel_energy`). Context of ten
frames, within single shots, every eighth frame, at most 256 places; no chance, no cuts. Beside it: standing still; the last
change, damped by the one factor that is best on shots seen; ridge regression, one frame ahead.

Dreams start at random moments, one with each seed. A second is compared with the film where it is nearest: the mean change
from frame to frame is .5 to 2 times the film's there. Cuts a minute against the film's; the fraction of frames whose
Mahalanobis distance is below the film's 99.9 %; loops: seconds in which every frame equals, within a usual change, one of 1
to 10 seconds before; `shots`, to which the nearest frames belong.
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
        dreaming(rows, shots, predictor, dreams, seconds, fps)


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


def dreaming(rows: np.ndarray, shots: list[range], predictor: Predictor, dreams: int, seconds: int, fps: int) -> None:
    """Prints the statistics of dreams."""
    scale = predictor.weights().sqrt().numpy()
    keys, mean = rows * scale, rows.mean(0)
    inverse = np.linalg.inv(np.cov(rows.T) + 1e-6 * np.eye(rows.shape[1]))
    speed = np.concatenate([[0], np.linalg.norm(np.diff(keys, axis=0), axis=1)])
    starts = np.array([shot.start for shot in shots])
    speed[starts] = np.nan
    limit = np.quantile(_mahalanobis(rows - mean, inverse), 0.999)
    of_film = (len(shots) - 1) / (len(rows) / fps / 60)
    print(f"dreams of {seconds} s, n = {dreams}; film: {of_film:.1f} cuts a minute")
    good, random = 0, np.random.default_rng(0)
    for seed in range(dreams):
        start = int(random.integers(CONTEXT, len(rows)))
        made = np.stack(list(islice(continue_latents(predictor, rows[start - CONTEXT : start], seed), seconds * fps)))
        code = made * scale
        near = (np.square(keys).sum(1) - 2 * code @ keys.T).argmin(1)
        moved = np.linalg.norm(np.diff(np.concatenate([keys[start - 1 : start], code]), axis=0), axis=1)
        openings = predictor.memory[predictor.opening_rows].float().numpy() * scale
        cut = (np.square(openings).sum(1) - 2 * code @ openings.T + np.square(code).sum(1)[:, None]).min(1) < 1e-3
        moved[cut & (moved > 1)] = np.nan
        there = np.array([np.nanmean(speed[max(0, n - 6) : n + 7]) for n in near])
        ratio = np.nanmean(moved.reshape(seconds, fps), 1) / np.nanmean(there.reshape(seconds, fps), 1)
        steady = ((ratio > 0.5) & (ratio < 2)).mean()
        cuts = np.isnan(moved).sum() / (seconds / 60)
        within = (_mahalanobis(made - mean, inverse) < limit).mean()
        loops = _loops(code, fps)
        visited = len(set(np.searchsorted(starts, near, side="right")))
        ok = steady >= 0.95 and of_film / 2 <= cuts <= 2 * of_film and within >= 0.99 and not loops
        good += ok
        print(
            f"  {start / fps:6.1f} s: speed {steady:4.0%} of seconds, {cuts:4.1f} cuts, within {within:6.1%}, "
            f"{loops} s of loops, {visited} shots{'' if ok else '  *'}",
            flush=True,
        )
    print(f"dreams: {good} of {dreams} as the film")


def _mahalanobis(away: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    return np.einsum("ni,ij,nj->n", away, inverse, away)


def _loops(code: np.ndarray, fps: int) -> int:
    """Seconds that repeat one of 1 to 10 seconds before, and move."""
    found = 0
    for second in range(1, len(code) // fps):
        now = code[second * fps : (second + 1) * fps]
        if np.linalg.norm(np.diff(now, axis=0), axis=1).mean() < 0.1:
            continue  # a still shot
        lags = range(fps, min(10 * fps, second * fps) + 1)
        found += any(np.square(now - code[second * fps - lag :][:fps]).sum(1).max() < 1 for lag in lags)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:5], *map(int, sys.argv[5:]))
