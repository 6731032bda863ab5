"""The whole chain, really run on a tiny film: frames, model, latents, video, comparison, samples."""

import base64
import copy
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageSequence

from refilm.frames.latents import LatentStore
from refilm.frames.store import FrameStore
from refilm.models.inference import decode_latents
from refilm.models.model_file import load_model
from tests.conftest import ROOT, decoded, described, heard, make_film
from tests.helpers import wait_for
from tests.workflow.test_plan import plan, refusal, snakemake
from tests.workflow.test_report import pages, report

CONFIG = {
    "films": {"one": {"title": "Number One", "source": "films/one film.mp4"}, "two": {"source": "films/two.mkv", "end": 1}},
    "models": {"one": {"films": ["one"]}, "both": {"films": ["one", "two"], "recipe": "vae"}},
    "training": {"frame_size": "64x48", "base_channels": 8, "latent_dim": 16, "batch_size": 4, "steps": 6},
    "reconstructions": ["one_by_one", "two_by_one"],
    "comparisons": {
        "side-by-side": {"film": "two", "models": ["one", "both"], "layout": "grid", "height": 96, "start": 0.25}
    },
    "exports": {
        "wall": {"film": "two", "model": "one", "height": 96, "start": 0.25, "end": 0.75},
        "strips": {"film": "one", "model": "one", "height": 48, "end": 0.25, "codec": "png", "screens": 2, "loop": True},
    },
    "posters": {"page": {"film": "two", "model": "one", "frames": 20, "width": 60, "height": 80, "dpi": 100}},
    "walks": {
        "both": {"model": "one", "film": "one", "mix_with": "two", "start": 0.5, "speed": 0.5, "sound": "two", "height": 48}
    },
    "bends": {
        "turned": {
            "model": "one",
            "film": "two",
            "end": 0.6,
            "height": 48,
            "transforms": [
                {"transform": "flip", "layers": [1, 2], "share": 0.5, "amount": "0 at 0, 1 at 0.2"},
                {"transform": "rotate", "layers": [3], "by": "drift -20 to 20 every 1"},
            ],
        }
    },
    "device": "cpu",
}
TARGETS = (
    "all",
    "results/metrics/two_by_one.csv",
    "results/samples/both.png",
    "results/samples/one.mp4",
    "results/models/one/training.mp4",
    "results/shots/two.csv",
    "results/stills/two_by_one_worst.png",
    "results/stills/two_by_one@00-00-00.5.png",
    "results/clips/two_by_one@00-00-00_to_00-00-00.5.gif",
)


def write_films(folder: Path) -> None:
    """The films of CONFIG."""
    (folder / "films").mkdir()
    make_film(folder / "films" / "one film.mp4", seconds=2, fps="24000/1001", size="96x72")
    make_film(folder / "films" / "two.mkv", seconds=2, fps="25", size="64x36")


def test_as_many_frames_at_every_stage(made):
    for film, count in (("one", 48), ("two", 25)):
        with FrameStore(made / f"results/frames/64x48/{film}.h5") as frames:
            assert len(frames) == count
        with h5py.File(made / f"results/latents/{film}_by_one.h5") as latents:
            assert latents["latents"].shape == (count, 16) and np.isfinite(latents["latents"][:]).all()
        assert len(decoded(made / f"results/{film}_by_one.mp4", (64, 48))) == count
    assert "23.98 fps" in described(made / "results/one_by_one.mp4")
    assert len(heard(made / "results/one_by_one.mp4")) / 8000 == pytest.approx(48 * 1001 / 24000, abs=0.05)


def test_what_is_made_is_what_the_layout_says(made):
    assert {folder.name for folder in (made / "results").iterdir() if folder.is_dir()} == {
        "bent", "clips", "comparisons", "exports", "findings", "frames", "gallery", "latents", "metrics", "models",
        "posters", "samples", "shots", "stills", "walks",
    }  # fmt: skip
    leftovers = [file for file in made.rglob("*") if ".part" in file.name or file.suffix == ".tmp"]
    assert [file for file in leftovers if ".snakemake" not in file.parts] == []


def test_beside_the_model_is_how_it_came_to_be(made):
    folder = made / "results/models/one"
    assert {file.name for file in folder.iterdir()} == {
        "model.safetensors", "training.csv", "training.png", "training.mp4", "previews", "recipe.json", "state", "trained",
        "network.html",
    }  # fmt: skip
    assert json.loads((folder / "recipe.json").read_text())["base_channels"] == 8
    rows = pd.read_csv(folder / "training.csv")
    assert rows["step"].iloc[-1] == 6 and {"psnr", "kl_bits", "d_real", "frames_per_s"} <= set(rows.columns)
    assert Image.open(folder / "previews/step-000000006.png").width > 4 * 64


def test_pictures_and_clips(made):
    assert Image.open(made / "results/stills/two_by_one.png").width > 4 * 64
    assert len(pd.read_csv(made / "results/metrics/two_by_one.csv")) == 25
    assert pd.read_csv(made / "results/shots/two.csv")["frames"].sum() == 25
    assert Image.open(made / "results/samples/both.png").width > 4 * 64
    assert "h264" in described(made / "results/samples/one.mp4")
    assert Image.open(made / "results/stills/two_by_one@00-00-00.5.png").height > 720
    clip = Image.open(made / "results/clips/two_by_one@00-00-00_to_00-00-00.5.gif")
    assert sum(frame.info["duration"] for frame in ImageSequence.Iterator(clip)) == 520  # 13 frames
    assert Image.open(made / "results/posters/page.png").size == (236, 315)
    assert (made / "results/posters/page.pdf").read_bytes().startswith(b"%PDF-")
    streams = described(made / "results/comparisons/side-by-side.mp4")
    assert "1920x1080" in described(made / "results/models/one/training.mp4")
    assert (
        "Audio" in streams and "25 fps" in streams and "00:00:00.7" in streams
    )  # from 0.25 s (frame 7) to the end: 18 frames


def test_the_video_is_what_the_model_decodes(made):
    """The frames of the video are those of the networks, not of something else of the same size."""
    model = load_model(made / "results/models/one/model.safetensors", torch.device("cpu"))
    with LatentStore(made / "results/latents/one_by_one.h5") as latents:
        kept = np.concatenate(list(decode_latents(model, latents))).astype(int)
        assert latents.attributes["model"] == "results/models/one/model.safetensors"
    exact = "scale=in_color_matrix=bt709:in_range=tv:flags=accurate_rnd+full_chroma_int"
    assert np.abs(decoded(made / "results/one_by_one.mp4", (64, 48), exact) - kept).mean() < 3


def test_the_gallery_shows_the_films_beside_what_models_make_of_them(made):
    """The tiles of the video are the frames of the film and of the reconstruction, at six times their size."""
    exact = "scale=in_color_matrix=bt709:in_range=tv:flags=accurate_rnd+full_chroma_int,scale=iw/6:ih/6:flags=area"
    shown = decoded(made / "results/gallery/films/64x48/one.mp4", (160, 64), exact).astype(int)
    model = load_model(made / "results/models/one/model.safetensors", torch.device("cpu"))
    frames, encoded = made / "results/frames/64x48/one.h5", made / "results/latents/one_by_one.h5"
    with FrameStore(frames) as film, LatentStore(encoded) as latents:
        tiles = [film[:].astype(int), np.concatenate(list(decode_latents(model, latents))).astype(int)]
    film, reconstruction = (shown[:, 8:56, left : left + 64] for left in (8, 88))
    assert [int(np.abs(film[n] - tiles[0]).mean((1, 2, 3)).argmin()) for n in range(48)] == list(range(48))
    assert np.abs(film - tiles[0]).mean() < 12 and np.abs(reconstruction - tiles[1]).mean() < 4  # the film has fine lines
    assert np.abs(film - tiles[1]).mean() > 30
    page = (made / "results/gallery/index.html").read_text()
    assert "Number One" in page and page.count('class="thumbnail"') == 4
    for kind in ("models/one/network", "findings/one"):
        assert f'href="../{kind}.html"' in page and "Number One" in (made / f"results/{kind}.html").read_text()
    assert "| trained on | 48 | 1 | Number One |" in (made / "results/findings/one.md").read_text()
    assert all(Image.open(made / f"results/gallery/films/64x48/{film}.webp").width == 960 for film in ("one", "two"))


def test_a_comparison_is_one_file_to_send(copied):
    page = copied / "results/gallery/side-by-side.html"
    done = snakemake(copied, "results/gallery/side-by-side.html", config=CONFIG)
    assert done.returncode == 0, done.stdout + done.stderr
    video = copied / "inside.mp4"
    video.write_bytes(base64.b64decode(re.search(r"data:video/mp4;base64,([\w+/=]+)", page.read_text())[1]))
    assert len(decoded(video, (960, 768))) == 18 and "Audio" in described(video)
    assert plan(copied, "results/gallery/side-by-side.html", config=CONFIG) == {}


def test_exports_are_the_decoded_frames_in_the_files_that_their_codec_needs(made):
    model = load_model(made / "results/models/one/model.safetensors", torch.device("cpu"))
    with LatentStore(made / "results/latents/one_by_one.h5") as latents:
        kept = np.concatenate(list(decode_latents(model, latents, 0, 6)))
    folder = made / "results/exports/strips"
    screens = [[Image.open(folder / f"strips-{n}/strips-{n}-{frame:06}.png") for frame in range(1, 7)] for n in (1, 2)]
    assert (np.concatenate([np.stack(list(map(np.asarray, screen))) for screen in screens], axis=2) == kept).all()
    assert (folder / "strips.wav").exists() and len(list(folder.glob("strips-1/*.png"))) == 6
    streams = described(made / "results/exports/wall.mp4")
    assert "128x96" in streams and "25 fps" in streams and "Audio" in streams
    assert len(decoded(made / "results/exports/wall.mp4", (128, 96))) == 12  # frames 7 to 18


def test_a_walk_is_as_long_as_the_shorter_film_and_the_gallery_links_to_it(made):
    """The second film, of 25 frames at 25 frames/s, at half its pace: the last of 47 frames is at 23.99 of it."""
    walk = made / "results/walks/both.mp4"
    assert len(decoded(walk, (64, 48))) == 47 and "23.98 fps" in described(walk)
    assert len(heard(walk)) / 8000 == pytest.approx(47 * 1001 / 24000, abs=0.05)
    page = (made / "results/gallery/index.html").read_text()
    assert '<a href="../walks/both.mp4"><img src="walks/both.webp"' in page
    assert Image.open(made / "results/gallery/walks/both.webp").size == (64, 48)


def test_a_bend_has_the_frames_rate_and_sound_of_its_film_and_begins_as_it(made):
    """The first transform comes in over time, the other one begins at once; what is seen is the frame, changed."""
    bend = made / "results/bent/turned.mp4"
    assert len(decoded(bend, (64, 48))) == 15 and "25 fps" in described(bend)
    assert len(heard(bend)) / 8000 == pytest.approx(0.6, abs=0.05)
    plain = decoded(made / "results/two_by_one.mp4", (64, 48))[:15].astype(int)
    change = np.abs(decoded(bend, (64, 48)) - plain).mean((1, 2, 3))
    assert change.min() > 0 and change[10:].mean() > change[0]
    assert 'href="../bent/turned.mp4"' in (made / "results/gallery/index.html").read_text()


def test_a_dream_trains_its_predictor_and_is_in_the_gallery(copied):
    """Of a film that the model has not seen: half a second of it, and 60 frames more at its 25 frames/s."""
    config = edited("dreams", {"night": {"film": "two", "model": "one", "lead": 0.5, "length": 2.4, "height": 48}})
    config["predictor"] = {"steps": 3}
    targets = ("results/dreams/night.mp4", "results/gallery/index.html")
    assert plan(copied, *targets, config=config) == {
        "train_predictor": 1, "render_dream": 1, "render_dream_thumbnail": 1, "render_gallery": 1,
    }  # fmt: skip
    assert snakemake(copied, *targets, config=config).returncode == 0
    assert len(decoded(copied / targets[0], (64, 68))) == 13 + 60 and "25 fps" in described(copied / targets[0])
    page = (copied / "results/gallery/index.html").read_text()
    assert '<a href="../dreams/night.mp4"><img src="dreams/night.webp"' in page
    assert (copied / "results/predictors/one/predictor.safetensors").exists()
    assert plan(copied, *targets, config=config) == {}


def test_the_time_of_a_step_is_recorded(made):
    table = pd.read_csv(made / "logs/benchmarks/encode_film/one_by_one.tsv", sep="\t")
    assert table["s"].item() > 0


def test_every_step_has_recorded_its_progress(made):
    """In the units of its work, up to the end."""
    jobs = [json.loads(file.read_text()) for file in (made / "logs").rglob("*.progress.json")]
    assert len(jobs) == len(list((made / "logs").rglob("*.log"))) and {job["state"] for job in jobs} == {"done"}
    progress = {(job["rule"], job["job"]): (job["done"], job["total"], job["unit"]) for job in jobs if "done" in job}
    assert (
        progress.items()
        >= {
            ("extract_frames", "64x48/one"): (48, 48, "frames"),
            ("train_model", "one"): (6, 6, "steps"),
            ("encode_film", "two_by_one"): (25, 25, "frames"),
            ("render_comparison", "side-by-side"): (18, 18, "frames"),
            ("render_export", "wall.mp4"): (12, 12, "frames"),
            ("render_export", "strips"): (6, 6, "frames"),
            ("render_walk", "both"): (47, 47, "frames"),
            ("render_bend", "turned"): (15, 15, "frames"),
        }.items()
    )
    (training,) = [job for job in jobs if job["rule"] == "train_model" and job["job"] == "one"]
    last = pd.read_csv(made / "results/models/one/training.csv").iloc[-1]
    assert {name: training["metrics"][name] for name in ("step", "psnr", "l_gan")} == dict(last[["step", "psnr", "l_gan"]])
    assert training["host"] and training["pid"] and "cores" in training["device"]


def test_everything_made_nothing_is_to_be_done(made):
    assert plan(made, *TARGETS, config=CONFIG) == {}


def test_a_report_shows_it_with_the_rules_that_made_it_and_makes_nothing(made):
    archive, results, _ = report(made, CONFIG)
    played = {path.name for shown in pages(archive).values() for tag, path in shown if tag == "video"}
    assert played == {
        "one_by_one.mp4",
        "two_by_one.mp4",
        "side-by-side.mp4",
        "one.mp4",
        "training.mp4",
        "both.mp4",
        "turned.mp4",
    }
    assert {entry["labels"].get("model") for entry in results.values()} == {"one", "both", None}
    assert '"render_video"' in archive.read("report/report.html").decode()
    assert plan(made, *TARGETS, config=CONFIG) == {}


def edited(path, value):
    config = copy.deepcopy(CONFIG)
    *folders, key = path.split(".")
    place = config
    for folder in folders:
        place = place[folder]
    place[key] = value
    return config


# --- what was deleted


def test_frames_deleted_and_film_deleted_the_model_still_reconstructs(copied):
    (copied / "results/frames/64x48/one.h5").unlink()
    assert plan(copied, *TARGETS, config=CONFIG) == {}
    (copied / "films" / "one film.mp4").unlink()
    assert plan(copied, *TARGETS, config=CONFIG) == {}
    for kept in ("one_by_one.mp4", "stills/one_by_one.png", "latents/one_by_one.h5"):
        assert "exists and cannot be made again" in refusal(copied, f"results/{kept}", config=CONFIG)
    assert plan(copied, "results/two_by_one.mp4", "--force", config=CONFIG) == {"render_video": 1}


def test_latents_are_all_that_a_silent_video_needs(copied):
    """Frames and film are gone: nothing makes the latents again, whatever is edited or forced, and they are decoded."""
    config = edited("films.one.audio", "none") | {"reconstruction": {"noise": 1}}
    latents = copied / "results/latents/one_by_one.h5"
    before = latents.read_bytes()
    (copied / "results/frames/64x48/one.h5").unlink()
    (copied / "films" / "one film.mp4").unlink()
    assert plan(copied, "results/one_by_one.mp4", "--forceall", config=config) == {"train_model": 1, "render_video": 1}
    (copied / "results/one_by_one.mp4").unlink()
    assert plan(copied, "results/one_by_one.mp4", config=config) == {"render_video": 1}
    done = snakemake(copied, "results/one_by_one.mp4", config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(decoded(copied / "results/one_by_one.mp4", (64, 48))) == 48 and latents.read_bytes() == before
    latents.unlink()
    assert "film 'one' is missing: put it at films/one film.mp4" in refusal(copied, "results/one_by_one.mp4", config=config)


def test_another_cut_of_a_film_remakes_all_that_shows_it(copied):
    """In one run: its frames, and every result of it; the model that never watched it stays."""
    config = edited("films.two", {"source": "films/two.mkv", "end": 0.8})
    config["models"].pop("both")
    config["comparisons"] = {}
    assert plan(copied, "results/two_by_one.mp4", "results/metrics/two_by_one.csv", config=config) == {
        "extract_frames": 1,
        "encode_film": 1,
        "render_video": 1,
        "measure_film": 1,
    }
    done = snakemake(copied, "results/two_by_one.mp4", config=config)
    assert done.returncode == 0 and len(decoded(copied / "results/two_by_one.mp4", (64, 48))) == 20


def test_without_the_film_what_is_made_stays_usable(copied):
    """A film that was deleted after its frames were made: stills can be made again, its sound cannot."""
    (copied / "films" / "two.mkv").unlink()
    (copied / "results/stills/two_by_one.png").unlink()
    assert plan(copied, "results/stills/two_by_one.png", config=CONFIG) == {"render_stills": 1}
    (copied / "results/two_by_one.mp4").unlink()
    assert "film 'two' is missing" in refusal(copied, "results/two_by_one.mp4", config=CONFIG)


def test_a_run_that_is_killed_continues(copied):
    """Killed with all its children while it trains: the next run needs nothing from the user, and finishes."""
    config = edited("models.one", {"films": ["one"], "steps": 400})
    model = copied / "results/models/one"
    command = [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "-d", copied, "--cores", "2"]
    (copied / "config" / "config.yaml").write_text(json.dumps(config))
    words = [*command, "--workflow-profile", ROOT / "profiles/default", "results/models/one/model.safetensors"]
    before = len((model / "training.csv").read_text().splitlines())
    process = subprocess.Popen(
        [str(word) for word in words], cwd=copied, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    log = model / "training.csv"
    wait_for(lambda: len(log.read_text().splitlines()) > before + 1, 90, failed=lambda: process.poll() is not None)
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate()
    kept = max(int(file.stem.removeprefix("step-")) for file in (model / "state").rglob("step-*"))
    assert 6 < kept < 400  # 6 is where the run before had ended
    done = snakemake(copied, "results/models/one/model.safetensors", config=config)
    assert done.returncode == 0, done.stderr
    assert f"continues after step {kept} of 400" in done.stdout + done.stderr
    assert pd.read_csv(model / "training.csv")["step"].iloc[-1] == 400
