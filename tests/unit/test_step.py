"""The one-graph step is the naive step: same gradients, each network moved by its own loss and no other."""

import pytest
import torch

from benchmarks.naive_step import naive_gradients
from refilm.models.base import Networks
from refilm.models.losses import kl_divergence, likeness
from refilm.training import larsen2015
from refilm.training.larsen2015 import adversarial_loss
from refilm.training.step import gradients
from tests.conftest import small_recipe


def batch(recipe, count=3):
    generator = torch.Generator().manual_seed(1)
    width, height = recipe.size
    frames = torch.rand(count, 3, height, width, generator=generator, dtype=torch.float64) * 2 - 1
    noise, prior = torch.randn(2, count, recipe.latent_dim, generator=generator, dtype=torch.float64)
    return frames, noise, prior


def networks(recipe):
    torch.manual_seed(0)
    return Networks(recipe).double()


@pytest.fixture(autouse=True)
def exact_pixels(monkeypatch):
    """The networks hand out float32; for a comparison to 1e-9 they must not."""
    monkeypatch.setattr(torch.Tensor, "float", lambda tensor: tensor)


@pytest.mark.parametrize("gamma", ["auto", 1000.0])
@pytest.mark.parametrize("layers", [[3], [1, 2, 3, 4]])
def test_gradients_equal_the_naive_steps(gamma, layers):
    recipe = small_recipe(gamma=gamma, similarity_layers=layers, noise=0.7, kl_weight=0.01)
    nets, data = networks(recipe), batch(recipe)
    ours, naive = gradients(nets, recipe, *data).gradients, naive_gradients(nets, recipe, *data)
    assert ours.keys() == naive.keys() == {"encoder", "decoder", "discriminator"}
    for name in naive:
        difference = torch.stack([(a - b).norm() for a, b in zip(ours[name], naive[name], strict=True)]).norm()
        assert difference / torch.stack([b.norm() for b in naive[name]]).norm() < 1e-9, name


@pytest.mark.parametrize("recipe_name", ["vae", "autoencoder"])
def test_pixel_recipes_follow_their_loss(recipe_name):
    recipe = small_recipe(recipe=recipe_name, kl_weight=0.01)
    nets, (frames, noise, prior) = networks(recipe), batch(recipe)
    mean, log_variance = nets.encoder(frames)
    latents = mean + noise * (log_variance / 2).exp() if recipe_name == "vae" else mean
    difference = nets.decoder(latents) - frames
    loss = difference.abs().mean() + difference.square().mean()
    if recipe_name == "vae":
        loss = loss + 0.01 * kl_divergence(mean, log_variance).mean()
    loss.backward()
    ours = gradients(nets, recipe, frames, noise, prior).gradients
    assert ours.keys() == {"encoder", "decoder"}
    for name, part in nets.parts().items():
        for weight, gradient in zip(part.parameters(), ours[name], strict=True):
            torch.testing.assert_close(gradient, weight.grad, rtol=1e-9, atol=1e-15)


def test_discriminator_never_sees_the_likeness():
    """With the likeness a thousand times as heavy its gradient is the same, bit for bit."""
    data = batch(small_recipe())
    found = []
    for weight in (1.0, 1000.0):
        recipe = small_recipe(pixel_weight=weight, kl_weight=weight)
        found.append(gradients(networks(recipe), recipe, *data).gradients["discriminator"])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_encoder_never_sees_the_adversary():
    data = batch(small_recipe())
    found = []
    for gamma in (1.0, 1e6):
        recipe = small_recipe(gamma=gamma)
        found.append(gradients(networks(recipe), recipe, *data).gradients["encoder"])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_certain_discriminator_still_moves_the_decoder():
    """The saturating loss would give nothing here: D is sure that every rebuilt frame is none."""
    recipe = small_recipe(gamma=1.0, pixel_weight=0.0, similarity_layers=[1])
    nets = networks(recipe)
    with torch.no_grad():
        nets.discriminator.head.bias.fill_(-25.0)
    ours, naive = gradients(nets, recipe, *batch(recipe)).gradients, naive_gradients(nets, recipe, *batch(recipe))
    for a, b in zip(ours["decoder"], naive["decoder"], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-12)


def test_auto_gamma_holds_the_ratio(monkeypatch):
    recipe = small_recipe(adversarial_ratio=0.25)
    seen = {}
    real = larsen2015._inverse_gamma

    def spy(recipe, of_likeness, of_adversary, all_reduce_sum):
        found = real(recipe, of_likeness, of_adversary, all_reduce_sum)
        seen["ratio"] = found * of_adversary.norm() / of_likeness.norm()
        return found

    monkeypatch.setattr(larsen2015, "_inverse_gamma", spy)
    gradients(networks(recipe), recipe, *batch(recipe))
    assert seen["ratio"].item() == pytest.approx(0.25, rel=1e-6)


def test_kl_is_the_divergence_from_a_standard_normal():
    mean, log_variance = torch.tensor([[0.5, -1.0]]), torch.tensor([[0.3, -0.7]])
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, (log_variance / 2).exp()), normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl_divergence(mean, log_variance), expected)


def test_adversarial_loss_of_an_undecided_discriminator():
    nothing = torch.zeros(4)
    assert adversarial_loss(nothing, nothing, nothing).item() == pytest.approx(2 * torch.log(torch.tensor(2.0)).item())


def test_likeness_is_a_mean_so_gamma_does_not_depend_on_the_frame_size():
    small, large = torch.zeros(2, 8, 4, 4), torch.zeros(2, 8, 16, 16)
    assert likeness([small + 1], [small], (1,)) == likeness([large + 1], [large], (1,)) == 0.5
