"""What the optimiser does with gradients that are too long, not finite, or not wanted; and the gates of the balance."""

import math

import pytest
import torch

from refilm.models.larsen2015 import equilibrium_gates
from refilm.models.registry import build_model
from refilm.training.optimiser import GuardedAdam
from tests.conftest import small_recipe
from tests.models import step_of


def adam(clip=0.0, **values) -> GuardedAdam:
    torch.manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(4, 3)), torch.nn.Parameter(torch.randn(5))]
    made = GuardedAdam(weights, small_recipe(grad_clip=clip, **values), heads=[])
    made.set_rate(0.01)
    return made


def gradient(length: float) -> list[torch.Tensor]:
    ones = [torch.ones(4, 3), torch.ones(5)]
    return [length / math.sqrt(17) * tensor for tensor in ones]


def copy_of(optimiser):
    state = {name: tensor.clone() for name, tensor in optimiser.state().items()}
    return [weight.detach().clone() for weight in optimiser.parameters], state


def test_it_is_adam():
    ours = adam()
    theirs_weights = [torch.nn.Parameter(weight.detach().clone()) for weight in ours.parameters]
    theirs = torch.optim.Adam(theirs_weights, lr=0.01, betas=(0.5, 0.99))
    for n in range(5):
        norm = ours.step(gradient(1.0 + n), None)
        for weight, grad in zip(theirs_weights, gradient(1.0 + n), strict=True):
            weight.grad = grad
        theirs.step()
        assert norm.item() == pytest.approx(1.0 + n)
    for a, b in zip(ours.parameters, theirs_weights, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def test_heads_learn_at_their_share_of_the_rate():
    moved = {}
    for share in (1.0, 0.01):
        optimiser = adam()
        before = [weight.detach().clone() for weight in optimiser.parameters]
        slowed = GuardedAdam(optimiser.parameters, small_recipe(head_lr_scale=share), heads=optimiser.parameters[:1])
        slowed.set_rate(0.1)
        slowed.step(gradient(1.0), None)
        moved[share] = [now.detach() - then for now, then in zip(slowed.parameters, before, strict=True)]
    torch.testing.assert_close(moved[0.01][0], moved[1.0][0] / 100, rtol=1e-3, atol=1e-7)
    assert torch.equal(moved[0.01][1], moved[1.0][1])


_HEADS = {
    "larsen2015": {"encoder.head.weight", "discriminator.head.weight"},
    "vae": {"encoder.head.weight"},
    "autoencoder": {"encoder.head.weight"},
    "dcgan": {"discriminator.head.weight"},
    "broad2016": {"encoder.mean_head.weight", "encoder.log_variance_head.weight", "discriminator.head.weight"},
}


@pytest.mark.parametrize("recipe", _HEADS)
def test_the_heads_are_the_layers_that_sum_a_whole_picture(recipe):
    model = build_model(small_recipe(recipe=recipe, gamma=2.5))
    heads = {id(head) for head in model.head_weights()}
    assert {name for name, weight in model.named_parameters() if id(weight) in heads} == _HEADS[recipe]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("clip", [0.0, 5.0])
def test_a_gradient_that_is_not_finite_changes_nothing(bad, clip):
    optimiser = adam(clip)
    optimiser.step(gradient(1.0), None)
    before = copy_of(optimiser)
    broken = gradient(1.0)
    broken[1][2] = bad
    assert not optimiser.step(broken, None).isfinite()
    after = copy_of(optimiser)
    assert all(torch.equal(a, b) for a, b in zip(before[0], after[0], strict=True))
    assert all(torch.equal(before[1][name], after[1][name]) for name in before[1])


def test_a_closed_gate_changes_neither_weights_nor_moments():
    optimiser = adam()
    optimiser.step(gradient(1.0), torch.tensor(1.0))
    before = copy_of(optimiser)
    optimiser.step(gradient(3.0), torch.tensor(0.0))
    after = copy_of(optimiser)
    assert all(torch.equal(a, b) for a, b in zip(before[0], after[0], strict=True))
    assert all(torch.equal(before[1][name], after[1][name]) for name in before[1])


def test_a_spike_counts_as_no_more_than_the_limit():
    """After a hundred steps of length 1 a gradient of 1000 moves the weights as one of 5 would."""
    found = []
    for spike in (1000.0, 5.0):
        optimiser = adam(clip=5.0)
        for _ in range(100):
            optimiser.step(gradient(1.0), None)
        assert optimiser.step(gradient(spike), None).item() == pytest.approx(spike)
        found.append(copy_of(optimiser))
    for a, b in zip(found[0][0], found[1][0], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
    for name in found[0][1]:
        torch.testing.assert_close(found[0][1][name], found[1][1][name], rtol=1e-5, atol=1e-7)


def test_gradients_within_the_limit_are_left_as_they_are():
    clipped, free = adam(clip=5.0), adam()
    for n in range(20):
        clipped.step(gradient(1.0 + n % 3), None), free.step(gradient(1.0 + n % 3), None)
    assert all(torch.equal(a, b) for a, b in zip(clipped.parameters, free.parameters, strict=True))


# --- the balance of encoder, decoder and discriminator


def logits_of_cost(cost: float, film: bool) -> torch.Tensor:
    """Logits at which the discriminator's cost is so much, for frames of film or not."""
    logit = math.log(math.expm1(cost))
    return torch.full((3,), -logit if film else logit)


@pytest.mark.parametrize(
    ("real", "fake", "expected"),
    [
        (0.69, 0.69, (1, 1)),  # undecided: both learn
        (0.10, 0.69, (0, 1)),  # the discriminator knows film too well: it waits
        (0.69, 0.10, (0, 1)),
        (1.50, 0.69, (1, 0)),  # it is deceived: the decoder waits
        (0.69, 1.50, (1, 0)),
        (0.10, 1.50, (1, 1)),  # both would wait: neither does
    ],
)
def test_who_wins_by_more_than_the_margin_waits(real, fake, expected):
    recipe = small_recipe(equilibrium=0.68, equilibrium_margin=0.35)
    costs = logits_of_cost(real, True), logits_of_cost(fake, False), logits_of_cost(fake, False)
    gates = equilibrium_gates(recipe, *costs, lambda tensor: tensor)
    assert (gates["discriminator"].item(), gates["decoder"].item()) == expected


def test_without_equilibrium_there_are_no_gates():
    assert step_of(small_recipe()).gates == {}
