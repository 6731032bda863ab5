"""Watching a training that runs: its film, TensorBoard's events, curves on the way."""

import signal
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import write_frames_from
from refilm.rendering.previews import preview_sheets
from refilm.rendering.training_film import SIZE
from tests.conftest import ROOT, WITH_TORCH, command, decoded, described, refused, small_recipe
from tests.helpers import wait_for
from tests.prepared import Process

RANDOM = np.random.default_rng(0)


def frames_of(path, count=24):
    write_frames_from(
        path, 64, 48, FrameMetadata(Fraction(24)), [RANDOM.integers(0, 256, (count, 48, 64, 3), dtype=np.uint8)]
    )
    return path


def train(frames, folder, recipe, *options) -> Process:
    words = ["--frames", frames, f"--recipe={recipe.to_json()}", f"--model={folder / 'model.safetensors'}", *options]
    return WITH_TORCH.start("refilm.train_model", "--device=cpu", *words)


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


def events(folder) -> EventAccumulator:
    read = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    read.Reload()
    return read


def test_events_are_the_rows_of_the_log_even_if_it_was_killed(tmp_path):
    folder, recipe, frames = tmp_path / "bikes", small_recipe(steps=60), frames_of(tmp_path / "f.h5")
    process = train(frames, folder, recipe, "--tensorboard")
    wait_for(lambda: (folder / "training.csv").exists(), failed=lambda: process.poll() is not None)
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
    assert "pip install tensorboard" in refused(done) and not (tmp_path / "bikes" / "recipe.json").exists()


def test_curves_are_there_while_it_trains(tmp_path):
    picture = tmp_path / "bikes" / "training.png"
    process = train(frames_of(tmp_path / "f.h5"), tmp_path / "bikes", small_recipe(steps=100_000))
    try:
        wait_for(picture.exists, failed=lambda: process.poll() is not None)
    finally:
        process.kill()
        process.communicate()
    assert Image.open(picture).width > 1000
