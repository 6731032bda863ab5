"""Pictures for people: where things stand, and measures that agree with their definitions."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from benchmarks.quality.grid import grid_artefact_db
from refilm.core.progress import progress_bar
from refilm.core.sampling import evenly_spaced
from refilm.models import metrics
from refilm.rendering.comparison import Arrangement, Label
from refilm.rendering.cropping import display_size
from refilm.rendering.curves import diagnose, draw_curves
from refilm.rendering.sheet import write_sheet
from refilm.rendering.style import BACKGROUND, font, shorten
from tests.conftest import command, ffmpeg, refused

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("layout", ["row", "column", "grid"])
@pytest.mark.parametrize("count", [2, 3, 4, 5])
@pytest.mark.parametrize("height", [48, 433])
def test_pictures_and_labels_never_overlap_and_stay_on_the_canvas(layout, count, height):
    arrangement = Arrangement(count, layout, 2 * (height // 2), height)
    width, total_height = arrangement.size
    assert width % 2 == total_height % 2 == 0
    taken = np.zeros((total_height, width), int)
    for n in range(count):
        left, top = arrangement.place(n)
        taken[top - arrangement.label_height : top + arrangement.tile_height, left : left + arrangement.tile_width] += 1
    area = count * arrangement.tile_width * (arrangement.tile_height + arrangement.label_height)
    assert taken.max() == 1 and taken.sum() == area


def test_labels_stand_above_their_pictures_and_inside_their_width():
    arrangement = Arrangement(2, "row", 300, 200)
    labels = [Label("Короткое имя", "original"), Label("A very long title " * 20, "as remembered by nobody")]
    canvas = Image.new("RGBA", arrangement.size, (*BACKGROUND, 255))
    canvas.alpha_composite(arrangement.draw_labels(labels))
    written = np.abs(np.asarray(canvas)[:, :, :3].astype(int) - BACKGROUND).sum(2) > 60
    for n in range(2):
        left, top = arrangement.place(n)
        assert written[top - arrangement.label_height : top, left : left + 300].sum() > 50
        written[top - arrangement.label_height : top, left : left + 300] = False
    assert not written.any()


def test_what_is_too_long_ends_in_an_ellipsis():
    short = shorten("A Scanner Darkly", 14, 60)
    assert short.endswith("…") and font(14).getlength(short) <= 60 and shorten("1984", 14, 60) == "1984"


def test_a_sheet_shows_the_frames_untouched_one_above_the_other(tmp_path):
    film, recon = RANDOM.integers(0, 256, (2, 6, 48, 64, 3), dtype=np.uint8)
    write_sheet(tmp_path / "sheet.png", {"film": film, "model": recon}, "Title", times=[str(n) for n in range(6)])
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    for n in range(6):
        top, left = found_at(sheet, film[n])
        assert np.array_equal(sheet[top + 50 : top + 98, left : left + 64], recon[n])


def found_at(sheet: np.ndarray, frame: np.ndarray) -> tuple[int, int]:
    rows, columns = np.nonzero((sheet == frame[0, 0]).all(2))
    for row, column in zip(rows, columns, strict=True):
        part = sheet[row : row + len(frame), column : column + frame.shape[1]]
        if part.shape == frame.shape and np.array_equal(part, frame):
            return row, column
    raise AssertionError("the frame is not on the sheet")


def test_frames_are_spread_over_the_whole_film():
    assert evenly_spaced(100, 4) == [12, 37, 62, 87] and evenly_spaced(3, 16) == [0, 1, 2] and evenly_spaced(1, 16) == [0]


def frames(*shape):
    return torch.from_numpy(RANDOM.integers(0, 256, (*shape, 3), dtype=np.uint8))


def test_psnr_is_its_definition():
    film = torch.full((2, 8, 8, 3), 100, dtype=torch.uint8)
    recon = film.clone()
    recon[1] += 10
    found = metrics.psnr(film, recon)
    assert found[0] >= 100 and found[1].item() == pytest.approx(20 * np.log10(255 / 10))


def test_ssim_is_its_definition():
    """Against the formula written out for one window, and its two ends."""
    film, recon = frames(1, 11, 11), frames(1, 11, 11)
    at = np.arange(11) - 5
    window = np.exp(-(at[:, None] ** 2 + at[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    expected = []
    for channel in range(3):
        x, y = (f[0, :, :, channel].numpy().astype(float) for f in (film, recon))
        mean_x, mean_y = (window * x).sum(), (window * y).sum()
        variance_x, variance_y = (window * (x - mean_x) ** 2).sum(), (window * (y - mean_y) ** 2).sum()
        covariance = (window * (x - mean_x) * (y - mean_y)).sum()
        c1, c2 = 2.55**2, 7.65**2
        top = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
        expected.append(top / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)))
    assert metrics.ssim(film, recon).item() == pytest.approx(np.mean(expected), abs=1e-6)
    assert metrics.ssim(film, film).item() == pytest.approx(1.0)


def test_pooled_psnr_is_that_of_all_pixels_together():
    film, reconstruction = frames(4, 16, 16), frames(4, 16, 16)
    reconstruction[1:] = film[1:] // 2 + reconstruction[1:] // 2
    squared = (film.double() - reconstruction.double()).square().mean().item()
    pooled = metrics.pooled_psnr(metrics.psnr(film, reconstruction)).item()
    assert pooled == pytest.approx(10 * np.log10(255**2 / squared), abs=1e-9)


def test_temporal_error_sees_flicker_and_not_a_steady_fault():
    film = frames(5, 16, 16) // 2
    steady = film + 40
    flicker = film.clone()
    flicker[1::2] += 20
    changes, of_steady, of_flicker = (metrics.changes(frames) for frames in (film, steady, flicker))
    assert metrics.temporal_error(changes, of_steady).max() == 0
    assert metrics.temporal_error(changes, of_flicker).mean().item() == pytest.approx(20)
    assert torch.allclose(metrics.motion(changes), (film[1:].double() - film[:-1].double()).abs().mean((1, 2, 3)))


def test_sharpness_and_contrast():
    stripes = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    stripes[:, :, 1::2] = 100
    luma = metrics.luma(stripes)
    assert metrics.sharpness(luma).item() == pytest.approx(50)  # 100 across, 0 along
    assert metrics.contrast(luma).item() == pytest.approx(50)


@pytest.mark.parametrize("grid", [2, 4, 8])
@pytest.mark.parametrize("axis", [1, 2])
def test_a_faint_grid_is_measured_and_noise_is_not(grid, axis):
    random = np.random.default_rng(0)
    noise = 100 + random.normal(0, 4, (8, 144, 256, 3))
    at = np.arange(noise.shape[axis]).reshape((-1, 1, 1) if axis == 1 else (1, -1, 1))
    grids = noise + 3.0 * (at % grid < grid / 2)
    assert grid_artefact_db(torch.from_numpy(noise)).abs().mean() < 1
    assert (grid_artefact_db(torch.from_numpy(grids)) - grid_artefact_db(torch.from_numpy(noise))).min() > 1


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize(
    "columns",
    [
        "psnr,kl_bits,encoder_grad_norm,decoder_grad_norm",
        "psnr,feature_loss,d_real,d_recon,d_prior",
        "l_gan,l_generator,d_real,d_prior,discriminator_grad_norm,decoder_grad_norm",
    ],
)
def test_curves_are_drawn_for_every_recipe_from_the_first_row_on(tmp_path, columns, count):
    names = ["step", "seconds", "frames_per_s", *columns.split(",")]
    rows = [",".join(names)] + [",".join(str(n * (k + 1)) for k in range(len(names))) for n in range(1, count + 1)]
    (tmp_path / "training.csv").write_text("\n".join(rows))
    draw_curves(tmp_path / "training.csv", tmp_path / "training.png", "bikes")
    assert Image.open(tmp_path / "training.png").width > 1000


def rows_of(count: int = 60, **columns) -> pd.DataFrame:
    """The log of a healthy training, with columns replaced by functions of the share of it that is done."""
    healthy = {
        "psnr": lambda x: 25 - 15 * np.exp(-5 * x),
        "kl_bits": lambda x: 200 + 0 * x,
        "feature_loss": lambda x: 0.2 + np.exp(-9 * x),
        "d_real": lambda x: 0.8 + 0 * x,
        "d_recon": lambda x: 0.25 + 0 * x,
        "d_prior": lambda x: 0.15 + 0 * x,
        "encoder_grad_norm": lambda x: 2 - x,
        "frames_per_s": lambda x: 100 + 0 * x,
    }
    x = np.linspace(0, 1, count)
    return pd.DataFrame({"step": 20 * np.arange(1, count + 1)} | {k: f(x) for k, f in (healthy | columns).items()})


def test_a_healthy_training_has_no_findings():
    assert diagnose(rows_of()) == {} and diagnose(rows_of(3, psnr=lambda x: -9 * x)) == {}


@pytest.mark.parametrize(
    ("column", "course", "words"),
    [
        ("psnr", lambda x: 25 - 9 * np.maximum(0, x - 0.6), "dB below its best"),
        ("held_out_psnr", lambda x: np.where(np.arange(60) % 9, np.nan, 22 - 9 * (x - 0.4) ** 2), "learns by heart"),
        ("kl_bits", lambda x: 200 * np.exp(-9 * x), "lower kl_weight"),
        ("d_recon", lambda x: 0.9 + 0 * x, "raise discriminator_lr_scale"),
        ("encoder_grad_norm", lambda x: np.where(abs(x - 0.8) < 0.03, 1e6, 1.0), "lower learning_rate"),
        ("frames_per_s", lambda x: np.where(x > 0.8, 20.0, 100.0), "slower than before"),
    ],
)
def test_what_is_not_healthy_is_diagnosed(column, course, words):
    (finding,) = diagnose(rows_of(**{column: course})).values()
    assert words in finding


def adversarial_rows(**columns) -> pd.DataFrame:
    """The log of a recipe that does not reconstruct: no PSNR, no latents of films."""
    rows = rows_of(**columns)
    return rows.drop(columns=["psnr", "kl_bits", "feature_loss", "d_recon", "encoder_grad_norm"])


def test_a_recipe_without_reconstructions_is_diagnosed_too():
    assert diagnose(adversarial_rows()) == {}
    (finding,) = diagnose(adversarial_rows(d_prior=lambda x: 0.9 + 0 * x)).values()
    assert "raise discriminator_lr_scale" in finding
    norms = {"generator_grad_norm": lambda x: np.where(abs(x - 0.8) < 0.03, 1e6, 1.0)}
    (finding,) = diagnose(adversarial_rows(**norms)).values()
    assert "lower learning_rate" in finding


def test_a_log_has_lines_and_no_flood(capsys):
    with progress_bar("extract bikes", 1000, " frames") as bar:
        for _ in range(1000):
            bar.update(1)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) <= 3 and "\r" not in "".join(lines)
    assert "1000/1000" in lines[-1] and "frames/s" in lines[-1] and "ETA" in lines[-1]


def test_the_preview_of_the_crop_shows_what_is_seen_bright_and_the_rest_dim(tmp_path):
    """A white film between black bars, for frames of another shape: white inside the box, grey beside it, black above."""
    film, sheet = tmp_path / "film.mp4", tmp_path / "crop.png"
    source = "color=white:size=320x136:rate=24:duration=2,pad=320:180:0:22"
    ffmpeg("-f", "lavfi", "-i", source, "-crf", "1", film)
    words = ("preview_crop", f"--source={film}", "--title=T", "--size=64x48", f"--sheet={sheet}")
    assert "--count: 0 is not a valid number" in refused(command(*words, "--count=0"))
    done = command(*words, "--count=4")
    assert done.returncode == 0 and "320 x 136 of 320 x 180 at 0, 22: black bars found; 182 x 136 of it" in done.stdout
    frame = np.asarray(Image.open(sheet).convert("L"))[-220:-40, 24:344]  # the first of a row of four
    middle = frame[frame.shape[0] // 2]
    assert middle[160] > 245 and 60 < middle[30] < 90 and 60 < middle[290] < 90
    assert (frame.max(1) < 20).sum() > 20


def test_a_preview_of_the_crop_has_the_shape_in_which_the_film_is_meant():
    assert display_size(720, 576, Fraction(64, 45)) == (320, 180)
    assert display_size(1080, 1920, Fraction(1)) == (135, 240)
    assert display_size(7680, 16, Fraction(1)) == (320, 1)
