"""`dcgan`: frames from noise (Radford et al. 2015, arXiv:1511.06434).

A generator makes frames of random latents, and a discriminator learns to tell them from frames of the film. There is no
encoder, so nothing is reconstructed: the results are samples. The discriminator is that of `broad2016`, with batch norm: in
five short trials with the group norm of `larsen2015`, which removes the mean of each frame, the brightness of the samples
oscillated. The generator is the decoder of `larsen2015`: it makes no checkerboard artefacts, and a sample does not depend on
the others of its batch.

Losses on the discriminator's logits, with the gradients of both networks at the same parameters:

    discriminator   softplus(-D(x)) + softplus(D(G(z)))
    generator       softplus(-D(G(z)))                     non-saturating

Frames and samples have batch statistics of their own. Latents are drawn from U(-1, 1).
"""

from torch import Tensor, nn
from torch.autograd import grad
from torch.nn import functional as F
from torch.nn.utils.parametrize import cached

from refilm.config.recipe import Recipe
from refilm.models.base import Batch, Model, StepContext, StepResult
from refilm.models.broad2016 import Discriminator, uniform
from refilm.models.larsen2015 import Decoder


class DCGAN(Model):
    """Generator and discriminator."""

    def __init__(self, recipe: Recipe):
        super().__init__(recipe)
        self.generator = Decoder(recipe)
        self.discriminator = Discriminator(recipe)

    def head_weights(self) -> list[Tensor]:
        return [self.discriminator.head.weight]

    def decode(self, latents: Tensor) -> Tensor:
        frames: Tensor = self.generator(latents)
        return frames

    def bent_modules(self) -> dict[int, nn.Module]:
        return self.generator.bent_modules()

    def prior_latents(self, normal: Tensor) -> Tensor:
        return uniform(normal)

    def gradients(self, batch: Batch, context: StepContext) -> StepResult:
        parameters = self.trained_parameters()
        with context.autocast, cached():
            samples = self.generator(self.prior_latents(batch.prior))
            real_logits, _ = self.discriminator(batch.frames)
            prior_logits, _ = self.discriminator(samples)
        l_gan = F.softplus(-real_logits).mean() + F.softplus(prior_logits).mean()
        l_generator = F.softplus(-prior_logits).mean()
        discriminator_grads = grad(l_gan, parameters["discriminator"], retain_graph=True)
        generator_grads = grad(l_generator, parameters["generator"])
        metrics = {
            "l_gan": l_gan,
            "l_generator": l_generator,
            "d_real": real_logits.sigmoid().mean(),
            "d_prior": prior_logits.sigmoid().mean(),
        }
        gradients = {"generator": list(generator_grads), "discriminator": list(discriminator_grads)}
        return StepResult(gradients, {name: value.detach() for name, value in metrics.items()})
