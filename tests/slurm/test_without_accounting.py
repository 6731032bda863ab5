"""Snakemake with profiles/slurm as shipped, its head set, on a cluster that keeps no accounts.

One story, since the shortest walltimes are minutes: two models train on two GPUs, a third waits for one. One is cancelled;
one is cut by its walltime again and again. What is refused, and short steps in groups, run meanwhile. In the end the main
process is lost.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file

from tests.helpers import same, wait_for
from tests.slurm.cluster import missing, running
from tests.slurm.helpers import SMALL, Run, checkout, errors, jobs, progress, prompt_requeue, queue, trains

# A cut comes 30 to 60 s after the start of a job, of which a training trains 20 to 50 s: this is two cuts at least.
SECONDS_OF_TRAINING = 105
LONG, OTHER, THIRD = (f"results/models/{name}/model.safetensors" for name in ("long", "other", "third"))


@dataclass
class Story:
    """What happened."""

    folder: Path
    first: Run
    second: Run
    third: Run
    numbers: dict[str, str] = field(default_factory=dict)  # of the Slurm jobs, by model
    gpus: dict[str, str] = field(default_factory=dict)
    restarts: int = 0
    others: dict[str, Run] = field(default_factory=dict)
    left: str = ""  # the Slurm job that the lost main process left


def alone(folder: Path, into: Path, model: str) -> subprocess.Popen:
    """The same training without Slurm and Snakemake, never disturbed."""
    recipe = (folder / "results" / "models" / model / "recipe.json").read_text()
    frames = folder / "results" / "frames" / "64x48" / "one.h5"
    output = into / model / "model.safetensors"
    output.parent.mkdir(parents=True)
    words = ["--frames", frames, f"--recipe={recipe}", f"--model={output}", "--device=cpu"]
    return subprocess.Popen([sys.executable, "-m", "refilm.train_model", *map(str, words)], stderr=subprocess.DEVNULL)


def steps_per_second(folder: Path) -> float:
    """How fast such a training is here at best."""
    checkout(folder, {"one": None}, {"probe": {"films": ["one"], "steps": 300}})
    environ = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    words = ["snakemake", "results/models/probe/model.safetensors", "--cores", "1", "--quiet"]
    done = subprocess.run(words, cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return pd.read_csv(folder / "results/models/probe/training.csv")["frames_per_s"].max() / SMALL["batch_size"]


def start_others(tmp: Path) -> dict[str, Run]:
    """Runs that are refused, one that fails, and one of short steps, each in a checkout of its own."""
    models = {"one": {"films": ["one"], "steps": 6}}
    frames, crops = "results/frames/64x48/one.h5", ("results/stills/one_crop.png", "results/stills/two_crop.png")
    runs = {
        "broken": Run(checkout(tmp / "broken", {"one": b"no film"}, models), frames),
        "groups": Run(checkout(tmp / "groups", {"one": None, "two": None}, models), *crops),
    }
    for name, head in {
        "partition": {"cpu_partition": "batch"},
        "cpus": {"cpus": 9},
        "walltime": {"training_walltime": "2d"},
        "status": {"status_command": "sacct"},
    }.items():
        target = "results/models/one/model.safetensors"
        runs[name] = Run(checkout(tmp / name, {"one": None}, models, **head), target, "--set-threads", "extract_frames=16")
    for run in runs.values():
        run.wait()
    return runs


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    reason = missing(accounting=False)
    assert reason is None, reason
    with running(accounting=False), prompt_requeue():
        yield


@pytest.fixture(scope="module")
def story(cluster, tmp_path_factory) -> Story:
    tmp = tmp_path_factory.mktemp("slurm")
    steps = round(steps_per_second(tmp / "probe") * SECONDS_OF_TRAINING)
    models = {
        name: {"films": ["one"], "steps": count, "seed": seed}
        for seed, (name, count) in enumerate({"long": steps, "other": steps // 3, "third": 6}.items())
    }
    folder = checkout(tmp / "checkout", {"one": None}, models)
    first = Run(folder, LONG, OTHER)
    wait_for(lambda: trains(folder, "long") and trains(folder, "other"), 120, first.ended)
    numbers = {name: progress(folder, name)["slurm_job"] for name in ("long", "other")}
    gpus = {name: progress(folder, name)["gpus"] for name in ("long", "other")}
    waiting = Run(checkout(tmp / "waiting", {"one": None}, {"third": models["third"]}), THIRD)
    wait_for(lambda: waiting.lines("Slurm: job"), 60, waiting.ended)
    subprocess.run(["scancel", numbers["other"]], check=True)
    reference = alone(folder, tmp / "alone", "long")
    others = start_others(tmp) | {"waiting": waiting}
    waiting.wait()
    first.wait()
    (restarts,) = [int(job[3]) for job in queue() if job[0] == numbers["long"]]
    references = [reference, alone(folder, tmp / "alone", "other")]

    second = Run(folder, LONG, OTHER)
    wait_for(lambda: jobs(folder, "model_wildcards_other", "RUNNING"), 60, second.ended)
    (left,) = jobs(folder, "model_wildcards_other", "RUNNING")
    wait_for(lambda: trains(folder, "other", left), 60, second.ended)
    training = progress(folder, "other")["pid"]
    os.kill(training, signal.SIGSTOP)  # so that it is still there when the next one comes
    os.kill(second.process.pid, signal.SIGKILL)
    second.wait()
    unlock(folder)
    third = Run(folder, LONG, OTHER)
    log = folder / "logs/train_model/other.log"
    wait_for(lambda: log.exists() and "waiting for its end" in log.read_text(), 120, third.ended)
    os.kill(training, signal.SIGCONT)
    third.wait()
    for process in references:
        assert process.wait(200) == 0
    return Story(folder, first, second, third, numbers, gpus, restarts, others, left)


def unlock(folder: Path) -> None:
    environ = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(["snakemake", "--unlock"], cwd=folder, env=environ, check=True, capture_output=True)


def weights(story: Story, model: str) -> tuple[dict, dict]:
    made = load_file(story.folder / "results" / "models" / model / "model.safetensors")
    return made, load_file(story.folder.parent / "alone" / model / "model.safetensors")


def test_two_trainings_have_a_gpu_each(story):
    assert sorted(story.gpus.values()) == ["0", "1"]


def test_a_training_goes_on_in_the_same_job_after_each_walltime(story):
    assert story.restarts >= 2
    assert len(jobs(story.folder, "model_wildcards_long")) == 1
    log = (story.folder / "logs/train_model/long.log").read_text()
    assert (
        log.count("long: continues after step ") == story.restarts and log.count(": stopped after step ") == story.restarts
    )
    assert not list((story.folder / "logs/train_model").glob(".long*"))


def test_its_weights_are_those_of_an_undisturbed_training(story):
    assert same(*weights(story, "long"))


def test_a_walltime_is_no_error_on_the_terminal(story):
    assert story.first.output.count("Error in rule") == 1  # of the training that was cancelled
    again = story.first.lines(f"Slurm: job {story.numbers['long']} (train_model long) waits: BeginTime (it was queued again")
    assert again and len(again) <= story.restarts


def test_a_cancelled_training_is_not_submitted_again_and_is_one_line(story):
    assert story.first.process.returncode == 1
    (line,) = errors(story.first)
    assert line.startswith(
        f"refilm: train_model other: Slurm job {story.numbers['other']} was cancelled: other: stopped after"
    )
    assert story.first.output.splitlines()[-1] == line
    assert len(jobs(story.folder, "model_wildcards_other")) == 3  # this one, that of the lost run, that of the last


def test_a_job_that_waits_says_why(story):
    run = story.others["waiting"]
    (line,) = [line for line in run.lines("Slurm: job") if "train_model third" in line]
    assert "waits: Resources (no node is free)" in line or "waits: Priority" in line
    assert run.process.returncode == 0


def test_a_lost_run_leaves_a_training_which_the_next_waits_for_and_takes(story):
    (line,) = story.third.lines("Slurm: ")[:1]
    assert f"job {story.left} (train_model other) of an earlier run in this folder" in line
    name = story.second.lines("SLURM run ID: ")[0].split()[-1]
    assert line.endswith(f"scancel --name={name}") and story.third.process.returncode == 0, story.third.output
    log = (story.folder / "logs/train_model/other.log").read_text()
    assert "is training this model: waiting for its end" in log and "trained before: linked to" in log
    assert errors(story.third) == []
    assert same(*weights(story, "other"))


@pytest.mark.parametrize(
    "name, words",
    [
        ("partition", "there is no partition 'batch'; there are: compute, gpus: set it at the head of profiles/slurm"),
        (
            "cpus",
            "extract_frames 64x48 one: 9 CPUs, but a node of partition 'compute' has 8 at most: set cpus at the head of",
        ),
        (
            "walltime",
            "train_model one: 2880 minutes, but partition 'gpus' allows 1440 at most: set training_walltime at the",
        ),
        ("status", "status_command: this cluster has no accounting for sacct to ask: set it to squeue at the head of"),
    ],
)
def test_what_can_never_run_is_one_line_before_anything_is_submitted(story, name, words):
    run = story.others[name]
    (line,) = errors(run)
    assert words.replace("64x48 one", "64x48_one") in line and run.process.returncode == 1
    assert "Traceback" not in run.output and not jobs(run.log.parent)


def test_a_broken_film_is_tried_once_and_is_one_line(story):
    run = story.others["broken"]
    (line,) = errors(run)
    assert line.startswith("refilm: films/one.mp4: this file cannot be read as a film") and run.process.returncode == 1
    assert line == run.output.splitlines()[-1] and len(jobs(run.log.parent)) == 1
    assert run.output.count("Error in rule") == 1


def test_short_steps_are_one_job(story):
    run = story.others["groups"]
    assert run.process.returncode == 0, run.output
    assert len(jobs(run.log.parent)) == 1
