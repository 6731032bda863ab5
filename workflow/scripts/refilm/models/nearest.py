"""The points of a set that are nearest to given ones: an exact search in blocks of bounded size."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from refilm.models.device import full_float32
from refilm.models.inference import Latents

_QUERIES = 1024  # points that are looked for at once
_BLOCK = 8192  # points of the set that are compared at once: 34 MB of distances
_CANDIDATES = 4  # of a block, whose distances are then computed from differences


@torch.no_grad()
@full_float32()
def nearest_frames(
    queries: Latents, film: Latents, device: torch.device, done: Callable[[int], object] = lambda _count: None
) -> tuple[np.ndarray, np.ndarray]:
    """(frames, distances): of each row of `queries` the number of the frame with the least Euclidean distance, int64 (n,),
    of equal ones the first, and that distance, float64 (n,).

    done: called with the number of queries that were answered. Memory does not depend on the length of either. Products of
    matrices choose a few candidates in each block, and their differences decide, since a product of large numbers does not
    tell apart what lies near.
    """
    frames, distances = np.zeros(len(queries), np.int64), np.full(len(queries), np.inf)
    for start in range(0, len(queries), _QUERIES):
        rows = slice(start, min(start + _QUERIES, len(queries)))
        wanted = torch.from_numpy(np.asarray(queries[rows], np.float32)).to(device)
        for first in range(0, len(film), _BLOCK):
            block = torch.from_numpy(np.asarray(film[first : first + _BLOCK], np.float32)).to(device)
            number, distance = (found.cpu().numpy() for found in _nearest_in(wanted, block))
            nearer = distance < distances[rows]
            frames[rows] = np.where(nearer, first + number, frames[rows])
            distances[rows] = np.where(nearer, distance, distances[rows])
        done(len(wanted))
    return frames, distances


def _nearest_in(wanted: Tensor, block: Tensor) -> tuple[Tensor, Tensor]:
    """(numbers, distances) of the rows of a block that are nearest to each of the wanted ones."""
    centre = block.mean(0)
    around = block - centre
    scores = (wanted - centre) @ around.T - 0.5 * around.square().sum(1)
    candidates = scores.topk(min(_CANDIDATES, len(block)), dim=1).indices.sort(dim=1).values  # (n, candidates)
    exact = (wanted[:, None].cpu().double() - block[candidates].cpu().double()).norm(dim=2)
    distance, place = exact.min(dim=1)
    return candidates.cpu().gather(1, place[:, None])[:, 0], distance
