"""Films become frames: every one, in order, in the right colours, of the right part; or one line says why not."""

import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from refilm.media.bars import Box, crop_to_aspect, picture_box
from refilm.media.ffmpeg import executable
from refilm.media.film_file import FilmFile
from refilm.media.frame_rate import frame_rate
from tests.conftest import command, decoded, ffmpeg, make_film, refused, runs
from tests.helpers import extract, probe, wait_for

# --- counts and rates


@pytest.mark.parametrize("fps", ["24", "25", "24000/1001", "30000/1001", "50", "10"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_every_frame_of_a_constant_rate_film_in_order(tmp_path, fps, suffix):
    film = make_film(tmp_path / f"film{suffix}", seconds=3, fps=fps, codec=("-c:v", "libx264", "-g", "30", "-bf", "2"))
    expected = decoded(film, (64, 48), "scale=64:48:flags=area+accurate_rnd+full_chroma_int:in_range=tv")
    frames, attributes = extract(film, tmp_path, crop="none")
    assert len(frames) == len(expected) == round(3 * Fraction(fps)) and attributes["fps"] == str(Fraction(fps))
    assert np.array_equal(frames, expected)


@pytest.mark.parametrize(
    ("start", "end", "first", "count"),
    [("1", "2", 24, 24), ("0.5", None, 12, 60), (None, "0.25", 0, 6), ("00:00:01.02", "99", 25, 47), ("2.99", None, 72, 0)],
)
def test_start_and_end_are_exact_to_the_frame(tmp_path, start, end, first, count):
    film = make_film(tmp_path / "film.mkv", seconds=3, codec=("-c:v", "libx264", "-g", "30", "-bf", "2"))
    options = {key: value for key, value in (("start", start), ("end", end)) if value}
    if count == 0:
        words = [f"--{key}={value}" for key, value in options.items()]
        done = command("extract_frames", f"--source={film}", f"--frames={tmp_path / 'x.h5'}", "--size=64x48", *words)
        assert "lies after the end of the film" in refused(done)
        return
    whole, _ = extract(film, tmp_path, name="whole")
    part, attributes = extract(film, tmp_path, name="part", **options)
    assert len(part) == count and np.array_equal(part, whole[first : first + count])
    assert float(Fraction(attributes["start_time"])) == pytest.approx(first / 24, abs=0.003)


def test_a_film_whose_clock_starts_late_keeps_all_frames(tmp_path):
    film = make_film(tmp_path / "plain.mkv", seconds=2)
    ffmpeg("-i", film, "-c", "copy", "-output_ts_offset", "7.5", tmp_path / "late.ts")
    frames, attributes = extract(tmp_path / "late.ts", tmp_path)
    assert len(frames) == 48 and float(Fraction(attributes["start_time"])) > 7


@pytest.mark.parametrize("suffix", [".ts", ".mpg"])
def test_a_part_of_a_broadcast_is_exact_too(tmp_path, suffix):
    """Transport and program streams begin anywhere on their clock, and seeking in them lands late."""
    film = tmp_path / f"film{suffix}"
    codec = ("-c:v", "mpeg2video", "-q:v", "2", "-g", "25", "-bf", "2")
    make_film(film, seconds=4, fps="25", codec=codec)
    whole, attributes = extract(film, tmp_path, name="whole")
    part, later = extract(film, tmp_path, name="part", start=1, end=3)
    assert len(whole) == 100 and np.array_equal(part, whole[25:75])
    assert float(Fraction(later["start_time"])) == pytest.approx(float(Fraction(attributes["start_time"])) + 1, abs=0.002)


def test_a_recording_that_begins_inside_a_group_of_pictures(tmp_path):
    """Frames in front of the first key frame cannot be decoded, and do not count."""
    whole = make_film(tmp_path / "whole.ts", seconds=4, fps="25", codec=("-c:v", "mpeg2video", "-g", "25", "-bf", "2"))
    cut = tmp_path / "cut.ts"
    cut.write_bytes(whole.read_bytes()[188 * (whole.stat().st_size // 188 // 3) :])
    frames, _ = extract(cut, tmp_path)
    assert 40 < len(frames) < 75


def test_recordings_joined_end_to_end_are_refused(tmp_path):
    one = make_film(tmp_path / "one.ts", seconds=3).read_bytes()
    (tmp_path / "both.ts").write_bytes(one + one)
    done = command("extract_frames", f"--source={tmp_path / 'both.ts'}", f"--frames={tmp_path / 'x.h5'}", "--size=64x48")
    assert "the file's clock restarts after" in refused(done)


def test_the_largest_video_stream_is_used(tmp_path):
    film = tmp_path / "two.mp4"
    sources = ("-f", "lavfi", "-i", "testsrc=size=64x48:duration=1", "-f", "lavfi", "-i", "testsrc2=size=96x64:duration=1")
    ffmpeg(*sources, "-map", "0:v", "-map", "1:v", "-c:v", "libx264", film)
    assert (probe(film).width, FilmFile(film).video_stream.index) == (96, 1)


def test_ffmpeg_describes_a_film_only_once(tmp_path, film):
    """A stand-in for ffmpeg that notes its arguments: a description is a run without an output."""
    log, stand_in = tmp_path / "runs.txt", tmp_path / "ffmpeg"
    stand_in.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec "{executable()}" "$@"\n')
    stand_in.chmod(0o755)
    words = (f"--source={film}", f"--frames={tmp_path / 'x.h5'}", "--size=64x48")
    done = command("extract_frames", *words, environment={"REFILM_FFMPEG": str(stand_in)})
    assert done.returncode == 0, done.stderr
    assert sum(run.endswith(f"-i file:{film}") for run in log.read_text().splitlines()) == 1


@pytest.mark.parametrize("offset", ["0", "1.4"])
@pytest.mark.parametrize("start", [None, 1])
def test_a_variable_rate_film_whose_clock_starts_late_is_complete(tmp_path, offset, start):
    film, late = tmp_path / "vfr.mkv", tmp_path / "late.mkv"
    keep = "select='lt(t,1)+gte(t,2)+not(mod(n,2))'"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=24:duration=3", "-vf", keep, "-fps_mode", "vfr", "-crf", "1", film)
    ffmpeg("-i", film, "-c", "copy", "-output_ts_offset", offset, late)
    steady, _ = extract(make_film(tmp_path / "steady.mp4", seconds=3), tmp_path, name="steady")
    frames, _ = extract(late, tmp_path, **({"start": start} if start else {}))
    first = 24 * (start or 0)
    assert len(frames) == 72 - first
    for n in (24, 40, 50, 71):
        assert np.abs(frames[n - first].astype(int) - steady[n]).mean() < 4, n


def test_one_lost_frame_does_not_change_the_rate():
    for fps in (Fraction(60), Fraction(60000, 1001), Fraction(24), Fraction(24000, 1001)):
        times = [round(1000 * n / fps) for n in range(360) if n != 100]
        assert frame_rate(times, Fraction(1, 1000), fps) == (fps, False)


def test_a_step_that_receives_sigterm_leaves_nothing_behind(tmp_path):
    film = make_film(tmp_path / "film.mkv", seconds=60, size="1280x720", fps="50")
    words = [f"--source={film}", f"--frames={tmp_path / 'out' / 'film.h5'}", "--size=256x144"]
    process = subprocess.Popen([sys.executable, "-m", "refilm.extract_frames", *words], stderr=subprocess.PIPE)
    wait_for(lambda: list((tmp_path / "out").glob(".film.part*")), failed=lambda: process.poll() is not None)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    started = children.read_text().split() if children.exists() else []
    process.terminate()
    _, stderr = process.communicate()
    assert process.returncode == 75 and b"no half-written file was left" in stderr
    assert list((tmp_path / "out").iterdir()) == []
    assert not any(runs(child) for child in started)


def test_a_variable_rate_film_becomes_constant_at_its_own_rate(tmp_path):
    """One second at 24, one at 12, one at 24 frames/s: 60 pictures are 72 frames, each shown at its time."""
    film = tmp_path / "vfr.mp4"
    keep = "select='lt(t,1)+gte(t,2)+not(mod(n,2))'"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=24:duration=3", "-vf", keep, "-fps_mode", "vfr", film)
    frames, attributes = extract(film, tmp_path)
    assert not attributes["constant_rate"] and attributes["fps"] == "24"
    steady, _ = extract(make_film(tmp_path / "steady.mp4", seconds=3), tmp_path, name="steady")
    assert len(frames) == 72
    for n in (0, 10, 23, 26, 40, 50, 71):
        assert np.abs(frames[n].astype(int) - steady[n]).mean() < 4, n


@pytest.mark.parametrize("fps", [Fraction(24), Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60)])
@pytest.mark.parametrize("tick", [Fraction(1, 1000), Fraction(1, 90000)])
def test_the_rate_is_found_through_the_rounding_of_the_files_clock(fps, tick):
    times = [round((n / fps + 3) / tick) for n in range(500)]
    assert frame_rate(times, tick, Fraction(25)) == (fps, True)


def test_a_hole_in_the_film_is_a_variable_rate():
    times = [n for n in range(100) if n not in (40, 41, 42)]
    assert frame_rate(times, Fraction(1, 24), Fraction(24)) == (Fraction(24), False)


def test_one_hole_on_a_coarse_clock_does_not_change_the_rate():
    """A film whose clock ticks once a frame, as an AVI's does, with its second frame missing."""
    assert frame_rate([0, *range(2, 145)], Fraction(1, 24), Fraction(24)) == (Fraction(24), False)


def test_the_rate_of_a_film_of_two_rates_is_the_faster_one():
    """Two thirds of the time 8 frames/s, one third 24, on a clock of milliseconds: no frame is lost."""
    moments = [n / 8 for n in range(160)] + [20 + n / 24 for n in range(480)] + [40 + n / 8 for n in range(160)]
    assert frame_rate([round(1000 * t) for t in moments], Fraction(1, 1000), Fraction(24)) == (Fraction(24), False)


# --- geometry


@pytest.mark.parametrize("width,height,box", [(64, 36, None), (64, 48, Box(0, 6, 64, 36)), (96, 48, Box(16, 6, 64, 36))])
def test_black_bars_are_removed(tmp_path, width, height, box):
    film = tmp_path / "film.mp4"
    picture = "testsrc2=size=64x36:rate=24:duration=2,drawbox=color=white:t=2"
    ffmpeg("-f", "lavfi", "-i", f"{picture},pad={width}:{height}:(ow-iw)/2:(oh-ih)/2", "-crf", "10", film)
    assert probe(film).box == (box or Box(0, 0, 64, 36))


def test_dark_scenes_titles_and_fades_do_not_move_the_bars():
    whole = [(0, 639, 60, 299)] * 40
    dark = [(200, 400, 150, 250)] * 30 + [(100, 300, 100, 299)] * 30
    glitch = [(0, 639, 0, 359)] * 2
    black = [(639, 0, 359, 0)] * 50
    assert picture_box(whole + dark + glitch + black, 640, 360) == Box(0, 60, 640, 240)


def test_an_animation_on_black_has_no_bars():
    """An abstract film reaches another distance from the border in every frame."""
    edges = [(20 + n % 60, 620 - n % 70, 10 + n % 50, 350 - n % 45) for n in range(400)]
    assert picture_box(edges, 640, 360) == Box(0, 0, 640, 360)


def test_a_black_film_is_not_cropped():
    assert picture_box([(639, 0, 359, 0)] * 9, 640, 360) == Box(0, 0, 640, 360)


@pytest.mark.parametrize(
    ("box", "aspect", "size", "filled"),
    [
        (Box(0, 0, 640, 360), Fraction(1), (256, 144), Box(0, 0, 640, 360)),
        (Box(0, 0, 640, 272), Fraction(1), (256, 144), Box(78, 0, 484, 272)),
        (Box(0, 0, 480, 480), Fraction(1), (256, 144), Box(0, 104, 480, 270)),
        (Box(0, 0, 720, 576), Fraction(64, 45), (256, 144), Box(0, 0, 720, 576)),
        (Box(10, 20, 1, 1), Fraction(1), (256, 144), Box(10, 20, 1, 1)),
    ],
)
def test_the_middle_of_the_picture_fills_the_frame(box, aspect, size, filled):
    assert crop_to_aspect(box, aspect, *size) == filled


def test_crop_pad_and_stretch(tmp_path):
    """A white square picture in a frame twice as wide: cut, between black, or bent."""
    film = tmp_path / "square.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=white:size=64x64:rate=24:duration=1", film)
    grey = {fit: extract(film, tmp_path, "64x32", fit, fit=fit)[0][0].mean(2) for fit in ("crop", "pad", "stretch")}
    assert grey["crop"].min() > 250 and grey["stretch"].min() > 250
    assert grey["pad"][:, 17:47].min() > 250 and grey["pad"][:, :15].max() < 5 and grey["pad"][:, 49:].max() < 5


def test_the_sample_aspect_ratio_is_applied(tmp_path):
    """32x48 pixels twice as wide as high are a picture of 64x48: the whole of it fills a frame of that shape."""
    film = tmp_path / "anamorphic.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=32x48:rate=24:duration=1", "-vf", "setsar=2", film)
    _, attributes = extract(film, tmp_path, "64x48")
    assert attributes["crop"] == "32:48:0:0"


# --- colour


@pytest.mark.parametrize("matrix,size", [("bt709", "1280x720"), ("smpte170m", "640x480")])
@pytest.mark.parametrize("colour", ["0x808080", "0xC83232", "0x32C832", "0x3232C8", "0x101010", "0xF0F0F0"])
@pytest.mark.parametrize("tagged", [True, False])
def test_colours_match_the_film(tmp_path, matrix, size, colour, tagged):
    film = tmp_path / "film.mp4"
    scale = (
        f"scale=out_color_matrix={'bt709' if matrix == 'bt709' else 'bt601'}:out_range=tv:flags=accurate_rnd,format=yuv444p"
    )
    tags = f",setparams=colorspace={matrix}:range=tv" if tagged else ",setparams=colorspace=unknown:range=unknown"
    source = f"color=c={colour}:size={size}:rate=24:duration=0.5,format=rgb24,{scale}{tags}"
    ffmpeg("-f", "lavfi", "-i", source, "-c:v", "libx264", "-crf", "1", film)
    frames, attributes = extract(film, tmp_path)
    wanted = np.array([int(colour[i : i + 2], 16) for i in (2, 4, 6)])
    assert np.abs(frames.astype(int) - wanted).max() <= 2
    assert attributes["matrix"] == ("bt709" if matrix == "bt709" else "bt601")


def test_scaling_is_the_mean_of_the_area(tmp_path):
    """Against an exact box average: 45 dB and no shift. ffmpeg's default flags are 1.25 grey levels off."""
    film = tmp_path / "film.mkv"
    picture = "mandelbrot=size=256x192:rate=24,eq=contrast=0.7:saturation=0.7,noise=alls=10:allf=t"
    ffmpeg("-f", "lavfi", "-i", picture, "-t", "0.5", "-pix_fmt", "yuv444p", "-crf", "1", film)
    exact = "scale=in_color_matrix=bt601:in_range=tv:flags=accurate_rnd+full_chroma_int,format=rgb24"
    big = decoded(film, (256, 192), exact).astype(float)
    expected = big.reshape(len(big), 48, 4, 64, 4, 3).mean((2, 4))
    frames, _ = extract(film, tmp_path)
    difference = frames - expected
    assert 10 * np.log10(255**2 / np.square(difference).mean()) > 45 and abs(difference.mean()) < 0.1


# --- files that are not films


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "there is no such file: put the film there"),
        (lambda path: path.mkdir(), "this is not a file"),
        (lambda path: path.write_bytes(b""), r"the file is empty \(0 bytes\)"),
        (lambda path: path.write_bytes(b"no film at all" * 1000), "cannot be read as a film"),
        (lambda path: ffmpeg("-f", "lavfi", "-i", "sine=duration=1", path), "this file has no video, only sound"),
    ],
)
def test_files_that_are_not_films_are_refused_in_one_line(tmp_path, make, message):
    film = tmp_path / "film.mp4"
    make(film)
    done = command("extract_frames", f"--source={film}", f"--frames={tmp_path / 'out' / 'x.h5'}", "--size=64x48")
    line = refused(done)
    assert str(film) in line and re.search(message, line)
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_a_truncated_film_is_refused_and_the_previous_frames_stay(tmp_path):
    whole = make_film(
        tmp_path / "whole.mp4", seconds=4, size="320x240", codec=("-c:v", "libx264", "-movflags", "+faststart")
    )
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    frames = tmp_path / "frames.h5"
    frames.write_bytes(b"what was there")
    done = command("extract_frames", f"--source={cut}", f"--frames={frames}", "--size=64x48")
    assert str(cut) in refused(done)
    assert frames.read_bytes() == b"what was there" and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "name", ["-leading dash.mp4", 'it\'s "quoted".mp4', "Стачка 罷工 🎬.mp4", "a%d:b,c[0];d.mp4", "new\nline.mp4"]
)
def test_unusual_file_names(tmp_path, name):
    film = make_film(tmp_path / "film.mp4", seconds=1).rename(tmp_path / name)
    frames, attributes = extract(film, tmp_path)
    assert len(frames) == 24 and attributes["source"] == str(film)


def test_a_playlist_opens_no_address(tmp_path):
    """A film file that names others: through any protocol but `file` nothing is opened."""
    playlist = tmp_path / "film.m3u8"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/segment.ts\n#EXT-X-ENDLIST\n")
    done = command("extract_frames", f"--source={playlist}", f"--frames={tmp_path / 'x.h5'}", "--size=64x48")
    assert "refilm: " in refused(done)


def test_an_ffmpeg_that_does_not_exist_is_refused(tmp_path, film):
    words = (f"--source={film}", f"--frames={tmp_path / 'x.h5'}", "--size=64x48")
    done = command("extract_frames", *words, environment={"REFILM_FFMPEG": "no-such-ffmpeg"})
    assert "REFILM_FFMPEG: 'no-such-ffmpeg' is not an executable" in refused(done)


@pytest.mark.parametrize(
    ("name", "count", "fps"), [("sintel_trailer_720p.mp4", 1253, "24"), ("flower_timelapse_cc0.mp4", 150, "30000/1001")]
)
def test_real_films_give_all_their_frames(tmp_path, real_films, name, count, fps):
    frames, attributes = extract(real_films / name, tmp_path, "256x144", name)
    assert (len(frames), attributes["fps"]) == (count, fps)


def test_black_bars_of_a_real_film(real_films):
    assert probe(real_films / "sintel_trailer_720p.mp4").box == Box(0, 88, 1280, 544)
