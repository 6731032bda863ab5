"""Layers that the recipes share: each exact on every device, and in an order of memory that the convolutions like."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import register_parametrization

from refilm.config.recipe import parse_size

DOWNSAMPLINGS = 4  # strided convolutions of each network
_CHANNELS_PER_GROUP = 8


class GroupNorm(nn.GroupNorm):
    """Group norm over groups of 8 channels of one frame. (B, C, H, W) -> the same shape and dtype.

    On CPUs the native kernel. It knows contiguous pictures only on CUDA, where turning them there and back takes longer
    than the convolution before it; so there the same is computed from sums over each channel, in float32.
    """

    def __init__(self, channels: int):
        super().__init__(channels // _CHANNELS_PER_GROUP, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.from_sums(x) if x.is_cuda else super().forward(x)

    def from_sums(self, x: Tensor) -> Tensor:
        """The same from sums over channels."""
        return ChannelwiseGroupNorm.apply(x, self.weight, self.bias, self.num_groups, self.eps)


class ChannelwiseGroupNorm(torch.autograd.Function):
    """Group norm as one multiplication and one addition a channel, forwards and backwards (Wu and He 2018).

    Only sums over a channel's pixels are needed: of x and x^2, and for the gradient of dy and dy*x. What is kept for it is
    x as it came, in its own dtype.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        wide = x.float()
        sums = torch.stack([wide.mean((2, 3)), wide.square().mean((2, 3))])  # (2, B, C)
        mean, square = sums.unflatten(2, (groups, -1)).mean(3)  # (B, groups) each
        spread = (square - mean.square()).clamp_min(0).add(eps).rsqrt()
        scale = _groups_to_channels(spread, weight) * weight  # (B, C)
        shift = bias - _groups_to_channels(mean, weight) * scale
        ctx.save_for_backward(x, weight, mean, spread)
        return (wide * scale[..., None, None] + shift[..., None, None]).to(x.dtype)

    @staticmethod
    def backward(ctx, dy: Tensor) -> tuple:
        x, weight, mean, spread = ctx.saved_tensors
        wide, slope = x.float(), dy.float()
        mean_c, spread_c = _groups_to_channels(mean, weight), _groups_to_channels(spread, weight)
        pixels = x.shape[2] * x.shape[3]
        dy_sum = slope.sum((2, 3))  # (B, C)
        dy_normed = ((slope * wide).sum((2, 3)) - mean_c * dy_sum) * spread_c
        count = pixels * x.shape[1] // mean.shape[1]
        of_group = torch.stack([dy_sum * weight, dy_normed * weight]).unflatten(2, (mean.shape[1], -1)).sum(3) / count
        about, along = _groups_to_channels(of_group[0], weight), _groups_to_channels(of_group[1], weight)
        # dx = spread * (weight * dy - about - normed * along), with normed = (x - mean) * spread
        times_dy, times_x = spread_c * weight, -along * spread_c.square()
        rest = -spread_c * about - times_x * mean_c
        dx = slope * times_dy[..., None, None] + wide * times_x[..., None, None] + rest[..., None, None]
        return dx.to(x.dtype), dy_normed.sum(0), dy_sum.sum(0), None, None


def _groups_to_channels(of_groups: Tensor, weight: Tensor) -> Tensor:
    """(B, groups) -> (B, C): each channel has its group's value."""
    return of_groups.repeat_interleave(weight.numel() // of_groups.shape[1], dim=1)


class Downsample(nn.Conv2d):
    """Half the size, by a 4x4 convolution of stride 2."""

    def __init__(self, channels: int, out: int, bias: bool = True):
        super().__init__(channels, out, 4, stride=2, padding=1, bias=bias)


class DownsampleRGB(Downsample):
    """`Downsample` of a picture in RGB. With 3 channels tensor cores would stay empty for the most part; so on CUDA the 48
    values under the kernel are laid side by side, and the rest is one matrix product."""

    def __init__(self, out: int):
        super().__init__(3, out)

    def forward(self, frames: Tensor) -> Tensor:
        return self.forward_im2col(frames) if frames.is_cuda else super().forward(frames)

    def forward_im2col(self, frames: Tensor) -> Tensor:
        """The same as one matrix product: (B, 3, H, W) -> (B, out, H/2, W/2), channels_last."""
        rows, columns = frames.shape[2] // 2, frames.shape[3] // 2
        frames = frames.to(_computing_in(frames, self.weight))  # now, and not when there are four times as many
        padded = F.pad(frames.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
        squares = padded.unflatten(2, (columns + 1, 2)).unflatten(1, (rows + 1, 2)).transpose(2, 3).flatten(3)
        under = [squares[:, y : y + rows, x : x + columns] for y in (0, 1) for x in (0, 1)]  # the kernel's four squares
        patches = torch.cat([square.flatten(0, 2) for square in under], 1)  # (B * H/2 * W/2, 48)
        kernel = self.weight.unflatten(3, (2, 2)).unflatten(2, (2, 2))  # (out, 3, y, dy, x, dx)
        kernel = kernel.permute(0, 2, 4, 3, 5, 1).flatten(1)
        return F.linear(patches, kernel, self.bias).unflatten(0, (-1, rows, columns)).permute(0, 3, 1, 2)


class UpsampleConv(nn.ConvTranspose2d):
    """Twice the size: each pixel becomes a square of four, and a 3x3 convolution goes over them (Odena et al. 2016), so that
    what is even stays even whatever is learned. Computed as the 4x4 transposed convolution of stride 2 that it equals, at
    less than half the cost.

    With free 4x4 kernels each of the four pixels has weights of its own, and weaves a grid that training is long in
    unlearning. Begins as bilinear interpolation of random mixtures of channels.
    """

    def __init__(self, channels: int, out: int, bias: bool = True):
        super().__init__(channels, out, 4, stride=2, padding=1, bias=bias)
        taps = torch.tensor([0.25, 0.5, 0.25])
        self.weight = nn.Parameter(torch.randn(channels, out, 1, 1) / channels**0.5 * torch.outer(taps, taps))
        register_parametrization(self, "weight", NearestUpsampleKernel(), unsafe=True)
        if bias:
            nn.init.zeros_(self.bias)


class NearestUpsampleKernel(nn.Module):
    """A kernel for pixels that were made squares of four -> the kernel of the same effect for the pixels, one tap wider."""

    def forward(self, kernel: Tensor) -> Tensor:
        rows = F.pad(kernel, (0, 0, 0, 1)) + F.pad(kernel, (0, 0, 1, 0))
        return F.pad(rows, (0, 1)) + F.pad(rows, (1, 0))


class UpsampleConvToRGB(nn.Conv2d):
    """`UpsampleConv` to RGB with a 5x5 convolution. Computed as a 3x3 convolution and a pixel shuffle, at a quarter of the
    cost of the equivalent 6x6 transposed convolution."""

    def __init__(self, channels: int):
        super().__init__(channels, 3 * 4, 3, padding=1)
        taps = torch.tensor([0.0, 0.25, 0.5, 0.25, 0.0])
        self.weight = nn.Parameter(torch.randn(3, channels, 1, 1) / channels**0.5 * torch.outer(taps, taps))
        self.bias = nn.Parameter(torch.zeros(3))
        register_parametrization(self, "weight", PixelShuffleKernel(), unsafe=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.forward_padded(x) if x.is_cuda else self.forward_plain(x), 2)

    def forward_plain(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 12, H, W): the four pixels of each square, for each of three colours."""
        return F.conv2d(x, self.weight, self.bias.repeat_interleave(4), padding=1)

    def forward_padded(self, x: Tensor) -> Tensor:
        """The same with four idle channels beside the 12: tensor cores take 8 at a time, and what is not a multiple cuDNN
        would copy to and fro."""
        weight, bias = F.pad(self.weight, (0, 0, 0, 0, 0, 0, 0, 4)), F.pad(self.bias.repeat_interleave(4), (0, 4))
        return F.conv2d(x, weight, bias, padding=1)[:, :12]


class PixelShuffleKernel(NearestUpsampleKernel):
    """(3, C, 5, 5) for squares -> (12, C, 3, 3): for each colour the kernels of a square's four pixels."""

    def forward(self, kernel: Tensor) -> Tensor:
        taps = super().forward(kernel).unflatten(3, (3, 2)).unflatten(2, (3, 2))  # (3, C, y, odd y, x, odd x)
        return taps.flip(3, 5).permute(0, 3, 5, 1, 2, 4).flatten(0, 2)


class Linear32(nn.Linear):
    """A linear layer in float32 whatever the convolutions compute in: beside weights as large as those between a picture
    and its latent, casting costs more than multiplying."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.to(self.weight.dtype))


def _computing_in(x: Tensor, weight: Tensor) -> torch.dtype:
    """What autocast would cast to, or the weight's own."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


def bottleneck_size(frame_size: str) -> tuple[int, int]:
    """(rows, columns) of a frame after the last halving."""
    width, height = parse_size(frame_size, "frame_size")
    return height // 2**DOWNSAMPLINGS, width // 2**DOWNSAMPLINGS
