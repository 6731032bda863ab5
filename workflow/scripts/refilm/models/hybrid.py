"""`hybrid`: a fixed linear code of frames, and a learned decoder that adds to the picture of the code what it knows.

The latents are those of a linear code (`refilm.models.linear_code`), fitted to the film in seconds and not trained. So they
follow every film, their own or another. The decoder sees the picture that the code stands for at each of its sizes, and its
output is added to it: it begins as that picture, and learns the rest. Shapes are given for frames of 256x144 and w base
channels. Frames are in [-1, 1]; the decoder's are clipped where they are written.

A training has two stages, and the fraction `adversarial_from` of the steps parts them:

    pixels          decoder         L_pixel: absolute and squared error, and structural dissimilarity
    discriminator   decoder         L_pixel + L_like + L_GAN / gamma, as in `larsen2015`
                    discriminator   L_GAN, of frames and reconstructions, or of so many neighbours of a clip together as
                                    `discriminator_frames` says; there are no prior samples

In the second stage each derivative is taken once, as in `larsen2015`. 1/gamma rises from 0 in the first fifth of it, in
which the discriminator learns what it is to measure.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import grad
from torch.nn import functional as F
from torch.nn.utils.parametrize import cached

from refilm.config.recipe import Recipe
from refilm.models.base import Batch, Model, StepContext, StepResult, full_precision
from refilm.models.larsen2015 import Discriminator, inverse_gamma, non_saturating
from refilm.models.layers import DOWNSAMPLINGS, GroupNorm, Linear32, UpsampleConv, UpsampleConvToRGB, bottleneck_size
from refilm.models.linear_code import LinearCode
from refilm.models.losses import (
    clip_losses,
    dissimilarity,
    feature_loss,
    neighbours_together,
    pixel_loss,
    psnr_of_batch,
)

_HIDDEN = 512  # units of the decoder's head
_SEED_CHANNELS = 48  # of the head's output
_GAIN = 0.25  # of the decoder's output. Adam's steps are as large as if it had to make the whole picture
_SHORT_FILM = 4000  # frames; the principal components of fewer describe nothing else
_RISE = 0.2  # fraction of the second stage in which the adversarial loss reaches its weight

PIXELS, DISCRIMINATOR = "pixels", "discriminator"


class Residual(nn.Module):
    """x + 3x3 convolution of the activated x, at first nothing."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.conv(F.leaky_relu(x, 0.2))
        return y


class Decoder(nn.Module):
    """Latents and the picture that they stand for to frames. (B, latent_dim), (B, 3, H, W) -> (B, 3, H, W), float32."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        w = recipe.base_channels
        self.bottleneck = (_SEED_CHANNELS, *bottleneck_size(recipe.size))
        values = self.bottleneck[0] * self.bottleneck[1] * self.bottleneck[2]
        self.head = nn.Sequential(Linear32(recipe.latent_dim, _HIDDEN), nn.LeakyReLU(0.2), Linear32(_HIDDEN, values))
        self.picture_convs = nn.ModuleList(nn.Conv2d(3, c * w, 3, padding=1) for c in (8, 4, 2, 1))
        self.stages = nn.ModuleList([
            nn.Conv2d(_SEED_CHANNELS, 8 * w, 1),  #                         (B, 8w,  9,  16)
            nn.Sequential(Residual(8 * w), Residual(8 * w),
                          GroupNorm(8 * w), nn.LeakyReLU(0.2),
                          UpsampleConv(8 * w, 4 * w)),  #                   (B, 4w, 18,  32)
            nn.Sequential(Residual(4 * w),
                          GroupNorm(4 * w), nn.LeakyReLU(0.2),
                          UpsampleConv(4 * w, 2 * w)),  #                   (B, 2w, 36,  64)
            nn.Sequential(GroupNorm(2 * w), nn.LeakyReLU(0.2),
                          UpsampleConv(2 * w, w)),  #                       (B,  w, 72, 128)
        ])  # fmt: skip
        self.last = nn.Sequential(nn.LeakyReLU(0.2), UpsampleConvToRGB(w))  # (B, 3, 144, 256)
        self._initialise()

    def _initialise(self) -> None:
        """He et al. 2015, with residuals and the output at 0: the decoder begins as the picture of the code. With smaller
        weights the path to a last layer at 0 is so weak that both shrink, and nothing is learned."""
        for module in self.modules():
            if type(module) is nn.Conv2d or isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, 0.2)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, Residual):
                nn.init.zeros_(module.conv.weight)
        for weight in self.last.parameters():
            nn.init.zeros_(weight)

    def forward(self, latents: Tensor, picture: Tensor) -> Tensor:
        x = self.head(latents).unflatten(1, self.bottleneck).contiguous(memory_format=torch.channels_last)
        smaller = [picture]
        for _ in range(DOWNSAMPLINGS):
            smaller.append(F.avg_pool2d(smaller[-1], 2))
        for stage, conv, of_size in zip(self.stages, self.picture_convs, reversed(smaller[1:]), strict=True):
            x = stage(x) + conv(of_size)
        return picture + _GAIN * full_precision(self.last(x))

    def bent_modules(self) -> dict[int, nn.Module]:
        """As of `Model.bent_modules`: features with what the picture adds to them. 0 is the picture of the code itself."""
        return dict(enumerate([self, *self.stages[1:], self.last]))


class Hybrid(Model):
    """A linear code, a decoder and a discriminator."""

    decoder: Decoder
    later_metrics = ("feature_loss", "l_gan", "d_real", "d_recon", "gamma", "discriminator_grad_norm")

    def __init__(self, recipe: Recipe):
        super().__init__(recipe)
        self.code = LinearCode(recipe.latent_dim, recipe.size)
        self.decoder = Decoder(recipe)
        self.discriminator = Discriminator(recipe, recipe.discriminator_frames)

    def trained_parameters(self) -> dict[str, list[nn.Parameter]]:
        return {
            "decoder": list(self.decoder.parameters()),
            "discriminator": list(self.discriminator.parameters()),
        }

    def head_weights(self) -> list[Tensor]:
        return [self.discriminator.head.weight]

    def fit(self, frames: np.ndarray) -> None:
        cosines = self.recipe.cosines
        if cosines == "auto":
            cosines = self.recipe.latent_dim if len(frames) < _SHORT_FILM else round(0.32 * self.recipe.latent_dim)
        self.code.fit(frames, int(cosines))

    def encode(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """The latents of the linear code; the posterior is of unit variance, that of the latents of a whole film."""
        latents = self.code.encode(frames)
        return latents, torch.zeros_like(latents)

    def decode(self, latents: Tensor) -> Tensor:
        with torch.autocast(latents.device.type, enabled=False):
            picture = self.code.decode(latents)
        frames: Tensor = self.decoder(latents, picture)
        return frames

    def stage(self, progress: float) -> str:
        return PIXELS if progress < self.recipe.adversarial_from else DISCRIMINATOR

    def gradients(self, batch: Batch, context: StepContext) -> StepResult:
        frames, recipe = batch.frames, self.recipe
        parameters = self.trained_parameters()
        latents = self.code.encode(frames)
        with context.autocast, cached():
            recon = self.decode(latents)
        pixel = pixel_loss(recon, frames)
        loss = recipe.pixel_weight * pixel
        if recipe.ssim_weight:
            loss = loss + recipe.ssim_weight * dissimilarity(recon, frames)
        of_clips = clip_losses(recipe, batch, recon, latents)
        loss = loss + recipe.pair_weight * of_clips.get("pair_loss", 0)
        metrics = {"psnr": psnr_of_batch(recon, frames), "pixel_loss": pixel} | of_clips
        if context.stage == PIXELS:
            gradients = {"decoder": list(grad(loss, parameters["decoder"]))}
            return StepResult(gradients, {name: value.detach() for name, value in metrics.items()})

        judged, judged_recon = (
            neighbours_together(x, recipe.clip_length, recipe.discriminator_frames) for x in (frames, recon)
        )
        with context.autocast, cached():
            real_logits, real_features = self.discriminator(judged)
            recon_logits, recon_features = self.discriminator(judged_recon)
        l_gan = F.softplus(-real_logits).mean() + F.softplus(recon_logits).mean()
        *discriminator_grads, d_judged = grad(l_gan, [*parameters["discriminator"], judged_recon], retain_graph=True)
        l_features = feature_loss(recon_features, real_features, recipe.similarity_layers)
        (like_grad,) = grad(loss + l_features, recon, retain_graph=True)
        d_recon = non_saturating(d_judged, recon_logits)
        if judged_recon is not recon:
            (d_recon,) = grad(judged_recon, recon, d_recon, retain_graph=True)
        rise = (batch.progress - recipe.adversarial_from) / max(_RISE * (1 - recipe.adversarial_from), 1e-6)
        weight = inverse_gamma(recipe, like_grad, d_recon, context.all_reduce_sum)
        decoder_grads = grad(recon, parameters["decoder"], like_grad + rise.clamp(0, 1) * weight * d_recon)
        metrics |= {
            "feature_loss": l_features,
            "l_gan": l_gan,
            "d_real": real_logits.sigmoid().mean(),
            "d_recon": recon_logits.sigmoid().mean(),
            "gamma": 1 / weight.clamp_min(1e-9),
        }
        gradients = {"decoder": list(decoder_grads), "discriminator": list(discriminator_grads)}
        return StepResult(gradients, {name: value.detach() for name, value in metrics.items()})
