"""`broad2016`: the 2016 code, "Autoencoding Blade Runner", as it in effect trained, under the TensorFlow of its time.

Layers: 5x5 convolutions of stride 2, padded as TensorFlow pads ("SAME": one pixel before, two after), biases everywhere,
batch norm with the statistics of the current batch in training and inference: 2016 had no other mode. So a frame's
reconstruction depends on the frames beside it in its batch, near-black batches turn grey, and the picture jumps at the
boundary of batches. That is how the film looked; `larsen2015` is the recipe without it. Shapes are given for frames of
256x144 and w base channels (80 in 2016).

Losses, on sigmoids, with means everywhere:

    kl       = mean over batch and latents of the KL divergence      (here kl_weight 1/latent_dim times the sum over latents)
    features = mean over the discriminator's four layers, after their activation, of the mean squared difference
    gan      = (bce(real, 1) + bce(reconstruction, 0) + bce(prior sample, 0)) / 6, divided by the batch size once more
    e_loss   = kl + features
    g_loss   = gamma * features - gan            minimax, not the non-saturating form; gamma 2.5
    d_loss   = gan

The lists of variables were swapped: "e_loss" trained the decoder, and "g_loss" the encoder. The name of the encoder's
log-variance head is in both lists, so both train it. So the decoder learned feature loss alone, without an adversary, and
the encoder learned feature loss and to fool the discriminator, with no prior but the bounds of its tanh. Priors are drawn
from U(-1, 1). Three Adam optimisers step at once, on gradients at the same parameters. Losses were clipped at 100 and
sigmoids at 1e-10, which no training reaches.
"""

import math

import torch
from torch import Tensor, nn
from torch.autograd import grad
from torch.nn import functional as F

from refilm.config.recipe import Recipe
from refilm.models.base import Batch, Model, StepContext, StepResult, full_precision
from refilm.models.layers import Linear32, bottleneck_size
from refilm.models.losses import kl_divergence, reconstruction_metrics, sample_posterior

_INIT_STD = 0.02  # standard deviation of the initial weights


class Encoder(nn.Module):
    """Frames to posteriors. (B, 3, H, W) -> mean in [-1, 1], log-variance in [-.5, .5]: (B, latent_dim), float32."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        w, (rows, columns) = recipe.base_channels, bottleneck_size(recipe.size)
        self.layers = nn.Sequential(  #                                              (B,  3, 144, 256)
            _Downsample(3, w), nn.LeakyReLU(0.2),  #                                      (B,  w,  72, 128)
            _Downsample(w, 2 * w), _BatchNorm(2 * w), nn.LeakyReLU(0.2),  #               (B, 2w,  36,  64)
            _Downsample(2 * w, 4 * w), _BatchNorm(4 * w), nn.LeakyReLU(0.2),  #           (B, 4w,  18,  32)
            _Downsample(4 * w, 8 * w), _BatchNorm(8 * w), nn.LeakyReLU(0.2),  #           (B, 8w,   9,  16)
        )  # fmt: skip
        self.mean_head = _linear(8 * w * rows * columns, recipe.latent_dim)
        self.log_variance_head = _linear(8 * w * rows * columns, recipe.latent_dim)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        x = self.layers(frames).flatten(1)
        return self.mean_head(x).tanh(), 0.5 * self.log_variance_head(x).tanh()


class Decoder(nn.Module):
    """Latents to frames. (B, latent_dim) float32 -> (B, 3, H, W) in [-1, 1], float32."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        w = recipe.base_channels
        self.bottleneck = (8 * w, *bottleneck_size(recipe.size))
        self.head = _linear(recipe.latent_dim, self.bottleneck[0] * self.bottleneck[1] * self.bottleneck[2])
        self.layers = nn.Sequential(  #                                              (B, 8w,   9,  16)
            _BatchNorm(8 * w), nn.ReLU(),
            _Upsample(8 * w, 4 * w), _BatchNorm(4 * w), nn.ReLU(),  #                  (B, 4w,  18,  32)
            _Upsample(4 * w, 2 * w), _BatchNorm(2 * w), nn.ReLU(),  #                  (B, 2w,  36,  64)
            _Upsample(2 * w, w), _BatchNorm(w), nn.ReLU(),  #                          (B,  w,  72, 128)
            _Upsample(w, 3),  #                                                        (B,  3, 144, 256)
        )  # fmt: skip

    def forward(self, latents: Tensor) -> Tensor:
        features = self.head(latents).unflatten(1, self.bottleneck)
        return full_precision(self.layers(features.contiguous(memory_format=torch.channels_last))).tanh()

    def bent_modules(self) -> dict[int, nn.Module]:
        """As of `Model.bent_modules`."""
        return dict(enumerate((module for module in self.layers if isinstance(module, _Upsample)), 1))


class Discriminator(nn.Module):
    """Frames to logits of being film, (B,) float32, and the features of the four layers after their activation."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        w, (rows, columns) = recipe.base_channels, bottleneck_size(recipe.size)
        self.layers = nn.ModuleList([
            nn.Sequential(_Downsample(3, w), nn.LeakyReLU(0.2)),  #                                  (B,  w,  72, 128)
            nn.Sequential(_Downsample(w, 2 * w), _BatchNorm(2 * w), nn.LeakyReLU(0.2)),  #           (B, 2w,  36,  64)
            nn.Sequential(_Downsample(2 * w, 4 * w), _BatchNorm(4 * w), nn.LeakyReLU(0.2)),  #       (B, 4w,  18,  32)
            nn.Sequential(_Downsample(4 * w, 8 * w), _BatchNorm(8 * w), nn.LeakyReLU(0.2)),  #       (B, 8w,   9,  16)
        ])  # fmt: skip
        self.head = _linear(8 * w * rows * columns, 1)

    def forward(self, frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = [frames]
        for layer in self.layers:
            features.append(layer(features[-1]))
        return self.head(features[-1].flatten(1)).squeeze(1), features[1:]


class Broad2016(Model):
    """Encoder, decoder and discriminator of the 2016 code."""

    encoder: Encoder
    decoder: Decoder

    def __init__(self, recipe: Recipe):
        super().__init__(recipe)
        self.encoder = Encoder(recipe)
        self.decoder = Decoder(recipe)
        self.discriminator = Discriminator(recipe)

    def trained_parameters(self) -> dict[str, list[nn.Parameter]]:
        """The log-variance head is in two lists, as it was."""
        parameters = super().trained_parameters()
        parameters["decoder"] += list(self.encoder.log_variance_head.parameters())
        return parameters

    def head_weights(self) -> list[Tensor]:
        return [self.encoder.mean_head.weight, self.encoder.log_variance_head.weight, self.discriminator.head.weight]

    def prior_latents(self, normal: Tensor) -> Tensor:
        return uniform(normal)

    def gradients(self, batch: Batch, context: StepContext) -> StepResult:
        recipe, frames, parameters = self.recipe, batch.frames, self.trained_parameters()
        with context.autocast:
            mean, log_variance = self.encoder(frames)
            recon = self.decoder(sample_posterior(mean, log_variance, batch.noise, recipe.noise))
            with torch.no_grad():  # only the discriminator learns from prior samples
                samples = self.decoder(self.prior_latents(batch.prior))
            real_logits, real_features = self.discriminator(frames)
            recon_logits, recon_features = self.discriminator(recon)
            prior_logits, _ = self.discriminator(samples)

        kl = recipe.kl_weight * kl_divergence(mean, log_variance).mean()
        features = layer_loss(recon_features, real_features, recipe.similarity_layers)
        gan = gan_loss(real_logits, recon_logits, prior_logits)

        # Each derivative once: of gan and of features at the reconstruction, then through decoder and encoder.
        gan_grad, *discriminator_grads = grad(gan, [recon, *parameters["discriminator"]], retain_graph=True)
        (feature_grad,) = grad(features, [recon], retain_graph=True)
        decoder_grads = grad([kl, recon], parameters["decoder"], [torch.ones_like(kl), feature_grad], retain_graph=True)
        encoder_grads = grad([recon], parameters["encoder"], [float(recipe.gamma) * feature_grad - gan_grad])

        with torch.no_grad():
            metrics = reconstruction_metrics(mean, log_variance, recon, frames) | {
                "feature_loss": features,
                "l_gan": gan,
                "d_real": real_logits.sigmoid().mean(),
                "d_recon": recon_logits.sigmoid().mean(),
                "d_prior": prior_logits.sigmoid().mean(),
            }
        gradients = {
            "encoder": list(encoder_grads),
            "decoder": list(decoder_grads),
            "discriminator": discriminator_grads,
        }
        return StepResult(gradients, metrics)


def uniform(normal: Tensor) -> Tensor:
    """Numbers of U(-1, 1) from standard normal numbers, by their distribution function."""
    return torch.erf(normal / math.sqrt(2.0))


def layer_loss(recon: list[Tensor], real: list[Tensor], layers: tuple[int, ...]) -> Tensor:
    """Mean squared difference of each layer's features, averaged over the layers."""
    terms = [F.mse_loss(full_precision(recon[n - 1]), full_precision(real[n - 1].detach())) for n in layers]
    return torch.stack(terms).mean()


def gan_loss(real: Tensor, recon: Tensor, prior: Tensor) -> Tensor:
    """The discriminator's loss from logits (B,): binary cross-entropies, divided by six and by the batch size."""
    total = F.softplus(-real).mean() + F.softplus(recon).mean() + F.softplus(prior).mean()
    return total / 6 / len(real)


class _Downsample(nn.Conv2d):
    """Half the size, by a 5x5 convolution of stride 2 with TensorFlow's padding."""

    bias: nn.Parameter

    def __init__(self, channels: int, out: int):
        super().__init__(channels, out, 5, stride=2)
        nn.init.trunc_normal_(self.weight, std=_INIT_STD, a=-2 * _INIT_STD, b=2 * _INIT_STD)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (1, 2, 1, 2)))


class _Upsample(nn.ConvTranspose2d):
    """The transpose of `_Downsample`: one pixel before the frame and two after it are cut off."""

    bias: nn.Parameter

    def __init__(self, channels: int, out: int):
        super().__init__(channels, out, 5, stride=2, padding=1)
        nn.init.normal_(self.weight, std=_INIT_STD)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return super().forward(x, output_size)[..., :-1, :-1].contiguous(memory_format=torch.channels_last)


class _BatchNorm(nn.Module):
    """Batch norm with the statistics of the current batch, always."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(1 + _INIT_STD * torch.randn(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=1e-5)


def _linear(inputs: int, outputs: int) -> Linear32:
    layer = Linear32(inputs, outputs)
    nn.init.normal_(layer.weight, std=_INIT_STD)
    nn.init.zeros_(layer.bias)
    return layer
