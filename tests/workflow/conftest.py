"""The chain that several test files look at."""

import subprocess
from pathlib import Path

import pytest

from tests.conftest import made_once
from tests.workflow.test_chain import CONFIG, TARGETS, write_films
from tests.workflow.test_plan import snakemake


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """A folder in which everything of test_chain's CONFIG has been made, by one run."""
    folder = tmp_path_factory.mktemp("chain")
    copy_all(made_once(tmp_path_factory, "chain", make_chain), folder)
    return folder


def make_chain(folder: Path) -> None:
    write_films(folder)
    done = snakemake(folder, *TARGETS, config=CONFIG, forks=False)
    assert done.returncode == 0, done.stdout + done.stderr


def copy_all(folder: Path, there: Path) -> None:
    """Everything in a folder, times and all."""
    subprocess.run(["cp", "-a", f"{folder}/.", str(there)], check=True)


@pytest.fixture
def copied(made, tmp_path) -> Path:
    """A copy of it, times and all, to change things in."""
    copy_all(made, tmp_path)
    return tmp_path
