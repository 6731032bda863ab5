"""Exports for a wall: the pixels, colours, sound and number of frames of each codec, on one screen and on several."""

import re
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from refilm.core.errors import RefilmError
from refilm.media.export import CODECS, Picture, export_frames
from refilm.media.sound import film_sound
from refilm.media.tags import Tags
from tests.conftest import command, decoded, described, ffmpeg, heard, make_film, refused
from tests.helpers import done, flash_and_beep, onsets

FPS = Fraction(24000, 1001)
COUNT = 30
SIZE = (64, 48)


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    """Frames of random pixels, which no lossy codec keeps: uint8 (COUNT, 48, 64, 3)."""
    return np.random.default_rng(0).integers(0, 256, (COUNT, 48, 64, 3), dtype=np.uint8)


def export(path, frames, codec, *, height=48, scaler="lanczos", screens=1, sound=None, crf=4) -> Path:
    picture = Picture(codec, height, scaler, screens)
    size = frames.shape[2], frames.shape[1]
    export_frames(path, [frames], len(frames), size, FPS, picture, crf, sound, "", Tags("T", "{}"))
    return path


def images_of(folder) -> np.ndarray:
    """The images of a folder as PIL reads them, in their order: uint8 (N, H, W, 3)."""
    return np.stack([np.asarray(Image.open(file).convert("RGB")) for file in sorted(Path(folder).glob("*.png"))])


def exact(path, size) -> np.ndarray:
    """The frames of a video as a player shows them, by the matrix and range of its own tags."""
    tags = re.search(r"\((tv|pc), (?:\w+/)*(\w+)", described(path).split("Video:")[1])
    if tags[2] == "progressive":
        pytest.fail(f"no colour tags: {described(path)}")
    if tags[1] == "pc":
        return decoded(path, size)
    return decoded(path, size, f"scale=in_color_matrix={tags[2]}:in_range=tv:flags=accurate_rnd+full_chroma_int")


def test_images_at_the_height_of_the_frames_are_the_frames(tmp_path, noise):
    folder = export(tmp_path / "wall", noise, "png")
    assert (images_of(folder) == noise).all()
    assert sorted(file.name for file in folder.iterdir())[:3] == ["wall-000001.png", "wall-000002.png", "wall-000003.png"]
    assert Image.open(folder / "wall-000001.png").info["srgb"] == 1


def test_ffv1_is_lossless(tmp_path, noise):
    video = export(tmp_path / "wall.mkv", noise, "ffv1")
    assert (decoded(video, SIZE) == noise).all()
    assert "ffv1" in described(video) and "bgr0(pc, gbr/bt709/bt709" in described(video)


@pytest.mark.parametrize("codec", ["png", "ffv1"])
def test_nearest_repeats_each_pixel(tmp_path, noise, codec):
    path = export(tmp_path / ("wall" if codec == "png" else "wall.mkv"), noise[:3], codec, height=144, scaler="nearest")
    seen = images_of(path) if codec == "png" else decoded(path, (192, 144))
    assert (seen == noise[:3].repeat(3, axis=1).repeat(3, axis=2)).all()


@pytest.mark.parametrize(("scaler", "filter_"), [("lanczos", Image.LANCZOS), ("bicubic", Image.BICUBIC)])
def test_enlarged_frames_are_those_of_another_program(tmp_path, noise, scaler, filter_):
    """PIL has the same Lanczos window of three; its cubic is a little softer."""
    soft = np.stack([np.asarray(Image.fromarray(frame[::8, ::8]).resize(SIZE, Image.BICUBIC)) for frame in noise[:3]])
    seen = images_of(export(tmp_path / "wall", soft, "png", height=192, scaler=scaler)).astype(int)
    other = np.stack([np.asarray(Image.fromarray(frame).resize((256, 192), filter_)) for frame in soft]).astype(int)
    inside = np.s_[:, 16:-16, 16:-16]
    assert np.abs(seen - other)[inside].max() <= (1 if scaler == "lanczos" else 8)
    assert np.abs(seen - other)[inside].mean() < (0.3 if scaler == "lanczos" else 1)


@pytest.mark.parametrize(
    ("codec", "stream"),
    [
        ("h264", "h264 (High) (avc1 / 0x31637661), yuv420p(tv, bt709, progressive), 128x96"),
        ("hevc", "hevc (Main 10) (hvc1 / 0x31637668), yuv420p10le(tv, bt709, progressive), 128x96"),
        ("prores", "prores (HQ) (apch / 0x68637061), yuv422p10le(tv, bt709, progressive), 128x96"),
    ],
)
def test_lossy_codecs_keep_colours_and_say_which_they_are(tmp_path, codec, stream):
    colours = np.array(
        [[0, 0, 0], [16, 16, 16], [128, 128, 128], [255, 255, 255], [200, 50, 50], [50, 200, 50], [50, 50, 200]]
    )
    frames = np.ones((len(colours), 48, 64, 3), np.uint8) * colours[:, None, None].astype(np.uint8)
    video = export(tmp_path / f"wall.{CODECS[codec].suffix}", frames, codec, height=96)
    assert stream in described(video) and "23.98 fps" in described(video)
    seen = exact(video, (128, 96)).astype(int)
    assert len(seen) == len(colours) and np.abs(seen.mean((1, 2)) - colours).max() <= 2
    assert np.abs(seen - colours[:, None, None]).max() <= 4


@pytest.mark.parametrize("codec", CODECS)
def test_the_sound_is_as_long_as_the_picture_and_in_step(tmp_path, codec):
    """A film of 12 s from 0.5 s on: flashes and beeps at 0.5, 5.5 and 10.5 s of 11 s."""
    sound = film_sound(flash_and_beep(tmp_path / "film.mkv", 12, "24000/1001"), Fraction(1, 2))
    count = round(11 * FPS)
    frames = np.zeros((count, 48, 64, 3), np.uint8)
    for moment in (0.5, 5.5, 10.5):
        frames[int(-(-moment * FPS // 1)) :][:5] = 255
    suffix = CODECS[codec].suffix
    path = export(tmp_path / ("wall" if codec == "png" else f"wall.{suffix}"), frames, codec, sound=sound)
    if codec == "png":
        assert "pcm_s24le" in described(path / "wall.wav") and "48000 Hz" in described(path / "wall.wav")
        assert len(heard(path / "wall.wav", 48000)) == round(count / FPS * 48000)
        ffmpeg("-r", FPS, "-i", path / "wall-%06d.png", "-i", path / "wall.wav", "-c:v", "ffv1", tmp_path / "joined.mkv")
        path = tmp_path / "joined.mkv"
    elif suffix in ("mov", "mkv"):
        assert len(heard(path, 48000)) == round(count / FPS * 48000)
    assert len(decoded(path, SIZE)) == count
    assert len(heard(path)) / 8000 == pytest.approx(float(count / FPS), abs=0.02)
    flashes, beeps = onsets(path, FPS)
    assert len(flashes) == len(beeps) == 3
    assert all(abs(flash - beep) < 1 / FPS for flash, beep in zip(flashes, beeps, strict=True))


@pytest.mark.parametrize("screens", [2, 3])
def test_screens_beside_each_other_are_the_picture(tmp_path, noise, screens):
    frames = noise.repeat(3, axis=2)  # 192x48: each screen has a whole number of pixels
    sound = film_sound(make_film(tmp_path / "film.mp4"), Fraction(0))
    folder = export(tmp_path / "wall", frames, "ffv1", screens=screens, sound=sound)
    files = [folder / f"wall-{n + 1}.mkv" for n in range(screens)]
    assert sorted(folder.iterdir()) == files
    seen = [decoded(file, (192 // screens, 48)) for file in files]
    assert (np.concatenate(seen, axis=2) == frames).all()
    assert len({len(heard(file, 48000)) for file in files}) == 1 and len(heard(files[0])) > 0
    assert all("title           : T" in described(file) and "COMMENT         : {}" in described(file) for file in files)


def test_images_of_several_screens_are_in_a_folder_each(tmp_path, noise):
    folder = export(tmp_path / "100% %06d", noise, "png", screens=2)
    seen = [images_of(folder / f"{folder.name}-{n}") for n in (1, 2)]
    assert (np.concatenate(seen, axis=2) == noise).all()


def test_a_wrong_number_of_frames_leaves_what_was_there(tmp_path, noise):
    folder = export(tmp_path / "wall", noise, "png")
    before = sorted(folder.iterdir())
    picture = Picture("png", 48, "lanczos")
    with pytest.raises(RefilmError, match="30 frames were written of 31"):
        export_frames(folder, [noise], 31, SIZE, FPS, picture, 14, None, "", Tags())
    assert sorted(folder.iterdir()) == before and list(tmp_path.iterdir()) == [folder]
    export(folder, noise[:3], "png")
    assert len(images_of(folder)) == 3


# --- the command


def latents_of(path, model, levels) -> Path:
    """The latents of a film of even grey frames of these levels, whose rate is 24."""
    from tests.integration.test_film_out import grey_film

    frames = grey_film(path.with_suffix(".frames.h5"), levels)
    done(command("encode_film", f"--frames={frames}", f"--model={model}", f"--latents={path}", "--device=cpu"))
    return path


@pytest.mark.parametrize(
    ("levels", "kept"),
    [
        ([0, 50, 100, 150, 200, 150, 100, 50, 0], 8),  # it ends with the frame that it began with
        ([0, 50, 100, 150, 200, 150, 100, 50], 8),  # it does not: nothing is missing
        ([100, 100], 1),
    ],
)
def test_a_loop_has_each_frame_once(tmp_path, grey_model, levels, kept):
    latents = latents_of(tmp_path / "latents.h5", grey_model, levels)
    words = (f"--latents={latents}", f"--model={grey_model}", "--height=48", "--codec=ffv1", "--device=cpu")
    whole, loop = (tmp_path / f"{name}.mkv" for name in ("whole", "loop"))
    done(command("render_export", *words, f"--export={whole}"))
    done(command("render_export", *words, f"--export={loop}", "--loop"))
    seen, looped = decoded(whole, SIZE), decoded(loop, SIZE)
    assert len(seen) == len(levels) and len(looped) == kept and (looped == seen[:kept]).all()
    if kept > 1:
        steps = np.abs(np.diff(np.concatenate([looped, looped[:1]]).astype(float).mean((1, 2, 3))))
        assert steps.min() > 20  # over the seam as well


def test_a_part_of_a_film_is_the_part_of_its_latents(tmp_path, grey_model):
    latents = latents_of(tmp_path / "latents.h5", grey_model, 5 * np.arange(50))
    words = (f"--latents={latents}", f"--model={grey_model}", "--height=48", "--codec=png", "--device=cpu")
    done(command("render_export", *words, f"--export={tmp_path / 'whole'}"))
    printed = done(command("render_export", *words, f"--export={tmp_path / 'part'}", "--start=0.5", "--end=1"))
    assert "12 frames, 64x48, silent" in printed
    assert (images_of(tmp_path / "part") == images_of(tmp_path / "whole")[12:24]).all()
    late = command("render_export", *words, f"--export={tmp_path / 'late'}", "--start=3")
    assert "export 'late': start 0:03 lies after the end of the film" in refused(late)
    with h5py.File(latents, "a") as file:
        del file.attrs["fps"]
    assert "no attribute fps" in refused(command("render_export", *words, f"--export={tmp_path / 'none'}"))
    assert not (tmp_path / "late").exists() and not (tmp_path / "none").exists()
