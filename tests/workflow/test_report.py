"""`snakemake --report report.zip`: its films play, its pictures, curves and tables are there, whatever is missing."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import pytest
from PIL import Image

from tests.conftest import described, make_film
from tests.workflow.test_plan import refusal, snakemake

CONFIG = {
    "films": {"one": {"source": "films/one.mp4", "title": "One & Only"}},
    "models": {"one": {"films": ["one"]}, "never-trained": {"films": ["one"], "recipe": "vae"}},
    "training": {"frame_size": "64x48", "base_channels": 8, "latent_dim": 16, "batch_size": 4, "steps": 6},
    "reconstructions": ["one_by_one", "one_by_never-trained"],
    "comparisons": {"beside": {"film": "one", "models": ["one"]}},
    "posters": {"wall": {"film": "one", "model": "one"}},
    "device": "cpu",
}
FILMS = (
    "results/one_by_one.mp4",
    "results/comparisons/beside.mp4",
    "results/models/one/training.mp4",
    "results/samples/one.mp4",
)
PICTURES = (
    "results/stills/one_by_one.png",
    "results/stills/one_crop.png",
    "results/models/one/training.png",
    "results/samples/one.png",
    "results/stills/one_by_one_best.png",
    "results/stills/one_by_one@00-00-01.5.png",
    "results/clips/one_by_one@00-00-00_to_00-00-01.gif",
    "results/posters/wall.png",
    "results/posters/gone.png",
)
TABLES = {
    "results/metrics/one_by_one.csv": "frame,seconds,psnr,film_motion\n0,0.0,20.5,\n1,0.5,22.5,7.25\n",
    "results/shots/one.csv": "shot,start,motion\n1,0.0,2.5\n2,1.5,\n",
    "results/models/one/training.csv": "step,psnr\n20,11.5\n40,18.25\n60,1.5e",
}
CATEGORIES = {
    "Reconstructions": 1, "Comparisons": 1, "Stills": 2, "Sheets of shots": 1, "Moments": 1, "Animations": 1, "Posters": 1,
    "Metrics": 1, "Shots": 1, "Trainings": 1, "Samples": 2,
}  # fmt: skip


class Sources(HTMLParser):
    """The files that a page shows or offers, by tag."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found += [(tag, value) for name, value in attrs if name in ("src", "href")]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with results of the model `one`, and none of the other; a training that still runs has no model file."""
    folder = tmp_path_factory.mktemp("report")
    for name in ("films/one.mp4", *FILMS, *PICTURES, *TABLES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(("films/one.mp4", *FILMS)):
        make_film(folder / name, seconds=1 + number / 4)
    for name in PICTURES:
        Image.new("RGB", (8, 8)).save(folder / name)
    for name, text in TABLES.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def copied(made, tmp_path) -> Path:
    subprocess.run(["cp", "-a", f"{made}/.", str(tmp_path)], check=True)
    return tmp_path


def report(folder: Path, config: dict = CONFIG) -> tuple[ZipFile, dict, dict]:
    """The zip, its entries, and its categories, as the scripts of report.html read them."""
    done = snakemake(folder, "--report", "report.zip", config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    archive = ZipFile(folder / "report.zip")
    page = archive.read("report/report.html").decode()
    return archive, *(json.loads(re.search(rf"var {name} = (\{{.*\}});\n", page)[1]) for name in ("results", "categories"))


def pages(archive: ZipFile) -> dict[str, list[tuple[str, PurePosixPath]]]:
    """Of each page in the zip: tags and the paths in the zip that they refer to."""
    names = [name for name in archive.namelist() if name.endswith("index.html")]
    return {
        name: [(tag, PurePosixPath(name).parent / source) for tag, source in Sources(archive.read(name).decode()).found]
        for name in names
    }


def test_films_play_and_everything_is_in_a_category_with_a_caption(made, tmp_path):
    archive, results, categories = report(made)
    counts = {name: sum(len(entries) for entries in parts.values()) for name, parts in categories.items()}
    assert counts == CATEGORIES
    assert all(entry["caption"] and entry["labels"] for entry in results.values())
    assert all(f"report/{entry['data_uri']}" in archive.namelist() for entry in results.values())
    # The viewer shows pictures and pages; anything else is a download.
    assert {entry["mime_type"] for entry in results.values()} == {"image/png", "text/html"}
    films = [path for shown in pages(archive).values() for tag, path in shown if tag == "video"]
    assert len(films) == len(set(films)) == 4
    for film in films:
        archive.extract(str(film), tmp_path)
        assert "Video: h264" in described(tmp_path / film)
    played = {(tmp_path / film).read_bytes() for film in films}
    assert played == {(made / name).read_bytes() for name in FILMS}


def test_curves_and_tables_are_on_pages(made):
    archive, _, _ = report(made)
    (training,) = [name for name, shown in pages(archive).items() if any(path.name == "training.png" for _, path in shown)]
    assert {(tag, path.name) for tag, path in pages(archive)[training]} == {
        ("img", "training.png"), ("video", "training.mp4"), ("a", "training.csv"),
    }  # fmt: skip
    assert all(str(path) in archive.namelist() for shown in pages(archive).values() for _, path in shown)
    (metrics,) = [name for name, shown in pages(archive).items() if any(path.name == "one_by_one.csv" for _, path in shown)]
    text = archive.read(metrics).decode()
    assert "<h1>One &amp; Only by One &amp; Only (one)</h1>" in text
    assert "<td>psnr</td><td>21.5</td><td>20.5</td><td>22.5</td><td>22.5</td>" in text
    assert "<td>film_motion</td><td>7.25</td><td>7.25</td><td>7.25</td><td>7.25</td>" in text  # the first frame has none


def test_a_report_makes_nothing_and_copies_no_film(made):
    before = {path: path.stat().st_mtime_ns for path in (made / "results").rglob("*")}
    report(made)
    assert {path: path.stat().st_mtime_ns for path in (made / "results").rglob("*")} == before
    assert all(path.is_symlink() for path in (made / ".snakemake/refilm-report").rglob("*.mp4"))


def test_what_was_deleted_does_not_prevent_a_report(copied):
    shutil.rmtree(copied / "films")
    shutil.rmtree(copied / "results/comparisons")
    (copied / "results/models/one/training.mp4").unlink()
    _, _, categories = report(copied)
    assert set(categories) == set(CATEGORIES) - {"Comparisons"}


def test_what_is_not_configured_any_more_is_left_out(copied):
    _, _, categories = report(copied, CONFIG | {"comparisons": {}})
    assert set(categories) == set(CATEGORIES) - {"Comparisons"}


def test_without_results_or_with_a_target_the_report_is_refused(made, tmp_path):
    assert "there are no results yet" in refusal(tmp_path, "--report", "report.zip", config=CONFIG)
    for target in (FILMS[0], "demo"):
        line = refusal(made, target, "--report", "report.zip", config=CONFIG)
        assert line.startswith(f"refilm: {target}: a report shows all results that are there")
    assert "run snakemake without it" in refusal(made, "--report-after-run", "--report", "report.zip", config=CONFIG)
