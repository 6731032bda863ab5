"""A signal to stop, at difficult moments: the process ends at once, and leaves no file and no child process."""

import os
import signal
import subprocess
import sys

import pytest

# A command with an ffmpeg, a half-written file and a scratch folder, which sends itself the signal at a given point.
COMMAND = """
import os, signal, subprocess, sys, threading, time
from pathlib import Path
from refilm.media.ffmpeg import FfmpegProcess, executable
from refilm.core.command_line import command_parser, run_command
from refilm.core.files import atomic_write, scratch_folder
from refilm.core.signals import cleanup_on_signal

def stop():
    os.kill(os.getpid(), signal.{sign})

class StopsWhenDeleted:
    def __del__(self):
        stop()

def main(args):
    endless = [executable(), "-v", "error", "-f", "lavfi", "-i", "anullsrc", "-f", "null", "-"]
    with atomic_write(Path("out/result.txt")) as half, scratch_folder() as scratch, FfmpegProcess(endless, "x") as process:
        half.write_text("half")
        (scratch / "labels").write_text("drawn")
        print(process._process.pid)
{moment}
        time.sleep(60)

run_command(main, command_parser(""))
"""
MOMENTS = {
    "in a library that catches everything": "        try: stop()\n        except Exception: pass",
    "in a __del__": "        StopsWhenDeleted()",
    "while a lock that the cleanup needs is held": "        process._process._waitpid_lock.acquire(); stop()",
    "during the cleanup": "        try: raise ValueError\n        finally: stop()",
}


def run_until_stopped(folder, moment: str, sign: str, shell: str = "exec") -> subprocess.CompletedProcess:
    (folder / "scratch").mkdir()
    environ = os.environ | {"TMPDIR": str(folder / "scratch")}
    code = COMMAND.format(sign=sign, moment=moment)
    words = ["sh", "-c", f'{shell} "$@"', "sh", sys.executable, "-c", code]
    return subprocess.run(words, cwd=folder, env=environ, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("sign", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_at_any_moment_stops_the_process_and_leaves_nothing(tmp_path, moment, sign):
    done = run_until_stopped(tmp_path, MOMENTS[moment], sign)
    message = {"SIGTERM": "received SIGTERM", "SIGINT": "interrupted (Ctrl-C)"}[sign]
    assert done.returncode == 75 and done.stderr == f"refilm: {message}; no half-written file was left\n"
    assert os.listdir(tmp_path / "out") == [] and os.listdir(tmp_path / "scratch") == []
    child = int(done.stdout)  # what was printed before is not lost
    with pytest.raises(ProcessLookupError):
        os.kill(child, signal.SIGCONT)


def test_an_earlier_result_stays(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "result.txt").write_text("of yesterday")
    assert run_until_stopped(tmp_path, "        stop()", "SIGTERM").returncode == 75
    assert (tmp_path / "out" / "result.txt").read_text() == "of yesterday" and os.listdir(tmp_path / "out") == ["result.txt"]


def test_a_stopped_forked_child_cleans_up_nothing_of_its_parent(tmp_path):
    """Compilers fork workers, and stop them with a signal."""
    moment = """
        child = os.fork()
        if child == 0:
            stop()
        os.waitpid(child, 0)
        print(half.read_text(), (scratch / "labels").read_text(), process.running(0))
        sys.exit(0)
    """
    done = run_until_stopped(tmp_path, moment, "SIGTERM")
    assert done.stdout.split()[1:] == ["half", "drawn", "True"] and done.stderr == ""


def test_a_child_that_is_just_being_started_is_killed_too(tmp_path):
    """The signal comes between the start of an ffmpeg and the moment at which its process id is known."""
    moment = """
        start = subprocess.Popen._execute_child
        def start_and_stop(popen, *rest):
            start(popen, *rest)
            print(popen.pid)
            stop()
        subprocess.Popen._execute_child = start_and_stop
        with FfmpegProcess(endless, "y"):
            time.sleep(60)
    """
    done = run_until_stopped(tmp_path, moment, "SIGTERM")
    assert done.returncode == 75 and os.listdir(tmp_path / "scratch") == []
    children = [int(word) for word in done.stdout.split()]
    assert len(children) == 2
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, signal.SIGCONT)


def test_what_another_thread_is_just_creating_is_cleaned_up_too(tmp_path):
    moment = """
        def make():
            time.sleep(0.5)
            Path("late").write_text("made")
        def use():
            with cleanup_on_signal(make, lambda _: Path("late").unlink()):
                time.sleep(60)
        threading.Thread(target=use, daemon=True).start()
        time.sleep(0.1)
        stop()
    """
    done = run_until_stopped(tmp_path, moment, "SIGTERM")
    assert done.returncode == 75 and sorted(os.listdir(tmp_path)) == ["out", "scratch"], done.stderr


def test_an_ignored_signal_stays_ignored(tmp_path):
    """A shell starts background jobs with Ctrl-C ignored."""
    moment = "        stop(); print('continues'); sys.exit(0)"
    done = run_until_stopped(tmp_path, moment, "SIGINT", "trap '' INT; exec")
    assert done.returncode == 0 and done.stdout.endswith("continues\n"), done.stderr


@pytest.mark.parametrize("shell", ["exec", "exec nohup"])
def test_a_hangup_ends_the_main_process_as_sigterm_does_but_not_under_nohup(tmp_path, shell):
    code = (
        "import os, signal\nfrom refilm.core.signals import hang_up_as_terminate\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('terminated'))\nhang_up_as_terminate()\n"
        "os.kill(os.getpid(), signal.SIGHUP)\nprint('ends')"
    )
    words = ["sh", "-c", f'{shell} "$@"', "sh", sys.executable, "-c", code]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0
    assert done.stdout.splitlines() == (["ends"] if "nohup" in shell else ["terminated", "ends"])
