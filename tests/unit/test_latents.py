"""The latents file: what is written is read, a file from elsewhere is accepted, and any other is refused in one line."""

from fractions import Fraction

import h5py
import numpy as np
import pytest

from refilm.core.errors import RefilmError
from refilm.frames.latents import LatentStore, write_latents

LATENTS = np.random.default_rng(0).normal(size=(70, 16)).astype(np.float32)


def own_file(path, latents, name="latents", **attributes):
    """A latents file as somebody writes it with h5py alone."""
    with h5py.File(path, "w") as file:
        file[name] = latents
        file.attrs.update(attributes)
    return path


def test_what_is_written_is_read_by_any_hdf5_library(tmp_path):
    path = tmp_path / "a.h5"
    write_latents(path, 70, 16, {"fps": "24000/1001", "noise": 0.5}, (LATENTS[i : i + 32] for i in range(0, 70, 32)))
    with h5py.File(path) as file:
        assert file["latents"].dtype == np.float32 and np.array_equal(file["latents"][:], LATENTS)
        assert dict(file.attrs) == {"fps": "24000/1001", "noise": 0.5}
    with LatentStore(path) as latents:
        assert (len(latents), latents.dim, latents.fps) == (70, 16, Fraction(24000, 1001))
        assert latents.attributes == {"fps": "24000/1001", "noise": 0.5}
        assert np.array_equal(latents[10:23], LATENTS[10:23]) and np.array_equal(latents[60:99], LATENTS[60:])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_a_file_from_elsewhere_needs_no_attributes_and_holds_any_floating_point_numbers(tmp_path, dtype):
    with LatentStore(own_file(tmp_path / "a.h5", LATENTS.astype(dtype))) as latents:
        assert latents.fps is None and latents.start_time == 0 and latents.attributes == {}
        assert latents[:].dtype == np.float32 and np.array_equal(latents[:], LATENTS.astype(dtype).astype(np.float32))


@pytest.mark.parametrize(
    ("fps", "rate"), [("25", 25), (25, 25), (12.5, Fraction(25, 2)), (b"24", 24), (24000 / 1001, Fraction(24000, 1001))]
)
def test_a_frame_rate_may_be_text_or_a_number(tmp_path, fps, rate):
    with LatentStore(own_file(tmp_path / "a.h5", LATENTS, fps=fps)) as latents:
        assert latents.fps == rate


def broken(value: float, dtype=np.float32) -> np.ndarray:
    latents = LATENTS.astype(dtype)
    latents[41, 3] = value
    return latents


@pytest.mark.parametrize(
    ("latents", "message"),
    [
        (np.zeros((70, 16), np.int64), "latents are int64: expected float16, float32 or float64"),
        (np.zeros((70, 16), np.complex64), "latents are complex64"),
        (LATENTS[0], r"shape \(16,\): expected \(frames, latent_dim\)"),
        (LATENTS[None], r"shape \(1, 70, 16\)"),
        (LATENTS[:0], r"shape \(0, 16\)"),
        (broken(np.nan), "frame 41 are not finite"),
        (broken(np.inf), "frame 41 are not finite"),
        (broken(1e300, np.float64), "frame 41 are not finite in float32"),
    ],
)
def test_latents_that_cannot_be_decoded_are_refused_when_the_file_is_opened(tmp_path, latents, message):
    with pytest.raises(RefilmError, match=message):
        LatentStore(own_file(tmp_path / "a.h5", latents))


@pytest.mark.parametrize("fps", ["fast", "0", "-24", np.array([24.0])])
def test_an_invalid_frame_rate_is_refused(tmp_path, fps):
    with pytest.raises(RefilmError, match=r"a\.h5: attribute fps: "):
        LatentStore(own_file(tmp_path / "a.h5", LATENTS, fps=fps))


@pytest.mark.parametrize("content", [b"", b"not HDF5" * 100])
def test_another_file_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    with pytest.raises(RefilmError, match="not a latents file"):
        LatentStore(path)


def test_a_file_without_latents_names_what_it_has(tmp_path):
    with pytest.raises(RefilmError, match="no dataset 'latents' \\(datasets: z\\): rename yours"):
        LatentStore(own_file(tmp_path / "a.h5", LATENTS, name="z"))
    with pytest.raises(FileNotFoundError):
        LatentStore(tmp_path / "missing.h5")


@pytest.mark.parametrize("rows", [64, 71])
def test_a_wrong_number_of_latents_is_an_error_and_no_file(tmp_path, rows):
    with pytest.raises(RefilmError, match=f"{rows} latents were written, expected 70"):
        write_latents(tmp_path / "a.h5", 70, 16, {}, [np.zeros((rows, 16), np.float32)])
    assert list(tmp_path.iterdir()) == []
