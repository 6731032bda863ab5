"""A network in pictures: its layers as PyTorch has them, what they give, and what its latents do, in closed form."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from refilm.models.latent_effects import effects, moments_over_film, moved_frames
from refilm.models.layer_trace import Activation, first_kernels, trace_frame
from refilm.models.linear_code import LinearCode
from refilm.models.registry import build_model
from refilm.rendering.network import activation_pictures, bars_of, code_pictures, kernel_pictures, layer_tables
from tests.models import batch_of, recipe_named
from tests.unit.test_hybrid import film_of

RECIPES = ("larsen2015", "hybrid", "vae", "autoencoder", "dcgan", "broad2016")
COUNT = 3


def traced(name: str, row: int = 1):
    """(model, frames or None, latents, trace) of a small model of a recipe."""
    torch.manual_seed(0)
    recipe = recipe_named(name)
    model = build_model(recipe).eval()
    batch = batch_of(recipe, COUNT)
    frames = batch.frames.float() if recipe.spec.reconstructs else None
    latents = batch.prior.float()
    return model, frames, latents, trace_frame(model, frames, latents, row)


@pytest.mark.parametrize("name", RECIPES)
def test_all_weights_of_the_model_file_are_in_the_table(name):
    model, *_, trace = traced(name)
    assert sum(layer.count for layer in trace.layers) == sum(value.numel() for value in model.state_dict().values())
    tables = layer_tables(trace.layers)
    assert sum(row.share for *_, rows in tables for row in rows) == pytest.approx(1)
    assert [network for network, *_ in tables] == list(model.networks())
    unseen = {(layer.network, layer.name) for layer in trace.layers if not layer.output}
    assert unseen == ({("code", "")} if name == "hybrid" else set())
    assert {layer.network for layer in trace.layers if not layer.trained} == ({"code"} if name == "hybrid" else set())


@pytest.mark.parametrize("name", RECIPES)
def test_a_trace_is_of_the_frame_and_leaves_no_hooks(name):
    model, frames, latents, trace = traced(name)
    with torch.no_grad():
        assert torch.allclose(trace.reconstruction, model.decode(latents)[1], atol=1e-6)
        last = [each for each in trace.activations if each.network in ("decoder", "generator")][-1]
        if name not in ("hybrid",):
            assert torch.allclose(last.values.tanh(), trace.reconstruction, atol=1e-6)
        if name in ("larsen2015", "broad2016"):
            features = model.discriminator(frames)[1]
            seen = [each.values for each in trace.activations if each.network == "discriminator"]
            assert [torch.allclose(a, b[1], atol=1e-5) for a, b in zip(seen, features, strict=True)] == [True] * 4
    assert not any(module._forward_hooks for module in model.modules())


def test_the_encoder_is_shown_after_its_activation_functions():
    model, frames, _, trace = traced("larsen2015")
    shown = [each for each in trace.activations if each.network == "encoder"]
    assert [each.kinds[-1] for each in shown] == ["LeakyReLU"] * 4
    first = model.encoder.layers[0]
    expected = F.leaky_relu(F.conv2d(frames, first.weight, first.bias, stride=2, padding=1), 0.2)
    assert torch.allclose(shown[0].values, expected[1], atol=1e-5)
    shapes = {layer.name: layer.shapes for layer in trace.layers if layer.network == "decoder"}
    assert shapes["layers.2"] == {"weight": (64, 32, 3, 3)}  # the kernel that is trained, not the one it is computed as
    assert next(layer.kind for layer in trace.layers if layer.name == "layers.2" and layer.network == "decoder") == (
        "UpsampleConv"
    )


def test_a_sum_is_not_taken_for_what_one_of_its_parts_gives():
    """The decoder of `hybrid` adds the picture of the code: its norms are given that sum."""
    *_, trace = traced("hybrid")
    kinds = {each.name: each.kinds for each in trace.activations}
    assert kinds["picture_convs.2"] == ("Conv2d",) and kinds["stages.3.0"] == ("GroupNorm", "LeakyReLU")
    assert kinds["stages.1.0.conv"] == ("Conv2d", "Residual")


@pytest.mark.parametrize("name", RECIPES)
def test_kernels_are_those_that_look_at_three_colours(name):
    model, *_ = traced(name)
    kernels = first_kernels(model)
    networks = {key.partition(".")[0] for key in kernels}
    expected = {"hybrid": {"decoder", "discriminator"}, "dcgan": {"discriminator"}, "vae": {"encoder"}}
    assert networks == expected.get(name, {"encoder"} if name == "autoencoder" else {"encoder", "discriminator"})
    pictures = kernel_pictures(kernels)
    assert len(pictures) == len(kernels) and all(picture.exact for picture in pictures)


def test_cosines_are_counted_and_shown_apart_from_components():
    for cosines in (0, 5, 16):
        code = LinearCode(16, (64, 48))
        code.fit(film_of(60), cosines)
        assert code.count_cosines() == cosines
        captions = [picture.caption for picture in code_pictures(code)][1:]
        expected = [f"numbers 1 to {cosines}: cosines"] if cosines else []
        expected += [f"numbers {cosines + 1} to 16: principal components of the film"] if cosines < 16 else []
        assert captions == expected


def test_moments_are_those_of_numpy():
    latents = np.random.default_rng(0).normal(3, 2, (40_000, 5)).astype(np.float32)
    mean, std = moments_over_film(latents)
    assert np.allclose(mean, latents.mean(0, dtype=float)) and np.allclose(std, latents.std(0, dtype=float))
    assert bars_of(np.array([5.0, 1, -90, 7]), np.array([1.0, 1, 0, 7]), np.array([2.0, 1, 1, 0])) == [2, 0, -4, 0]


class _Stripes(nn.Module):
    """A model whose n-th latent is the grey of the n-th row of a picture, over 100."""

    recipe = recipe_named("vae", latent_dim=16, frame_size="64x16", precision="float32")

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def decode(self, latents):
        return (latents / 127.5 * 100)[:, None, :, None].expand(-1, 3, -1, 64) + self.weight


@torch.no_grad()
def test_the_effect_of_a_latent_is_the_change_of_the_picture():
    batch, std = np.zeros((1, 16), np.float32), np.linspace(0, 0.3, 16)
    found = effects(_Stripes(), batch, 0, std, "test")
    assert np.allclose(found, 4 * 100 * std / 16, atol=1 / 16)  # of one of 16 rows, between -2 and +2
    moved = moved_frames(_Stripes(), batch, 0, 3, (-1, 0, 0.5)).astype(int)
    changed = moved[:, :, 0, 0] - 128
    assert np.abs(changed[:, 3] - [-100, 0, 50]).max() <= 1
    assert not np.delete(changed, 3, axis=1).any()


def test_a_moved_frame_keeps_the_others_of_its_batch():
    """`broad2016` decodes the frames of a batch together: one that is moved by nothing is the frame as it was."""
    model, _, latents, trace = traced("broad2016")
    model.recipe = recipe_named("broad2016", batch_size=COUNT)
    batch = latents.numpy()
    moved = moved_frames(model, batch, 1, 0, (0.0, 1.0)).astype(int)
    expected = (trace.reconstruction.permute(1, 2, 0).numpy() + 1) * 127.5
    assert np.abs(moved[0] - expected).max() <= 0.51 and np.abs(moved[1] - moved[0]).max() > 0


def test_a_grid_has_the_channels_that_vary_most_at_one_scale():
    values = torch.zeros(80, 4, 6)
    values[:64] = torch.linspace(-1, 1, 24).reshape(4, 6)
    [(network, [picture])] = activation_pictures([Activation("encoder", "layers.0", ("Conv2d", "ReLU"), values)])
    assert (network, picture.width, picture.height) == ("encoder", 8 * 7 - 1, 8 * 5 - 1)
    assert picture.caption == "layers.0: Conv2d → ReLU, 80 × 4 × 6"
    assert picture.remark.startswith("64 of 80 channels, those that vary most; black -1")
