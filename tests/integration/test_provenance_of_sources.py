"""The provenance of films that are images or were fetched, and of results of files that do not say what made them."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from tests.conftest import command
from tests.helpers import done, provenance_of, sha256_of, store_of

ADDRESS = "https://example.org/film.mp4"


def extracted(film: Path, frames: Path) -> dict:
    done(command("extract_frames", f"--source={film}", f"--frames={frames}", "--size=64x48"))
    return provenance_of(frames)["film"]


def test_a_film_that_was_fetched_has_its_address(film, tmp_path):
    """Unless another file took its place."""
    film.with_name("film.mp4.json").write_text(json.dumps({"address": ADDRESS, "sha256": sha256_of(film)}))
    record = extracted(film, tmp_path / "frames.h5")
    assert record["source"] == "film.mp4"  # without its folders
    assert (record["address"], record["sha256"]) == (ADDRESS, sha256_of(film))
    with film.open("ab") as opened:
        opened.write(bytes(8))
    record = extracted(film, tmp_path / "frames.h5")
    assert "address" not in record and record["sha256"] == sha256_of(film)


def test_images_have_their_number_and_a_digest(tmp_path):
    def made(folder: str) -> str:
        words = ("--fps=12", "--size=64x48", f"--frames={tmp_path / 'frames.h5'}")
        done(command("extract_images", f"--source={tmp_path / folder}", *words))
        record = provenance_of(tmp_path / "frames.h5")["film"]
        assert record["source"] == folder and record["made_by"]["command"] == "extract_images"
        return record["images"]

    (tmp_path / "one").mkdir()
    for number in range(3):
        Image.new("RGB", (64, 48), (number * 20, 0, 0)).save(tmp_path / f"one/{number}.png")
    before = made("one")
    shutil.copytree(tmp_path / "one", tmp_path / "copy", copy_function=shutil.copyfile)
    assert before.startswith("3-") and made("copy") == before
    Image.new("RGB", (64, 48), (0, 0, 255)).save(tmp_path / "copy/1.png")
    assert made("copy") != before and made("copy").startswith("3-")


@pytest.fixture
def earlier_model(grey_model, tmp_path) -> Path:
    """The model as refilm 0.2.0 wrote it."""
    path = tmp_path / "earlier" / "model.safetensors"
    path.parent.mkdir()
    with safe_open(grey_model, "pt") as opened:
        metadata = {name: text for name, text in opened.metadata().items() if name != "provenance"}
        save_file({name: opened.get_tensor(name) for name in opened.keys()}, path, metadata)  # noqa: SIM118 (not a dict)
    return path


def test_results_of_files_of_an_earlier_version_say_what_is_known(earlier_model, tmp_path):
    frames, latents, sheet = store_of(tmp_path / "frames.h5", 3), tmp_path / "latents.h5", tmp_path / "sheet.png"
    decoding = (f"--frames={frames}", f"--latents={latents}", f"--model={earlier_model}", "--device=cpu")
    done(command("encode_film", *decoding))
    done(command("render_stills", *decoding, f"--sheet={sheet}", "--title=T", "--by=M"))
    found = provenance_of(sheet)
    (model,) = found["models"]
    assert found["film"] is None and model["films"] is None and model["steps"] == 300
    assert model["recipe"]["recipe"] == "autoencoder" and model["name"] == "earlier"
    text = done(command("provenance", sheet, earlier_model))
    assert text.count("  trained on  unknown\n") == 2 and text.count("  film        unknown\n") == 1


def test_a_video_of_latents_of_somebody_else_names_its_model(earlier_model, tmp_path):
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file["latents"] = np.zeros((4, 16), np.float32)
    video = tmp_path / "video.mp4"
    words = (f"--latents={tmp_path / 'mine.h5'}", f"--model={earlier_model}", f"--video={video}", "--fps=24", "--device=cpu")
    done(command("render_video", *words))
    found = provenance_of(video)
    assert found["film"] is None and found["latents"] == [None] and found["models"][0]["name"] == "earlier"
    assert "  encoded by  unknown\n" in done(command("provenance", video))
