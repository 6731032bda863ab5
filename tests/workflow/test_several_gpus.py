"""Two trainings at once on a machine with two GPUs, which a stand-in for nvidia-smi lists."""

import json
import os
import subprocess

from tests.conftest import make_film
from tests.unit.test_gpu_slots import pretend_gpus
from tests.workflow.test_plan import command_line

CONFIG = {
    "films": {"one": {"source": "films/one.mp4"}},
    "models": {"first": {"films": ["one"]}, "second": {"films": ["one"], "seed": 1}},
    "training": {
        "frame_size": "64x48",
        "base_channels": 8,
        "latent_dim": 16,
        "batch_size": 4,
        "steps": 200,
        "recipe": "vae",
    },
}
MODELS = [f"results/models/{model}/model.safetensors" for model in ("first", "second")]


def test_two_trainings_run_at_once_each_on_its_gpu_with_half_of_the_cores(tmp_path):
    (tmp_path / "films").mkdir()
    make_film(tmp_path / "films" / "one.mp4", seconds=1)
    (tmp_path / "tools").mkdir()
    command = command_line(tmp_path, *MODELS, "--resources", "gpu=2", config=CONFIG)
    with pretend_gpus(tmp_path / "tools", 2) as environ:
        environ.pop("PYTHONPATH")
        done = subprocess.run(command, capture_output=True, text=True, env=environ, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = [json.loads((tmp_path / f"logs/train_model/{model}.progress.json").read_text()) for model in ("first", "second")]
    assert sorted(job["gpus"] for job in jobs) == ["0", "1"]
    assert max(job["started"] for job in jobs) < min(job["updated"] for job in jobs)
    assert os.listdir(tmp_path / "results/models/first/trained") != []
