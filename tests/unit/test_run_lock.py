"""Locks of Snakemake: removed when the run that wrote them was killed, and else left alone. With real processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from refilm.config.run_lock import makes_nothing

# A run of Snakemake, as far as locks go: it begins, writes locks where there is a free number, and waits for a line to end.
RUN = """
import sys
from itertools import count
from pathlib import Path
from refilm.config.run_lock import begin_run

begin_run(sys.argv[1:])
locks = Path(".snakemake/locks")
locks.mkdir(exist_ok=True)
written = [next(file for n in count() if not (file := locks / f"{n}.{kind}.lock").exists()) for kind in ("input", "output")]
for file in written if "--no-locks" not in sys.argv else []:
    file.write_text("results/one.mp4")
print("runs", flush=True)
if sys.stdin.readline() == "fork\\n":
    import subprocess
    print(subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL).pid, flush=True)
    sys.stdin.readline()
for file in written if "--no-locks" not in sys.argv else []:
    file.unlink(missing_ok=True)
"""


class Runs:
    """Runs in one folder. They are killed at the end of a test."""

    def __init__(self, folder: Path):
        self.folder, self._processes = folder, []

    def start(self, *words: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, *words],
            cwd=self.folder, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._processes.append(process)
        assert process.stdout.readline() == "runs\n"
        return process

    def locks(self) -> list[str]:
        return sorted(file.name for file in (self.folder / ".snakemake/locks").glob("*"))

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()


@pytest.fixture
def runs(tmp_path):
    begun = Runs(tmp_path)
    yield begun
    begun.end()


def printed(process: subprocess.Popen) -> str:
    """What a run wrote to stderr. It ends by itself."""
    _, errors = process.communicate("\n")
    assert process.returncode == 0
    return errors


def killed(process: subprocess.Popen) -> None:
    process.kill()
    process.communicate()


FIRST = ["0.input.lock", "0.output.lock"]
SECOND = ["1.input.lock", "1.output.lock"]


def test_locks_of_a_killed_run_are_deleted_with_one_line(runs):
    dead = runs.start()
    killed(dead)
    assert runs.locks() == FIRST
    (line,) = printed(runs.start("--no-locks")).splitlines()
    assert line.startswith(".snakemake/locks: deleted") and f"process {dead.pid} on {os.uname().nodename}" in line
    assert runs.locks() == []
    assert printed(runs.start()) == ""


def test_locks_of_a_run_that_lives_stay_and_it_is_named(runs):
    alive = runs.start()
    line = printed(runs.start("--no-locks"))
    assert f"process {alive.pid} on {os.uname().nodename}: runs Snakemake" in line and runs.locks() == FIRST


def test_one_of_two_runs_is_killed_and_the_locks_stay_until_the_other_ends(runs):
    alive, dead = runs.start(), runs.start()
    killed(dead)
    line = printed(runs.start("--no-locks"))
    assert str(alive.pid) in line and str(dead.pid) not in line
    assert runs.locks() == sorted(FIRST + SECOND)
    printed(alive)
    assert "deleted" in printed(runs.start("--no-locks")) and runs.locks() == []


def test_a_run_that_is_killed_again_and_again(runs):
    for _ in range(3):
        killed(runs.start())
        assert runs.locks() == FIRST


def test_locks_that_no_killed_run_can_have_written_stay(runs):
    """Of a workflow that does not hold this lock: older than the run that was killed, or one more than it could write."""
    locks = runs.folder / ".snakemake/locks"
    locks.mkdir(parents=True)
    (locks / "0.input.lock").write_text("a")
    os.utime(locks / "0.input.lock", (1, 1))
    assert printed(runs.start("--no-locks")) == ""  # no run was killed
    killed(runs.start("--no-locks"))
    assert printed(runs.start("--no-locks")) == "" and runs.locks() == ["0.input.lock"]
    killed(runs.start("--no-locks"))
    for number in (0, 1):
        (locks / f"{number}.input.lock").write_text("a")
    assert printed(runs.start("--no-locks")) == "" and runs.locks() == ["0.input.lock", "1.input.lock"]


@pytest.mark.parametrize("word", ["-n", "-np", "--dry-run", "--unlock", "--nolock", "--lint", "--report=a.zip", "--dag"])
def test_a_command_that_makes_nothing_holds_no_lock_and_takes_none(runs, word):
    plan = runs.start(word, "--no-locks")
    dead = runs.start()
    killed(dead)  # while the plan is still there
    assert "deleted" in printed(runs.start("--no-locks"))
    alive = runs.start()
    assert str(alive.pid) in printed(runs.start(word, "--no-locks")) and runs.locks() == FIRST
    printed(plan)


def test_words_of_a_run_are_not_those_of_a_plan():
    assert not makes_nothing(["results/one.mp4", "--cores", "2", "--touch", "--forceall", "--rerun-incomplete", "-k"])


def test_children_do_not_hold_the_lock(runs):
    dead = runs.start()
    dead.stdin.write("fork\n")
    dead.stdin.flush()
    child = int(dead.stdout.readline())
    dead.kill()
    dead.wait()
    os.kill(child, 0)
    assert "deleted" in printed(runs.start("--no-locks"))
    os.kill(child, signal.SIGKILL)


def test_of_many_runs_that_start_together_none_loses_its_locks(runs):
    """After one that was killed. All of them have written different files."""
    killed(runs.start())
    words = [sys.executable, "-c", RUN.replace("import sys\n", "import sys, os\n").replace("{n}", "{os.getpid()}")]
    started = [
        subprocess.Popen(words, cwd=runs.folder, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(8)
    ]
    assert [process.stdout.readline() for process in started] == ["runs\n"] * 8
    mine = sorted(f"{process.pid}.{kind}.lock" for process in started for kind in ("input", "output"))
    assert runs.locks() == sorted(mine)
    for process in started:
        process.communicate("\n")


def test_without_flock_and_in_a_folder_that_cannot_be_written_nothing_happens(runs, tmp_path):
    code = RUN.replace("begin_run(sys", "import fcntl\ndef refuse(*_): raise OSError(95, 'not supported')\n"
                       "fcntl.flock = refuse\nbegin_run(sys")  # fmt: skip
    killed(runs.start())
    words = [sys.executable, "-c", code, "--no-locks"]
    done = subprocess.run(words, cwd=tmp_path, input="\n", capture_output=True, text=True)
    assert (done.returncode, done.stderr, runs.locks()) == (0, "", FIRST)
    other = tmp_path / "other"
    other.mkdir()
    (other / ".snakemake").write_text("a file")
    done = subprocess.run([sys.executable, "-c", "from refilm.config.run_lock import begin_run; begin_run([])"], cwd=other)
    assert done.returncode == 0
