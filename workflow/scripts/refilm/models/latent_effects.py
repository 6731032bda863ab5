"""What each number of a frame's latents does to its picture."""

from collections.abc import Sequence

import numpy as np

from refilm.core.progress import progress_bar
from refilm.models.base import Model
from refilm.models.inference import Latents, decode_frames, decode_latents, inference_batch

EFFECT_STEP = 2.0  # standard deviations to each side, between which an effect is measured
_ROWS = 16384  # of latents, read at once


def moments_over_film(latents: Latents) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each number over the frames of a film: float64 (latent_dim,) each."""
    total = squares = np.zeros(())
    for start in range(0, len(latents), _ROWS):
        rows = np.asarray(latents[start : start + _ROWS], np.float64)
        total, squares = total + rows.sum(axis=0), squares + np.square(rows).sum(axis=0)
    mean: np.ndarray = total / len(latents)
    return mean, np.sqrt((squares / len(latents) - np.square(mean)).clip(min=0))


def moved_frames(model: Model, batch: np.ndarray, row: int, number: int, offsets: Sequence[float]) -> np.ndarray:
    """What becomes of a frame when one of its latents is moved by each of the offsets: uint8 (n, H, W, 3).

    batch: the latents that are decoded together with the frame's, float32 (B, latent_dim); row: of the frame's.
    """
    moved = np.repeat(batch[row : row + 1], len(offsets), axis=0)
    moved[:, number] += np.asarray(offsets, np.float32)
    return _decode(model, batch, row, moved)


def effects(model: Model, batch: np.ndarray, row: int, std: np.ndarray, what: str) -> np.ndarray:
    """How much each number changes the picture: mean absolute difference, in grey levels, between the pictures with it moved
    by -2 and by +2 of its standard deviations. float64 (latent_dim,); std: (latent_dim,); what: name of the progress."""
    found = np.zeros(len(std))
    at_once = max(1, inference_batch(model) // 2)
    with progress_bar(what, len(std), " latents") as bar:
        for start in range(0, len(std), at_once):
            numbers = np.arange(start, min(start + at_once, len(std)))
            moved = np.repeat(batch[row : row + 1], 2 * len(numbers), axis=0)
            steps = EFFECT_STEP * std[numbers].astype(np.float32)
            moved[np.arange(len(numbers)), numbers] -= steps
            moved[len(numbers) + np.arange(len(numbers)), numbers] += steps
            low, high = np.split(_decode(model, batch, row, moved).astype(np.int16), 2)
            found[numbers] = np.abs(high - low).mean(axis=(1, 2, 3))
            bar.update(len(numbers))
    return found


def _decode(model: Model, batch: np.ndarray, row: int, moved: np.ndarray) -> np.ndarray:
    """Frames from latents (n, latent_dim), each of them in place of a row of its batch: uint8 (n, H, W, 3)."""
    if not model.recipe.spec.mixes_batch:
        return np.concatenate(list(decode_latents(model, moved)))
    frames = []
    for latents in moved:
        changed = batch.copy()
        changed[row] = latents
        frames.append(decode_frames(model, changed, [row])[0])
    return np.stack(frames)
