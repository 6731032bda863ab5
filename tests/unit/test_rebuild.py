"""Rebuilding a film: every frame once, in order, and the noise dial."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from refilm.config.recipes import RECIPES
from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import FrameStore, write_frames_from
from refilm.models.base import Networks, to_frames, to_network
from refilm.models.inference import BATCH, reconstruct_film
from tests.conftest import small_recipe


def film_of(path, count):
    frames = np.random.default_rng(count).integers(0, 256, (count, 48, 64, 3), dtype=np.uint8)
    write_frames_from(path, 64, 48, FrameMetadata(Fraction(24)), [frames])
    return frames


def networks_of(recipe) -> Networks:
    torch.manual_seed(0)
    return Networks(recipe).eval().requires_grad_(False)


def rebuilt(recipe, path, noise=0.0):
    with FrameStore(path) as film:
        parts = list(reconstruct_film(networks_of(recipe), recipe, film, noise))
    assert [start for start, _, _ in parts] == np.cumsum([0, *(len(frames) for _, _, frames in parts[:-1])]).tolist()
    return np.concatenate([latents for _, latents, _ in parts]), np.concatenate([frames for _, _, frames in parts])


@pytest.mark.parametrize("count", [1, 5, BATCH, BATCH + 1, 2 * BATCH + 7])
def test_every_frame_is_rebuilt_once_and_as_if_it_were_alone(tmp_path, count):
    frames, recipe = film_of(tmp_path / "film.h5", count), small_recipe()
    latents, found = rebuilt(recipe, tmp_path / "film.h5")
    networks = networks_of(recipe)
    mean, _ = networks.encoder(to_network(torch.from_numpy(frames)))
    assert latents.shape == (count, 16) and np.allclose(latents, mean.numpy(), atol=1e-4)
    alone = to_frames(networks.decoder(mean)).numpy().astype(int)
    assert found.shape == frames.shape and np.abs(found - alone).max() <= 1


def test_2016_rebuilds_in_batches_of_its_training_and_drops_no_frame(tmp_path):
    recipe = small_recipe(recipe="broad2016", **RECIPES["broad2016"].defaults)  # batches of 4
    frames = film_of(tmp_path / "film.h5", 10)
    _, found = rebuilt(recipe, tmp_path / "film.h5")
    networks = networks_of(recipe)

    def decode_batch(first):
        return to_frames(
            networks.decoder(networks.encoder(to_network(torch.from_numpy(frames[first : first + 4])))[0])
        ).numpy()

    expected = np.concatenate(
        [decode_batch(0), decode_batch(4), decode_batch(6)[2:]]
    )  # the last batch begins early enough to be whole
    assert np.abs(found.astype(int) - expected).max() <= 1 and len(found) == 10


def test_noise_is_a_function_of_seed_and_frame_alone(tmp_path):
    film_of(tmp_path / "film.h5", BATCH + 9)
    recipe, other = small_recipe(), small_recipe(seed=1)
    latents, plain = rebuilt(recipe, tmp_path / "film.h5")
    noisy_latents, noisy = rebuilt(recipe, tmp_path / "film.h5", 1.0)
    assert np.array_equal(latents, noisy_latents)  # what is kept of a film is its means
    assert np.array_equal(noisy, rebuilt(recipe, tmp_path / "film.h5", 1.0)[1])
    assert not np.array_equal(noisy, plain) and not np.array_equal(noisy, rebuilt(other, tmp_path / "film.h5", 1.0)[1])
    wilder = rebuilt(recipe, tmp_path / "film.h5", 3.0)[1]
    assert np.abs(wilder.astype(int) - plain).mean() > np.abs(noisy.astype(int) - plain).mean()


def test_an_autoencoder_has_no_posterior_and_its_noise_is_plain(tmp_path):
    """Its log-variance head was never trained: what it says must not matter."""
    recipe = small_recipe(recipe="autoencoder")
    film_of(tmp_path / "film.h5", 3)
    found = []
    for bias in (0.0, 9.0):
        networks = networks_of(recipe)
        networks.encoder.head.bias[16:] = bias
        with FrameStore(tmp_path / "film.h5") as film:
            found.append(next(reconstruct_film(networks, recipe, film, 0.5))[2])
    assert np.array_equal(*found)
