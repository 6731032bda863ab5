"""Latent search: nearer to the frame, never further; each frame for itself; the same again."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch

from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import FrameStore, write_frames_from
from refilm.models.base import Model, to_network
from refilm.models.inference import BATCH, encode_film
from refilm.models.latent_search import search_latents
from refilm.models.registry import build_model
from tests.conftest import small_recipe
from tests.models import recipe_named

RECONSTRUCTING = ["larsen2015", "vae", "autoencoder", "broad2016"]
RANDOM = np.random.default_rng(0)


class Tiles(Model):
    """A linear decoder: every latent is the value of a tile of 12x16 pixels, in all three colours."""

    def decode(self, latents):
        return latents.view(-1, 1, 4, 4).repeat_interleave(12, 2).repeat_interleave(16, 3).expand(-1, 3, -1, -1)


def model_of(name: str) -> Model:
    torch.manual_seed(0)
    return build_model(recipe_named(name)).eval().requires_grad_(False)


def film_of(path, frames: np.ndarray):
    write_frames_from(path, 64, 48, FrameMetadata(Fraction(24)), [frames])
    return path


def pictures(count: int) -> np.ndarray:
    """Smooth random frames: uint8 (count, 48, 64, 3)."""
    small = RANDOM.integers(0, 256, (count, 6, 8, 3), dtype=np.uint8)
    return small.repeat(8, axis=1).repeat(8, axis=2)


def encoded(model: Model, path, **options) -> np.ndarray:
    with FrameStore(path) as film:
        return np.concatenate(list(encode_film(model, film, **options)))


def losses_of(model: Model, latents: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """Mean absolute plus mean squared error of each frame decoded, values from -1 to 1: (N,)."""
    error = model.decode(latents).double() - frames.double()
    return error.abs().mean((1, 2, 3)) + error.square().mean((1, 2, 3))


def test_a_linear_decoder_gets_near_the_optimum_that_is_known():
    """Half of the pixels of a tile are as much above a value as the others are below: that value is the best."""
    optimum = torch.tensor(RANDOM.uniform(-0.7, 0.7, (5, 16)), dtype=torch.float32)
    model = Tiles(small_recipe())
    frames = model.decode(optimum) + torch.tensor([0.2, -0.2]).repeat(32)
    start = optimum + torch.tensor(RANDOM.choice([-0.15, 0.15], (5, 16)), dtype=torch.float32)
    distances = [(search_latents(model, frames, start, steps) - optimum).abs().max() for steps in (0, 5, 20, 100)]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] == pytest.approx(0.15) and distances[-1] < 0.01


def test_steps_are_a_fraction_of_the_latents_whatever_their_scale():
    """The same decoder with latents of 100 times the size: the search is the same."""
    optimum, start = torch.tensor(RANDOM.uniform(-1, 1, (2, 3, 16)), dtype=torch.float32)
    model = Tiles(small_recipe())
    frames = model.decode(optimum)
    expected = search_latents(model, frames, start, 20)
    decode = model.decode
    model.decode = lambda latents: decode(latents / 100)
    found = search_latents(model, frames, start * 100, 20)
    assert torch.allclose(found / 100, expected, atol=1e-5) and not torch.allclose(expected, start, atol=0.1)


@pytest.mark.parametrize("name", ["larsen2015", "vae", "autoencoder"])
def test_no_frame_gets_worse_and_the_others_get_better(name):
    """Frames that are decoded from nearly these latents: the best ones are nearer than a step is long."""
    model, latents = model_of(name), torch.tensor(RANDOM.normal(0, 1, (6, 16)), dtype=torch.float32)
    frames = torch.cat([model.decode(1.0001 * latents[:3]), to_network(torch.from_numpy(pictures(3)))])
    found = search_latents(model, frames, latents, 3)
    change = losses_of(model, found, frames) - losses_of(model, latents, frames)
    assert found.dtype == torch.float32 and (change[:3] <= 0).all() and (change[3:] < 0).all()


@pytest.mark.parametrize("name", RECONSTRUCTING)
def test_a_film_is_nearer_with_every_further_step_or_as_near(tmp_path, name):
    """Of `broad2016`, whose frames change each other, that holds for batches."""
    model, frames = model_of(name), pictures(4)
    path = film_of(tmp_path / "film.h5", frames)
    latents = [torch.from_numpy(encoded(model, path, search=steps)) for steps in (0, 1, 3, 10)]
    losses = [losses_of(model, each, to_network(torch.from_numpy(frames))) for each in latents]
    if name == "broad2016":
        losses = [batch.mean() for batch in losses]
    for before, after in itertools.pairwise(losses):
        assert (after <= before + 1e-6).all()
    assert (losses[-1] < losses[0]).all()


def test_frames_that_change_each_other_get_the_latents_of_one_step():
    """The first frame is perfect as long as the others keep their latents, and not for these alone."""
    model, latents = model_of("broad2016"), torch.tensor(RANDOM.uniform(-1, 1, (4, 16)), dtype=torch.float32)
    frames = torch.cat([model.decode(latents)[:1], to_network(torch.from_numpy(pictures(3)))])
    found = search_latents(model, frames, latents, 3)
    assert not torch.equal(found[0], latents[0])
    assert losses_of(model, found, frames).mean() < losses_of(model, latents, frames).mean()


@pytest.mark.parametrize("name", RECONSTRUCTING)
def test_the_same_search_gives_the_same_bytes_and_leaves_the_model_alone(tmp_path, name):
    model, path = model_of(name), film_of(tmp_path / "film.h5", pictures(6))
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    first = encoded(model, path, search=3)
    assert first.dtype == np.float32 and first.tobytes() == encoded(model, path, search=3).tobytes()
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())


def test_a_frame_has_the_same_latents_in_a_longer_film(tmp_path):
    """Wherever batches begin: the second film has the end of the first in other places of its batches."""
    model, frames = model_of("larsen2015"), pictures(BATCH + 9)
    whole = encoded(model, film_of(tmp_path / "whole.h5", frames), search=3)
    half = encoded(model, film_of(tmp_path / "half.h5", frames[:20]), search=3)
    later = encoded(model, film_of(tmp_path / "later.h5", frames[7:]), search=3)
    assert np.array_equal(half, whole[:20]) and np.array_equal(later, whole[7:])


def test_noise_is_added_to_the_latents_that_were_found(tmp_path):
    model, path = model_of("vae"), film_of(tmp_path / "film.h5", pictures(5))
    plain, noisy = encoded(model, path), encoded(model, path, noise=1.0)
    found, both = encoded(model, path, search=3), encoded(model, path, noise=1.0, search=3)
    assert np.allclose(both - found, noisy - plain, atol=1e-5) and not np.allclose(found, plain, atol=1e-3)
