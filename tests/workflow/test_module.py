"""refilm as a Snakemake module of another workflow: with a section of its configuration, beside rules of its own."""

import subprocess
from pathlib import Path

import pytest
import yaml

from refilm.frames.store import FrameStore
from tests.conftest import ROOT, make_film
from tests.workflow.test_plan import JOBS, run_snakemake

SNAKEFILE = f"""
configfile: "settings.yaml"


module refilm:
    snakefile:
        "{ROOT / "Snakefile"}"
    config:
        config["refilm"]


use rule * from refilm as refilm_*


rule all:
    default_target: True
    input:
        "counted.txt",


rule count:
    input:
        "results/frames/64x48/one.h5",
    output:
        "counted.txt",
    shell:
        "echo $(wc -c < {{input}}) ${{{{PYTHONPATH-unset}}}} > {{output}}"
"""
SETTINGS = {
    "samples": [1, 2],  # keys that refilm does not have
    "films": "a word, where refilm has a section",
    "refilm": {
        "films": {"one": {"source": "films/one film.mkv"}},
        "models": {"one": {"films": ["one"]}},
        "training": {"frame_size": "64x48", "base_channels": 8, "latent_dim": 16, "batch_size": 4, "steps": 6},
        "device": "cpu",
    },
}


@pytest.fixture
def folder(tmp_path) -> Path:
    """A workflow that imports refilm, and its one film."""
    (tmp_path / "films").mkdir()
    make_film(tmp_path / "films" / "one film.mkv", seconds=1)
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    configure(tmp_path, SETTINGS)
    return tmp_path


def configure(folder: Path, settings: dict) -> None:
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings))


def snakemake(folder: Path, *words: str) -> subprocess.CompletedProcess:
    return run_snakemake(folder, "--cores", "2", "--workflow-profile", "none", *words)


def test_its_rules_are_planned_with_its_own_section(folder):
    done = snakemake(folder, "-n", "results/one_by_one.mp4")
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert dict(JOBS.findall(output)) == {
        "refilm_extract_frames": "1",
        "refilm_train_model": "1",
        "refilm_encode_film": "1",
        "refilm_render_video": "1",
        "total": "4",
    }


def test_its_steps_run_and_leave_the_importers_shell_alone(folder):
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    with FrameStore(folder / "results/frames/64x48/one.h5") as frames:
        assert len(frames) == 24
    assert "24 frames" in (folder / "logs/extract_frames/64x48/one.log").read_text()
    size, path = (folder / "counted.txt").read_text().split()
    assert int(size) > 24 * 64 * 48 * 3 and path == "unset"
    assert "Made in" not in done.stdout + done.stderr
    assert "Nothing to be done" in snakemake(folder, "-n").stdout


def test_a_failed_step_shows_its_line_since_the_hooks_are_those_of_the_importer(folder):
    (folder / "films" / "one film.mkv").write_bytes(b"not a film")
    done = snakemake(folder)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "refilm: " in line]
    assert len(lines) == 1 and lines[0].startswith("refilm: films/one film.mkv: this file cannot be read as a film")


def test_a_fault_in_its_section_is_one_line(folder):
    configure(folder, SETTINGS | {"refilm": SETTINGS["refilm"] | {"trainig": {}}})
    done = snakemake(folder, "-n")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "refilm: config: trainig: unknown key; did you mean 'training'?" in done.stderr.splitlines()


def test_duplicate_keys_of_the_importer_are_its_own_business(folder):
    with (folder / "settings.yaml").open("a") as settings:
        settings.write("samples: [3]\n")
    assert snakemake(folder, "-n").returncode == 0
