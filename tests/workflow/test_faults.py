"""Runs that are killed or hung up: the same command continues. A few of the kills of `make faults`, at fixed places."""

import contextlib
import os
import pty
import signal
import subprocess
import threading
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from tests.conftest import make_film
from tests.faults import CONFIG, TARGETS, Aim, Chains, processes
from tests.helpers import wait_for
from tests.workflow.test_plan import command_line, plan, snakemake

MODEL = Path(TARGETS["train_model"])


def test_a_chain_that_is_killed_at_four_places_ends_as_if_nothing_had_happened(tmp_path):
    aims = [
        Aim("main", "extract_frames", 0.5),
        Aim("all", "train_model", 0.9),
        Aim("step", "encode_film", 0.3),
        Aim("main", "render_video", 0.6),
    ]
    chains = Chains(tmp_path, seed=1, rules=("extract_frames", "train_model", "encode_film", "render_video"))
    kills = list(chains.disturb(iter(aims)))
    assert [kill.aim for kill in kills] == aims and all(kill.aim.rule in kill.steps for kill in kills)


def test_a_step_that_ended_after_its_main_process_was_killed_is_repeated_and_all_that_depends_on_it_made(tmp_path):
    """Its result is there, and Snakemake has not seen it end."""
    (tmp_path / "films").mkdir()
    make_film(tmp_path / "films" / "one.mp4", seconds=1)
    frames = TARGETS["extract_frames"]
    made = snakemake(tmp_path, frames, config=CONFIG)
    assert made.returncode == 0, made.stderr
    assert plan(tmp_path, TARGETS["render_video"], config=CONFIG) == {"train_model": 1, "encode_film": 1, "render_video": 1}
    (tmp_path / ".snakemake/incomplete" / urlsafe_b64encode(frames.encode()).decode()).write_text("{}")
    assert plan(tmp_path, TARGETS["render_video"], config=CONFIG) == {
        "extract_frames": 1,
        "train_model": 1,
        "encode_film": 1,
        "render_video": 1,
    }


def test_a_plan_and_an_unlock_after_a_kill_and_beside_a_run(training):
    """Neither fails, and neither takes anything from a run that lives."""
    folder, process, config, _ = training
    locks = folder / ".snakemake/locks"
    planned = snakemake(folder, "-n", MODEL, config=config)
    assert planned.returncode == 0 and f"process {process.pid} on" in planned.stderr and len(os.listdir(locks)) == 2
    refused = snakemake(folder, MODEL, config=config)
    assert refused.returncode == 1 and "LockException" in refused.stdout + refused.stderr
    assert f"process {process.pid} on" in refused.stderr and len(os.listdir(locks)) == 2
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    planned = snakemake(folder, "-n", MODEL, config=config)
    assert planned.returncode == 0 and "annot be locked" not in planned.stdout + planned.stderr
    assert os.listdir(locks) == [] and snakemake(folder, "--unlock", config=config).returncode == 0


@pytest.mark.parametrize("who", ["the kernel", "the shell"])
def test_when_the_terminal_is_closed_the_training_is_saved_and_no_lock_stays(training, who):
    """The kernel sends SIGHUP to the leader of the session, and a shell that is the leader to all processes of the run."""
    folder, process, config, terminal = training
    if who == "the kernel":
        terminal.close()
    else:
        os.killpg(process.pid, signal.SIGHUP)
    wait_for(lambda: not processes(process.pid) and process.poll() is not None, seconds=120)
    assert "received SIGHUP" in (folder / "logs/train_model/one.log").read_text() or _kept(folder)
    assert process.returncode > 0 and not (folder / ".snakemake/locks").exists()
    planned = snakemake(folder, "-n", MODEL, config=config)
    assert planned.returncode == 0 and ".snakemake" not in planned.stderr
    assert 0 < _kept(folder) < 100_000


@pytest.fixture
def training(tmp_path):
    """A run on a terminal of its own, while it trains for long: its folder, main process, configuration and terminal."""
    config = CONFIG | {"training": CONFIG["training"] | {"steps": 100_000}}
    (tmp_path / "films").mkdir()
    make_film(tmp_path / "films" / "one.mp4", seconds=1)
    controller, end = pty.openpty()
    # The first terminal that the leader of a session opens becomes that of the session.
    words = ["sh", "-c", 'exec "$@" < "$0" > "$0" 2>&1', os.ttyname(end), *command_line(tmp_path, MODEL, config=config)]
    with os.fdopen(controller, "rb", buffering=0) as terminal, subprocess.Popen(words, start_new_session=True) as process:
        os.close(end)
        threading.Thread(target=_read, args=(terminal,), daemon=True).start()
        log = tmp_path / MODEL.with_name("training.csv")
        wait_for(log.exists, seconds=120, failed=lambda: process.poll() is not None)
        yield tmp_path, process, config, terminal
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _read(terminal) -> None:
    """Take what is written to a terminal, so that it does not fill up."""
    with contextlib.suppress(OSError, ValueError):
        while terminal.read(10_000):
            pass


def _kept(folder: Path) -> int:
    """The step of the latest checkpoint."""
    files = (folder / MODEL.parent / "state").rglob("step-*[0-9].safetensors")
    return max((int(file.stem.removeprefix("step-")) for file in files), default=0)
