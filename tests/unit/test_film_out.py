"""Frames become films again: as many, in the right colours, and the sound where it was."""

import re
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from refilm.core.errors import RefilmError
from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import FrameStore, write_frames_from
from refilm.media.encode import encode_video
from refilm.media.film_file import FilmFile
from refilm.media.probe import probe_video
from refilm.rendering.comparison import Arrangement
from tests.conftest import command, decoded, described, ffmpeg, heard, make_film, refused

SIZE = (64, 48)


def through(film, folder, *, extract=(), compare=()) -> tuple:
    """A film extracted, assembled and compared with itself, as if a model rebuilt it perfectly: (video, clip)."""
    frames, video, clip = folder / "frames.h5", folder / "video.mp4", folder / "clip.mp4"
    titles = ("--title=T", "--by=M")
    for module, words in (
        ("extract_frames", (f"--source={film}", f"--frames={frames}", "--size=64x48", *extract)),
        ("assemble_video", (f"--reconstruction={frames}", f"--source={film}", f"--video={video}")),
        (
            "render_comparison",
            (
                *(f"--frames={frames}", "--reconstructions", frames, f"--source={film}", f"--clip={clip}", "--height=48"),
                *titles,
                *compare,
            ),
        ),
    ):
        done = command(module, *words)
        assert done.returncode == 0, done.stderr
    return video, clip


# --- picture


@pytest.mark.parametrize("fps", [Fraction(120000, 1001), Fraction(24000, 1001), Fraction(15), Fraction(25, 2)])
def test_any_rate_is_kept_exactly(tmp_path, fps):
    path, count = tmp_path / "rate.mp4", 240
    frames = np.random.default_rng(0).integers(0, 256, (count, 48, 64, 3), dtype=np.uint8)
    encode_video(path, [frames], count, SIZE, fps, 30, None, "rate")
    picture = probe_video(FilmFile(path))
    assert (picture.fps, picture.frames, picture.constant) == (fps, count, True)


@pytest.mark.parametrize("fps", ["24", "25", "30000/1001", "24000/1001"])
def test_as_many_frames_come_out_as_went_in_at_the_same_rate(tmp_path, fps):
    video, _ = through(make_film(tmp_path / "film.mp4", seconds=2, fps=fps), tmp_path)
    assert len(decoded(video, SIZE)) == round(2 * Fraction(fps))
    said = described(video)
    assert {"24": "24 fps", "25": "25 fps", "30000/1001": "29.97 fps", "24000/1001": "23.98 fps"}[fps] in said
    assert "h264" in said and "yuv420p(tv, bt709, progressive)" in said


def test_the_index_stands_before_the_picture_so_that_a_browser_begins_at_once(tmp_path):
    video, _ = through(make_film(tmp_path / "film.mp4", seconds=1), tmp_path)
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


def test_what_ffmpeg_cannot_do_is_told_in_its_own_words(tmp_path):
    with pytest.raises(RefilmError, match="not divisible by 2"):
        encode_video(tmp_path / "x.mp4", [np.zeros((5, 47, 63, 3), np.uint8)], 5, (63, 47), Fraction(24), 14, None, "x")
    assert list(tmp_path.iterdir()) == []


# --- sound


def flash_and_beep(path, seconds, fps, *, late=None):
    """Every five seconds, from the second on, a fifth of a second of white with a tone; else black and silence."""
    now = "between(mod(t,5),1,1.2)"
    picture = f"color=black:size=64x48:rate={fps}:duration={seconds},drawbox=color=white:t=fill:enable='{now}'"
    sound = f"aevalsrc='if({now},0.8*sin(2*PI*1000*t),0)':sample_rate=48000:duration={seconds}"
    shift = ["-itsoffset", str(late)] if late else []
    ffmpeg(
        "-f", "lavfi", "-i", picture, *shift, "-f", "lavfi", "-i", sound, "-pix_fmt", "yuv420p", "-preset", "ultrafast", path
    )
    return path


def onsets(video, fps, size=SIZE, tile=None) -> tuple[list[float], list[float]]:
    """Seconds at which the picture turns white, and at which the tone begins."""
    grey = decoded(video, size)[:, slice(None), tile or slice(None)].mean((1, 2, 3))
    white = grey > grey.min() + 0.5 * (grey.max() - grey.min())
    flashes = (np.flatnonzero(white[1:] & ~white[:-1]) + 1) / float(fps)
    sound = np.abs(heard(video))
    loud = np.array([chunk.max() for chunk in np.array_split(sound, len(sound) // 16)]) > 0.1
    heard_at = np.flatnonzero(loud)
    beeps = heard_at[np.diff(heard_at, prepend=-(10**6)) > 1000] * 16 / 8000
    return list(flashes), list(beeps)


@pytest.mark.parametrize("fps", ["24", "25", "30000/1001"])
def test_picture_and_sound_stay_together_for_three_minutes(tmp_path, fps):
    video, _ = through(flash_and_beep(tmp_path / "film.mkv", 180, fps), tmp_path)
    rate = Fraction(fps)
    flashes, beeps = onsets(video, rate)
    moments = range(1, 180, 5)  # each is white from the first frame on that is not before it
    assert flashes == pytest.approx([float(-(-moment * rate // 1) / rate) for moment in moments])
    assert len(beeps) == 36 and max(abs(beep - moment) for beep, moment in zip(beeps, moments, strict=True)) < 0.5 / rate


@pytest.mark.parametrize("late", [0.7, -0.7])
def test_a_soundtrack_that_begins_late_or_early_stays_where_it_was(tmp_path, late):
    """In this film each beep is heard 0.7 s after, or before, its flash: so it is in the result."""
    video, _ = through(flash_and_beep(tmp_path / "film.mkv", 20, "25", late=late), tmp_path)
    flashes, beeps = onsets(video, 25)
    assert len(flashes) == len(beeps) == 4
    assert all(abs(beep - flash - late) < 1 / 25 for flash, beep in zip(flashes, beeps, strict=True))


def test_a_part_of_a_film_and_a_part_of_that_have_their_own_sound(tmp_path):
    """The film from 00:03 on, and of it the clip from 6.5 s to 14 s: three flashes, then one or two, each with its beep."""
    film = flash_and_beep(tmp_path / "film.mkv", 30, "24")
    video, clip = through(film, tmp_path, extract=("--start=3", "--end=20"), compare=("--start=6.5", "--end=14"))
    flashes, beeps = onsets(video, 24)
    assert flashes == pytest.approx([3, 8, 13], abs=1 / 24) and beeps == pytest.approx(flashes, abs=1 / 24)
    size = canvas_of(clip)
    flashes, beeps = onsets(clip, 24, size)
    assert flashes == pytest.approx([1.5, 6.5], abs=1 / 24) and beeps == pytest.approx(flashes, abs=1 / 24)
    assert len(decoded(clip, size)) == 180


@pytest.mark.parametrize("suffix", [".mpg", ".ts"])
def test_films_whose_clock_begins_anywhere_stay_in_step(tmp_path, suffix):
    flash_and_beep(tmp_path / "film.mkv", 12, "25")
    film = tmp_path / f"film{suffix}"
    ffmpeg("-i", tmp_path / "film.mkv", "-c:v", "mpeg2video", "-q:v", "2", "-c:a", "mp2", film)
    video, _ = through(film, tmp_path)
    flashes, beeps = onsets(video, 25)
    assert len(flashes) == len(beeps) == 3
    assert all(abs(flash - beep) < 1 / 25 for flash, beep in zip(flashes, beeps, strict=True))


def test_sound_lasts_as_long_as_the_picture(tmp_path):
    film = tmp_path / "film.mkv"
    tone, picture = "sine=440:duration=1", "testsrc2=size=64x48:rate=24:duration=3"
    ffmpeg("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone, film)
    video, _ = through(film, tmp_path)
    assert len(heard(video)) / 8000 == pytest.approx(3, abs=0.05)
    assert np.abs(heard(video)[: 8000 - 800]).max() > 0.05 > np.abs(heard(video)[8000 + 800 :]).max() * 10


def test_a_silent_film_stays_silent(tmp_path):
    video, clip = through(make_film(tmp_path / "film.mp4", sound=False), tmp_path)
    assert "Audio" not in described(video) and "Audio" not in described(clip)


# --- comparison


def canvas_of(clip) -> tuple[int, int]:
    found = re.search(r"(\d+)x(\d+)[, ]", described(clip).split("Video:")[1])
    return int(found[1]), int(found[2])


@pytest.mark.parametrize("layout,count", [("row", 2), ("column", 2), ("grid", 4)])
def test_a_comparison_shows_the_same_frame_of_every_film(tmp_path, film, layout, count):
    """Films of one grey a frame, each shifted by its own amount: the clip's tiles show it at every moment."""
    files = []
    for n in range(count):
        levels = (np.arange(20) * 8 + 20 * n).astype(np.uint8)
        frames = np.ones((20, 48, 64, 3), np.uint8) * levels[:, None, None, None]
        files.append(tmp_path / f"{n}.h5")
        write_frames_from(files[-1], 64, 48, FrameMetadata(Fraction(24)), [frames])
    clip = tmp_path / "clip.mp4"
    words = (f"--frames={files[0]}", "--reconstructions", *files[1:], "--title=T", *["--by=M"] * (count - 1))
    words += (f"--source={film}", f"--clip={clip}", f"--layout={layout}", "--height=96", "--crf=1")
    assert (done := command("render_comparison", *words)).returncode == 0, done.stderr
    arrangement = Arrangement(count, layout, 128, 96)
    seen = decoded(clip, arrangement.size, "scale=in_color_matrix=bt709:in_range=tv:flags=accurate_rnd+full_chroma_int")
    assert len(seen) == 20
    for n in range(count):
        left, top = arrangement.place(n)
        tile = seen[:, top + 4 : top + 92, left + 4 : left + 124].astype(int)
        assert np.abs(tile - (np.arange(20) * 8 + 20 * n)[:, None, None, None]).max() <= 3
    assert not list(tmp_path.glob("*.png"))


def test_a_comparison_past_the_end_is_refused(tmp_path, frames_file, film):
    words = (f"--frames={frames_file}", "--reconstructions", frames_file, "--title=T", "--by=M", f"--source={film}")
    done = command("render_comparison", *words, f"--clip={tmp_path / 'late.mp4'}", "--start=5")
    assert "comparison 'late': nothing lies between start 0:05 and end of the film: the film lasts 0:02" in refused(done)


def test_stills_and_measures_of_a_perfect_reconstruction(tmp_path, frames_file):
    sheet, table = tmp_path / "sheet.png", tmp_path / "table.csv"
    both = (f"--frames={frames_file}", f"--reconstruction={frames_file}")
    assert command("render_stills", *both, "--title=T", "--by=M", f"--sheet={sheet}").returncode == 0
    assert command("measure_film", *both, f"--metrics={table}").returncode == 0
    rows = pd.read_csv(table)
    with FrameStore(frames_file) as film:
        assert list(rows["frame"]) == list(range(len(film)))
        assert rows["seconds"].iloc[-1] == pytest.approx((len(film) - 1) / 24, abs=1e-3)
        moved = np.abs(film[32].astype(float) - film[31]).mean()
    assert (rows["ssim"] > 0.9999).all() and rows["temporal_error"].dropna().max() == 0
    assert rows["film_motion"].isna().sum() == 1 and rows["film_motion"][32] == pytest.approx(moved, abs=1e-3)
