"""What each result says of its making; the same work makes the same bytes; a replaced film is noticed in the plan."""

import copy
import json
import os
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from refilm import __version__, layout
from tests.conftest import ROOT, command, make_film
from tests.helpers import done, provenance_of, sha256_of
from tests.workflow.test_chain import CONFIG, TARGETS
from tests.workflow.test_plan import plan, refusal, snakemake

TRAINED_ON = {"one": ["one"], "both": ["one", "two"]}
SOURCES = {"one": "films/one film.mp4", "two": "films/two.mkv"}
# result -> the film that it shows, its models, and the command that wrote it
RESULTS = {
    "results/frames/64x48/two.h5": ("two", [], "extract_frames"),
    "results/latents/two_by_both.h5": ("two", ["both"], "encode_film"),
    "results/two_by_one.mp4": ("two", ["one"], "render_video"),
    "results/one_by_one.mp4": ("one", ["one"], "render_video"),
    "results/stills/two_by_one.png": ("two", ["one"], "render_stills"),
    "results/gallery/films/64x48/two.mp4": ("two", ["one"], "render_composite"),
    "results/comparisons/side-by-side.mp4": ("two", ["one", "both"], "render_comparison"),
    "results/exports/wall.mp4": ("two", ["one"], "render_export"),
    "results/bent/turned.mp4": ("two", ["one"], "render_bend"),
    "results/posters/page.png": ("two", ["one"], "render_poster"),
    "results/stills/two_by_one@00-00-00.5.png": ("two", ["one"], "render_moment"),
    "results/models/one/network.html": ("one", ["one"], "render_network"),
    "results/findings/one.html": (None, ["one"], "render_findings"),
    "results/samples/both.png": (None, ["both"], "render_samples"),
    "results/samples/one.mp4": (None, ["one"], "render_drift"),
    "results/models/one/training.mp4": (None, ["one"], "render_training"),
    "results/models/both/training.png": (None, ["both"], "train_model"),
    "results/models/both/model.safetensors": (None, ["both"], "train_model"),
    "results/models/one/previews/step-000000006.png": (None, ["one"], "train_model"),
}
BESIDE = {
    "results/metrics/two_by_one.csv": "results/latents/two_by_one.h5",
    "results/shots/two.csv": "results/frames/64x48/two.h5",
    "results/models/both/training.csv": "results/models/both/training.png",
}
REPEATED = (
    "results/one_by_one.mp4", "results/metrics/two_by_one.csv", "results/stills/two_by_one.png", "results/shots/two.csv",
)  # fmt: skip


@pytest.fixture(scope="module")
def commit() -> str | None:
    """The first digits of the commit of this checkout; None where it is no repository."""
    found = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short=7", "HEAD"], capture_output=True, text=True)
    return found.stdout.strip() or None


@pytest.mark.parametrize("result", RESULTS)
def test_each_result_says_what_made_it(made, commit, result):
    film, models, written_by = RESULTS[result]
    found = provenance_of(made / result)
    software = [found["made_by"], *(model["made_by"] for model in found["models"])]
    assert all(commit is None if by["commit"] is None else commit in by["commit"] for by in software)
    assert found["made_by"]["command"] == written_by and all(by["refilm"] == __version__ for by in software)
    assert [model["name"] for model in found["models"]] == models
    if film:
        check_film(made, found["film"], film)
        assert [(latents["model"].split("/")[0], latents["noise"]) for latents in found["latents"]] == [
            (m, 0) for m in models
        ]
    else:
        assert found["film"] is None and found["latents"] == []
    for model in found["models"]:
        recipe = json.loads((made / f"results/models/{model['name']}/recipe.json").read_text())
        assert model["recipe"] == recipe and model["steps"] == 6 and model["made_by"]["torch"] == version("torch")
        for trained_on, name in zip(model["films"], TRAINED_ON[model["name"]], strict=True):
            check_film(made, trained_on, name)


def check_film(folder: Path, record: dict, film: str) -> None:
    file = folder / SOURCES[film]
    assert (record["name"], record["source"]) == (film, SOURCES[film])
    assert (record["sha256"], record["bytes"]) == (sha256_of(file), file.stat().st_size)
    assert (record["size"], record["settings"]["fit"]) == ("64x48", "crop") and "scale=64:48" in record["filter"]
    assert record["crop"] == {"one": "96:72:0:0", "two": "48:36:8:0"}[film] and record["made_by"]["ffmpeg"]


def test_every_file_of_these_formats_has_it(made):
    """Also those that the table above does not name."""
    formats = (".mp4", ".png", ".h5", ".safetensors")
    files = [file for file in (made / "results").rglob("*") if file.suffix in formats and layout.STATE not in file.parts]
    files = [file for file in files if file.parents[2].name != "exports"]  # an image of a folder, in which a file has it
    assert len(files) > 25
    for file in files:
        assert provenance_of(file)["made_by"]["refilm"] == __version__, file


def test_the_command_prints_it(made):
    results = [*RESULTS, *BESIDE]
    printed = done(command("provenance", "--json", *results, cwd=made)).splitlines()
    assert [json.loads(line) for line in printed] == [provenance_of(made / BESIDE.get(result, result)) for result in results]
    text = done(command("provenance", *results, cwd=made))
    for result in results:
        beside = f" (no metadata in a CSV file: this is that of {BESIDE[result]})" if result in BESIDE else ""
        assert f"{result}{beside}\n  made by " in text
    assert f"sha256 {sha256_of(made / 'films/two.mkv')}" in text and "larsen2015, 6 steps" in text


def test_the_same_work_makes_the_same_files(made, tmp_path):
    """In another folder, of films with other times. training.csv and training.png have the seconds that it took."""
    shutil.copytree(made / "films", tmp_path / "films", copy_function=shutil.copyfile)
    finished = snakemake(tmp_path, *REPEATED, config=CONFIG)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    again = [file.relative_to(tmp_path) for file in (tmp_path / "results").rglob("*.*") if file.is_file()]
    compared = [
        file for file in again if file.stem != "training" and file.suffix != ".json" and "-steps.csv" not in file.name
    ]
    assert {".h5", ".mp4", ".png", ".csv", ".safetensors"} == {file.suffix for file in compared} and len(compared) > 12
    different = [str(file) for file in compared if (made / file).read_bytes() != (tmp_path / file).read_bytes()]
    assert different == []


# --- a film that is not the one that frames were made of


def same_size(folder: Path) -> None:
    file = folder / SOURCES["two"]
    file.write_bytes(bytes(reversed(file.read_bytes())))


def another_size(folder: Path) -> None:
    make_film(folder / SOURCES["two"], seconds=1, picture="smptebars")


@pytest.mark.parametrize(("edit", "what"), [(same_size, "sha256"), (another_size, "size")])
def test_a_replaced_film_is_refused_in_the_plan(copied, edit, what):
    """Where it would be read, or frames of it used; models that were trained on it are kept, and other films made."""
    edit(copied)
    for target in TARGETS[:2]:
        line = refusal(copied, target, config=CONFIG)
        assert re.search(
            f"'two': films/two.mkv is not the file that results/frames/64x48/two.h5 was made of .its {what} is", line
        )
    others = ("results/models/both/model.safetensors", "results/samples/both.png", "results/one_by_one.mp4")
    assert plan(copied, *others, config=CONFIG) == {}


def test_what_the_line_says_can_be_done(copied):
    another_size(copied)
    renamed = copy.deepcopy(CONFIG)
    renamed["films"] |= {"three": {"source": "films/three.mkv"}}
    (copied / "films/two.mkv").rename(copied / "films/three.mkv")
    targets = ("results/two_by_one.mp4", "results/three_by_one.mp4")
    jobs = {"extract_frames": 1, "encode_film": 1, "render_video": 1}
    assert plan(copied, targets[1], config=renamed) == jobs
    (copied / "films/three.mkv").rename(copied / "films/two.mkv")
    for file in list((copied / "results").rglob("*two*")):
        file.unlink()
    assert plan(copied, targets[0], config=CONFIG) == jobs


def test_without_its_frames_a_replaced_film_is_encoded_again(copied):
    another_size(copied)
    for name in ("frames/64x48/two.h5", "stills/two_by_one.png"):
        (copied / "results" / name).unlink()
    jobs = {"extract_frames": 1, "encode_film": 1, "render_stills": 1}
    assert plan(copied, "results/stills/two_by_one.png", config=CONFIG) == jobs


def test_a_film_that_was_touched_or_copied_is_the_same(copied):
    film = copied / SOURCES["two"]
    os.utime(film, (1e9, 1e9))
    assert plan(copied, *TARGETS, config=CONFIG) == {}
    assert json.loads((copied / "results/frames/films/two.json").read_text())["mtime_ns"] == film.stat().st_mtime_ns
    shutil.copyfile(film, film.with_name("copy"))
    film.with_name("copy").replace(film)
    shutil.rmtree(copied / "results/frames/films")
    assert plan(copied, *TARGETS, config=CONFIG) == {}
