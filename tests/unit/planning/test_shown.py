"""What the rules of comparisons, exports, posters, walks, bends and dreams ask."""

import json
from pathlib import Path

import pytest

from refilm import layout
from refilm.config.model_folder import ModelFolder
from tests.plans import BENDS, EXPORTS, WALKS, is_to_make, job, planner, refusal, touch


def test_a_comparison_shows_its_models_in_order():
    asked, both = planner(), job(comparison="both")
    assert asked.comparisons.latents(both) == ["results/latents/one_by_one.h5", "results/latents/one_by_plain.h5"]
    assert asked.comparisons.models(both) == [layout.MODEL.format(model=model) for model in ("one", "plain")]
    assert asked.comparisons.options(both) == [
        "--title=Number One",
        "--by=Number One + two",
        "--by=Number One (plain)",
        "--height=96",
        "--layout=row",
        "--start=1",
    ]


def test_an_export_is_asked_for_by_the_name_that_its_codec_gives_it(capsys):
    asked = planner(exports=EXPORTS)
    wall, images, row = job(export="wall", suffix="mp4"), job(export="images"), job(export="row")
    assert asked.exports.latents(wall) == "results/latents/one_by_plain.h5"
    assert asked.exports.latents(images) == "results/latents/two_by_one.h5"
    assert asked.exports.latents(row) == "results/latents/one_by_one@9.h5"
    assert asked.exports.model(row) == layout.model_file("one@9")
    assert asked.exports.sound_source(wall) == "films/one.mkv" and asked.exports.sound_source(images) == []
    line = "results/exports/wall.mov: export 'wall' is h264: ask for results/exports/wall.mp4"
    assert refusal(capsys, asked.exports.latents, job(export="wall", suffix="mov")) == line
    line = "results/exports/row.mov: export 'row' is prores for 3 screens: ask for results/exports/row"
    assert refusal(capsys, asked.exports.latents, job(export="row", suffix="mov")) == line
    assert "unknown export 'walls'; did you mean 'wall'?" in refusal(capsys, asked.exports.latents, job(export="walls"))
    usual = ["--codec=h264", "--crf=14", "--end=0:10", "--height=2160", "--scaler=lanczos", "--screens=1"]
    assert asked.exports.options(wall) == usual
    # the quality of H.264 makes no images again
    assert asked.exports.options(images) == ["--codec=png", "--height=2160", "--scaler=lanczos", "--screens=1", "--loop"]
    assert asked.config.kept_steps("one") == [9]


def test_a_walk_reads_the_latents_of_its_moments_or_films(capsys):
    asked = planner(walks=WALKS)
    between, slow, mixed, near, own = (job(walk=name) for name in WALKS)
    one, two = "results/latents/one_by_one.h5", "results/latents/two_by_one.h5"
    plain = [f"results/latents/{film}_by_plain.h5" for film in ("one", "two", "one")]
    assert asked.walks.latents(between) == plain and asked.walks.model(between) == layout.model_file("plain")
    assert asked.walks.options(between) == ["--moment=1", "--moment=0:02.5", "--moment=1", "--loop=close", "--seconds=2"]
    assert asked.walks.latents(slow) == ["results/latents/one_by_one@9.h5"] and asked.config.kept_steps("one") == [9]
    assert asked.walks.options(slow) == ["--sound-start=2", "--speed=0.25", "--start=2", "--reverse"]
    assert asked.walks.sound_source(slow) == "films/one.mkv" and asked.walks.audio(slow) == "auto"
    assert asked.walks.sound_frames(slow) == "results/frames/256x144/one.h5" and asked.walks.frames(slow) == []
    assert asked.walks.latents(mixed) == [one, two] and asked.walks.options(mixed) == ["--mix=0.5"]
    assert asked.walks.sound_source(mixed) == [] and asked.walks.audio(mixed) == "none"
    assert asked.walks.latents(near) == [two, one]
    assert asked.walks.frames(near) == ["results/frames/256x144/two.h5", "results/frames/256x144/one.h5"]
    assert asked.walks.options(near) == ["--title=two", "--title=Number One", "--start=1"]  # sound from the beginning
    line = "mine.h5: the latents file is missing: put it there, or set walks.own.latents"
    assert refusal(capsys, asked.walks.latents, own) == line
    touch("mine.h5")
    assert asked.walks.latents(own) == ["mine.h5"]
    assert "unknown walk 'slo'; did you mean 'slow'?" in refusal(capsys, asked.walks.latents, job(walk="slo"))


def test_a_walk_is_made_again_for_other_latents_and_no_others():
    walks = {"own": WALKS["own"]}
    touch("mine.h5", "one")
    own, first = job(walk="own"), planner(walks=walks).walks
    before = first.made_of(own), first.digest(own)
    touch("mine.h5", "one", later=9)
    Path("films/one.mkv").unlink()
    same = planner(walks=walks).walks
    assert (same.made_of(own), same.digest(own)) == before
    touch("mine.h5", "two", later=20)
    after = planner(walks=walks).walks
    assert after.made_of(own) != before[0] and after.digest(own) != before[1]
    paced = planner(walks={"own": WALKS["own"] | {"speed": 2}}).walks
    assert paced.made_of(own) == after.made_of(own) and paced.digest(own) != after.digest(own)


def test_a_bend_decodes_the_latents_of_its_film_with_its_sound():
    asked, melting, own = planner(bends=BENDS), job(bend="melting"), job(bend="own")
    touch("mine.h5", "one")
    assert asked.bends.latents(melting) == "results/latents/one_by_one@9.h5" and asked.bends.latents(own) == "mine.h5"
    assert asked.bends.model(melting) == layout.model_file("one@9") and asked.config.kept_steps("one") == [9]
    assert (asked.bends.sound_source(melting), asked.bends.audio(melting)) == ("films/one.mkv", "auto")
    assert (asked.bends.sound_source(own), asked.bends.audio(own)) == ([], "none")
    *span, transforms = asked.bends.options(melting)
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
    assert asked.bends.options(own)[0] == "--seed=4" and '"parameters": {"x": 0.1, "y": 1}' in asked.bends.options(own)[1]
    before = asked.bends.made_of(own), asked.bends.digest(own)
    touch("mine.h5", "two", later=9)
    assert planner(bends=BENDS).bends.made_of(own) != before[0] and planner(bends=BENDS).bends.digest(own) != before[1]
    shown = planner(reconstructions=["two_by_one"], bends={"melting": BENDS["melting"]})
    still = "results/gallery/bent/melting.webp"
    assert json.loads(shown.gallery.entries(job()))["videos"] == {"Bends": [["Melting", "results/bent/melting.mp4", still]]}
    assert still in shown.gallery.files(job()) and "results/bent/melting.mp4" in shown.results.targets()
    results = [(layout.BEND, layout.BEND.format(bend=name)) for name in BENDS]
    for _, path in results:
        touch(path)
    assert all(is_to_make(*result, bends=BENDS) for result in results)
    Path("films/one.mkv").unlink()
    assert [is_to_make(*result, bends=BENDS) for result in results] == [False, True]
    assert not planner(bends=BENDS).results.made_from({"bend": "melting"})


def test_a_poster_says_what_it_shows():
    asked = planner(posters={"big": {"film": "one", "model": "plain", "width": 841, "height": 1189.5}})
    big = job(poster="big")
    assert asked.posters.latents(big) == "results/latents/one_by_plain.h5"
    assert asked.posters.options(big) == [
        "--by=Number One (plain)", "--dpi=300", "--frames=2000", "--height=1189.5", "--title=Number One", "--width=841",
    ]  # fmt: skip


def test_only_sheets_of_the_best_and_worst_shots_need_metrics():
    asked, pair = planner(), {"film": "one", "model": "plain"}
    assert asked.reconstructions.ordering_metrics(job(order="best", **pair)) == "results/metrics/one_by_plain.csv"
    assert asked.reconstructions.ordering_metrics(job(order="shots", **pair)) == []


def test_the_moments_of_pictures_are_in_their_names():
    assert planner().reconstructions.moment(job(moment="01-02-03.5")) == "01:02:03.5"
    clip = job(film="one", model="plain", start="00-00-31", end="00-01-00", suffix="gif")
    assert planner().reconstructions.span(clip) == ["--start=00:00:31", "--end=00:01:00"]


@pytest.mark.parametrize(
    ("start", "end", "why"),
    [
        ("00-00-05", "00-00-03", "it ends before it begins"),
        ("00-00-05", "00-00-05", "it ends before it begins"),
        ("00-00-01", "00-00-59", "58 s are too long: at most 30 s fit"),
    ],
)
def test_a_clip_of_impossible_times_is_refused_in_the_plan(capsys, start, end, why):
    clip = job(film="one", model="plain", start=start, end=end, suffix="gif")
    line = refusal(capsys, planner().reconstructions.span, clip)
    assert line.startswith(f"results/clips/one_by_plain@{start}_to_{end}.gif: {why}")


def test_latents_are_made_of_the_search_and_without_it_of_what_they_were_made_of_before():
    def made_of(**reconstruction) -> dict:
        return json.loads(planner(reconstruction=reconstruction).reconstructions.encoded(job(film="one", model="one")))

    assert made_of().keys() == made_of(search=0).keys() == {"frames", "noise", "recipe"}
    assert made_of(search=20) == made_of() | {"search": 20}


DREAMS = {"night": {"film": "two", "model": "one@9", "start": "0:30", "seed": 4}}


def test_a_dream_is_made_of_latents_a_model_and_its_predictor():
    asked, wildcards = planner(dreams=DREAMS), job(dream="night")
    assert asked.dreams.latents(wildcards) == "results/latents/two_by_one@9.h5"
    assert asked.dreams.model(wildcards) == "results/models/one/model@9.safetensors"
    assert asked.dreams.predictor(wildcards) == "results/predictors/one@9/predictor.safetensors"
    assert asked.dreams.sound_source(wildcards) == []  # the film has no sound
    assert {"--start=0:30", "--seed=4", "--length=60", "--title=two"} <= set(asked.dreams.options(wildcards))
    assert asked.config.kept_steps("one") == [9]
    shown = planner(reconstructions=["two_by_one"], dreams=DREAMS)
    still = "results/gallery/dreams/night.webp"
    ((title, video, thumbnail),) = json.loads(shown.gallery.entries(job()))["videos"]["Dreams"]
    assert (video, thumbnail) == ("results/dreams/night.mp4", still) and still in shown.gallery.files(job())
    assert title == "two as dreamt by Number One + two after 9 steps"
    louder = planner(dreams={"night": DREAMS["night"] | {"seed": 5}})
    assert asked.dreams.digest(wildcards) == shown.dreams.digest(wildcards) != louder.dreams.digest(wildcards)
    assert ("dream", "results/dreams/night.mp4") in [(r.kind, r.path) for r in layout.catalogue(asked.config)]


def test_a_predictor_is_trained_on_the_films_of_its_model_and_once():
    asked, wildcards = planner(), job(model="one")
    assert asked.predictors.latents(wildcards) == ["results/latents/one_by_one.h5", "results/latents/two_by_one.h5"]
    assert asked.predictors.frames(wildcards) == ["results/frames/256x144/one.h5", "results/frames/256x144/two.h5"]
    assert asked.predictors.model(wildcards) == "results/models/one/model.safetensors"
    recipe = asked.config.predictor_recipe("one")
    kept = ModelFolder("results/predictors/one/predictor.safetensors").file(recipe)
    kept.parent.mkdir(parents=True)
    header = json.dumps({"__metadata__": {"recipe": recipe.to_json(), "steps": "9"}}).encode()
    kept.write_bytes(len(header).to_bytes(8, "little") + header)
    assert (
        asked.predictors.latents(wildcards) == asked.predictors.frames(wildcards) == asked.predictors.model(wildcards) == []
    )
    others = ({"predictor": {"seed": 1}}, {"reconstruction": {"noise": 1}}, {"training": {"seed": 1}})
    assert all(len(planner(**other).predictors.latents(wildcards)) == 2 for other in others)
    dreams = {"night": {"film": "one", "model": "one"}}
    planner(dreams=dreams).keep_models()
    assert Path("results/predictors/one/predictor.safetensors").samefile(kept)
