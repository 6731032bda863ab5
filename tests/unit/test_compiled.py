"""A step that is traced as a whole is the same step; where it cannot be compiled, training continues without."""

import pytest
import torch

from refilm.config.recipes import RECIPES
from refilm.models.base import Batch
from refilm.training.trainer import Trainer
from tests.conftest import small_recipe
from tests.models import recipe_named

CPU = torch.device("cpu")


def batch(seed):
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randint(0, 256, (4, 48, 64, 3), generator=generator, dtype=torch.uint8)
    return Batch(frames, *torch.randn(2, 4, 16, generator=generator).unbind())


def step_of(recipe, compiled):
    """The gradients of a batch after the weights were changed since the first call."""
    trainer = Trainer(recipe, CPU, compiled)
    trainer.gradients(batch(0))
    with torch.no_grad():
        for weight in trainer.model.parameters():
            weight.add_(0.01)
    return trainer.gradients(batch(1))


@pytest.mark.parametrize("name", RECIPES)
def test_the_traced_step_is_the_step_for_other_frames_and_later_weights(name, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda traced, **_options: traced)
    balanced = {"equilibrium": 0.68, "equilibrium_margin": 0.001} if name == "larsen2015" else {}
    recipe = recipe_named(name, **balanced)
    plain, traced = step_of(recipe, False), step_of(recipe, True)
    assert traced.gradients.keys() == plain.gradients.keys() and traced.gates.keys() == plain.gates.keys()
    for network, gradients in plain.gradients.items():
        assert all(
            torch.allclose(a, b, rtol=1e-4, atol=1e-7) for a, b in zip(traced.gradients[network], gradients, strict=True)
        )
    assert all(torch.equal(traced.gates[network], gate) for network, gate in plain.gates.items())
    for metric, value in plain.metrics.items():
        torch.testing.assert_close(traced.metrics[metric], value.detach().float(), rtol=1e-4, atol=1e-6)


def test_without_a_compiler_the_step_is_not_compiled_and_one_line_says_why(monkeypatch, capsys):
    def broken(*_arguments, **_options):
        raise RuntimeError("no C compiler found\nand much more about it")

    monkeypatch.setattr(torch, "compile", broken)
    compiled, plain = step_of(small_recipe(), True), step_of(small_recipe(), False)
    assert capsys.readouterr().out == "the step cannot be compiled and will be slower: no C compiler found\n"
    for network, gradients in plain.gradients.items():
        assert all(torch.equal(a, b) for a, b in zip(compiled.gradients[network], gradients, strict=True))
