"""Frames become films again: as many, in the right colours, and the sound where it was."""

import json
import re
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from refilm.core.errors import RefilmError
from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import FrameStore, write_frames_from
from refilm.media.encode import encode_video
from refilm.models.base import to_frames, to_network
from refilm.models.model_file import load_model
from refilm.rendering.comparison import Arrangement
from tests.conftest import command, decoded, described, ffmpeg, heard, make_film, refused
from tests.helpers import done, extract, flash_and_beep, onsets, through

SIZE = (64, 48)


def compared(film, folder, model, *options) -> Path:
    """The comparison of what `through` left in the folder, with these options: the clip."""
    clip = folder / "clip.mp4"
    words = ("--latents", folder / "latents.h5", "--models", model, "--title=T", "--by=M", f"--source={film}")
    words += (f"--clip={clip}", "--height=48", "--device=cpu", *options)
    done(command("render_comparison", f"--frames={folder / 'frames.h5'}", *words))
    return clip


def grey_film(path, levels) -> Path:
    """A frames file, 64x48, of even frames of these grey levels."""
    frames = np.ones((len(levels), 48, 64, 3), np.uint8) * np.asarray(levels, np.uint8)[:, None, None, None]
    write_frames_from(path, 64, 48, FrameMetadata(Fraction(24)), [frames])
    return path


def own_latents(path, latents, **attributes) -> Path:
    """A latents file as somebody writes it with h5py alone."""
    with h5py.File(path, "w") as file:
        file["latents"] = latents
        file.attrs.update(attributes)
    return path


# --- picture


@pytest.mark.parametrize("fps", [Fraction(120000, 1001), Fraction(24000, 1001), Fraction(15), Fraction(25, 2)])
def test_any_rate_is_kept_exactly(tmp_path, fps):
    path, count = tmp_path / "rate.mp4", 240
    frames = np.random.default_rng(0).integers(0, 256, (count, 48, 64, 3), dtype=np.uint8)
    encode_video(path, [frames], count, SIZE, fps, 30, None, "rate")
    kept, attributes = extract(path, tmp_path)
    assert (attributes["fps"], len(kept), attributes["constant_rate"]) == (str(fps), count, True)


@pytest.mark.parametrize("fps", ["24", "25", "30000/1001", "24000/1001"])
def test_as_many_frames_come_out_as_went_in_at_the_same_rate(tmp_path, grey_model, fps):
    video = through(make_film(tmp_path / "film.mp4", seconds=2, fps=fps), tmp_path, grey_model)
    assert len(decoded(video, SIZE)) == round(2 * Fraction(fps))
    streams = described(video)
    assert {"24": "24 fps", "25": "25 fps", "30000/1001": "29.97 fps", "24000/1001": "23.98 fps"}[fps] in streams
    assert "h264" in streams and "yuv420p(tv, bt709, progressive)" in streams


def test_the_index_stands_before_the_picture_so_that_a_browser_begins_at_once(tmp_path, grey_model):
    video = through(make_film(tmp_path / "film.mp4", seconds=1), tmp_path, grey_model)
    content = video.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_frames_keep_their_colours(tmp_path):
    colours = np.array(
        [[0, 0, 0], [16, 16, 16], [128, 128, 128], [255, 255, 255], [200, 50, 50], [50, 200, 50], [50, 50, 200]]
    )
    frames = np.ones((len(colours), 48, 64, 3), np.uint8) * colours[:, None, None].astype(np.uint8)
    path = tmp_path / "flat.mp4"
    encode_video(path, [frames], len(frames), SIZE, Fraction(24), 10, None, "flat")
    seen = decoded(path, SIZE, "scale=in_color_matrix=bt709:in_range=tv:flags=accurate_rnd+full_chroma_int")
    assert np.abs(seen.astype(int) - frames).max() <= 4
    assert np.abs(seen.astype(int).mean((1, 2)) - colours).max() <= 2


def test_a_wrong_number_of_frames_is_an_error_and_no_file(tmp_path):
    frames = np.zeros((5, 48, 64, 3), np.uint8)
    with pytest.raises(RefilmError, match="5 frames were written of 6"):
        encode_video(tmp_path / "x.mp4", [frames], 6, SIZE, Fraction(24), 14, None, "x")
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_ffmpeg_has_its_message(tmp_path):
    with pytest.raises(RefilmError, match="not divisible by 2"):
        encode_video(tmp_path / "x.mp4", [np.zeros((5, 47, 63, 3), np.uint8)], 5, (63, 47), Fraction(24), 14, None, "x")
    assert list(tmp_path.iterdir()) == []


# --- sound


@pytest.mark.parametrize("fps", ["24", "25", "30000/1001"])
def test_picture_and_sound_stay_together_for_three_minutes(tmp_path, grey_model, fps):
    video = through(flash_and_beep(tmp_path / "film.mkv", 180, fps), tmp_path, grey_model)
    rate = Fraction(fps)
    flashes, beeps = onsets(video, rate)
    moments = range(1, 180, 5)  # each is white from the first frame on that is not before it
    assert flashes == pytest.approx([float(-(-moment * rate // 1) / rate) for moment in moments])
    assert len(beeps) == 36 and max(abs(beep - moment) for beep, moment in zip(beeps, moments, strict=True)) < 0.5 / rate


@pytest.mark.parametrize("late", [0.7, -0.7])
def test_a_soundtrack_that_begins_late_or_early_stays_where_it_was(tmp_path, grey_model, late):
    """In this film each beep is heard 0.7 s after, or before, its flash: so it is in the result."""
    video = through(flash_and_beep(tmp_path / "film.mkv", 20, "25", late=late), tmp_path, grey_model)
    flashes, beeps = onsets(video, 25)
    assert len(flashes) == len(beeps) == 4
    assert all(abs(beep - flash - late) < 1 / 25 for flash, beep in zip(flashes, beeps, strict=True))


def test_a_part_of_a_film_and_a_part_of_that_have_their_own_sound(tmp_path, grey_model):
    """The film from 00:03 on, and of it the clip from 6.5 s to 14 s: three flashes, then one or two, each with its beep."""
    film = flash_and_beep(tmp_path / "film.mkv", 30, "24")
    video = through(film, tmp_path, grey_model, "--start=3", "--end=20")
    clip = compared(film, tmp_path, grey_model, "--start=6.5", "--end=14")
    flashes, beeps = onsets(video, 24)
    assert flashes == pytest.approx([3, 8, 13], abs=1 / 24) and beeps == pytest.approx(flashes, abs=1 / 24)
    size = canvas_of(clip)
    flashes, beeps = onsets(clip, 24, size)
    assert flashes == pytest.approx([1.5, 6.5], abs=1 / 24) and beeps == pytest.approx(flashes, abs=1 / 24)
    assert len(decoded(clip, size)) == 180


@pytest.mark.parametrize("suffix", [".mpg", ".ts"])
def test_films_whose_clock_begins_anywhere_stay_in_step(tmp_path, grey_model, suffix):
    flash_and_beep(tmp_path / "film.mkv", 12, "25")
    film = tmp_path / f"film{suffix}"
    ffmpeg("-i", tmp_path / "film.mkv", "-c:v", "mpeg2video", "-q:v", "2", "-c:a", "mp2", film)
    video = through(film, tmp_path, grey_model)
    flashes, beeps = onsets(video, 25)
    assert len(flashes) == len(beeps) == 3
    assert all(abs(flash - beep) < 1 / 25 for flash, beep in zip(flashes, beeps, strict=True))


def test_sound_lasts_as_long_as_the_picture(tmp_path, grey_model):
    film = tmp_path / "film.mkv"
    tone, picture = "sine=440:duration=1", "testsrc2=size=64x48:rate=24:duration=3"
    ffmpeg("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone, film)
    video = through(film, tmp_path, grey_model)
    assert len(heard(video)) / 8000 == pytest.approx(3, abs=0.05)
    assert np.abs(heard(video)[: 8000 - 800]).max() > 0.05 > np.abs(heard(video)[8000 + 800 :]).max() * 10


def test_a_silent_film_stays_silent(tmp_path, grey_model):
    film = make_film(tmp_path / "film.mp4", sound=False)
    video, clip = through(film, tmp_path, grey_model), compared(film, tmp_path, grey_model)
    assert "Audio" not in described(video) and "Audio" not in described(clip)


# --- latents


EXACT = "scale=in_color_matrix=bt709:in_range=tv:flags=accurate_rnd+full_chroma_int"


@pytest.fixture
def greys(tmp_path, grey_model) -> tuple[Path, Path]:
    """Files of frames and latents of a film of 50 grey frames, each 5 levels brighter than the one before."""
    frames, latents = grey_film(tmp_path / "greys.h5", 5 * np.arange(50)), tmp_path / "greys-latents.h5"
    done(command("encode_film", f"--frames={frames}", f"--model={grey_model}", f"--latents={latents}", "--device=cpu"))
    return frames, latents


def decoded_by(model_file, latents: np.ndarray) -> np.ndarray:
    """Latents float32 (n, dim) through the decoder alone: uint8 (n, H, W, 3)."""
    model = load_model(model_file, torch.device("cpu"))
    return to_frames(model.decode(torch.from_numpy(latents))).numpy()


def test_latents_are_what_the_encoder_makes_of_the_frames_and_say_where_they_are_from(greys, grey_model):
    frames, latents = greys
    model = load_model(grey_model, torch.device("cpu"))
    with FrameStore(frames) as film, h5py.File(latents) as file:
        mean, _ = model.encode(to_network(torch.from_numpy(film[:])))
        assert file["latents"].shape == (50, 16) and np.allclose(file["latents"], mean.numpy(), atol=1e-4)
        attributes = dict(file.attrs)
    assert json.loads(attributes.pop("provenance"))["latents"][0]["noise"] == 0
    assert attributes == {
        "fps": "24", "start_time": "0", "model": str(grey_model), "recipe": model.recipe.to_json(), "noise": 0.0,
    }  # fmt: skip


def test_latents_that_were_searched_are_nearer_to_the_frames_and_say_so(tmp_path, greys, grey_model):
    frames, latents = greys
    found = tmp_path / "found.h5"
    words = (f"--frames={frames}", f"--model={grey_model}", f"--latents={found}", "--device=cpu", "--search=5")
    assert "50 frames as 16 numbers each" in done(command("encode_film", *words))
    with FrameStore(frames) as film, h5py.File(latents) as before, h5py.File(found) as after:
        decoded = [decoded_by(grey_model, file["latents"][:]).astype(float) for file in (before, after)]
        errors = [np.abs(frames - film[:]).mean() for frames in decoded]
        assert after.attrs["search"] == 5 and json.loads(after.attrs["provenance"])["latents"][0]["search"] == 5
    assert errors[1] < errors[0]
    assert "noise 0, search 5" in done(command("provenance", str(found)))


def test_a_video_shows_what_the_decoder_makes_of_the_latents(tmp_path, greys, grey_model):
    _, latents = greys
    video = tmp_path / "video.mp4"
    words = (f"--latents={latents}", f"--model={grey_model}", f"--video={video}", "--crf=1", "--device=cpu")
    assert "50 frames at 24 frames/s, silent" in done(command("render_video", *words))
    with h5py.File(latents) as file:
        expected = decoded_by(grey_model, file["latents"][:]).astype(int)
    seen = decoded(video, SIZE, EXACT).astype(int)
    assert len(seen) == 50 and np.abs(seen - expected).mean() < 2
    assert np.abs(seen.mean((1, 2, 3)) - expected.mean((1, 2, 3))).max() < 2


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 31, 99])
def test_anybodys_latents_become_a_video_of_as_many_frames(tmp_path, greys, grey_model, dtype, count):
    """Twice as many latents between those of a film, or a few of them: a file without attributes needs but a rate."""
    with h5py.File(greys[1]) as file:
        known = file["latents"][:]
    at = np.linspace(0, 49, count)
    mixed = known[at.astype(int)] * (1 - at % 1)[:, None] + known[np.ceil(at).astype(int)] * (at % 1)[:, None]
    mine, video = own_latents(tmp_path / "mine.h5", mixed.astype(dtype)), tmp_path / "video.mp4"
    words = (f"--latents={mine}", f"--model={grey_model}", f"--video={video}", "--device=cpu")
    message = refused(command("render_video", *words))
    assert f"{mine}: no attribute fps: give the frame rate with --fps" in message and not video.exists()
    done(command("render_video", *words, "--fps=24000/1001"))
    seen = decoded(video, SIZE).mean((1, 2, 3))
    assert len(seen) == count and (np.diff(seen) > -1).all() and "23.98 fps" in described(video)


def test_a_given_frame_rate_replaces_that_of_the_film(tmp_path, greys, grey_model):
    video = tmp_path / "slow.mp4"
    words = (f"--latents={greys[1]}", f"--model={grey_model}", f"--video={video}", "--device=cpu")
    done(command("render_video", *words, "--fps=12"))
    assert len(decoded(video, SIZE)) == 50 and "12 fps" in described(video) and "00:00:04.1" in described(video)
    assert "--fps: 'fast' is not a valid frame rate" in refused(command("render_video", *words, "--fps=fast"))


@pytest.mark.parametrize(
    ("latents", "message"),
    [
        (np.zeros((9, 12), np.float32), "12 numbers per frame, but {model} decodes 16: use the model that encoded them"),
        (np.zeros((9, 16), np.int32), "latents are int32: expected float16, float32 or float64"),
        (np.full((9, 16), np.nan, np.float32), "the latents of frame 0 are not finite"),
        (np.zeros(16, np.float32), "shape (16,): expected (frames, latent_dim)"),
    ],
)
def test_latents_that_do_not_fit_are_one_line_and_no_video(tmp_path, grey_model, latents, message):
    mine, video = own_latents(tmp_path / "mine.h5", latents, fps="24"), tmp_path / "video.mp4"
    done_ = command("render_video", f"--latents={mine}", f"--model={grey_model}", f"--video={video}", "--device=cpu")
    assert f"{mine}: " in refused(done_) and message.format(model=grey_model) in refused(done_) and not video.exists()


def test_what_is_not_a_latents_file_is_one_line(tmp_path, greys, grey_model):
    (tmp_path / "text.h5").write_text("no HDF5")
    for latents, message in ((tmp_path / "text.h5", "not a latents file"), (greys[0], "no dataset 'latents'")):
        words = (f"--latents={latents}", f"--model={grey_model}", f"--video={tmp_path / 'video.mp4'}")
        assert message in refused(command("render_video", *words))
    words = (f"--latents={greys[1]}", f"--model={greys[0]}", f"--video={tmp_path / 'video.mp4'}")
    assert "not a model" in refused(command("render_video", *words))


def test_frames_of_another_size_are_not_encoded(tmp_path, grey_model):
    write_frames_from(tmp_path / "f.h5", 32, 32, FrameMetadata(Fraction(24)), [np.zeros((3, 32, 32, 3), np.uint8)])
    words = (f"--frames={tmp_path / 'f.h5'}", f"--model={grey_model}", f"--latents={tmp_path / 'l.h5'}")
    assert f"frames are 32x32, but {grey_model} was trained at 64x48" in refused(command("encode_film", *words))
    assert "--noise: -1.0 is not a valid noise scale" in refused(command("encode_film", *words, "--noise=-1"))
    assert "--search: -1 is not a valid number of steps" in refused(command("encode_film", *words, "--search=-1"))
    assert not (tmp_path / "l.h5").exists()


# --- comparison, stills, metrics


def canvas_of(clip) -> tuple[int, int]:
    found = re.search(r"(\d+)x(\d+)[, ]", described(clip).split("Video:")[1])
    return int(found[1]), int(found[2])


@pytest.mark.parametrize("layout,count", [("row", 2), ("column", 2), ("grid", 4)])
def test_a_comparison_shows_the_same_frame_of_every_film(tmp_path, film, greys, grey_model, layout, count):
    """The n-th picture has the latents of n frames later: its grey is that of the original n frames later."""
    frames, latents = greys
    with h5py.File(latents) as file:
        known = file["latents"][:]
    shifted = [own_latents(tmp_path / f"{n}.h5", np.roll(known, -n, axis=0)) for n in range(1, count)]
    clip = tmp_path / "clip.mp4"
    words = (f"--frames={frames}", "--latents", *shifted, "--models", *[grey_model] * (count - 1), "--title=T")
    words += (*["--by=M"] * (count - 1), f"--source={film}", f"--clip={clip}", f"--layout={layout}", "--height=96")
    done(command("render_comparison", *words, "--crf=1", "--device=cpu", "--start=0.25", "--end=1.5"))
    arrangement = Arrangement(count, layout, 128, 96)
    seen = decoded(clip, arrangement.size, EXACT).astype(int)
    assert len(seen) == 30  # frames 6 to 35
    with FrameStore(frames) as original:
        expected = [original[:], *(np.roll(decoded_by(grey_model, known), -n, axis=0) for n in range(1, count))]
    for n, pictures in enumerate(expected):
        left, top = arrangement.place(n)
        tile = seen[:, top + 4 : top + 92, left + 4 : left + 124].mean((1, 2, 3))
        assert np.abs(tile - pictures[6:36, 2:46, 2:62].mean((1, 2, 3))).max() <= 2
    assert not list(tmp_path.glob("*.png"))


def comparison(frames, latents, model, clip, *words):
    pairs = ("--latents", latents, "--models", model, "--title=T", "--by=M")
    return command("render_comparison", f"--frames={frames}", *pairs, f"--clip={clip}", "--device=cpu", *words)


def test_a_comparison_past_the_end_is_refused(tmp_path, greys, grey_model):
    message = refused(comparison(*greys, grey_model, tmp_path / "late.mp4", "--start=5"))
    assert "comparison 'late': start 0:05 lies after the end of the film, which lasts 0:02" in message


def test_a_comparison_needs_a_model_and_a_title_for_each_latents_file(tmp_path, greys, grey_model):
    message = refused(comparison(*greys, grey_model, tmp_path / "clip.mp4", "--by=N"))
    assert "--latents, --models and --by: give as many of each" in message


def test_latents_of_another_length_than_the_film_are_refused(tmp_path, greys, grey_model):
    frames, latents = grey_film(tmp_path / "short.h5", [0, 9, 18]), greys[1]
    both = (f"--frames={frames}", f"--latents={latents}", f"--model={grey_model}", "--device=cpu")
    for done_ in (
        comparison(frames, latents, grey_model, tmp_path / "clip.mp4"),
        command("render_stills", *both, "--title=T", "--by=M", f"--sheet={tmp_path / 'sheet.png'}"),
        command("measure_film", *both, f"--metrics={tmp_path / 'table.csv'}"),
    ):
        assert f"{latents}: 50 frames, but {frames} has 3: encode the film again" in refused(done_)
    assert not [file for file in tmp_path.iterdir() if file.suffix in (".png", ".csv", ".mp4")]


def test_a_sheet_shows_frames_above_their_reconstructions(tmp_path, greys, grey_model):
    frames, latents = greys
    sheet = tmp_path / "sheet.png"
    words = (
        f"--frames={frames}",
        f"--latents={latents}",
        f"--model={grey_model}",
        "--title=T",
        "--by=M",
        f"--sheet={sheet}",
    )
    assert "5 frames" in done(command("render_stills", *words, "--count=5", "--device=cpu"))
    assert "--count: 0 is not a valid number" in refused(command("render_stills", *words, "--count=0", "--device=cpu"))
    pixels = np.asarray(Image.open(sheet)).astype(int)
    with h5py.File(latents) as file:
        reconstruction = decoded_by(grey_model, file["latents"][:]).astype(int)
    for n in (5, 15, 25, 35, 45):  # the middles of five equal parts
        grey = (pixels == 5 * n).all(2)
        top = np.flatnonzero(grey.sum(1) >= 64)[0]  # single pixels of the text are grey too
        left = np.flatnonzero(grey[top])[0]
        assert (pixels[top : top + 48, left : left + 64] == 5 * n).all()
        assert np.abs(pixels[top + 50 : top + 98, left : left + 64] - reconstruction[n]).max() <= 1


def test_metrics_are_those_of_the_decoded_frames(tmp_path, grey_model, frames_file):
    """A film of moving pictures, each row checked against the frames that the decoder makes of the latents."""
    latents, table = tmp_path / "latents.h5", tmp_path / "table.csv"
    both = (f"--frames={frames_file}", f"--latents={latents}", f"--model={grey_model}", "--device=cpu")
    done(command("encode_film", *both))
    printed = done(command("measure_film", *both, f"--metrics={table}"))
    rows = pd.read_csv(table)
    with FrameStore(frames_file) as film, h5py.File(latents) as file:
        x, y = film[:].astype(float), decoded_by(grey_model, file["latents"][:]).astype(float)
    assert list(rows["frame"]) == list(range(len(x))) and rows["seconds"].iloc[-1] == pytest.approx(47 / 24, abs=1e-3)
    psnr = 10 * np.log10(255**2 / np.square(x - y).mean((1, 2, 3)))
    assert rows["psnr"].to_numpy() == pytest.approx(psnr, abs=0.02)
    assert float(re.search(r"PSNR mean ([0-9.]+)", printed)[1]) == pytest.approx(psnr.mean(), abs=0.02)
    for name, frames in (("film", x), ("recon", y)):
        moved = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
        assert np.isnan(rows[f"{name}_motion"][0]) and rows[f"{name}_motion"][1:].to_numpy() == pytest.approx(
            moved, abs=0.05
        )
        assert rows[f"{name}_contrast"].notna().all() and rows[f"{name}_sharpness"].notna().all()
    change = np.abs(np.diff(x, axis=0) - np.diff(y, axis=0)).mean((1, 2, 3))
    assert rows["temporal_error"][1:].to_numpy() == pytest.approx(change, abs=0.05)
    weights = [0.2126, 0.7152, 0.0722]
    signed = ((y - x) @ weights).mean((1, 2))
    assert rows["brightness_error"].to_numpy() == pytest.approx(signed, abs=0.05)
    assert float(re.search(r"signed ([-+0-9.]+)", printed)[1]) == pytest.approx(signed.mean(), abs=0.02)
    assert rows["colour_error"].to_numpy() == pytest.approx(np.abs((y - x).mean((1, 2))).mean(1), abs=0.05)


def test_the_answer_is_measured_within_shots_and_not_where_there_is_none(tmp_path, grey_model):
    """Three shots of twelve frames: a faint line that moves, a bright strip that moves, and black."""
    random = np.random.default_rng(0)
    film = np.zeros((36, 48, 64, 3), np.uint8)
    film[:24] = np.kron(random.integers(0, 200, (2, 3, 4, 3)), np.ones((12, 16, 16, 1), int))
    for n in range(12):
        film[n, 4 * n] += np.uint8(20 + n)  # a line of 48: a static pair
        film[12 + n, :, 4 * n : 4 * n + 16] = 220
    frames, latents, table = (tmp_path / name for name in ("film.h5", "latents.h5", "table.csv"))
    write_frames_from(frames, 64, 48, FrameMetadata(Fraction(24)), [film])
    both = (f"--frames={frames}", f"--latents={latents}", f"--model={grey_model}", "--device=cpu")
    done(command("encode_film", *both))
    printed = done(command("measure_film", *both, f"--metrics={table}"))
    rows = pd.read_csv(table)
    assert np.flatnonzero(rows["composition"].notna()).tolist() == list(range(24))
    assert np.flatnonzero(rows["motion_correlation"].notna()).tolist() == [*range(1, 12), *range(13, 24)]
    for name in ("static_kept", "static_along"):
        assert np.flatnonzero(rows[name].notna()).tolist() == list(range(1, 12))
    with h5py.File(latents) as file:
        recon = decoded_by(grey_model, file["latents"][:]).astype(float)
    x, y = (np.diff(part[:12].astype(float), axis=0) for part in (film, recon))
    kept = (x * y).sum((1, 2, 3)) / (x * x).sum((1, 2, 3))
    assert rows["static_kept"][1:12].to_numpy() == pytest.approx(kept, abs=1e-3)
    found = re.search(r"composition ([-0-9.]+), motion ([-0-9.]+); static pairs kept ([-0-9.]+), along ([-0-9.]+)", printed)
    assert float(found[1]) == pytest.approx(rows["composition"].mean(), abs=1e-3)
    assert float(found[3]) == pytest.approx((x * y).sum() / (x * x).sum(), abs=1e-3)
    assert float(found[4]) == pytest.approx((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()), abs=5e-3)
    small = [np.repeat(f.astype(float) @ [0.2126, 0.7152, 0.0722], 3, axis=1) for f in (film, recon)]
    x, y = (np.diff(f.reshape(36, 9, 16, 16, 4).mean((2, 4)), axis=0)[np.arange(35) % 12 != 11] for f in small)
    assert float(found[2]) == pytest.approx((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()), abs=0.01)
