"""Encoder, decoder and discriminator of the VAE/GAN of Larsen et al. 2015 (arXiv:1512.09300), for whole film frames.

Strided convolutions all the way, no pooling. Shapes are given for frames of 256x144 and base width w (80 by default).

Three choices differ from the paper's and have their reasons here:
- Kernels are 4x4, not 5x5: a kernel that is a multiple of the stride touches every pixel equally often, forwards and
  in its gradient, so neither the picture nor what the discriminator tells the decoder has a checkerboard in it.
- No batch norm: its statistics come from the other frames of the batch, so a frame's rebuilding would depend on its
  neighbours, and black frames would turn grey. Group norm (or none) sees one frame alone.
- The layer in which likeness is measured is read after its normalisation, where its scale cannot drift.

Frames are in [-1, 1]. The linear heads compute in float32 whatever the convolutions use: beside their huge weights,
casting costs more than multiplying.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refilm.settings.recipe import HALVINGS, Recipe

_CHANNELS_PER_GROUP = 8
_LOG_VARIANCE_LIMIT = 10.0  # e^10 overflows nothing; beyond it a posterior says nothing


class Encoder(nn.Module):
    """A frame becomes a posterior. (B, 3, H, W) -> mean, log-variance: (B, latent) each, float32."""

    def __init__(self, size: tuple[int, int], width: int, latent: int):
        super().__init__()
        w, bottom = width, _bottom(size)
        self.layers = nn.Sequential(  #                    (B,  3, 144, 256)
            _down(3, w), nn.LeakyReLU(0.2),  #             (B,  w,  72, 128)
            _down(w, 2 * w), nn.LeakyReLU(0.2),  #         (B, 2w,  36,  64)
            _down(2 * w, 4 * w), nn.LeakyReLU(0.2),  #     (B, 4w,  18,  32)
            _down(4 * w, 8 * w), nn.LeakyReLU(0.2),  #     (B, 8w,   9,  16)
        )  # fmt: skip
        self.head = nn.Linear(8 * w * bottom[0] * bottom[1], 2 * latent)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = _linear_float32(self.head, self.layers(frames).flatten(1)).chunk(2, dim=1)
        return mean, log_variance.clamp(-_LOG_VARIANCE_LIMIT, _LOG_VARIANCE_LIMIT)


class Decoder(nn.Module):
    """A latent becomes a frame. (B, latent) float32 -> (B, 3, H, W) in [-1, 1], float32."""

    def __init__(self, size: tuple[int, int], width: int, latent: int):
        super().__init__()
        w = width
        self.bottom = (8 * w, *_bottom(size))
        self.head = nn.Linear(latent, self.bottom[0] * self.bottom[1] * self.bottom[2])
        self.layers = nn.Sequential(  #                              (B, 8w,   9,  16)
            _norm(8 * w), nn.LeakyReLU(0.2),
            _up(8 * w, 4 * w), _norm(4 * w), nn.LeakyReLU(0.2),  #   (B, 4w,  18,  32)
            _up(4 * w, 2 * w), _norm(2 * w), nn.LeakyReLU(0.2),  #   (B, 2w,  36,  64)
            _up(2 * w, w), nn.LeakyReLU(0.2),  #                     (B,  w,  72, 128)
            _up_to_picture(w),  #                                    (B,  3, 144, 256)
        )  # fmt: skip

    def forward(self, latents: Tensor) -> Tensor:
        seed = _linear_float32(self.head, latents).unflatten(1, self.bottom)
        return self.layers(seed.contiguous(memory_format=torch.channels_last)).float().tanh()


class Discriminator(nn.Module):
    """Is it film? (B, 3, H, W) -> logits (B,), float32, and the features of its four layers, as computed."""

    def __init__(self, size: tuple[int, int], width: int):
        super().__init__()
        w, bottom = width, _bottom(size)
        self.layers = nn.ModuleList([
            _down(3, w),  #                                           (B,  w,  72, 128)
            nn.Sequential(_down(w, 2 * w), _norm(2 * w)),  #          (B, 2w,  36,  64)
            nn.Sequential(_down(2 * w, 4 * w), _norm(4 * w)),  #      (B, 4w,  18,  32)
            nn.Sequential(_down(4 * w, 8 * w), _norm(8 * w)),  #      (B, 8w,   9,  16)
        ])  # fmt: skip
        self.head = nn.Linear(8 * w * bottom[0] * bottom[1], 1)

    def forward(self, frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        features, x = [], frames
        for layer in self.layers:
            features.append(layer(x))
            x = F.leaky_relu(features[-1], 0.2)
        return _linear_float32(self.head, x.flatten(1)).squeeze(1), features


class Networks(nn.Module):
    """The networks of one model; `discriminator` is None for recipes with pixel error only."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        self.encoder = Encoder(recipe.size, recipe.width, recipe.latent)
        self.decoder = Decoder(recipe.size, recipe.width, recipe.latent)
        self.discriminator = Discriminator(recipe.size, recipe.width) if recipe.recipe == "larsen2015" else None
        self.to(memory_format=torch.channels_last)

    def parts(self) -> dict[str, nn.Module]:
        """Encoder, decoder and, where there is one, discriminator, by name."""
        return {name: part for name, part in self.named_children() if part is not None}


def to_network(frames: Tensor) -> Tensor:
    """uint8 (B, H, W, 3) -> float32 (B, 3, H, W) in [-1, 1], a channels_last view of the same order in memory."""
    return frames.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def to_frames(frames: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] -> uint8 (B, H, W, 3), rounded: the inverse of `to_network`."""
    return frames.float().add(1.0).mul_(127.5).round_().clamp_(0, 255).permute(0, 2, 3, 1).to(torch.uint8)


def _down(channels: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 4, stride=2, padding=1)


def _up(channels: int, out: int) -> nn.ConvTranspose2d:
    """Twice the size. Begins as bilinear interpolation of random mixtures of channels: begun at random, each of the four
    pixels of a 2x2 square would have weights of its own, and the grid they make takes thousands of steps to unlearn."""
    layer = nn.ConvTranspose2d(channels, out, 4, stride=2, padding=1)
    taps = torch.tensor([0.25, 0.75, 0.75, 0.25])
    with torch.no_grad():
        layer.weight.copy_(torch.randn(channels, out, 1, 1) / channels**0.5 * torch.outer(taps, taps))
        layer.bias.zero_()
    return layer


def _up_to_picture(channels: int) -> nn.Sequential:
    """Twice the size, to RGB, as a 3x3 convolution to the four pixels of each 2x2 square: a quarter of the cost of the
    6x6 transposed convolution that it equals. Begins as bilinear interpolation too."""
    layer = nn.Conv2d(channels, 3 * 4, 3, padding=1)
    taps = torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.75, 0.25]])  # of the even and the odd pixel
    squares = torch.einsum("iy,jx->ijyx", taps, taps).reshape(1, 4, 1, 3, 3)
    with torch.no_grad():
        mixture = torch.randn(3, 1, channels, 1, 1) / channels**0.5
        layer.weight.copy_((mixture * squares).reshape(3 * 4, channels, 3, 3))
        layer.bias.zero_()
    return nn.Sequential(layer, nn.PixelShuffle(2))


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(channels // _CHANNELS_PER_GROUP, channels)


def _linear_float32(layer: nn.Linear, x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return F.linear(x.to(layer.weight.dtype), layer.weight, layer.bias)


def _bottom(size: tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) after the last halving."""
    width, height = size
    return height // 2**HALVINGS, width // 2**HALVINGS
