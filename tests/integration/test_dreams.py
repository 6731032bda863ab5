"""Dreams as the rules make them: frames, sound, labels, provenance, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from refilm.config.predictor_recipe import PredictorRecipe
from refilm.config.recipe import recipe_of_model, training_key_of
from tests.conftest import command, decoded, described, heard, make_film, refused, small_recipe
from tests.helpers import done, provenance_of, sha256_of
from tests.models import save_untrained

SIZE = (68, 64)  # of a picture of 64x48 with its label and margins


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A film of two seconds with its frames, a model, its latents and a predictor."""
    folder = tmp_path_factory.mktemp("dreams")
    make_film(folder / "film.mp4")
    model = save_untrained(folder / "model.safetensors", small_recipe(recipe="autoencoder"))
    done(command("extract_frames", f"--source={folder}/film.mp4", f"--frames={folder}/film.h5", "--size=64x48"))
    done(command("encode_film", f"--frames={folder}/film.h5", f"--model={model}", f"--latents={folder}/latents.h5"))
    done(train(folder))
    return folder


def train(folder: Path, seed: int = 0, model: str = "model.safetensors"):
    training = training_key_of(recipe_of_model(folder / "model.safetensors"))
    recipe = PredictorRecipe(steps=3, seed=seed, model=training, noise=0.0, search=0)
    inputs = (f"--latents={folder}/latents.h5", f"--frames={folder}/film.h5", f"--model={folder}/{model}")
    predictor = folder / "predictors" / "p" / "predictor.safetensors"
    return command("train_predictor", *inputs, f"--recipe={recipe.to_json()}", f"--predictor={predictor}", "--device=cpu")


def dream(folder: Path, name: str, *options, environment=None):
    inputs = (f"--latents={folder}/latents.h5", f"--model={folder}/model.safetensors", f"--source={folder}/film.mp4")
    predictor = f"--predictor={folder}/predictors/p/predictor.safetensors"
    shown = ("--title=Film", "--by=Model", "--height=48", "--device=cpu", f"--dream={folder}/{name}.mp4")
    return command("render_dream", *inputs, predictor, *shown, *options, environment=environment)


def test_a_dream_has_the_frames_of_its_lead_and_its_length_and_the_sound_of_the_lead(project):
    printed = done(dream(project, "night", "--start=1", "--length=1.5", "--lead=0.5"))
    assert "12 frames of the film, 36 dreamt from 0:01 on, soundtrack 1" in printed
    frames = decoded(project / "night.mp4", SIZE)
    assert len(frames) == 48
    sound = np.abs(heard(project / "night.mp4"))
    assert len(sound) == pytest.approx(2 * 8000, abs=600)
    assert sound[1000:3500].max() > 0.05 and sound[4800:].max() < 0.01
    label = frames[:, :13].astype(int)  # above the picture
    changes = np.abs(np.diff(label, axis=0)).mean((1, 2, 3))
    assert changes.argmax() == 11 and changes[11] > 5 * np.delete(changes, 11).max()
    made = provenance_of(project / "night.mp4")
    assert made["dream"] == {"start": "1", "seed": 0, "temperature": 1.0}
    assert made["predictor"]["steps"] == 3 and made["film"]["sha256"] == sha256_of(project / "film.mp4")


def test_the_same_dream_is_the_same_file_and_another_seed_is_not(project):
    for name, seed, environment in (("one", 5, None), ("two", 5, {}), ("other", 6, None)):  # the second with other hashes
        done(dream(project, name, "--length=0.5", "--lead=0", f"--seed={seed}", environment=environment))
    assert (project / "one.mp4").read_bytes() == (project / "two.mp4").read_bytes()
    assert not np.array_equal(decoded(project / "one.mp4", SIZE), decoded(project / "other.mp4", SIZE))
    assert "Audio" not in described(project / "one.mp4")  # without a lead it is silent


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--start=3"], "dream 'x': start 0:03 lies after the end of the film, which lasts 0:02"),
        (["--start=0"], "dream 'x': start 0: a dream continues a film: let it start after the first frame"),
    ],
)
def test_a_start_that_continues_nothing_is_one_line(project, options, line):
    assert line in refused(dream(project, "x", *options))
    assert not (project / "x.mp4").exists()


def test_a_predictor_is_kept_and_linked_again(project):
    folder = project / "predictors" / "p"
    first = sha256_of(folder / "predictor.safetensors")
    assert {"training.csv", "training.png", "recipe.json", "previews", "state", "trained"} <= {
        file.name for file in folder.iterdir()
    }
    assert "trained for 3 steps" in done(train(project, seed=1))
    assert sha256_of(folder / "predictor.safetensors") != first
    (folder / "predictor.safetensors").unlink()
    assert "trained before: linked to" in done(train(project))
    assert sha256_of(folder / "predictor.safetensors") == first
    assert json.loads((folder / "recipe.json").read_text())["seed"] == 0
    assert len(list((folder / "trained").glob("*.safetensors"))) == 2


def test_provenance_of_a_predictor_is_read(project):
    printed = done(command("provenance", project / "predictors" / "p" / "predictor.safetensors"))
    assert "made by     train_predictor" in printed and "predictor" in printed and "3 steps" in printed


def test_another_model_is_refused(project):
    save_untrained(project / "other.safetensors", small_recipe(recipe="autoencoder", seed=7))
    line = refused(train(project, seed=9, model="other.safetensors"))
    assert "not the model whose films the predictor is trained on" in line
