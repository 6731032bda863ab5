"""Which frames a model sees, and on which it is measured: parts of a film as frames files of their own."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from refilm.core.sampling import evenly_spaced
from refilm.frames.metadata import FrameMetadata
from refilm.frames.shots import find_shots
from refilm.frames.store import FrameStore, write_frames_from
from refilm.models.inference import BATCH

_CHUNK = 256
_STRETCH = 2 * BATCH  # consecutive frames that are measured together: a boundary of batches is inside


@dataclass(frozen=True)
class Part:
    """A frames file of some frames of a film. numbers: (n,) which; continuous: (n - 1,) whether a frame and the next are
    neighbours in one shot, so that the difference between them is motion."""

    path: Path
    numbers: np.ndarray
    continuous: np.ndarray


def part_of(film: FrameStore, numbers: np.ndarray, shots: list[range], path: Path) -> Part:
    """Write the frames of these numbers, in order, to a frames file."""
    metadata = FrameMetadata(film.fps, source=str(film.path))
    batches = (film.read(numbers[start : start + _CHUNK]) for start in range(0, len(numbers), _CHUNK))
    write_frames_from(path, film.width, film.height, metadata, batches)
    shot = np.searchsorted([one.stop for one in shots], numbers, side="right")
    return Part(path, numbers, (np.diff(numbers) == 1) & (np.diff(shot) == 0))


def measured(numbers: np.ndarray, most: int) -> np.ndarray:
    """All the numbers, or where they are more than `most` as many stretches of them, spread evenly over all."""
    stretches = np.split(numbers, range(_STRETCH, len(numbers), _STRETCH))
    wanted = max(1, most // _STRETCH)
    if len(numbers) <= most or len(stretches) <= wanted:
        return numbers
    return np.concatenate([stretches[n] for n in evenly_spaced(len(stretches) - 1, wanted)])


def shots_of(path: Path | str) -> list[range]:
    with FrameStore(path) as film:
        return find_shots(film)
