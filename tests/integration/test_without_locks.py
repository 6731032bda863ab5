"""A file system without locks, as some network mounts are: the system call that locks a file says so."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import command, make_film, refused

SOURCE = "#include <errno.h>\nint flock(int file, int operation) { errno = ENOLCK; return -1; }\n"


@pytest.fixture(scope="module")
def without_locks(tmp_path_factory) -> dict[str, str]:
    """The environment in which no file can be locked."""
    compiler, folder = shutil.which("gcc") or shutil.which("cc"), tmp_path_factory.mktemp("locks")
    if compiler is None or not Path("/proc").is_dir():
        pytest.skip("needs a C compiler and Linux")
    (folder / "locks.c").write_text(SOURCE)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "locks.so", folder / "locks.c"], check=True)
    return {"LD_PRELOAD": str(folder / "locks.so")}


def test_frames_and_latents_need_no_locks(tmp_path, without_locks, grey_model):
    film, frames, latents = make_film(tmp_path / "film.mp4"), tmp_path / "film.h5", tmp_path / "latents.h5"
    for name, *words in (
        ("extract_frames", f"--source={film}", f"--frames={frames}", "--size=64x48"),
        ("encode_film", f"--frames={frames}", f"--model={grey_model}", f"--latents={latents}", "--device=cpu"),
        ("render_video", f"--latents={latents}", f"--model={grey_model}", f"--video={tmp_path / 'x.mp4'}", "--device=cpu"),
    ):
        done = command(name, *words, environment=without_locks)
        assert done.returncode == 0, done.stderr


def test_where_hdf5_must_lock_one_line_has_both_cures(tmp_path, without_locks, frames_file, grey_model):
    words = (f"--frames={frames_file}", f"--model={grey_model}", f"--latents={tmp_path / 'latents.h5'}", "--device=cpu")
    done = command("encode_film", *words, environment=without_locks | {"HDF5_USE_FILE_LOCKING": "TRUE"})
    line = refused(done)
    assert "HDF5_USE_FILE_LOCKING=FALSE" in line and "put results/ on another file system" in line and "delete" not in line
