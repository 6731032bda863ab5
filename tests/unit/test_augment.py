"""Augmented frames: what changes in them, and what never does."""

import pytest
import torch

from refilm.models.augment import augment, draw_augmentations
from refilm.training.sampler import augmented_frames
from tests.conftest import small_recipe

# The whole view, not mirrored, with gain and gamma of 1: exp(-1.1 + 1.6 * 0.6875) and exp(-0.6 + 1.2 * 0.5)
UNCHANGED = [0.0, 0.5, 0.5, 1.0, 0.6875, 0.5]


def frames_of(count: int) -> torch.Tensor:
    frames = torch.rand(count, 3, 48, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1
    return frames.contiguous(memory_format=torch.channels_last)


def numbers(**changed) -> torch.Tensor:
    names = ("size", "across", "down", "mirrored", "gain", "gamma")
    values = dict(zip(names, UNCHANGED, strict=True)) | changed
    return torch.tensor([list(values.values())], dtype=torch.float64)


def test_the_numbers_of_no_change_leave_a_frame_as_it_is():
    frames = frames_of(1)
    torch.testing.assert_close(augment(frames, numbers()), frames, rtol=0, atol=1e-9)


def test_only_the_first_frames_are_augmented():
    frames = frames_of(4)
    augmented = augment(frames, draw_augmentations(2, torch.Generator().manual_seed(0)))
    assert torch.equal(augmented[2:], frames[2:])
    assert all(not torch.allclose(augmented[n], frames[n], atol=0.1) for n in (0, 1))
    assert augmented.is_contiguous(memory_format=torch.channels_last) and augmented.abs().max() <= 1


def test_a_mirrored_frame_is_the_frame_from_right_to_left():
    frames = frames_of(1)
    torch.testing.assert_close(augment(frames, numbers(mirrored=0.2)), frames.flip(3), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("across", "down"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_an_enlarged_frame_is_a_corner_of_the_frame_at_most(across, down):
    """A ramp from left to right and one from top to bottom say where the view is: 65 % of each side."""
    x = torch.linspace(-1 + 1 / 64, 1 - 1 / 64, 64, dtype=torch.float64).expand(48, 64)
    y = torch.linspace(-1 + 1 / 48, 1 - 1 / 48, 48, dtype=torch.float64)[:, None].expand(48, 64)
    view = augment(torch.stack([x, y, x])[None], numbers(size=1.0, across=across, down=down))[0]
    for ramp, place in ((view[0], across), (view[1], down)):
        low, high = (-1.0, 0.3) if not place else (-0.3, 1.0)
        assert low <= ramp.min() < low + 0.05 and high - 0.05 < ramp.max() <= high


def test_gain_and_gamma_are_of_values_between_black_and_white():
    frames = torch.full((1, 3, 16, 16), 2 * 0.25 - 1.0, dtype=torch.float64)
    brightest = augment(frames, numbers(gain=1.0))  # exp(0.5) = 1.6487
    assert (brightest + 1).div(2).mean().item() == pytest.approx(0.25 * 1.6487, abs=1e-4)
    flattest = augment(frames, numbers(gamma=1.0))  # exponent exp(0.6) = 1.8221
    assert (flattest + 1).div(2).mean().item() == pytest.approx(0.25**1.8221, abs=1e-4)


def test_the_last_tenth_of_a_training_shows_the_film_as_it_is():
    recipe = small_recipe(augment=0.5, batch_size=12)
    counts = [augmented_frames(recipe, step, 100) for step in range(100)]
    assert counts == [6] * 90 + [0] * 10
    assert augmented_frames(small_recipe(), 0, 100) == 0
