"""What the rules ask, answered without Snakemake: files, options, and what is missing."""

import errno
import inspect
import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.io import contains_wildcard

from refilm import layout
from refilm.config.model_folder import ModelFolder
from refilm.config.planning import Planner, exit_on_error, untracked
from refilm.config.recipe import metadata_of_model, recipe_of_model
from refilm.config.recipes import RECIPES
from refilm.core.errors import RefilmError
from tests.conftest import config

FILMS = {
    "one": {"source": "films/one.mkv", "title": "Number One"},
    "two": {"source": "films/two.mkv", "audio": "none", "end": "1:00"},
    "walk": {"source": "stills/*.png", "fps": 12},
    "far": {"source": "https://example.org/far.MKV?token=x", "sha256": "A" * 64},
    "made": {"source": "results/one_by_one.mp4"},
}
MODELS = {
    "one": {"films": ["one", "two"]},
    "large": {"films": ["one"], "frame_size": "512x288"},
    "plain": {"films": ["one"], "recipe": "autoencoder"},
}
COMPARISONS = {"both": {"film": "one", "models": ["one", "plain"], "start": 1, "height": 96}}
EXPORTS = {
    "wall": {"film": "one", "model": "plain", "end": "0:10"},
    "images": {"film": "two", "model": "one", "codec": "png", "loop": True},
    "row": {"film": "one", "model": "one@9", "codec": "prores", "screens": 3},
}


WALKS = {
    "between": {"model": "plain", "moments": ["one@1", "two@0:02.5", "one@1"], "seconds": 2, "loop": "close"},
    "slow": {"model": "one@9", "film": "one", "start": 2, "speed": 0.25, "reverse": True, "sound": "one"},
    "mixed": {"model": "one", "film": "one", "mix_with": "two", "title": "A mixture"},
    "near": {"model": "one", "film": "two", "nearest_in": "one", "start": 1, "sound": "one"},
    "own": {"model": "one", "latents": "mine.h5", "fps": 24},
}


BENDS = {
    "melting": {
        "model": "one@9",
        "film": "one",
        "end": 3,
        "title": "Melting",
        "transforms": [
            {"transform": "rotate", "layers": [2], "by": "0 at 0, 90 at 3"},
            {"transform": "flip", "layers": [1]},
        ],
    },
    "own": {
        "model": "plain",
        "latents": "mine.h5",
        "seed": 4,
        "transforms": [{"transform": "translate", "layers": [1], "y": 1}],
    },
}


def planner(**sections) -> Planner:
    return Planner(config(**({"films": FILMS, "models": MODELS, "comparisons": COMPARISONS} | sections)))


def job(**wildcards: str) -> SimpleNamespace:
    return SimpleNamespace(**wildcards)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """A working directory with both film files and twelve images."""
    monkeypatch.chdir(tmp_path)
    for file in ("films/one.mkv", "films/two.mkv", *(f"stills/{n}.png" for n in range(1, 13))):
        touch(file)
    return tmp_path


def touch(file: str, text: str = "", later: float = 0) -> None:
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(text)
    os.utime(file, (1e9 + later, 1e9 + later))


def write_head(file: str | Path, **metadata: str) -> None:
    """The head of a model file or a checkpoint, as far as a plan reads it."""
    touch(str(file))
    head = json.dumps({"__metadata__": metadata}).encode()
    Path(file).write_bytes(len(head).to_bytes(8, "little") + head)


def train(model: str, recipe: str, later: float = 0) -> None:
    """A model file at the end of its training."""
    file = layout.MODEL.format(model=model)
    write_head(file, recipe=recipe, steps="900")
    os.utime(file, (1e9 + later, 1e9 + later))
    ModelFolder(file).keep()


def refusal(capsys, ask, *arguments) -> str:
    """The one line with which a question ends the process."""
    with pytest.raises(SystemExit) as stop:
        ask(*arguments)
    assert stop.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("refilm: ")


# --- the decorators


def test_an_error_ends_the_process_with_its_line(capsys):
    @exit_on_error
    def fail():
        raise RefilmError("films.x: wrong")

    assert refusal(capsys, fail) == "films.x: wrong"


def test_snakemake_tracks_the_params_of_a_function_unless_it_takes_the_output():
    """Snakemake looks at the signature: dag.py, `_is_deriving_function`."""
    for name in ("device", "hwaccel", "training_options", "validation_options", "download_options", "source_spec"):
        assert list(inspect.signature(getattr(planner(), name)).parameters) == ["wildcards", "output"], name
    for name in ("recipe", "audio", "film_options", "image_options", "comparison_options", "film_title", "model_title"):
        assert "output" not in inspect.signature(getattr(planner(), name)).parameters, name
    assert untracked(lambda self, wildcards: wildcards)(None, 3, output="ignored") == 3


# --- films and frames


def test_a_source_is_the_film_or_its_images_or_where_it_is_fetched_to():
    ask = planner().source
    assert ask(job(film="one", size="256x144")) == "films/one.mkv"
    assert ask(job(film="walk", size="256x144")) == [f"stills/{n}.png" for n in range(1, 13)]
    assert ask(job(film="far", size="256x144")) == "films/downloads/far.mkv"
    assert ask(job(film="made", size="256x144")) == "results/one_by_one.mp4"


@pytest.mark.parametrize(
    ("film", "gone", "line"),
    [
        ("one", "films/one.mkv", "film 'one' is missing: put it at films/one.mkv, or set films.one.source"),
        ("walk", "stills", r"film 'walk' has no images: put them at stills/\*.png, or set films.walk.source"),
        ("on", None, "unknown film 'on'; did you mean 'one'?"),
    ],
)
def test_what_is_missing_is_named_with_where_to_put_it(capsys, film, gone, line):
    if gone:
        Path(gone).rename("elsewhere")
    assert re.match(line, refusal(capsys, planner().source, job(film=film, size="256x144")))


def test_a_size_that_is_not_valid_is_refused(capsys):
    line = refusal(capsys, planner().source, job(film="one", size="250x144"))
    assert line.startswith("results/frames/250x144: 250x144 is not a valid frame size")


def test_a_preview_of_the_crop_is_for_film_files(capsys):
    assert planner().previewed_source(job(film="one")) == "films/one.mkv"
    assert "previews of the crop are available for film files" in refusal(
        capsys, planner().previewed_source, job(film="walk")
    )


@pytest.mark.parametrize("name", ["{film}", "{ film }.mkv", "{a.b}", "{n,[0-9]+}", "{}", "{a b}", "{a", "plain.mkv"])
def test_a_name_that_snakemake_reads_as_a_wildcard_is_refused(capsys, name):
    touch(f"films/{name}")
    ask = planner(films={"one": {"source": f"films/{name}"}}, models={}, comparisons={}).previewed_source
    if contains_wildcard(name):
        assert "as a wildcard: rename" in refusal(capsys, ask, job(film="one"))
    else:
        assert ask(job(film="one")) == f"films/{name}"


def test_a_result_needs_the_film_only_for_its_sound():
    asked = planner()
    assert asked.sound_source(job(film="one", model="one")) == "films/one.mkv"
    assert asked.sound_source(job(comparison="both")) == "films/one.mkv"
    Path("films/two.mkv").unlink()
    assert asked.sound_source(job(film="two", model="one")) == []
    assert asked.sound_source(job(film="walk", model="one")) == []


def test_options_of_films_and_images():
    asked = planner()
    assert asked.film_options(job(film="two")) == ["--crop=auto", "--end=60", "--fit=crop"]
    crop, fit, fps, images = asked.image_options(job(film="walk"))
    assert (crop, fit, fps) == ("--crop=auto", "--fit=crop", "--fps=12") and images.startswith("--images=12-")
    Path("stills/3.png").unlink()
    assert planner().image_options(job(film="walk"))[-1].startswith("--images=11-")
    assert asked.validation_options(job(film="one")) == ["--audio=auto"]
    assert asked.validation_options(job(film="far")) == ["--audio=auto"]  # its sum is checked when it is fetched
    assert asked.download_options(job(film="far")) == [f"--sha256={'A' * 64}"]
    assert asked.source_spec(job(film="walk")) == "stills/*.png"


def test_a_download_with_another_sum_is_refused(capsys):
    touch("films/downloads/far.mkv")
    touch("films/downloads/far.mkv.json", json.dumps({"sha256": "b" * 64}))
    line = refusal(capsys, planner().source, job(film="far", size="256x144"))
    assert line.startswith(f"films/downloads/far.mkv: its sha256 is {'b' * 64}, and films.far.sha256 is {'a' * 64}")


def test_frames_have_the_size_of_the_model():
    asked = planner()
    assert asked.frames(job(film="one", model="one")) == "results/frames/256x144/one.h5"
    assert asked.frames(job(film="one", model="large")) == "results/frames/512x288/one.h5"
    assert asked.frames(job(comparison="both")) == "results/frames/256x144/one.h5"


# --- models


def test_a_model_that_is_trained_needs_no_frames():
    asked = planner()
    frames = ["results/frames/256x144/one.h5", "results/frames/256x144/two.h5"]
    assert asked.training_frames(job(model="one")) == frames
    train("one", asked.recipe(job(model="one")))
    assert asked.training_frames(job(model="one")) == []
    assert planner(training={"seed": 1}).training_frames(job(model="one")) == frames


def test_every_model_file_is_kept_by_recipe_and_length():
    """Also one that is a file of its own, of another recipe than is configured now; and what is missing is linked again."""
    recipe, model = planner().recipe(job(model="one")), Path(layout.MODEL.format(model="one"))
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
    assert asked.training_options(job(model="one"))[2:] == ["--keep=5", "--keep=7", "--keep=30", "--keep=500"]
    own = MODELS | {"one": MODELS["one"] | {"keep": [9]}}
    assert planner(models=own, training={"keep": [5]}, comparisons={}).config.kept_steps("one") == [9]


def test_what_is_kept_is_no_part_of_what_a_model_is():
    assert planner(training={"keep": [5]}).recipe(job(model="one")) == planner().recipe(job(model="one"))


def test_an_early_model_is_another_than_the_model_and_its_latents_are_too():
    asked = planner()
    pairs = [{"film": "one", "model": name} for name in ("one", "one@5", "one@6")]
    assert asked.latents(job(**pairs[1])) == "results/latents/one_by_one@5.h5"
    assert asked.encoder(job(**pairs[1])) == "results/models/one/model@5.safetensors"
    assert asked.frames(job(**pairs[1])) == asked.frames(job(**pairs[0]))
    assert len({asked.encoded(job(**pair)) for pair in pairs}) == 3
    assert asked.model_title(job(model="plain@5000")) == "Number One after 5,000 steps"


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
        train("one", asked.recipe(job(model="one")))
    assert re.match(line, refusal(capsys, asked.early_model_source, job(model="one", step=str(step))))


def test_a_training_that_is_past_a_step_does_not_keep_it_any_more(capsys):
    asked = planner(training=LONGER | {"keep": [5, 600]})
    recipe, model = asked.config.recipe("one"), layout.MODEL.format(model="one")
    write_head(f"results/models/one/state/{recipe.state_key()}/step-000000500.safetensors", recipe=recipe.to_json())
    assert "is past step 5" in refusal(capsys, asked.early_model_source, job(model="one", step="5"))
    assert asked.early_model_source(job(model="one", step="600")) == model


def test_an_early_model_needs_the_training_until_it_was_kept():
    asked = planner(training={"keep": [5]})
    assert asked.early_model_source(job(model="one", step="5")) == layout.MODEL.format(model="one")
    early(asked, 5)
    assert asked.early_model_source(job(model="one", step="5")) == []
    train("one", asked.recipe(job(model="one")))
    assert asked.early_model_source(job(model="one", step="900")) == []  # its last step is the model


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
    assert long.early_model_source(job(model="one", step="5")) == []
    assert folder.find_early(long.config.recipe("one"), 800) is None  # which it did not pass
    assert folder.find_early(recipe, 800)


def test_the_films_that_a_training_shows_are_needed_until_it_is_done():
    asked = planner(training={"preview_films": ["one", "walk"]})
    assert asked.preview_frames(job(model="plain")) == ["results/frames/256x144/walk.h5"]  # it is trained on the other
    train("plain", asked.recipe(job(model="plain")))
    assert asked.preview_frames(job(model="plain")) == []
    samples = {"noise": {"films": ["one"], "recipe": "dcgan", "preview_films": ["walk"]}}
    assert planner(models=samples, comparisons={}).preview_frames(job(model="noise")) == []
    assert asked.recipe(job(model="one")) == planner().recipe(job(model="one"))


def test_a_model_that_starts_from_another_needs_it_until_it_is_trained():
    models = {"one": {"films": ["one"]}, "next": {"films": ["two"], "initial_model": "one@5"}}
    asked = planner(models=models, comparisons={})
    assert asked.initial_model(job(model="next")) == "results/models/one/model@5.safetensors"
    assert asked.initial_model(job(model="one")) == []
    assert asked.training_options(job(model="one"))[2:] == ["--keep=5"]
    train("next", asked.recipe(job(model="next")))
    assert asked.initial_model(job(model="next")) == []


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
        line = refusal(capsys, asked.training_frames, job(model="one"))
        assert f"was trained for {step} steps" in line and f"set {step} or more" in line
    else:
        assert len(asked.training_frames(job(model="one"))) == 2


def test_what_trains_and_how_is_no_part_of_the_recipe():
    asked = planner(gpus=2, compile=True, tensorboard=True, device="cpu", hwaccel="cuda")
    assert asked.recipe(job(model="one")) == planner().recipe(job(model="one"))
    assert asked.training_options(job(model="one")) == ["--gpus=2", "--compile=true", "--tensorboard"]
    assert (asked.device(job(model="one")), asked.hwaccel(job(film="one"))) == ("cpu", "cuda")


def test_a_recipe_without_an_encoder_or_a_prior_is_refused(capsys, monkeypatch):
    assert planner().sampled_model(job(model="one")) == "results/models/one/model.safetensors"
    line = "model 'plain' cannot make samples: its recipe autoencoder has no prior: use one of another recipe"
    assert refusal(capsys, planner().sampled_model, job(model="plain")) == line
    asked = planner(comparisons={})
    monkeypatch.setitem(RECIPES, "autoencoder", RECIPES["autoencoder"].__class__(model="", summary="", reconstructs=False))
    line = "model 'plain' cannot reconstruct films: its recipe autoencoder has no encoder; ask for results/samples/plain.png"
    assert refusal(capsys, asked.encoder, job(film="one", model="plain")) == line


def test_a_comparison_shows_its_models_in_order():
    asked, both = planner(), job(comparison="both")
    assert asked.compared_latents(both) == ["results/latents/one_by_one.h5", "results/latents/one_by_plain.h5"]
    assert asked.compared_models(both) == [layout.MODEL.format(model=model) for model in ("one", "plain")]
    assert asked.comparison_options(both) == [
        "--title=Number One",
        "--by=Number One + two",
        "--by=Number One",
        "--height=96",
        "--layout=row",
        "--start=1",
    ]


def test_an_export_is_asked_for_by_the_name_that_its_codec_gives_it(capsys):
    asked = planner(exports=EXPORTS)
    wall, images, row = job(export="wall", suffix="mp4"), job(export="images"), job(export="row")
    assert asked.exported_latents(wall) == "results/latents/one_by_plain.h5"
    assert asked.exported_latents(images) == "results/latents/two_by_one.h5"
    assert asked.exported_latents(row) == "results/latents/one_by_one@9.h5"
    assert asked.shown_model(row) == layout.model_file("one@9")
    assert asked.sound_source(wall) == "films/one.mkv" and asked.sound_source(images) == []
    line = "results/exports/wall.mov: export 'wall' is h264: ask for results/exports/wall.mp4"
    assert refusal(capsys, asked.exported_latents, job(export="wall", suffix="mov")) == line
    line = "results/exports/row.mov: export 'row' is prores for 3 screens: ask for results/exports/row"
    assert refusal(capsys, asked.exported_latents, job(export="row", suffix="mov")) == line
    assert "unknown export 'walls'; did you mean 'wall'?" in refusal(capsys, asked.exported_latents, job(export="walls"))
    usual = ["--codec=h264", "--crf=14", "--end=0:10", "--height=2160", "--scaler=lanczos", "--screens=1"]
    assert asked.export_options(wall) == usual
    # the quality of H.264 makes no images again
    assert asked.export_options(images) == ["--codec=png", "--height=2160", "--scaler=lanczos", "--screens=1", "--loop"]
    assert asked.config.kept_steps("one") == [9]


def test_a_walk_reads_the_latents_of_its_moments_or_films(capsys):
    asked = planner(walks=WALKS)
    between, slow, mixed, near, own = (job(walk=name) for name in WALKS)
    one, two = "results/latents/one_by_one.h5", "results/latents/two_by_one.h5"
    plain = [f"results/latents/{film}_by_plain.h5" for film in ("one", "two", "one")]
    assert asked.walk_latents(between) == plain and asked.walk_model(between) == layout.model_file("plain")
    assert asked.walk_options(between) == ["--moment=1", "--moment=0:02.5", "--moment=1", "--loop=close", "--seconds=2"]
    assert asked.walk_latents(slow) == ["results/latents/one_by_one@9.h5"] and asked.config.kept_steps("one") == [9]
    assert asked.walk_options(slow) == ["--sound-start=2", "--speed=0.25", "--start=2", "--reverse"]
    assert asked.walk_source(slow) == "films/one.mkv" and asked.walk_audio(slow) == "auto"
    assert asked.walk_sound_frames(slow) == "results/frames/256x144/one.h5" and asked.walk_frames(slow) == []
    assert asked.walk_latents(mixed) == [one, two] and asked.walk_options(mixed) == ["--mix=0.5"]
    assert asked.walk_source(mixed) == [] and asked.walk_audio(mixed) == "none"
    assert asked.walk_latents(near) == [two, one]
    assert asked.walk_frames(near) == ["results/frames/256x144/two.h5", "results/frames/256x144/one.h5"]
    assert asked.walk_options(near) == ["--title=two", "--title=Number One", "--start=1"]  # and its sound from the beginning
    line = "mine.h5: the latents file is missing: put it there, or set walks.own.latents"
    assert refusal(capsys, asked.walk_latents, own) == line
    touch("mine.h5")
    assert asked.walk_latents(own) == ["mine.h5"]
    assert "unknown walk 'slo'; did you mean 'slow'?" in refusal(capsys, asked.walk_latents, job(walk="slo"))


def test_a_walk_is_made_again_for_other_latents_and_no_others():
    walks = {"own": WALKS["own"]}
    touch("mine.h5", "one")
    before = planner(walks=walks).walked(job(walk="own")), planner(walks=walks).walk_digest(job(walk="own"))
    touch("mine.h5", "one", later=9)
    Path("films/one.mkv").unlink()
    assert (planner(walks=walks).walked(job(walk="own")), planner(walks=walks).walk_digest(job(walk="own"))) == before
    touch("mine.h5", "two", later=20)
    after = planner(walks=walks)
    assert after.walked(job(walk="own")) != before[0] and after.walk_digest(job(walk="own")) != before[1]
    paced = planner(walks={"own": WALKS["own"] | {"speed": 2}})
    assert paced.walked(job(walk="own")) == after.walked(job(walk="own"))
    assert paced.walk_digest(job(walk="own")) != after.walk_digest(job(walk="own"))


def test_a_bend_decodes_the_latents_of_its_film_with_its_sound():
    asked, melting, own = planner(bends=BENDS), job(bend="melting"), job(bend="own")
    touch("mine.h5", "one")
    assert asked.bend_latents(melting) == "results/latents/one_by_one@9.h5" and asked.bend_latents(own) == "mine.h5"
    assert asked.bend_model(melting) == layout.model_file("one@9") and asked.config.kept_steps("one") == [9]
    assert (asked.bend_source(melting), asked.bend_audio(melting)) == ("films/one.mkv", "auto")
    assert (asked.bend_source(own), asked.bend_audio(own)) == ([], "none")
    *span, transforms = asked.bend_options(melting)
    assert span == ["--end=3"] and json.loads(transforms.removeprefix("--transforms=")) == [
        {
            "transform": "rotate",
            "layers": [2],
            "channels": [],
            "share": 1,
            "amount": 1,
            "parameters": {"by": "0 at 0, 90 at 3"},
        },
        {"transform": "flip", "layers": [1], "channels": [], "share": 1, "amount": 1, "parameters": {}},
    ]
    assert asked.bend_options(own)[0] == "--seed=4" and '"parameters": {"x": 0.1, "y": 1}' in asked.bend_options(own)[1]
    before = asked.bent(own), asked.bend_digest(own)
    touch("mine.h5", "two", later=9)
    assert planner(bends=BENDS).bent(own) != before[0] and planner(bends=BENDS).bend_digest(own) != before[1]
    shown = planner(reconstructions=["two_by_one"], bends={"melting": BENDS["melting"]})
    still = "results/gallery/bent/melting.webp"
    assert json.loads(shown.gallery_entries(job()))["videos"] == {"Bends": [["Melting", "results/bent/melting.mp4", still]]}
    assert still in shown.gallery_files(job()) and "results/bent/melting.mp4" in shown.targets()
    results = [(layout.BEND, layout.BEND.format(bend=name)) for name in BENDS]
    for _, path in results:
        touch(path)
    assert all(is_to_make(*result, bends=BENDS) for result in results)
    Path("films/one.mkv").unlink()
    assert [is_to_make(*result, bends=BENDS) for result in results] == [False, True]
    assert not planner(bends=BENDS).made_from({"bend": "melting"})


def test_walks_stay_when_a_film_that_they_need_is_deleted():
    results = [(layout.WALK, layout.WALK.format(walk=name)) for name in WALKS]
    for _, path in results:
        touch(path)
    assert all(is_to_make(*result, walks=WALKS) for result in results)
    Path("films/one.mkv").unlink()
    assert [is_to_make(*result, walks=WALKS) for result in results] == [True, False, True, False, True]
    assert not planner(walks=WALKS).made_from({"walk": "slow"})


def test_a_poster_says_what_it_shows():
    asked = planner(posters={"big": {"film": "one", "model": "plain", "width": 841, "height": 1189.5}})
    big = job(poster="big")
    assert asked.poster_latents(big) == "results/latents/one_by_plain.h5"
    assert asked.poster_options(big) == [
        "--by=Number One", "--dpi=300", "--frames=2000", "--height=1189.5", "--title=Number One", "--width=841",
    ]  # fmt: skip


def test_only_sheets_of_the_best_and_worst_shots_need_metrics():
    asked, pair = planner(), {"film": "one", "model": "plain"}
    assert asked.ordering_metrics(job(order="best", **pair)) == "results/metrics/one_by_plain.csv"
    assert asked.ordering_metrics(job(order="shots", **pair)) == []


def test_the_moments_of_pictures_are_in_their_names():
    assert planner().moment(job(moment="01-02-03.5")) == "01:02:03.5"
    assert planner().span(job(start="00-00-01", end="00-01-00")) == ["--start=00:00:01", "--end=00:01:00"]


def test_targets_are_what_the_configuration_lists():
    posters = {"big": {"film": "one", "model": "one"}}
    assert planner(reconstructions=["two_by_one"], posters=posters, exports=EXPORTS).targets() == [
        "results/two_by_one.mp4",
        "results/stills/two_by_one.png",
        "results/comparisons/both.mp4",
        "results/posters/big.png",
        "results/exports/wall.mp4",
        "results/exports/images",
        "results/exports/row",
        "results/gallery/index.html",
    ]
    assert planner(comparisons={}, walks={"slow": WALKS["slow"]}).targets() == ["results/walks/slow.mp4"]


def test_the_gallery_links_to_walks():
    asked = planner(reconstructions=["two_by_one"], walks={"mixed": WALKS["mixed"]})
    still = "results/gallery/walks/mixed.webp"
    assert still in asked.gallery_files(job())
    listed = json.loads(asked.gallery_entries(job()))["videos"]
    assert listed == {"Walks": [["A mixture", "results/walks/mixed.mp4", still]]}
    assert "videos" not in json.loads(planner(reconstructions=["two_by_one"]).gallery_entries(job()))


# --- constraints


def matches(constraint: str, rest: str, text: str) -> bool:
    return re.fullmatch(f"(?:{constraint}){rest}", text) is not None


def test_a_film_that_was_fetched_has_no_rule_that_fetches_it():
    assert planner().downloads() == "far"
    touch("films/downloads/far.mkv")
    assert not matches(planner().downloads(), ".*", "far.mkv")
    assert planner().image_films() == "walk"


def test_latents_are_made_of_the_search_and_without_it_of_what_they_were_made_of_before():
    def made_of(**reconstruction) -> dict:
        return json.loads(planner(reconstruction=reconstruction).encoded(job(film="one", model="one")))

    assert made_of().keys() == made_of(search=0).keys() == {"frames", "noise", "recipe"}
    assert made_of(search=20) == made_of() | {"search": 20}


# --- what was deleted: results that cannot be made again have no rule


def is_to_make(result: str, path: str, **sections) -> bool:
    """Whether a rule with such an output makes the path."""
    start = result.index("{")
    return re.match(planner(**sections).to_make(result), path[start:]) is not None


@pytest.mark.parametrize(("film", "source"), [("one", "films/one.mkv"), ("walk", "stills")])
def test_frames_stay_when_their_film_is_deleted(capsys, film, source):
    frames = f"results/frames/256x144/{film}.h5"
    touch(frames)
    assert is_to_make(layout.FRAMES, frames)
    Path(source).rename("elsewhere")
    assert not is_to_make(layout.FRAMES, frames)
    for other in (f"512x288/{film}.h5", f"256x144/{film}x.h5", "256x144/two.h5"):
        assert is_to_make(layout.FRAMES, f"results/frames/{other}")
    assert f"film '{film}'" in refusal(capsys, planner().source, job(film=film, size="512x288"))


def test_latents_stay_when_film_and_frames_are_deleted():
    def to_encode() -> bool:
        return is_to_make(layout.LATENTS, "results/latents/one_by_large.h5")

    frames, recipe = "results/frames/512x288/one.h5", planner().recipe(job(model="large"))
    train("large", recipe)
    touch("results/latents/one_by_large.h5", later=1)
    assert to_encode()  # the film is there
    Path("films/one.mkv").unlink()
    assert not to_encode()
    assert is_to_make(layout.LATENTS, "results/latents/one_by_one.h5")  # never encoded
    touch(frames)
    assert to_encode()  # its frames are there
    Path(frames).unlink()
    train("large", recipe, later=2)
    assert to_encode()  # the model was trained since, and the latents are of no use
    train("large", planner(training={"seed": 1}).recipe(job(model="large")))
    assert to_encode()


def test_pictures_stay_when_all_of_which_they_were_made_is_deleted():
    sheet, table, video, clip = (
        result.format(film="one", model="one", comparison="both")
        for result in (layout.STILLS, layout.METRICS, layout.VIDEO, layout.COMPARISON)
    )
    for file in (sheet, table, video, clip):
        touch(file)
    made = ((layout.STILLS, sheet), (layout.METRICS, table), (layout.VIDEO, video), (layout.COMPARISON, clip))
    assert all(is_to_make(*result) for result in made)
    Path("films/one.mkv").unlink()
    assert not any(is_to_make(*result) for result in made)
    silent = FILMS | {"one": FILMS["one"] | {"audio": "none"}}
    assert [is_to_make(*result, films=silent) for result in made] == [False, False, True, False]
    touch("results/frames/256x144/one.h5")
    assert [is_to_make(*result) for result in made] == [True, True, False, False]
    assert all(is_to_make(*result, films=silent) for result in made)


def test_the_shots_of_a_film_stay_when_film_and_frames_are_deleted():
    shots = "results/shots/one.csv"
    touch(shots)
    assert is_to_make(layout.SHOTS, shots)
    Path("films/one.mkv").unlink()
    assert not is_to_make(layout.SHOTS, shots)
    touch("results/frames/256x144/one.h5")
    assert is_to_make(layout.SHOTS, shots)


def test_exports_and_posters_stay_when_all_of_which_they_were_made_is_deleted():
    sections = {"exports": EXPORTS, "posters": {"big": {"film": "two", "model": "one"}}}
    results = (
        (layout.EXPORT_FILE, "results/exports/wall.mp4"),
        (layout.EXPORT_FOLDER, "results/exports/images"),
        (layout.POSTER, "results/posters/big.png"),
        (layout.MOMENT, "results/stills/two_by_one@00-00-01.5.png"),
        (layout.CLIP, "results/clips/two_by_one@00-00-01_to_00-00-02.gif"),
    )
    for _, path in results:
        touch(path)
    Path("films/one.mkv").unlink()
    assert [is_to_make(*result, **sections) for result in results] == [False, True, True, True, True]
    Path("films/two.mkv").unlink()
    # silent ones need latents alone
    assert [is_to_make(*result, **sections) for result in results] == [False, True, True, False, False]


def test_a_network_is_shown_with_a_frame_of_its_own_film(capsys):
    asked = planner(models=MODELS | {"noise": {"films": ["one"], "recipe": "dcgan"}})
    one, noise, at = job(model="one"), job(model="noise"), job(model="noise", moment="00-01-02.5")
    assert asked.network_frames(one) == "results/frames/256x144/one.h5"
    assert asked.network_latents(one) == "results/latents/one_by_one.h5"
    assert asked.network_film_title(one) == "Number One" and asked.network_film_title(noise) == ""
    assert asked.network_frames(noise) == [] and asked.network_latents(noise) == []
    digests = {asked.network_digest(each) for each in (one, noise)}
    for changed in ({"training": {"seed": 1}}, {"films": FILMS | {"one": FILMS["one"] | {"title": "Another"}}}):
        digests |= {planner(**changed).network_digest(one)}
    assert len(digests) == 4
    assert [asked.network_moment(wanted, None) for wanted in (one, at)] == ["", "00:01:02.5"]
    line = "model 'noise' has no encoder, so no frame of a film is shown: ask for results/models/noise/network.html"
    assert refusal(capsys, asked.network_latents, at) == line
    listed = planner(reconstructions=["two_by_one"])  # of its two films the one that is reconstructed anyway
    assert listed.network_latents(one) == "results/latents/two_by_one.h5"


def test_a_network_in_pictures_stays_when_its_film_and_frames_are_deleted():
    pages = (
        (layout.NETWORK, "results/models/one/network.html"),
        (layout.NETWORK_AT, "results/models/one/network@00-00-01.html"),
    )
    for _, page in pages:
        touch(page)
    assert all(is_to_make(*page) for page in pages)
    Path("films/one.mkv").unlink()
    assert not any(is_to_make(*page) for page in pages)
    assert all(is_to_make(*page, reconstructions=["two_by_one"]) for page in pages)  # of whose film it then is
    touch("results/frames/256x144/one.h5")
    assert all(is_to_make(*page) for page in pages)


FOUND = {  # large and other are of one recipe and size, and each was trained on one of the films
    "models": MODELS | {"other": {"films": ["two"], "frame_size": "512x288", "holdout_fraction": 0.1, "title": "Other"}},
    "reconstructions": ["one_by_large", "one_by_other", "two_by_large", "one_by_one", "one_by_other@9"],
}


def test_findings_are_of_all_films_of_a_model_and_of_models_that_know_the_others(capsys):
    asked, large = planner(**FOUND), job(model="large")
    assert asked.findings_frames(large) == [f"results/frames/512x288/{film}.h5" for film in ("one", "two")]
    assert asked.findings_latents(large) == [f"results/latents/{film}_by_large.h5" for film in ("one", "two")]
    pairs = ("one_by_large", "one_by_other", "two_by_large")
    assert asked.findings_metrics(large) == [f"results/metrics/{pair}.csv" for pair in pairs]
    one, two = json.loads(asked.findings_films(large))
    assert (one["name"], one["title"], one["metrics"]) == ("one", "Number One", "results/metrics/one_by_large.csv")
    beside = {"title": "Other", "metrics": "results/metrics/one_by_other.csv", "watched": False}
    assert one["beside"] == [beside | {"holdout_fraction": 0.1, "seed": 0}] and two["beside"] == []
    digest = asked.findings_digest(large)
    changed = planner(**FOUND | {"films": FILMS | {"two": FILMS["two"] | {"end": "0:30"}}})
    assert digest == planner(**FOUND).findings_digest(large) != changed.findings_digest(large)
    line = "model 'plain': no film is reconstructed with it: add one_by_plain to reconstructions"
    assert refusal(capsys, asked.findings_frames, job(model="plain")) == line


def test_the_gallery_asks_for_the_pages_of_models_that_it_has_the_films_for():
    def pages(**sections) -> list[str]:
        asked = planner(**FOUND | sections)
        named = json.loads(asked.gallery_entries(job()))["pages"]
        assert asked.gallery_files(job())[-len(named) :] == named
        return [name.removeprefix("results/").removesuffix(".html") for name in named]

    of_large, of_one = ["models/large/network", "findings/large"], ["models/one/network", "findings/one"]
    assert pages() == [*of_large, "findings/other", *of_one]  # other was trained on a film that is not shown by it
    Path("films/two.mkv").unlink()
    assert pages() == ["findings/other", *of_one]
    touch("results/models/large/network.html")
    assert pages() == ["models/large/network", "findings/other", *of_one]
    assert pages(reconstructions=["one_by_one@9", "one_by_one"]) == of_one


def test_the_gallery_ignores_the_time_of_pages_that_are_current():
    """A title is on the pages too: where it changes they are made again, and the gallery after them."""

    def plain(**sections) -> set[str]:
        asked = Planner(config(**{"films": FILMS} | FOUND | sections), lambda path: f"ancient {path}")
        return {file for file in asked.gallery_files(job()) if file.endswith(".html") and not file.startswith("ancient")}

    network, found = "results/models/large/network.html", "results/findings/large.html"
    assert {network, found} <= plain()
    touch(network, f'content="{planner(**FOUND).network_digest(job(model="large"))}"')
    touch(found, f'content="{planner(**FOUND).findings_digest(job(model="large"))}"')
    assert not {network, found} & plain()
    assert {network, found} <= plain(films=FILMS | {"one": FILMS["one"] | {"title": "Another"}})
    renamed = FOUND["models"] | {"large": MODELS["large"] | {"title": "Another"}}
    assert {network, found} <= plain(models=renamed)


def test_findings_stay_when_one_of_their_films_and_its_frames_are_deleted():
    pages = ((layout.FINDINGS, "results/findings/large.html"), (layout.FINDINGS_TABLE, "results/findings/large.md"))
    for _, page in pages:
        touch(page)
    assert all(is_to_make(*page, **FOUND) for page in pages)
    Path("films/two.mkv").unlink()
    assert not any(is_to_make(*page, **FOUND) for page in pages)
    touch("results/frames/512x288/two.h5")
    assert all(is_to_make(*page, **FOUND) for page in pages)


def test_a_target_that_cannot_be_made_again_is_one_line(capsys):
    targets = ["all", "results/one_by_one.mp4", "results/two_by_one.mp4", "results/stills/one_by_one.png"]
    touch("results/one_by_one.mp4")
    planner().check_targets(targets)
    Path("films/one.mkv").unlink()
    line = "results/one_by_one.mp4: this file exists and cannot be made again, since its film was deleted: do not ask for it"
    assert refusal(capsys, planner().check_targets, targets) == line


def test_results_of_names_that_are_not_configured_are_left_to_the_rules():
    Path("films/one.mkv").unlink()
    for result, path in ((layout.STILLS, "results/stills/one_by_x.png"), (layout.VIDEO, "results/x_by_one.mp4")):
        touch(path)
        assert is_to_make(result, path)


# --- dreams


DREAMS = {"night": {"film": "two", "model": "one@9", "start": "0:30", "seed": 4}}


def test_a_dream_is_made_of_latents_a_model_and_its_predictor():
    asked, wildcards = planner(dreams=DREAMS), job(dream="night")
    assert asked.dreamt_latents(wildcards) == "results/latents/two_by_one@9.h5"
    assert asked.shown_model(wildcards) == "results/models/one/model@9.safetensors"
    assert asked.dreaming_predictor(wildcards) == "results/predictors/one@9/predictor.safetensors"
    assert asked.sound_source(wildcards) == []  # the film has no sound
    assert {"--start=0:30", "--seed=4", "--length=60", "--title=two"} <= set(asked.dream_options(wildcards))
    assert asked.config.kept_steps("one") == [9]
    shown = planner(reconstructions=["two_by_one"], dreams=DREAMS)
    still = "results/gallery/dreams/night.webp"
    ((title, video, thumbnail),) = json.loads(shown.gallery_entries(job()))["videos"]["Dreams"]
    assert (video, thumbnail) == ("results/dreams/night.mp4", still) and still in shown.gallery_files(job())
    assert title == "two as dreamt by Number One + two after 9 steps"
    louder = planner(dreams={"night": DREAMS["night"] | {"seed": 5}})
    assert asked.dream_digest(wildcards) == shown.dream_digest(wildcards) != louder.dream_digest(wildcards)
    assert ("dream", "results/dreams/night.mp4") in [(r.kind, r.path) for r in layout.catalogue(asked.config)]


def test_a_predictor_is_trained_on_the_films_of_its_model_and_once():
    asked, wildcards = planner(), job(model="one")
    assert asked.predictor_latents(wildcards) == ["results/latents/one_by_one.h5", "results/latents/two_by_one.h5"]
    assert asked.predictor_frames(wildcards) == ["results/frames/256x144/one.h5", "results/frames/256x144/two.h5"]
    assert asked.predicted_model(wildcards) == "results/models/one/model.safetensors"
    recipe = asked.config.predictor_recipe("one")
    kept = ModelFolder("results/predictors/one/predictor.safetensors").file(recipe)
    kept.parent.mkdir(parents=True)
    header = json.dumps({"__metadata__": {"recipe": recipe.to_json(), "steps": "9"}}).encode()
    kept.write_bytes(len(header).to_bytes(8, "little") + header)
    assert asked.predictor_latents(wildcards) == asked.predictor_frames(wildcards) == asked.predicted_model(wildcards) == []
    others = ({"predictor": {"seed": 1}}, {"reconstruction": {"noise": 1}}, {"training": {"seed": 1}})
    assert all(len(planner(**other).predictor_latents(wildcards)) == 2 for other in others)
    dreams = {"night": {"film": "one", "model": "one"}}
    planner(dreams=dreams).keep_models()
    assert Path("results/predictors/one/predictor.safetensors").samefile(kept)


# --- layout


def test_logs_and_benchmarks_are_named_by_rule_and_job():
    assert layout.log("encode_film", layout.PAIR) == "logs/encode_film/{film}_by_{model}.log"
    assert layout.benchmark("encode_film", layout.PAIR) == "logs/benchmarks/encode_film/{film}_by_{model}.tsv"


def test_the_catalogue_says_whose_a_result_is():
    asked = planner(reconstructions=["two_by_one"])
    assert [(result.kind, result.film, result.models) for result in layout.catalogue(asked.config)] == [
        ("video", "two", ("one",)),
        ("stills", "two", ("one",)),
        ("comparison", "one", ("one", "plain")),
        ("gallery", "", ()),
    ]


def test_wildcards_of_a_path():
    assert layout.wildcards(layout.VIDEO, Path("results/one_by_two.mp4")) == {"film": "one", "model": "two"}
    assert layout.wildcards(layout.FRAMES, Path("results/frames/64x48/one.h5")) == {"size": "64x48", "film": "one"}
    assert layout.wildcards(layout.VIDEO, Path("results/One.mp4")) == {}
    still, clip = "results/stills/one_by_two@5@00-00-01.5.png", "results/clips/one_by_two@00-00-01_to_00-01-00.gif"
    assert layout.wildcards(layout.MOMENT, Path(still)) == {"film": "one", "model": "two@5", "moment": "00-00-01.5"}
    assert layout.wildcards(layout.STILLS, Path(still)) == {}
    assert layout.wildcards(layout.CLIP, Path(clip)) == {
        "film": "one", "model": "two", "start": "00-00-01", "end": "00-01-00", "suffix": "gif",
    }  # fmt: skip
    assert layout.wildcards(layout.EXPORT_FOLDER, Path("results/exports/wall.mp4")) == {}
