"""The gradients of a step as one compiled function: forward passes, backward passes and losses fused by torch.compile.

Compiling the networks one by one cannot leave out the gradients that a step does not need. So the step is traced as a
whole, through `autograd.grad`, into one graph of plain operations, and that is compiled. Parameters are used in place.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from refilm.models.base import Batch, StepResult


def compile_gradients(gradients: Callable[[Batch], StepResult], example: Batch) -> Callable[[Batch], StepResult]:
    """`gradients`, compiled for batches of the shapes of `example`; where that fails, itself, and a line says why."""
    names: dict[str, list[Any]] = {}

    def flat(*tensors: Tensor) -> tuple[list[Tensor], Tensor, list[Tensor]]:
        step = gradients(Batch(*tensors))
        names.update(gradients=[(name, len(tensors)) for name, tensors in step.gradients.items()])
        names.update(metrics=list(step.metrics), gates=list(step.gates))
        metrics = torch.stack([value.detach().float() for value in step.metrics.values()])
        return [tensor for tensors in step.gradients.values() for tensor in tensors], metrics, list(step.gates.values())

    def call(batch: Batch) -> StepResult:
        with torch.no_grad():
            tensors, metrics, gates = compiled(*batch.tensors())
        remaining = iter(tensors)
        return StepResult(
            {name: [next(remaining) for _ in range(count)] for name, count in names["gradients"]},
            dict(zip(names["metrics"], metrics.unbind(), strict=True)),
            dict(zip(names["gates"], gates, strict=True)),
        )

    try:
        compiled = torch.compile(make_fx(flat)(*example.tensors()), dynamic=False, fullgraph=True)
        call(example)
    except Exception as error:  # whatever a compiler of another version reports: training works without it
        print(f"the step cannot be compiled and will be slower: {first_line(error)}", flush=True)
        return gradients
    return call


def first_line(error: Exception) -> str:
    """The first line of an exception's message, or its type."""
    return next(iter(str(error).splitlines()), type(error).__name__)
