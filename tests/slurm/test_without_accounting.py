"""Snakemake with profiles/slurm as shipped, its head set, on a cluster that keeps no accounts.

All at the same time, since the shortest walltimes are minutes: two models train on two GPUs, another job has the last, and a
third model waits. One of the two is cancelled, one is cut by its walltime, and the third loses its main process.
"""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.helpers import same, wait_for
from tests.slurm.cluster import missing, running
from tests.slurm.helpers import (
    Held,
    Run,
    alone,
    checkout,
    errors,
    jobs,
    model_file,
    progress,
    prompt_requeue,
    queue,
    submit,
    trains,
)


@dataclass
class Outcome:
    """What happened."""

    folder: Path
    main: Run  # of the training that is cut, and of the one that is cancelled
    numbers: dict[str, str]  # of the Slurm jobs, by model
    gpus: dict[str, str]
    restarts: int  # of the one that is cut
    others: dict[str, Run]
    lost: Run
    next: Run
    left: str  # the Slurm job that the lost main process left


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
    return runs


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    reason = missing(accounting=False)
    assert reason is None, reason
    with running(accounting=False), prompt_requeue():
        yield


@pytest.fixture(scope="module")
def outcome(cluster, tmp_path_factory) -> Outcome:
    tmp = tmp_path_factory.mktemp("slurm")
    models = {"long": {"films": ["one"], "steps": 2000}, "other": {"films": ["one"], "steps": 10**6, "seed": 1}}
    folder = checkout(tmp / "checkout", {"one": None}, models)
    blocker = submit("--partition=gpus", "--gpus=1", "--mem=100", "--wrap=sleep 600")
    main = Run(folder, model_file("long"), model_file("other"))
    held = Held(folder, "long", 2, main)
    wait_for(lambda: progress(folder, "long").get("done") and trains(folder, "other"), 120, main.ended)
    numbers = {name: progress(folder, name)["slurm_job"] for name in models}
    gpus = {name: progress(folder, name)["gpus"] for name in models}
    models = {"lost": {"films": ["one"], "steps": 1000}}
    elsewhere = checkout(tmp / "lost", {"one": None}, models, training_walltime="10m")
    lost = Run(elsewhere, model_file("lost"))
    wait_for(lambda: lost.lines("Slurm: job"), 60, lost.ended)
    subprocess.run(["scancel", numbers["other"], blocker], check=True)
    undisturbed = alone(folder, tmp / "alone", "long")
    others = start_others(tmp)
    next_, left = kill_main(elsewhere, lost)
    also = alone(elsewhere, tmp / "alone", "lost")
    for run in (*others.values(), next_, main):
        run.wait()
    held.join()
    (restarts,) = [int(job[3]) for job in queue() if job[0] == numbers["long"]]
    assert (undisturbed.wait(300), also.wait(300)) == (0, 0)
    return Outcome(folder, main, numbers, gpus, restarts, others, lost, next_, left)


def kill_main(folder: Path, run: Run) -> tuple[Run, str]:
    """Kill the main process while its job trains, and start the next. That waits for the training, which is let go."""
    wait_for(lambda: trains(folder, "lost"), 60, run.ended)
    training = progress(folder, "lost")
    os.kill(training["pid"], signal.SIGSTOP)
    os.kill(run.process.pid, signal.SIGKILL)
    run.wait()
    following = Run(folder, model_file("lost"))
    log = folder / "logs/train_model/lost.log"
    wait_for(lambda: log.exists() and "waiting for its end" in log.read_text(), 120, following.ended)
    os.kill(training["pid"], signal.SIGCONT)
    return following, training["slurm_job"]


def same_as_alone(folder: Path, model: str) -> bool:
    undisturbed = folder.parent / "alone" / model / "model.safetensors"
    return same(load_file(folder / model_file(model)), load_file(undisturbed))


def test_two_trainings_have_a_gpu_each(outcome):
    assert set(outcome.gpus.values()) < {"0", "1", "2"} and len(set(outcome.gpus.values())) == 2


def test_a_training_goes_on_in_the_same_job_after_each_walltime(outcome):
    assert outcome.restarts >= 2
    assert len(jobs(outcome.folder, "model_wildcards_long")) == 1
    log = (outcome.folder / "logs/train_model/long.log").read_text()
    assert log.count("long: continues after step ") >= 2 and log.count(": stopped after step ") >= 2
    # All that it printed in all of its walltimes is there. The last may come when nothing is left to be trained.
    assert log.count(" steps of 4 frames") + log.count(": trained before") == outcome.restarts + 1
    assert not list((outcome.folder / "logs/train_model").glob(".long*"))


def test_its_weights_are_those_of_an_undisturbed_training(outcome):
    assert same_as_alone(outcome.folder, "long")


def test_a_walltime_is_no_error_on_the_terminal(outcome):
    assert outcome.main.output.count("Error in rule") == 1  # of the training that was cancelled
    again = outcome.main.lines(
        f"Slurm: job {outcome.numbers['long']} (train_model long) waits: BeginTime (it was queued again"
    )
    assert len(again) == outcome.restarts


def test_a_cancelled_training_is_not_submitted_again_and_is_one_line(outcome):
    assert outcome.main.process.returncode == 1
    (line,) = errors(outcome.main)
    assert line.startswith(
        f"refilm: train_model other: Slurm job {outcome.numbers['other']} was cancelled: other: stopped after"
    )
    assert outcome.main.output.splitlines()[-1] == line
    assert len(jobs(outcome.folder, "model_wildcards_other")) == 1
    step = re.search(r"stopped after step (\d+)", line)
    assert list((outcome.folder / "results/models/other/state").glob(f"*/step-{int(step[1]):09}.safetensors"))


def test_a_job_that_waits_says_why(outcome):
    (line,) = outcome.lost.lines("Slurm: job")
    assert "(train_model lost) waits: Resources (no node is free)" in line


def test_a_lost_run_leaves_a_training_which_the_next_waits_for_and_takes(outcome):
    folder = outcome.next.log.parent
    line = outcome.next.lines("Slurm: ")[0]
    assert f"job {outcome.left} (train_model lost) of an earlier run in this folder" in line
    name = outcome.lost.lines("SLURM run ID: ")[0].split()[-1]
    assert line.endswith(f"scancel --name={name}")
    assert outcome.next.process.returncode == 0 and errors(outcome.next) == [], outcome.next.output
    assert "trained before: linked to" in (folder / "logs/train_model/lost.log").read_text()
    assert same_as_alone(folder, "lost")


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
def test_what_can_never_run_is_one_line_before_anything_is_submitted(outcome, name, words):
    run = outcome.others[name]
    (line,) = errors(run)
    assert words.replace("64x48 one", "64x48_one") in line and run.process.returncode == 1
    assert "Traceback" not in run.output and not jobs(run.log.parent)


def test_a_broken_film_is_tried_once_and_is_one_line(outcome):
    run = outcome.others["broken"]
    (line,) = errors(run)
    assert line.startswith("refilm: films/one.mp4: this file cannot be read as a film") and run.process.returncode == 1
    assert line == run.output.splitlines()[-1] and len(jobs(run.log.parent)) == 1
    assert run.output.count("Error in rule") == 1


def test_short_steps_are_one_job(outcome):
    run = outcome.others["groups"]
    assert run.process.returncode == 0, run.output
    assert len(jobs(run.log.parent)) == 1
