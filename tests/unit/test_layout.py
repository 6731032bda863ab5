"""Where results, logs and benchmarks are."""

from pathlib import Path

from refilm import layout
from tests.plans import planner


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
