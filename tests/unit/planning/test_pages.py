"""What the rules of the gallery, of networks in pictures and of findings ask."""

import json
from pathlib import Path

from refilm.planning.planner import Planner
from tests.conftest import config
from tests.plans import FILMS, FOUND, MODELS, WALKS, job, planner, refusal, touch


def test_a_network_is_shown_with_a_frame_of_its_own_film(capsys):
    asked = planner(models=MODELS | {"noise": {"films": ["one"], "recipe": "dcgan"}})
    one, noise, at = job(model="one"), job(model="noise"), job(model="noise", moment="00-01-02.5")
    assert asked.networks.frames(one) == "results/frames/256x144/one.h5"
    assert asked.networks.latents(one) == "results/latents/one_by_one.h5"
    assert asked.networks.film_title(one) == "Number One" and asked.networks.film_title(noise) == ""
    assert asked.networks.frames(noise) == [] and asked.networks.latents(noise) == []
    digests = {asked.networks.digest(each) for each in (one, noise)}
    for changed in ({"training": {"seed": 1}}, {"films": FILMS | {"one": FILMS["one"] | {"title": "Another"}}}):
        digests |= {planner(**changed).networks.digest(one)}
    assert len(digests) == 4
    assert [asked.networks.moment(wanted, None) for wanted in (one, at)] == ["", "00:01:02.5"]
    line = "model 'noise' has no encoder, so no frame of a film is shown: ask for results/models/noise/network.html"
    assert refusal(capsys, asked.networks.latents, at) == line
    listed = planner(reconstructions=["two_by_one"])  # of its two films the one that is reconstructed anyway
    assert listed.networks.latents(one) == "results/latents/two_by_one.h5"


def test_findings_are_of_all_films_of_a_model_and_of_models_that_know_the_others(capsys):
    asked, large = planner(**FOUND), job(model="large")
    assert asked.findings.frames(large) == [f"results/frames/512x288/{film}.h5" for film in ("one", "two")]
    assert asked.findings.latents(large) == [f"results/latents/{film}_by_large.h5" for film in ("one", "two")]
    pairs = ("one_by_large", "one_by_other", "two_by_large")
    assert asked.findings.metrics(large) == [f"results/metrics/{pair}.csv" for pair in pairs]
    one, two = json.loads(asked.findings.films(large))
    assert (one["name"], one["title"], one["metrics"]) == ("one", "Number One", "results/metrics/one_by_large.csv")
    beside = {"title": "Other", "metrics": "results/metrics/one_by_other.csv", "watched": False}
    assert one["beside"] == [beside | {"holdout_fraction": 0.1, "seed": 0}] and two["beside"] == []
    digest = asked.findings.digest(large)
    changed = planner(**FOUND | {"films": FILMS | {"two": FILMS["two"] | {"end": "0:30"}}})
    assert digest == planner(**FOUND).findings.digest(large) != changed.findings.digest(large)
    line = "model 'plain': no film is reconstructed with it: add one_by_plain to reconstructions"
    assert refusal(capsys, asked.findings.frames, job(model="plain")) == line


def test_the_gallery_asks_for_the_pages_of_models_that_it_has_the_films_for():
    def pages(**sections) -> list[str]:
        asked = planner(**FOUND | sections)
        named = json.loads(asked.gallery.entries(job()))["pages"]
        assert asked.gallery.files(job())[-len(named) :] == named
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
        return {file for file in asked.gallery.files(job()) if file.endswith(".html") and not file.startswith("ancient")}

    network, found = "results/models/large/network.html", "results/findings/large.html"
    assert {network, found} <= plain()
    touch(network, f'content="{planner(**FOUND).networks.digest(job(model="large"))}"')
    touch(found, f'content="{planner(**FOUND).findings.digest(job(model="large"))}"')
    assert not {network, found} & plain()
    assert {network, found} <= plain(films=FILMS | {"one": FILMS["one"] | {"title": "Another"}})
    renamed = FOUND["models"] | {"large": MODELS["large"] | {"title": "Another"}}
    assert {network, found} <= plain(models=renamed)


def test_the_gallery_links_to_walks():
    asked = planner(reconstructions=["two_by_one"], walks={"mixed": WALKS["mixed"]})
    still = "results/gallery/walks/mixed.webp"
    assert still in asked.gallery.files(job())
    listed = json.loads(asked.gallery.entries(job()))["videos"]
    assert listed == {"Walks": [["A mixture", "results/walks/mixed.mp4", still]]}
    assert "videos" not in json.loads(planner(reconstructions=["two_by_one"]).gallery.entries(job()))
