"""What a recipe is: its networks, and the exact gradients of a training step."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from torch import Tensor, nn

from refilm.config.recipe import Recipe

FITTED_FRAMES = 4096  # at most, that `Model.fit` is given


@dataclass(frozen=True)
class Batch:
    """Everything that a training step takes in.

    frames: (B, H, W, 3) uint8, or (B,) int64 indices of frames that are on the device already; (B, 3, H, W) in [-1, 1] as
    the networks take them. noise, prior: (B, latent_dim) standard normal, for the posterior and for prior samples.
    augmentations: of the first frames, as `refilm.models.augment` draws them; progress: (), the fraction of the training
    that is done; clip_shares: (n,), of the last frames, which are n clips: the share of each clip in the mean over all.
    """

    frames: Tensor
    noise: Tensor
    prior: Tensor
    augmentations: Tensor = field(default_factory=lambda: torch.empty(0, 0))
    progress: Tensor = field(default_factory=lambda: torch.zeros(()))
    clip_shares: Tensor = field(default_factory=lambda: torch.empty(0))

    def map(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        """The batch with `function` applied to each tensor."""
        return Batch(*map(function, self.tensors()))

    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(getattr(self, each.name) for each in fields(self))


@dataclass(frozen=True)
class StepContext:
    """How a step is computed.

    autocast: of the networks' forward passes. Losses and backward passes must not run under it, or every large head would
    be cast again. all_reduce_sum: sums a tensor over the processes that share the batch. stage: of the training, as
    `Model.stage` names it.
    """

    autocast: AbstractContextManager[None] = field(default_factory=nullcontext)
    all_reduce_sum: Callable[[Tensor], Tensor] = lambda tensor: tensor
    stage: str = ""


@dataclass
class StepResult:
    """Gradients of one step, a list per optimiser in the order of `Model.trained_parameters`, and the metrics. An optimiser
    without gradients leaves its weights as they are.

    metrics: 0-dimensional tensors on the device; nothing here waits for the device.
    gates: by optimiser, 1 where the step is to be applied and 0 where not; one without a gate always is.
    """

    gradients: dict[str, list[Tensor]]
    metrics: dict[str, Tensor]
    gates: dict[str, Tensor] = field(default_factory=dict)


class Model(nn.Module):
    """The networks of one recipe. A subclass creates them as attributes, and says how they are trained and applied."""

    # Of the recipes that reconstruct; others override `decode`.
    encoder: nn.Module
    decoder: nn.Module
    later_metrics: tuple[str, ...] = ()  # that the first stage of a training does not have

    def __init__(self, recipe: Recipe):
        super().__init__()
        self.recipe = recipe

    def networks(self) -> dict[str, nn.Module]:
        """The networks by name, such as encoder, decoder and discriminator."""
        return dict(self.named_children())

    def trained_parameters(self) -> dict[str, list[nn.Parameter]]:
        """The parameters of each optimiser, by name: here one for each network."""
        return {name: list(network.parameters()) for name, network in self.networks().items()}

    def head_weights(self) -> list[Tensor]:
        """The matrices that sum a whole frame; they learn at `recipe.head_lr_scale` times the learning rate."""
        raise NotImplementedError

    def fit(self, frames: np.ndarray) -> None:
        """Compute what is fitted to the films before the first step, from some of their frames, uint8 (n, H, W, 3)."""

    def stage(self, progress: float) -> str:
        """The name of a training's stage, when that fraction of it is done. The steps of a stage are computed alike."""
        return ""

    def gradients(self, batch: Batch, context: StepContext) -> StepResult:
        """The gradients of a batch, whose frames are (B, 3, H, W) in [-1, 1]."""
        raise NotImplementedError

    def encode(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) in [-1, 1] -> mean and log-variance of the posterior, (B, latent_dim) each, float32."""
        mean, log_variance = self.encoder(frames)
        return mean, log_variance

    def decode(self, latents: Tensor) -> Tensor:
        """(B, latent_dim) float32 -> (B, 3, H, W) in [-1, 1], float32."""
        frames: Tensor = self.decoder(latents)
        return frames

    def bent_modules(self) -> dict[int, nn.Module]:
        """The modules of the decoder whose last argument can be bent, by the number of the layer: 1 to 4 take its features,
        at 1/16, 1/8, 1/4 and 1/2 of the size of a frame."""
        modules: dict[int, nn.Module] = self.decoder.bent_modules()  # type: ignore[operator]  # of any module, says torch
        return modules

    def posterior_std(self, log_variance: Tensor) -> Tensor:
        """Standard deviation of the posterior: (B, latent_dim)."""
        return (0.5 * log_variance).exp()

    def prior_latents(self, normal: Tensor) -> Tensor:
        """Latents of the prior from standard normal numbers: (B, latent_dim) both."""
        return normal


def to_network(frames: Tensor) -> Tensor:
    """uint8 (B, H, W, 3) -> float32 (B, 3, H, W) in [-1, 1], a channels_last view of the same order in memory."""
    return frames.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def to_frames(frames: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] -> uint8 (B, H, W, 3), rounded: the inverse of `to_network`."""
    return frames.float().add(1.0).mul_(127.5).round_().clamp_(0, 255).permute(0, 2, 3, 1).to(torch.uint8)


def full_precision(x: Tensor) -> Tensor:
    """The tensor in float32 at least: losses are not computed in bfloat16."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()
