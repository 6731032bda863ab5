"""Colour matrices that ffmpeg's scaler does not know. The films are of known colours, by the formulas of standards."""

import subprocess

import numpy as np
import pytest

from refilm.media.ffmpeg import executable
from tests.conftest import command, make_film, refused
from tests.helpers import extract

TILE = 24  # pixels
RGB = np.random.default_rng(1).integers(0, 256, (6, 8, 3)).astype(np.uint8)  # colours of tiles
M1, M2, C1, C2, C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128


def ycgco(r, g, b):
    """ITU-T H.273, matrix 8, whose limited range is that of R'G'B' for all three: 219 steps."""
    return (r + 2 * g + b) / 4, (2 * g - r - b) / 4, (r - b) / 2


def bt2020(r, g, b):
    y = 0.2627 * r + 0.6780 * g + 0.0593 * b
    return y, (b - y) / 1.8814, (r - y) / 1.4746


def ictcp(*rgb):
    """ITU-R BT.2100, table 7, of PQ values."""
    powers = [value ** (1 / M2) for value in rgb]
    light = [(np.maximum(power - C1, 0) / (C2 - C3 * power)) ** (1 / M1) for power in powers]
    lms = np.tensordot(np.array([[1688, 2146, 262], [683, 2951, 462], [99, 309, 3688]]) / 4096, light, 1)
    coded = ((C1 + C2 * lms**M1) / (1 + C3 * lms**M1)) ** M2
    return np.tensordot(np.array([[2048, 2048, 0], [6610, -13613, 7003], [17933, -17390, -543]]) / 4096, coded, 1)


def film_of(path, formula, tags, bits=10, steps=(219, 224)):
    """Three frames of the colours by this formula, in limited range, or in full range where `steps` are 255."""
    luma, *chroma = formula(*np.moveaxis(RGB / 255, -1, 0))
    scale = 2 ** (bits - 8)
    planes = np.rint([(luma * steps[0] + 16 * (steps[0] < 255)) * scale, *((c * steps[1] + 128) * scale for c in chroma)])
    pixels = planes.clip(0, 2**bits - 1).astype("u1" if bits == 8 else "<u2").repeat(TILE, 1).repeat(TILE, 2)
    given = (
        "-f",
        "rawvideo",
        "-pix_fmt",
        "yuv444p" if bits == 8 else f"yuv444p{bits}le",
        "-s",
        "192x144",
        "-r",
        "24",
        "-i",
        "-",
    )
    made = ("-vf", f"setparams={tags}", "-c:v", "libx264", "-qp", "0", str(path))
    subprocess.run([executable(), "-v", "error", "-y", *given, *made], input=pixels.tobytes() * 3, check=True)
    return path


def colours(film, folder):
    frames, _ = extract(film, folder, "192x144", film.stem, crop="none")
    assert len(frames) == 3 and np.array_equal(frames[0], frames[2])
    return frames[0, TILE // 2 :: TILE, TILE // 2 :: TILE].astype(int)


@pytest.mark.parametrize(
    ("bits", "steps", "range_tag"), [(8, (219, 219), "tv"), (8, (255, 255), "pc"), (10, (219, 219), "tv")]
)
def test_ycgco(tmp_path, bits, steps, range_tag):
    film = film_of(tmp_path / "film.mkv", ycgco, f"colorspace=ycgco:range={range_tag}", bits, steps)
    assert np.abs(colours(film, tmp_path) - RGB).max() <= 1


def test_ictcp_is_shown_as_the_same_film_in_bt2020(tmp_path):
    tags = "range=tv:color_primaries=bt2020:color_trc=smpte2084:colorspace="
    one = colours(film_of(tmp_path / "one.mkv", ictcp, f"{tags}ictcp"), tmp_path)
    other = colours(film_of(tmp_path / "other.mkv", bt2020, f"{tags}bt2020nc"), tmp_path)
    assert np.abs(one - other).max() <= 4 and np.abs(one - other).mean() < 0.5 and np.ptp(one) > 200


@pytest.mark.parametrize("matrix", ["ycgco-re", "bt2020c"])
def test_a_matrix_that_ffmpeg_does_not_convert_is_one_line(tmp_path, matrix):
    film = make_film(tmp_path / "film.mkv", codec=("-vf", f"setparams=colorspace={matrix}", "-c:v", "libx264"))
    done = command("extract_frames", f"--source={film}", f"--frames={tmp_path / 'film.h5'}", "--size=64x48")
    assert f"its colour matrix is {matrix}" in refused(done) and "export the film again in BT.709" in refused(done)
