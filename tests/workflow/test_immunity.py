"""Everything is built once; then each edit is planned. A harmless one makes nothing again, another one what depends on it.

The project is a copy of this checkout with its results in it, as a user's is: code and rules can be edited too.
"""

import copy
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.workflow.conftest import copy_all
from tests.workflow.test_chain import CONFIG
from tests.workflow.test_chain import TARGETS as CHAIN
from tests.workflow.test_plan import planned, refused, run_snakemake

TARGETS = (*CHAIN, "results/stills/two_crop.png")
NOTHING: dict[str, int] = {}


@dataclass
class Project:
    """A checkout with films, a configuration, and what was made of them; with what a plan of it is asked."""

    folder: Path
    config: dict = field(default_factory=lambda: copy.deepcopy(CONFIG))
    comment: str = ""
    words: list[str] = field(default_factory=list)
    targets: tuple[str, ...] = TARGETS

    def run(self, *words: str) -> subprocess.CompletedProcess:
        (self.folder / "config/config.yaml").write_text(yaml.safe_dump(self.config, sort_keys=False) + self.comment)
        return run_snakemake(self.folder, "--cores", "2", *words, *self.words)

    def plan(self) -> dict[str, int]:
        """How many jobs of each rule would run, without `all`."""
        return {rule: count for rule, count in planned(self.run("-n", *self.targets)).items() if rule != "all"}

    def refusal(self) -> str:
        """The one line of a plan that is refused."""
        return refused(self.run("-n", *self.targets))

    def file(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture(scope="module")
def built(made, tmp_path_factory) -> Path:
    """The folder of a project in which all targets were made, most of them by another checkout."""
    folder = tmp_path_factory.mktemp("built")
    copy_all(made, folder)
    for name in ("workflow", "profiles", "config", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    shutil.copy(ROOT / "Snakefile", folder)
    done = Project(folder).run(*TARGETS)
    assert planned(done) == {"preview_crop": 1}, done.stdout + done.stderr
    return folder


@pytest.fixture
def project(built, tmp_path) -> Project:
    """A copy of it, times and all, to edit."""
    (tmp_path / "project").mkdir()
    copy_all(built, tmp_path / "project")
    return Project(tmp_path / "project")


def touched(pattern: str) -> Callable[[Project], None]:
    """An edit: files of a pattern become newer than everything."""

    def edit(project: Project) -> None:
        later, files = time.time() + 5, list(project.folder.glob(pattern))
        for file in files:
            os.utime(file, (later, later))
        assert files

    return edit


def deleted(name: str) -> Callable[[Project], None]:
    """An edit: a file or a folder is deleted."""

    def edit(project: Project) -> None:
        file = project.file(name)
        shutil.rmtree(file) if file.is_dir() else file.unlink()

    return edit


def keys(**values) -> Callable[[Project], None]:
    """An edit of the configuration: `films__one__title="…"` sets films.one.title."""

    def edit(project: Project) -> None:
        for path, value in values.items():
            *sections, key = path.split("__")
            place = project.config
            for section in sections:
                place = place.setdefault(section, {})
            place[key] = value

    return edit


def replaced(name: str, old: str, new: str) -> Callable[[Project], None]:
    """An edit of the text of a file."""

    def edit(project: Project) -> None:
        text = project.file(name).read_text()
        assert old in text
        project.file(name).write_text(text.replace(old, new))

    return edit


def moved_project(project: Project) -> None:
    project.folder = project.folder.rename(project.folder.with_name("moved"))


def copied(project: Project, without: str = "nothing") -> None:
    """Copied file by file in the reverse order of their making, each with the time of its copy."""
    there = project.folder.with_name("copied")
    files = [file for file in project.folder.rglob("*") if without not in file.parts and not file.is_dir()]
    for number, file in enumerate(sorted(files, key=lambda file: file.lstat().st_mtime, reverse=True)):
        target = there / file.relative_to(project.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target, follow_symlinks=False)
        os.utime(target, (1e9 + number, 1e9 + number), follow_symlinks=False)
    project.folder = there


def copied_alone(project: Project) -> None:
    copied(project, without=".snakemake")


def reordered_keys(project: Project) -> None:
    project.config = dict(reversed(project.config.items()))
    project.config["training"] = dict(reversed(project.config["training"].items()))


def commented(project: Project) -> None:
    project.comment = "\n# a remark\n"


def renamed_film(project: Project) -> None:
    project.file("films/one film.mp4").rename(project.file("films/elsewhere.mp4"))
    project.config["films"]["one"]["source"] = "films/elsewhere.mp4"


def renamed_model(project: Project) -> None:
    project.file("results/models/one").rename(project.file("results/models/first"))
    project.config["models"]["first"] = project.config["models"].pop("one")
    project.config |= {"reconstructions": [], "comparisons": {}, "exports": {}, "posters": {}, "walks": {}, "bends": {}}
    project.targets = ("results/models/first/model.safetensors", "results/models/first/training.mp4")


def words(*options: str) -> Callable[[Project], None]:
    def edit(project: Project) -> None:
        project.words += options

    return edit


def film_deleted(project: Project) -> None:
    project.file("films/one film.mp4").unlink()


def all_films_deleted(project: Project) -> None:
    """The preview of the crop cannot be made again then: to ask for it by name is refused."""
    shutil.rmtree(project.file("films"))
    project.targets = tuple(target for target in TARGETS if "crop" not in target)


PICTURES = {"render_ordered_stills": 1, "render_moment": 1, "render_clip": 1}
EXPORTS = {"render_export": 1, "render_export_folder": 1, "render_poster": 1}
WALKS = {"render_walk": 1, "render_walk_thumbnail": 1}
BENDS = {"render_bend": 1, "render_bend_thumbnail": 1}
GALLERY = {"render_composite": 2, "render_thumbnail": 2, "gather_measures": 2, "render_gallery": 1}
PAGES = {"render_network": 1, "render_findings": 1}
OF_MODEL_ONE = {"encode_film": 2, "render_video": 2, "render_stills": 2, "measure_film": 2, "render_comparison": 1}
OF_MODEL_ONE |= PICTURES | EXPORTS | GALLERY | WALKS | BENDS | PAGES
BESIDE_MODEL_ONE = {"train_model": 1, "render_training": 1, "render_drift": 1}
OF_BOTH = {"train_model": 1, "encode_film": 1, "render_comparison": 1, "render_samples": 1}

EDITS: dict[str, tuple[Callable[[Project], None], dict[str, int]]] = {
    "as built": (lambda project: None, NOTHING),
    "project moved": (moved_project, NOTHING),
    "copied without times": (copied, NOTHING),
    "copied without times and without .snakemake": (copied_alone, NOTHING),
    "another film": (keys(films__third={"source": "films/third.mkv"}), NOTHING),
    "another model": (keys(models__third={"films": ["two"]}), NOTHING),
    "keys in another order": (reordered_keys, NOTHING),
    "comments": (commented, NOTHING),
    "a default written out": (keys(training__learning_rate=0.0005, training__noise=1.0), NOTHING),
    "the same number in another form": (keys(training__batch_size=4.0, films__two__end="00:00:01"), NOTHING),
    "a key without effect": (keys(models__both__gamma=7), NOTHING),
    "device": (keys(device="auto"), NOTHING),
    "compile": (keys(compile=True), NOTHING),
    "hwaccel": (keys(hwaccel="auto"), NOTHING),
    "tensorboard": (keys(tensorboard=True), NOTHING),
    "films touched": (touched("films/*"), NOTHING),
    "frames touched": (touched("results/frames/*/*.h5"), NOTHING),
    "models touched": (touched("results/models/*/trained/*"), NOTHING),
    "latents touched": (touched("results/latents/*"), NOTHING),
    "code touched": (touched("workflow/scripts/refilm/*.py"), NOTHING),
    "code edited": (replaced("workflow/scripts/refilm/encode_film.py", "def main", "X = 1\n\n\ndef main"), NOTHING),
    "the shell of a rule edited": (replaced("workflow/rules/reconstruct.smk", '"encode_film"', '"encode_film "'), NOTHING),
    "committed and checked out": (touched("**/*.smk"), NOTHING),
    "a film renamed, with its source": (renamed_film, NOTHING),
    "a model renamed, with its folder": (renamed_model, NOTHING),
    "frames deleted": (deleted("results/frames"), NOTHING),
    "state deleted": (deleted("results/models/one/state"), NOTHING),
    "latents deleted": (deleted("results/latents"), NOTHING),
    "logs deleted": (deleted("logs"), NOTHING),
    ".snakemake deleted": (deleted(".snakemake"), NOTHING),
    "the link to a model deleted": (deleted("results/models/one/model.safetensors"), NOTHING),
    "a film deleted": (film_deleted, NOTHING),
    "all films deleted": (all_films_deleted, NOTHING),
    "other cores": (words("--cores", "1"), NOTHING),
    "other threads": (words("--set-threads", "train_model=1"), NOTHING),
    "learning rate of a model": (keys(models__one__learning_rate=0.002), OF_MODEL_ONE | BESIDE_MODEL_ONE),
    "learning rate of the other": (keys(models__both__learning_rate=0.002), OF_BOTH),
    "length of a model": (keys(models__one__steps=8), OF_MODEL_ONE | BESIDE_MODEL_ONE),
    "part of a film": (
        keys(films__two__end=0.8),
        {
            "extract_frames": 1, "train_model": 1, "encode_film": 2, "render_video": 1, "render_stills": 1,
            "measure_film": 1, "render_comparison": 1, "render_samples": 1, "preview_crop": 1, "list_shots": 1,
            "render_composite": 1, "render_thumbnail": 1, "gather_measures": 1, "render_gallery": 1, "render_export": 1,
            "render_poster": 1, "render_findings": 1, **PICTURES, **WALKS, **BENDS,
        },
    ),
    "noise": (
        keys(reconstruction__noise=1),
        OF_MODEL_ONE | {"encode_film": 3},
    ),
    "latent search": (
        keys(reconstruction__search=1),
        OF_MODEL_ONE | {"encode_film": 3},
    ),
    "latent search switched off": (keys(reconstruction__search=0), NOTHING),
    "order of a model's films": (keys(models__both__films=["two", "one"]), {"render_comparison": 1, "render_samples": 1}),
    "title of a film": (
        keys(films__one__title="Another"),  # it is in the titles of the models, too
        {"render_stills": 2, "render_comparison": 1, "render_training": 1, "render_samples": 1, "render_poster": 1,
         "render_gallery": 1} | PICTURES | PAGES,
    ),
    "title of another film": (
        keys(films__two__title="Another"),
        {"render_stills": 1, "render_comparison": 1, "render_samples": 1, "preview_crop": 1, "render_poster": 1,
         "render_gallery": 1, "render_findings": 1} | PICTURES,
    ),
    "another comparison": (keys(comparisons__again={"film": "two", "models": ["both"]}), {"render_comparison": 1}),
    "a comparison of what is not encoded": (
        keys(comparisons__again={"film": "one", "models": ["both"]}),
        {"render_comparison": 1, "encode_film": 1},
    ),
    "quality of video": (
        keys(video__crf=30),
        {"render_video": 2, "render_comparison": 1, "render_training": 1, "render_drift": 1, "render_export": 1,
         "render_walk": 1, "render_bend": 1},
    ),
    "soundtrack": (keys(films__one__audio="none"), {"render_video": 1, "render_export_folder": 1, "render_composite": 1}),
    "codec of an export": (keys(exports__wall__codec="hevc"), {"render_export": 1}),
    "height of an export": (keys(exports__strips__height=96), {"render_export_folder": 1}),
    "another export": (keys(exports__new={"film": "one", "model": "one"}), {"render_export": 1}),
    "page of a poster": (keys(posters__page__dpi=150), {"render_poster": 1}),
    "pace of a walk": (keys(walks__both__speed=1), WALKS),
    "title of a walk": (keys(walks__both__title="Both"), {"render_gallery": 1}),
    "seed of a bend": (keys(bends__turned__seed=1), BENDS),
    "another walk": (
        keys(walks__back={"model": "one", "film": "two", "loop": "return"}),
        {"render_walk": 1, "render_walk_thumbnail": 1, "render_gallery": 1},
    ),
    "no chapters": (keys(video__chapters="none"), {"render_video": 2}),
    "chapters of shots": (keys(video__chapters="shots"), {"list_shots": 1, "render_video": 2}),
    "chapters of the film": (keys(video__chapters="film"), NOTHING),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_plans_what_depends_on_it_and_nothing_else(project, name):
    edit, expected = EDITS[name]
    edit(project)
    assert project.plan() == expected


def model_of(project: Project) -> bytes:
    return project.file("results/models/one/model.safetensors").read_bytes()


def test_a_shorter_length_is_refused_before_anything_is_deleted(project):
    before = model_of(project)
    keys(models__one__steps=4)(project)
    assert "was trained for 6 steps, and its recipe now has 4" in project.refusal()
    assert project.run("results/models/one/model.safetensors").returncode != 0
    assert model_of(project) == before


@pytest.mark.parametrize("force", [("-R", "train_model"), ("--forceall",)])
@pytest.mark.parametrize("gone", [("state", "frames"), ()])
def test_forced_a_model_is_linked_again(project, force, gone):
    """Also without state, frames and films: a model is not trained twice."""
    before, log = model_of(project), project.file("results/models/one/training.csv").read_bytes()
    for folder in ("results/models/one/state", "results/frames", "films") if gone else ():
        shutil.rmtree(project.file(folder))
    done = project.run("results/models/one/model.safetensors", *force)
    assert done.returncode == 0 and "trained before" in done.stdout + done.stderr, done.stderr
    assert model_of(project) == before and project.file("results/models/one/training.csv").read_bytes() == log


def test_edited_trained_and_edited_back_it_is_the_old_model(project):
    """The other training is kept as well; the film of the training is of the one that is configured."""
    before, video = model_of(project), project.file("results/one_by_one.mp4").read_bytes()
    log = project.file("results/models/one/training.csv").read_bytes()
    previews = sorted(file.name for file in project.file("results/models/one/previews").glob("*.png"))
    project.targets = ("results/models/one/model.safetensors",)
    keys(models__one__learning_rate=0.002)(project)
    assert project.run(*project.targets).returncode == 0 and model_of(project) != before
    other = model_of(project)
    project.config = copy.deepcopy(CONFIG)
    shutil.rmtree(project.file("results/frames"))
    done = project.run(*project.targets)
    assert done.returncode == 0 and "trained before" in done.stdout + done.stderr and model_of(project) == before
    assert project.file("results/models/one/training.csv").read_bytes() == log
    assert sorted(file.name for file in project.file("results/models/one/previews").glob("*.png")) == previews
    assert project.file("results/one_by_one.mp4").read_bytes() == video
    kept = sorted(file.read_bytes() for file in project.file("results/models/one/trained").glob("*.safetensors"))
    assert kept == sorted([before, other])
    project.targets = TARGETS
    assert project.plan() == NOTHING


def test_killed_while_a_model_is_linked_again_it_is_there_at_the_next_plan(project):
    """Snakemake deletes the link before the job starts."""
    project.file("results/models/one/model.safetensors").unlink()
    assert project.plan() == NOTHING
    assert project.file("results/models/one/model.safetensors").is_symlink()


def test_what_is_kept_is_listed_and_removed_by_name(project):
    def listed(*words: str) -> subprocess.CompletedProcess:
        environ = os.environ | {"PYTHONPATH": str(project.file("workflow/scripts"))}
        command = [sys.executable, "-m", "refilm.list_models", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=project.folder, env=environ)

    table = listed().stdout
    (name,) = re.findall(r"^(one/[0-9a-f]{12}-6-steps) .* in use +larsen2015 of one, base_channels 8, ", table, re.MULTILINE)
    (state,) = re.findall(r"^(one/state/[0-9a-f]{12}) .* 6 +checkpoints ", table, re.MULTILINE)
    assert "vae of one and two" in table
    assert "there is no such model or state; did you mean" in listed("--remove", name[:-1]).stderr
    assert project.file("results/models/one/model.safetensors").exists()
    assert listed("--remove", name, state).returncode == 0
    assert not project.file("results/models/one/model.safetensors").exists()
    assert name not in listed().stdout and "vae of one and two" in listed().stdout
    project.targets = ("results/models/one/model.safetensors",)
    assert project.plan() == {"train_model": 1}
