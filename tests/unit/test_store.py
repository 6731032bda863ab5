"""The frame store: what is written is read, whole, in any order, and by any HDF5 library."""

import errno
from fractions import Fraction

import h5py
import numpy as np
import pytest

from refilm.core.errors import RefilmError
from refilm.core.files import check_space
from refilm.core.made_of import FRAMES_OFFSET
from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import FrameStore, write_frames, write_frames_from

FRAMES = np.random.default_rng(0).integers(0, 256, (37, 48, 64, 3), dtype=np.uint8)
METADATA = FrameMetadata(Fraction(24000, 1001), Fraction(1, 3), "a film.mkv", details={"constant_rate": True})
ATTRIBUTES = {"fps": "24000/1001", "source": "a film.mkv", "start_time": "1/3", "constant_rate": True}


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "film.h5"
    write_frames_from(path, 64, 48, METADATA, (FRAMES[i : i + 5] for i in range(0, 37, 5)))
    return path


def test_any_hdf5_library_reads_it(stored):
    with h5py.File(stored) as file:
        assert file["frames"].dtype == np.uint8 and file["frames"].shape == FRAMES.shape
        assert file["frames"].chunks is None and file["frames"].compression is None
        assert file["frames"].id.get_offset() == FRAMES_OFFSET
        assert np.array_equal(file["frames"][:], FRAMES)
        assert np.allclose(file["times"][:], 1 / 3 + np.arange(37) * 1001 / 24000, atol=1e-12)
        assert dict(file.attrs) == ATTRIBUTES | {"schema": 1}


def test_it_reads_as_a_sequence(stored):
    with FrameStore(stored) as film:
        assert (len(film), film.width, film.height) == (37, 64, 48)
        assert str(film.fps) == "24000/1001" and film.metadata == METADATA
        assert np.array_equal(film[5], FRAMES[5]) and np.array_equal(film[-1], FRAMES[-1])
        assert np.array_equal(film[30:99], FRAMES[30:]) and np.array_equal(film[1:9:3], FRAMES[1:9:3])
        order = [36, 0, 17, 17, 3]
        assert np.array_equal(film.read(order), FRAMES[order])
        with pytest.raises(IndexError):
            film[37]


@pytest.mark.parametrize(("n", "start", "end"), [(5, 0, None), (37, 0, None), (64, 0, None), (7, 3, 29), (1, 35, 37)])
def test_batches_are_the_frames_in_order_and_none_is_longer_than_asked(stored, n, start, end):
    with FrameStore(stored) as film:
        batches = list(film.batches(n, start, end))
    assert np.array_equal(np.concatenate(batches), FRAMES[start:end])
    assert all(len(batch) == n for batch in batches[:-1]) and 1 <= len(batches[-1]) <= n


@pytest.mark.parametrize("count", [1, 2])
def test_the_smallest_films(tmp_path, count):
    tiny = FRAMES[:count, :32, :32]
    write_frames_from(tmp_path / "tiny.h5", 32, 32, METADATA, [tiny])
    with FrameStore(tmp_path / "tiny.h5") as film:
        assert np.array_equal(film[:], tiny)


def test_a_film_cut_off_is_an_error_and_never_a_repeated_frame(stored):
    whole = stored.read_bytes()
    with FrameStore(stored) as film:
        stored.write_bytes(whole[: FRAMES_OFFSET + FRAMES.nbytes - 100])
        with pytest.raises(RefilmError, match="ends inside frame 36"):
            film[36]


def test_a_wrong_count_leaves_no_file(tmp_path):
    with pytest.raises(RefilmError, match="bytes were written"):
        write_frames(tmp_path / "film.h5", 64, 48, lambda file: file.write(FRAMES[0].data) and (METADATA, np.zeros(2)))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_what_was_there(stored):
    before = stored.read_bytes()

    def fill_the_disk(file):
        file.write(FRAMES[0].data)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RefilmError, match=r"film.h5: no space left .* it has .* are free"):
        write_frames(stored, 64, 48, fill_the_disk)
    assert stored.read_bytes() == before and len(list(stored.parent.iterdir())) == 1


def test_room_is_asked_for_before_work_begins(tmp_path):
    with pytest.raises(RefilmError, match=r"no space left .* needs 1,000,000,000.0 GB"):
        check_space(tmp_path / "film.h5", 10**18)
    check_space(tmp_path / "film.h5", 1)


@pytest.mark.parametrize("content", [b"", b"not HDF5" * 100])
def test_another_file_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "film.h5"
    path.write_bytes(content)
    with pytest.raises(RefilmError, match="not a frames file"):
        FrameStore(path)


def test_a_chunked_file_is_refused(tmp_path):
    with h5py.File(tmp_path / "film.h5", "w") as file:
        file.create_dataset("frames", data=FRAMES, chunks=(1, 48, 64, 3))
        file.attrs["fps"] = "24"
    with pytest.raises(RefilmError, match="not a frames file"):
        FrameStore(tmp_path / "film.h5")
