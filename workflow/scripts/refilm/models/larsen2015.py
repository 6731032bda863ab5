"""`larsen2015`: the VAE/GAN of Larsen et al. 2015 (arXiv:1512.09300), for whole film frames.

Strided convolutions, no pooling. Shapes are given for frames of 256x144 and w base channels (80 by default). Frames are in
[-1, 1]. Four choices differ from the paper's:

- Downsampling kernels are 4x4, not 5x5: a kernel that is a multiple of the stride covers every pixel equally often, so the
  discriminator's gradient has no checkerboard pattern.
- Upsampling is nearest-neighbour x2 plus a convolution (resize-convolution, Odena et al. 2016), so the decoder cannot learn
  checkerboard artefacts.
- Group norm, not batch norm: with the statistics of a batch a frame's reconstruction would depend on its neighbours, and
  black frames would turn grey.
- Features are compared after their normalisation, where their scale cannot drift.

Algorithm 1 of the paper, with the gradients of all networks at the same parameters:

    encoder         L_prior + L_like            (of clips: L_like with their pair loss, L_prior with their turns)
    decoder         L_like + L_GAN / gamma      (the paper's gamma * L_like - L_GAN, divided by gamma; non-saturating)
    discriminator   L_GAN

Three separate backward passes would repeat most of their work. Here each derivative is taken once and passed on:

    a = dL_GAN/d(reconstruction, prior samples), with the discriminator's own gradients in the same pass
    b = dL_like/d(reconstruction)                 which encoder and decoder share
    decoder  <- b + (-a exp(-logit)) / gamma      chained through the decoder from the frames
    encoder  <- L_prior + b                       chained through decoder and encoder

The decoder's non-saturating loss softplus(-logit) has the derivative -sigmoid(-logit), which is -exp(-logit) times the
sigmoid(logit) of the discriminator's loss. So its gradient at a frame is -exp(-logit) times what the discriminator's
pass gives there. This is exact if no layer of the discriminator mixes the frames of a batch.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd import grad
from torch.nn import functional as F
from torch.nn.utils.parametrize import cached

from refilm.config.recipe import Recipe
from refilm.models.base import Batch, Model, StepContext, StepResult, full_precision
from refilm.models.layers import (
    Downsample,
    DownsampleRGB,
    GroupNorm,
    Linear32,
    UpsampleConv,
    UpsampleConvToRGB,
    bottleneck_size,
)
from refilm.models.losses import (
    clip_losses,
    feature_loss,
    kl_divergence,
    pixel_loss,
    reconstruction_metrics,
    sample_posterior,
)

_LOG_VARIANCE_LIMIT = 10.0  # e^10 overflows nothing; a wider posterior carries no information
_SATURATED = -30.0  # exp(30) is still a float32; a lower logit counts as -30
_MAX_RATIO = 1e4  # of the feature gradient to the adversarial gradient, if the latter vanishes


class Encoder(nn.Module):
    """Frames to posteriors. (B, 3, H, W) -> mean, log-variance: (B, latent_dim) each, float32."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        w, (rows, columns) = recipe.base_channels, bottleneck_size(recipe.size)
        self.layers = nn.Sequential(  #                        (B,  3, 144, 256)
            DownsampleRGB(w), nn.LeakyReLU(0.2),  #            (B,  w,  72, 128)
            Downsample(w, 2 * w), nn.LeakyReLU(0.2),  #        (B, 2w,  36,  64)
            Downsample(2 * w, 4 * w), nn.LeakyReLU(0.2),  #    (B, 4w,  18,  32)
            Downsample(4 * w, 8 * w), nn.LeakyReLU(0.2),  #    (B, 8w,   9,  16)
        )  # fmt: skip
        self.head = Linear32(8 * w * rows * columns, 2 * recipe.latent_dim)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.head(self.layers(frames).flatten(1)).chunk(2, dim=1)
        return mean, log_variance.clamp(-_LOG_VARIANCE_LIMIT, _LOG_VARIANCE_LIMIT)


class Decoder(nn.Module):
    """Latents to frames. (B, latent_dim) float32 -> (B, 3, H, W) in [-1, 1], float32."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        w = recipe.base_channels
        self.bottleneck = (8 * w, *bottleneck_size(recipe.size))
        self.head = Linear32(recipe.latent_dim, self.bottleneck[0] * self.bottleneck[1] * self.bottleneck[2])
        self.layers = nn.Sequential(  #                                                         (B, 8w,   9,  16)
            GroupNorm(8 * w), nn.LeakyReLU(0.2),
            UpsampleConv(8 * w, 4 * w, bias=False), GroupNorm(4 * w), nn.LeakyReLU(0.2),  #     (B, 4w,  18,  32)
            UpsampleConv(4 * w, 2 * w, bias=False), GroupNorm(2 * w), nn.LeakyReLU(0.2),  #     (B, 2w,  36,  64)
            UpsampleConv(2 * w, w), nn.LeakyReLU(0.2),  #                                       (B,  w,  72, 128)
            UpsampleConvToRGB(w),  #                                                            (B,  3, 144, 256)
        )  # fmt: skip

    def forward(self, latents: Tensor) -> Tensor:
        return self.decode_features(self.head(latents))

    def bent_modules(self) -> dict[int, nn.Module]:
        """As of `Model.bent_modules`."""
        return dict(enumerate((m for m in self.layers if isinstance(m, (UpsampleConv, UpsampleConvToRGB))), 1))

    def decode_features(self, features: Tensor) -> Tensor:
        """The head's output to frames: (B, 8w * 9 * 16) -> (B, 3, H, W)."""
        features = features.unflatten(1, self.bottleneck).contiguous(memory_format=torch.channels_last)
        return full_precision(self.layers(features)).tanh()


class Discriminator(nn.Module):
    """Frames to logits of being film, (B,) float32, and the features of the four layers before their activation.

    together: how many frames, side by side as channels, are judged as one.
    """

    def __init__(self, recipe: Recipe, together: int = 1):
        super().__init__()
        w, (rows, columns) = recipe.base_channels, bottleneck_size(recipe.size)
        self.layers = nn.ModuleList([
            DownsampleRGB(w, together),  #                                               (B,  w,  72, 128)
            nn.Sequential(Downsample(w, 2 * w, bias=False), GroupNorm(2 * w)),  #        (B, 2w,  36,  64)
            nn.Sequential(Downsample(2 * w, 4 * w, bias=False), GroupNorm(4 * w)),  #    (B, 4w,  18,  32)
            nn.Sequential(Downsample(4 * w, 8 * w, bias=False), GroupNorm(8 * w)),  #    (B, 8w,   9,  16)
        ])  # fmt: skip
        self.head = Linear32(8 * w * rows * columns, 1)

    def forward(self, frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        features, x = [], frames
        for layer in self.layers:
            features.append(layer(x))
            x = F.leaky_relu(features[-1], 0.2)
        return self.head(x.flatten(1)).squeeze(1), features


class VAEGAN(Model):
    """Encoder, decoder and discriminator of Larsen et al. 2015."""

    encoder: Encoder
    decoder: Decoder

    def __init__(self, recipe: Recipe):
        super().__init__(recipe)
        self.encoder = Encoder(recipe)
        self.decoder = Decoder(recipe)
        self.discriminator = Discriminator(recipe)

    def head_weights(self) -> list[Tensor]:
        return [self.encoder.head.weight, self.discriminator.head.weight]

    def gradients(self, batch: Batch, context: StepContext) -> StepResult:
        recipe, frames, parameters = self.recipe, batch.frames, self.trained_parameters()
        with context.autocast, cached():
            mean, log_variance = self.encoder(frames)
            latents = torch.cat([sample_posterior(mean, log_variance, batch.noise, recipe.noise), batch.prior])
            # One pass through the head, whose gradient is as large as its weights, and two through the rest: the encoder's
            # gradient passes through the reconstruction alone.
            recon, samples = (self.decoder.decode_features(features) for features in self.decoder.head(latents).chunk(2))
            real_logits, real_features = self.discriminator(frames)
            recon_logits, recon_features = self.discriminator(recon)
            prior_logits, _ = self.discriminator(samples)

        # eq. 2, 8 and 4 of the paper
        of_clips = clip_losses(recipe, batch, recon, mean)
        l_prior = recipe.kl_weight * kl_divergence(mean, log_variance).mean()
        l_prior = l_prior + recipe.straighten_weight * of_clips.get("turns", 0)
        l_features = feature_loss(recon_features, real_features, recipe.similarity_layers)
        l_like = l_features + recipe.pixel_weight * pixel_loss(recon, frames)
        l_like = l_like + recipe.pair_weight * of_clips.get("pair_loss", 0)
        l_gan = adversarial_loss(real_logits, recon_logits, prior_logits)

        # a, b, and what follows from them
        d_recon, d_samples, *discriminator_grads = grad(
            l_gan, [recon, samples, *parameters["discriminator"]], retain_graph=True
        )
        (like_grad,) = grad(l_like, [recon], retain_graph=True)
        d_recon, d_samples = non_saturating(d_recon, recon_logits), non_saturating(d_samples, prior_logits)
        weight = inverse_gamma(recipe, like_grad, d_recon, context.all_reduce_sum)
        decoder_grads = grad(
            [recon, samples],
            parameters["decoder"],
            [like_grad + weight * d_recon, weight * d_samples],
            retain_graph=True,
        )
        encoder_grads = grad([l_prior, recon], parameters["encoder"], [torch.ones_like(l_prior), like_grad])

        with torch.no_grad():
            gates = equilibrium_gates(recipe, real_logits, recon_logits, prior_logits, context.all_reduce_sum)
            metrics = reconstruction_metrics(mean, log_variance, recon, frames) | {
                **of_clips,
                "feature_loss": l_features,
                "l_gan": l_gan,
                "d_real": real_logits.sigmoid().mean(),
                "d_recon": recon_logits.sigmoid().mean(),
                "d_prior": prior_logits.sigmoid().mean(),
                "gamma": 1 / weight.clamp_min(1e-9),
                **{f"{name}_trained": gate for name, gate in gates.items()},
            }
        gradients = {
            "encoder": list(encoder_grads),
            "decoder": list(decoder_grads),
            "discriminator": discriminator_grads,
        }
        return StepResult(gradients, metrics, gates)


def adversarial_loss(real: Tensor, recon: Tensor, prior: Tensor) -> Tensor:
    """L_GAN on logits: -log D(x) - (log(1 - D(reconstruction)) + log(1 - D(prior sample))) / 2, averaged over the batch."""
    return F.softplus(-real).mean() + 0.5 * (F.softplus(recon).mean() + F.softplus(prior).mean())


def non_saturating(frame_grads: Tensor, logits: Tensor) -> Tensor:
    """The gradient of the generator's non-saturating loss at its frames, from that of the discriminator's loss there."""
    factor = -torch.exp(-logits.detach().clamp_min(_SATURATED))
    return frame_grads * factor.view(-1, 1, 1, 1)


def inverse_gamma(
    recipe: Recipe, like_grad: Tensor, adversarial_grad: Tensor, all_reduce_sum: Callable[[Tensor], Tensor]
) -> Tensor:
    """1/gamma: as given, or such that the adversarial gradient has `adversarial_ratio` times the norm of that of L_like."""
    if recipe.gamma != "auto":
        return torch.full((), 1.0 / float(recipe.gamma), device=like_grad.device, dtype=like_grad.dtype)
    norms = [torch.linalg.vector_norm(gradient) for gradient in (like_grad, adversarial_grad)]
    squares = all_reduce_sum(torch.stack(norms).square())
    like_norm, adversarial_norm = squares.sqrt().unbind()
    return (recipe.adversarial_ratio * like_norm / (adversarial_norm + 1e-12)).clamp_max(_MAX_RATIO)


def equilibrium_gates(
    recipe: Recipe, real: Tensor, recon: Tensor, prior: Tensor, all_reduce_sum: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """The equilibrium of the paper's own code: a discriminator that wins by more than the margin is not trained, nor is a
    decoder that wins; where neither would be, both are. Losses are the discriminator's, per frame: 0.69 when undecided."""
    if recipe.equilibrium is None:
        return {}
    losses = torch.stack([F.softplus(-real).mean(), 0.5 * (F.softplus(recon).mean() + F.softplus(prior).mean())])
    losses = all_reduce_sum(losses) / all_reduce_sum(torch.ones_like(losses))
    discriminator = (losses >= recipe.equilibrium - recipe.equilibrium_margin).all()
    decoder = (losses <= recipe.equilibrium + recipe.equilibrium_margin).all()
    neither = ~(discriminator | decoder)
    return {"discriminator": (discriminator | neither).float(), "decoder": (decoder | neither).float()}
