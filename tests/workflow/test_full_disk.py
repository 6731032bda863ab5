"""A disk that is full, at each step: one line says which file and what is missing, and no half-written file is left.

results/ is a file system in memory, which one file fills; to mount it the test must be root.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from refilm import layout
from tests.conftest import make_film
from tests.workflow.test_plan import snakemake

CONFIG = {
    "films": {"one": {"source": "films/one.mp4"}},
    "models": {"one": {"films": ["one"]}},
    "training": {"frame_size": "64x48", "base_channels": 8, "latent_dim": 16, "batch_size": 4, "steps": 6},
    "reconstructions": ["one_by_one"],
    "comparisons": {"clip": {"film": "one", "models": ["one"]}},
    "device": "cpu",
}
NAMES = {"film": "one", "model": "one", "comparison": "clip", "size": "64x48"}
STEPS = [  # each needs some of those before it
    [layout.CROP_PREVIEW, layout.FRAMES],
    [layout.SHOTS, layout.MODEL],
    [layout.LATENTS, layout.TRAINING_FILM, layout.SAMPLES, layout.DRIFT],
    [layout.NETWORK, layout.VIDEO, layout.STILLS, layout.METRICS, layout.COMPARISON, layout.COMPOSITE],
    [layout.THUMBNAIL, layout.MEASURES, layout.FINDINGS],
    [layout.GALLERY],
]


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a file system of 64 MB."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Leave nothing of it."""
    ballast = disk / "ballast"
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free)
    yield
    ballast.unlink()


def files(folder: Path) -> set[str]:
    """All that is there but locks and the records of a training, which are empty or begun again."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {file for file in found if not re.search(r"ballast|state/lock|recipe\.json|training\.csv|images/", file)}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
def test_a_full_disk_at_each_step(tmp_path):
    (tmp_path / "films").mkdir()
    make_film(tmp_path / "films" / "one.mp4", seconds=1)
    disk = tmp_path / "results"
    with small_disk(disk):
        for results in STEPS:
            targets = [result.format(**NAMES) for result in results]
            before = files(disk)
            with full(disk):
                stopped = snakemake(tmp_path, "--keep-going", *targets, config=CONFIG)
                assert stopped.returncode == 1
                lines = {line for line in (stopped.stdout + stopped.stderr).splitlines() if line.startswith("refilm: ")}
                assert len(lines) == len(targets), "\n".join(lines) + stopped.stdout + stopped.stderr
                for line in lines:
                    assert re.search(r"results/\S+: no space left on the disk .* free in \S+: make room", line), line
                    assert re.search(r"\d [kMG]B", line), line
                assert files(disk) == before, targets
            made = snakemake(tmp_path, *targets, config=CONFIG)
            assert made.returncode == 0, made.stdout + made.stderr
            assert all((tmp_path / target).exists() for target in targets)
