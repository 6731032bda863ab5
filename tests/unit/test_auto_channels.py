"""`base_channels: auto`: chosen by the machine that plans, once for each model, and the same in its jobs."""

import json
import os
import platform
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from snakemake.cli import parse_args

from refilm import layout
from refilm.config.auto_channels import auto_channels, find_device, plan_device, runs_on_cluster
from refilm.config.configuration import Config
from refilm.config.model_folder import ModelFolder
from refilm.config.recipe import Recipe, recipe_of_model
from refilm.planning.planner import Planner
from refilm.planning.snakemake_functions import command_line

FOLDER = Path("results/models/one")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working directory with a film, on a machine without a GPU."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.mkv").touch()
    on(monkeypatch, "cpu")


def on(monkeypatch, device: str) -> None:
    """From now on, plan on a machine with this device."""
    monkeypatch.setattr("refilm.config.auto_channels.find_device", lambda: device)
    monkeypatch.setenv("REFILM_PLANNED_DEVICE", "undecided")
    plan_device(on_cluster=False)


def configured(device: str = "auto", **training) -> Config:
    raw = {"films": {"one": {"source": "one.mkv"}}, "models": {"one": {"films": ["one"]}}}
    return Config(raw | {"training": training, "device": device}, auto_channels)


def channels(**settings) -> int:
    return configured(**settings).recipe("one").base_channels


def with_recipe(file: Path, recipe: Recipe, time: float) -> None:
    """A file with the metadata of a model or a checkpoint, or recipe.json, as old as that."""
    file.parent.mkdir(parents=True, exist_ok=True)
    head = json.dumps({"__metadata__": {"recipe": recipe.to_json()}}).encode()
    file.write_bytes(len(head).to_bytes(8, "little") + head)
    if file.name == layout.RECIPE:
        file.write_text(json.dumps(json.loads(recipe.to_json()), indent=2))
    os.utime(file, (time, time))


@pytest.mark.parametrize(("device", "expected"), [("cuda", 80), ("mps", 40), ("cpu", 24)])
def test_the_machine_decides_unless_a_device_or_a_number_is_given(monkeypatch, device, expected):
    on(monkeypatch, device)
    assert channels() == channels(base_channels="auto") == expected
    assert [channels(device=name) for name in ("cuda", "mps", "cpu")] == [80, 40, 24]
    assert channels(base_channels=32) == channels(device="cuda", base_channels=32) == 32


def test_a_plan_for_a_cluster_and_its_jobs_take_the_full_network_whatever_device_they_see(monkeypatch):
    plan_device(on_cluster=True)
    assert channels() == 80
    monkeypatch.delenv("REFILM_PLANNED_DEVICE")  # of a job whose node was not given the environment
    assert channels() == 80 and channels(device="cpu") == 24


def test_jobs_find_the_device_of_the_plan(monkeypatch):
    monkeypatch.setattr("refilm.config.auto_channels.find_device", lambda: "cuda")
    assert channels() == 24


FILES = {
    "the model": "model.safetensors",
    "a training that is kept": "trained/x.safetensors",
    "a checkpoint": "state/x/step-000000012.safetensors",
    "a training that was started": "recipe.json",
}


@pytest.mark.parametrize("what", FILES)
def test_a_model_keeps_its_width_on_another_machine(monkeypatch, what):
    recipe = configured().recipe("one")
    with_recipe(FOLDER / FILES[what], recipe, 1e9)
    on(monkeypatch, "cuda")
    assert configured().recipe("one") == recipe
    assert channels(steps=9) == channels(epochs=60) == 24  # another length continues the same training
    assert channels(seed=1) == channels(recipe="vae") == 80  # another recipe does not
    assert channels(base_channels=80) == 80


def test_nothing_is_trained_again_on_another_machine(monkeypatch):
    recipe = configured().recipe("one")
    with_recipe(ModelFolder(layout.MODEL.format(model="one")).file(recipe), recipe, 1e9)
    on(monkeypatch, "cuda")
    planner, job = Planner(configured()), SimpleNamespace(model="one")
    planner.keep_models()
    assert recipe_of_model(layout.MODEL.format(model="one")) == recipe.to_json()
    assert planner.models.recipe(job) == recipe.to_json() and planner.models.training_frames(job) == []


def test_of_several_widths_the_one_that_the_folder_shows_counts_and_then_the_latest():
    narrow, wide, other = (configured(base_channels=n).recipe("one") for n in (16, 32, 48))
    with_recipe(FOLDER / "trained" / "wide.safetensors", wide, 1e9)
    with_recipe(FOLDER / "trained" / "narrow.safetensors", narrow, 1e9 + 1)
    assert channels() == 16
    with_recipe(FOLDER / "trained" / "wide.safetensors", wide, 1e9 + 2)
    assert channels() == 32
    with_recipe(FOLDER / "recipe.json", other, 1e9)
    assert channels() == 48


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"base_channels": "wide"}', '{"base_channels": 48}'])
def test_what_is_no_recipe_is_not_looked_at(text):
    FOLDER.mkdir(parents=True)
    (FOLDER / "recipe.json").write_text(text)
    (FOLDER / "model.safetensors").write_bytes(b"\xff" * 9)
    assert channels() == 24


@pytest.mark.parametrize(
    ("files", "visible", "device"),
    [
        ([], None, "cpu"),
        (["dev/nvidiactl", "dev/nvidia-uvm", "proc/driver/nvidia/gpus/0000:01:00.0"], None, "cpu"),
        (["dev/nvidia0"], None, "cuda"),
        (["dev/nvidia7"], "GPU-5", "cuda"),
        (["dev/nvidia0"], "", "cpu"),
        (["dev/nvidia0"], "-1", "cpu"),
        (["dev/dxg"], None, "cpu"),
        (["dev/dxg", "usr/lib/wsl/lib/libcuda.so.1"], None, "cuda"),
    ],
)
def test_a_gpu_is_found_by_its_device_file(tmp_path, monkeypatch, files, visible, device):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert find_device(tmp_path) == device


def test_only_an_apple_with_its_own_processor_has_mps(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    for machine, device in (("arm64", "mps"), ("x86_64", "cpu")):
        monkeypatch.setattr(platform, "machine", lambda machine=machine: machine)
        assert find_device(tmp_path) == device


@pytest.mark.skipif(torch.version.cuda is None, reason="this PyTorch uses no NVIDIA GPU")
def test_pytorch_finds_the_same_device():
    assert (find_device() == "cuda") == torch.cuda.is_available()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--cores 4", False),
        ("--cores 4 --jobs 4", False),
        ("--jobs 4 -n", False),
        ("--executor cluster-generic --cores 4 --jobs 4", True),
        ("--executor slurm --jobs 4 -n", True),
        ("--jobs 4 --an-option-of-another-program", True),
    ],
)
def test_a_cluster_is_known_by_the_executor(words, expected, capsys):
    nodes = 4 if "--jobs" in words else None
    assert runs_on_cluster(nodes, command_line(words.split(), parse_args)) == expected
    assert capsys.readouterr().err == ""
