"""What the rules of films ask."""

import json
import re
from pathlib import Path

import pytest
from snakemake.io import contains_wildcard

from tests.plans import job, planner, refusal, touch


def test_a_source_is_the_film_or_its_images_or_where_it_is_fetched_to():
    ask = planner().films.source
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
    assert re.match(line, refusal(capsys, planner().films.source, job(film=film, size="256x144")))


def test_a_size_that_is_not_valid_is_refused(capsys):
    line = refusal(capsys, planner().films.source, job(film="one", size="250x144"))
    assert line.startswith("results/frames/250x144: 250x144 is not a valid frame size")


def test_a_preview_of_the_crop_is_for_film_files(capsys):
    assert planner().films.previewed_source(job(film="one")) == "films/one.mkv"
    assert "previews of the crop are available for film files" in refusal(
        capsys, planner().films.previewed_source, job(film="walk")
    )


@pytest.mark.parametrize("name", ["{film}", "{ film }.mkv", "{a.b}", "{n,[0-9]+}", "{}", "{a b}", "{a", "plain.mkv"])
def test_a_name_that_snakemake_reads_as_a_wildcard_is_refused(capsys, name):
    touch(f"films/{name}")
    ask = planner(films={"one": {"source": f"films/{name}"}}, models={}, comparisons={}).films.previewed_source
    if contains_wildcard(name):
        assert "as a wildcard: rename" in refusal(capsys, ask, job(film="one"))
    else:
        assert ask(job(film="one")) == f"films/{name}"


def test_a_result_needs_the_film_only_for_its_sound():
    asked = planner()
    assert asked.reconstructions.sound_source(job(film="one", model="one")) == "films/one.mkv"
    assert asked.comparisons.sound_source(job(comparison="both")) == "films/one.mkv"
    Path("films/two.mkv").unlink()
    assert asked.reconstructions.sound_source(job(film="two", model="one")) == []
    assert asked.reconstructions.sound_source(job(film="walk", model="one")) == []


def test_options_of_films_and_images():
    asked = planner()
    assert asked.films.options(job(film="two")) == ["--crop=auto", "--end=60", "--fit=crop"]
    crop, fit, fps, images = asked.films.image_options(job(film="walk"))
    assert (crop, fit, fps) == ("--crop=auto", "--fit=crop", "--fps=12") and images.startswith("--images=12-")
    Path("stills/3.png").unlink()
    assert planner().films.image_options(job(film="walk"))[-1].startswith("--images=11-")
    assert asked.films.validation_options(job(film="one")) == ["--audio=auto"]
    assert asked.films.validation_options(job(film="far")) == ["--audio=auto"]  # its sum is checked when it is fetched
    assert asked.films.download_options(job(film="far")) == [f"--sha256={'A' * 64}"]
    assert asked.films.source_spec(job(film="walk")) == "stills/*.png"


def test_a_download_with_another_sum_is_refused(capsys):
    touch("films/downloads/far.mkv")
    touch("films/downloads/far.mkv.json", json.dumps({"sha256": "b" * 64}))
    line = refusal(capsys, planner().films.source, job(film="far", size="256x144"))
    assert line.startswith(f"films/downloads/far.mkv: its sha256 is {'b' * 64}, and films.far.sha256 is {'a' * 64}")


def test_frames_have_the_size_of_the_model():
    asked = planner()
    assert asked.reconstructions.frames(job(film="one", model="one")) == "results/frames/256x144/one.h5"
    assert asked.reconstructions.frames(job(film="one", model="large")) == "results/frames/512x288/one.h5"
    assert asked.comparisons.frames(job(comparison="both")) == "results/frames/256x144/one.h5"


def matches(constraint: str, rest: str, text: str) -> bool:
    return re.fullmatch(f"(?:{constraint}){rest}", text) is not None


def test_a_film_that_was_fetched_has_no_rule_that_fetches_it():
    assert planner().films.downloads() == "far"
    touch("films/downloads/far.mkv")
    assert not matches(planner().films.downloads(), ".*", "far.mkv")
    assert planner().films.of_images() == "walk"
