"""Previews that keep what they show, the film made of them, and the words beside the progress bar."""

import json
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from refilm.rendering.comparison import Arrangement
from refilm.rendering.previews import (
    preview_sheets,
    read_previews,
    switch_previews,
    write_now,
    write_now_clip,
    write_preview,
)
from refilm.rendering.sheet import read_sheet, write_sheet
from refilm.rendering.training_film import SIZE, TrainingFilm
from refilm.training.log import format_progress
from tests.conftest import decoded, described

RANDOM = np.random.default_rng(0)


def pictures(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    return RANDOM.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


# --- previews


@pytest.mark.parametrize("count", [1, 3, 8])
def test_a_sheet_with_metadata_gives_its_frames_back(tmp_path, count):
    film, recon = pictures(count), pictures(count)
    write_sheet(tmp_path / "a.png", {"film": film, "reconstruction": recon}, "A", metadata={"step": 7})
    rows, metadata = read_sheet(tmp_path / "a.png")
    assert metadata == {"step": 7} and list(rows) == ["film", "reconstruction"]
    assert np.array_equal(rows["film"], film) and np.array_equal(rows["reconstruction"], recon)


def test_any_other_picture_has_no_rows(tmp_path):
    write_sheet(tmp_path / "a.png", {"film": pictures(2)}, "A")
    (tmp_path / "b.png").write_bytes(b"no picture")
    assert read_sheet(tmp_path / "a.png") == read_sheet(tmp_path / "b.png") == ({}, None)


def test_previews_of_two_recipes_are_never_mixed(tmp_path):
    film = pictures(3)
    for recipe, steps in (("old", (1, 4, 9)), ("new", (2, 4))):
        switch_previews(tmp_path, recipe)
        for step in steps:
            write_preview(tmp_path, step, 9, {"film": film, "reconstruction": pictures(3)}, "bikes", recipe)
    assert [step for step, _ in preview_sheets(tmp_path)] == [2, 4]
    assert [step for step, _ in read_previews(tmp_path, "new", 9)] == [2, 4]
    assert [step for step, _ in preview_sheets(tmp_path / "old")] == [1, 4, 9]
    assert read_previews(tmp_path, "old", 9) == [] and [s for s, _ in read_previews(tmp_path / "old", "old", 4)] == [1, 4]


# --- now


def test_the_picture_of_now_shows_what_a_preview_shows_and_other_films(tmp_path):
    own, other = ({"film": pictures(count), "reconstruction": pictures(count)} for count in (8, 2))
    write_now(tmp_path, own, {"bikes": other}, "A", "step 7 of 9", "key")
    rows, metadata = read_sheet(tmp_path / "now.png")
    assert metadata == {"recipe": "key"}
    for label in rows:
        assert np.array_equal(rows[label], np.concatenate([own[label], other[label]]))
    assert preview_sheets(tmp_path) == []


def test_the_clip_of_now_has_each_film_beside_its_reconstruction(tmp_path):
    shades = {"one": (40, 90), "two": (140, 220)}
    films = {
        name: {"film": np.full((6, 48, 64, 3), a, np.uint8), "reconstruction": np.full((6, 48, 64, 3), b, np.uint8)}
        for name, (a, b) in shades.items()
    }
    write_now_clip(tmp_path, films, Fraction(12), "A", "step 7 of 9")
    arrangement = Arrangement(4, "grid", 384, 288)
    frames = decoded(tmp_path / "now.mp4", arrangement.size)
    middles = [(left + 192, top + 144) for left, top in map(arrangement.place, range(4))]
    assert len(frames) == 6 and "12 fps" in described(tmp_path / "now.mp4")
    assert [frames[3][y, x].mean() for x, y in middles] == pytest.approx([40, 90, 140, 220], abs=3)


def test_the_picture_and_the_clip_of_another_recipe_are_put_aside_and_come_back(tmp_path):
    shown = {"film": pictures(2), "reconstruction": pictures(2)}
    write_now(tmp_path, shown, {}, "A", "step 7 of 9", "old")
    (tmp_path / "now.mp4").write_text("a clip")
    switch_previews(tmp_path, "old")
    assert (tmp_path / "now.mp4").exists()
    switch_previews(tmp_path, "new")
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["now.mp4", "now.png", "old"]
    assert (tmp_path / "old" / "now.mp4").exists()
    switch_previews(tmp_path, "old")
    assert (tmp_path / "now.mp4").read_text() == "a clip" and read_sheet(tmp_path / "now.png")[1] == {"recipe": "old"}


# --- the film


def test_the_film_shows_originals_beside_reconstructions_and_ends_with_the_last():
    film, last = (np.full((2, 48, 64, 3), shade, np.uint8) for shade in (200, 90))
    shown = list(TrainingFilm("Bikes", film, [(1, film // 10), (5, film // 4), (80, last)]).frames())
    assert len(shown) == len(TrainingFilm("Bikes", film, [(1, film), (5, film), (80, film)]))
    assert all(frame.shape == (SIZE[1], SIZE[0], 3) for frame in shown)
    middle = SIZE[1] * 3 // 5
    shades = [set(np.unique(frame[middle])) for frame in (shown[0], shown[-1])]
    assert 200 in shades[0] and 20 in shades[0] and 200 in shades[1] and 90 in shades[1]
    still = sum(np.array_equal(frame, shown[-1]) for frame in shown)
    assert 96 <= still <= 200  # some seconds to look at what became of it


def test_a_model_that_does_not_reconstruct_has_a_film_of_its_samples_alone(tmp_path):
    """The previews of such a training hold samples and no originals; the film shows each of them once."""
    folder = tmp_path / "dcgan"
    for step in (1, 4):
        samples = np.full((4, 48, 64, 3), 50 * step, np.uint8)
        write_preview(folder, step, 4, {"sample": samples}, "dcgan", "key")
    previews = read_previews(folder, "key", 4)
    assert [list(rows) for _, rows in previews] == [["sample"]] * 2
    film = TrainingFilm("DCGAN", None, [(step, rows["sample"]) for step, rows in previews])
    *_, last = film.frames()
    tile, places = film.tiles
    shown = np.zeros(last.shape[:2], bool)
    for left, top in places:
        shown[top : top + tile[1], left : left + tile[0]] = True
    assert (last[shown] == 200).all() and (last[~shown][:, 0] != 200).mean() > 0.999
    assert shown.sum() > 0.45 * SIZE[0] * SIZE[1]


@pytest.mark.parametrize(("count", "height", "width"), [(1, 48, 64), (8, 144, 256), (8, 48, 256), (5, 256, 64)])
def test_pictures_of_any_shape_stay_on_the_canvas_apart_from_each_other(count, height, width):
    made = pictures(count, height, width)
    tile, places = TrainingFilm("A", made, [(1, made)]).tiles
    taken = np.zeros((SIZE[1], SIZE[0]), int)
    for left, top in places:
        for x in (left, left + tile[0] + 4):
            assert x >= 0 and x + tile[0] <= SIZE[0] and top + tile[1] <= SIZE[1]
            taken[top : top + tile[1], x : x + tile[0]] += 1
    assert taken.max() == 1 and taken.sum() > 0.15 * SIZE[0] * SIZE[1]
    assert tile[0] / tile[1] == pytest.approx(width / height, rel=0.03)


# --- the bar


def test_beside_the_bar_stands_what_matters():
    row = {"step": 20, "frames_per_s": 1234.5, "psnr": 23.46, "kl_bits": 181.7, "encoder_grad_norm": 1.0}
    assert format_progress(row) == "1,234 frames/s, PSNR 23.5 dB, KL 182 bits"
    row |= {"feature_loss": 0.2134, "d_real": 0.71, "d_recon": 0.318}
    assert format_progress(row).endswith(
        "PSNR 23.5 dB, feature loss 0.213, KL 182 bits, D(film) 0.71, D(reconstruction) 0.32"
    )


def test_the_previews_are_on_a_sheet_for_people_too(tmp_path):
    write_preview(tmp_path, 12, 60, {"film": pictures(8), "reconstruction": pictures(8)}, "bikes", "key")
    with Image.open(tmp_path / "step-000000012.png") as sheet:
        assert sheet.width > 4 * 64 and json.loads(sheet.text["refilm"])["metadata"] == {"step": 12, "recipe": "key"}
