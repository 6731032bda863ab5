"""`hybrid`: its linear code against the singular value decomposition and the cosine transform, its gradients against the sum
of the losses, and that it begins as its linear code."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from refilm.config.recipe import Recipe
from refilm.core.errors import RefilmError
from refilm.models.base import Batch, StepContext, to_network
from refilm.models.hybrid import DISCRIMINATOR, PIXELS, Hybrid
from refilm.models.larsen2015 import inverse_gamma
from refilm.models.linear_code import LinearCode
from refilm.models.losses import dissimilarity, feature_loss, pair_loss, pixel_loss
from refilm.models.metrics import ssim
from refilm.models.registry import build_model
from tests.models import batch_of, recipe_named, relative_difference

WIDTH, HEIGHT = 64, 48


def film_of(count: int, seed: int = 0) -> np.ndarray:
    """Frames of smooth pictures that move, uint8 (count, 48, 64, 3)."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = [
        (random.uniform(0.02, 0.2, 2), random.uniform(0, 6, 3), random.uniform(0.05, 0.4), random.uniform(5, 30, 3))
        for _ in range(12)
    ]
    frames = np.full((count, HEIGHT, WIDTH, 3), 110.0)
    for (down, across), phase, speed, heights in waves:
        for colour in range(3):
            angle = down * y + across * x + phase[colour]
            frames[..., colour] += heights[colour] * np.sin(angle + speed * np.arange(count)[:, None, None])
    return frames.clip(0, 255).round().astype(np.uint8)


def fitted(frames: np.ndarray, cosines: int, latent_dim: int = 16) -> LinearCode:
    code = LinearCode(latent_dim, (WIDTH, HEIGHT))
    code.fit(frames, cosines)
    return code.double()


def flat(frames: np.ndarray) -> np.ndarray:
    return frames.reshape(len(frames), -1) / 127.5 - 1


def reconstructed(code: LinearCode, frames: np.ndarray) -> np.ndarray:
    values = code.decode(code.encode(to_network(torch.from_numpy(frames)).double()))
    return values.permute(0, 2, 3, 1).flatten(1).numpy()


def test_nothing_that_no_latent_can_change_is_in_every_frame_of_a_film_of_cosines():
    """A fine pattern that all frames of the film share is beyond the code, and so it is not in frames of another film."""
    fine = (20 * (-1) ** np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)))[None, :, :, None]
    code = fitted((film_of(120).clip(30, 220) + fine).astype(np.uint8), 16)
    others = reconstructed(code, film_of(30, seed=1))
    patterns = code.basis.numpy()
    assert np.abs(others - others @ patterns.T @ patterns).max() < 1e-3


def test_without_cosines_it_is_the_best_linear_code_of_its_size():
    """Eckart and Young: no code of 16 numbers has a smaller squared error than the first singular vectors."""
    frames = film_of(120)
    centred = flat(frames) - flat(frames).mean(0)
    values = np.linalg.svd(centred, compute_uv=False)
    least = np.square(values[16:]).sum()
    error = np.square(reconstructed(fitted(frames, 0), frames) - flat(frames)).sum()
    assert least <= error * 1.0001 and error <= 1.02 * least


def test_small_frames_have_as_many_cosines_as_latents():
    """Frames of 64x48 have 144 cosines of half periods of 8 pixels or more."""
    frames = film_of(30)
    code = fitted(frames, 200, 200)
    basis = code.basis.numpy()
    np.testing.assert_allclose(basis @ basis.T, np.eye(200), atol=2e-3)
    few, many = (np.square(reconstructed(one, frames) - flat(frames)).mean() for one in (fitted(frames, 144, 144), code))
    assert many < few


def test_with_cosines_alone_it_is_a_truncated_cosine_transform():
    """Its picture of a frame of another film is the projection onto 16 cosines: what is left is orthogonal to them, and the
    patterns do not come from the film's frames."""
    code = fitted(film_of(120), 16)
    basis = code.basis.numpy().reshape(16, HEIGHT, WIDTH, 3)
    down, across = (np.cos(np.pi * np.arange(n)[:, None] * (np.arange(n) + 0.5) / n) for n in (HEIGHT, WIDTH))
    for pattern in basis:
        spectrum = np.einsum("hwc,yh,xw->cyx", pattern, down, across)
        largest = np.unravel_index(np.abs(spectrum).argmax(), spectrum.shape)
        others = np.abs(spectrum).copy()
        others[:, largest[1], largest[2]] = 0
        assert others.max() < 1e-3 * np.abs(spectrum).max()  # one frequency, in three colours


@pytest.mark.parametrize("cosines", [0, 5, 16])
def test_its_patterns_are_orthonormal_and_its_latents_have_unit_variance(cosines):
    frames = film_of(150)
    code = fitted(frames, cosines)
    assert np.abs(code.basis.numpy() @ code.basis.numpy().T - np.eye(16)).max() < 2e-3  # float16 in the file
    latents = code.encode(to_network(torch.from_numpy(frames)).double())
    assert latents.mean(0).abs().max() < 1e-3
    assert (latents.square().mean(0).sqrt() - 1).abs().max() < 1e-3


def test_fewer_frames_than_components_leave_no_empty_pattern():
    code = fitted(film_of(6), 0)
    assert code.basis.isfinite().all() and (code.basis.norm(dim=1) - 1).abs().max() < 2e-3


def natural_film(seed: int, count: int = 20) -> np.ndarray:
    """Pictures whose coarse parts vary most, as those of nature do: uint8 (count, 48, 64, 3)."""
    generator = torch.Generator().manual_seed(seed)
    frames = torch.full((count, 3, HEIGHT, WIDTH), 128.0)
    for size, height in ((2, 60.0), (4, 30.0), (8, 15.0), (16, 7.0)):
        coarse = height * torch.randn(count, 3, size, size, generator=generator)
        frames += F.interpolate(coarse, (HEIGHT, WIDTH), mode="bilinear", align_corners=False)
    return frames.clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()


def test_cosines_describe_a_film_never_seen_better_and_components_their_own():
    own, other = natural_film(0), natural_film(1)
    components, cosines = (
        [np.square(reconstructed(code, frames) - flat(frames)).mean() for frames in (own, other)]
        for code in (fitted(own, 0), fitted(own, 16))
    )
    assert components[0] < cosines[0] and cosines[1] < components[1]


def model_of(**values) -> Hybrid:
    torch.manual_seed(0)
    recipe = recipe_named("hybrid", **values)
    model = build_model(recipe)
    model.fit(film_of(100))
    for weight in model.decoder.parameters():  # nothing is zero, so every gradient has something to say
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.05)
    return model.double()


def test_it_begins_as_the_picture_of_its_code():
    model = build_model(recipe_named("hybrid"))
    model.fit(film_of(100))
    frames = to_network(torch.from_numpy(film_of(3, seed=4)))
    latents, _ = model.encode(frames)
    torch.testing.assert_close(model.decode(latents), model.code.decode(latents), rtol=0, atol=1e-6)


def test_shapes_and_weights_at_256x144():
    recipe = recipe_named("hybrid", frame_size="256x144", base_channels=16, latent_dim=200)
    model = build_model(recipe)
    latents, _ = model.encode(torch.zeros(2, 3, 144, 256))
    assert latents.shape == (2, 200) and model.decode(latents).shape == (2, 3, 144, 256)
    assert model.code.state_dict().keys() == {"mean", "scale", "patterns"}
    assert set(model.trained_parameters()) == {"decoder", "discriminator"}


def naive_losses(model: Hybrid, batch: Batch):
    """The losses of one forward pass, each as its formula says."""
    recipe, frames = model.recipe, batch.frames
    recon = model.decode(model.encode(frames)[0])
    pixels = recipe.pixel_weight * pixel_loss(recon, frames) + recipe.ssim_weight * dissimilarity(recon, frames)
    real, real_features = model.discriminator(frames)
    fake, features = model.discriminator(recon)
    similarity = pixels + feature_loss(features, real_features, recipe.similarity_layers)
    bce = F.binary_cross_entropy_with_logits
    gan = bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))
    generator = bce(fake, torch.ones_like(fake))
    return recon, pixels, similarity, gan, generator


def test_the_first_stage_trains_the_decoder_by_its_pixels():
    model = model_of()
    batch = batch_of(model.recipe)
    ours = model.gradients(batch, StepContext(stage=PIXELS)).gradients
    naive = torch.autograd.grad(naive_losses(model, batch)[1], list(model.decoder.parameters()))
    assert ours.keys() == {"decoder"} and relative_difference(ours["decoder"], list(naive)) < 1e-9


@pytest.mark.parametrize("gamma", ["auto", 20.0])
def test_the_second_stage_has_the_gradients_of_its_three_losses(gamma):
    model = model_of(gamma=gamma)
    batch = batch_of(model.recipe)
    batch = Batch(batch.frames, batch.noise, batch.prior, progress=torch.tensor(0.9, dtype=torch.float64))
    ours = model.gradients(batch, StepContext(stage=DISCRIMINATOR)).gradients

    recon, _, similarity, gan, generator = naive_losses(model, batch)
    at_frames = [torch.autograd.grad(loss, recon, retain_graph=True)[0] for loss in (similarity, generator)]
    weight = inverse_gamma(model.recipe, *at_frames, lambda tensor: tensor)
    loss = similarity + weight.item() * generator
    decoder = torch.autograd.grad(loss, list(model.decoder.parameters()), retain_graph=True)
    discriminator = torch.autograd.grad(gan, list(model.discriminator.parameters()))
    assert relative_difference(ours["decoder"], list(decoder)) < 1e-9
    assert relative_difference(ours["discriminator"], list(discriminator)) < 1e-9


@pytest.mark.parametrize("stage", [PIXELS, DISCRIMINATOR])
def test_pairs_add_the_error_of_their_change_relative_to_it(stage):
    """With batches of four of which the last two are a pair, at a hundred times the usual weight."""
    model, shares = model_of(clips=0.5, pair_weight=5.0), torch.ones(1, dtype=torch.float64)
    batch, progress = batch_of(model.recipe), torch.tensor(model.recipe.adversarial_from, dtype=torch.float64)
    with_pair = model.gradients(Batch(batch.frames, batch.noise, batch.prior, progress=progress, clip_shares=shares),
                                StepContext(stage=stage))  # fmt: skip
    recon, pixels, similarity, *_ = naive_losses(model, batch)
    change, error = (frames[-1] - frames[-2] for frames in (batch.frames, recon - batch.frames))
    wrong = error.pow(2).mean() / (change.pow(2).mean() + 2e-5)
    loss = (pixels if stage == PIXELS else similarity) + 5.0 * wrong
    naive = torch.autograd.grad(loss, list(model.decoder.parameters()))
    assert relative_difference(with_pair.gradients["decoder"], list(naive)) < 1e-9
    assert with_pair.metrics["pair_loss"].item() == pytest.approx(wrong.item(), rel=1e-9)


def test_the_loss_of_a_pair_that_stands_still_is_1():
    frames = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (4, 3, 16, 16)))
    still = torch.zeros_like(frames)
    for length, shares in ((2, torch.full((2,), 0.5)), (4, torch.ones(1))):
        assert pair_loss(still, frames, shares, length).item() == pytest.approx(1, abs=1e-4)
        assert pair_loss(frames + 0.3, frames, shares, length).item() == pytest.approx(0, abs=1e-12)  # only brighter
        assert pair_loss(-frames, frames, shares, length).item() == pytest.approx(4, abs=1e-3)


@pytest.mark.parametrize("together", [2, 3])
def test_a_discriminator_of_neighbours_has_the_gradients_of_its_losses(together):
    """Clips of four frames, judged two or three at a time: what a frame gets is the sum over all that it is part of."""
    model = model_of(clips=1.0, clip_length=4, discriminator_frames=together, pair_weight=0.3, batch_size=4)
    recipe, shares = model.recipe, torch.ones(1, dtype=torch.float64)
    batch, progress = batch_of(recipe, 4), torch.tensor(0.9, dtype=torch.float64)
    batch = Batch(batch.frames, batch.noise, batch.prior, progress=progress, clip_shares=shares)
    ours = model.gradients(batch, StepContext(stage=DISCRIMINATOR))

    recon = model.decode(model.encode(batch.frames)[0])
    seen, decoded = (
        torch.stack([torch.cat([*x[start : start + together]]) for start in range(5 - together)])
        for x in (batch.frames, recon)
    )
    real, real_features = model.discriminator(seen)
    fake, features = model.discriminator(decoded)
    similarity = recipe.pixel_weight * pixel_loss(recon, batch.frames) + recipe.ssim_weight * dissimilarity(
        recon, batch.frames
    )
    similarity = similarity + feature_loss(features, real_features, recipe.similarity_layers)
    changes, errors = (x[1:] - x[:-1] for x in (batch.frames, recon - batch.frames))
    relative = errors.pow(2).mean((1, 2, 3)) / (changes.pow(2).mean((1, 2, 3)) + 2e-5)
    similarity = similarity + 0.3 * relative.mean()
    bce = F.binary_cross_entropy_with_logits
    gan = bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))
    generator = bce(fake, torch.ones_like(fake))
    at_frames = [torch.autograd.grad(loss, recon, retain_graph=True)[0] for loss in (similarity, generator)]
    weight = inverse_gamma(recipe, *at_frames, lambda tensor: tensor).item()
    decoder = torch.autograd.grad(similarity + weight * generator, list(model.decoder.parameters()), retain_graph=True)
    discriminator = torch.autograd.grad(gan, list(model.discriminator.parameters()))
    assert relative_difference(ours.gradients["decoder"], list(decoder)) < 1e-9
    assert relative_difference(ours.gradients["discriminator"], list(discriminator)) < 1e-9


def test_the_adversarial_loss_rises_from_nothing():
    model = model_of(adversarial_from=0.5)
    batch = batch_of(model.recipe)
    decoder = {}
    for progress in (0.5, 0.55, 0.6, 1.0):
        at = Batch(batch.frames, batch.noise, batch.prior, progress=torch.tensor(progress, dtype=torch.float64))
        decoder[progress] = model.gradients(at, StepContext(stage=DISCRIMINATOR)).gradients["decoder"]
    similarity = torch.autograd.grad(naive_losses(model, batch)[2], list(model.decoder.parameters()))
    assert relative_difference(decoder[0.5], list(similarity)) < 1e-9
    assert relative_difference(decoder[0.55], [(a + b) / 2 for a, b in zip(decoder[0.5], decoder[0.6], strict=True)]) < 1e-9
    assert relative_difference(decoder[1.0], decoder[0.6]) < 1e-9 < relative_difference(decoder[0.6], decoder[0.5])


def test_the_stages_follow_the_fraction_that_is_configured():
    model = build_model(recipe_named("hybrid", adversarial_from=0.6))
    assert [model.stage(done) for done in (0.0, 0.59, 0.6, 0.99)] == [PIXELS, PIXELS, DISCRIMINATOR, DISCRIMINATOR]


def test_more_cosines_than_latents_are_refused():
    with pytest.raises(RefilmError, match="cosines: 17 exceeds latent_dim 16"):
        recipe_named("hybrid", cosines=17)


def test_a_recipe_that_was_written_before_these_keys_is_the_same_recipe():
    recipe = recipe_named("larsen2015")
    assert "augment" not in recipe.to_json() and "cosines" not in recipe.to_json()
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert "augment" in recipe_named("larsen2015", augment=0.5).to_json()


def test_pixel_losses_are_those_of_their_definitions():
    """Windows one by one: mean, variance and covariance of 64 pixels of the luma, at every fourth pixel of three sizes."""
    random = np.random.default_rng(0)
    frames, recon = random.uniform(-1, 1, (2, 2, 3, HEIGHT, WIDTH))
    luma_x, luma_y = (np.tensordot([0.2126, 0.7152, 0.0722], (each + 1) / 2, (0, 1)) for each in (frames, recon))
    levels = []
    for size in (1, 2, 4):
        x, y = (each.reshape(2, HEIGHT // size, size, WIDTH // size, size).mean((2, 4)) for each in (luma_x, luma_y))
        places = [(top, left) for top in range(0, x.shape[1] - 7, 4) for left in range(0, x.shape[2] - 7, 4)]
        similar = []
        for n, (top, left) in ((n, place) for n in range(2) for place in places):
            a, b = (each[n, top : top + 8, left : left + 8] for each in (x, y))
            brightness = (2 * a.mean() * b.mean() + 1e-4) / (a.mean() ** 2 + b.mean() ** 2 + 1e-4)
            covariance = ((a - a.mean()) * (b - b.mean())).mean()
            similar.append(brightness * (2 * covariance + 9e-4) / (a.var() + b.var() + 9e-4))
        levels.append(np.mean(similar))
    tensors = torch.from_numpy(recon), torch.from_numpy(frames)
    assert dissimilarity(*tensors).item() == pytest.approx(1 - np.mean(levels), rel=1e-6)
    assert pixel_loss(*tensors).item() == pytest.approx(np.abs(recon - frames).mean() + ((recon - frames) ** 2).mean())


def test_dissimilarity_follows_structural_similarity():
    """Of blurred frames by how much they are blurred, as `metrics.ssim` has it; none of a frame to itself."""
    frames = to_network(torch.from_numpy(film_of(2))).double() + 0.3 * batch_of(recipe_named("hybrid"), 2).frames
    frames = frames.clamp(-1, 1)
    blurred = [F.avg_pool2d(frames, size, 1, size // 2, count_include_pad=False) for size in (1, 3, 5, 9)]
    levels = [dissimilarity(each, frames).item() for each in blurred]
    as_uint8 = [((each + 1) * 127.5).round().byte().permute(0, 2, 3, 1) for each in blurred]
    references = [1 - ssim(as_uint8[0], each).mean().item() for each in as_uint8]
    assert levels[0] == pytest.approx(0, abs=1e-12) and references[0] == pytest.approx(0, abs=1e-12)
    assert levels == sorted(levels) and references == sorted(references)
