"""The notebook in docs/ runs from its first cell to its last, and does what its text says."""

import base64
import io

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient
from PIL import Image

from refilm.config.predictor_recipe import PredictorRecipe
from refilm.frames.latents import LatentStore, write_latents
from refilm.models.model_file import save_weights
from refilm.models.predictor import Predictor, fit_buffers
from tests.conftest import ROOT
from tests.models import recipe_named, save_untrained

NOTEBOOK = ROOT / "docs" / "latents.ipynb"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a tiny model, a predictor and two films as latents, and the notebook's environment set to them."""
    save_untrained(tmp_path / "model.safetensors", recipe_named("vae"))
    random = np.random.default_rng(0)
    for name, count in (("one", 40), ("two", 30)):
        latents = random.normal(size=(count, 16)).astype(np.float32)
        write_latents(tmp_path / f"{name}.h5", count, 16, {"fps": "24"}, [latents])
    latents = torch.from_numpy(rows_of(tmp_path / "one.h5"))
    predictor = Predictor(16, 40, 2)
    fit_buffers(predictor, latents, torch.tensor([0, 20]), torch.ones(16))
    recipe = PredictorRecipe(model="0123456789ab-6-epochs", noise=0.0, search=0)
    save_weights(tmp_path / "predictor.safetensors", predictor, recipe, 0, "{}")
    paths = {"ROOT": str(tmp_path), "MODEL": "model.safetensors", "LATENTS": "one.h5", "OTHER_LATENTS": "two.h5"}
    for name, value in (paths | {"MIXED_LATENTS": "mixture.h5", "PREDICTOR": "predictor.safetensors"}).items():
        monkeypatch.setenv(f"REFILM_{name}", value)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    return tmp_path


def pictures(notebook) -> list[np.ndarray]:
    """The pictures that the cells show, in order."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    shown = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(png)))) for png in shown]


def rows_of(path) -> np.ndarray:
    with LatentStore(path) as latents:
        return latents[:]


def test_the_notebook_decodes_frames_and_mixes_two_films(folder):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    frames, between, mixed, walk, dream = pictures(notebook)
    assert frames.shape == (2 * 48, 4 * 64, 3)  # eight moments
    assert between.shape == (4 * 48, 4 * 64, 3)  # eight steps, and a dissolve of pixels below them
    assert np.array_equal(between[:48, :64], between[48:96, :64])  # both begin with the same frame
    assert mixed.shape == (3 * 48, 4 * 64, 3)  # two films and their mixture
    assert walk.shape == (2 * 48, 4 * 64, 3) and np.array_equal(walk[:48, :64], frames[:48, 64:128])
    assert dream.shape == (4 * 48, 4 * 64, 3) and not np.array_equal(dream[:48], dream[48:96])  # the film, and a dream
    one, two, mixture = (rows_of(folder / f"{name}.h5") for name in ("one", "two", "mixture"))
    weights = np.linspace(0, 1, 30)[:, None]  # the shorter film's length
    assert np.allclose(mixture, (1 - weights) * one[:30] + weights * two, atol=1e-6)


def test_the_notebook_is_kept_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
