"""One film as one HDF5 file: `/frames` uint8 (N, H, W, 3) RGB, contiguous and uncompressed, at a fixed offset, and behind
it `/times` float64 (N,), the seconds of each frame on the clock of the film file.

The raw frames begin at `FRAMES_OFFSET`, so a film is written without knowing how many frames it has: the frames are
streamed to that offset, and header and times are written around them once they are counted. Readers take frames
by offset (`preadv` after `posix_fadvise`): h5py's fancy indexing gives 120 frames/s where this gives 50,000.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from refilm.core.errors import RefilmError, is_lock_refused
from refilm.core.files import atomic_write, check_exists, scratch_file
from refilm.core.made_of import FRAMES_OFFSET, PROVENANCE_OFFSET, TEXT_OFFSET, write_made_of
from refilm.frames.metadata import Attribute, FrameMetadata

SCHEMA = 1


def write_frames(
    path: Path | str, width: int, height: int, produce: Callable[[BinaryIO], tuple[FrameMetadata, np.ndarray]]
) -> int:
    """Write a frames file; `produce(file)` writes the frames into the binary file that it is given, and returns what is to
    be known of them and the seconds of each, float64 (n,).

    width, height: pixels. The file appears under its name only when it is complete, counted and synced to disk. Returns
    the number of frames.
    """
    path = Path(path)
    with atomic_write(path) as partial, open(partial, "wb+") as file:
        file.seek(FRAMES_OFFSET)
        metadata, times = produce(file)
        file.flush()
        expected = FRAMES_OFFSET + len(times) * height * width * 3
        found = os.fstat(file.fileno()).st_size
        if found != expected:
            raise RefilmError(f"{path}: {found} bytes were written, but {len(times)} frames are {expected} bytes")
        header, end = _surroundings(path, times, height, width, metadata.to_attributes() | {"schema": SCHEMA})
        file.seek(0)
        file.write(header)
        file.seek(expected)
        file.write(end)
        file.flush()
        write_made_of(partial, metadata.made_of, TEXT_OFFSET)
        write_made_of(partial, metadata.provenance, PROVENANCE_OFFSET)
    return len(times)


def _surroundings(
    path: Path, times: np.ndarray, height: int, width: int, attributes: dict[str, Attribute]
) -> tuple[bytes, bytes]:
    """The FRAMES_OFFSET bytes before the frames in such an HDF5 file, and all after them, taken from a sparse file."""
    count = len(times)
    with scratch_file(path.with_name(f".{path.stem}.part{os.getpid()}-header.h5")) as scratch:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_layout(h5py.h5d.CONTIGUOUS)
        plan.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
        plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        plan.set_obj_track_times(False)  # the same frames make the same file
        with h5py.File(scratch, "w", locking=False) as file:
            file.attrs.update(attributes)
            space = h5py.h5s.create_simple((count, height, width, 3))
            h5py.h5d.create(file.id, b"frames", h5py.h5t.STD_U8LE, space, dcpl=plan)
            h5py.h5d.create(file.id, b"times", h5py.h5t.IEEE_F64LE, h5py.h5s.create_simple((count,)), dcpl=plan)
        # The first write allocates the dataset. In a file that is opened again nothing else is left to be aligned.
        access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
        access.set_alignment(1, FRAMES_OFFSET)
        access.set_file_locking(False, True)
        with h5py.File(h5py.h5f.open(os.fsencode(scratch), h5py.h5f.ACC_RDWR, fapl=access)) as file:
            file["frames"][0, 0, 0, 0] = 0
            offset = file["frames"].id.get_offset()
        end = FRAMES_OFFSET + count * height * width * 3
        if offset != FRAMES_OFFSET or scratch.stat().st_size != end:
            raise RefilmError(
                f"{path}: this HDF5 library places frames at offset {offset} of {scratch.stat().st_size} bytes, expected "
                f"{FRAMES_OFFSET}: install the h5py of constraints.txt"
            )
        with h5py.File(scratch, "r+", locking=False) as file:
            file["times"][:] = times
        with open(scratch, "rb") as written:
            header = written.read(FRAMES_OFFSET)
            written.seek(end)
            return header, written.read()


def write_frames_from(
    path: Path | str, width: int, height: int, metadata: FrameMetadata, batches: Iterable[np.ndarray]
) -> int:
    """Write a frames file from batches, uint8 (n, H, W, 3) each, at a constant rate. Returns the number of frames."""

    def produce(file: BinaryIO) -> tuple[FrameMetadata, np.ndarray]:
        count = 0
        for batch in batches:
            file.write(np.ascontiguousarray(batch).data)
            count += len(batch)
        return metadata, float(metadata.start_time) + np.arange(count) / float(metadata.fps)

    return write_frames(path, width, height, produce)


class FrameStore:
    """A frames file as a sequence of frames: `store[5]`, `store[10:20]`, `store.read([3, 1, 4])`, `len(store)`.

    width, height: pixels; fps: Fraction; metadata: where the frames come from; attributes: the file's own. Use as a context
    manager. Reading keeps no state but the file descriptor, so several threads may read at once.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        check_exists(path)
        try:
            with h5py.File(path, "r", locking=False) as file:
                dataset = file["frames"]
                self.attributes = {name: _plain(value) for name, value in file.attrs.items()}
                shape, offset = dataset.shape, dataset.id.get_offset()
                valid = dataset.dtype == np.uint8 and len(shape) == 4 and shape[3] == 3 and offset is not None
            self.metadata = FrameMetadata.from_attributes(self.attributes)
        except (OSError, KeyError, ValueError) as error:
            if is_lock_refused(error):
                raise
            raise RefilmError(f"{path}: not a frames file ({error}): delete it and run the same command again") from error
        if not valid or self.attributes.get("schema") != SCHEMA:
            raise RefilmError(f"{path}: not a frames file of this version: delete it and run the same command again")
        self.count, self.height, self.width, _ = shape
        self.fps = self.metadata.fps
        self._offset, self._frame_bytes = offset, self.height * self.width * 3
        self._file = os.open(path, os.O_RDONLY)

    def __enter__(self) -> "FrameStore":
        return self

    def __exit__(self, *_exception: object) -> None:
        os.close(self._file)

    def __len__(self) -> int:
        return int(self.count)

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
        frame: np.ndarray = self.read([index % self.count])[0]
        return frame

    def batches(self, n: int, start: int = 0, end: int | None = None) -> Iterator[np.ndarray]:
        """The frames from `start` to before `end` (default: all), in order, `n` at a time: uint8 (n, H, W, 3) each."""
        end = len(self) if end is None else end
        for first in range(start, end, n):
            yield self[first : min(first + n, end)]

    def read(self, indices: Sequence[int], into: np.ndarray | None = None) -> np.ndarray:
        """The frames of any `indices`, in that order: uint8 (n, H, W, 3), into the given array if there is one.

        The whole request is announced to the kernel first, which is twice as fast from a cold disk.
        """
        if into is None:
            into = np.empty((len(indices), self.height, self.width, 3), np.uint8)
        for index in indices:
            self._announce(int(index), 1)
        for frame, index in zip(into, indices, strict=True):
            self._fill(frame, int(index))
        return into

    def _announce(self, index: int, count: int) -> None:
        if hasattr(os, "posix_fadvise"):  # not on macOS
            offset = self._offset + index * self._frame_bytes
            os.posix_fadvise(self._file, offset, count * self._frame_bytes, os.POSIX_FADV_WILLNEED)

    def _fill(self, frames: np.ndarray, index: int) -> None:
        """Read into a C-contiguous array, from frame `index` on; a short read is an error, never a repeated frame."""
        view = frames.reshape(-1).data
        offset, done = self._offset + index * self._frame_bytes, 0
        while done < len(view):
            count = os.preadv(self._file, [view[done:]], offset + done)
            if count == 0:
                raise RefilmError(
                    f"{self.path}: the file ends inside frame {index + done // self._frame_bytes}: delete it and run the "
                    "same command again"
                )
            done += count


def _plain(value: object) -> Attribute:
    return value.item() if isinstance(value, np.generic) else value  # type: ignore[return-value]
