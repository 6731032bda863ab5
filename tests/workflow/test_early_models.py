"""A model as it was after some steps, as a target beside the model that it became."""

import copy
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from refilm.frames.latents import LatentStore
from tests.conftest import command, decoded, make_film
from tests.helpers import provenance_of
from tests.workflow.test_plan import plan, planned, refusal, snakemake

CONFIG = {
    "films": {"a": {"source": "films/a.mp4", "title": "A"}},
    "models": {"m": {"films": ["a"], "keep": [3]}},
    "training": {"frame_size": "64x48", "base_channels": 8, "latent_dim": 16, "batch_size": 4, "steps": 8},
    "reconstructions": ["a_by_m", "a_by_m@5"],
    "comparisons": {"both": {"film": "a", "models": ["m@5", "m"], "height": 96}},
    "device": "cpu",
}
OTHERS = ("results/metrics/a_by_m@3.csv", "results/samples/m@3.png")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("early")
    (folder / "films").mkdir()
    make_film(folder / "films" / "a.mp4", seconds=1)
    done = snakemake(folder, "all", *OTHERS, config=CONFIG)
    jobs = planned(done)
    assert jobs["train_model"] == 1 and jobs["link_early_model"] == 2 and jobs["render_comparison"] == 1
    return folder


def test_an_early_model_makes_all_that_a_model_makes(made):
    assert len(decoded(made / "results/a_by_m@5.mp4", (64, 48))) == 24
    assert all((made / file).exists() for file in (*OTHERS, "results/stills/a_by_m@5.png", "results/comparisons/both.mp4"))
    latents = {}
    for name in ("m", "m@3", "m@5"):
        with LatentStore(made / f"results/latents/a_by_{name}.h5") as store:
            latents[name] = store[:]
    assert not np.array_equal(latents["m"], latents["m@5"]) and not np.array_equal(latents["m@3"], latents["m@5"])
    (model,) = provenance_of(made / "results/a_by_m@5.mp4")["models"]
    assert (model["name"], model["steps"], model["recipe"]["steps"]) == ("m", 5, 8)


def test_all_that_is_made_is_current_and_no_longer_needs_the_training(made):
    assert plan(made, "all", *OTHERS, config=CONFIG) == {}


def test_a_training_that_is_prolonged_keeps_its_early_models(made):
    """What they made is made again, since they are of another training now, by the same weights."""
    config = copy.deepcopy(CONFIG)
    config["training"]["steps"] = 12
    target, link = "results/latents/a_by_m@5.h5", made / "results/models/m/model@5.safetensors"
    before = load_file(link)
    assert plan(made, target, config=config) == {"link_early_model": 1, "encode_film": 1}
    done = snakemake(made, target, "results/models/m/model.safetensors", config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    assert link.readlink().name.endswith("-12-steps@5.safetensors")
    after = load_file(link)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert plan(made, target, config=config) == {}
    assert snakemake(made, "all", config=CONFIG).returncode == 0  # back again: nothing was lost
    assert link.readlink().name.endswith("-8-steps@5.safetensors")


def test_a_step_that_was_not_kept_is_one_line(made):
    assert "is past step 4 and did not keep it" in refusal(made, "results/a_by_m@4.mp4", config=CONFIG)
    assert "unknown model 'n'" in refusal(made, "results/a_by_n@4.mp4", config=CONFIG)


def test_a_model_starts_from_an_early_one(made):
    config = copy.deepcopy(CONFIG)
    config["models"]["next"] = {"films": ["a"], "initial_model": "m@3", "steps": 2}
    target = "results/models/next/model.safetensors"
    assert plan(made, target, config=config) == {"train_model": 1}
    assert snakemake(made, target, config=config).returncode == 0
    (model,) = provenance_of(made / target)["models"]
    assert (model["initial_model"]["name"], model["initial_model"]["steps"]) == ("m", 3)
    config["training"]["seed"] = 1  # of both of them
    assert plan(made, target, config=config) == {"train_model": 2, "link_early_model": 1}


def test_an_early_model_is_listed_and_removed_with_its_link(made):
    link = made / "results/models/m/model@5.safetensors"
    name = f"m/{link.readlink().stem}"
    listed = command("list_models", cwd=made).stdout
    assert re.search(rf"^{name} .* 5 +in use +larsen2015 of a", listed, re.MULTILINE)
    assert command("list_models", "--remove", name, cwd=made).returncode == 0
    assert not link.is_symlink() and name not in command("list_models", cwd=made).stdout
    assert (made / "results/models/m/model.safetensors").exists()
    assert "is past step 5 and did not keep it" in refusal(made, "results/a_by_m@5.mp4", config=CONFIG)
