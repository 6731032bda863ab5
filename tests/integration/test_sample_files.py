"""Frames from noise as files: a sheet that a seed fixes, and a drift."""

import numpy as np
import pytest
import torch
from PIL import Image

from refilm.models.inference import sample_prior
from refilm.models.model_file import load_model
from refilm.rendering.samples import closed_path
from tests.conftest import command, decoded, described, refused
from tests.models import recipe_named, save_untrained


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_untrained(tmp_path_factory.mktemp("vae") / "model.safetensors", recipe_named("vae"))


def sheet_of(model, path, *words) -> np.ndarray:
    done = command("render_samples", f"--model={model}", "--title=T", f"--sheet={path}", "--device=cpu", *words)
    assert done.returncode == 0, done.stderr
    return np.asarray(Image.open(path))


def test_a_sheet_has_64_samples_in_eight_columns_and_its_seed_fixes_it(tmp_path, model):
    sheet = sheet_of(model, tmp_path / "a.png")
    assert 8 * 64 < sheet.shape[1] < 9 * 80 and 8 * 48 < sheet.shape[0] < 10 * 56
    assert np.array_equal(sheet, sheet_of(model, tmp_path / "b.png"))
    assert not np.array_equal(sheet, sheet_of(model, tmp_path / "c.png", "--seed=1"))


def test_a_sheet_of_one(tmp_path, model):
    sheet = sheet_of(model, tmp_path / "one.png", "--count=1")
    assert sheet.shape[1] < 2 * 64 and "--count: 0 is not a valid" in refused(
        command("render_samples", f"--model={model}", "--title=T", f"--sheet={tmp_path / 'no.png'}", "--count=0")
    )


def test_a_model_without_a_prior_has_no_samples(tmp_path, grey_model):
    for rule, *out in (("render_samples", "--title=T", "--sheet=a.png"), ("render_drift", "--film=a.mp4")):
        done = command(rule, f"--model={grey_model}", *out, cwd=tmp_path)
        assert "recipe autoencoder has no prior to draw samples from" in refused(done)
    assert list(tmp_path.iterdir()) == []


def test_a_drift_is_a_video_of_its_length(tmp_path, model):
    film = tmp_path / "drift.mp4"
    words = (f"--model={model}", f"--film={film}", "--device=cpu")
    done = command("render_drift", *words, "--seconds=2", "--height=96", "--crf=1")
    assert done.returncode == 0 and "48 frames" in done.stdout, done.stderr
    exact = "scale=64:48:flags=area+accurate_rnd:in_color_matrix=bt709:in_range=tv"
    assert "128x96" in described(film) and "24 fps" in described(film)
    seen = decoded(film, (64, 48), exact).astype(int)
    path = closed_path(2, 16, seed=0)
    expected = sample_prior(load_model(model, torch.device("cpu")), path).astype(int)
    assert len(seen) == 48 and np.abs(seen - expected).mean() < 4
    assert "--seconds: 0.0 is not a valid length" in refused(command("render_drift", *words, "--seconds=0"))
