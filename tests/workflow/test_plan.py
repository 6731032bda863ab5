"""What Snakemake plans, without doing it: what is asked for, what is missing, and what a change makes again."""

import copy
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, WITH_TORCH
from tests.prepared import Server

WITH_SNAKEMAKE = Server(
    "snakemake.cli", "snakemake.api", "snakemake.workflow", "snakemake.executors.local", "snakemake.executors.dryrun",
    "snakemake.report.html_reporter", "snakemake_storage_plugin_s3", "jsonschema", "rfc3339_validator", "tqdm",
)  # fmt: skip

SHIPPED = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
JOBS = re.compile(r"^(\w+)\s+(\d+)$", re.MULTILINE)


def command_line(folder: Path, *words, config: dict | None = None) -> list[str]:
    """The words that start Snakemake in a folder of its own, with the project's Snakefile and profile."""
    (folder / "config").mkdir(exist_ok=True)
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(config or SHIPPED, sort_keys=False))
    profile = ("--workflow-profile", ROOT / "profiles" / "default")
    command = [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "-d", folder, *profile, "--cores", "2", *words]
    return [str(word) for word in command]


def snakemake(folder: Path, *words, config: dict | None = None, forks: bool = True) -> subprocess.CompletedProcess:
    """Run that. forks: its steps too are processes that have torch already; else each is a new Python, as a user's is."""
    _, _, _, *arguments = command_line(folder, *words, config=config)
    return run_snakemake(folder, *arguments, forks=forks)


def run_snakemake(folder: Path, *words: str, forks: bool = True) -> subprocess.CompletedProcess:
    """Snakemake with these words, without PYTHONPATH: the Snakefile finds refilm beside itself."""
    python = WITH_TORCH.python() if forks else sys.executable
    return WITH_SNAKEMAKE.run("snakemake", *words, cwd=folder, without="PYTHONPATH", executable=python)


def planned(done: subprocess.CompletedProcess) -> dict[str, int]:
    """How many jobs of each rule a plan has."""
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = {rule: int(count) for rule, count in JOBS.findall(done.stdout + done.stderr) if rule != "total"}
    assert jobs or "Nothing to be done" in done.stdout + done.stderr
    return jobs


def refused(done: subprocess.CompletedProcess) -> str:
    """The one line with which a plan ends."""
    assert done.returncode != 0 and "Traceback" not in done.stderr + done.stdout, done.stderr
    (line,) = [line for line in (done.stderr + done.stdout).splitlines() if line.startswith("refilm: ")]
    return line


def plan(folder: Path, *targets, config: dict | None = None) -> dict[str, int]:
    """How many jobs of each rule would run."""
    return planned(snakemake(folder, "-n", *targets, config=config))


def refusal(folder: Path, *targets, config: dict | None = None) -> str:
    """The one line with which a plan of these is refused."""
    return refused(snakemake(folder, "-n", *targets, config=config))


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder in which all films of the shipped configuration lie, as empty files."""
    for film in SHIPPED["films"].values():
        (tmp_path / film["source"]).parent.mkdir(exist_ok=True)
        (tmp_path / film["source"]).touch()
    return tmp_path


def test_the_sentence_of_the_readme(folder):
    jobs = plan(folder, "results/koyaanisqatsi_by_bladerunner.mp4")
    assert jobs == {"extract_frames": 2, "train_model": 1, "encode_film": 1, "render_video": 1}


def test_the_preview_of_the_crop_needs_only_the_film(folder):
    assert plan(folder, "results/stills/koyaanisqatsi_crop.png") == {"preview_crop": 1}


def test_the_shots_of_a_film_need_no_model(folder):
    assert plan(folder, "results/shots/koyaanisqatsi.csv") == {"extract_frames": 1, "list_shots": 1}


def test_with_no_target_the_whole_work_is_made(folder):
    jobs = plan(folder)
    assert jobs == {
        "all": 1,
        "extract_frames": 6,
        "train_model": 2,
        "encode_film": 8,  # the seven videos, and the trailer by Blade Runner for its comparison
        "render_video": 7,
        "render_stills": 7,
        "render_comparison": 2,
        "measure_film": 7,
        "render_composite": 6,  # of each film that the seven videos show
        "render_thumbnail": 6,
        "gather_measures": 6,
        "render_network": 2,
        "render_findings": 2,
        "render_gallery": 1,
    }


@pytest.mark.parametrize("missing", ["koyaanisqatsi", "bladerunner"])
def test_a_missing_film_is_named_with_where_to_put_it(folder, missing):
    (folder / "films" / f"{missing}.mkv").unlink()
    line = refusal(folder, "results/koyaanisqatsi_by_bladerunner.mp4")
    assert line.startswith(
        f"refilm: film '{missing}' is missing: put it at films/{missing}.mkv, or set films.{missing}.source"
    )
    assert plan(folder, "results/scannerdarkly_by_scannerdarkly.mp4")["train_model"] == 1


@pytest.mark.parametrize(
    ("target", "meant"),
    [
        ("results/apple-1984_by_bladerunner.mp5", "results/apple-1984_by_bladerunner.mp4"),
        ("results/apple-1984_by_bladerunner@00-00-30.png", "results/stills/apple-1984_by_bladerunner@00-00-30.png"),
        ("results/still/apple-1984_by_bladerunner_best.png", "results/stills/apple-1984_by_bladerunner_best.png"),
        ("results/model/bladerunner/model.safetensor", "results/models/bladerunner/model.safetensors"),
        ("dmo", "demo"),
    ],
)
def test_a_misspelt_target_is_one_line_with_what_was_meant(folder, target, meant):
    assert refusal(folder, target) == f"refilm: {target}: no rule makes such a file; did you mean '{meant}'?"


def test_a_target_that_nothing_is_like_is_one_line(folder):
    line = refusal(folder, "films/one.mkv")
    assert line == "refilm: films/one.mkv: no rule makes such a file; the head of the Snakefile lists what can be asked for"


@pytest.mark.parametrize(
    ("targets", "rules"),
    [
        (["results/exports/wall.mov"], {"render_export": 1}),
        (["results/exports/row"], {"render_export_folder": 1}),
        (["results/posters/page.pdf"], {"render_poster": 1}),
        (["results/stills/apple-1984_by_bladerunner_shots.png"], {"render_ordered_stills": 1}),
        (["results/stills/apple-1984_by_bladerunner_worst.png"], {"render_ordered_stills": 1, "measure_film": 1}),
        (["results/stills/apple-1984_by_bladerunner@00-00-30.png"], {"render_moment": 1}),
        (["results/clips/apple-1984_by_bladerunner@00-00-30_to_00-00-32.5.webp"], {"render_clip": 1}),
    ],
)
def test_exports_and_pictures_need_the_latents_of_their_film(folder, targets, rules):
    shown = {"film": "apple-1984", "model": "bladerunner"}
    exports = {"wall": shown | {"codec": "prores"}, "row": shown | {"screens": 2}}
    config = SHIPPED | {"exports": exports, "posters": {"page": shown}}
    jobs = plan(folder, *targets, config=config)
    assert jobs == {"extract_frames": 2, "train_model": 1, "encode_film": 1} | rules


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("results/koyanisqatsi_by_bladerunner.mp4", "unknown film 'koyanisqatsi'; did you mean 'koyaanisqatsi'?"),
        ("results/koyaanisqatsi_by_blade-runner.mp4", "unknown model 'blade-runner'; did you mean 'bladerunner'?"),
        ("results/comparisons/trailr.mp4", "unknown comparison 'trailr'; did you mean 'trailer'?"),
        ("results/models/bladeruner/model.safetensors", "unknown model 'bladeruner'; did you mean 'bladerunner'?"),
        ("results/frames/256x144/x.h5", "unknown film 'x'; there are: apple-1984, bladerunner"),
        ("results/stills/koyaanisqatsi_by_x.png", "unknown model 'x'"),
        ("results/metrics/x_by_bladerunner.csv", "unknown film 'x'"),
        ("results/shots/koyanisqatsi.csv", "unknown film 'koyanisqatsi'; did you mean 'koyaanisqatsi'?"),
        ("results/samples/x.png", "unknown model 'x'"),
        ("results/samples/bladeruner.mp4", "unknown model 'bladeruner'; did you mean 'bladerunner'?"),
        ("results/exports/wal.mp4", "unknown export 'wal'"),
        ("results/posters/wal.png", "unknown poster 'wal'"),
        ("results/walks/wal.mp4", "unknown walk 'wal'"),
        ("results/bent/ben.mp4", "unknown bend 'ben'"),
        ("results/stills/x_by_bladerunner@00-00-01.png", "unknown film 'x'"),
        ("results/frames/250x144/bladerunner.h5", "250x144 is not a valid frame size"),
    ],
)
def test_unknown_names_suggest_the_nearest(folder, target, words):
    assert words in refusal(folder, target)


def test_a_fault_in_the_configuration_is_one_line(folder):
    config = copy.deepcopy(SHIPPED)
    config["training"]["epoch"] = 3
    assert refusal(folder, config=config) == "refilm: config: training.epoch: unknown key; did you mean 'epochs'?"


def test_values_of_the_command_line_have_the_types_of_their_keys(folder):
    """Snakemake hands on some of them as texts."""
    given = ("--config", "training={'steps': 8, 'frame_size': 64x48}", "tensorboard=true", "video={'crf': 20}")
    assert plan(folder, "results/models/bladerunner/model.safetensors", *given)["train_model"] == 1
    assert "training.steps: invalid value 'eight'" in refusal(folder, "--config", "training={'steps': eight}")


def test_a_duplicate_section_is_refused_before_half_of_it_is_lost(folder):
    overlay = folder / "mine.yaml"
    overlay.write_text("films:\n  a: {source: films/a.mkv}\nmodels: {}\nfilms:\n  b: {source: films/b.mkv}\n")
    line = refusal(folder, "--configfile", overlay)
    assert line.startswith(f"refilm: config: {overlay}, line 4: duplicate key 'films:', first on line 1")


def test_an_overlay_makes_the_demo_without_any_film(tmp_path):
    jobs = plan(tmp_path, "demo", "--configfile", ROOT / "config" / "demo.yaml")
    assert jobs["train_model"] == 1 and jobs["fetch_demo_films"] == jobs["compose_whitney"] == 1
    assert jobs["render_comparison"] == jobs["render_stills"] == jobs["render_video"] == 3
    assert jobs["render_walk"] == jobs["train_predictor"] == jobs["render_dream"] == 1


def test_a_name_of_odd_characters_reaches_the_command_whole(tmp_path):
    config = copy.deepcopy(SHIPPED)
    source = 'films/it\'s a "film" $HOME.mkv'
    config["films"]["bladerunner"]["source"] = source
    (tmp_path / "films").mkdir()
    (tmp_path / source).touch()
    done = snakemake(tmp_path, "-n", "-p", "results/frames/256x144/bladerunner.h5", config=config)
    assert done.returncode == 0, done.stderr
    (command,) = [line for line in (done.stdout + done.stderr).splitlines() if "python -m refilm" in line]
    assert "'films/it'\"'\"'s a \"film\" $HOME.mkv'" in command
    assert str(ROOT) not in command  # Snakemake tracks the text: a checkout that is moved makes nothing again


def test_every_rule_of_the_workflow_logs_and_has_an_environment():
    for file in (ROOT / "workflow" / "rules").glob("*.smk"):
        text = file.read_text()
        for rule in re.findall(r"^rule (\w+):\n(.*?)(?=^rule |\Z)", text, re.MULTILINE | re.DOTALL):
            if "shell:" in rule[1]:  # others run nothing
                assert "log:" in rule[1] and "envs/refilm.yaml" in rule[1], rule[0]
        assert text.startswith('"""'), file


def test_conda_has_the_dependencies_of_the_package_with_their_pins():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split("[<>=]", dependency)[0] for dependency in project["dependencies"]}
    pins = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    conda = yaml.safe_load((ROOT / "envs" / "refilm.yaml").read_text())
    (with_pip,) = [entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict)]
    assert set(with_pip) == {f"{name}=={version}" for name, version in pins if name in names - {"snakemake"}}
    assert len(with_pip) == len(names) - 1


@pytest.mark.parametrize(
    "words", [("s3", "--default-storage-prefix", "s3://bucket/folder"), ("s3",)], ids=["prefix", "no prefix"]
)
@pytest.mark.parametrize("films", ["here", "in the bucket"])
def test_a_bucket_as_default_storage_is_refused_before_it_is_asked(folder, words, films):
    if films == "in the bucket":
        shutil.rmtree(folder / "films")
    line = refusal(folder, "results/koyaanisqatsi_by_bladerunner.mp4", "--default-storage-provider", *words)
    assert line.startswith("refilm: --default-storage-provider s3: the checkpoints and previews of trainings")
    assert "a file system that all jobs share" in line


@pytest.mark.parametrize("method", ["apptainer", "env-modules"])
def test_software_that_no_rule_would_use_is_refused(folder, method):
    line = refusal(folder, "results/koyaanisqatsi_by_bladerunner.mp4", "--software-deployment-method", "conda", method)
    assert line.startswith(
        f"refilm: --software-deployment-method {method}: the rules of refilm have a conda environment only"
    )
