"""`base_channels: auto` in a plan, and in the jobs of a cluster, which read the configuration again."""

import json
import platform
import re
import sys
from pathlib import Path

from tests.conftest import make_film
from tests.workflow.test_plan import plan, snakemake

SMALL = {
    "films": {"one": {"source": "one.mp4"}},
    "models": {"one": {"films": ["one"], "frame_size": "32x32", "latent_dim": 16, "batch_size": 2, "steps": 2}},
}


def planned_channels(folder: Path, *words) -> list[str]:
    """base_channels in the recipes of the trainings of a plan of SMALL."""
    (folder / "one.mp4").touch()
    done = snakemake(folder, "-n", "-p", "results/models/one/model.safetensors", *words, config=SMALL)
    assert done.returncode == 0, done.stderr
    return re.findall(r'"base_channels":(\d+)', done.stdout + done.stderr)


def test_without_a_gpu_the_network_is_narrow_and_on_a_cluster_it_is_not(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    width = "40" if sys.platform == "darwin" and platform.machine() == "arm64" else "24"
    assert planned_channels(tmp_path) == [width]
    assert planned_channels(tmp_path, "--executor", "slurm", "--jobs", 1) == ["80"]


def test_a_job_of_a_cluster_trains_what_was_planned_though_it_sees_no_gpu(tmp_path, monkeypatch):
    """Without the environment of the plan too, as in a container."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    make_film(tmp_path / "one.mp4", seconds=1)
    submit = ("--cluster-generic-submit-cmd", "env -u REFILM_PLANNED_DEVICE sh", "--seconds-between-status-checks", 1)
    model = "results/models/one/model.safetensors"
    done = snakemake(tmp_path, model, "--executor", "cluster-generic", "--jobs", 1, *submit, config=SMALL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "results/models/one/recipe.json").read_text())["base_channels"] == 80
    assert plan(tmp_path, model, config=SMALL) == {}  # from here on also on a machine without a cluster
