"""Encoder, decoder and discriminator of the VAE/GAN of Larsen et al. 2015 (arXiv:1512.09300), for whole film frames.

Strided convolutions all the way, no pooling. Shapes are given for frames of 256x144 and base width w (80 by default).

Four choices differ from the paper's and have their reasons here:
- Kernels that halve are 4x4, not 5x5: a kernel that is a multiple of the stride touches every pixel equally often, so what
  the discriminator tells the decoder has no checkerboard in it.
- What doubles is a convolution over pixels that became squares of four, so the decoder cannot weave a grid of its own.
- No batch norm: its statistics come from the other frames of the batch, so a frame's rebuilding would depend on its
  neighbours, and black frames would turn grey. Group norm (or none) sees one frame alone.
- The layer in which likeness is measured is read after its normalisation, where its scale cannot drift.

Frames are in [-1, 1]. `vae` and `autoencoder` have this encoder and this decoder.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refilm.config.recipe import Recipe
from refilm.models.layers import (
    Downsample,
    DownsampleRGB,
    GroupNorm,
    Linear32,
    UpsampleConv,
    UpsampleConvToRGB,
    bottleneck_size,
)

_LOG_VARIANCE_LIMIT = 10.0  # e^10 overflows nothing; beyond it a posterior says nothing


class Encoder(nn.Module):
    """A frame becomes a posterior. (B, 3, H, W) -> mean, log-variance: (B, latent) each, float32."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        w, (rows, columns) = recipe.base_channels, bottleneck_size(recipe.frame_size)
        self.layers = nn.Sequential(  #                    (B,  3, 144, 256)
            DownsampleRGB(w), nn.LeakyReLU(0.2),  #         (B,  w,  72, 128)
            Downsample(w, 2 * w), nn.LeakyReLU(0.2),  #         (B, 2w,  36,  64)
            Downsample(2 * w, 4 * w), nn.LeakyReLU(0.2),  #     (B, 4w,  18,  32)
            Downsample(4 * w, 8 * w), nn.LeakyReLU(0.2),  #     (B, 8w,   9,  16)
        )  # fmt: skip
        self.head = Linear32(8 * w * rows * columns, 2 * recipe.latent_dim)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.head(self.layers(frames).flatten(1)).chunk(2, dim=1)
        return mean, log_variance.clamp(-_LOG_VARIANCE_LIMIT, _LOG_VARIANCE_LIMIT)


class Decoder(nn.Module):
    """A latent becomes a frame. (B, latent) float32 -> (B, 3, H, W) in [-1, 1], float32."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        w = recipe.base_channels
        self.bottom = (8 * w, *bottleneck_size(recipe.frame_size))
        self.head = Linear32(recipe.latent_dim, self.bottom[0] * self.bottom[1] * self.bottom[2])
        self.layers = nn.Sequential(  #                                                     (B, 8w,   9,  16)
            GroupNorm(8 * w), nn.LeakyReLU(0.2),
            UpsampleConv(8 * w, 4 * w, bias=False), GroupNorm(4 * w), nn.LeakyReLU(0.2),  #       (B, 4w,  18,  32)
            UpsampleConv(4 * w, 2 * w, bias=False), GroupNorm(2 * w), nn.LeakyReLU(0.2),  #       (B, 2w,  36,  64)
            UpsampleConv(2 * w, w), nn.LeakyReLU(0.2),  #                                         (B,  w,  72, 128)
            UpsampleConvToRGB(w),  #                                                          (B,  3, 144, 256)
        )  # fmt: skip

    def forward(self, latents: Tensor) -> Tensor:
        return self.grow(self.head(latents))

    def grow(self, seeds: Tensor) -> Tensor:
        """The frames of what the head makes of latents: (B, 8w * 9 * 16) -> (B, 3, H, W)."""
        seeds = seeds.unflatten(1, self.bottom).contiguous(memory_format=torch.channels_last)
        return self.layers(seeds).float().tanh()


class Discriminator(nn.Module):
    """Is it film? (B, 3, H, W) -> logits (B,), float32, and the features of its four layers, as computed."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        w, (rows, columns) = recipe.base_channels, bottleneck_size(recipe.frame_size)
        self.layers = nn.ModuleList([
            DownsampleRGB(w),  #                                                          (B,  w,  72, 128)
            nn.Sequential(Downsample(w, 2 * w, bias=False), GroupNorm(2 * w)),  #             (B, 2w,  36,  64)
            nn.Sequential(Downsample(2 * w, 4 * w, bias=False), GroupNorm(4 * w)),  #         (B, 4w,  18,  32)
            nn.Sequential(Downsample(4 * w, 8 * w, bias=False), GroupNorm(8 * w)),  #         (B, 8w,   9,  16)
        ])  # fmt: skip
        self.head = Linear32(8 * w * rows * columns, 1)

    def forward(self, frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        features, x = [], frames
        for layer in self.layers:
            features.append(layer(x))
            x = F.leaky_relu(features[-1], 0.2)
        return self.head(x.flatten(1)).squeeze(1), features
