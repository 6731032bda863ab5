"""Results that are shared between projects with --cache: frames, which take hours, and models, which take days."""

from pathlib import Path

from PIL import Image
from safetensors.torch import load_file

from refilm.frames.store import FrameStore
from tests.conftest import make_film
from tests.workflow.test_plan import snakemake

CONFIG = {
    "films": {"one": {"source": "films/one.mkv"}, "two": {"source": "films/two", "fps": 12}},
    "models": {"one": {"films": ["one"]}},
    "training": {"frame_size": "64x48", "base_channels": 8, "latent_dim": 16, "batch_size": 4, "steps": 6},
    "device": "cpu",
}
SMALL, LARGE, IMAGES = (f"results/frames/{frames}.h5" for frames in ("32x32/one", "64x48/one", "64x48/two"))
MODEL = "results/models/one/model.safetensors"
FILM_OF_TRAINING = "results/models/one/training.mp4"


def project(folder: Path, film: bytes) -> Path:
    """A folder with this film and three images."""
    (folder / "films" / "two").mkdir(parents=True)
    (folder / "films" / "one.mkv").write_bytes(film)
    for number in range(3):
        Image.new("RGB", (64, 48), (number * 20, 0, 0)).save(folder / "films" / "two" / f"{number}.png")
    return folder


def made(folder: Path, *targets: str) -> set[str]:
    """The rules of which a step ran, to make these with --cache."""
    done = snakemake(folder, *targets, "--cache", config=CONFIG)
    assert done.returncode == 0, done.stdout + done.stderr
    return {file.relative_to(folder / "logs").parts[0] for file in (folder / "logs").rglob("*.log") if file.stat().st_size}


def weights(folder: Path) -> dict[str, list]:
    return {name: tensor.tolist() for name, tensor in load_file(folder / MODEL).items()}


def sizes(folder: Path) -> list[tuple[int, int, int]]:
    found = []
    for frames in (SMALL, LARGE, IMAGES):
        with FrameStore(folder / frames) as store:
            found.append((store.width, store.height, len(store)))
    return found


def test_another_project_extracts_nothing_and_trains_nothing(tmp_path, monkeypatch):
    film = make_film(tmp_path / "film.mkv", seconds=1).read_bytes()
    other = make_film(tmp_path / "other.mkv", seconds=1, fps="12").read_bytes()
    (tmp_path / "cache").mkdir()
    monkeypatch.setenv("SNAKEMAKE_OUTPUT_CACHE", str(tmp_path / "cache"))
    first, second, third = (
        project(tmp_path / name, film if name != "third" else other) for name in ("first", "second", "third")
    )
    targets = (SMALL, LARGE, IMAGES, MODEL)
    assert made(first, *targets) == {"extract_frames", "extract_images", "train_model"}
    assert made(second, *targets) == set()
    assert sizes(second) == sizes(first) == [(32, 32, 24), (64, 48, 24), (64, 48, 3)]
    assert (second / MODEL).read_bytes() == (first / MODEL).read_bytes()
    assert not any(path.is_symlink() for path in (tmp_path / "cache").iterdir())
    assert made(third, LARGE, IMAGES) == {"extract_frames"}  # of another film


def test_a_cached_model_can_be_prolonged_and_shown_in_another_project(tmp_path, monkeypatch):
    """Its checkpoint, log and previews come along: the weights are those of a training that was prolonged in one project."""
    film = make_film(tmp_path / "film.mkv", seconds=1).read_bytes()
    (tmp_path / "cache").mkdir()
    first, second, alone = (project(tmp_path / name, film) for name in ("first", "second", "alone"))
    longer = CONFIG | {"training": CONFIG["training"] | {"steps": 12}}
    assert [snakemake(alone, MODEL, config=config).returncode for config in (CONFIG, longer)] == [0, 0]
    monkeypatch.setenv("SNAKEMAKE_OUTPUT_CACHE", str(tmp_path / "cache"))
    made(first, MODEL)
    assert made(second, FILM_OF_TRAINING) == {"render_training"}
    assert len(list((second / "results/models/one/previews").glob("step-*.png"))) == 6
    done = snakemake(second, MODEL, "--cache", config=longer)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "continues after step 6 of 12" in done.stdout + done.stderr
    assert weights(second) == weights(alone)
    rows = (second / "results/models/one/training.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["6", "12"]


def test_without_the_option_nothing_is_shared_or_mentioned(tmp_path, monkeypatch):
    (tmp_path / "cache").mkdir()
    monkeypatch.setenv("SNAKEMAKE_OUTPUT_CACHE", str(tmp_path / "cache"))
    folder = project(tmp_path / "project", b"")
    done = snakemake(folder, IMAGES, config=CONFIG)
    output = (done.stdout + done.stderr).replace(str(tmp_path), "")
    assert done.returncode == 0 and "caching" not in output and "cache" not in output
    assert not (folder / IMAGES).is_symlink() and not list((tmp_path / "cache").iterdir())
