"""The step in one graph has the gradients of the naive step: each network is trained by its own loss and no other."""

import dataclasses

import numpy as np
import pytest
import torch

from benchmarks.naive_step import naive_gradients
from refilm.models.base import StepContext
from refilm.models.larsen2015 import adversarial_loss, inverse_gamma
from refilm.models.losses import feature_loss, kl_divergence, turns
from tests.conftest import small_recipe
from tests.models import batch_of, model_of, relative_difference, step_of


@pytest.mark.parametrize("gamma", ["auto", 1000.0])
@pytest.mark.parametrize("layers", [[3], [1, 2, 3, 4]])
def test_gradients_equal_those_of_the_naive_step(gamma, layers):
    recipe = small_recipe(gamma=gamma, similarity_layers=layers, noise=0.7, kl_weight=0.01)
    ours, naive = step_of(recipe).gradients, naive_gradients(model_of(recipe), batch_of(recipe))
    assert ours.keys() == naive.keys() == {"encoder", "decoder", "discriminator"}
    for name in naive:
        assert relative_difference(ours[name], naive[name]) < 1e-9, name


@pytest.mark.parametrize("recipe_name", ["vae", "autoencoder"])
def test_pixel_recipes_follow_their_loss(recipe_name):
    recipe = small_recipe(recipe=recipe_name, kl_weight=0.01)
    model, batch = model_of(recipe), batch_of(recipe)
    mean, log_variance = model.encode(batch.frames)
    latents = mean + batch.noise * (log_variance / 2).exp() if recipe_name == "vae" else mean
    difference = model.decode(latents) - batch.frames
    loss = difference.abs().mean() + difference.square().mean()
    if recipe_name == "vae":
        loss = loss + 0.01 * kl_divergence(mean, log_variance).mean()
    loss.backward()
    ours = model.gradients(batch, StepContext()).gradients
    assert ours.keys() == {"encoder", "decoder"}
    for name, network in model.networks().items():
        for weight, gradient in zip(network.parameters(), ours[name], strict=True):
            torch.testing.assert_close(gradient, weight.grad, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("recipe_name", ["larsen2015", "vae", "autoencoder"])
def test_clips_add_their_changes_to_the_reconstruction_and_their_turns_to_the_encoder(recipe_name):
    """A single frame and a clip of three, by weights of which one is large: the others' gradients are the difference."""
    values = {"recipe": recipe_name, "gamma": 1000.0, "clip_length": 3, "pixel_weight": 1.0}
    plain = small_recipe(**values)
    model, batch = model_of(plain), batch_of(plain, 4)
    batch = dataclasses.replace(batch, clip_shares=torch.ones(1, dtype=torch.float64))
    mean, log_variance = model.encode(batch.frames)
    latents = mean if recipe_name == "autoencoder" else mean + batch.noise * (log_variance / 2).exp()
    recon = model.decode(latents)
    changes, errors = (x[2:] - x[1:-1] for x in (batch.frames, recon - batch.frames))
    pairs = (errors.pow(2).mean((1, 2, 3)) / (changes.pow(2).mean((1, 2, 3)) + 2e-5)).mean()
    first, second = mean[2] - mean[1], mean[3] - mean[2]
    change = (batch.frames[3] - batch.frames[1]).pow(2).mean()
    turn = change / (change + 2e-5) * (1 - first @ second / (first.norm() * second.norm()))

    without = model.gradients(batch, StepContext()).gradients
    model.recipe = small_recipe(**values, clips=0.75, pair_weight=0.7, straighten_weight=0.2)
    result = model.gradients(batch, StepContext())
    assert result.metrics["turns"].item() == pytest.approx(turn.item(), rel=1e-9)
    for name in ("encoder", "decoder"):
        expected = torch.autograd.grad(
            0.7 * pairs + 0.2 * turn, list(model.networks()[name].parameters()), retain_graph=True, allow_unused=True
        )
        added = [a - b for a, b in zip(result.gradients[name], without[name], strict=True)]
        known = [torch.zeros_like(a) if e is None else e for a, e in zip(added, expected, strict=True)]
        assert relative_difference(added, known) < 1e-7, name


def test_the_turns_of_a_straight_path_are_none_and_of_one_that_goes_back_two():
    frames = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (3, 3, 16, 16)))
    start, step = torch.zeros(8, dtype=torch.float64), torch.arange(8, dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    assert turns(torch.stack([start, step, 3 * step]), frames, one, 3).item() == pytest.approx(0, abs=1e-4)
    assert turns(torch.stack([start, step, start]), frames, one, 3).item() == pytest.approx(2, abs=1e-3)
    still = frames[:1].expand(3, 3, 16, 16)
    assert turns(torch.stack([start, step, start]), still, one, 3).item() == 0


def test_the_discriminator_does_not_learn_from_the_feature_loss():
    """With weights a thousand times as large its gradient is the same, bit for bit."""
    one, other = (
        step_of(small_recipe(pixel_weight=weight, kl_weight=weight)).gradients["discriminator"] for weight in (1.0, 1000.0)
    )
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_encoder_does_not_learn_from_the_adversarial_loss():
    one, other = (step_of(small_recipe(gamma=gamma)).gradients["encoder"] for gamma in (1.0, 1e6))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_certain_discriminator_still_trains_the_decoder():
    """The saturating loss would give no gradient here: D is certain that no reconstruction is film."""
    recipe = small_recipe(gamma=1.0, pixel_weight=0.0, similarity_layers=[1])
    model = model_of(recipe)
    with torch.no_grad():
        model.discriminator.head.bias.fill_(-25.0)
    ours = model.gradients(batch_of(recipe), StepContext()).gradients
    naive = naive_gradients(model, batch_of(recipe))
    for a, b in zip(ours["decoder"], naive["decoder"], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-12)


def test_gamma_auto_keeps_the_ratio_of_the_gradients():
    recipe = small_recipe(adversarial_ratio=0.25)
    like_grad, adversarial_grad = torch.randn(2, 4, 3, 8, 8, dtype=torch.float64).unbind()
    weight = inverse_gamma(recipe, 7 * like_grad, adversarial_grad, lambda tensor: tensor)
    assert (weight * adversarial_grad.norm() / (7 * like_grad).norm()).item() == pytest.approx(0.25, rel=1e-6)


def test_kl_is_the_divergence_from_a_standard_normal():
    mean, log_variance = torch.tensor([[0.5, -1.0]]), torch.tensor([[0.3, -0.7]])
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, (log_variance / 2).exp()), normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl_divergence(mean, log_variance), expected)


def test_adversarial_loss_of_an_undecided_discriminator():
    logits = torch.zeros(4)
    assert adversarial_loss(logits, logits, logits).item() == pytest.approx(2 * torch.log(torch.tensor(2.0)).item())


def test_the_feature_loss_is_a_mean_so_gamma_does_not_depend_on_the_frame_size():
    small, large = torch.zeros(2, 8, 4, 4), torch.zeros(2, 8, 16, 16)
    assert feature_loss([small + 1], [small], (1,)) == feature_loss([large + 1], [large], (1,)) == 0.5
