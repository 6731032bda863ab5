"""What a run says when it ends: what it made, or the one line of each step that failed, and nothing more."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from refilm.config.closing import describe_results
from tests.conftest import ROOT, make_film
from tests.helpers import wait_for
from tests.http_site import Site, served
from tests.workflow.test_plan import command_line, snakemake

CONFIG = {
    "films": {name: {"source": f"films/{name}.mkv"} for name in ("one", "two", "three")},
    "models": {"one": {"films": ["one"]}},
    "training": {"frame_size": "64x48"},
    "device": "cpu",
}


def frames(film: str) -> str:
    return f"results/frames/64x48/{film}.h5"


@pytest.fixture
def folder(tmp_path) -> Path:
    """A film, and two files that are none."""
    (tmp_path / "films").mkdir()
    make_film(tmp_path / "films" / "one.mkv", seconds=1)
    for name in ("two", "three"):
        (tmp_path / "films" / f"{name}.mkv").write_bytes(b"not a film")
    return tmp_path


def everything(done: subprocess.CompletedProcess) -> str:
    return done.stdout + done.stderr


def errors(output: str) -> list[str]:
    return [line for line in output.splitlines() if "refilm: " in line]


def test_a_run_ends_with_what_it_made_and_one_that_has_nothing_to_do_says_nothing(folder):
    targets = (frames("one"), "results/frames/32x32/one.h5", "results/stills/one_crop.png")
    planned = everything(snakemake(folder, "-n", *targets, config=CONFIG))
    assert "crop previews" not in planned
    done = snakemake(folder, *targets, config=CONFIG)
    assert done.returncode == 0, everything(done)
    heading, *made = done.stderr.splitlines()[-3:]
    assert re.fullmatch(r"Made in \d+:\d\d, with logs in logs/:", heading)
    assert [line.split() for line in made] == [
        ["crop", "previews", "1", "results/stills/one_crop.png"],
        ["frames", "2", "results/frames/32x32/one.h5", "and", "1", "more"],
    ]
    again = snakemake(folder, *targets, config=CONFIG)
    assert "Nothing to be done" in everything(again) and "Made in" not in everything(again)
    assert "eligible for caching" not in everything(done)


def test_ten_thousand_results_are_a_dozen_lines():
    pairs = [f"film-{n}_by_model-{m}" for n in range(100) for m in range(25)]
    files = [pattern.format(pair) for pair in pairs for pattern in (
        "results/{}.mp4", "results/stills/{}.png", "results/latents/{}.h5", "results/metrics/{}.csv")]  # fmt: skip
    lines = describe_results([*files, "elsewhere.txt"], 100_000)
    assert len(lines) == 6 and lines[0].startswith("Made in 27:46:40")
    assert lines[1].split() == ["videos", "2,500", "results/film-0_by_model-0.mp4", "and", "2,499", "more"]
    assert lines[-1].split() == ["other", "files", "1", "elsewhere.txt"]


@pytest.mark.parametrize("executor", ["local", "cluster-generic"])
def test_a_broken_film_is_one_line_on_the_whole_terminal_and_the_last(folder, executor):
    cluster = ("--cluster-generic-submit-cmd", "bash", "--jobs", "1", "--retries", "1")
    words = cluster if executor == "cluster-generic" else ()
    done = snakemake(folder, frames("two"), "--executor", executor, *words, config=CONFIG)
    (line,) = errors(everything(done))
    assert done.returncode == 1 and line == done.stderr.splitlines()[-1]
    assert line.startswith("refilm: films/two.mkv: this file cannot be read as a film")
    log = "logs/extract_frames/64x48/two.log"
    assert line.endswith(f"(log: {log})") and line.startswith((folder / log).read_text().splitlines()[-1])
    assert json.loads((folder / log).with_suffix(".progress.json").read_text())["state"] == "failed"


def test_two_broken_films_are_two_lines(folder):
    words = ("--keep-going", "--set-threads", "extract_frames=1")
    done = snakemake(folder, frames("one"), frames("two"), frames("three"), *words, config=CONFIG)
    lines = errors(everything(done))
    assert [line.split()[1] for line in lines] == ["films/three.mkv:", "films/two.mkv:"] and done.returncode == 1
    assert lines == done.stderr.splitlines()[-2:] and "Made in" not in everything(done) and (folder / frames("one")).exists()


def test_a_group_of_jobs_of_which_one_fails_is_one_line(folder):
    """Its jobs run in one job of the cluster, and Snakemake counts them all as failed."""
    cluster = ("--executor", "cluster-generic", "--cluster-generic-submit-cmd", "bash", "--jobs", "1")
    group = ("--groups", "extract_frames=both", "--group-components", "both=2")
    done = snakemake(folder, frames("one"), frames("two"), *cluster, *group, config=CONFIG)
    (line,) = errors(everything(done))
    assert line.startswith("refilm: films/two.mkv: this file cannot be read as a film")


def test_without_hooks_the_step_itself_shows_its_line(folder):
    assert len(errors(everything(snakemake(folder, frames("two"), "--no-hooks", config=CONFIG)))) == 1


@pytest.fixture
def fetching(tmp_path):
    """A run that fetches a film which does not come, and the number of the process that waits for it."""
    site = Site(b"")
    site.answers.clear()
    with served(site) as address:
        config = CONFIG | {"films": {"one": {"source": address}}}
        words = command_line(tmp_path, frames("one"), config=config)
        process = subprocess.Popen(
            words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        (log,) = [tmp_path / "logs/fetch_film/one.mkv.progress.json"]
        wait_for(log.exists, failed=lambda: process.poll() is not None)
        yield process, json.loads(log.read_text())["pid"]
        site.answers.set()


def test_a_step_that_is_killed_is_one_line(fetching):
    process, step = fetching
    os.kill(step, signal.SIGKILL)
    output, _ = process.communicate()
    assert errors(output) == [output.splitlines()[-1]] and process.returncode == 1
    assert errors(output)[0] == (
        "refilm: fetch_film/one.mkv: killed by SIGKILL, without an error message (log: logs/fetch_film/one.mkv.log)"
    )


def test_a_step_that_is_killed_with_its_shell_is_one_line(fetching):
    process, step = fetching
    shell = int(Path(f"/proc/{step}/stat").read_text().rpartition(")")[2].split()[1])
    for number in (shell, step):
        os.kill(number, signal.SIGKILL)
    output, _ = process.communicate()
    (line,) = errors(output)
    assert line.startswith("refilm: fetch_film one .mkv: failed without an error message: see what Snakemake printed")
    assert line.endswith("logs/fetch_film/one.mkv.log") and process.returncode == 1


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_says_so_and_of_no_failure(fetching, sign):
    process, _ = fetching
    os.killpg(process.pid, sign)
    output, _ = process.communicate()
    message = {signal.SIGINT: "interrupted (Ctrl-C)", signal.SIGTERM: "received SIGTERM"}[sign]
    assert errors(output) == [f"refilm: {message}; no half-written file was left (log: logs/fetch_film/one.mkv.log)"]
    assert output.splitlines()[-1] == errors(output)[0]


def test_a_log_that_cannot_be_written_and_a_terminal_that_is_gone_stop_no_step(tmp_path):
    """The shell text of a step: its output and its exit status are those of the command."""
    text = (
        f'set -euo pipefail; source {ROOT}/workflow/scripts/step.sh "$0"; logged sh -c "echo a; sleep 0.1; echo b; exit $1"'
    )
    environ = os.environ | {"REFILM_ERRORS_LAST": "1", "REFILM_PYTHON": ""}
    for log, status in ((tmp_path, "0"), (tmp_path / "log", "0"), (tmp_path / "log", "3")):
        done = subprocess.run(["bash", "-c", text, log, status], env=environ, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (int(status), "a\nb\n")
    named = "refilm: " + str(tmp_path / "log").removesuffix(".log")
    assert (tmp_path / "log").read_text() == f"a\nb\n{named}: ended with exit status 3, without an error message\n"
    with subprocess.Popen(["bash", "-c", text, tmp_path / "log", "0"], env=environ, stdout=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.wait() == 0
    assert (tmp_path / "log").read_text() == "a\nb\n"
