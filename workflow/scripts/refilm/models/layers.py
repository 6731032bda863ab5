"""Layers that the recipes share: exact on every device, and in the memory format that convolutions are fast in."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import register_parametrization

from refilm.models.base import full_precision

DOWNSAMPLINGS = 4  # strided convolutions of each network
_CHANNELS_PER_GROUP = 8


class GroupNorm(nn.GroupNorm):
    """Group norm over groups of 8 channels of one frame. (B, C, H, W) -> the same shape and dtype.

    On the CPU it is the native kernel. On CUDA the native kernel takes contiguous tensors only, and the conversion takes
    longer than the convolution before it; so there the same is computed from sums over each channel, in float32.
    """

    def __init__(self, channels: int):
        super().__init__(channels // _CHANNELS_PER_GROUP, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.from_sums(x) if x.is_cuda else super().forward(x)

    def from_sums(self, x: Tensor) -> Tensor:
        """The same from sums over channels."""
        y: Tensor = ChannelwiseGroupNorm.apply(x, self.weight, self.bias, self.num_groups, self.eps)  # type: ignore[no-untyped-call]
        return y


class ChannelwiseGroupNorm(torch.autograd.Function):
    """Group norm as one multiplication and one addition a channel, forwards and backwards (Wu and He 2018).

    It needs only sums over a channel's pixels: of x and x^2, and for the gradient of dy and dy*x. It saves x in its own
    dtype for the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        wide = full_precision(x)
        sums = torch.stack([wide.mean((2, 3)), wide.square().mean((2, 3))])  # (2, B, C)
        mean, square = sums.unflatten(2, (groups, -1)).mean(3)  # (B, groups) each
        inv_std = (square - mean.square()).clamp_min(0).add(eps).rsqrt()
        scale = _groups_to_channels(inv_std, weight) * weight  # (B, C)
        shift = bias - _groups_to_channels(mean, weight) * scale
        ctx.save_for_backward(x, weight, mean, inv_std)
        return (wide * scale[..., None, None] + shift[..., None, None]).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inv_std = ctx.saved_tensors
        wide, dy = full_precision(x), full_precision(dy)
        mean_c, inv_std_c = _groups_to_channels(mean, weight), _groups_to_channels(inv_std, weight)
        pixels = x.shape[2] * x.shape[3]
        dy_sum = dy.sum((2, 3))  # (B, C)
        dy_normed = ((dy * wide).sum((2, 3)) - mean_c * dy_sum) * inv_std_c
        count = pixels * x.shape[1] // mean.shape[1]
        group_means = torch.stack([dy_sum * weight, dy_normed * weight]).unflatten(2, (mean.shape[1], -1)).sum(3) / count
        dy_mean, normed_mean = (_groups_to_channels(mean_of, weight) for mean_of in group_means)
        # dx = inv_std * (weight * dy - dy_mean - normed * normed_mean), with normed = (x - mean) * inv_std
        times_dy, times_x = inv_std_c * weight, -normed_mean * inv_std_c.square()
        rest = -inv_std_c * dy_mean - times_x * mean_c
        dx = dy * times_dy[..., None, None] + wide * times_x[..., None, None] + rest[..., None, None]
        return dx.to(x.dtype), dy_normed.sum(0), dy_sum.sum(0), None, None


def _groups_to_channels(values: Tensor, weight: Tensor) -> Tensor:
    """(B, groups) -> (B, C): each channel has its group's value."""
    return values.repeat_interleave(weight.numel() // values.shape[1], dim=1)


class Downsample(nn.Conv2d):
    """Half the size, by a 4x4 convolution of stride 2."""

    def __init__(self, channels: int, out: int, bias: bool = True):
        super().__init__(channels, out, 4, stride=2, padding=1, bias=bias)


class DownsampleRGB(Downsample):
    """`Downsample` of RGB frames, so many side by side as channels. With 3 channels tensor cores would be mostly idle; so on
    CUDA the 48 values under the kernel are gathered (im2col), and the rest is one matrix product."""

    def __init__(self, out: int, together: int = 1):
        super().__init__(3 * together, out)

    def forward(self, frames: Tensor) -> Tensor:
        return self.forward_im2col(frames) if frames.is_cuda else super().forward(frames)

    def forward_im2col(self, frames: Tensor) -> Tensor:
        """The same as one matrix product: (B, 3, H, W) -> (B, out, H/2, W/2), channels_last."""
        rows, columns = frames.shape[2] // 2, frames.shape[3] // 2
        frames = frames.to(_compute_dtype(frames, self.weight))  # before there are four times as many values
        padded = F.pad(frames.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
        squares = padded.unflatten(2, (columns + 1, 2)).unflatten(1, (rows + 1, 2)).transpose(2, 3).flatten(3)
        windows = [squares[:, y : y + rows, x : x + columns] for y in (0, 1) for x in (0, 1)]  # the kernel's four 2x2 blocks
        patches = torch.cat([square.flatten(0, 2) for square in windows], 1)  # (B * H/2 * W/2, 48)
        kernel = self.weight.unflatten(3, (2, 2)).unflatten(2, (2, 2))  # (out, 3, y, dy, x, dx)
        kernel = kernel.permute(0, 2, 4, 3, 5, 1).flatten(1)
        features: Tensor = F.linear(patches, kernel, self.bias).unflatten(0, (-1, rows, columns))
        return features.permute(0, 3, 1, 2)


class UpsampleConv(nn.ConvTranspose2d):
    """Twice the size: nearest-neighbour upsampling and a 3x3 convolution (resize-convolution, Odena et al. 2016), so that an
    even area stays even whatever is learned. Computed as the equivalent 4x4 transposed convolution of stride 2, at less
    than half the cost.

    With unconstrained 4x4 kernels each of the four output pixels has weights of its own, and the decoder starts with a
    checkerboard pattern that takes long to unlearn. Initialised as bilinear interpolation of random mixtures of channels.
    """

    def __init__(self, channels: int, out: int, bias: bool = True):
        super().__init__(channels, out, 4, stride=2, padding=1, bias=bias)
        taps = torch.tensor([0.25, 0.5, 0.25])
        self.weight = nn.Parameter(torch.randn(channels, out, 1, 1) / channels**0.5 * torch.outer(taps, taps))
        register_parametrization(self, "weight", NearestUpsampleKernel(), unsafe=True)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class NearestUpsampleKernel(nn.Module):
    """A kernel for nearest-neighbour upsampled pixels -> the equivalent kernel for the pixels, one tap wider."""

    def forward(self, kernel: Tensor) -> Tensor:
        rows = F.pad(kernel, (0, 0, 0, 1)) + F.pad(kernel, (0, 0, 1, 0))
        return F.pad(rows, (0, 1)) + F.pad(rows, (1, 0))


class UpsampleConvToRGB(nn.Conv2d):
    """`UpsampleConv` to RGB with a 5x5 convolution. Computed as a 3x3 convolution and a pixel shuffle, at a quarter of the
    cost of the equivalent 6x6 transposed convolution."""

    bias: nn.Parameter

    def __init__(self, channels: int):
        super().__init__(channels, 3 * 4, 3, padding=1)
        taps = torch.tensor([0.0, 0.25, 0.5, 0.25, 0.0])
        self.weight = nn.Parameter(torch.randn(3, channels, 1, 1) / channels**0.5 * torch.outer(taps, taps))
        self.bias = nn.Parameter(torch.zeros(3))
        register_parametrization(self, "weight", PixelShuffleKernel(), unsafe=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.forward_padded(x) if x.is_cuda else self.forward_plain(x), 2)

    def forward_plain(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 12, H, W): four output pixels for each of three colours."""
        return F.conv2d(x, self.weight, self.bias.repeat_interleave(4), padding=1)

    def forward_padded(self, x: Tensor) -> Tensor:
        """The same with four zero channels beside the 12: tensor cores take multiples of 8, and cuDNN would copy anything
        else."""
        weight, bias = F.pad(self.weight, (0, 0, 0, 0, 0, 0, 0, 4)), F.pad(self.bias.repeat_interleave(4), (0, 4))
        return F.conv2d(x, weight, bias, padding=1)[:, :12]


class PixelShuffleKernel(NearestUpsampleKernel):
    """(3, C, 5, 5) for upsampled pixels -> (12, C, 3, 3): for each colour the kernels of the four output pixels."""

    def forward(self, kernel: Tensor) -> Tensor:
        taps = super().forward(kernel).unflatten(3, (3, 2)).unflatten(2, (3, 2))  # (3, C, y, odd y, x, odd x)
        kernels: Tensor = taps.flip(3, 5).permute(0, 3, 5, 1, 2, 4).flatten(0, 2)
        return kernels


class Linear32(nn.Linear):
    """A linear layer in float32 whatever the convolutions compute in: with weights as large as those between a frame and its
    latents, casting costs more than multiplying."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.to(self.weight.dtype))


def _compute_dtype(x: Tensor, weight: Tensor) -> torch.dtype:
    """The dtype that autocast would cast to, or the weight's own."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


def bottleneck_size(frame_size: tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) of a frame of (width, height) after the last downsampling."""
    width, height = frame_size
    return height // 2**DOWNSAMPLINGS, width // 2**DOWNSAMPLINGS
