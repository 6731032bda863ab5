"""The shots of a film, by its cuts.

Each frame is reduced to the mean colours of a few blocks, normalised for brightness and contrast. At a cut each of the
three frames before differs from each of the three after: a flash, whose frames lie between like ones, is not a cut. The
change must also exceed the usual change around it, and be prominent: larger than that of the neighbouring frames on both
sides, or many times that on one of them, as where a still shot follows a rapid movement. Fast motion, shaking cameras and
fades do not change so. Where a film fades to an even colour and out of it, the cut is in the middle of that. Dissolves are
not detected: the two shots count as one, so that no frame of a held-out shot is visible in a frame that is trained on.

The thresholds were chosen at 256x144 on a reel of live action, Big Buck Bunny and a clip of Cosmos Laundromat, whose 155
cuts were listed by eye, with the Sintel trailer and three short films beside them: 22,042 frames. All but one are found to
the frame, and that one a frame early, where an eye fills the last frame of the shot before it. The cuts found have a change
of at least 0.35, a ratio of 2.1, and a prominence of 1.22 or a step of 24. Of all other frames, but for gradual transitions,
the highest prominence is 1.16 and the highest step 7.6. benchmarks/shots.py compares the result with other detectors.
"""

import itertools

import numpy as np

from refilm.frames.store import FrameStore

_CHUNK = 64  # frames read at once
_BLOCK = 16  # pixels: every frame size is a multiple of it
_NEAR = 3  # frames compared on each side: a flash of up to 2 frames is not a cut
_AROUND = 8  # frames on each side whose median change is the usual one: two thirds of a second in all
_GRAIN_CONTRAST = 8.0  # grey levels, added to a frame's contrast: it keeps grain in near-black frames from being a change
_MIN_CHANGE = 0.3  # mean difference of block colours at a cut, in standard deviations of a frame; unrelated frames: about 1
_MIN_PROMINENCE = 1.2  # change times its ratio to the largest of the frames on both sides; see above
_MIN_STEP = 12.0  # ratio of the change to the largest on the side where that is smaller; see above
_MIN_RATIO = 2.0  # of the change to the usual one
_TINY = 0.02  # added to the change that another is divided by: two frames of a still shot differ by less
_EVEN = 6.0  # grey levels: in an even frame no block is further from the mean


def find_shots(store: FrameStore) -> list[range]:
    """The shots of a film as ranges of frame numbers, in order and without a gap from the first to the last frame.

    A function of the frames alone. Reads thousands of frames per second; memory grows by a few numbers per frame.
    """
    changes, even = _measure(store)
    cuts = np.flatnonzero(_is_cut(changes)).tolist()
    cuts += [middle for first, end, middle in _runs(even) if not any(first - _NEAR < cut <= end for cut in cuts)]
    borders = [0, *sorted(cuts), len(store)]
    return [range(first, end) for first, end in itertools.pairwise(borders)]


def _measure(store: FrameStore) -> tuple[np.ndarray, np.ndarray]:
    """(changes, even): changes[k - 1, n] is the difference of frames n and n - k, infinite where there is no such frame;
    even[n] is whether frame n has one even colour."""
    lags = 2 * _NEAR - 1
    changes, even = np.full((lags, len(store)), np.inf, np.float32), np.zeros(len(store), bool)
    before = np.empty((0, store.height // _BLOCK * (store.width // _BLOCK) * 3), np.float32)
    start = 0
    for frames in store.batches(_CHUNK):
        blocks = _block_means(frames)
        centred = blocks - blocks.mean(axis=1, keepdims=True)
        even[start : start + len(blocks)] = np.abs(centred).max(axis=1) < _EVEN
        known = np.concatenate([before, centred / (centred.std(axis=1, keepdims=True) + _GRAIN_CONTRAST)])
        for lag in range(1, min(lags, len(known) - 1) + 1):
            first = max(lag, len(before))
            change = np.abs(known[first:] - known[first - lag : len(known) - lag]).mean(axis=1)
            changes[lag - 1, start + first - len(before) : start + len(blocks)] = change
        before = known[-lags:]
        start += len(blocks)
    return changes, even


def _block_means(frames: np.ndarray) -> np.ndarray:
    """Mean colours of blocks: uint8 (n, H, W, 3) -> float32 (n, blocks * 3)."""
    count, height, width, _ = frames.shape
    rows = frames.reshape(count, height // _BLOCK, _BLOCK, width * 3).sum(axis=2, dtype=np.uint16)
    blocks = rows.reshape(count, height // _BLOCK, width // _BLOCK, _BLOCK, 3).sum(axis=3, dtype=np.uint32)
    means: np.ndarray = blocks.reshape(count, -1).astype(np.float32) / _BLOCK**2
    return means


def _is_cut(changes: np.ndarray) -> np.ndarray:
    """Whether a shot begins at a frame: bool (N,)."""
    count = changes.shape[1]
    change = np.full(count, np.inf, np.float32)
    for after in range(min(_NEAR, count)):
        for lag in range(after + 1, after + _NEAR + 1):
            change[: count - after] = np.minimum(change[: count - after], changes[lag - 1, after:])
    change[0] = 0
    padded = np.pad(change, _NEAR)
    before = np.max([padded[k : k + count] for k in range(_NEAR)], axis=0)
    after = np.max([padded[k : k + count] for k in range(_NEAR + 1, 2 * _NEAR + 1)], axis=0)
    steps = changes[0].copy()
    steps[0] = 0
    usual = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(steps, _AROUND, "symmetric"), 2 * _AROUND + 1), axis=1)
    prominent = change * change > _MIN_PROMINENCE * (np.maximum(before, after) + _TINY)
    prominent |= change > _MIN_STEP * (np.minimum(before, after) + _TINY)
    cut: np.ndarray = prominent & (change > _MIN_CHANGE) & (change > _MIN_RATIO * (usual + _TINY))
    cut &= (change > before) & (change >= after)  # of equal changes around a stray frame, the first
    return cut


def _runs(even: np.ndarray) -> list[tuple[int, int, int]]:
    """(first, end, middle) of the stretches of even frames that are longer than a flash and lie between other frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], even, [False]]).astype(int)))
    runs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    return [
        (first, end, (first + end + 1) // 2) for first, end in runs if first > 0 and end < len(even) and end - first >= _NEAR
    ]
