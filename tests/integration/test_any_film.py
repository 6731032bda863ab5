"""Films of all kinds: interlaced, high dynamic range, unusual sizes, damaged, hostile. Right frames, or one line."""

import http.server
import re
import signal
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import pytest

from refilm.frames.store import FrameStore
from refilm.media import ffmpeg_log
from refilm.media.bars import Box
from refilm.media.ffmpeg import executable
from tests.conftest import command, ffmpeg, make_film, refused, runs
from tests.fuzz import extract as extract_here
from tests.helpers import extract, probe, wait_for

EXACT = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "1")


def refusal(film, folder, **options) -> str:
    """The one line by which a film is refused; nothing is left."""
    words = [f"--{key}={value}" for key, value in options.items()]
    out = folder / "out"
    done = command("extract_frames", f"--source={film}", f"--frames={out / 'x.h5'}", "--size=64x48", *words)
    line = refused(done)
    assert not out.exists() or list(out.iterdir()) == []
    return line


def difference(one, other) -> float:
    """Mean difference in grey levels."""
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


# --- interlaced films


def film_of_fields(path, order="tff", tagged=True, rate="60000/1001", codec=("-c:v", "ffv1")) -> Path:
    """A white bar wanders over grey, 2.5 pixels each field: 30 frames of 60 fields."""
    bar = f"color=gray:size=160x480:rate={rate}:duration=1,format=gbrp[g];color=white:size=16x480:rate={rate}:duration=1"
    mode = "interleave_top" if order == "tff" else "interleave_bottom"
    moved = f"{bar},format=gbrp[b];[g][b]overlay=x=n*2.5:format=gbrp,format=yuv420p,tinterlace={mode}"
    flags = ",setfield=" + (order if tagged else "prog")
    ffmpeg("-filter_complex", moved + flags, *codec, path)
    return path


def bar_centres(frames) -> np.ndarray:
    """Where the bar is in each frame, in pixels of the film."""
    bright = np.clip(frames[..., 0].astype(float).mean(1) - 140, 0, None)
    return (bright * np.arange(bright.shape[1])).sum(1) / bright.sum(1) * 160 / bright.shape[1]


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize("tagged", [True, False])
def test_interlaced_films_are_deinterlaced(tmp_path, order, tagged):
    """No combed frame is left: each row of a frame shows the bar at one place, and it moves evenly."""
    film = film_of_fields(tmp_path / "film.mkv", order, tagged)
    frames, attributes = extract(film, tmp_path, "160x112", crop="none", fit="stretch")
    combed, _ = extract(film, tmp_path, "160x112", "combed", crop="none", fit="stretch", deinterlace="off")
    assert len(frames) == len(combed) == 30 and attributes["field_order"] == order and attributes["fps"] == "30000/1001"
    assert np.allclose(np.diff(bar_centres(frames)[2:26]), 5, atol=0.7)
    comb = lambda film: np.abs(np.diff(film[5:25, 20:90].astype(float), axis=1)).mean()  # noqa: E731
    assert comb(frames) < 0.25 * comb(combed)


@pytest.mark.parametrize(("order", "tagged"), [("tff", True), ("bff", True), ("bff", False)])
def test_each_field_can_become_a_frame(tmp_path, order, tagged):
    """59.94 fields/s become 59.94 frames/s, in their order: the bar never goes back."""
    film = film_of_fields(tmp_path / "film.mkv", order, tagged)
    frames, attributes = extract(film, tmp_path, "160x112", crop="none", fit="stretch", deinterlace="fields")
    assert len(frames) == 60 and attributes["fps"] == "60000/1001"
    assert np.allclose(np.diff(bar_centres(frames)[4:52]), 2.5, atol=0.7)
    part, late = extract(
        film, tmp_path, "160x112", "part", crop="none", fit="stretch", deinterlace="fields", start="0.5", end="0.8"
    )
    assert np.array_equal(part, frames[30:48])
    assert float(Fraction(late["start_time"])) == pytest.approx(30 * 1001 / 60000, abs=1e-3)


def test_progressive_frames_that_are_tagged_as_interlaced_are_unchanged(tmp_path):
    """A PAL film is often called interlaced, and is not: each of its frames is one picture."""
    film = tmp_path / "pal.ts"
    source = "mandelbrot=size=720x576:rate=25,scroll=h=0.01:v=0.007,setfield=tff"
    ffmpeg("-f", "lavfi", "-i", source, "-t", "2", "-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-q:v", "2", film)
    video = probe(film)
    assert video.tagged_interlaced and video.field_order == "progressive"
    as_is, _ = extract(film, tmp_path, deinterlace="off", name="off")
    assert np.array_equal(extract(film, tmp_path)[0], as_is)


@pytest.mark.parametrize("picture", ["testsrc2=size=720x576:rate=25", "mandelbrot=size=720x576:rate=25,scroll=v=0.007"])
def test_progressive_films_of_a_broadcast_size_are_unchanged(tmp_path, picture):
    film = tmp_path / "film.mkv"
    ffmpeg("-f", "lavfi", "-i", picture, "-t", "2", *EXACT, film)
    assert probe(film).field_order == "progressive"


# --- high dynamic range


def hdr_film(path, transfer: str, nits: list[float], pixel_format="yuv420p10le") -> Path:
    """A frame of each luminance, in 10-bit BT.2020, as HDR10 or HLG."""
    signals = [round(65535 * (pq if transfer == "smpte2084" else hlg)(value)) for value in nits]
    raw = b"".join(np.full((48, 64, 3), signal, "<u2").tobytes() for signal in signals)
    tags = ("-color_primaries", "bt2020", "-color_trc", transfer, "-colorspace", "bt2020nc", "-color_range", "tv")
    scale = f"scale=out_color_matrix=bt2020:out_range=tv,format={pixel_format}"
    set_tags = f",setparams=color_primaries=bt2020:color_trc={transfer}:colorspace=bt2020nc:range=tv"
    words = ["-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", "64x48", "-r", "24", "-i", "-", "-vf", scale + set_tags]
    codec = ("-c:v", "libx265", "-x265-params", "lossless=1:log-level=error")
    done = subprocess.run([executable(), "-v", "error", "-y", *words, *codec, *tags, path], input=raw, capture_output=True)
    assert done.returncode == 0, done.stderr
    return path


def pq(nits: float) -> float:
    """SMPTE ST 2084, the inverse EOTF."""
    y = (nits / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def hlg(nits: float) -> float:
    """ITU-R BT.2100 HLG of a grey on a display of 1000 cd/m2."""
    scene = (nits / 1000) ** (1 / 1.2)
    return (3 * scene) ** 0.5 if scene <= 1 / 12 else 0.17883277 * np.log(12 * scene - 0.28466892) + 0.55991073


def hable(nits: float) -> float:
    """The grey level of an SDR screen of gamma 2.4 that Hable's curve gives, 1000 cd/m2 being white."""
    curve = lambda x: (x * (0.15 * x + 0.05) + 0.004) / (x * (0.15 * x + 0.5) + 0.06) - 0.02 / 0.3  # noqa: E731
    return 255 * min(1, curve(nits / 100) / curve(10)) ** (1 / 2.4)


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_hdr10_and_hlg_have_the_levels_of_the_tone_curve(tmp_path, transfer):
    nits = [0, 1, 10, 50, 100, 203, 400, 1000]
    film = hdr_film(tmp_path / "hdr.mkv", transfer, nits)
    frames, attributes = extract(film, tmp_path)
    assert (attributes["transfer"], attributes["primaries"], attributes["matrix"]) == (transfer, "bt2020", "bt2020")
    seen = frames.astype(float).mean((1, 2))
    assert np.ptp(seen, axis=1).max() <= 2  # grey stays grey
    assert np.abs(seen.mean(1) - [hable(value) for value in nits]).max() <= 3


def test_a_real_hdr_film_looks_like_its_sdr_version(tmp_path, real_films, hard_cases):
    """PSNR of at least 25 dB and the mean within 6 grey levels; without tone mapping it is 6.5 levels off and washed out."""
    hdr, sdr = hard_cases / "hdr_pq_8bit_h264_cosmos_laundromat_50s.mp4", "cosmos_laundromat_clip_sdr_640x268.mp4"
    one, _ = extract(hdr, tmp_path, "256x144", "hdr", crop="none", end=20)
    other, _ = extract(real_films / sdr, tmp_path, "256x144", "sdr", crop="none", end=20)
    error = one.astype(float) - other
    assert len(one) == len(other) == 480 and abs(error.mean()) < 6 and 10 * np.log10(255**2 / np.square(error).mean()) > 25


def test_wide_primaries_of_an_sdr_film_are_converted(tmp_path):
    """A BT.709 red, written in BT.2020, is that red again."""
    film = tmp_path / "wide.mkv"
    to_wide = "format=gbrpf32le,zscale=pin=709:tin=709:min=gbr:rin=full:p=2020:t=709:m=2020_ncl:r=limited,format=yuv444p10le"
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "color=0xC83232:size=64x48:rate=24:duration=0.5,format=gbrp",
        "-vf",
        to_wide,
        "-c:v",
        "ffv1",
        film,
    )
    frames, attributes = extract(film, tmp_path)
    assert attributes["primaries"] == "bt2020" and np.abs(frames.astype(int) - [200, 50, 50]).max() <= 3


@pytest.mark.parametrize(
    "pixels",
    ["yuv420p10le", "yuv422p", "yuv422p10le", "yuv444p", "yuv444p12le", "gbrp", "gbrp10le", "bgr0", "yuv411p", "gray"],
)
def test_colours_are_the_same_in_all_pixel_formats(tmp_path, pixels):
    film = tmp_path / "film.mkv"
    colour = "0x969696" if pixels == "gray" else "0xC83232"
    scale = "scale=out_color_matrix=bt601:out_range=tv:flags=accurate_rnd+full_chroma_int"
    source = f"color={colour}:size=64x48:rate=24:duration=0.5,format=rgb24,{scale},format={pixels}"
    ffmpeg("-f", "lavfi", "-i", source, "-c:v", "ffv1", film)
    frames, _ = extract(film, tmp_path)
    wanted = [150] * 3 if pixels == "gray" else [200, 50, 50]
    assert len(frames) == 12 and np.abs(frames.astype(int) - wanted).max() <= 3


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".mov", ("-c:v", "qtrle", "-pix_fmt", "argb")),
        (".mkv", ("-c:v", "ffv1", "-pix_fmt", "yuva444p")),
        (".webm", ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-lossless", "1")),
    ],
)
def test_transparent_pixels_are_black(tmp_path, suffix, codec):
    """Left half opaque red, right half transparent white, and in a second film half transparent."""
    for name, alpha, level in (("clear", 0, 0), ("half", 128, 128)):
        film = tmp_path / f"{name}{suffix}"
        picture = (
            f"geq=r='if(lt(X,32),200,255)':g='if(lt(X,32),50,255)':b='if(lt(X,32),50,255)':a='if(lt(X,32),255,{alpha})'"
        )
        source = f"color=black:size=64x48:rate=24:duration=0.5,format=rgba,{picture}"
        ffmpeg("-f", "lavfi", "-i", source, *codec, film)
        frames, _ = extract(film, tmp_path, name=name, crop="none")
        assert np.abs(frames[:, :, 2:29].astype(int) - [200, 50, 50]).max() <= 4
        assert np.abs(frames[:, :, 35:62].astype(int) - level).max() <= 4


# --- variable size, and unusual sizes


def joined(path, *sizes: str, rate=25) -> Path:
    """H.264 of one second of white of each size: the stream changes its size midway."""
    stream = b""
    for n, size in enumerate(sizes):
        piece = path.with_name(f"piece{n}.h264")
        ffmpeg("-f", "lavfi", "-i", f"color=white:size={size}:rate={rate}:duration=1", *EXACT, "-bf", "0", "-g", rate, piece)
        stream += piece.read_bytes()
    path.with_suffix(".h264").write_bytes(stream)
    ffmpeg("-r", rate, "-i", path.with_suffix(".h264"), "-c", "copy", path)
    return path


def test_every_frame_keeps_its_shape_where_the_size_changes_midway(tmp_path):
    """64x48, then wider, which lies between black above and below, then the same shape in fewer pixels."""
    film = joined(tmp_path / "film.ts", "64x48", "64x48", "96x48", "32x24")
    frames, _ = extract(film, tmp_path, "64x48", crop="none")
    assert len(frames) == 100
    for n in (0, 30, 80, 99):
        assert frames[n].min() > 245, n
    wide = frames[60].mean(2)
    assert wide[10:38].min() > 245 and wide[:6].max() < 10 and wide[42:].max() < 10


def test_a_variable_rate_film_that_changes_its_size_keeps_its_time(tmp_path):
    film = joined(tmp_path / "film.mkv", "64x48", "96x64", "64x48")
    holed = tmp_path / "holed.mkv"
    ffmpeg("-i", film, "-c", "copy", "-bsf:v", "noise=drop='between(n,20,24)'", holed)
    frames, attributes = extract(holed, tmp_path)
    assert not attributes["constant_rate"] and len(frames) == 75


@pytest.mark.parametrize("size", ["1x1", "2x2", "1x7", "17x1", "16x16", "33x7", "853x481", "7680x4320"])
def test_films_of_any_size(tmp_path, size):
    film = tmp_path / "film.mov"
    ffmpeg("-f", "lavfi", "-i", f"color=0x969696:size={size}:rate=24,format=rgb24", "-frames:v", "3", "-c:v", "png", film)
    for fit in ("crop", "pad", "stretch") if size != "7680x4320" else ("crop",):
        frames, _ = extract(film, tmp_path, "64x48", fit, fit=fit)
        assert len(frames) == 3 and np.abs(frames.max((1, 2)).astype(int) - 150).max() <= 2


@pytest.mark.parametrize("size", ["16x16", "64x48"])
def test_a_film_of_one_frame(tmp_path, size):
    film = make_film(tmp_path / "film.mkv", seconds=0.04, fps="25", sound=False)
    frames, attributes = extract(film, tmp_path, size)
    assert len(frames) == 1 and attributes["fps"] == "25"
    with h5py.File(tmp_path / "frames.h5") as file:
        assert np.array_equal(file["frames"][:], frames)


def test_a_film_of_nothing_but_key_frames_is_sampled(tmp_path):
    """Its bars are found without decoding all of it twice."""
    film = tmp_path / "film.mov"
    picture = "testsrc2=size=128x72:rate=24:duration=60,drawbox=color=white:t=2,pad=128:96:0:12"
    ffmpeg("-f", "lavfi", "-i", picture, "-c:v", "mjpeg", "-q:v", "2", film)
    assert probe(film).box == Box(0, 12, 128, 72)


# --- time


def test_edit_lists(tmp_path):
    """An introduction that the file says to skip is not shown; what is left stays with the sound."""
    film = make_film(tmp_path / "film.mp4", seconds=4, codec=("-c:v", "libx264", "-g", "24", "-bf", "2"))
    cut = tmp_path / "cut.mp4"
    ffmpeg("-ss", "1.5", "-i", film, "-c", "copy", cut)  # writes an edit list, since it can only begin at a key frame
    whole, _ = extract(film, tmp_path, name="whole")
    frames, _ = extract(cut, tmp_path)
    assert len(frames) == 60 and np.array_equal(frames, whole[36:])


def test_an_empty_edit_delays_the_picture(tmp_path):
    film = make_film(tmp_path / "film.mp4", seconds=2)
    late = tmp_path / "late.mp4"
    ffmpeg("-itsoffset", "0.5", "-i", film, "-i", film, "-map", "0:v", "-map", "1:a", "-c", "copy", late)
    whole, before = extract(film, tmp_path, name="whole")
    frames, after = extract(late, tmp_path)
    assert np.array_equal(frames, whole)
    assert float(Fraction(after["start_time"]) - Fraction(before["start_time"])) == pytest.approx(0.5, abs=0.01)


def test_a_film_without_a_rate_has_all_its_frames(tmp_path):
    film = make_film(tmp_path / "film.mp4", seconds=2, sound=False)
    ffmpeg("-i", film, "-c", "copy", "-bsf:v", "h264_mp4toannexb", tmp_path / "film.h264")
    frames, _ = extract(tmp_path / "film.h264", tmp_path)
    assert len(frames) == 48


def test_an_absurd_rate_is_an_error(tmp_path):
    film = tmp_path / "film.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=1000:duration=0.2", "-c:v", "ffv1", film)
    assert "its clock says 1000 frames/s" in refusal(film, tmp_path)


# --- damage

SUFFIXES = [".mp4", ".mkv", ".avi", ".flv", ".mov", ".webm", ".wmv"]
CODECS = {".avi": ("-c:v", "mpeg4", "-q:v", "3"), ".mov": ("-c:v", "prores_ks"), ".wmv": ("-c:v", "wmv2", "-q:v", "3")}
CODECS[".webm"] = ("-c:v", "libvpx", "-deadline", "realtime")
INDEX_FIRST = ("-movflags", "+faststart")


def whole_film(folder, suffix=".mp4", **options) -> Path:
    codec = CODECS.get(suffix, ("-c:v", "libx264", "-preset", "ultrafast", "-g", "24"))
    index_first = INDEX_FIRST if suffix in (".mp4", ".mov") else ()
    return make_film(folder / f"whole{suffix}", seconds=6, size="160x120", codec=(*codec, *index_first), **options)


def cut_off(film, share) -> Path:
    """The first part of a file, as where a download broke off."""
    cut = film.with_name(f"cut{film.suffix}")
    cut.write_bytes(film.read_bytes()[: int(film.stat().st_size * share)])
    return cut


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_truncated_film_is_refused_or_used_as_damaged_says(tmp_path, suffix):
    whole = whole_film(tmp_path, suffix)
    cut = cut_off(whole, 0.6)
    line = refusal(cut, tmp_path)
    assert str(cut) in line and "the film is damaged: " in line and "'damaged: use'" in line
    expected, _ = extract(whole, tmp_path, name="expected")
    frames, _ = extract(cut, tmp_path, damaged="use")
    assert 60 < len(frames) < 120
    assert all(difference(frames[n], expected[n]) < 1 for n in range(0, len(frames) - 4, 5))


def test_the_error_says_how_much_of_a_truncated_film_is_there(tmp_path):
    whole = whole_film(tmp_path)
    line = refusal(cut_off(whole, 0.6), tmp_path)
    present = re.search(r"of the 6\.0 s that its header declares (\d\.\d) s are there", line)
    frames, _ = extract(cut_off(whole, 0.6), tmp_path, damaged="use")
    assert present and float(present[1]) == pytest.approx(len(frames) / 24, abs=0.1)


def test_a_film_with_more_sound_than_video_is_complete(tmp_path):
    film = tmp_path / "film.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=24:duration=2", "-f", "lavfi", "-i", "sine=duration=20", film)
    assert len(extract(film, tmp_path)[0]) == 48


def test_a_film_without_its_index_is_refused(tmp_path):
    film = make_film(tmp_path / "film.mp4", seconds=3)
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    assert "its index" in refusal(film, tmp_path, damaged="use")


def flipped(film, seed=1, flips=40) -> Path:
    """A copy with bits flipped in the middle half of the file."""
    content, random = bytearray(film.read_bytes()), np.random.default_rng(seed)
    for place in random.integers(len(content) // 4, 3 * len(content) // 4, flips):
        content[place] ^= 1 << random.integers(8)
    copy = film.with_name(f"flipped{film.suffix}")
    copy.write_bytes(content)
    return copy


@pytest.mark.parametrize("suffix", [".mp4", ".ts", ".mkv"])
def test_flipped_bits_are_detected_and_intact_frames_keep_their_time(tmp_path, suffix):
    whole = whole_film(tmp_path, suffix)
    film = flipped(whole)
    assert re.search(r"of 144 frames \d+ are intact|the film is damaged", refusal(film, tmp_path))
    expected, _ = extract(whole, tmp_path, name="expected")
    frames, _ = extract(film, tmp_path, damaged="use")
    assert abs(len(frames) - 144) <= 2
    ends = [*range(0, 24), *range(126, 142)]  # nothing was flipped there
    assert np.median([difference(frames[n], expected[n]) for n in ends]) < 1


def test_a_film_without_its_first_key_frame_is_refused_or_used_as_damaged_says(tmp_path):
    """Until the next key frame the decoder guesses pictures, and marks none of them."""
    whole, film = tmp_path / "whole.avi", tmp_path / "film.avi"
    make_film(whole, seconds=3, codec=("-c:v", "mpeg4", "-g", "24"), sound=False)
    ffmpeg("-i", whole, "-map", "0", "-c", "copy", "-copyinkf", "-bsf:v", "noise=drop=not(n)", film)
    assert "the film is damaged: of 72 frames 70 are intact" in refusal(film, tmp_path)
    expected, _ = extract(whole, tmp_path, name="expected")
    frames, _ = extract(film, tmp_path, damaged="use")
    assert len(frames) == 72
    right = [difference(frames[n], expected[n]) < 4 for n in range(72) if n != 24]  # the key frame itself is smoothed
    assert right == [False] * 24 + [True] * 47


def test_a_frame_that_the_decoder_conceals_and_does_not_mark_is_detected(tmp_path, monkeypatch):
    """Decoding in threads, it may give a frame away before it knows that it is broken."""
    whole, film = tmp_path / "whole.mp4", tmp_path / "film.mp4"
    make_film(whole, seconds=2, codec=("-c:v", "libx264", "-g", "12", "-bf", "2", "-threads", "1"), sound=False)
    ffmpeg("-i", whole, "-c", "copy", "-bsf:v", "noise=amount='11*eq(n,44)'", film)
    monkeypatch.setattr(ffmpeg_log, "is_broken_frame", lambda line: False)
    line = extract_here(film, tmp_path / "frames.h5", "--size=64x48")
    assert "the film is damaged: of 48 frames 47 are intact" in line
    assert extract_here(film, tmp_path / "frames.h5", "--size=64x48", "--damaged=use") == ""
    assert extract_here(whole, tmp_path / "frames.h5", "--size=64x48") == ""


def test_a_last_frame_that_cannot_be_decoded_is_detected(tmp_path):
    """Its decoder reports it when all other frames have been shown."""
    film = make_film(tmp_path / "film.avi", seconds=2, codec=("-c:v", "mjpeg"), sound=False)
    content = film.read_bytes()
    start = content.rindex(b"00dc", 0, content.rindex(b"idx1")) + 8
    size = int.from_bytes(content[start - 4 : start], "little")
    film.write_bytes(content[:start] + bytes(size) + content[start + size :])
    assert "the film is damaged" in refusal(film, tmp_path)
    assert len(extract(film, tmp_path, damaged="use")[0]) == 47


def test_an_intact_part_of_a_damaged_film_is_used(tmp_path):
    """Frames that are broken before the first one that is wanted do not matter, nor those after the last."""
    whole = make_film(tmp_path / "whole.mp4", seconds=30, size="160x120", codec=("-c:v", "libx264", "-g", "24"), sound=False)
    content = bytearray(whole.read_bytes())
    for place in np.random.default_rng(0).integers(len(content) // 2, len(content) * 6 // 10, 40):
        content[place] ^= 1
    film = tmp_path / "film.mp4"
    film.write_bytes(content)
    assert "are intact" in refusal(film, tmp_path)
    for part in ({"start": 25}, {"end": 10}, {"start": 5, "end": 8}):
        frames, _ = extract(film, tmp_path, **part)
        expected, _ = extract(whole, tmp_path, name="expected", **part)
        assert np.array_equal(frames, expected)
    assert "are intact" in refusal(film, tmp_path, start=10, end=25)


# --- hostile files


@pytest.fixture
def secret(tmp_path) -> Path:
    """A white film that must not be opened."""
    film = tmp_path / "secret.ts"
    ffmpeg("-f", "lavfi", "-i", "color=white:size=64x48:rate=24:duration=1", "-c:v", "mpeg2video", film)
    return film


@pytest.fixture
def visited():
    """Addresses that were asked for, and the port of the server on which they are noted."""
    asked = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield asked, server.server_port
    server.shutdown()


HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n"
HOSTILE_FILES = {
    "list.m3u8": HLS,
    "list.mp4": HLS,
    "list.ffconcat": "ffconcat version 1.0\nfile '{}'\n",
    "list.mkv": "ffconcat version 1.0\nfile '{}'\n",
    "dash.mpd": "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011' type='static' "
    "profiles='urn:mpeg:dash:profile:isoff-main:2011'><Period><AdaptationSet mimeType='video/mp4'><Representation id='1' "
    "bandwidth='1'><BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "subtitle.idx": "# VobSub index file, v7 (do not modify this line!)\nid: en, index: 0\n",
    "script.avs": 'DirectShowSource("{}")',
}


@pytest.mark.parametrize("name", HOSTILE_FILES)
@pytest.mark.parametrize("kind", ["beside", "absolute", "address"])
def test_a_file_that_names_others_opens_none(tmp_path, secret, visited, name, kind):
    asked, port = visited
    target = {"beside": secret.name, "absolute": str(secret), "address": f"http://127.0.0.1:{port}/secret.ts"}[kind]
    hostile = tmp_path / name
    hostile.write_text(HOSTILE_FILES[name].format(target))
    secret.with_suffix(".sub").write_bytes(secret.read_bytes())
    assert "this is not a film but" in (line := refusal(hostile, tmp_path)) or "cannot be read as a film" in line
    assert asked == []


def test_a_film_that_refers_to_another_file_does_not_open_it(tmp_path, secret, visited):
    """QuickTime's data reference: the samples of the track are in the file that it names."""
    asked, port = visited
    film = make_film(tmp_path / "film.mp4", seconds=1, sound=False)
    content = film.read_bytes()
    own = content.index(b"url ", content.index(b"dref")) - 4  # a box of 12 bytes: size, 'url ', flags 1 = in this file
    for target in (f"file:{secret}", f"http://127.0.0.1:{port}/secret.ts"):
        box = target.encode() + b"\0"
        box = (12 + len(box)).to_bytes(4, "big") + b"url " + bytes(4) + box
        hostile = tmp_path / "hostile.mp4"
        hostile.write_bytes(_with_box(content, own, box))
        done = command("extract_frames", f"--source={hostile}", f"--frames={tmp_path / 'x.h5'}", "--size=64x48")
        if done.returncode == 0:
            with FrameStore(tmp_path / "x.h5") as store:
                assert store[:].mean() < 240  # its own frames, and not the white ones
        assert asked == []


def _with_box(content: bytes, place: int, box: bytes) -> bytes:
    """An MP4 whose box of 12 bytes at `place` is another one; the boxes around it grow with it."""
    grown = bytearray(content[:place] + box + content[place + 12 :])
    around = [content.rindex(name, 0, place) - 4 for name in (b"dref", b"dinf", b"minf", b"mdia", b"trak", b"moov")]
    for start in around:
        size = int.from_bytes(content[start : start + 4], "big") + len(box) - 12
        grown[start : start + 4] = size.to_bytes(4, "big")
    return bytes(grown)


def test_a_file_name_is_not_a_pattern(tmp_path):
    """`a%d.png` does not open a1.png."""
    ffmpeg("-f", "lavfi", "-i", "color=white:size=64x48", "-frames:v", "1", tmp_path / "a1.png")
    (tmp_path / "a%d.png").write_bytes(b"")
    assert "the file is empty" in refusal(tmp_path / "a%d.png", tmp_path)
    (tmp_path / "a%d.png").write_bytes(b"no picture")
    assert "this is not a film but a single image" in refusal(tmp_path / "a%d.png", tmp_path)


# --- processes


def test_without_the_hardware_decoder_the_cpu_decodes_and_a_message_says_so(tmp_path, film):
    """A decoder that this ffmpeg or this machine does not have: the same frames, and one line about it."""
    plain, _ = extract(film, tmp_path, name="plain")
    words = (f"--source={film}", f"--frames={tmp_path / 'x.h5'}", "--size=64x48")
    done = command("extract_frames", *words, "--hwaccel=d3d11va")
    lines = [line for line in done.stderr.splitlines() if "hwaccel d3d11va: decoding on the CPU instead" in line]
    assert done.returncode == 0 and len(lines) == 1
    with FrameStore(tmp_path / "x.h5") as store:
        assert np.array_equal(store[:], plain)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends the children of a process that is killed")
def test_an_ffmpeg_does_not_outlive_a_step_that_is_killed(tmp_path):
    film = make_film(tmp_path / "film.mkv", seconds=60, size="1280x720", fps="50", sound=False)
    words = [f"--source={film}", f"--frames={tmp_path / 'out' / 'film.h5'}", "--size=256x144"]
    process = subprocess.Popen([sys.executable, "-m", "refilm.extract_frames", *words], stderr=subprocess.DEVNULL)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    decoding = lambda: list((tmp_path / "out").glob(".film.part*")) and children.read_text().split()  # noqa: E731
    wait_for(decoding, failed=lambda: process.poll() is not None)
    started = children.read_text().split()
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not any(runs(child) for child in started), seconds=5)
