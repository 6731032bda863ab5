"""Where a film cuts, and whole shots set aside that a model shall not see.

Every frame becomes a picture of a few blocks, freed of its brightness and contrast. A cut is where all of the three frames
before are unlike all of the three after: a flash, whose frames lie between like ones, is none. It stands out from the
moments around it, and from the usual change thereabouts: fast motion, shaking cameras and fades do not. Where a film
fades to one even colour and out of it again, the cut is in the middle of that. Dissolves are not looked for: the two
shots count as one, so that no frame of what is set aside shines through in what is not.
"""

import itertools

import numpy as np

from refilm.frames.store import FrameStore

_CHUNK = 64  # frames read at once
_BLOCK = 16  # pixels; every frame size is a multiple of it
_NEAR = 3  # frames on each side that are compared: a flash of so many less one is no cut
_AROUND = 8  # frames on each side that say what change is usual
_CALM = 8.0  # grey levels: contrast below this is not told from grain
_LEAST_CUT = 0.3  # mean change of a cut, in standard deviations of a picture
_LEAST_STANDING_OUT = 1.2  # change times its ratio to the largest of the moments around it
_LEAST_RATIO = 2.0  # to the median change around it
_TINY = 0.02  # change that is no change, so that ratios exist
_EVEN = 6.0  # grey levels: no block of an even picture is further from the mean


def find_shots(store: FrameStore) -> list[range]:
    """The shots of a film as ranges of frame numbers, in order and without a gap from the first to the last frame.

    A function of the frames alone. Thousands of frames a second; keeps but a few numbers a frame in memory.
    """
    changes, even = _look(store)
    cuts = np.flatnonzero(_is_cut(changes)).tolist()
    cuts += [middle for first, end, middle in _runs(even) if not any(first <= cut <= end for cut in cuts)]
    borders = [0, *sorted(cuts), len(store)]
    return [range(first, end) for first, end in itertools.pairwise(borders)]


def hold_out(shots: list[range], share: float, seed: int) -> np.ndarray:
    """Frame numbers of whole shots drawn at random, sorted: as near to `share` of all frames as taking one shot after
    another comes, and never all of them. Empty where every shot is too long for the share."""
    missing = share * sum(map(len, shots))
    taken, left = [], []
    for shot in (shots[number] for number in np.random.default_rng(seed).permutation(len(shots))):
        fits = len(shot) <= missing
        (taken if fits else left).append(shot)
        missing -= len(shot) * fits
    shortest = min(left, key=len, default=range(0))
    if len(left) > 1 and len(shortest) < 2 * missing:  # too many by less than what is missing
        taken.append(shortest)
    return np.sort(np.array([frame for shot in taken for frame in shot], dtype=np.int64))


def _look(store: FrameStore) -> tuple[np.ndarray, np.ndarray]:
    """(changes, even). changes[k - 1, n]: how unlike frames n and n - k are, infinite where there is no such frame."""
    lags = 2 * _NEAR - 1
    changes, even = np.full((lags, len(store)), np.inf, np.float32), np.zeros(len(store), bool)
    before = np.empty((0, store.height // _BLOCK * (store.width // _BLOCK) * 3), np.float32)
    for start in range(0, len(store), _CHUNK):
        pictures = _pictures(store[start : start + _CHUNK])
        centred = pictures - pictures.mean(axis=1, keepdims=True)
        even[start : start + len(pictures)] = np.abs(centred).max(axis=1) < _EVEN
        known = np.concatenate([before, centred / (centred.std(axis=1, keepdims=True) + _CALM)])
        for lag in range(1, min(lags, len(known) - 1) + 1):
            first = max(lag, len(before))
            change = np.abs(known[first:] - known[first - lag : len(known) - lag]).mean(axis=1)
            changes[lag - 1, start + first - len(before) : start + len(pictures)] = change
        before = known[-lags:]
    return changes, even


def _pictures(frames: np.ndarray) -> np.ndarray:
    """Mean colours of blocks: uint8 (n, H, W, 3) -> float32 (n, blocks * 3)."""
    count, height, width, _ = frames.shape
    rows = frames.reshape(count, height // _BLOCK, _BLOCK, width * 3).sum(axis=2, dtype=np.uint16)
    blocks = rows.reshape(count, height // _BLOCK, width // _BLOCK, _BLOCK, 3).sum(axis=3, dtype=np.uint32)
    return blocks.reshape(count, -1).astype(np.float32) / _BLOCK**2


def _is_cut(changes: np.ndarray) -> np.ndarray:
    """(N,) whether a shot begins at a frame."""
    count = changes.shape[1]
    unlike = np.full(count, np.inf, np.float32)
    for after in range(min(_NEAR, count)):
        for lag in range(after + 1, after + _NEAR + 1):
            unlike[: count - after] = np.minimum(unlike[: count - after], changes[lag - 1, after:])
    unlike[0] = 0
    padded = np.pad(unlike, _NEAR)
    beside = np.max([padded[k : k + count] for k in range(2 * _NEAR + 1) if k != _NEAR], axis=0)
    steps = changes[0].copy()
    steps[0] = 0
    usual = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(steps, _AROUND, "symmetric"), 2 * _AROUND + 1), axis=1)
    return (
        (unlike > _LEAST_CUT)
        & (unlike * unlike > _LEAST_STANDING_OUT * (beside + _TINY))
        & (unlike > _LEAST_RATIO * (usual + _TINY))
    )


def _runs(even: np.ndarray) -> list[tuple[int, int, int]]:
    """(first, end, middle) of the stretches of even frames, longer than a flash, with others before and after them."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], even, [False]]).astype(int)))
    runs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    return [
        (first, end, (first + end + 1) // 2) for first, end in runs if first > 0 and end < len(even) and end - first >= _NEAR
    ]
