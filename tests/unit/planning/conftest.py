"""Plans look at the working directory: each test has one of its own."""

from pathlib import Path

import pytest

from tests.plans import touch


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """A working directory with both film files and twelve images."""
    monkeypatch.chdir(tmp_path)
    for file in ("films/one.mkv", "films/two.mkv", *(f"stills/{n}.png" for n in range(1, 13))):
        touch(file)
    return tmp_path
