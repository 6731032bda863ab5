"""One film as one HDF5 file: `/frames` uint8 (N, H, W, 3) RGB, contiguous and uncompressed, at a fixed offset.

The raw frames begin at `DATA_OFFSET`, so a film is written without knowing how many frames it has: the frames are
streamed to that place, and the header is written over the gap in front of them once they are counted. Readers take
frames by offset (`preadv` after `posix_fadvise`): h5py's fancy indexing gives 120 frames/s where this gives 50,000.
"""

import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np

from refilm.core.errors import RefilmError
from refilm.core.files import atomic_write, scratch_file

DATA_OFFSET = 1 << 20
SCHEMA = 1


def write_frames(path: Path, width: int, height: int, attributes: dict, produce: Callable[[object], int]) -> int:
    """Write a frames file whose frames `produce(file)` puts into the binary file it is given, returning their count.

    attributes: what else rebuilds the frames (str, int or float values). The file appears under its name only when it
    is complete, counted and synced to disk. Returns the number of frames.
    """
    path = Path(path)
    with atomic_write(path) as partial, open(partial, "wb+") as file:
        file.seek(DATA_OFFSET)
        count = produce(file)
        file.flush()
        expected = DATA_OFFSET + count * height * width * 3
        found = os.fstat(file.fileno()).st_size
        if found != expected:
            raise RefilmError(f"{path}: {found} bytes were written where {count} frames make {expected}")
        file.seek(0)
        file.write(_header(path, count, height, width, {**attributes, "schema": SCHEMA}))
    return count


def _header(path: Path, count: int, height: int, width: int, attributes: dict) -> bytes:
    """The first DATA_OFFSET bytes of an HDF5 file with such a dataset. Made on disk, as a hole with a header."""
    with scratch_file(path.with_name(f".{path.stem}.header{os.getpid()}.h5")) as scratch:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_layout(h5py.h5d.CONTIGUOUS)
        plan.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
        plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        with h5py.File(scratch, "w") as file:
            file.attrs.update(attributes)
            space = h5py.h5s.create_simple((count, height, width, 3))
            h5py.h5d.create(file.id, b"frames", h5py.h5t.STD_U8LE, space, dcpl=plan)
        # Opened anew, and only now given its room by a first write: nothing but the frames is left to be aligned.
        access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
        access.set_alignment(1, DATA_OFFSET)
        with h5py.File(h5py.h5f.open(os.fsencode(scratch), h5py.h5f.ACC_RDWR, fapl=access)) as file:
            file["frames"][0, 0, 0, 0] = 0
            offset = file["frames"].id.get_offset()
        size = scratch.stat().st_size
        if offset != DATA_OFFSET or size != DATA_OFFSET + count * height * width * 3:
            raise RefilmError(f"{path}: this HDF5 library puts frames at {offset} in {size} bytes, not at {DATA_OFFSET}")
        with open(scratch, "rb") as header:
            return header.read(DATA_OFFSET)


def write_frames_from(path: Path, width: int, height: int, attributes: dict, batches) -> int:
    """Write a frames file from an iterable of uint8 arrays (n, H, W, 3)."""

    def produce(file) -> int:
        count = 0
        for batch in batches:
            file.write(np.ascontiguousarray(batch).data)
            count += len(batch)
        return count

    return write_frames(path, width, height, attributes, produce)


class FrameStore:
    """A frames file as a sequence of frames: `store[5]`, `store[10:20]`, `store.read([3, 1, 4])`, `len(store)`.

    width, height: pixels; fps: Fraction; attributes: the file's own. Use as a context manager. Reading keeps no state
    but the file descriptor, so several threads may read at once.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        try:
            with h5py.File(path, "r") as file:
                dataset = file["frames"]
                self.attributes = {name: _plain(value) for name, value in file.attrs.items()}
                shape, offset = dataset.shape, dataset.id.get_offset()
                right = dataset.dtype == np.uint8 and len(shape) == 4 and shape[3] == 3 and offset is not None
        except FileNotFoundError:
            raise
        except (OSError, KeyError) as error:
            raise RefilmError(f"{path}: not a frames file ({error}): delete it and let it be made again") from error
        if not right or self.attributes.get("schema") != SCHEMA:
            raise RefilmError(f"{path}: not a frames file of this version: delete it and let it be made again")
        self.count, self.height, self.width, _ = shape
        self.fps = Fraction(self.attributes["fps"])
        self._offset, self._frame_bytes = offset, self.height * self.width * 3
        self._file = os.open(path, os.O_RDONLY)

    def __enter__(self) -> "FrameStore":
        return self

    def __exit__(self, *_exception) -> None:
        os.close(self._file)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int | slice) -> np.ndarray:
        """One frame (H, W, 3), or consecutive frames (n, H, W, 3), uint8."""
        if isinstance(index, slice):
            start, stop, step = index.indices(self.count)
            if step != 1:
                return self.read(range(start, stop, step))
            frames = np.empty((max(0, stop - start), self.height, self.width, 3), np.uint8)
            self._fill(frames, start)
            return frames
        if not -self.count <= index < self.count:
            raise IndexError(f"frame {index} of {self.count}")
        return self.read([index % self.count])[0]

    def read(self, indices: Sequence[int], into: np.ndarray | None = None) -> np.ndarray:
        """The frames of any `indices`, in that order: uint8 (n, H, W, 3), into the given array if there is one.

        The whole request is announced to the kernel first: from a cold disk that is twice as fast as reading on.
        """
        if into is None:
            into = np.empty((len(indices), self.height, self.width, 3), np.uint8)
        for index in indices:
            self._announce(int(index), 1)
        for place, index in zip(into, indices, strict=True):
            self._fill(place, int(index))
        return into

    def _announce(self, index: int, count: int) -> None:
        if hasattr(os, "posix_fadvise"):  # not on macOS
            where = self._offset + index * self._frame_bytes
            os.posix_fadvise(self._file, where, count * self._frame_bytes, os.POSIX_FADV_WILLNEED)

    def _fill(self, frames: np.ndarray, index: int) -> None:
        """Read into a C-contiguous array, from frame `index` on; a short read is an error, never a repeated frame."""
        view = memoryview(frames.reshape(-1))
        where, done = self._offset + index * self._frame_bytes, 0
        while done < len(view):
            got = os.preadv(self._file, [view[done:]], where + done)
            if got == 0:
                raise RefilmError(f"{self.path}: the file ends inside frame {index + done // self._frame_bytes}")
            done += got


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value
