"""config.yaml: what it means, and the one line for each thing that is wrong with it."""

import argparse
import copy
import dataclasses
import json
import re

import pytest
import yaml

from refilm.config import generate, keys
from refilm.config.configuration import Config, check_yaml
from refilm.config.keys import (
    BendKeys,
    BendStepKeys,
    ComparisonKeys,
    DreamKeys,
    ExportKeys,
    FilmKeys,
    GlobalKeys,
    ModelKeys,
    PosterKeys,
    PredictorKeys,
    ReconstructionKeys,
    TrainingKeys,
    VideoKeys,
    WalkKeys,
    keys_of,
)
from refilm.config.recipe import Recipe, auto_shown, parse_size
from refilm.config.recipes import RECIPES
from refilm.core.errors import RefilmError
from refilm.core.times import format_time, format_times, parse_time
from tests.conftest import ROOT, config

SHIPPED = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())


def changed(path: str, value) -> dict:
    """The shipped configuration with one key set, or taken out where the value is ...; path as 'films.bikes.start'."""
    raw = copy.deepcopy(SHIPPED)
    *folders, key = path.split(".")
    place = raw
    for folder in folders:
        place = place.setdefault(folder, {})
    if value is ...:
        del place[key]
    else:
        place[key] = value
    return raw


WRONG = [
    ("trainig", {}, "trainig: unknown key; did you mean 'training'?"),
    ("training.epoch", 6, "training.epoch: unknown key; did you mean 'epochs'?"),
    ("films.bladerunner.sorce", "x", "films.bladerunner.sorce: unknown key; did you mean 'source'?"),
    ("films.bladerunner.source", ..., "films.bladerunner: 'source' is missing"),
    (
        "training.recipe",
        "larsen2016",
        "'larsen2016' is not one of larsen2015, hybrid, .*; did you mean 'larsen2015'?",
    ),
    (
        "training.batch_size",
        0,
        "training.batch_size: invalid value 0: frames per training step .a whole number, at least 1.$",
    ),
    (
        "training.epochs",
        "long",
        "training.epochs: invalid value 'long': passes over all frames; or give steps .auto or a number, above 0.$",
    ),
    (
        "training.base_channels",
        "wide",
        "training.base_channels: invalid value 'wide': channels .* .auto or a whole number, at least 8, a multiple of 8.$",
    ),
    ("training.base_channels", 12, "training.base_channels: invalid value 12: channels of"),
    ("training.epochs", 0, "training.epochs: invalid value 0: passes over all frames"),
    ("training.learning_rate", "2e-4", "training.learning_rate: invalid value '2e-4': .*written 0.0005 or 5.0e-4"),
    ("training.frame_size", "250x144", "training.frame_size: 250x144 is not a valid frame size: .* the nearest is 256x144"),
    (
        "models.bladerunner.frame_size",
        "256x140",
        "models.bladerunner.frame_size: 256x140 is not a valid frame size.* 256x144",
    ),
    ("training.frame_size", "big", "training.frame_size: invalid value 'big': WIDTHxHEIGHT"),
    (
        "models.bladerunner.films",
        ["bladeruner"],
        "models.bladerunner.films: unknown film 'bladeruner'; did you mean 'bladerunner'",
    ),
    ("models.bladerunner.films", [], "models.bladerunner.films: .* a list of the films"),
    ("reconstructions", ["koyaanisqatsi_by_bladerunn"], "unknown model 'bladerunn'; did you mean 'bladerunner'?"),
    ("reconstructions", ["koyaanisqatsi-bladerunner"], "reconstructions.0: .* FILM_by_MODEL"),
    ("comparisons.trailer.film", "trailer", "comparisons.trailer: unknown film 'trailer'"),
    ("comparisons.trailer.models", ["x"], "comparisons.trailer: unknown model 'x'"),
    ("exports", {"wall": {"film": "apple", "model": "bladerunner"}}, "exports.wall: unknown film 'apple'; did you mean"),
    ("exports", {"wall": {"film": "bladerunner", "model": "x"}}, "exports.wall: unknown model 'x'"),
    (
        "exports",
        {"wall": {"film": "bladerunner", "model": "bladerunner", "codec": "h265"}},
        "exports.wall.codec: 'h265' is not one of h264, hevc, prores, ffv1, png; did you mean 'h264'",
    ),
    (
        "exports",
        {"wall": {"film": "bladerunner", "model": "bladerunner", "start": 9, "end": 5}},
        "exports.wall: end 5 is not after start 9",
    ),
    ("dreams", {"night": {"film": "apple", "model": "bladerunner"}}, "dreams.night: unknown film 'apple'; did you mean"),
    (
        "dreams",
        {"night": {"film": "bladerunner", "model": "bladerunner", "start": "0:00"}},
        "dreams.night.start: 0:00: a dream continues a film: let it start after the first frame",
    ),
    (
        "posters",
        {"big": {"film": "bladerunner", "model": "bladerunner", "width": 5000, "height": 5000}},
        "posters.big: 5000 x 5000 mm at 300 dpi are 3,488 million pixels: at most 1,000 fit into memory: lower dpi",
    ),
    *(
        ("walks", {"w": {"model": "bladerunner"} | keys}, words)
        for keys, words in (
            ({"moments": ["bladerunner@1", "koyaanisqatsi@00:02:00", "bladerunner@1"], "loop": "close"}, None),
            ({"film": "koyaanisqatsi", "mix_with": "bladerunner", "mix": "0 at 0, 1 at 0:10"}, None),
            ({"latents": "mine.h5", "fps": 24, "speed": 0.25}, None),
            ({}, "walks.w: none of them is given: give either film, latents or moments"),
            ({"film": "bladerunner", "latents": "a.h5"}, "walks.w: film and latents are given: give either film"),
            ({"film": "bladeruner"}, "walks.w: unknown film 'bladeruner'; did you mean 'bladerunner'"),
            ({"film": "bladerunner", "model": "x"}, "walks.w: unknown model 'x'"),
            ({"moments": ["bladerunner@1"]}, "walks.w.moments: one moment is not a way: give two or more"),
            ({"moments": ["bladerunner@1", "x@2"]}, "walks.w: unknown film 'x'"),
            (
                {"moments": ["bladerunner@1", "bladerunner"]},
                "walks.w.moments.1: invalid value 'bladerunner': a list of moments",
            ),
            ({"moments": ["bladerunner@1:2:3:4", "bladerunner@2"]}, "walks.w.moments: '1:2:3:4' is not a valid time"),
            (
                {"moments": ["bladerunner@1", "bladerunner@2"], "speed": 2},
                "walks.w.speed: has no effect on a walk between mom",
            ),
            ({"film": "bladerunner", "seconds": 3}, "walks.w.seconds: has no effect on a walk along latents: remove it"),
            ({"film": "bladerunner", "mix": 0.3}, "walks.w.mix: has no effect on a walk along latents"),
            ({"film": "bladerunner", "path": "neighbours"}, "walks.w.path: neighbours is a way between moments"),
            ({"film": "bladerunner", "mix_with": "bladerunner"}, "walks.w: it has the film 'bladerunner' twice"),
            (
                {"film": "bladerunner", "mix_with": "koyaanisqatsi", "mix": "0 at 0, 2 at 9"},
                "walks.w.mix: .* between 0 and 1",
            ),
            ({"film": "bladerunner", "mix_with": "koyaanisqatsi", "mix": "up"}, "walks.w.mix: 'up' is not a valid curve"),
            (
                {"film": "bladerunner", "nearest_in": "koyaanisqatsi", "loop": "close"},
                "walks.w.loop: has no effect on nearest",
            ),
            ({"film": "bladerunner", "start": 9, "end": 5}, "walks.w: end 5 is not after start 9"),
            ({"film": "bladerunner", "sound": "koyanisqatsi"}, "walks.w.sound: unknown film 'koyanisqatsi'; did you mean"),
            ({"film": "bladerunner", "fps": "fast"}, "walks.w.fps"),
        )
    ),
    *(
        ("bends", {"b": {"model": "bladerunner", "film": "bladerunner"} | keys}, words)
        for keys, words in (
            ({"transforms": [{"transform": "rotate", "layers": [1, 2], "by": "0 at 0, 90 at 0:10", "share": 0.5}]}, None),
            (
                {
                    "film": None,
                    "latents": "m.h5",
                    "transforms": [{"transform": "flip", "layers": [3], "channels": [0, 159]}],
                },
                None,
            ),
            ({}, "bends.b: 'transforms' is missing"),
            ({"transforms": []}, "bends.b.transforms: invalid value"),
            (
                {"transforms": [{"transform": "rotates", "layers": [1]}]},
                "transforms.0.transform: 'rotates' is not one of .* 'rotate'",
            ),
            (
                {"transforms": [{"transform": "flip", "layer": [1]}]},
                "transforms.0.layer: unknown key; did you mean 'layers'",
            ),
            (
                {"transforms": [{"transform": "flip", "layers": [5]}]},
                "transforms.0.layers.0: invalid value 5: a list of the lay",
            ),
            (
                {"transforms": [{"transform": "flip", "layers": [0]}]},
                "layers: 0: larsen2015 has no linear code: .* are 1 to 4",
            ),
            (
                {"transforms": [{"transform": "flip", "layers": [1], "by": 2}]},
                "0.by: flip does not take it: it takes no number",
            ),
            ({"transforms": [{"transform": "translate", "layers": [1], "by": 2}]}, "does not take it: it takes x and y"),
            (
                {"transforms": [{"transform": "scale", "layers": [1], "by": "up"}]},
                "transforms.0.by: 'up' is not a valid curve",
            ),
            (
                {"transforms": [{"transform": "flip", "layers": [1], "amount": "up"}]},
                "transforms.0.amount: 'up' is not a valid",
            ),
            (
                {"transforms": [{"transform": "flip", "layers": [2, 3], "channels": [160]}]},
                "transforms.0.channels: 160: layer 3 has 160, from 0 to 159",
            ),
            (
                {"transforms": [{"transform": "flip", "layers": [1], "channels": [1], "share": 0.5}]},
                "both channels and share",
            ),
            ({"film": "blade", "transforms": [{"transform": "flip", "layers": [1]}]}, "bends.b: unknown film 'blade'"),
            (
                {"latents": "m.h5", "transforms": [{"transform": "flip", "layers": [1]}]},
                "film and latents are given: give either",
            ),
        )
    ),
    ("films.koyaanisqatsi.start", "00:10:00", None),
    ("films.koyaanisqatsi.start", "ten", "films.koyaanisqatsi.start: 'ten' is not a valid time"),
    ("comparisons.first-ten-minutes.start", "00:10:00", "end 00:10:00 is not after start 00:10:00"),
    ("films.Blade_Runner", {"source": "x"}, "films: 'Blade_Runner' is not a valid name"),
    ("films.-x", {"source": "x"}, "films: '-x' is not a valid name"),
    ("films.bladerunner.crop", "10:10", "films.bladerunner.crop: invalid value '10:10': auto removes black bars"),
    (
        "films.bladerunner.fit",
        "croop",
        "films.bladerunner.fit: 'croop' is not one of crop, pad, stretch; did you mean 'crop'",
    ),
    ("films.bladerunner.source", "https://example.org/film.mp4", None),
    ("films.bladerunner.source", "s3://bucket/film.mp4", None),
    (
        "films.bladerunner.source",
        "ftp://example.org/x.mp4",
        "source: ftp://.*: only http, https, s3 .* supported: download the film",
    ),
    ("films.bladerunner.source", "stills/*.png", "films.bladerunner: the images stills/.*.png have no rate .* add fps"),
    ("films.bladerunner.fps", 24, "films.bladerunner.fps: only a folder of images needs it; .* remove fps"),
    ("films.bladerunner", {"source": "stills/*.png", "fps": "24000/1001"}, None),
    (
        "films.bladerunner",
        {"source": "stills/", "fps": "fast"},
        "films.bladerunner.fps: 'fast' is not a valid frame rate",
    ),
    ("films.bladerunner", {"source": "stills/", "fps": 24, "audio": "eng"}, "audio: eng: the images stills/ have no sound"),
    (
        "films.bladerunner",
        {"source": "stills/", "fps": 24, "sha256": "0" * 64},
        "sha256: only for film files, and stills/ are images: remove sha256",
    ),
    ("films.bladerunner.audio", "en", None),
    ("films.bladerunner.audio", 2, None),
    ("films.bladerunner.audio", "pt-BR", None),
    ("films.bladerunner.audio", 0, "films.bladerunner.audio: invalid value 0: soundtrack of the results"),
    ("films.bladerunner.audio", False, 'films.bladerunner.audio: invalid value False: .* .Norwegian "no" in quotes.'),
    ("films.bladerunner.audio", "english please", "films.bladerunner.audio: invalid value 'english please'"),
    ("films.bladerunner.sha256", "abc", "films.bladerunner.sha256: invalid value 'abc': SHA-256 of the film file"),
    ("tensorboard", "on please", "tensorboard: invalid value 'on please': .*.true or false."),
    ("device", "gpu", "device: 'gpu' is not one of auto, cuda, mps, cpu"),
    ("films", ["bladerunner"], "films: .* the films, by name"),
]


@pytest.mark.parametrize(("path", "value", "words"), WRONG)
def test_what_is_wrong_is_one_line_that_names_the_place(path, value, words):
    if words is None:
        Config(changed(path, value))
        return
    with pytest.raises(RefilmError, match=words) as error:
        Config(changed(path, value))
    assert "\n" not in str(error.value) and str(error.value).startswith("config: ")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("films:\n  alien: {source: a.mkv}\n  b:\n    title: Alien: Covenant\n", 4),
        ("films:\n  alien: {source: a.mkv\nmodels: {}\n", 3),
        ("films:\n\talien: {source: a.mkv}\n", 2),
    ],
)
def test_a_file_that_is_not_yaml_is_reported_with_its_line(tmp_path, text, line):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(RefilmError, match=rf"^config: {file}, line {line}: .*: put a text with a colon in quotes"):
        check_yaml(file)


def test_models_of_the_same_films_have_their_names_in_their_titles():
    films = {"one": {"source": "a.mkv", "title": "One"}}
    models = {name: {"films": ["one"]} for name in ("plain", "other")} | {"own": {"films": ["one"], "title": "Own"}}
    titles = config(films=films, models=models).model_title
    assert [titles(name) for name in ("plain", "other@5", "own")] == ["One (plain)", "One (other) after 5 steps", "Own"]
    assert config(films=films, models={"plain": {"films": ["one"]}}).model_title("plain") == "One"


@pytest.mark.parametrize(
    ("text", "key", "lines"),
    [
        ("training:\n  batch: 12\n  epochs: 6\n  batch: 24\n", "batch", (4, 2)),
        ("models:\n  a: {films: [x], films: [y]}\n", "films", (2, 2)),
        ("a:\n- b: 1\n- c: 1\n  d: 2\n  c: 3\n", "c", (5, 3)),
    ],
)
def test_a_duplicate_key_is_reported_with_both_lines(tmp_path, text, key, lines):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(RefilmError, match=f"line {lines[0]}: duplicate key '{key}:', first on line {lines[1]}: merge"):
        check_yaml(file)


@pytest.mark.parametrize("name", ["config", "demo", "open-films"])
def test_a_key_may_stand_in_many_places(tmp_path, name):
    check_yaml(ROOT / "config" / f"{name}.yaml")
    (tmp_path / "empty.yaml").touch()
    check_yaml(tmp_path / "empty.yaml")


def test_a_model_has_steps_or_epochs():
    recipe = config(training={"epochs": 2}, models={"bikes": {"films": ["bikes"], "steps": 100}}).recipe("bikes")
    assert recipe.steps == 100 and recipe.epochs is None
    with pytest.raises(RefilmError, match="both steps and epochs"):
        config(models={"bikes": {"films": ["bikes"], "steps": 100, "epochs": 2}})


def test_the_word_auto_is_the_length_unless_another_is_given():
    recipe = config().recipe("bikes")
    assert (recipe.epochs, recipe.steps) == ("auto", None) and recipe.training_key() == f"{recipe.state_key()}-auto-epochs"
    assert config(training={"epochs": "auto"}).recipe("bikes").to_json() == recipe.to_json()
    assert Recipe.from_json(recipe.to_json()) == recipe
    six = config(training={"epochs": 6}).recipe("bikes")
    assert six.state_key() == recipe.state_key() and six.training_key() == f"{recipe.state_key()}-6-epochs"
    assert config(training={"epochs": "auto", "steps": 9}).recipe("bikes").epochs is None
    with pytest.raises(RefilmError, match="epochs: 'long' is neither a number nor auto"):
        dataclasses.replace(recipe, epochs="long")


LENGTHS = [*range(1, 3_000), *range(3_000, 200_000, 997), 168_479, 168_480, 168_481, 10**6]


@pytest.mark.parametrize("batch_size", [12, 64])
def test_a_longer_film_never_has_fewer_steps_nor_more_epochs(batch_size):
    recipe = config(training={"batch_size": batch_size}).recipe("bikes")
    steps = [recipe.total_steps(frames) for frames in sorted(LENGTHS)]
    assert steps == sorted(steps)
    epochs = [auto_shown(frames) / frames for frames in sorted(LENGTHS)]
    assert epochs == sorted(epochs, reverse=True) and epochs[-1] == 6
    for frames in LENGTHS:  # no jump: a frame more is shown as often as those before it, at most
        assert 0 <= auto_shown(frames + 1) - auto_shown(frames) <= auto_shown(frames) / frames + 1e-6


@pytest.mark.parametrize(
    ("frames", "least", "most"),
    [(12, 2000, 2000), (250, 1_800, 2_200), (1_250, 4_500, 5_500), (14_315, 20_000, 30_000), (168_480, 84_240, 84_240)],
)
def test_the_length_of_auto_suits_a_clip_a_trailer_ten_minutes_and_a_feature(frames, least, most):
    assert least <= config().recipe("bikes").total_steps(frames) <= most


def test_yaml_names_that_are_numbers_are_names():
    read = config(films={2001: {"source": "2001.mkv"}}, models={2001: {"films": ["2001"]}})
    assert read.film("2001").source == "2001.mkv" and read.recipe("2001").films == {"2001": {"crop": "auto", "fit": "crop"}}
    with pytest.raises(RefilmError, match=r"False is not a valid name: .* in quotes"):
        config(films={False: {"source": "no.mkv"}})


def test_an_overlay_takes_an_entry_out():
    read = Config(changed("comparisons.trailer", None))
    assert set(read.comparisons) == {"first-ten-minutes"}


def test_the_shipped_configuration_is_the_work_of_2016():
    read = Config(SHIPPED)
    recipe = read.recipe("bladerunner")
    assert (recipe.recipe, recipe.size, recipe.latent_dim, recipe.batch_size, recipe.epochs) == (
        "larsen2015",
        (256, 144),
        200,
        12,
        6,
    )
    assert set(read.reconstructions) == {
        "bladerunner_by_bladerunner",
        "koyaanisqatsi_by_bladerunner",
        "apple-1984_by_bladerunner",
        "matrix-iii_by_bladerunner",
        "scannerdarkly_by_scannerdarkly",
        "bladerunner-trailer_by_scannerdarkly",
        "koyaanisqatsi_by_scannerdarkly",
    }
    assert set(read.comparisons) == {"trailer", "first-ten-minutes"}


@pytest.mark.parametrize("overlay", ["demo.yaml", "open-films.yaml"])
def test_the_overlays_are_right_too(overlay):
    raw = copy.deepcopy(SHIPPED)
    for section, entries in yaml.safe_load((ROOT / "config" / overlay).read_text()).items():
        raw[section] = raw.get(section, {}) | entries if isinstance(entries, dict) else entries
    Config(raw)


def test_a_recipe_is_one_string_of_just_what_changes_the_weights():
    base = Config(SHIPPED).recipe("bladerunner").to_json()
    harmless = [
        ("films.another", {"source": "x.mkv"}),
        ("films.bladerunner.title", "Another title"),
        ("films.bladerunner.source", "elsewhere/bladerunner.mkv"),
        ("models.another", {"films": ["koyaanisqatsi"]}),
        ("comparisons.trailer.height", 720),
        ("video", {"crf": 20}),
        ("device", "cpu"),
        ("training.learning_rate", 0.0005),
        ("training", dict(reversed(SHIPPED["training"].items()))),
        ("training.noise", 1.0),
        ("training.latent_dim", 200.0),
        ("films.bladerunner.crop", "auto"),
        ("films.bladerunner.audio", "eng"),
        ("films.bladerunner.sha256", "0" * 64),
        ("films.bladerunner.source", "https://example.org/moved.mkv"),
        ("films.bladerunner", {"source": "stills/*.png", "fps": 12}),
    ]
    for path, value in harmless:
        assert Config(changed(path, value)).recipe("bladerunner").to_json() == base, path
    telling = [
        ("training.learning_rate", 0.001),
        ("models.bladerunner.epochs", 7),
        ("training.seed", 1),
        ("models.bladerunner.base_channels", 64),
        ("films.bladerunner.start", 60),
        ("films.bladerunner.crop", "none"),
        ("models.bladerunner.films", ["bladerunner", "koyaanisqatsi"]),
    ]
    strings = {Config(changed(path, value)).recipe("bladerunner").to_json() for path, value in telling}
    assert base not in strings and len(strings) == len(telling)
    assert Recipe.from_json(base).to_json() == base


def test_a_moment_is_the_same_however_it_is_written():
    written = [600, 600.0, "600", "10:00", "00:10:00"]
    films = [{"bikes": {"source": "x", "end": end}} for end in written]
    assert len({config(films=film).recipe("bikes").to_json() for film in films}) == 1


def test_keys_that_a_recipe_has_no_use_for_are_no_part_of_it():
    plain = config(training={"recipe": "vae"}).recipe("bikes").to_json()
    assert config(training={"recipe": "vae", "gamma": 5, "adversarial_ratio": 1}).recipe("bikes").to_json() == plain
    assert config(training={"recipe": "vae", "kl_weight": 5}).recipe("bikes").to_json() != plain


def test_swapped_values_are_another_recipe():
    one = config(training={"latent_dim": 8, "batch_size": 16}).recipe("bikes").to_json()
    other = config(training={"latent_dim": 16, "batch_size": 8}).recipe("bikes").to_json()
    assert one != other


def test_the_length_of_training_is_no_part_of_the_states_key():
    short, long, other = (
        config(training=training).recipe("bikes") for training in ({"epochs": 6}, {"steps": 9}, {"latent_dim": 7})
    )
    assert short.state_key() == long.state_key() != other.state_key()


def test_weights_of_older_layers_are_refused_and_never_taken_for_the_same_model():
    recipe = json.loads(config().recipe("bikes").to_json())
    del recipe["architecture_version"]
    with pytest.raises(
        RefilmError, match="architecture_version 1 is not supported, this refilm has 3: train the model again"
    ):
        Recipe.from_json(json.dumps(recipe))


FORMER = {
    "width": "base_channels",
    "latent": "latent_dim",
    "batch": "batch_size",
    "schedule": "lr_schedule",
    "clip": "grad_clip",
    "ema": "ema_decay",
    "adversarial": "adversarial_ratio",
    "weights": "film_weighting",
    "holdout": "holdout_fraction",
    "margin": "equilibrium_margin",
    "discriminator_rate": "discriminator_lr_scale",
    "head_rate": "head_lr_scale",
    "likeness_layers": "similarity_layers",
}


@pytest.mark.parametrize(("former", "name"), FORMER.items())
def test_a_key_of_an_older_version_names_the_new_one(former, name):
    for place in ("training", "models.bladerunner"):
        with pytest.raises(RefilmError, match=f"^config: {place}.{former}: this key is now called {name}$"):
            Config(changed(f"{place}.{former}", 1))


def test_a_film_has_no_keys_of_training():
    with pytest.raises(RefilmError, match=r"^config: films\.bladerunner\.width: unknown key"):
        Config(changed("films.bladerunner.width", 80))


def test_the_recipe_is_checked_before_anything_is_planned():
    with pytest.raises(RefilmError, match=r"^config: models\.bladerunner: recipe: gamma: auto is invalid"):
        Config(changed("models.bladerunner", {"films": ["bladerunner"], "recipe": "broad2016", "gamma": "auto"}))


@pytest.fixture
def no_encoder(monkeypatch):
    """A registry with a recipe that reconstructs nothing, and one that has no prior."""
    plain = RECIPES["vae"]
    monkeypatch.setitem(RECIPES, "vae", dataclasses.replace(plain, reconstructs=False))


@pytest.mark.parametrize(
    ("sections", "place"),
    [
        ({"reconstructions": ["bikes_by_bikes"]}, "reconstructions"),
        ({"comparisons": {"c": {"film": "bikes", "models": ["bikes"]}}}, "comparisons.c"),
        ({"exports": {"c": {"film": "bikes", "model": "bikes"}}}, "exports.c"),
        ({"posters": {"c": {"film": "bikes", "model": "bikes"}}}, "posters.c"),
        ({"walks": {"c": {"film": "bikes", "model": "bikes"}}}, "walks.c"),
        (
            {"bends": {"c": {"film": "bikes", "model": "bikes", "transforms": [{"transform": "flip", "layers": [1]}]}}},
            "bends.c",
        ),
        ({"dreams": {"c": {"film": "bikes", "model": "bikes"}}}, "dreams.c"),
    ],
)
def test_a_model_without_an_encoder_is_refused_as_a_reconstruction(no_encoder, sections, place):
    line = f"^config: {place}: model 'bikes' cannot reconstruct films: its recipe vae has no encoder; .*samples/bikes.png"
    with pytest.raises(RefilmError, match=line):
        config(training={"recipe": "vae"}, **sections)


# --- keys, and what is made of them


def test_the_schema_and_the_manual_are_up_to_date():
    """Where this fails: python -m refilm.config.generate"""
    assert generate.SCHEMA.read_text() == generate.schema_text()
    manual = generate.MANUAL.read_text()
    assert manual == generate.manual_text(manual)


def test_stale_files_are_named_by_the_check(tmp_path, monkeypatch):
    manual = tmp_path / "README.md"
    manual.write_text("<!-- keys:films -->\n| `source` |\n<!-- /keys -->\n")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "MANUAL", manual)
    monkeypatch.setattr(generate, "SCHEMA", tmp_path / "schema.yaml")
    generate.SCHEMA.write_text(generate.schema_text())
    with pytest.raises(RefilmError, match=r"^README\.md: stale: run"):
        generate.main(argparse.Namespace(check=True))
    generate.main(argparse.Namespace(check=False))
    assert "| `fit` | crop | crop, pad or stretch |" in manual.read_text()
    generate.main(argparse.Namespace(check=True))


SECTIONS = (FilmKeys, ModelKeys, TrainingKeys, ComparisonKeys, VideoKeys, ReconstructionKeys, GlobalKeys)


@pytest.mark.parametrize(
    "section",
    (*SECTIONS, ExportKeys, PosterKeys, DreamKeys, PredictorKeys, WalkKeys, BendKeys, BendStepKeys),
)
def test_every_key_is_in_the_manual_with_its_default(section):
    """In the rows of the section's table, where it has one."""
    manual = (ROOT / "config" / "README.md").read_text()
    for name, entry in keys_of(section).items():
        rows = [line for line in manual.splitlines() if line.startswith(f"| `{name}` |")]
        assert any(entry.values() in row and " ".join(entry.description.split()) in row for row in rows), name


def test_a_recipe_has_the_keys_of_training_and_no_others():
    fields = {field.name for field in dataclasses.fields(Recipe)} - {"films", "architecture_version"}
    assert fields == set(keys_of(TrainingKeys))


@pytest.mark.parametrize("name", RECIPES)
def test_the_registry_knows_the_keys(name):
    spec = RECIPES[name]
    assert set(keys_of(TrainingKeys)) >= {*spec.defaults, *spec.unused, *spec.invalid}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_default_is_valid(section):
    places = {FilmKeys: "films.bladerunner", ModelKeys: "models.bladerunner", ComparisonKeys: "comparisons.trailer"}
    prefix = places.get(section, {TrainingKeys: "training", VideoKeys: "video"}.get(section, "reconstruction"))
    for name, default in keys.defaults(section).items():
        path = name if section is GlobalKeys else f"{prefix}.{name}"
        Config(changed(path, list(default) if isinstance(default, tuple) else default))


def test_options_of_commands_come_from_the_keys(capsys):
    parser = argparse.ArgumentParser()
    for section, name in ((FilmKeys, "fit"), (VideoKeys, "crf"), (GlobalKeys, "tensorboard"), (GlobalKeys, "compile")):
        keys.add_option(parser, section, name)
    assert vars(parser.parse_args([])) == {"fit": "crop", "crf": 14, "tensorboard": False, "compile": "auto"}
    assert parser.parse_args(["--compile=true", "--crf=20", "--tensorboard"]).crf == 20
    with pytest.raises(SystemExit):
        parser.parse_args(["--fit=croop"])
    assert "choose from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), (90, 90), (1.5, 1.5), ("01:30", 90), ("1:02:03", 3723), ("00:00:01.25", 1.25), (4350, 4350)],
)
def test_times(text, seconds):
    assert parse_time(text, "here") == seconds


@pytest.mark.parametrize("text", ["", "x", "1:2:3:4", "-5", "1:100:00", "nan"])
def test_what_is_no_time(text):
    with pytest.raises(RefilmError, match=r"here: .* is not a valid time"):
        parse_time(text, "here")


def test_clock_reads_as_people_write():
    assert [format_time(seconds) for seconds in (0, 59.6, 61, 3723)] == ["0:00", "1:00", "1:01", "1:02:03"]
    assert format_times([0, 59.6, 61]) == ["0:00", "1:00", "1:01"]
    assert format_times([0, 0.46, 59.96, 61.04]) == ["0:00.0", "0:00.5", "1:00.0", "1:01.0"]


def test_sizes():
    assert parse_size("256x144", "here") == (256, 144)
    for wrong in ("256", "0x16", "256x-144", "256 x 144", "8x8"):
        with pytest.raises(RefilmError, match="here: "):
            parse_size(wrong, "here")


def test_keys_that_came_later_are_in_no_recipe_that_does_without_them():
    films = {"bikes": {"source": "films/bikes.mp4"}}
    plain = config().recipe("bikes").to_json()
    assert "deinterlace" not in plain and "damaged" not in plain
    assert (
        config(films={"bikes": films["bikes"] | {"deinterlace": "auto", "damaged": "refuse"}}).recipe("bikes").to_json()
        == plain
    )
    for key, value in (("deinterlace", "fields"), ("damaged", "use")):
        changed = config(films={"bikes": films["bikes"] | {key: value}}).recipe("bikes")
        assert changed.films["bikes"][key] == value and changed.to_json() != plain
    assert config(hwaccel="auto").recipe("bikes").to_json() == plain


@pytest.mark.parametrize(("written", "meant"), [(True, "on"), (False, "off"), ("fields", "fields")])
def test_yaml_reads_on_as_true_and_it_means_on(written, meant):
    assert config(films={"bikes": {"source": "x", "deinterlace": written}}).film("bikes").deinterlace == meant


# --- a model that starts from another


def chained(**models: dict) -> Config:
    """Models of one film each; each may name that from which it starts."""
    return config(models={name: {"films": ["bikes"]} | given for name, given in models.items()})


def test_where_a_model_starts_is_a_part_of_what_it_is():
    alone = chained(a={}, b={}).recipe("b")
    assert "initial_model" not in alone.to_json()  # as before there was such a key
    assert Recipe.from_json(alone.to_json()) == alone
    recipes = [
        chained(a={}, b={"initial_model": "a"}).recipe("b"),
        chained(a={}, b={"initial_model": "a@5"}).recipe("b"),
        chained(a={"seed": 1}, b={"initial_model": "a"}).recipe("b"),
        chained(a={"epochs": 7}, b={"initial_model": "a"}).recipe("b"),
    ]
    assert len({recipe.state_key() for recipe in [alone, *recipes]}) == 5
    assert Recipe.from_json(recipes[1].to_json()) == recipes[1]
    renamed = chained(c={"title": "C"}, b={"initial_model": "c"}).recipe("b")
    assert renamed == recipes[0]


def test_cosines_change_nothing_where_the_code_is_that_of_another_model():
    chains = [
        chained(a={"recipe": "hybrid"}, b={"recipe": "hybrid", "initial_model": "a"} | cosines)
        for cosines in ({}, {"cosines": 5})
    ]
    assert chains[0].recipe("b") == chains[1].recipe("b")
    assert chained(b={"recipe": "hybrid", "cosines": 5}).recipe("b") != chained(b={"recipe": "hybrid"}).recipe("b")


def test_the_keys_of_clips_change_nothing_without_clips():
    settings = {"recipe": "hybrid", "clip_length": 3, "pair_weight": 1, "discriminator_frames": 2}
    assert chained(b=settings).recipe("b") == chained(b={"recipe": "hybrid"}).recipe("b")
    assert chained(b=settings | {"clips": 1}).recipe("b") != chained(b={"recipe": "hybrid", "clips": 1}).recipe("b")
    straight = {"clips": 1, "clip_length": 3, "straighten_weight": 1}
    assert chained(b={"recipe": "vae"} | straight).recipe("b").straighten_weight == 1
    assert chained(b={"recipe": "hybrid"} | straight).recipe("b").straighten_weight == 0  # its latents are not learned


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"clips": 0.5, "discriminator_frames": 2}, "discriminator_frames: 2 needs clips: 1, and a batch_size that is"),
        ({"clips": 1, "discriminator_frames": 2, "batch_size": 9}, "needs clips: 1, and a batch_size that is a multiple of"),
        ({"clips": 1, "discriminator_frames": 3}, "discriminator_frames: 3 exceeds clip_length 2"),
        ({"recipe": "vae", "clips": 1, "straighten_weight": 1}, "a clip of two frames has no turns: set clip_length to 3"),
    ],
)
def test_clips_that_are_too_few_or_too_short_are_refused(values, line):
    with pytest.raises(RefilmError, match=line):
        chained(b={"recipe": "hybrid"} | values)


def test_a_change_passes_through_a_chain_of_models():
    first, other = (chained(a={"seed": seed}, b={"initial_model": "a"}, c={"initial_model": "b"}) for seed in (0, 1))
    assert first.recipe("c") != other.recipe("c")


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ({"b": {"initial_model": "aa"}}, "models.b.initial_model: unknown model 'aa'; did you mean 'a'?"),
        ({"b": {"initial_model": "b"}}, "models.b.initial_model: b starts from b: one of them must start from another"),
        (
            {"b": {"initial_model": "c"}, "c": {"initial_model": "b@5"}},
            "models.b.initial_model: b starts from c starts from b:",
        ),
        ({"b": {"initial_model": "a", "latent_dim": 50}}, "a has latent_dim: 200, and this model 50: both need the same"),
        ({"b": {"initial_model": "a", "recipe": "vae"}}, "a has recipe: larsen2015, and this model vae: both need the same"),
        ({"b": {"initial_model": "a@0"}}, "models.b.initial_model: invalid value 'a@0'"),
    ],
)
def test_a_model_that_another_cannot_start_from_is_refused(models, words):
    with pytest.raises(RefilmError, match=re.escape(words)):
        chained(a={}, **models)


# --- what a training keeps


def test_a_step_of_a_model_is_named_where_it_reconstructs_and_nowhere_else():
    assert config(reconstructions=["bikes_by_bikes@500"]).reconstructions == ["bikes_by_bikes@500"]
    for wrong in ("bikes_by_bikes@", "bikes_by_bikes@05", "bikes@5_by_bikes"):
        with pytest.raises(RefilmError, match=r"reconstructions\.0: invalid value"):
            config(reconstructions=[wrong])
    with pytest.raises(RefilmError, match="'bikes@5' is not a valid name"):
        config(models={"bikes@5": {"films": ["bikes"]}})
    with pytest.raises(RefilmError, match=r"training\.keep\.0: invalid value 0: a list of steps"):
        config(training={"keep": [0]})
    assert config(training={"keep": [5]}, models={"bikes": {"films": ["bikes"], "keep": []}}).kept_steps("bikes") == []


def test_a_film_that_is_shown_must_be_known():
    with pytest.raises(RefilmError, match=r"models\.bikes\.preview_films: unknown film 'bike'; did you mean 'bikes'\?"):
        config(training={"preview_films": ["bike"]})


def test_texts_of_the_command_line_are_read_by_the_types_of_their_keys():
    """As Snakemake hands on `--config tensorboard=true "training={'steps': 8, ...}" "films={'2001': {...}}"`."""
    films = {"2001": {"source": "films/2001.mkv", "title": "2001", "start": "90", "audio": "2"}}
    training = {"steps": "8", "learning_rate": "0.001", "keep": ["4", "6"], "gamma": "auto", "base_channels": "16"}
    models = {"one": {"films": ["2001"], "epochs": "null"}}
    read = Config({"films": films, "models": models, "training": training, "tensorboard": "true", "compile": "false"})
    assert read.settings.tensorboard is True and read.settings.compile is False
    recipe, film = read.recipe("one"), read.films["2001"]
    assert (recipe.steps, recipe.learning_rate, recipe.base_channels) == (8, 0.001, 16) and read.kept_steps("one") == [4, 6]
    assert (film.title, film.start, film.audio) == ("2001", "90", "2")
    with pytest.raises(RefilmError, match=r"training.steps: invalid value 'eight'"):
        Config({"training": {"steps": "eight"}})
