"""`dcgan`: gradients of the two losses as Radford et al. 2015 have them, and what is trained by which."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from refilm.models.base import StepContext
from refilm.models.inference import sample_prior
from refilm.models.registry import build_model
from refilm.training.loop import train
from tests.helpers import CollectedPreviews, store_of
from tests.models import batch_of, model_of, recipe_named, relative_difference

CPU = torch.device("cpu")


def naive_gradients(model, batch) -> dict[str, list[torch.Tensor]]:
    """One forward and backward pass for each loss: binary cross-entropies with the labels that each network wants."""
    bce = F.binary_cross_entropy_with_logits

    def losses():
        samples = model.generator(torch.erf(batch.prior / 2**0.5))  # U(-1, 1)
        real, fake = model.discriminator(batch.frames)[0], model.discriminator(samples)[0]
        ones, zeros = torch.ones_like(real), torch.zeros_like(real)
        return {"discriminator": bce(real, ones) + bce(fake, zeros), "generator": bce(fake, ones)}

    return {
        name: list(torch.autograd.grad(losses()[name], list(network.parameters())))
        for name, network in model.networks().items()
    }


def test_gradients_equal_those_of_the_two_losses():
    recipe = recipe_named("dcgan")
    model, batch = model_of(recipe), batch_of(recipe)
    ours, naive = model.gradients(batch, StepContext()).gradients, naive_gradients(model, batch)
    assert ours.keys() == naive.keys() == {"generator", "discriminator"}
    for name in naive:
        assert relative_difference(ours[name], naive[name]) < 1e-9, name


def test_a_certain_discriminator_still_trains_the_generator():
    recipe = recipe_named("dcgan")
    model, batch = model_of(recipe), batch_of(recipe)
    with torch.no_grad():
        model.discriminator.head.bias.fill_(-25.0)
    ours, naive = model.gradients(batch, StepContext()).gradients, naive_gradients(model, batch)
    assert relative_difference(ours["generator"], naive["generator"]) < 1e-6


@pytest.mark.parametrize("frame_size", ["64x48", "256x144"])
def test_a_sample_does_not_depend_on_the_others(frame_size):
    torch.manual_seed(0)
    model = build_model(recipe_named("dcgan", frame_size=frame_size)).eval()
    normal = torch.randn(5, 16)
    together, alone = sample_prior(model, normal), sample_prior(model, normal[3:4])
    width, height = model.recipe.size
    assert together.shape == (5, height, width, 3) and together.dtype == np.uint8
    assert np.abs(together[3].astype(int) - alone[0]).max() <= 1


def test_previews_are_the_same_samples_at_every_step(tmp_path):
    callbacks = CollectedPreviews()
    trainer = train(recipe_named("dcgan", steps=4), [store_of(tmp_path / "one.h5", 13)], tmp_path / "model", CPU, callbacks)
    previews = callbacks.collected
    assert [set(preview.rows) for preview in previews] == [{"sample"}] * 4
    change = np.abs(previews[-1].rows["sample"].astype(int) - previews[0].rows["sample"])
    assert 0 < change.mean() < 40  # other latents would give other frames
    assert trainer.step == 4
