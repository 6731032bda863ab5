"""Which streams of a file are the film, and what their headers say of them that the frames do not."""

import struct
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from refilm.core.errors import RefilmError
from refilm.frames.store import FrameStore
from refilm.media.bars import parse_crop_box
from refilm.media.damage import movie_seconds
from refilm.media.film_file import FilmFile
from refilm.media.sound import choose_sound
from tests.conftest import command, ffmpeg, make_film, refused
from tests.helpers import done
from tests.numbered_films import (
    BETWEEN,
    beeps_in,
    make_video,
    numbers_in,
    picture,
    rate_in,
    samples_in,
    write_beeps,
    write_film,
)

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "24", "-pix_fmt", "yuv420p")
SIZE = (192, 144)
SLOW, FAST = (1.0, 2.0, 3.0), (0.7, 1.4, 2.1, 2.8)  # seconds of the beeps of two programmes


def extracted(film, folder, *options):
    """The frames file of a film; what was printed is in the file `log` beside it."""
    frames = folder / "frames.h5"
    result = command("extract_frames", f"--source={film}", f"--frames={frames}", "--size=96x64", *options)
    done(result)
    (folder / "log").write_text(result.stderr)
    return frames


def colour_in(frames) -> list[int]:
    """The colour in the middle of a film."""
    with FrameStore(frames) as store:
        return store[len(store) // 2][store.height // 2, store.width // 2].tolist()


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov"])
def test_a_picture_in_a_stream_of_its_own_is_not_the_film(tmp_path, suffix):
    film = write_film(tmp_path / "film.mkv", range(24), 24, *H264, size=SIZE)
    Image.fromarray(np.full((600, 600, 3), (200, 30, 30), np.uint8)).save(tmp_path / "cover.jpg")
    both = tmp_path / f"both.{suffix}"
    ffmpeg("-i", film, "-i", tmp_path / "cover.jpg", "-map", 0, "-map", 1, "-c", "copy", both)
    assert numbers_in(extracted(both, tmp_path)) == list(range(24))


def test_the_pictures_of_an_animated_avif_are_the_film_and_not_its_first_one_alone(tmp_path):
    first, *others = (Image.fromarray(picture(n, *SIZE)) for n in range(8))
    first.save(tmp_path / "film.avif", save_all=True, append_images=others, duration=100, quality=90)
    frames = extracted(tmp_path / "film.avif", tmp_path)
    assert numbers_in(frames) == list(range(8)) and rate_in(frames) == 10


def two_programmes(folder, large_first: bool):
    """A broadcast of a small film that beeps fast and a large one that beeps slowly."""
    small, large = folder / "small.ts", folder / "large.ts"
    for path, size, beeps, number in ((small, (96, 72), FAST, 100), (large, SIZE, SLOW, 0)):
        sound = write_beeps(folder / f"{path.stem}.wav", 4, beeps=beeps)
        write_film(path, range(number, number + 96), 24, *H264, "-c:a", "mp2", size=size, sounds=[sound])
    first, second = (large, small) if large_first else (small, large)
    maps = ("-map", "0:v", "-map", "0:a", "-map", "1:v", "-map", "1:a", "-c", "copy")
    programs = ("-program", "program_num=1:st=0:st=1", "-program", "program_num=2:st=2:st=3")
    ffmpeg("-i", first, "-i", second, *maps, *programs, folder / "both.ts")
    return folder / "both.ts"


@pytest.mark.parametrize("large_first", [True, False])
def test_the_sound_is_of_the_programme_of_the_picture(tmp_path, large_first):
    film = two_programmes(tmp_path, large_first)
    frames = extracted(film, tmp_path)
    assert numbers_in(frames) == list(range(96))
    assert make_video(frames, film, tmp_path / "video.mp4")
    assert np.allclose(beeps_in(samples_in(tmp_path / "video.mp4")), SLOW, atol=0.01)


@pytest.mark.parametrize("numbers", [range(24), range(300)])
def test_a_video_that_continues_in_another_stream_is_one_line(tmp_path, numbers):
    """As of a broadcast whose streams get other identifiers, found at the start or only far into the file."""
    seconds, sizes = len(numbers) / 24, {24: SIZE, 300: (640, 480)}
    parts = []
    for n, identifier in enumerate((256, 512)):
        lossless = ("-qp", 0) if len(numbers) == 300 else ()
        offset = ("-mpegts_start_pid", identifier, "-output_ts_offset", n * seconds)
        film = tmp_path / f"{n}.ts"
        parts.append(write_film(film, numbers, 24, *H264, *lossless, *offset, size=sizes[len(numbers)]))
    whole = tmp_path / "whole.ts"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    result = command("extract_frames", f"--source={whole}", f"--frames={tmp_path / 'x.h5'}", "--size=96x64")
    assert f"whole.ts: the video changes to another stream after {seconds:.1f} s" in refused(result)
    assert len(numbers_in(extracted(whole, tmp_path, f"--end={seconds - 0.5}"))) == len(numbers) - 12


@pytest.mark.parametrize("side", ["stereo", "left"])
def test_sound_that_begins_late_in_a_program_stream_is_found(tmp_path, side):
    """Behind more of the file than ffmpeg looks at by default."""
    sound, film = write_beeps(tmp_path / "beeps.wav", 2, side, (0.5, 1.0)), tmp_path / "film.mpg"
    noise = ("-f", "lavfi", "-i", "nullsrc=size=192x144:rate=25:duration=12,geq=random(1)*255:128:128")
    late = ("-itsoffset", 9, "-i", sound, "-map", 0, "-map", 1)
    ffmpeg(
        *noise,
        *late,
        "-c:v",
        "mpeg2video",
        "-q:v",
        1,
        "-b:v",
        "8M",
        "-maxrate",
        "20M",
        "-bufsize",
        "8M",
        "-c:a",
        "mp2",
        film,
    )
    chosen = choose_sound(FilmFile(film), "auto")
    assert film.stat().st_size > 6e6 and chosen is not None
    assert chosen.layout == ("stereo" if side == "stereo" else "mono")
    frames = extracted(film, tmp_path)
    assert make_video(frames, film, tmp_path / "video.mp4")
    samples = samples_in(tmp_path / "video.mp4")
    assert np.allclose(beeps_in(samples), [9.5, 10], atol=0.03)
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.06)  # and at its own level


def test_the_fourth_byte_of_an_uncompressed_avi_is_not_transparency(tmp_path):
    film = tmp_path / "film.avi"
    write_film(film, range(12), 24, "-vf", "format=rgba,colorchannelmixer=aa=0", "-c:v", "rawvideo", "-pix_fmt", "bgra")
    assert np.allclose(colour_in(extracted(film, tmp_path)), BETWEEN, atol=2)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_colours_that_only_the_container_states_are_used(tmp_path, suffix):
    """Red in BT.709 of a small size, which without tags is taken for BT.601: the green would be 16 levels off."""
    red = "color=0xC83232:size=192x144:rate=24:duration=1,format=gbrp"
    red += ",scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"
    untagged, film = tmp_path / "untagged.mp4", tmp_path / f"film.{suffix}"
    plain = ("-bsf:v", "hevc_metadata=colour_primaries=2:transfer_characteristics=2:matrix_coefficients=2")
    ffmpeg("-f", "lavfi", "-i", red, "-c:v", "libx265", "-x265-params", "lossless=1:log-level=error", *plain, untagged)
    tags = ("-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv")
    ffmpeg("-i", untagged, "-c", "copy", *tags, film)
    assert np.allclose(colour_in(extracted(film, tmp_path)), (200, 50, 50), atol=2)


def test_a_film_that_changes_between_hdr_and_sdr_is_reported(tmp_path):
    grey, parts = "color=gray:size=192x144:rate=24:duration=2,format=yuv420p10le", []
    for n, (transfer, primaries, matrix) in enumerate([("bt709", "bt709", "bt709"), ("smpte2084", "bt2020", "bt2020nc")]):
        tags = ("-color_primaries", primaries, "-color_trc", transfer, "-colorspace", matrix)
        set_tags = f",setparams=color_primaries={primaries}:color_trc={transfer}:colorspace={matrix}"
        codec = ("-c:v", "libx265", "-x265-params", "log-level=error:keyint=6", *tags, "-output_ts_offset", 2 * n)
        parts.append(tmp_path / f"{n}.ts")
        ffmpeg("-f", "lavfi", "-i", grey + set_tags, *codec, parts[n])
    film = tmp_path / "film.ts"
    film.write_bytes(b"".join(part.read_bytes() for part in parts))
    extracted(film, tmp_path)
    assert "are HDR and the others SDR: all are converted as" in (tmp_path / "log").read_text()


def test_a_late_video_whose_end_an_edit_list_cuts_is_whole(tmp_path):
    """ffmpeg adds the beginning of the track to its duration. Two seconds of nothing, four of six of the film."""
    film = tmp_path / "film.mp4"
    sound = write_beeps(tmp_path / "beeps.wav", 6)
    numbered = write_film(tmp_path / "video.mp4", range(144), 24, *H264, size=SIZE)
    ffmpeg("-itsoffset", 2, "-i", numbered, "-i", sound, "-map", 0, "-map", 1, "-c:v", "copy", "-c:a", "aac", film)
    content = bytearray(film.read_bytes())
    header, edits = content.index(b"mvhd") + 4, content.index(b"elst") + 4
    scale, _ = struct.unpack_from(">II", content, header + 12)
    (count,) = struct.unpack_from(">I", content, edits + 4)
    assert count == 2
    struct.pack_into(">I", content, edits + 8 + 12, 4 * scale)
    struct.pack_into(">I", content, header + 16, 6 * scale)
    film.write_bytes(content)
    assert movie_seconds(film) == 6 and movie_seconds(sound) is None
    assert numbers_in(extracted(film, tmp_path)) == list(range(96))


def test_a_name_that_is_not_utf8_is_one_line(tmp_path):
    film = make_film(tmp_path / "film.mp4", seconds=1)
    other = film.rename(tmp_path / "caf\udce9.mp4")
    line = refused(command("extract_frames", f"--source={other}", f"--frames={tmp_path / 'x.h5'}", "--size=64x48"))
    assert "caf\\udce9.mp4': the name of this file is not UTF-8: rename it" in line


@pytest.mark.parametrize("crop", ["10:10:-1:0", "10:10:0:-1", "10:10:55:0", "0:10:0:0", "64:49:0:0"])
def test_a_crop_that_leaves_the_picture_is_refused(crop):
    with pytest.raises(RefilmError, match="not a valid crop of a picture of 64x48"):
        parse_crop_box(crop, 64, 48)


def test_a_still_over_music_is_as_long_as_it_is_shown(tmp_path):
    sound, film = write_beeps(tmp_path / "beeps.wav", 7), tmp_path / "film.mp4"
    write_film(film, [5], Fraction(1, 7), *H264, "-c:a", "aac", sounds=[sound])
    frames = extracted(film, tmp_path)
    assert numbers_in(frames) == [5] and rate_in(frames) == Fraction(1, 7)
