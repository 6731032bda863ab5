"""The chain that several test files look at."""

import subprocess
from pathlib import Path

import pytest

from tests.workflow.test_chain import CONFIG, TARGETS, write_films
from tests.workflow.test_plan import snakemake


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """A folder in which everything of test_chain's CONFIG has been made, by one run."""
    folder = tmp_path_factory.mktemp("chain")
    write_films(folder)
    done = snakemake(folder, *TARGETS, config=CONFIG)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def copied(made, tmp_path) -> Path:
    """A copy of it, times and all, to change things in."""
    subprocess.run(["cp", "-a", f"{made}/.", str(tmp_path)], check=True)
    return tmp_path
