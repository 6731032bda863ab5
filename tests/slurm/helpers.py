"""Snakemake with profiles/slurm on the cluster of cluster.py."""

import getpass
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.conftest import ROOT, make_film

SMALL = {"frame_size": "64x48", "base_channels": 8, "latent_dim": 16, "batch_size": 4, "precision": "float32"}
# What a site sets at the head of the profile. The walltime is the shortest in which Slurm lets a training do some steps: the
# signal near its end may be early by a minute.
HEAD = {
    "cpu_partition": "compute",
    "gpu_partition": "gpus",
    "cpus": 1,
    "training_walltime": "2m",
    "seconds_to_save": 30,
}
# Of Snakemake and the plugin, so that nothing is waited for that need not be.
QUICK = ("--slurm-init-seconds-before-status-checks", "5", "--seconds-between-status-checks", "3", "--latency-wait", "10")


def checkout(folder: Path, films: dict[str, bytes | None], models: dict[str, dict], **head: object) -> Path:
    """A checkout as a user has it, with the head of the profile set and nothing else of it changed.

    films: a film's bytes, or None for a film that is made; models: the keys of each.
    """
    for name in ("profiles", "workflow", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    for name in ("config", "films"):
        (folder / name).mkdir()
    for name, content in films.items():
        if content is None:
            make_film(folder / "films" / f"{name}.mp4")
        else:
            (folder / "films" / f"{name}.mp4").write_bytes(content)
    config = {
        "films": {name: {"source": f"films/{name}.mp4"} for name in films},
        "models": models,
        "training": SMALL,
        "device": "cpu",
    }
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    set_head(folder, **HEAD | head)
    return folder


def set_head(folder: Path, **values: object) -> None:
    """Set values of the marked block of the profile."""
    profile = folder / "profiles" / "slurm" / "profile.yaml"
    text = profile.read_text()
    for key, value in values.items():
        text, count = re.subn(rf"^  {key}: .*$", f"  {key}: {value}", text, count=1, flags=re.MULTILINE)
        assert count == 1, key
    profile.write_text(text)


def environment() -> dict[str, str]:
    """Of a user in whose checkout refilm was installed. Snakemake looks at the queue every second."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}", "REFILM_SLURM_SECONDS": "1"}


_started: list[subprocess.Popen] = []


class Run:
    """A run of Snakemake on the cluster, as its user starts it, with what it has printed so far."""

    def __init__(self, folder: Path, *words: str):
        self.log = folder / f"terminal-{time.monotonic_ns()}.txt"
        command = ["snakemake", "--workflow-profile", "profiles/slurm", *QUICK, *words]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment(),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self.log.read_text()

    def wait(self, seconds: float = 400) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"still running after {seconds} s:\n{self.output}\n{queue()}") from None

    def ended(self) -> bool:
        return self.process.poll() is not None

    def lines(self, start: str) -> list[str]:
        """What it has printed that begins so."""
        return [line for line in self.output.splitlines() if line.startswith(start)]


def queue() -> list[list[str]]:
    """Number, state, comment, restarts and folder of the jobs that Slurm knows."""
    fields = "JobID:|,State:|,Comment:200|,RestartCnt:|,WorkDir:500"
    words = ["squeue", "--noheader", "--states=all", f"--Format={fields}"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return [[field.strip() for field in line.split("|")] for line in done.stdout.splitlines()]


def submit(*options: str) -> str:
    """The number of a job of somebody else."""
    words = ["sbatch", "--parsable", "--output=/dev/null", *options]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def jobs(folder: Path, comment: str = "", state: str = "") -> list[str]:
    """The numbers of the jobs of a checkout, of that comment, in that state."""
    return [
        number
        for number, found, text, _restarts, where in queue()
        if where == str(folder) and comment in text and state in found
    ]


@contextmanager
def prompt_requeue() -> Iterator[None]:
    """Let jobs that were queued again start at once, not after the two minutes that Slurm has them wait.

    Leaves no job and no run behind, also where a test failed.
    """
    stop = threading.Event()

    def hurry() -> None:
        seen: set[str] = set()
        while not stop.wait(2):  # long enough for Snakemake to see why they wait
            reasons = subprocess.run(["squeue", "-h", "-t", "pending", "-o", "%i %r"], capture_output=True, text=True).stdout
            waiting = {line.split()[0] for line in reasons.splitlines() if line.endswith(" BeginTime")}
            for number in waiting & seen:
                subprocess.run(["scontrol", "update", f"jobid={number}", "starttime=now"], capture_output=True)
            seen = waiting

    thread = threading.Thread(target=hurry)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        for process in _started:
            process.kill()
        subprocess.run(["scancel", f"--user={getpass.getuser()}"])


def errors(run: Run) -> list[str]:
    """The lines of errors on its terminal."""
    return [line for line in run.output.splitlines() if "refilm: " in line]


def progress(folder: Path, model: str) -> dict:
    """What the JSON file beside the log of a training says; empty where there is none."""
    file = folder / "logs" / "train_model" / f"{model}.progress.json"
    return json.loads(file.read_text()) if file.exists() else {}


def trains(folder: Path, model: str) -> bool:
    """Whether it runs, and has done a step."""
    now = progress(folder, model)
    return now.get("state") == "running" and now.get("done", 0) > 0


def model_file(name: str) -> str:
    return f"results/models/{name}/model.safetensors"


def alone(folder: Path, into: Path, model: str) -> subprocess.Popen:
    """The same training without Slurm and Snakemake, never disturbed."""
    recipe = (folder / "results" / "models" / model / "recipe.json").read_text()
    frames = folder / "results" / "frames" / "64x48" / "one.h5"
    output = into / model / "model.safetensors"
    output.parent.mkdir(parents=True)
    words = ["--frames", frames, f"--recipe={recipe}", f"--model={output}", "--device=cpu"]
    return subprocess.Popen([sys.executable, "-m", "refilm.train_model", *map(str, words)], stderr=subprocess.DEVNULL)


class Held(threading.Thread):
    """Stops a training in each of its first walltimes, as soon as it trains, until Slurm ends the walltime.

    So it is cut as often on every machine, however fast. Slurm sends SIGCONT before the signal near the end of a walltime.
    """

    def __init__(self, folder: Path, model: str, times: int, run: Run):
        super().__init__(daemon=True)
        self.folder, self.model, self.times, self.run_of = folder, model, times, run
        self.start()

    def run(self) -> None:
        held: set[int] = set()
        while len(held) < self.times and not self.run_of.ended():
            if trains(self.folder, self.model) and (training := progress(self.folder, self.model)["pid"]) not in held:
                os.kill(training, signal.SIGSTOP)
                held.add(training)
            time.sleep(0.2)
