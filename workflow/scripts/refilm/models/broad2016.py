"""The networks of the 2016 code, "Autoencoding Blade Runner", layer by layer.

5x5 convolutions of stride 2, padded as TensorFlow pads ("SAME": one pixel before, two after), biases everywhere, batch
norm on the statistics of the batch at hand, in training and after it: 2016 had no other mode. So a frame's rebuilding
depends on the frames beside it in its batch, near-black batches are lifted to grey, and the picture jumps where one
batch ends and the next begins. That is how the film looked; `larsen2015` is the recipe without it.

Shapes are given for frames of 256x144 and base width w (80 in 2016).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refilm.config.recipe import Recipe
from refilm.models.layers import Linear32, bottleneck_size

_SPREAD = 0.02  # standard deviation of the first weights


class Encoder(nn.Module):
    """A frame becomes a posterior. (B, 3, H, W) -> mean in [-1, 1], log-variance in [-.5, .5]: (B, latent), float32."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        w, (rows, columns) = recipe.base_channels, bottleneck_size(recipe.frame_size)
        self.layers = nn.Sequential(  #                                              (B,  3, 144, 256)
            _Halve(3, w), nn.LeakyReLU(0.2),  #                                      (B,  w,  72, 128)
            _Halve(w, 2 * w), _BatchNorm(2 * w), nn.LeakyReLU(0.2),  #               (B, 2w,  36,  64)
            _Halve(2 * w, 4 * w), _BatchNorm(4 * w), nn.LeakyReLU(0.2),  #           (B, 4w,  18,  32)
            _Halve(4 * w, 8 * w), _BatchNorm(8 * w), nn.LeakyReLU(0.2),  #           (B, 8w,   9,  16)
        )  # fmt: skip
        self.mean_head = _linear(8 * w * rows * columns, recipe.latent_dim)
        self.log_variance_head = _linear(8 * w * rows * columns, recipe.latent_dim)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        x = self.layers(frames).flatten(1)
        return self.mean_head(x).tanh(), 0.5 * self.log_variance_head(x).tanh()


class Decoder(nn.Module):
    """A latent becomes a frame. (B, latent) float32 -> (B, 3, H, W) in [-1, 1], float32."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        w = recipe.base_channels
        self.bottom = (8 * w, *bottleneck_size(recipe.frame_size))
        self.head = _linear(recipe.latent_dim, self.bottom[0] * self.bottom[1] * self.bottom[2])
        self.layers = nn.Sequential(  #                                              (B, 8w,   9,  16)
            _BatchNorm(8 * w), nn.ReLU(),
            _Double(8 * w, 4 * w), _BatchNorm(4 * w), nn.ReLU(),  #                  (B, 4w,  18,  32)
            _Double(4 * w, 2 * w), _BatchNorm(2 * w), nn.ReLU(),  #                  (B, 2w,  36,  64)
            _Double(2 * w, w), _BatchNorm(w), nn.ReLU(),  #                          (B,  w,  72, 128)
            _Double(w, 3),  #                                                        (B,  3, 144, 256)
        )  # fmt: skip

    def forward(self, latents: Tensor) -> Tensor:
        seed = self.head(latents).unflatten(1, self.bottom)
        return self.layers(seed.contiguous(memory_format=torch.channels_last)).float().tanh()


class Discriminator(nn.Module):
    """Is it film? (B, 3, H, W) -> logits (B,), float32, and the features of its four layers, after their activation."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        w, (rows, columns) = recipe.base_channels, bottleneck_size(recipe.frame_size)
        self.layers = nn.ModuleList([
            nn.Sequential(_Halve(3, w), nn.LeakyReLU(0.2)),  #                                  (B,  w,  72, 128)
            nn.Sequential(_Halve(w, 2 * w), _BatchNorm(2 * w), nn.LeakyReLU(0.2)),  #           (B, 2w,  36,  64)
            nn.Sequential(_Halve(2 * w, 4 * w), _BatchNorm(4 * w), nn.LeakyReLU(0.2)),  #       (B, 4w,  18,  32)
            nn.Sequential(_Halve(4 * w, 8 * w), _BatchNorm(8 * w), nn.LeakyReLU(0.2)),  #       (B, 8w,   9,  16)
        ])  # fmt: skip
        self.head = _linear(8 * w * rows * columns, 1)

    def forward(self, frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = [frames]
        for layer in self.layers:
            features.append(layer(features[-1]))
        return self.head(features[-1].flatten(1)).squeeze(1), features[1:]


class _Halve(nn.Conv2d):
    def __init__(self, channels: int, out: int):
        super().__init__(channels, out, 5, stride=2)
        nn.init.trunc_normal_(self.weight, std=_SPREAD, a=-2 * _SPREAD, b=2 * _SPREAD)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (1, 2, 1, 2)))


class _Double(nn.ConvTranspose2d):
    """The transpose of `_Halve`: what would lie one pixel before the picture and two after it is cut off."""

    def __init__(self, channels: int, out: int):
        super().__init__(channels, out, 5, stride=2, padding=1)
        nn.init.normal_(self.weight, std=_SPREAD)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[..., :-1, :-1].contiguous(memory_format=torch.channels_last)


class _BatchNorm(nn.Module):
    """Batch norm by the batch at hand, always."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(1 + _SPREAD * torch.randn(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=1e-5)


def _linear(inputs: int, outputs: int) -> Linear32:
    layer = Linear32(inputs, outputs)
    nn.init.normal_(layer.weight, std=_SPREAD)
    nn.init.zeros_(layer.bias)
    return layer
