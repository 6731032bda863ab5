"""One film as latents: HDF5 `/latents` float32 (N, latent_dim), a row for each frame, in order.

The attributes say which film and model they belong to: fps, start_time, source, crop, filter, model, recipe, noise, and
search where latents were searched. A file that was written elsewhere may lack all of them, and hold float16 or float64.
"""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np

from refilm.core.errors import RefilmError, is_lock_refused
from refilm.core.files import atomic_write, check_exists
from refilm.core.made_of import block_size, write_made_of
from refilm.core.provenance import film_of
from refilm.frames.metadata import Attribute
from refilm.frames.store import FrameStore
from refilm.sources.listing import parse_rate

_ROWS_AT_ONCE = 16384  # rows read together while a file is checked: 13 MB of 200 numbers each


def write_latents(
    path: Path | str,
    count: int,
    dim: int,
    attributes: dict[str, Attribute],
    batches: Iterable[np.ndarray],
    made_of: str = "",
) -> None:
    """Write a latents file of `count` rows of `dim` numbers from batches, float32 (n, dim) each.

    made_of: the text by which a plan knows them. The file appears under its name when it is complete. Raises RefilmError if
    the batches hold another number of rows.
    """
    path, written = Path(path), 0
    with atomic_write(path) as partial:
        with h5py.File(partial, "w", userblock_size=block_size(made_of), locking=False) as file:
            dataset = file.create_dataset("latents", (count, dim), "f4")
            file.attrs.update(attributes)
            for batch in batches:
                if written + len(batch) <= count:
                    dataset[written : written + len(batch)] = batch
                written += len(batch)
        write_made_of(partial, made_of)
        if written != count:
            raise RefilmError(f"{path}: {written} latents were written, expected {count}")


class LatentStore:
    """A latents file as a sequence of rows: `store[10:20]` is float32 (10, dim), `len(store)` the number of frames.

    dim: numbers per frame; fps: Fraction, or None where the file does not say; start_time: seconds of the film file at the
    first frame; attributes: the file's own. Use as a context manager. Raises RefilmError for any other file, and for
    values that are not finite: they are looked for when the file is opened, so that none stops a long decoding.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        check_exists(path)
        try:
            self._file = h5py.File(path, "r", locking=False)
        except OSError as error:
            if is_lock_refused(error):
                raise
            raise RefilmError(f"{path}: not a latents file (not HDF5, or incomplete): make it with encode_film") from error
        try:
            self._open()
        except Exception:
            self._file.close()
            raise

    def _open(self) -> None:
        self._dataset = _dataset(self.path, self._file)
        self.dim = int(self._dataset.shape[1])
        self.attributes = {name: _plain(value) for name, value in self._file.attrs.items()}
        fps, start_time = self.attributes.get("fps"), self.attributes.get("start_time", "0")
        self.fps = None if fps is None else parse_rate(str(fps), f"{self.path}: attribute fps")
        try:
            self.start_time = Fraction(str(start_time))
        except ValueError as error:
            raise RefilmError(f"{self.path}: attribute start_time: {start_time!r} is not a number of seconds") from error
        self._check_finite()

    def _check_finite(self) -> None:
        for start in range(0, len(self), _ROWS_AT_ONCE):
            with np.errstate(over="ignore"):  # a float64 that float32 cannot hold becomes infinite, and is refused
                finite = np.isfinite(self[start : start + _ROWS_AT_ONCE]).all(axis=1)
            if not finite.all():
                frame = start + int(np.argmin(finite))
                raise RefilmError(
                    f"{self.path}: the latents of frame {frame} are not finite in float32 (NaN or infinity): correct them"
                )

    def __enter__(self) -> "LatentStore":
        return self

    def __exit__(self, *_exception: object) -> None:
        self._file.close()

    def check_model(self, latent_dim: int, model: Path | str) -> None:
        """Raises RefilmError if a model, named by its file, decodes latents of another size."""
        if self.dim != latent_dim:
            raise RefilmError(
                f"{self.path}: {self.dim} numbers per frame, but {model} decodes {latent_dim}: use the model that encoded "
                "them"
            )

    def check_film(self, film: FrameStore, size: tuple[int, int]) -> None:
        """Raises RefilmError if these are not the latents of a film, decoded to frames of `size` (width, height)."""
        if len(self) != len(film):
            raise RefilmError(f"{self.path}: {len(self)} frames, but {film.path} has {len(film)}: encode the film again")
        if (film.width, film.height) != size:
            raise RefilmError(
                f"{self.path}: decoded to {size[0]}x{size[1]}, but {film.path} has frames of {film.width}x{film.height}: "
                "use frames of the model's size"
            )
        encoded, shown = ((film_of(store.attributes) or {}).get("sha256") for store in (self, film))
        if encoded and shown and encoded != shown:
            raise RefilmError(
                f"{self.path}: the latents of another film file (sha256 {encoded}) than {film.path} ({shown}): delete "
                f"{self.path} to encode this one"
            )

    def __len__(self) -> int:
        return int(self._dataset.shape[0])

    def __getitem__(self, index: slice) -> np.ndarray:
        """Consecutive rows, float32 (n, dim)."""
        return np.asarray(self._dataset[index], np.float32)


def _dataset(path: Path, file: h5py.File) -> h5py.Dataset:
    """The dataset `latents` of a file, if it can be one."""
    dataset = file.get("latents")
    if not isinstance(dataset, h5py.Dataset):
        found = ", ".join(sorted(file)) or "none"
        raise RefilmError(f"{path}: not a latents file: no dataset 'latents' (datasets: {found}): rename yours to 'latents'")
    if len(dataset.shape) != 2 or 0 in dataset.shape:
        raise RefilmError(
            f"{path}: latents have the shape {tuple(dataset.shape)}: expected (frames, latent_dim), neither of them 0"
        )
    if dataset.dtype.kind != "f":
        raise RefilmError(f"{path}: latents are {dataset.dtype}: expected float16, float32 or float64: convert them")
    return dataset


def _plain(value: object) -> Attribute:
    """An attribute as a Python value: bytes of older HDF5 libraries as text."""
    if isinstance(value, np.generic):
        value = value.item()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value  # type: ignore[return-value]
