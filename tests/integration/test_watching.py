"""Watching a training: previews that know what they show, their film, TensorBoard's events, the words beside the bar."""

import json
import signal
import subprocess
import sys
import time
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import write_frames_from
from refilm.rendering.previews import archive_other_recipes, preview_sheets, read_previews, write_preview
from refilm.rendering.sheet import read_sheet, write_sheet
from refilm.rendering.training_film import SIZE, TrainingFilm
from refilm.training.log import format_progress
from tests.conftest import ROOT, command, decoded, described, refused, small_recipe

RANDOM = np.random.default_rng(0)


def pictures(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    return RANDOM.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def frames_of(path, count=24):
    write_frames_from(path, 64, 48, FrameMetadata(Fraction(24)), [pictures(count)])
    return path


def train(frames, folder, recipe, *options) -> subprocess.Popen:
    words = ["--frames", frames, f"--recipe={recipe.to_json()}", f"--model={folder / 'model.safetensors'}", *options]
    line = [sys.executable, "-m", "refilm.train_model", "--device=cpu", *map(str, words)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


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
        archive_other_recipes(tmp_path, recipe)
        for step in steps:
            write_preview(tmp_path, step, 9, {"film": film, "reconstruction": pictures(3)}, "bikes", recipe)
    assert [step for step, _ in preview_sheets(tmp_path)] == [2, 4]
    assert [step for step, _ in read_previews(tmp_path, "new", 9)] == [2, 4]
    assert [step for step, _ in preview_sheets(tmp_path / "old")] == [1, 4, 9]
    assert read_previews(tmp_path, "old", 9) == [] and [s for s, _ in read_previews(tmp_path / "old", "old", 4)] == [1, 4]


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


def test_a_trained_model_has_its_film(tmp_path):
    folder = tmp_path / "bikes"
    process = train(frames_of(tmp_path / "f.h5"), folder, small_recipe(steps=4))
    assert process.communicate() and process.returncode == 0
    film = tmp_path / "training.mp4"
    words = [f"--model={folder / 'model.safetensors'}", "--title=Bikes", f"--film={film}"]
    done = command("render_training", *words)
    assert done.returncode == 0 and "previews up to step 4" in done.stdout, done.stderr
    streams = described(film)
    assert "h264" in streams and "yuv420p" in streams and "1920x1080" in streams
    shown = decoded(film, SIZE)
    assert len(shown) > 150 and np.abs(shown[-1].astype(int) - shown[0]).mean() > 0.1
    for sheet in (folder / "previews").iterdir():
        sheet.unlink()
    film.unlink()
    assert "no previews of this training" in refused(command("render_training", *words)) and not film.exists()


# --- TensorBoard


def events(folder) -> EventAccumulator:
    read = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    read.Reload()
    return read


def test_events_are_the_rows_of_the_log_even_if_it_was_killed(tmp_path):
    folder, recipe, frames = tmp_path / "bikes", small_recipe(steps=60), frames_of(tmp_path / "f.h5")
    process = train(frames, folder, recipe, "--tensorboard")
    end = time.monotonic() + 60
    while not (folder / "training.csv").exists():
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    process = train(frames, folder, recipe, "--tensorboard")
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    lines = (folder / "training.csv").read_text().splitlines()
    names, rows = lines[0].split(","), [line.split(",") for line in lines[1:]]
    read = events(folder / "tensorboard")
    found = [(event.step, event.value) for event in read.Scalars("training/psnr")]
    assert [step for step, _ in found] == [int(row[0]) for row in rows]
    assert [value for _, value in found] == pytest.approx([float(row[names.index("psnr")]) for row in rows], rel=1e-5)
    assert {"gradient/encoder", "discriminator/d_real", "loss/l_gan", "speed/frames_per_s"} <= set(read.Tags()["scalars"])
    shown = [event.step for event in read.Images("previews")]
    assert shown == [step for step, _ in preview_sheets(folder / "previews")]


def test_without_its_package_tensorboard_is_one_line_and_nothing_is_begun(tmp_path):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "tensorboard.py").write_text("raise ModuleNotFoundError(\"No module named 'tensorboard'\")")
    paths = f"{ROOT / 'workflow' / 'scripts'}:{hidden}"
    words = ["--frames", frames_of(tmp_path / "f.h5"), f"--recipe={small_recipe().to_json()}", "--tensorboard"]
    words.append(f"--model={tmp_path / 'bikes' / 'model.safetensors'}")
    done = command("train_model", *words, environment={"PYTHONPATH": paths})
    assert "pip install tensorboard" in refused(done) and not (tmp_path / "bikes" / "state").exists()


# --- the curves


def test_curves_are_there_while_it_trains(tmp_path):
    picture = tmp_path / "bikes" / "training.png"
    process = train(frames_of(tmp_path / "f.h5"), tmp_path / "bikes", small_recipe(steps=100_000))
    try:
        end = time.monotonic() + 60
        while not picture.exists():
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.02)
    finally:
        process.kill()
        process.communicate()
    assert Image.open(picture).width > 1000


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
