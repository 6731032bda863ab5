"""Stills at a moment, animations of a range, posters, and titles in any script: what is where, of which frame."""

import re
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import Image, ImageSequence
from PIL.PdfParser import PdfParser

from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import FrameStore, write_frames_from
from refilm.rendering.comparison import Arrangement
from refilm.rendering.style import draw_text
from tests.conftest import command, refused
from tests.helpers import done
from tests.integration.test_film_out import decoded_by, grey_film

LEVELS = 5 * np.arange(50)  # of grey; the rate is 24


@pytest.fixture(scope="module")
def greys(tmp_path_factory, grey_model) -> tuple[Path, Path, np.ndarray]:
    """Files of frames and latents of a film of 50 grey frames, each 5 levels brighter, and the decoded frames."""
    folder = tmp_path_factory.mktemp("greys")
    frames, latents = grey_film(folder / "greys.h5", LEVELS), folder / "latents.h5"
    done(command("encode_film", f"--frames={frames}", f"--model={grey_model}", f"--latents={latents}", "--device=cpu"))
    with h5py.File(latents) as file:
        return frames, latents, decoded_by(grey_model, file["latents"][:]).astype(int)


@pytest.fixture
def pair(greys, grey_model) -> tuple[str, ...]:
    """The options of a command that shows the film beside its reconstruction."""
    return (f"--frames={greys[0]}", f"--latents={greys[1]}", f"--model={grey_model}", "--title=T", "--by=M", "--device=cpu")


def tile(picture, n: int, height: int = 48) -> np.ndarray:
    """The n-th of two pictures of 4:3 side by side, without its edges: int (h, w, 3)."""
    arrangement = Arrangement(2, "row", height * 4 // 3, height)
    left, top = arrangement.place(n)
    pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape[1::-1] == arrangement.size
    return pixels[top + 4 : top + height - 4, left + 4 : left + height * 4 // 3 - 4]


# --- sheets of shots


@pytest.fixture(scope="module")
def shots(tmp_path_factory, grey_model) -> tuple[str, ...]:
    """The options of a command for a film of four shots of 12 frames, of which the second is black.

    The metrics are made up: of the shots the third one is best at its frame 30, the first worst at 5, the black one neither.
    Frames 42 to 47 come back still better, and have less contrast than the others.
    """
    folder, random = tmp_path_factory.mktemp("shots"), np.random.default_rng(0)
    patterns = np.kron(random.integers(0, 256, (4, 3, 4, 3)), np.ones((1, 16, 16, 1), int)).astype(np.uint8)
    patterns[1] = 0
    frames = patterns.repeat(12, axis=0)
    write_frames_from(folder / "film.h5", 64, 48, FrameMetadata(Fraction(24)), [frames])
    words = (f"--frames={folder / 'film.h5'}", f"--latents={folder / 'latents.h5'}", f"--model={grey_model}", "--device=cpu")
    done(command("encode_film", *words[:1], f"--latents={folder / 'latents.h5'}", *words[2:]))
    ssim, composition = np.full(48, 0.5), np.full(48, 0.5)
    ssim[[5, 30, 40]], ssim[12:24], composition[12:24] = [0.1, 0.9, 0.6], 1, np.nan
    contrast = np.full(48, 50.0)
    ssim[42:], contrast[42:], contrast[12:24] = 0.95, 10, 0
    pd.DataFrame({"ssim": ssim, "composition": composition, "film_contrast": contrast}).to_csv(folder / "metrics.csv")
    return (*words, f"--metrics={folder / 'metrics.csv'}", "--title=T", "--by=M")


@pytest.mark.parametrize(
    ("order", "count", "frames"),
    [
        ("shots", 16, [6, 18, 30, 42]),
        ("shots", 2, [18, 42]),
        ("best", 16, [30, 40, 0]),
        ("worst", 16, [5, 24, 36]),
        ("best", 1, [30]),
    ],
)
def test_a_sheet_of_shots_has_a_frame_of_each_in_the_order_that_is_asked_for(tmp_path, shots, order, count, frames):
    sheet = tmp_path / "sheet.png"
    assert f"{len(frames)} frames" in done(
        command("render_stills", *shots, f"--order={order}", f"--count={count}", f"--sheet={sheet}")
    )
    film = Path(shots[0].removeprefix("--frames="))
    with FrameStore(film) as store:
        expected = store.read(frames)
    pixels = np.asarray(Image.open(sheet).convert("RGB"))
    places = [(24 + n % 4 * 72, 0) for n in range(len(frames))]
    for (left, _), frame in zip(places, expected, strict=True):
        column = pixels[:, left : left + 64]
        assert any((column[top : top + 48] == frame).all() for top in range(len(column) - 47))


def test_metrics_of_another_film_are_refused(tmp_path, shots):
    table = tmp_path / "metrics.csv"
    pd.DataFrame({"ssim": [0.5], "composition": [0.5]}).to_csv(table)
    words = [word for word in shots if not word.startswith("--metrics")]
    refusal = command("render_stills", *words, f"--metrics={table}", "--order=best", f"--sheet={tmp_path / 'sheet.png'}")
    assert f"{table}: 1 rows, but" in refused(refusal) and not (tmp_path / "sheet.png").exists()


# --- stills


@pytest.mark.parametrize(("moment", "frame"), [("00:00:00", 0), ("00:00:01", 24), ("00:00:01.5", 36), ("00:00:01.99", 47)])
def test_a_still_is_the_frame_on_the_screen_at_that_moment(tmp_path, greys, pair, moment, frame):
    still = tmp_path / "still.png"
    assert f"frame {frame}" in done(command("render_moment", *pair, f"--at={moment}", f"--still={still}", "--height=48"))
    assert (tile(Image.open(still), 0) == LEVELS[frame]).all()
    assert np.abs(tile(Image.open(still), 1) - greys[2][frame, 4:-4, 4:-4]).max() <= 1
    done(command("render_moment", *pair, f"--at={moment}", f"--still={still}"))
    assert (tile(Image.open(still), 0, 720) == LEVELS[frame]).all()


def test_a_moment_after_the_end_is_refused(tmp_path, pair):
    late = command("render_moment", *pair, "--at=00:00:03", f"--still={tmp_path / 'still.png'}")
    assert "00:00:03 lies after the end of the film, which lasts 0:02" in refused(late)
    assert not list(tmp_path.iterdir())


# --- animations


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_an_animation_has_the_frames_of_its_range_at_the_rate_of_the_film(tmp_path, greys, pair, suffix):
    clip = tmp_path / f"clip.{suffix}"
    words = ("--start=00:00:00.5", "--end=00:00:01.5", "--height=48", f"--clip={clip}")
    assert "24 frames" in done(command("render_clip", *pair, *words))
    shown = Image.open(clip)
    assert shown.n_frames == 24 and shown.info["loop"] == 0
    milliseconds = []
    for n, picture in enumerate(ImageSequence.Iterator(shown)):
        assert np.abs(tile(picture, 0).mean() - LEVELS[12 + n]) <= 3
        assert np.abs(tile(picture, 1).mean() - greys[2][12 + n].mean()) <= 3
        milliseconds.append(picture.info["duration"])
    assert sum(milliseconds) == 1000 and set(milliseconds) <= {40, 41, 42, 50}


def test_a_long_range_is_refused(tmp_path, grey_model):
    frames, latents = grey_film(tmp_path / "film.h5", [0] * 24 * 31), tmp_path / "latents.h5"
    with h5py.File(latents, "w") as file:
        file["latents"] = np.zeros((24 * 31, 16), np.float32)
    words = (f"--frames={frames}", f"--latents={latents}", f"--model={grey_model}", "--title=T", "--by=M", "--device=cpu")
    clip = tmp_path / "clip.gif"
    assert "31 s are too long: at most 30 s fit" in refused(
        command("render_clip", *words, "--start=0", "--end=31", f"--clip={clip}")
    )
    assert not clip.exists()


# --- posters


def test_a_poster_has_the_frames_of_the_film_in_order_and_the_size_of_its_page(tmp_path, greys, grey_model):
    png, pdf = tmp_path / "poster.png", tmp_path / "poster.pdf"
    words = (f"--latents={greys[1]}", f"--model={grey_model}", "--title=T", "--by=M", "--device=cpu")
    words += ("--frames=40", "--width=150", "--height=100", "--dpi=254", f"--poster={png}", f"--page={pdf}")
    printed = done(command("render_poster", *words))
    found = re.search(r"(\d+) frames in (\d+) columns, 1500x1000 pixels", printed)
    count, columns = int(found[1]), int(found[2])
    poster = Image.open(png)
    assert poster.size == (1500, 1000) and poster.info["dpi"] == pytest.approx((254, 254), abs=0.1)
    page = PdfParser(str(pdf))
    points = [float(side) for side in page.read_indirect(page.pages[0])[b"MediaBox"]]
    assert points == pytest.approx([0, 0, 150 / 25.4 * 72, 100 / 25.4 * 72], abs=0.1)
    assert 40 <= count <= 50
    width = 1440 // columns  # 3 % of the shorter side are left free
    height = round(width * 3 / 4)
    left, top = (1500 - columns * width) // 2, (1000 - 940 // height * height) // 2
    pixels, seen = np.asarray(poster).astype(float).mean(2), []
    for n in range(count):
        down, across = top + n // columns * height, left + n % columns * width
        seen.append(pixels[down + 4 : down + height - 4, across + 4 : across + width - 4].mean())
    shown = [(2 * n + 1) * 50 // (2 * count) for n in range(count)]
    assert np.abs(np.array(seen) - greys[2][shown].mean((1, 2, 3))).max() <= 2  # the next frame is 5 levels brighter
    before = pdf.read_bytes(), png.read_bytes()
    done(command("render_poster", *words, environment={}))  # with other hashes
    assert (pdf.read_bytes(), png.read_bytes()) == before


# --- titles


@pytest.fixture
def font_folder(tmp_path) -> Path:
    """A folder of a user's data with a font in which U+4E71 is a black square and U+5F71 an empty one."""
    builder, square, empty = FontBuilder(1000, isTTF=True), TTGlyphPen(None), TTGlyphPen(None)
    for corner, move in (((0, 0), square.moveTo), ((0, 800), square.lineTo), ((800, 800), square.lineTo)):
        move(corner)
    square.lineTo((800, 0))
    square.closePath()
    builder.setupGlyphOrder([".notdef", "square", "empty"])
    builder.setupCharacterMap({0x4E71: "square", 0x5F71: "empty"})
    builder.setupGlyf({".notdef": empty.glyph(), "square": square.glyph(), "empty": TTGlyphPen(None).glyph()})
    builder.setupHorizontalMetrics(dict.fromkeys((".notdef", "square", "empty"), (1000, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Two Signs", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    (tmp_path / "data" / "fonts").mkdir(parents=True)
    builder.save(tmp_path / "data" / "fonts" / "twosigns.ttf")
    return tmp_path / "data"


def titled(folder, pair, title: str, data: Path) -> tuple[np.ndarray, str]:
    """The strip above the original of a still of that title, grey, with the fonts of that folder; what was printed."""
    still = folder / "still.png"
    words = [word for word in pair if not word.startswith("--title")]
    options = ("--at=0", "--height=144", f"--still={still}", f"--title={title}", "--by=M")
    printed = done(command("render_moment", *words, *options, environment={"XDG_DATA_HOME": str(data)}))
    arrangement = Arrangement(2, "row", 192, 144)
    left, top = arrangement.place(0)
    return np.asarray(Image.open(still).convert("L"))[top - arrangement.label_height : top, left : left + 192], printed


def test_a_title_is_written_in_a_font_that_has_its_signs(tmp_path, pair, font_folder):
    strip, printed = titled(tmp_path, pair, "乱影乱 x", font_folder)
    assert "no font has" not in printed
    white = np.concatenate([[False], (strip > 128).any(0)]).astype(int)
    starts, size = np.flatnonzero(np.diff(white) == 1), Arrangement(2, "row", 192, 144).type_size
    assert list(starts[:2]) == pytest.approx([0, 2 * size], abs=1)  # two squares, and the empty sign between them
    assert len(starts) > 2  # the x, in another font


def test_signs_that_no_font_has_are_one_line(tmp_path, pair, font_folder):
    strip, printed = titled(tmp_path, pair, "乱\U00012000 x", font_folder)
    assert printed.count("no font has \U00012000, shown as boxes") == 1 and (strip > 128).any()


@pytest.mark.parametrize("width", [240, 300, 460, 900])
@pytest.mark.parametrize("title", ["Short", "A film of a very long title that no label has room for"])
def test_a_label_of_a_long_title_still_tells_what_its_picture_is(width, title):
    """An original and a reconstruction have different labels, and none is wider than its picture."""

    def drawn(remark: str) -> np.ndarray:
        canvas = Image.new("RGB", (width + 100, 24))
        draw_text(canvas, 0, 0, width, 15, title, remark)
        return np.asarray(canvas)

    original, reconstruction = drawn("original"), drawn("as remembered by Another")
    for label in (original, reconstruction):
        assert label[:, :20].any() and not label[:, width + 1 :].any()
    assert (original != reconstruction).any() and (original != drawn("")).any()
