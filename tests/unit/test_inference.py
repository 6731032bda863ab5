"""Films through a model: every frame once, in order; the noise dial; any frames; the prior."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from refilm.frames.metadata import FrameMetadata
from refilm.frames.store import FrameStore, write_frames_from
from refilm.models.base import Model, to_frames, to_network
from refilm.models.inference import (
    BATCH,
    decode_frames,
    decode_latents,
    encode_film,
    reconstruct_frames,
    sample_prior,
)
from refilm.models.registry import build_model
from tests.conftest import small_recipe
from tests.models import recipe_named


def film_of(path, count):
    frames = np.random.default_rng(count).integers(0, 256, (count, 48, 64, 3), dtype=np.uint8)
    write_frames_from(path, 64, 48, FrameMetadata(Fraction(24)), [frames])
    return frames


def model_of(recipe) -> Model:
    torch.manual_seed(0)
    return build_model(recipe).eval().requires_grad_(False)


def encoded(recipe, path, noise=0.0) -> np.ndarray:
    with FrameStore(path) as film:
        return np.concatenate(list(encode_film(model_of(recipe), film, noise)))


def decoded(recipe, latents) -> np.ndarray:
    return np.concatenate(list(decode_latents(model_of(recipe), latents)))


@pytest.mark.parametrize("count", [1, 5, BATCH, BATCH + 1, 2 * BATCH + 7])
def test_every_frame_is_reconstructed_once_and_independently_of_the_others(tmp_path, count):
    frames, recipe = film_of(tmp_path / "film.h5", count), small_recipe()
    latents, model = encoded(recipe, tmp_path / "film.h5"), model_of(recipe)
    mean, _ = model.encode(to_network(torch.from_numpy(frames)))
    assert latents.dtype == np.float32 and latents.shape == (count, 16)
    assert np.allclose(latents, mean.numpy(), atol=1e-4)
    alone = to_frames(model.decode(mean)).numpy().astype(int)
    reconstruction = decoded(recipe, latents)
    assert reconstruction.shape == frames.shape and np.abs(reconstruction - alone).max() <= 1


@pytest.mark.parametrize("name", ["larsen2015", "broad2016"])
@pytest.mark.parametrize(("first", "end"), [(0, None), (0, 3), (5, 9), (9, 10), (7, 99), (4, 4)])
def test_a_part_of_a_film_is_the_same_part_of_the_whole(tmp_path, name, first, end):
    recipe = recipe_named(name)
    film_of(tmp_path / "film.h5", 10)
    latents = encoded(recipe, tmp_path / "film.h5")
    parts = list(decode_latents(model_of(recipe), latents, first, end))
    part = np.concatenate(parts) if parts else np.empty((0, 48, 64, 3), np.uint8)
    assert np.array_equal(part, decoded(recipe, latents)[first:end])


@pytest.mark.parametrize("name", ["larsen2015", "broad2016"])
def test_single_frames_are_those_of_the_whole_film(tmp_path, name):
    recipe, model = recipe_named(name), model_of(recipe_named(name))
    film_of(tmp_path / "film.h5", 10)
    latents, indices = encoded(recipe, tmp_path / "film.h5"), [9, 0, 4, 4]
    whole = decoded(recipe, latents)
    assert np.array_equal(decode_frames(model, latents, indices), whole[indices])
    with FrameStore(tmp_path / "film.h5") as film:
        assert np.array_equal(reconstruct_frames(model, film, indices), whole[indices])


def test_2016_computes_the_batches_of_its_training_and_drops_no_frame(tmp_path):
    recipe, model = recipe_named("broad2016"), model_of(recipe_named("broad2016"))  # batches of 4
    frames = film_of(tmp_path / "film.h5", 10)
    latents = encoded(recipe, tmp_path / "film.h5")

    def encode(first):
        return model.encode(to_network(torch.from_numpy(frames[first : first + 4])))[0].numpy()

    # the last batch begins early enough to be full
    assert np.allclose(latents, np.concatenate([encode(0), encode(4), encode(6)[2:]]), atol=1e-4)

    def decode(first):
        return to_frames(model.decode(torch.from_numpy(latents[first : first + 4]))).numpy()

    expected = np.concatenate([decode(0), decode(4), decode(6)[2:]])
    assert np.abs(decoded(recipe, latents).astype(int) - expected).max() <= 1


def test_noise_is_a_function_of_seed_and_frame_alone(tmp_path):
    film_of(tmp_path / "film.h5", BATCH + 9)
    recipe, path = small_recipe(), tmp_path / "film.h5"
    latents, noisy = encoded(recipe, path), encoded(recipe, path, 1.0)
    assert np.array_equal(noisy, encoded(recipe, path, 1.0))
    assert not np.array_equal(noisy, latents) and not np.array_equal(noisy, encoded(small_recipe(seed=1), path, 1.0))
    assert np.allclose(encoded(recipe, path, 3.0) - latents, 3 * (noisy - latents), atol=1e-4)


def test_the_noise_of_an_autoencoder_has_a_standard_deviation_of_one(tmp_path):
    """Its log-variance head is never trained: its output must not matter."""
    film_of(tmp_path / "film.h5", 3)
    results = []
    for bias in (0.0, 9.0):
        model = model_of(small_recipe(recipe="autoencoder"))
        model.encoder.head.bias[16:] = bias
        with FrameStore(tmp_path / "film.h5") as film:
            results.append(np.concatenate(list(encode_film(model, film, 0.5))))
    assert np.array_equal(*results)


@pytest.mark.parametrize("name", ["larsen2015", "vae", "broad2016"])
def test_samples_are_decoded_from_the_prior_of_the_recipe(name):
    model, normal = model_of(recipe_named(name)), torch.randn(8, 16, generator=torch.Generator().manual_seed(1))
    latents = torch.erf(normal / 2**0.5) if name == "broad2016" else normal
    expected = torch.cat([model.decode(part) for part in latents.split(4)])  # batches of 4 in broad2016
    assert np.abs(sample_prior(model, normal).astype(int) - to_frames(expected).numpy()).max() <= 1
