"""What is asked for, and what was deleted: results that cannot be made again have no rule."""

from pathlib import Path

import pytest

from refilm import layout
from tests.plans import EXPORTS, FILMS, FOUND, WALKS, is_to_make, job, planner, refusal, touch, train


def test_targets_are_what_the_configuration_lists():
    posters = {"big": {"film": "one", "model": "one"}}
    assert planner(reconstructions=["two_by_one"], posters=posters, exports=EXPORTS).results.targets() == [
        "results/two_by_one.mp4",
        "results/stills/two_by_one.png",
        "results/comparisons/both.mp4",
        "results/posters/big.png",
        "results/exports/wall.mp4",
        "results/exports/images",
        "results/exports/row",
        "results/gallery/index.html",
    ]
    assert planner(comparisons={}, walks={"slow": WALKS["slow"]}).results.targets() == ["results/walks/slow.mp4"]


@pytest.mark.parametrize(("film", "source"), [("one", "films/one.mkv"), ("walk", "stills")])
def test_frames_stay_when_their_film_is_deleted(capsys, film, source):
    frames = f"results/frames/256x144/{film}.h5"
    touch(frames)
    assert is_to_make(layout.FRAMES, frames)
    Path(source).rename("elsewhere")
    assert not is_to_make(layout.FRAMES, frames)
    for other in (f"512x288/{film}.h5", f"256x144/{film}x.h5", "256x144/two.h5"):
        assert is_to_make(layout.FRAMES, f"results/frames/{other}")
    assert f"film '{film}'" in refusal(capsys, planner().films.source, job(film=film, size="512x288"))


def test_latents_stay_when_film_and_frames_are_deleted():
    def to_encode() -> bool:
        return is_to_make(layout.LATENTS, "results/latents/one_by_large.h5")

    frames, recipe = "results/frames/512x288/one.h5", planner().models.recipe(job(model="large"))
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
    train("large", planner(training={"seed": 1}).models.recipe(job(model="large")))
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


def test_findings_stay_when_one_of_their_films_and_its_frames_are_deleted():
    pages = ((layout.FINDINGS, "results/findings/large.html"), (layout.FINDINGS_TABLE, "results/findings/large.md"))
    for _, page in pages:
        touch(page)
    assert all(is_to_make(*page, **FOUND) for page in pages)
    Path("films/two.mkv").unlink()
    assert not any(is_to_make(*page, **FOUND) for page in pages)
    touch("results/frames/512x288/two.h5")
    assert all(is_to_make(*page, **FOUND) for page in pages)


def test_walks_stay_when_a_film_that_they_need_is_deleted():
    results = [(layout.WALK, layout.WALK.format(walk=name)) for name in WALKS]
    for _, path in results:
        touch(path)
    assert all(is_to_make(*result, walks=WALKS) for result in results)
    Path("films/one.mkv").unlink()
    assert [is_to_make(*result, walks=WALKS) for result in results] == [True, False, True, False, True]
    assert not planner(walks=WALKS).results.made_from({"walk": "slow"})


def test_a_target_that_cannot_be_made_again_is_one_line(capsys):
    targets = ["all", "results/one_by_one.mp4", "results/two_by_one.mp4", "results/stills/one_by_one.png"]
    touch("results/one_by_one.mp4")
    planner().results.check_targets(targets)
    Path("films/one.mkv").unlink()
    line = "results/one_by_one.mp4: this file exists and cannot be made again, since its film was deleted: do not ask for it"
    assert refusal(capsys, planner().results.check_targets, targets) == line


def test_results_of_names_that_are_not_configured_are_left_to_the_rules():
    Path("films/one.mkv").unlink()
    for result, path in ((layout.STILLS, "results/stills/one_by_x.png"), (layout.VIDEO, "results/x_by_one.mp4")):
        touch(path)
        assert is_to_make(result, path)
