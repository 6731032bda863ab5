"""Films as people have them, whose frames and sound say what is right.

Every kind is made here, so that each user can run these tests. Those of the folder `fieldcases` beside REFILM_TEST_FILMS
are checked in the same way.
"""

import re
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.conftest import command, described, ffmpeg, refused
from tests.helpers import done, through
from tests.numbered_films import (
    BETWEEN,
    LEVEL,
    beeps_in,
    numbers_in,
    picture,
    rate_in,
    samples_in,
    tones_in,
    write_beeps,
    write_film,
)

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "48", "-pix_fmt", "yuv420p")
SIZE = (192, 144)
ROLL_OVER = 2**33 / 90000  # seconds after which the clock of a transport stream begins again
HOURS_10 = 36000


# --- the films


def film_with_beeps(path, count=120, fps=24, *options, every=1.0, side="stereo") -> Path:
    """A film of that many frames that beeps every so many seconds, but not at its beginning."""
    seconds = float(count / Fraction(fps))
    beeps = tuple(np.arange(every, seconds - 0.05, every))
    sounds = [write_beeps(path.with_name(f"{one}.wav"), seconds, one, beeps) for one in side.split()]
    return write_film(path, range(count), fps, *options, size=SIZE, sounds=sounds)


def clock_that_rolls_over(folder):
    options = (*H264, "-c:a", "aac", "-output_ts_offset", f"{ROLL_OVER - 6.4:.6f}")
    return film_with_beeps(folder / "wrap.ts", 240, 24, *options)


def segment_with_leading_pictures(folder):
    """Pictures shown before a key frame that come after it in the file and can be decoded with it alone."""
    leading = "keyint=48:min-keyint=48:scenecut=0:open-gop=0:radl=3:bframes=3:b-adapt=0:log-level=error:pools=none"
    options = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", leading, "-pix_fmt", "yuv420p", "-c:a", "aac")
    options += ("-f", "segment", "-segment_time", 4, "-segment_format", "mpegts")
    film_with_beeps(folder / "segment%d.ts", 141, 24, *options)
    return folder / "segment1.ts"


def mjpeg_at_30(folder):
    options = ("-c:v", "mjpeg", "-q:v", 4, "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le")
    return film_with_beeps(folder / "mjpeg.avi", 60, 30, *options, every=0.8)


def y4m_at_24(folder):
    return write_film(folder / "raw.y4m", range(24), 24, "-pix_fmt", "yuv420p")


def chapters(folder):
    lines = [";FFMETADATA1", "title=A film of three chapters"]
    for title, begin, end in (("one", 0, 4000), ("two", 4000, 8000), ("three", 8000, 10000)):
        lines += ["[CHAPTER]", "TIMEBASE=1/1000", f"START={begin}", f"END={end}", f"title={title}"]
    (folder / "chapters.txt").write_text("\n".join(lines))
    whole = film_with_beeps(folder / "whole.mkv", 240, 24, *H264, "-c:a", "aac")
    ffmpeg("-i", whole, "-i", folder / "chapters.txt", "-map_metadata", 1, "-c", "copy", folder / "chapters.mkv")
    return folder / "chapters.mkv"


def gif_with_a_long_last_frame(folder):
    """One second, six tenths of a second, two seconds."""
    shown = ("-vf", "setpts=if(N\\,N+9\\,0)", "-fps_mode", "passthrough", "-final_delay", 200)
    return write_film(folder / "delays.gif", range(8), 10, *shown, size=SIZE)


def two_mono_tracks(folder, name, codec):
    return film_with_beeps(folder / name, 22, 25, *codec, "-c:a", "pcm_s16le", every=0.48, side="left right")


def slides(folder):
    options = (*H264[:-4], "-g", "6", "-pix_fmt", "yuv420p", "-c:a", "aac")
    return film_with_beeps(folder / "slides.mkv", 6, Fraction(1, 5), *options, every=2.5)


def mpeg4_with_b_frames_in_avi(folder):
    options = ("-c:v", "mpeg4", "-bf", 2, "-q:v", 4, "-vtag", "XVID", "-c:a", "libmp3lame")
    return film_with_beeps(folder / "xvid.avi", 120, 24, *options)


def ten_hours_forward(folder):
    for name, offset in (("one.ts", 0), ("two.ts", HOURS_10 + 5)):
        film_with_beeps(folder / name, 120, 24, *H264, "-c:a", "aac", "-output_ts_offset", offset)
    film = folder / "jump.ts"
    film.write_bytes((folder / "one.ts").read_bytes() + (folder / "two.ts").read_bytes())
    return film


def sound_of_an_unknown_codec(folder):
    film = film_with_beeps(folder / "sound.mp4", 120, 24, *H264, "-c:a", "aac")
    content = film.read_bytes()
    assert content.count(b"mp4a") == content.count(b"esds") == 1  # both name the codec
    film.write_bytes(content.replace(b"mp4a", b"zzzz").replace(b"esds", b"zzzz"))
    return film


def media_box_that_is_too_long(folder):
    film = film_with_beeps(folder / "mdat.mp4", 120, 24, *H264, "-c:a", "aac", "-movflags", "+faststart")
    content = bytearray(film.read_bytes())
    place = content.index(b"mdat") - 4
    size = int.from_bytes(content[place : place + 4], "big")
    assert place + size == len(content)
    content[place : place + 4] = (size + 1000).to_bytes(4, "big")
    film.write_bytes(content)
    return film


def ycgco_colours(folder):
    colours = ("-vf", "zscale=matrix=ycgco:range=limited,format=yuv444p", "-colorspace", "ycgco")
    return write_film(folder / "ycgco.mp4", range(60), 24, *H264[:-2], *colours, size=SIZE)


MPEG2 = ("-c:v", "mpeg2video", "-q:v", 3, "-pix_fmt", "yuv420p")
MADE = {  # name of the case, where there is one in the folder that it is like: how to make it
    "W_wrap.ts": clock_that_rolls_over,
    "L_hls_segment.ts": segment_with_leading_pictures,
    "R_mjpeg30.avi": mjpeg_at_30,
    "R_24.y4m": y4m_at_24,
    "C_chapters.mkv": chapters,
    "E_delays.gif": gif_with_a_long_last_frame,
    "D_two_mono.mxf": lambda folder: two_mono_tracks(folder, "two.mxf", MPEG2),
    "D_two_mono.mov": lambda folder: two_mono_tracks(folder, "two.mov", H264),
    "T_slides.mkv": slides,
    "B_xvid.avi": mpeg4_with_b_frames_in_avi,
    "J_10_hours.ts": ten_hours_forward,
    "U_sound.mp4": sound_of_an_unknown_codec,
    "M_mdat.mp4": media_box_that_is_too_long,
    "Q_ycgco.mp4": ycgco_colours,
}


# --- what is right


def extracted(film, folder, *options):
    """`extract_frames`, with 64x48 frames in frames.h5."""
    return command("extract_frames", f"--source={film}", f"--frames={folder / 'frames.h5'}", "--size=64x48", *options)


def assert_frames(folder, numbers, fps) -> None:
    assert numbers_in(folder / "frames.h5") == list(numbers)
    assert rate_in(folder / "frames.h5") == Fraction(fps)


def assert_beeps(video, seconds, beeps, within=0.02) -> None:
    """The sound lasts so long and beeps at these times, with each side at its level."""
    samples = samples_in(video)
    assert samples.shape[1] / 48000 == pytest.approx(seconds, abs=0.03)
    found = beeps_in(samples)
    assert found == pytest.approx(list(beeps), abs=within)
    for beep in found:
        tones = tones_in(samples, beep)
        assert tones["left"] == pytest.approx((LEVEL, 0), abs=0.06)
        assert tones["right"] == pytest.approx((0, LEVEL), abs=0.06)


def assert_whole(film, folder, model, numbers, fps, beeps, within=0.02) -> None:
    """The film gives these frames at this rate, and its video as many with these beeps."""
    video = through(film, folder, model)
    numbers = list(numbers)
    assert_frames(folder, numbers, fps)
    assert length(video) == pytest.approx(float(len(numbers) / Fraction(fps)), abs=0.03)
    assert_beeps(video, len(numbers) / Fraction(fps), beeps, within)


def length(video) -> float:
    """Seconds that a player shows for a video."""
    hours, minutes, seconds = re.search(r"Duration: (\d+):(\d+):([\d.]+)", described(video)).groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def chapters_of(video) -> list[tuple[float, float, str]]:
    """(start, end, title) of each chapter of a video."""
    found = re.findall(r"Chapter #.*?start ([-\d.]+), end ([\d.]+)\s+Metadata:\s+title\s+: (.*)", described(video))
    return [(float(start), float(end), title) for start, end, title in found]


def check_wrap(film, folder, model):
    assert_whole(film, folder, model, range(240), 24, range(1, 10))


def check_segment(film, folder, model):
    assert_whole(film, folder, model, range(93, 141), 24, (0.12, 1.12))


def check_mjpeg(film, folder, model):
    assert_whole(film, folder, model, range(60), 30, (0.8, 1.6))


def check_y4m(film, folder, _model):
    done(extracted(film, folder))
    assert_frames(folder, range(24), 24)


def check_chapters(film, folder, model):
    video = through(film, folder, model, "--start=4", "--end=9")
    assert_frames(folder, range(96, 216), 24)
    assert_beeps(video, 5, (0, 1, 2, 3, 4))
    assert length(video) == pytest.approx(5, abs=0.03)
    for found, (start, end, title) in zip(chapters_of(video), ((0, 4, "two"), (4, 5, "three")), strict=True):
        assert found == (pytest.approx(start, abs=0.05), pytest.approx(end, abs=0.05), title)
    clip = folder / "clip.mp4"
    words = ("--latents", folder / "latents.h5", "--models", model, "--title=T", "--by=M", f"--source={film}", "--height=48")
    words += ("--device=cpu", f"--clip={clip}", "--end=3")
    done(command("render_comparison", f"--frames={folder / 'frames.h5'}", *words))
    assert length(clip) == pytest.approx(3, abs=0.03)
    assert chapters_of(clip) == []


def check_gif(film, folder, _model):
    done(extracted(film, folder))
    assert_frames(folder, [0] * 10 + [1, 2, 3, 4, 5, 6] + [7] * 20, 10)


def check_two_mono(film, folder, model):
    assert_whole(film, folder, model, range(22), 25, (0.48,))


def check_slides(film, folder, model):
    assert_whole(film, folder, model, range(6), Fraction(1, 5), np.arange(2.5, 29, 2.5))


def check_xvid(film, folder, model):
    """AVI gives the picture no times, so that where its sound lies is what ffmpeg's own decoder says: 0.02 s early."""
    assert_whole(film, folder, model, range(120), 24, np.arange(1, 5) - 0.02, within=0.01)


def check_jump(film, folder, model):
    tried = extracted(film, folder)
    if tried.returncode:
        assert "clock" in refused(tried)
    else:
        assert_whole(film, folder, model, range(240), 24, (1, 2, 3, 4, 6, 7, 8, 9))


def check_unknown_sound(film, folder, model):
    tried = extracted(film, folder)
    if tried.returncode:
        assert re.search("audio.*none", refused(tried))
    else:
        lines = (tried.stdout + tried.stderr).splitlines()
        assert len([line for line in lines if "silent" in line]) == 1
    done(extracted(film, folder, "--audio=none"))
    assert_frames(folder, range(120), 24)
    latents, video, decoding = folder / "latents.h5", folder / "video.mp4", (f"--model={model}", "--device=cpu")
    done(command("encode_film", f"--frames={folder / 'frames.h5'}", f"--latents={latents}", *decoding))
    words = (f"--latents={latents}", f"--source={film}", f"--video={video}", "--audio=none")
    done(command("render_video", *words, *decoding))
    assert "Audio" not in described(video)


def check_mdat(film, folder, model):
    assert_whole(film, folder, model, range(120), 24, range(1, 5))


def check_ycgco(film, folder, _model):
    tried = extracted(film, folder)
    if tried.returncode:
        assert re.search("ycgco.*convert", refused(tried), re.IGNORECASE)
        return
    assert_frames(folder, range(60), 24)
    with h5py.File(folder / "frames.h5") as file:
        shown = file["frames"][5].astype(int)
    true = picture(5, 64, 48).astype(int)
    assert np.abs(shown - true).mean() < 12
    assert shown[0, 0] == pytest.approx(BETWEEN, abs=12)


CHECKS = {
    "W_wrap.ts": check_wrap,
    "L_hls_segment.ts": check_segment,
    "R_mjpeg30.avi": check_mjpeg,
    "R_24.y4m": check_y4m,
    "C_chapters.mkv": check_chapters,
    "E_delays.gif": check_gif,
    "D_two_mono.mxf": check_two_mono,
    "D_two_mono.mov": check_two_mono,
    "T_slides.mkv": check_slides,
    "B_xvid.avi": check_xvid,
    "J_10_hours.ts": check_jump,
    "U_sound.mp4": check_unknown_sound,
    "M_mdat.mp4": check_mdat,
    "Q_ycgco.mp4": check_ycgco,
}


@pytest.mark.parametrize("name", MADE)
def test_made_cases_are_right(tmp_path, grey_model, name):
    CHECKS[name](MADE[name](tmp_path), tmp_path, grey_model)


@pytest.mark.parametrize("name", [name for name in CHECKS if name != "D_two_mono.mov"])
def test_field_cases_are_right(tmp_path, grey_model, field_cases, name):
    CHECKS[name](field_cases / name, tmp_path, grey_model)


def test_every_field_case_is_tested(field_cases):
    files = {path.name for path in field_cases.iterdir() if path.suffix not in (".tsv", ".py")}
    assert files == CHECKS.keys() - {"D_two_mono.mov"}
