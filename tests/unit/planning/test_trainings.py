"""What the rules of trainings and samples ask."""

import errno
import json
import os
import re
from pathlib import Path

import pytest

from refilm import layout
from refilm.config.model_folder import ModelFolder
from refilm.config.recipe import metadata_of_model, recipe_of_model
from refilm.config.recipes import RECIPES
from refilm.planning.planner import Planner
from tests.plans import FILMS, MODELS, job, planner, refusal, touch, train, write_head


def test_a_model_that_is_trained_needs_no_frames():
    asked = planner()
    frames = ["results/frames/256x144/one.h5", "results/frames/256x144/two.h5"]
    assert asked.models.training_frames(job(model="one")) == frames
    train("one", asked.models.recipe(job(model="one")))
    assert asked.models.training_frames(job(model="one")) == []
    assert planner(training={"seed": 1}).models.training_frames(job(model="one")) == frames


def test_every_model_file_is_kept_by_recipe_and_length():
    """Also one that is a file of its own, of another recipe than is configured now; and what is missing is linked again."""
    recipe, model = planner().models.recipe(job(model="one")), Path(layout.MODEL.format(model="one"))
    write_head(model, recipe=recipe)
    planner(training={"epochs": 9}).keep_models()
    model.unlink()
    planner(training={"epochs": 9}).keep_models()
    assert not model.exists()
    planner().keep_models()
    assert model.is_symlink() and not model.readlink().is_absolute() and recipe_of_model(model) == recipe
    planner().keep_models()
    (kept,) = (model.parent / "trained").iterdir()
    assert kept.name.endswith("-auto-epochs.safetensors") and model.samefile(kept)


def early(asked: Planner, step: int) -> None:
    """What the training of the model `one` keeps after so many steps."""
    recipe = asked.config.recipe("one")
    folder = ModelFolder(layout.MODEL.format(model="one"))
    write_head(folder.early_file(recipe, step), recipe=recipe.to_json(), steps=str(step))


LONGER = {"steps": 2000}


def test_the_steps_that_are_kept_are_those_of_the_key_and_those_that_are_shown():
    shown = {"films": FILMS, "comparisons": {"c": {"film": "one", "models": ["one@7", "plain"]}}}
    asked = planner(**shown, reconstructions=["two_by_one@30"], training={"keep": [500, 5]})
    assert asked.config.kept_steps("one") == [5, 7, 30, 500] and asked.config.kept_steps("plain") == [5, 500]
    assert asked.models.training_options(job(model="one"))[2:] == ["--keep=5", "--keep=7", "--keep=30", "--keep=500"]
    own = MODELS | {"one": MODELS["one"] | {"keep": [9]}}
    assert planner(models=own, training={"keep": [5]}, comparisons={}).config.kept_steps("one") == [9]


def test_what_is_kept_is_no_part_of_what_a_model_is():
    assert planner(training={"keep": [5]}).models.recipe(job(model="one")) == planner().models.recipe(job(model="one"))


def test_an_early_model_is_another_than_the_model_and_its_latents_are_too():
    asked = planner()
    pairs = [{"film": "one", "model": name} for name in ("one", "one@5", "one@6")]
    assert asked.reconstructions.latents(job(**pairs[1])) == "results/latents/one_by_one@5.h5"
    assert asked.models.encoder(job(**pairs[1])) == "results/models/one/model@5.safetensors"
    assert asked.reconstructions.frames(job(**pairs[1])) == asked.reconstructions.frames(job(**pairs[0]))
    assert len({asked.reconstructions.encoded(job(**pair)) for pair in pairs}) == 3
    assert asked.models.title(job(model="plain@5000")) == "Number One (plain) after 5,000 steps"


@pytest.mark.parametrize(
    ("training", "trained", "step", "line"),
    [
        ({}, False, 5, r"model 'one@5': the training of 'one' does not keep this step: add keep: \[5\] to models.one"),
        (
            {},
            True,
            5,
            r"model 'one@5': .* is past step 5 and did not keep it: .* keep: \[5\], or this one with another seed",
        ),
        ({"keep": [5]}, True, 5, r"model 'one@5': the training of 'one' is past step 5 and did not keep it"),
        ({}, True, 901, r"model 'one@901': the training of 'one' has 900 steps: ask for one of them"),
        (LONGER, False, 2001, r"model 'one@2001': the training of 'one' has 2,000 steps: ask for one of them"),
    ],
)
def test_a_step_that_is_not_kept_is_refused_with_what_to_do(capsys, training, trained, step, line):
    asked = planner(training=training)
    if trained:
        train("one", asked.models.recipe(job(model="one")))
    assert re.match(line, refusal(capsys, asked.models.early_source, job(model="one", step=str(step))))


def test_a_training_that_is_past_a_step_does_not_keep_it_any_more(capsys):
    asked = planner(training=LONGER | {"keep": [5, 600]})
    recipe, model = asked.config.recipe("one"), layout.MODEL.format(model="one")
    write_head(f"results/models/one/state/{recipe.state_key()}/step-000000500.safetensors", recipe=recipe.to_json())
    assert "is past step 5" in refusal(capsys, asked.models.early_source, job(model="one", step="5"))
    assert asked.models.early_source(job(model="one", step="600")) == model


def test_an_early_model_needs_the_training_until_it_was_kept():
    asked = planner(training={"keep": [5]})
    assert asked.models.early_source(job(model="one", step="5")) == layout.MODEL.format(model="one")
    early(asked, 5)
    assert asked.models.early_source(job(model="one", step="5")) == []
    train("one", asked.models.recipe(job(model="one")))
    assert asked.models.early_source(job(model="one", step="900")) == []  # its last step is the model


def test_a_link_to_an_early_model_is_made_again_where_it_is_missing():
    asked = planner(training={"keep": [5]})
    early(asked, 5)
    asked.keep_models()
    link = Path("results/models/one/model@5.safetensors")
    assert link.is_symlink() and metadata_of_model(link)["steps"] == "5"


def test_a_longer_training_has_the_early_models_of_the_one_that_it_continues():
    short, long = planner(), planner(training=LONGER)
    folder, recipe = ModelFolder(layout.MODEL.format(model="one")), short.config.recipe("one")
    early(short, 5)
    early(short, 800)
    write_head(folder.state / recipe.state_key() / "step-000000500.safetensors", recipe=recipe.to_json())
    long.keep_models()
    assert long.models.early_source(job(model="one", step="5")) == []
    assert folder.find_early(long.config.recipe("one"), 800) is None  # which it did not pass
    assert folder.find_early(recipe, 800)


def test_the_films_that_a_training_shows_are_needed_until_it_is_done():
    asked = planner(training={"preview_films": ["one", "walk"]})
    assert asked.models.preview_frames(job(model="plain")) == [
        "results/frames/256x144/walk.h5"
    ]  # it is trained on the other
    train("plain", asked.models.recipe(job(model="plain")))
    assert asked.models.preview_frames(job(model="plain")) == []
    samples = {"noise": {"films": ["one"], "recipe": "dcgan", "preview_films": ["walk"]}}
    assert planner(models=samples, comparisons={}).models.preview_frames(job(model="noise")) == []
    assert asked.models.recipe(job(model="one")) == planner().models.recipe(job(model="one"))


def test_a_model_that_starts_from_another_needs_it_until_it_is_trained():
    models = {"one": {"films": ["one"]}, "next": {"films": ["two"], "initial_model": "one@5"}}
    asked = planner(models=models, comparisons={})
    assert asked.models.initial(job(model="next")) == "results/models/one/model@5.safetensors"
    assert asked.models.initial(job(model="one")) == []
    assert asked.models.training_options(job(model="one"))[2:] == ["--keep=5"]
    train("next", asked.models.recipe(job(model="next")))
    assert asked.models.initial(job(model="next")) == []


def test_a_disk_without_links_keeps_models_too(monkeypatch):
    def refuse(*_arguments, **_options):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    test_a_model_that_is_trained_needs_no_frames()
    recipe, folder = planner().config.recipe("one"), ModelFolder(layout.MODEL.format(model="one"))
    for _ in range(2):  # a hard link to the same file, and then a copy
        folder.link(folder.find(recipe))
        assert recipe_of_model(folder.model) == recipe.to_json() and not folder.model.is_symlink()
        assert [file.name for file in folder.folder.iterdir() if ".part" in file.name] == []
        monkeypatch.setattr(os, "link", refuse)


def test_a_file_that_is_no_model_of_refilm_is_left_alone():
    train("one", "another recipe")
    planner().keep_models()
    assert not (Path(layout.MODEL.format(model="one")).parent / "trained").exists()


@pytest.mark.parametrize(("length", "step", "frames", "refused"), [
    ({"steps": 24}, 60, None, True), ({"steps": 60}, 60, None, False), ({"steps": 90}, 60, None, False),
    ({"epochs": 2}, 61, 360, True), ({"epochs": 2}, 60, 360, False), ({"epochs": 2}, 60, None, False),
    ({}, 84_241, 168_480, True), ({}, 84_240, 168_480, False),
])  # fmt: skip
def test_a_shorter_length_is_refused_in_the_plan(capsys, length, step, frames, refused):
    asked = planner(training=length)
    recipe = asked.config.recipe("one")
    checkpoint = ModelFolder(layout.MODEL.format(model="one")).state / recipe.state_key() / f"step-{step:09}.safetensors"
    touch(str(checkpoint))
    head = json.dumps({"__metadata__": {"recipe": recipe.to_json()} | ({"frames": str(frames)} if frames else {})}).encode()
    checkpoint.write_bytes(len(head).to_bytes(8, "little") + head)
    if refused:
        line = refusal(capsys, asked.models.training_frames, job(model="one"))
        assert f"was trained for {step} steps" in line and f"set {step} or more" in line
    else:
        assert len(asked.models.training_frames(job(model="one"))) == 2


def test_what_trains_and_how_is_no_part_of_the_recipe():
    asked = planner(gpus=2, compile=True, tensorboard=True, device="cpu", hwaccel="cuda")
    assert asked.models.recipe(job(model="one")) == planner().models.recipe(job(model="one"))
    assert asked.models.training_options(job(model="one")) == ["--gpus=2", "--compile=true", "--tensorboard"]
    assert (asked.device(job(model="one")), asked.films.hwaccel(job(film="one"))) == ("cpu", "cuda")


def test_a_recipe_without_an_encoder_or_a_prior_is_refused(capsys, monkeypatch):
    assert planner().models.sampled(job(model="one")) == "results/models/one/model.safetensors"
    line = "model 'plain' cannot make samples: its recipe autoencoder has no prior: use one of another recipe"
    assert refusal(capsys, planner().models.sampled, job(model="plain")) == line
    asked = planner(comparisons={})
    monkeypatch.setitem(RECIPES, "autoencoder", RECIPES["autoencoder"].__class__(model="", summary="", reconstructs=False))
    line = "model 'plain' cannot reconstruct films: its recipe autoencoder has no encoder; ask for results/samples/plain.png"
    assert refusal(capsys, asked.models.encoder, job(film="one", model="plain")) == line
