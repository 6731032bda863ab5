"""The step in one graph has the gradients of the naive step: each network is trained by its own loss and no other."""

import pytest
import torch

from benchmarks.naive_step import naive_gradients
from refilm.models.base import StepContext
from refilm.models.larsen2015 import adversarial_loss, inverse_gamma
from refilm.models.losses import feature_loss, kl_divergence
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
