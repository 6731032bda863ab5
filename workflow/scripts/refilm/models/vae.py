"""`vae` and `autoencoder`: the encoder and decoder of `larsen2015` with pixel loss only (Kingma and Welling 2013).

They show the blur that a learned similarity is to avoid.
"""

import torch
from torch import Tensor
from torch.autograd import grad

from refilm.config.recipe import Recipe
from refilm.models.base import Batch, Model, StepContext, StepResult
from refilm.models.larsen2015 import Decoder, Encoder
from refilm.models.losses import clip_losses, kl_divergence, pixel_loss, reconstruction_metrics, sample_posterior


class VAE(Model):
    """Pixel loss, a prior, and noise in the latents."""

    encoder: Encoder
    decoder: Decoder

    def __init__(self, recipe: Recipe):
        super().__init__(recipe)
        self.encoder = Encoder(recipe)
        self.decoder = Decoder(recipe)

    def head_weights(self) -> list[Tensor]:
        return [self.encoder.head.weight]

    def sample(self, mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
        """The latents of a training step: (B, latent_dim)."""
        return sample_posterior(mean, log_variance, noise, self.recipe.noise)

    def prior_loss(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """The weighted KL divergence, averaged over the batch."""
        return self.recipe.kl_weight * kl_divergence(mean, log_variance).mean()

    def gradients(self, batch: Batch, context: StepContext) -> StepResult:
        parameters = self.trained_parameters()
        with context.autocast:
            mean, log_variance = self.encoder(batch.frames)
            recon = self.decoder(self.sample(mean, log_variance, batch.noise))
        recipe, of_clips = self.recipe, clip_losses(self.recipe, batch, recon, mean)
        loss = pixel_loss(recon, batch.frames) + self.prior_loss(mean, log_variance)
        loss = loss + recipe.pair_weight * of_clips.get("pair_loss", 0) + recipe.straighten_weight * of_clips.get("turns", 0)
        gradients = list(grad(loss, parameters["encoder"] + parameters["decoder"]))
        count = len(parameters["encoder"])
        with torch.no_grad():
            metrics = reconstruction_metrics(mean, log_variance, recon, batch.frames) | of_clips
        return StepResult({"encoder": gradients[:count], "decoder": gradients[count:]}, metrics)


class Autoencoder(VAE):
    """The same without a prior and without noise: the log-variance is not used, and receives no gradient."""

    def posterior_std(self, log_variance: Tensor) -> Tensor:
        return torch.ones_like(log_variance)

    def sample(self, mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
        return mean

    def prior_loss(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        return mean.new_zeros(())

    def gradients(self, batch: Batch, context: StepContext) -> StepResult:
        result = super().gradients(batch, context)
        del result.metrics["kl_bits"]  # of a log-variance that is not trained
        return result
