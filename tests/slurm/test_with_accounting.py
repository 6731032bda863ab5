"""Snakemake with profiles/slurm on a cluster that keeps accounts, its jobs asked for by sacct, GPUs by --gres."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import wait_for
from tests.slurm.cluster import missing, running
from tests.slurm.helpers import Run, checkout, errors, jobs, progress, prompt_requeue, queue, set_head, trains

HEAD = {"account": "film", "status_command": "sacct", "gres": "gpu"}
CUT, CANCELLED = (f"results/models/{name}/model.safetensors" for name in ("cut", "cancelled"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    reason = missing(accounting=True)
    assert reason is None, reason
    with running(accounting=True), prompt_requeue():
        yield


@pytest.fixture(scope="module")
def folder(cluster, tmp_path_factory) -> Path:
    models = {
        "cut": {"films": ["one"], "steps": 600},
        "cancelled": {"films": ["one"], "steps": 10**6},
    }
    return checkout(tmp_path_factory.mktemp("slurm") / "checkout", {"one": None}, models, **HEAD)


def test_an_account_of_somebody_else_is_one_line(folder):
    set_head(folder, account="theirs")
    run = Run(folder, CUT)
    assert run.wait() == 1
    set_head(folder, account="film")
    (line,) = errors(run)
    assert "account 'theirs' is not yours; yours are: film, root: set it at the head of" in line and not jobs(folder)


def test_a_training_goes_on_in_its_job_and_a_cancelled_one_ends(folder):
    """The signal is sent by scancel here, as Slurm sends it near the end of a walltime."""
    run = Run(folder, CUT, CANCELLED)
    wait_for(lambda: trains(folder, "cut") and trains(folder, "cancelled"), 120, run.ended)
    assert len({progress(folder, model)["gpus"] for model in ("cut", "cancelled")}) == 2
    number, cancelled = (progress(folder, model)["slurm_job"] for model in ("cut", "cancelled"))
    subprocess.run(["scancel", "--signal=TERM", number], check=True)
    subprocess.run(["scancel", cancelled], check=True)
    assert run.wait() == 1
    (line,) = errors(run)
    assert line.startswith(
        f"refilm: train_model cancelled: Slurm job {cancelled} was cancelled: cancelled: stopped after step "
    )
    assert (folder / CUT).exists() and run.output.count("Error in rule") == 1
    ((_, state, _, restarts, _),) = [job for job in queue() if job[0] == number]
    assert (state, restarts) == ("COMPLETED", "1")


def test_the_pictures_of_a_model_are_one_job(folder):
    pictures = ("results/samples/cut.png", "results/models/cut/training.mp4")
    run = Run(folder, *pictures)
    assert run.wait() == 0, run.output
    assert all((folder / picture).exists() for picture in pictures)
    assert len(jobs(folder, "pictures_of_cut")) == len(jobs(folder, "render_")) == 1
