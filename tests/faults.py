"""Runs that are killed at random moments: the same command continues, and all results are as if nothing had happened.

    python -m tests.faults [COUNT] [SEED]

A small chain is made once, undisturbed. Then it is made again and again; in each of these chains some runs of Snakemake are
killed, one after the other, with SIGKILL: the main process alone, so that its steps run on beside the next run, or one step,
or all processes. The next run is the same command, without --unlock. When a chain is complete, its results are compared with
the undisturbed ones. Prints each kill, and how many there were by rule and by victim. Ends with exit status 1 at the first
fault, and keeps the folder.
"""

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from safetensors import safe_open

from refilm.media.ffmpeg import executable
from tests.conftest import ROOT, make_film
from tests.workflow.test_plan import command_line

VICTIMS = ("main", "step", "all")
CONFIG = {
    "films": {"one": {"source": "films/one.mp4"}},
    "models": {"one": {"films": ["one"]}},
    "training": {"frame_size": "64x48", "base_channels": 8, "latent_dim": 16, "batch_size": 4, "steps": 24},
    "reconstructions": ["one_by_one"],
    "comparisons": {"clip": {"film": "one", "models": ["one"]}},
    "walks": {"back": {"film": "one", "model": "one", "speed": 0.5, "loop": "return"}},
    "bends": {"turned": {"film": "one", "model": "one", "transforms": [{"transform": "flip", "layers": [1]}]}},
    "device": "cpu",
}
TARGETS = {  # the result of each rule
    "extract_frames": "results/frames/64x48/one.h5",
    "train_model": "results/models/one/model.safetensors",
    "encode_film": "results/latents/one_by_one.h5",
    "render_video": "results/one_by_one.mp4",
    "render_stills": "results/stills/one_by_one.png",
    "measure_film": "results/metrics/one_by_one.csv",
    "render_comparison": "results/comparisons/clip.mp4",
    "render_composite": "results/gallery/films/64x48/one.mp4",
    "render_thumbnail": "results/gallery/films/64x48/one.webp",
    "gather_measures": "results/gallery/films/64x48/one.js",
    "render_gallery": "results/gallery/index.html",
    "preview_crop": "results/stills/one_crop.png",
    "list_shots": "results/shots/one.csv",
    "render_network": "results/models/one/network.html",
    "render_findings": "results/findings/one.html",
    "render_training": "results/models/one/training.mp4",
    "render_samples": "results/samples/one.png",
    "render_drift": "results/samples/one.mp4",
    "render_walk": "results/walks/back.mp4",
    "render_walk_thumbnail": "results/gallery/walks/back.webp",
    "render_bend": "results/bent/turned.mp4",
    "render_bend_thumbnail": "results/gallery/bent/turned.webp",
}
_KILLS_OF_A_CHAIN = 5
_LIMIT_SECONDS = 900  # for a run on a busy machine
_TIMED = ("seconds", "frames_per_s")  # columns of training.csv that differ from one training to the next


class WrongError(Exception):
    """What a kill should not have done."""


@dataclass(frozen=True)
class Aim:
    """A kill to be: of this victim, when `rule` has begun to run, or the run where it is None, after a share of the seconds
    that it took undisturbed."""

    victim: str
    rule: str | None
    share: float


@dataclass(frozen=True)
class Kill:
    """A kill that was. steps: the rules that ran at that moment."""

    aim: Aim
    steps: tuple[str, ...]

    def __str__(self) -> str:
        moment = f"{self.aim.share:.2f} of {self.aim.rule or 'the run'}"
        return f"{self.aim.victim:4}  at {moment:24}  while {', '.join(self.steps) or 'no step'} ran"


# --- processes


def processes(group: int) -> dict[int, str]:
    """The command line of each process of a group that has not ended, by number."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, number = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(number) == group and state != "Z":
                found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it has ended
            pass
    return found


def steps(group: int) -> dict[int, str]:
    """The rule of each step that runs in a group, by number of its process."""
    words = {number: line.split(" ")[:3] for number, line in processes(group).items()}
    return {number: line[2].removeprefix("refilm.") for number, line in words.items() if line[1:2] == ["-m"] and
            line[2].startswith("refilm.")}  # fmt: skip


class Run:
    """A run of Snakemake for all targets, in a group of processes of its own. Its output is in a file of runs/."""

    def __init__(self, folder: Path, targets: list[str]):
        number = len(list((folder / "runs").iterdir()))
        self.output, self.folder = folder / "runs" / f"{number:03}.txt", folder
        threads = [f"{rule}=1" for rule in TARGETS]
        words = command_line(folder, *targets, "--resources", "gpu=2", "--set-threads", *threads, config=CONFIG)
        environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        with open(self.output, "w") as output:
            self.process = subprocess.Popen(
                words, cwd=folder, env=environ, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.began = time.monotonic()

    def wait_until(self, condition: Callable[[], object]) -> bool:
        """Whether the condition holds before the run has ended."""
        while not condition():
            if self.process.poll() is not None:
                return False
            if time.monotonic() > self.began + _LIMIT_SECONDS:
                raise WrongError(f"{self.output}: the run hangs")
            time.sleep(0.02)
        return self.process.poll() is None

    def wait(self) -> int:
        """The exit status."""
        self.wait_until(lambda: False)
        return self.process.wait()

    def kill(self, victim: str, chance: random.Random) -> tuple[str, ...] | None:
        """Kill now, and wait for the end of the main process. Returns the rules that ran, or None if nothing was killed."""
        running = steps(self.process.pid)
        try:
            if victim == "step":
                os.kill(chance.choice(sorted(running)), signal.SIGKILL)
            elif victim == "main":
                os.kill(self.process.pid, signal.SIGKILL)
            else:
                os.killpg(self.process.pid, signal.SIGKILL)
        except (IndexError, ProcessLookupError):
            return None
        # A step that was killed makes its run fail, but for one that had done its work.
        killed = self.wait() == (1 if victim == "step" else -signal.SIGKILL)
        return tuple(sorted(set(running.values()))) if killed else None


# --- results


def contents(folder: Path) -> dict[str, object]:
    """What is in each file of results/, without what differs from one undisturbed chain to the next."""
    files = sorted(file for file in (folder / "results").rglob("*") if not file.is_dir())
    return {str(file.relative_to(folder)): _content(file) for file in files}


def _content(file: Path) -> object:
    if file.name in ("training.png", "lock"):  # curves over seconds; the process that trained last
        return None
    if file.suffix == ".csv" and "models" in file.parts:
        return pd.read_csv(file).drop(columns=list(_TIMED)).to_csv()
    read = {".h5": _hdf5, ".safetensors": _tensors, ".mp4": _streams}.get(file.suffix)
    return read(file) if read else file.read_bytes()


def _hdf5(file: Path) -> object:
    found: dict[str, object] = {}

    def add(name: str, item: h5py.Group) -> None:
        found[name] = {key: np.asarray(value).tobytes() for key, value in item.attrs.items()}
        if isinstance(item, h5py.Dataset):
            found[f"{name}[]"] = (item.dtype.str, item.shape, item[()].tobytes())

    with h5py.File(file) as opened:
        add("/", opened)
        opened.visititems(add)
    return found


def _tensors(file: Path) -> object:
    with safe_open(file, "np") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
        return opened.metadata(), {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in tensors.items()}


def _streams(file: Path) -> object:
    command = [executable(), "-v", "error", "-i", str(file), "-map", "0", "-f", "framemd5", "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def check_equal(undisturbed: dict[str, object], made: dict[str, object]) -> None:
    """Raises WrongError that names the files which differ."""
    wrong = {
        "left over": made.keys() - undisturbed.keys(),
        "missing": undisturbed.keys() - made.keys(),
        "different": {file for file in undisturbed.keys() & made.keys() if undisturbed[file] != made[file]},
    }
    if any(wrong.values()):
        raise WrongError("; ".join(f"{kind}: {', '.join(sorted(files))}" for kind, files in wrong.items() if files))


# --- chains


class Chains:
    """Chains in one folder. targets: the rules whose results are made."""

    def __init__(self, folder: Path, seed: int, rules: tuple[str, ...] = tuple(TARGETS)):
        self.folder, self._rules, self._chance = folder, rules, random.Random(seed)
        self._groups: list[int] = []
        for name in ("films", "runs"):
            (folder / name).mkdir(parents=True)
        make_film(folder / "films" / "one.mp4", seconds=1)
        self._hits: Counter[str] = Counter()
        self._make_undisturbed()

    def _make_undisturbed(self) -> None:
        run = self._run()
        if run.wait() != 0:
            raise WrongError(f"{run.output}: the undisturbed run failed")
        self.seconds = time.monotonic() - run.began
        jobs = [json.loads(file.read_text()) for file in (self.folder / "logs").rglob("*.progress.json")]
        self._seconds = {job["rule"]: job["updated"] - job["started"] for job in jobs}
        self._undisturbed = contents(self.folder)
        self._delete()

    def _run(self) -> Run:
        run = Run(self.folder, [TARGETS[rule] for rule in self._rules])
        self._groups.append(run.process.pid)
        return run

    def _delete(self) -> None:
        for name in ("results", "logs", ".snakemake"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def aims(self) -> Iterator[Aim]:
        """Random ones for a chain: most of them at a rule that has not yet run and was hit least."""
        while True:
            rules = [rule for rule in self._rules if not (self.folder / TARGETS[rule]).exists()]
            least = min((self._hits[rule] for rule in rules), default=0)
            rules = [rule for rule in rules if self._hits[rule] == least]
            rule = self._chance.choice(rules) if rules and self._chance.random() < 0.7 else None
            yield Aim(self._chance.choice(VICTIMS), rule, self._chance.uniform(0, 1))

    def disturb(self, aims: Iterator[Aim]) -> Iterator[Kill]:
        """Yield each kill of a chain, and check its results when it is complete. Raises WrongError for a fault."""
        for aim in aims:
            if (steps := self._kill(aim)) is None:
                break  # the chain is complete
            self._hits.update(steps)
            yield Kill(aim, steps)
        else:
            self._finish()
        self._check()

    def _kill(self, aim: Aim) -> tuple[str, ...] | None:
        """The rules that ran; None if the run ended before that moment."""
        trained, run = self._trained(), self._run()
        group = run.process.pid
        if aim.rule:
            run.wait_until(lambda: aim.rule in steps(group).values())
        moment = time.monotonic() + aim.share * (self._seconds[aim.rule] if aim.rule else self.seconds)
        run.wait_until(lambda: time.monotonic() > moment and (aim.victim != "step" or steps(group)))
        hit = run.kill(aim.victim, self._chance)
        if hit is None and run.wait() != 0:
            raise WrongError(f"{run.output}: this run was not disturbed, and failed")
        self._check_output(run, trained)
        return hit

    def _finish(self) -> None:
        trained, run = self._trained(), self._run()
        if run.wait() != 0:
            raise WrongError(f"{run.output}: the command did not continue")
        self._check_output(run, trained)

    def _trained(self) -> bool:
        """Whether there is a checkpoint, or a model."""
        return any((self.folder / "results/models/one").glob("state/*/step-*[0-9].safetensors"))

    def _check_output(self, run: Run, trained: bool) -> None:
        output = run.output.read_text()
        if "LockException" in output or "Traceback" in output:
            raise WrongError(f"{run.output}: not continued without a manual step")
        errors = [line for line in output.splitlines() if line.startswith("refilm: ") and "killed by SIGKILL" not in line]
        if errors:
            raise WrongError(f"{run.output}: {errors[0]}")
        if trained and "steps of" in output and not any(words in output for words in ("continues after", "trained before")):
            raise WrongError(f"{run.output}: trained a second time")

    def _check(self) -> None:
        """Compare, when steps that outlived their main process have ended; then delete all."""
        end = time.monotonic() + _LIMIT_SECONDS
        while any(processes(group) for group in self._groups):
            if time.monotonic() > end:
                raise WrongError("a step hangs whose main process was killed")
            time.sleep(0.05)
        check_equal(self._undisturbed, contents(self.folder))
        self._groups.clear()
        self._delete()


def faults(count: int, chains: Chains) -> Iterator[Kill]:
    """Yield so many kills, some in each chain. Raises WrongError at the first fault."""
    kills = 0
    while kills < count:
        length = min(_KILLS_OF_A_CHAIN, count - kills)
        for kill in chains.disturb(itertools.islice(chains.aims(), length)):
            kills += 1
            yield kill


def main(count: int = 100, seed: int = 1) -> None:
    folder, began = Path(tempfile.gettempdir(), "refilm-faults"), time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    print(f"faults: {count} kills, seed {seed}, of {ROOT}", flush=True)
    by_rule: Counter[str] = Counter()
    by_victim: Counter[str] = Counter()
    wrong = None
    try:
        chains = Chains(folder, seed)
        print(f"faults: undisturbed, the chain takes {chains.seconds:.0f} s", flush=True)
        for number, kill in enumerate(faults(count, chains), 1):
            print(f"{number:4}  {time.monotonic() - began:5.0f} s  {kill}", flush=True)
            by_rule.update(kill.steps or ["no step"])
            by_victim[kill.aim.victim] += 1
    except WrongError as error:
        wrong = error
    for tally in (by_rule, by_victim):
        print(", ".join(f"{name} {times}" for name, times in tally.most_common()))
    kills = sum(by_victim.values())
    print(f"faults: {kills} kills, seed {seed}: {'WRONG' if wrong else 'all equal'}, {time.monotonic() - began:.0f} s")
    if wrong:
        print(f"faults: {wrong}; the folder is kept: {folder}")
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
