"""The networks' shapes, and what must not depend on a frame's neighbours."""

import pytest
import torch

from refilm.models.base import Model, to_frames, to_network
from refilm.models.larsen2015 import Decoder
from refilm.models.layers import DownsampleRGB, GroupNorm, UpsampleConv, UpsampleConvToRGB
from refilm.models.registry import build_model
from tests.conftest import small_recipe

PAPER_SIZE = {"frame_size": "256x144", "base_channels": 16, "latent_dim": 200}


def networks(**values) -> Model:
    torch.manual_seed(0)
    return build_model(small_recipe(**values)).eval()


def test_shapes_at_256x144():
    nets = networks(**PAPER_SIZE)
    frames = torch.rand(2, 3, 144, 256) * 2 - 1
    mean, log_variance = nets.encoder(frames)
    assert mean.shape == log_variance.shape == (2, 200)
    assert nets.decoder(mean).shape == (2, 3, 144, 256)
    logits, features = nets.discriminator(frames)
    assert logits.shape == (2,)
    assert [tuple(f.shape[1:]) for f in features] == [(16, 72, 128), (32, 36, 64), (64, 18, 32), (128, 9, 16)]


@pytest.mark.parametrize("name", ["vae", "autoencoder"])
def test_pixel_recipes_have_no_discriminator(name):
    assert set(networks(recipe=name).networks()) == {"encoder", "decoder"}


def test_no_pooling_and_no_batch_norm():
    kinds = {type(module).__name__ for module in networks().modules()}
    assert not any("Pool" in kind or "BatchNorm" in kind for kind in kinds)


def test_a_frame_does_not_depend_on_its_neighbours_or_their_number():
    nets = networks().double()
    frames = torch.rand(7, 3, 48, 64, dtype=torch.float64) * 2 - 1
    together = nets.decoder(nets.encoder(frames)[0])
    for n in range(7):
        alone = nets.decoder(nets.encoder(frames[n : n + 1])[0])
        torch.testing.assert_close(alone[0], together[n], rtol=0, atol=1e-12)
    features = nets.discriminator(frames)[0]
    torch.testing.assert_close(nets.discriminator(frames[3:4])[0][0], features[3], rtol=0, atol=1e-6)


def test_every_pixel_weighs_the_same_in_the_first_convolution():
    """A kernel whose size is not a multiple of its stride counts some pixels more often: the checkerboard."""
    for part in (networks().encoder.layers[0], networks().discriminator.layers[0]):
        with torch.no_grad():
            part.weight.fill_(1.0)
        frames = torch.zeros(1, 3, 48, 64, requires_grad=True)
        (counts,) = torch.autograd.grad(part(frames).sum(), frames)
        inside = counts[:, :, 1:-1, 1:-1]
        assert inside.min() == inside.max() > 0


def test_an_even_area_stays_even_whatever_the_decoder_has_learned():
    """Each 2x2 square of an even area has one colour: no weights can make a checkerboard of it."""
    torch.manual_seed(0)
    decoder = Decoder(small_recipe()).double()
    for weight in decoder.parameters():
        torch.nn.init.normal_(weight)
    for layer, channels in ((decoder.layers[2], 64), (decoder.layers[-1], 8)):
        drawn = layer(torch.rand(1, channels, 1, 1, dtype=torch.float64).expand(1, channels, 6, 8))[0, :, 2:-2, 2:-2]
        assert drawn.std() > 1
        assert (drawn.amax((1, 2)) - drawn.amin((1, 2))).max() < 1e-9


@pytest.mark.parametrize(("layer", "around"), [(UpsampleConv(8, 6), 1), (UpsampleConvToRGB(8), 2)])
def test_upsampling_is_a_convolution_over_nearest_neighbour_pixels(layer, around):
    """In both directions: the fast form does not flip the kernel."""
    layer = layer.double()
    kernel = layer.parametrizations.weight.original
    torch.nn.init.normal_(kernel), torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 8, 5, 7, dtype=torch.float64)
    squares = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    if isinstance(layer, UpsampleConv):  # a transposed convolution has its kernel the other way round
        kernel = kernel.transpose(0, 1).flip(2, 3)
    expected = torch.nn.functional.conv2d(squares, kernel, layer.bias, padding=around)
    torch.testing.assert_close(layer(x), expected, rtol=1e-9, atol=1e-9)


def test_frames_survive_the_way_to_the_network_and_back():
    frames = torch.arange(256, dtype=torch.uint8).repeat(3).reshape(1, 16, 16, 3)
    assert torch.equal(to_frames(to_network(frames)), frames)
    assert to_network(frames).is_contiguous(memory_format=torch.channels_last)
    assert to_network(frames).min() == -1 and to_network(frames).max() == 1


def test_the_whole_of_the_grey_scale_is_within_reach():
    """The decoder's last function has -1 and 1 for limits, so black is black."""
    nets = networks()
    with torch.no_grad():
        nets.decoder.layers[-1].bias.fill_(-9.0)
        assert to_frames(nets.decoder(torch.zeros(1, 16))).max() == 0


def test_a_posterior_too_wide_is_held_at_a_finite_width():
    nets = networks()
    with torch.no_grad():
        nets.encoder.head.bias.fill_(1000.0)
        _, log_variance = nets.encoder(torch.zeros(1, 3, 48, 64))
    assert log_variance.exp().isfinite().all()


def gradients_of(layer, call, x):
    """What a layer gives, and its gradients, for a cotangent of no symmetry."""
    out = call(x)
    slope = torch.linspace(-1, 2, out.numel(), dtype=out.dtype).reshape(out.shape)
    return [out, *torch.autograd.grad(out, [x, *layer.parameters()], slope)]


@pytest.mark.parametrize("shape", [(3, 16, 9, 16), (1, 8, 2, 1), (2, 80, 4, 6)])
def test_the_gpus_group_norm_is_group_norm(shape):
    torch.manual_seed(0)
    norm = GroupNorm(shape[1]).double()
    torch.nn.init.normal_(norm.weight), torch.nn.init.normal_(norm.bias)
    x = (3 * torch.randn(shape, dtype=torch.float64) + 1).requires_grad_()
    ours = gradients_of(norm, norm.from_sums, x)
    for a, b in zip(ours, gradients_of(norm, norm, x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_the_gpus_first_and_last_layers_are_the_plain_convolutions():
    torch.manual_seed(0)
    first, last = DownsampleRGB(8).double(), UpsampleConvToRGB(8).double()
    frames = torch.randn(2, 3, 12, 20, dtype=torch.float64, requires_grad=True)
    x = torch.randn(2, 8, 6, 10, dtype=torch.float64, requires_grad=True)
    sixteen = lambda x: torch.nn.functional.pixel_shuffle(last.forward_padded(x), 2)  # noqa: E731
    for layer, call, value in ((first, first.forward_im2col, frames), (last, sixteen, x)):
        for a, b in zip(gradients_of(layer, call, value), gradients_of(layer, layer, value), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
