"""Adam with a gate, a limit and a guard, none of which asks the device a question."""

import torch
from torch import Tensor

from refilm.config.recipe import Recipe

_BETA1 = 0.5
_MEMORY = 0.01  # of the usual norm: about a hundred steps


class GuardedAdam:
    """Adam for the weights of one loss; those of them that are `heads` learn at `recipe.head_lr_scale` times the rate.

    Adam moves each weight by the rate, whatever its gradient. A head sums a whole picture, 92,160 numbers at width 80: where
    they agree, a step at the full rate throws its output about by tens, which a log-variance answers with a KL of e^10.
    A gradient whose norm exceeds `recipe.grad_clip` times the running mean of the clipped norms is clipped to that.
    A step whose gate is 0, or whose gradient is not finite, leaves the weights and the moments as they are. All of it is
    done by the fused kernel, which divides by a scale and skips a step on the device's word.
    """

    def __init__(self, weights: list[Tensor], recipe: Recipe, heads: list[Tensor]):
        self.weights, self.clip, self._head_share = weights, recipe.grad_clip, recipe.head_lr_scale
        device = weights[0].device
        self._rate, self._rate_of_heads = torch.zeros(2, device=device).unbind()
        self.usual = torch.zeros((), device=device)  # norm of a usual gradient; 0 before the first
        chosen = {id(head) for head in heads}
        groups = [
            {"params": [weight for weight in weights if id(weight) not in chosen], "lr": self._rate},
            {"params": [weight for weight in weights if id(weight) in chosen], "lr": self._rate_of_heads},
        ]
        self.adam = torch.optim.Adam(
            [group for group in groups if group["params"]],
            lr=self._rate,
            betas=(_BETA1, recipe.beta2),
            fused=True,
            capturable=device.type == "cuda",
        )

    def set_rate(self, rate: float) -> None:
        """The learning rate of the steps that follow."""
        self._rate.fill_(rate)
        self._rate_of_heads.fill_(rate * self._head_share)

    def in_layout(self, gradients: list[Tensor]) -> list[Tensor]:
        """The gradients in the order of memory of their weights, as `step` needs them."""
        return [in_layout_of(weight, gradient) for weight, gradient in zip(self.weights, gradients, strict=True)]

    @torch.no_grad()
    def step(self, gradients: list[Tensor], gate: Tensor | None) -> Tensor:
        """Move the weights by gradients `in_layout`; returns their norm before they were cut, a 0-dimensional tensor."""
        norm = torch.stack(torch._foreach_norm(gradients)).norm()
        finite = norm.isfinite()
        if self.clip:
            limit = torch.where(self.usual > 0, self.clip * self.usual, norm)
            cut = torch.minimum(norm, limit)
            first = self.usual == 0
            usual = torch.where(first, cut, torch.lerp(self.usual, cut, _MEMORY))
            self.usual.copy_(torch.where(finite, usual, self.usual))
            self.adam.grad_scale = torch.where(finite, norm / cut.clamp_min(1e-30), 1.0).clamp_min(1.0)
        moves = finite if gate is None else finite & (gate > 0)
        self.adam.found_inf = (~moves).float()
        for weight, gradient in zip(self.weights, gradients, strict=True):
            weight.grad = gradient
        self.adam.step()
        for weight in self.weights:
            weight.grad = None
        return norm

    def state(self) -> dict[str, Tensor]:
        """The moments of each weight, by its number, and the usual norm, as flat tensors."""
        found = {"usual": self.usual}
        for index, weight in enumerate(self.weights):
            found |= {f"{index}.{name}": value for name, value in self.adam.state[weight].items()}
        return found

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `state` returned."""
        self.usual.copy_(tensors.pop("usual"))
        for name, tensor in tensors.items():
            index, _, moment = name.partition(".")
            weight = self.weights[int(index)]
            self.adam.state[weight][moment] = in_layout_of(weight, tensor.to(weight.device, copy=True))


def in_layout_of(weight: Tensor, tensor: Tensor) -> Tensor:
    """The tensor with its elements in memory in the weight's order. Fused Adam goes through weight, gradient and moments
    by memory and asks no questions: in another order it would silently mix up the elements."""
    if tensor.shape != weight.shape or tensor.stride() == weight.stride():
        return tensor
    return torch.empty_like(weight).copy_(tensor)
