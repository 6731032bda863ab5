"""Frames from noise: a sheet that a seed fixes, and a drift that closes on itself."""

import numpy as np
import pytest
import torch

from refilm.models.inference import sample_prior
from refilm.models.model_file import load_model
from refilm.rendering.samples import closed_path, decode_path, independent_noise
from tests.models import recipe_named, save_untrained


def test_more_samples_begin_with_the_same_ones():
    few, more = (independent_noise(count, 16, seed=5) for count in (3, 70))
    assert torch.equal(few, more[:3]) and len(torch.unique(more, dim=0)) == 70
    noise = independent_noise(2000, 16, seed=0)
    assert abs(noise.mean()) < 0.02 and noise.std() == pytest.approx(1, abs=0.02)


# --- the drift


def steps_of(path: torch.Tensor) -> np.ndarray:
    """Distance of each point of a loop from the one before it; the first is that of the seam."""
    return (path - path.roll(1, 0)).norm(dim=1).numpy()


@pytest.mark.parametrize("seconds", [2, 20, 61.7])
def test_the_seam_of_a_drift_is_like_any_other_moment(seconds):
    """No frame is doubled and none is missing: the step over the seam is as long as its neighbours, and turns as little."""
    path = closed_path(seconds, 200, seed=3)
    steps = steps_of(path)
    assert len(path) == round(24 * seconds)
    assert steps[0] == pytest.approx((steps[-1] + steps[1]) / 2, rel=0.05)
    assert steps.min() > 0 and len(torch.unique(path, dim=0)) == len(path)
    turns = np.abs(np.diff(steps, append=steps[0]))
    assert turns[[-1, 0]].max() <= turns.max() < 0.15 * steps.mean()


def test_a_drift_repeats_with_the_period_of_its_length():
    """Its spectrum over the frames has whole waves alone: frame N, if it were there, would be frame 0."""
    path = closed_path(20, 50, seed=0)
    power = np.abs(np.fft.rfft(path.double().numpy(), axis=0)) ** 2
    assert power[1:6].sum() / power.sum() > 1 - 1e-9  # five waves in 20 seconds: 0.25 Hz


def test_every_moment_of_a_drift_is_a_draw_of_the_prior():
    paths = torch.stack([closed_path(8, 64, seed) for seed in range(64)])  # (seeds, frames, dim)
    mean, std = paths.mean(dim=(0, 2)), paths.std(dim=(0, 2))
    assert mean.abs().max() < 0.06 and (std - 1).abs().max() < 0.06
    points = paths[:, 50].flatten().numpy()
    for threshold, below in ((-1, 0.1587), (0, 0.5), (2, 0.9772)):  # of a standard normal distribution
        assert (points < threshold).mean() == pytest.approx(below, abs=0.02)


def test_a_longer_drift_is_longer_and_not_slower():
    short, long = (steps_of(closed_path(seconds, 200, seed=1)).mean() for seconds in (20, 120))
    assert short == pytest.approx(long, rel=0.15)
    assert torch.equal(closed_path(20, 200, seed=1), closed_path(20, 200, seed=1))
    assert not torch.equal(closed_path(20, 200, seed=1), closed_path(20, 200, seed=2))


def test_where_frames_of_a_batch_change_each_other_the_last_batch_ends_with_the_first_frames(tmp_path):
    file = save_untrained(tmp_path / "model.safetensors", recipe_named("broad2016"))  # batches of 4
    model, path = load_model(file, torch.device("cpu")), closed_path(10 / 24, 16, seed=0)
    found = np.concatenate(list(decode_path(model, path)))
    assert len(found) == 10
    for batch in ([0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1]):
        own = [n for n in batch if n >= batch[0]]
        assert np.array_equal(found[own], sample_prior(model, path[batch])[: len(own)])
