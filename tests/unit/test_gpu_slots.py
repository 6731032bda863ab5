"""Processes on one machine with several GPUs: each gets its own. The GPUs are those that a stand-in for nvidia-smi lists."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

PROGRAM = """
import os, sys
from refilm.models.gpu_slots import reserve_gpus
reserve_gpus(int(sys.argv[1]))
print("sees", os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
sys.stdin.read()
"""


@contextmanager
def pretend_gpus(folder: Path, count: int) -> Iterator[dict[str, str]]:
    """The environment of a machine with so many GPUs."""
    gpus = [f"GPU-{uuid.uuid4()}" for _ in range(count)]
    tool = folder / "nvidia-smi"
    tool.write_text("#!/bin/sh\n" + "".join(f"echo {gpu}\n" for gpu in gpus))
    tool.chmod(0o755)
    environ = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    yield environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    for gpu in gpus:
        Path(f"/tmp/refilm-{gpu}.lock").unlink(missing_ok=True)


@pytest.fixture
def machine(tmp_path) -> Iterator["Machine"]:
    with ExitStack() as stack:
        yield Machine(tmp_path, stack)


class Machine:
    """Starts processes that use GPUs until they are ended."""

    def __init__(self, folder: Path, stack: ExitStack):
        self.environ, self._stack = stack.enter_context(pretend_gpus(folder, 3)), stack

    def start(self, gpus: int = 1, **environment: str) -> tuple[subprocess.Popen, str]:
        """(process, what it prints)."""
        words = [sys.executable, "-c", PROGRAM, str(gpus)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        process = self._stack.enter_context(subprocess.Popen(words, env=self.environ | environment, **pipes))
        self._stack.callback(process.kill)
        printed = ""
        while "sees" not in printed:
            line = process.stdout.readline()
            assert line, "the process ended"
            printed += line
        return process, printed

    def seen(self, gpus: int = 1, **environment: str) -> str:
        return self.start(gpus, **environment)[1].partition("sees ")[2].strip()


def test_each_process_sees_a_gpu_of_its_own(machine):
    assert [machine.seen(), machine.seen(), machine.seen()] == ["0", "1", "2"]


def test_a_gpu_is_free_again_when_its_process_was_killed(machine):
    first, _printed = machine.start()
    assert machine.seen() == "1"
    first.kill()
    first.wait()
    assert machine.seen() == "0"


def test_a_training_on_two_gpus_takes_both(machine):
    assert machine.seen() == "0"
    assert machine.seen(2) == "1,2"


def test_where_all_are_used_one_is_shared_and_a_line_says_so(machine):
    assert [machine.seen(2), machine.seen()] == ["0,1", "2"]
    _process, printed = machine.start()
    assert "shared with another process" in printed and "sees 0" in printed


def test_what_a_cluster_or_a_user_has_chosen_is_kept(machine):
    assert machine.seen(CUDA_VISIBLE_DEVICES="2") == "2"
    assert machine.seen(CUDA_VISIBLE_DEVICES="") == ""  # no GPU at all
    assert machine.seen() == "0"


@pytest.mark.parametrize("tool", ["exit 9", "echo GPU-alone"])
def test_nothing_is_chosen_without_a_driver_and_with_a_single_gpu(machine, tool, tmp_path):
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{tool}\n")
    assert machine.seen() == "None"
