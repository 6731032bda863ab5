"""One training step: exact gradients for every network from one graph.

Larsen et al. 2015, Algorithm 1, all gradients at the same parameters:

    encoder         L_prior + L_like
    decoder         L_like + L_GAN / gamma      (the paper's gamma * L_like - L_GAN, divided by gamma; non-saturating)
    discriminator   L_GAN

Three separate backward passes would repeat most of their work. Here each derivative is taken once and passed on:

    a = dL_GAN/d(rebuilt frames, prior frames), with the discriminator's own gradients in the same pass
    b = dL_like/d(rebuilt frames)                 which encoder and decoder share
    decoder  <- b + (-a exp(-logit)) / gamma      chained through the decoder from the frames
    encoder  <- L_prior + b                       chained through decoder and encoder

The decoder's non-saturating loss softplus(-logit) has the derivative -sigmoid(-logit), which is -exp(-logit) times the
sigmoid(logit) of the discriminator's loss. So its gradient at a frame is -exp(-logit) times what the discriminator's
pass gives there: exact as long as no layer of the discriminator mixes frames.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd import grad
from torch.nn import functional as F

from refilm.networks.vaegan import Networks
from refilm.settings.recipe import Recipe

_SATURATED = -30.0  # exp(30) is still a float32; a logit below it is not told from -30
_LARGEST_RATIO = 1e4  # of the likeness gradient to the adversarial, should the latter vanish


@dataclass
class Step:
    """Gradients of one step, a list per network in the order of its parameters, and what is measured on the way.

    measures: 0-dimensional float32 tensors on the device; nothing here waits for the device.
    """

    gradients: dict[str, list[Tensor]]
    measures: dict[str, Tensor]


def gradients(networks: Networks, recipe: Recipe, frames: Tensor, noise: Tensor, prior: Tensor) -> Step:
    """The gradients of one batch for the recipe's networks.

    frames: (B, 3, H, W) in [-1, 1]; noise: (B, latent) standard normal, for the posterior; prior: (B, latent) standard
    normal, decoded to show the discriminator frames that no film held. To be called under `autocast`.
    """
    if recipe.recipe == "larsen2015":
        return _larsen(networks, recipe, frames, noise, prior)
    return _pixel_error(networks, recipe, frames, noise)


def _larsen(networks: Networks, recipe: Recipe, frames: Tensor, noise: Tensor, prior: Tensor) -> Step:
    encoder, decoder, discriminator = networks.encoder, networks.decoder, networks.discriminator
    weights = {name: list(part.parameters()) for name, part in networks.parts().items()}

    mean, log_variance = encoder(frames)
    rebuilt = decoder(_sample(mean, log_variance, noise, recipe.noise))
    imagined = decoder(prior)
    real_logits, real_features = discriminator(frames)
    rebuilt_logits, rebuilt_features = discriminator(rebuilt)
    imagined_logits, _ = discriminator(imagined)

    l_prior = recipe.kl_weight * kl_divergence(mean, log_variance).mean()
    l_pixel = pixel_error(rebuilt, frames)
    l_like = likeness(rebuilt_features, real_features, recipe.likeness_layers) + recipe.pixel_weight * l_pixel
    l_gan = adversarial_loss(real_logits, rebuilt_logits, imagined_logits)

    on_rebuilt, on_imagined, *of_discriminator = grad(
        l_gan, [rebuilt, imagined, *weights["discriminator"]], retain_graph=True
    )
    (likeness_on_rebuilt,) = grad(l_like, [rebuilt], retain_graph=True)
    on_rebuilt, on_imagined = _non_saturating(on_rebuilt, rebuilt_logits), _non_saturating(on_imagined, imagined_logits)
    inverse_gamma = _inverse_gamma(recipe, likeness_on_rebuilt, on_rebuilt)
    of_decoder = grad(
        [rebuilt, imagined],
        weights["decoder"],
        [likeness_on_rebuilt + inverse_gamma * on_rebuilt, inverse_gamma * on_imagined],
        retain_graph=True,
    )
    of_encoder = grad([l_prior, rebuilt], weights["encoder"], [torch.ones_like(l_prior), likeness_on_rebuilt])

    with torch.no_grad():
        measures = _common_measures(mean, log_variance, l_pixel, rebuilt, frames) | {
            "likeness": l_like - recipe.pixel_weight * l_pixel,
            "l_gan": l_gan,
            "d_real": real_logits.sigmoid().mean(),
            "d_rebuilt": rebuilt_logits.sigmoid().mean(),
            "d_imagined": imagined_logits.sigmoid().mean(),
            "gamma": 1 / inverse_gamma.clamp_min(1e-9),
        }
    parts = {"encoder": of_encoder, "decoder": of_decoder, "discriminator": of_discriminator}
    return _step(parts, measures)


def _pixel_error(networks: Networks, recipe: Recipe, frames: Tensor, noise: Tensor) -> Step:
    """`vae` and `autoencoder`: pixel error, with or without a prior and noise in the latents."""
    is_vae = recipe.recipe == "vae"
    weights = {name: list(part.parameters()) for name, part in networks.parts().items()}
    mean, log_variance = networks.encoder(frames)
    latents = _sample(mean, log_variance, noise, recipe.noise) if is_vae else mean
    rebuilt = networks.decoder(latents)
    l_pixel = pixel_error(rebuilt, frames)
    l_prior = recipe.kl_weight * kl_divergence(mean, log_variance).mean() if is_vae else 0.0
    both = grad(l_pixel + l_prior, weights["encoder"] + weights["decoder"])
    count = len(weights["encoder"])
    with torch.no_grad():
        measures = _common_measures(mean, log_variance, l_pixel, rebuilt, frames)
    return _step({"encoder": both[:count], "decoder": both[count:]}, measures)


def _step(parts: dict, measures: dict[str, Tensor]) -> Step:
    found = {name: list(grads) for name, grads in parts.items()}
    with torch.no_grad():
        for name, grads in found.items():
            measures[f"{name}_gradient"] = torch.stack(torch._foreach_norm(grads)).norm()
    return Step(found, {name: value.detach().float() for name, value in measures.items()})


def _common_measures(mean, log_variance, l_pixel, rebuilt, frames) -> dict[str, Tensor]:
    squared = (rebuilt.clamp(-1, 1) - frames).square().mean()
    return {
        "psnr": 10 * torch.log10(4.0 / squared.clamp_min(1e-10)),  # of frames in [-1, 1]: the peak is 2
        "pixel": l_pixel,
        "kl_bits": kl_divergence(mean, log_variance).mean() / torch.log(torch.tensor(2.0)),
    }


def _sample(mean: Tensor, log_variance: Tensor, noise: Tensor, dial: float) -> Tensor:
    return mean + dial * noise * (0.5 * log_variance).exp()


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(posterior || standard normal) in nats, summed over the latents: (B,)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)


def pixel_error(rebuilt: Tensor, frames: Tensor) -> Tensor:
    """Mean absolute and mean squared error, added: the first for sharp edges, the second against lone outliers."""
    difference = rebuilt - frames
    return difference.abs().mean() + difference.square().mean()


def likeness(rebuilt: list[Tensor], real: list[Tensor], layers: tuple[int, ...]) -> Tensor:
    """Half the squared distance of discriminator features, a mean over all of a layer, then over the layers.

    The negative log-likelihood of a unit Gaussian about the real features, up to a constant, divided by their number.
    Real features are targets: no gradient flows into them.
    """
    terms = [0.5 * F.mse_loss(rebuilt[n - 1].float(), real[n - 1].detach().float()) for n in layers]
    return torch.stack(terms).mean()


def adversarial_loss(real: Tensor, rebuilt: Tensor, imagined: Tensor) -> Tensor:
    """L_GAN on logits: -log D(x) - (log(1 - D(rebuilt)) + log(1 - D(imagined))) / 2, a mean over the batch."""
    return F.softplus(-real).mean() + 0.5 * (F.softplus(rebuilt).mean() + F.softplus(imagined).mean())


def _non_saturating(on_frames: Tensor, logits: Tensor) -> Tensor:
    factor = -torch.exp(-logits.detach().clamp_min(_SATURATED))
    return on_frames * factor.view(-1, 1, 1, 1)


def _inverse_gamma(recipe: Recipe, likeness_gradient: Tensor, adversarial_gradient: Tensor) -> Tensor:
    """1/gamma: as given, or such that the adversarial gradient has `adversarial` times the norm of the likeness's."""
    if recipe.gamma != "auto":
        return torch.full((), 1.0 / float(recipe.gamma), device=likeness_gradient.device, dtype=likeness_gradient.dtype)
    ratio = likeness_gradient.norm() / (adversarial_gradient.norm() + 1e-12)
    return (recipe.adversarial * ratio).clamp_max(_LARGEST_RATIO)
