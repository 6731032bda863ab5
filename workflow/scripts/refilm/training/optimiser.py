"""Adam with a gate, gradient clipping, and a guard against gradients that are not finite, without a host-device sync."""

from collections.abc import Sequence

import torch
from torch import Tensor

from refilm.config.recipe import Training

_BETA1 = 0.5
_NORM_EMA_WEIGHT = 0.01  # of a new norm in the moving average: about a hundred steps


class GuardedAdam:
    """Adam for some parameters; those of them that are `heads` learn at `recipe.head_lr_scale` times the learning rate.

    Adam moves each weight by the learning rate, whatever its gradient. A head sums a whole frame, 92,160 values at 80 base
    channels: where they agree, a step at the full rate changes its output by tens, which a log-variance answers with a KL
    divergence of e^10.
    A gradient whose norm exceeds `recipe.grad_clip` times `norm_ema` is clipped to that; `norm_ema` is the moving average of
    the clipped norms. A step whose gate is 0, or whose gradient is not finite, leaves weights and moments as they are. The
    fused kernel does all of it: it divides by a scale, and skips a step if a flag on the device is set.
    """

    def __init__(self, parameters: Sequence[Tensor], recipe: Training, heads: Sequence[Tensor]):
        self.parameters, self.grad_clip, self._head_lr_scale = parameters, recipe.grad_clip, recipe.head_lr_scale
        device = parameters[0].device
        self._rate, self._head_rate = torch.zeros(2, device=device).unbind()
        self.norm_ema = torch.zeros((), device=device)  # 0 before the first step
        head_ids = {id(head) for head in heads}
        groups = [
            {"params": [weight for weight in parameters if id(weight) not in head_ids], "lr": self._rate},
            {"params": [weight for weight in parameters if id(weight) in head_ids], "lr": self._head_rate},
        ]
        self.adam = torch.optim.Adam(
            [group for group in groups if group["params"]],
            lr=self._rate,
            betas=(_BETA1, recipe.beta2),
            fused=True,
            capturable=device.type == "cuda",
        )

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next steps."""
        self._rate.fill_(rate)
        self._head_rate.fill_(rate * self._head_lr_scale)

    def in_layout(self, gradients: list[Tensor]) -> list[Tensor]:
        """The gradients in the memory format of their weights, as `step` needs them."""
        return [in_layout_of(weight, gradient) for weight, gradient in zip(self.parameters, gradients, strict=True)]

    @torch.no_grad()
    def step(self, gradients: list[Tensor], gate: Tensor | None) -> Tensor:
        """Update the weights by gradients `in_layout`; returns their norm before clipping, a 0-dimensional tensor."""
        norm: Tensor = torch.stack(torch._foreach_norm(gradients)).norm()
        finite = norm.isfinite()
        if self.grad_clip:
            limit = torch.where(self.norm_ema > 0, self.grad_clip * self.norm_ema, norm)
            clipped = torch.minimum(norm, limit)
            first = self.norm_ema == 0
            norm_ema = torch.where(first, clipped, torch.lerp(self.norm_ema, clipped, _NORM_EMA_WEIGHT))
            self.norm_ema.copy_(torch.where(finite, norm_ema, self.norm_ema))
            scale = torch.where(finite, norm / clipped.clamp_min(1e-30), 1.0).clamp_min(1.0)
            self.adam.grad_scale = scale  # type: ignore[attr-defined]  # read by the fused step, missing in the stubs
        applied = finite if gate is None else finite & (gate > 0)
        self.adam.found_inf = (~applied).float()  # type: ignore[attr-defined]
        for weight, gradient in zip(self.parameters, gradients, strict=True):
            weight.grad = gradient
        self.adam.step()
        for weight in self.parameters:
            weight.grad = None
        return norm

    def state(self) -> dict[str, Tensor]:
        """The moments of each weight, by its number, and `norm_ema`, as flat tensors."""
        tensors = {"norm_ema": self.norm_ema}
        for index, weight in enumerate(self.parameters):
            tensors |= {f"{index}.{name}": value for name, value in self.adam.state[weight].items()}
        return tensors

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Continue from what `state` returned."""
        self.norm_ema.copy_(tensors.pop("norm_ema"))
        for name, tensor in tensors.items():
            index, _, moment = name.partition(".")
            weight = self.parameters[int(index)]
            self.adam.state[weight][moment] = in_layout_of(weight, tensor.to(weight.device, copy=True))


def in_layout_of(weight: Tensor, tensor: Tensor) -> Tensor:
    """The tensor with its elements in the memory order of the weight. Fused Adam iterates over the memory of weight,
    gradient and moments without a check: in another order it would silently mix up the elements."""
    if tensor.shape != weight.shape or tensor.stride() == weight.stride():
        return tensor
    return torch.empty_like(weight).copy_(tensor)
