"""Shared by all tests: films made with ffmpeg, a small recipe, and the commands as a user runs them."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Child processes test this checkout, whichever one is installed.
os.environ["PYTHONPATH"] = f"{ROOT / 'workflow' / 'scripts'}{os.pathsep}{ROOT}"
# The networks of the tests are so small that a second thread costs more than it saves.
os.environ["OMP_NUM_THREADS"] = "1"
# Snakemake gives its steps two. One that waits for the other is not to keep the core busy on which the other would run.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ.pop("PYTHONUNBUFFERED", None)  # it would hide missing flushes at the end of a process
# A shell starts jobs in its background so that they ignore Ctrl-C, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest

from refilm.config.configuration import Config
from refilm.config.recipe import Recipe
from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import write_frames_from
from refilm.media.ffmpeg import executable
from tests.prepared import Server

WITH_TORCH = Server(
    "torch", "torch._dynamo", "h5py", "pandas", "matplotlib.pyplot", "PIL.Image", "safetensors.torch", "jsonschema", "tqdm"
)  # fmt: skip


def ffmpeg(*arguments) -> str:
    """Run the project's ffmpeg; its stderr."""
    command = [executable(), "-hide_banner", "-nostdin", "-y", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def make_film(
    path,
    seconds=2,
    fps="24",
    size="64x48",
    sound=True,
    picture="testsrc2",
    codec=("-c:v", "libx264", "-preset", "ultrafast"),
) -> Path:
    """A film of a test picture that changes with every frame, with a tone."""
    tone = ["-f", "lavfi", "-i", f"sine=440:sample_rate=44100:duration={seconds}"] if sound else []
    source = f"{picture}=size={size}:rate={fps}:duration={seconds}"
    ffmpeg("-f", "lavfi", "-i", source, *tone, "-pix_fmt", "yuv420p", *codec, path)
    return Path(path)


def decoded(path, size: tuple[int, int], filters: str = "null") -> np.ndarray:
    """All frames of a video as ffmpeg decodes them: uint8 (N, H, W, 3)."""
    command = [executable(), "-v", "error", "-i", str(path), "-map", "0:v:0", "-vf", filters, "-fps_mode", "passthrough"]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, size[1], size[0], 3)


def heard(path, rate: int = 8000) -> np.ndarray:
    """The first soundtrack as mono float samples, -1 to 1."""
    command = [executable(), "-v", "error", "-i", str(path), "-map", "0:a:0", "-ac", "1", "-ar", str(rate)]
    raw = subprocess.run([*command, "-f", "s16le", "-"], capture_output=True, check=True).stdout
    return np.frombuffer(raw, "<i2") / 32768


def described(path) -> str:
    """What ffmpeg says of a file."""
    return subprocess.run([executable(), "-hide_banner", "-i", str(path)], capture_output=True, text=True).stderr


def command(module: str, *arguments, cwd=None, environment=None) -> subprocess.CompletedProcess:
    """`python -m refilm.<module>` as the rules run it.

    environment: variables for a process of its own, if only {}. Otherwise it is forked after the import of torch, and the
    hashes of texts, so the order of sets, are those of the other commands.
    """
    if environment is None:
        return WITH_TORCH.run(f"refilm.{module}", *arguments, cwd=cwd)
    words = [sys.executable, "-m", f"refilm.{module}", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=os.environ | environment)


def runs(process: int | str) -> bool:
    """True if the process of that number is there, and not only waiting to be buried; to be asked on Linux."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def refused(done: subprocess.CompletedProcess) -> str:
    """The one line that a failed command ends with; asserts that it is one line and no traceback."""
    assert done.returncode == 1, (done.returncode, done.stderr)
    lines = [line for line in done.stderr.splitlines() if line.startswith("refilm: ")]
    assert len(lines) == 1 and "Traceback" not in done.stderr, done.stderr
    return lines[0]


def config(**sections) -> Config:
    """A checked configuration of one film and one model, with sections replaced or added."""
    raw = {"films": {"bikes": {"source": "films/bikes.mp4"}}, "models": {"bikes": {"films": ["bikes"]}}}
    return Config(raw | sections)


def small_recipe(**values) -> Recipe:
    """A recipe that trains in seconds: the defaults with narrow networks for small frames."""
    default = json.loads(config().recipe("bikes").to_json())
    length = {"epochs": None, "steps": 6} if "epochs" not in values else {"steps": None}
    small = {"frame_size": "64x48", "base_channels": 8, "latent_dim": 16, "batch_size": 4, "precision": "float32"}
    return Recipe.from_json(json.dumps(default | small | length | values))


@pytest.fixture
def film(tmp_path) -> Path:
    """Two seconds of a test picture at 24 frames/s with a tone."""
    return make_film(tmp_path / "film.mp4")


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` fills once in a run of pytest; the other processes of the run wait for it. Not to be changed."""
    folder = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # each worker has one of its own in it
    folder = folder / f"once-{name}"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            shutil.rmtree(folder / "files", ignore_errors=True)
            (folder / "files").mkdir()
            make(folder / "files")
            (folder / "made").touch()
    return folder / "files"


@pytest.fixture(scope="session")
def frames_file(tmp_path_factory) -> Path:
    """The frames of such a film, 64x48."""
    folder = tmp_path_factory.mktemp("frames")
    made = make_film(folder / "film.mp4")
    done = command("extract_frames", f"--source={made}", f"--frames={folder / 'film.h5'}", "--size=64x48")
    assert done.returncode == 0, done.stderr
    return folder / "film.h5"


@pytest.fixture(scope="session")
def grey_model(tmp_path_factory) -> Path:
    """A small autoencoder that has learnt to reconstruct frames of one even grey, 64x48, to within some levels."""
    return made_once(tmp_path_factory, "grey", train_on_greys) / "model.safetensors"


def train_on_greys(folder: Path) -> None:
    levels = np.random.default_rng(0).permutation(np.arange(0, 256, 2)).astype(np.uint8)
    frames = np.ones((len(levels), 48, 64, 3), np.uint8) * levels[:, None, None, None]
    write_frames_from(folder / "grey.h5", 64, 48, FrameMetadata(Fraction(24)), [frames])
    recipe = small_recipe(recipe="autoencoder", steps=300, batch_size=16, learning_rate=0.002)
    words = ("--frames", folder / "grey.h5", f"--recipe={recipe.to_json()}", f"--model={folder / 'model.safetensors'}")
    done = command("train_model", *words)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def real_films() -> Path:
    """The folder of real films that REFILM_TEST_FILMS names. Skips the test if there is none."""
    folder = os.environ.get("REFILM_TEST_FILMS")
    if not folder:
        pytest.skip("REFILM_TEST_FILMS is not set")
    return Path(folder)


@pytest.fixture(scope="session")
def hard_cases(real_films) -> Path:
    """The folder of difficult films beside that of the real ones. Skips the test if there is none."""
    return _beside(real_films, "hardcases")


@pytest.fixture(scope="session")
def field_cases(real_films) -> Path:
    """The folder of numbered films of kinds that users reported, beside the real ones. Skips the test if there is none."""
    return _beside(real_films, "fieldcases")


def _beside(films: Path, name: str) -> Path:
    folder = films.parent / name
    if not folder.is_dir():
        pytest.skip(f"{folder} does not exist")
    return folder
