"""Films that are images or lie at an address, through Snakemake: what is planned, what is made, and what makes it again."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refilm.frames.store import FrameStore
from tests.conftest import described, make_film
from tests.http_site import Site, served
from tests.workflow.test_plan import plan, refusal, snakemake

TRAINING = {"frame_size": "64x48", "base_channels": 8, "latent_dim": 16, "batch_size": 4, "steps": 6}


def config(**film) -> dict:
    """One film with these keys, and one model that is trained on it."""
    return {"films": {"one": film}, "models": {"one": {"films": ["one"]}}, "training": TRAINING, "device": "cpu"}


FRAMES = "results/frames/64x48/one.h5"
ODD = 'it\'s 100% {x y} "odd"\n[a] ü'


@pytest.fixture
def stills(tmp_path) -> Path:
    """Twelve images, named as people name them."""
    folder = tmp_path / ODD
    folder.mkdir()
    for n in range(12):
        Image.new("RGB", (64, 48), (n * 20, 0, 0)).save(folder / f"still {n + 1} {ODD}.png")
    return folder


def levels(folder: Path) -> list[int]:
    with FrameStore(folder / FRAMES) as frames:
        return [int(level) for level in frames[:][:, 0, 0, 0]]


def test_images_become_a_silent_film_and_changed_images_trigger_a_rerun(tmp_path, stills):
    images = config(source=f"{ODD}/*.png", fps=12)
    assert plan(tmp_path, "results/one_by_one.mp4", config=images) == {
        "extract_images": 1, "train_model": 1, "encode_film": 1, "render_video": 1,
    }  # fmt: skip
    done = snakemake(tmp_path, "results/one_by_one.mp4", config=images)
    assert done.returncode == 0, done.stdout + done.stderr
    assert levels(tmp_path) == [n * 20 for n in range(12)]
    streams = described(tmp_path / "results/one_by_one.mp4")
    assert "12 fps" in streams and "00:00:01.00" in streams and "Audio" not in streams
    assert plan(tmp_path, "results/one_by_one.mp4", config=images) == {}

    later = time.time() + 5
    third = stills / f"still 3 {ODD}.png"
    Image.new("RGB", (64, 48), (0, 200, 0)).save(third)
    os.utime(third, (later, later))
    again = plan(tmp_path, "results/one_by_one.mp4", config=images)
    assert again == {"extract_images": 1, "encode_film": 1, "render_video": 1}
    os.utime(third, (0, 0))
    third.unlink()
    assert plan(tmp_path, FRAMES, config=images) == {"extract_images": 1}
    assert snakemake(tmp_path, FRAMES, config=images).returncode == 0
    assert levels(tmp_path) == [n * 20 for n in range(12) if n != 2]

    model = "results/models/one/model.safetensors"
    assert plan(tmp_path, FRAMES, model, config=config(source=ODD, fps=24)) == {"extract_images": 1}
    assert plan(tmp_path, FRAMES, model, config=config(source=ODD, fps=12, end=0.5))["train_model"] == 1

    for image in stills.iterdir():
        image.unlink()
    assert plan(tmp_path, "results/latents/one_by_one.h5", config=images) == {"encode_film": 1}  # of the frames as they are
    assert "exists and cannot be made again" in refusal(tmp_path, FRAMES, config=images)
    (tmp_path / FRAMES).unlink()
    assert "film 'one' has no images: put them at" in refusal(tmp_path, FRAMES, config=images)


@pytest.fixture
def film(tmp_path) -> bytes:
    return make_film(tmp_path / "made.mkv", seconds=1).read_bytes()


def test_a_film_from_an_address_is_fetched_once_and_a_plan_fetches_nothing(tmp_path, film):
    site = Site(film, breaks=[len(film) // 2])
    with served(site) as address:
        remote = config(source=address, audio="none")
        assert plan(tmp_path, FRAMES, config=remote) == {"fetch_film": 1, "extract_frames": 1} and site.asked == []
        done = snakemake(tmp_path, FRAMES, config=remote)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (tmp_path / "films/downloads/one.mkv").read_bytes() == film and len(site.asked) == 2
        with FrameStore(tmp_path / FRAMES) as frames:
            assert len(frames) == 24
        elsewhere = config(source="s3://somewhere/else.mkv", audio="none")
        for moved in (remote, elsewhere):
            assert plan(tmp_path, FRAMES, config=moved) == {}
        assert plan(tmp_path, FRAMES, "--forceall", config=elsewhere) == {"extract_frames": 1}
        (tmp_path / "films/downloads/one.mkv").unlink()
        assert plan(tmp_path, FRAMES, config=remote) == {}
        assert len(site.asked) == 2


def test_the_sum_of_a_film_is_checked_before_it_is_used(tmp_path, film):
    wrong = "0" * 64
    with served(Site(film)) as address:
        done = snakemake(tmp_path, FRAMES, config=config(source=address, sha256=wrong))
        output = done.stdout + done.stderr
        assert done.returncode != 0 and f"{wrong}: correct sha256" in output and "Traceback" not in output
        assert not list(tmp_path.glob("films/downloads/one.*"))
        assert snakemake(tmp_path, FRAMES, config=config(source=address)).returncode == 0
        line = refusal(tmp_path, FRAMES, config=config(source=address, sha256=wrong))
        assert f"and films.one.sha256 is {wrong}: correct that, or delete films/downloads/one.mkv" in line
    done = snakemake(tmp_path, "results/frames/32x32/one.h5", config=config(source="made.mkv", sha256=wrong))
    assert done.returncode != 0 and "refilm: made.mkv: its sha256 is" in done.stdout + done.stderr
    assert not (tmp_path / "results/frames/32x32").exists() or not list((tmp_path / "results/frames/32x32").iterdir())


def test_a_missing_soundtrack_is_an_error_before_anything_is_trained(tmp_path, film):
    done = snakemake(tmp_path, "results/one_by_one.mp4", config=config(source="made.mkv", audio="fra"))
    assert done.returncode != 0 and "there is no soundtrack in 'fra'; there are: 1 (mono)" in done.stdout + done.stderr
    assert not (tmp_path / FRAMES).exists()


def test_a_name_that_snakemake_would_misread_is_an_error(tmp_path, stills):
    Image.new("RGB", (64, 48)).save(stills / "{film}.png")
    assert "{film}.png: Snakemake reads a word in braces" in refusal(tmp_path, FRAMES, config=config(source=ODD, fps=12))


def test_thousands_of_images_are_planned_as_one_film(tmp_path):
    """One image, three thousand names for it: more than a command line holds."""
    (tmp_path / "stills").mkdir()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "still.png")
    for n in range(3000):
        os.link(tmp_path / "still.png", tmp_path / "stills" / f"a rather long name of an image, and its number {n}.png")
    assert snakemake(tmp_path, FRAMES, config=config(source="stills", fps=24)).returncode == 0
    assert len(levels(tmp_path)) == 3000


def test_films_are_extracted_side_by_side(tmp_path):
    """One core for each: the second begins before the first has ended, and each has all of its frames."""
    films = {f"film-{n}": {"source": str(make_film(tmp_path / f"{n}.mkv", seconds=2 + n))} for n in range(2)}
    targets = [f"results/frames/64x48/{film}.h5" for film in films]
    both = {"films": films, "models": {"one": {"films": list(films)}}}
    done = snakemake(tmp_path, *targets, "--set-threads", "extract_frames=1", config=both)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    begun = [output.index(f"{film}: film to frames") for film in films]
    assert max(begun) < output.index("Finished jobid")
    for n, target in enumerate(targets):
        with FrameStore(tmp_path / target) as frames:
            assert len(frames) == 24 * (2 + n)
