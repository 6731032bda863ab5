"""What of a film is in its reconstruction: composition, brightness, motion and style, each against what is known by hand."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.quality.style import Style
from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import write_frames_from
from refilm.models import metrics

HEIGHT, WIDTH = 96, 160


def moving_squares(count: int = 24, seed: int = 0) -> torch.Tensor:
    """Six squares that move over a wall of tiles, uint8 (count, 96, 160, 3); no level below 10 or above 240."""
    random = np.random.default_rng(seed)
    wall = np.kron(random.integers(10, 240, (6, 10, 3)), np.ones((16, 16, 1), int)).astype(np.uint8)
    frames = np.repeat(wall[None], count, axis=0)
    for _ in range(6):
        colour, (row, column), (down, across) = (
            random.integers(10, 240, 3),
            random.integers(0, 60, 2),
            random.integers(1, 3, 2),
        )
        for n, frame in enumerate(frames):
            top, left = (row + n * down) % (HEIGHT - 12), (column + n * across) % (WIDTH - 12)
            frame[top : top + 12, left : left + 12] = colour
    return torch.from_numpy(frames)


def blurred(frames: torch.Tensor) -> torch.Tensor:
    """Means of 8x8 pixels."""
    small = torch.nn.functional.avg_pool2d(frames.permute(0, 3, 1, 2).float(), 8)
    return torch.nn.functional.interpolate(small, scale_factor=8.0, mode="bilinear").permute(0, 2, 3, 1).byte()


FILM = moving_squares()


# --- thumbnails


@pytest.mark.parametrize("size", [(16, 32), (48, 64), (80, 112)])
def test_thumbnails_are_means_of_equal_areas(size):
    """Against sums over every pixel's nine by sixteen parts, which tile each area exactly."""
    frames = torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    tiled = np.repeat(np.repeat(frames.numpy().astype(float), 9, axis=1), 16, axis=2)
    expected = tiled.reshape(2, 9, size[0], 16, size[1], 3).mean(axis=(2, 4))
    assert metrics.thumbnails(frames).numpy() == pytest.approx(expected)


# --- composition


def composition(film: torch.Tensor, reconstruction: torch.Tensor) -> torch.Tensor:
    return metrics.composition(metrics.thumbnails(film), metrics.thumbnails(reconstruction))


def test_composition_is_the_correlation_of_coarse_pictures():
    other = moving_squares(seed=1)
    small = [metrics.luma(metrics.thumbnails(frames)).flatten(1).numpy() for frames in (FILM, other)]
    expected = [np.corrcoef(x, y)[0, 1] for x, y in zip(*small, strict=True)]
    assert composition(FILM, other).numpy() == pytest.approx(expected)


def test_composition_knows_where_things_are_and_not_how_bright():
    for same in (FILM, FILM // 2 + 100):
        assert composition(FILM, same).numpy() == pytest.approx(1, abs=1e-3)
    assert composition(FILM, 255 - FILM).numpy() == pytest.approx(-1)
    assert composition(FILM, blurred(FILM)).min() > 0.97
    assert composition(FILM, FILM.flip(2)).max() < 0.5


def test_composition_of_an_even_frame_is_not_a_number_and_an_even_answer_has_none():
    black, grey = torch.zeros_like(FILM), torch.full_like(FILM, 57)
    noise = torch.randint(0, 3, FILM.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for even in (black, grey, noise):
        assert composition(even, FILM).isnan().all()
    assert composition(FILM, grey).abs().max() < 1e-6


# --- brightness and colour


def test_brightness_and_colour_errors_are_grey_levels():
    brighter, redder = FILM + 10, FILM.clone()
    redder[..., 0] += 6
    small, bright, red = (metrics.thumbnails(frames) for frames in (FILM, brighter, redder))
    assert metrics.brightness_error(small, bright).numpy() == pytest.approx(10)
    assert metrics.brightness_error(bright, small).numpy() == pytest.approx(-10)
    assert metrics.brightness_error(small, red).numpy() == pytest.approx(6 * 0.2126)
    assert metrics.colour_error(small, red).numpy() == pytest.approx(2)


# --- motion


def motion(film: torch.Tensor, reconstruction: torch.Tensor) -> float:
    small = (metrics.changes(metrics.luma(metrics.thumbnails(frames))) for frames in (film, reconstruction))
    return metrics.along(metrics.change_products(*small).sum(dim=0)).item()


def products(film: torch.Tensor, reconstruction: torch.Tensor) -> torch.Tensor:
    """Of all pairs of frames together."""
    return metrics.change_products(metrics.changes(film), metrics.changes(reconstruction)).sum(dim=0)


def pixels(film: torch.Tensor, reconstruction: torch.Tensor) -> tuple[float, float]:
    """(kept, along) of all pairs of frames."""
    of_all = products(film, reconstruction)
    return metrics.kept(of_all).item(), metrics.along(of_all).item()


def test_changes_of_the_film_itself_are_all_there():
    assert motion(FILM, FILM) == pytest.approx(1) and pixels(FILM, FILM) == pytest.approx((1, 1))
    assert motion(FILM, FILM // 2 + 100) == pytest.approx(1, abs=1e-2)
    assert pixels(FILM, 255 - FILM) == pytest.approx((-1, -1))


def test_half_the_contrast_keeps_half_of_the_changes_in_the_same_direction():
    even = FILM // 2 * 2
    assert pixels(even, even // 2) == pytest.approx((0.5, 1))


def test_a_still_reconstruction_keeps_nothing_and_a_still_film_has_nothing_to_keep():
    still = FILM[:1].expand_as(FILM)
    assert motion(FILM, still) == 0 and pixels(FILM, still) == (0, 0)
    assert np.isnan(motion(still, FILM)) and np.isnan(pixels(still, FILM)).all()


def test_changes_of_several_pairs_are_pooled_over_all_their_pixels():
    """Against the definition, with numpy's arithmetic: a large change counts for more than a small one."""
    recon = moving_squares(seed=2)
    changes = [np.diff(frames.numpy().astype(float), axis=0).ravel() for frames in (FILM, recon)]
    expected = changes[0] @ changes[1] / (changes[0] @ changes[0])
    correlation = changes[0] @ changes[1] / np.sqrt((changes[0] @ changes[0]) * (changes[1] @ changes[1]))
    assert pixels(FILM, recon) == pytest.approx((expected, correlation), rel=1e-4)


def excess(film, reconstruction) -> float:
    return metrics.excess(products(film, reconstruction)).item()


def test_excess_is_what_the_reconstruction_changes_by_itself():
    """In pixels where the film is still, a change of three quarters of the film's energy."""
    film, recon = torch.zeros(2, 2, 8, 8, 3, dtype=torch.uint8)
    film[1, :4] = 40
    recon[1, :4] = 30
    assert excess(film, recon) == pytest.approx(0, abs=1e-6)
    recon[1, 4:7] = 40
    assert excess(film, recon) == pytest.approx(0.75)
    assert math.isnan(excess(film[:1].expand(2, -1, -1, -1), recon))


def test_a_static_pair_changes_a_little():
    assert metrics.is_static(torch.tensor([0.0, 0.2, 0.25, 1.0, 1.5, 1.6, torch.nan])).tolist() == [
        False, False, True, True, True, False, False,
    ]  # fmt: skip


# --- style


@pytest.fixture(scope="module")
def style(tmp_path_factory) -> Style:
    path: Path = tmp_path_factory.mktemp("style") / "film.h5"
    write_frames_from(path, WIDTH, HEIGHT, FrameMetadata(Fraction(24)), [FILM.numpy()])
    return Style(path, torch.device("cpu"))


def test_the_film_itself_has_its_own_style(style):
    assert style.places(len(FILM)) == list(range(len(FILM)))
    assert style(FILM) == 0


def test_style_is_that_of_patches_wherever_and_whenever_they_are(style):
    """Frames in another order, and turned, lose motion or composition and keep the style, all but for the sample."""
    order = torch.randperm(len(FILM), generator=torch.Generator().manual_seed(0))
    assert motion(FILM, FILM[order]) < 0.3 and composition(FILM, FILM.flip(2)).max() < 0.5
    assert max(style(FILM[order]), style(FILM.flip(2))) < 0.3 * style(blurred(FILM))


def test_blur_noise_other_colours_and_other_films_are_unlike_it(style):
    noise = torch.randint(-40, 41, FILM.shape, generator=torch.Generator().manual_seed(0))
    noisy = (FILM.int() + noise).clamp(0, 255).byte()
    slight = (FILM.float() + blurred(FILM).float()).div(2).byte()
    assert 0.02 < style(slight) < style(blurred(FILM)) < style(torch.full_like(FILM, 128))
    assert style(noisy) > 0.1 and style(FILM[..., [2, 0, 1]]) > 0.05 and style(255 - FILM) > 0.05


def test_style_is_the_same_number_each_time_and_of_as_many_frames_on_both_sides(style):
    some = FILM[style.places(24)][::2]
    assert style(some) == style(some.clone()) > 0
    assert len(style.places(1000)) == len(FILM)


def test_the_style_of_grey_levels_that_are_shifted_is_the_shift_of_the_coarsest_level(tmp_path):
    """Of white noise, which is 20 levels brighter, only the mean of the coarsest level differs: its projections move by the
    shift over the level's standard deviation, times the sum of a direction."""
    noise = torch.randint(60, 190, (8, 96, 160, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    write_frames_from(tmp_path / "noise.h5", 160, 96, FrameMetadata(Fraction(24)), [noise.numpy()])
    found = Style(tmp_path / "noise.h5", torch.device("cpu"))(noise + 20)
    taps = np.array([1, 4, 6, 4, 1]) / 16
    twice = np.convolve(taps, np.kron(taps, [1, 0]))  # both blurs as one
    deviation = np.sqrt((130**2 - 1) / 12) * (twice @ twice)  # of uniform levels, after both axes of the blur
    assert found == pytest.approx(20 / deviation * np.sqrt(2 / np.pi) / 3, rel=0.15)
