"""The gradients of a step as one compiled function: forward passes, backward passes and losses fused by torch.compile.

Compiling the networks one by one cannot leave out the gradients that a step has no use for. So the step is traced as a
whole, through `autograd.grad`, into one graph of plain operations, and that is compiled. Weights are used where they lie.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from refilm.models.losses import Step


def compile_gradients(gradients: Callable[..., Step], frames: Tensor, noise: Tensor, prior: Tensor) -> Callable[..., Step]:
    """`gradients` for inputs of these shapes, compiled; itself, with a line that says why, where that cannot be done."""
    names: dict[str, list] = {}

    def flat(frames: Tensor, noise: Tensor, prior: Tensor) -> tuple[list[Tensor], Tensor, list[Tensor]]:
        step = gradients(frames, noise, prior)
        names.update(parts=[(name, len(found)) for name, found in step.gradients.items()])
        names.update(measures=list(step.measures), gates=list(step.gates))
        measures = torch.stack([value.detach().float() for value in step.measures.values()])
        return [gradient for found in step.gradients.values() for gradient in found], measures, list(step.gates.values())

    def call(frames: Tensor, noise: Tensor, prior: Tensor) -> Step:
        with torch.no_grad():
            found, measures, gates = compiled(frames, noise, prior)
        found = iter(found)
        return Step(
            {name: [next(found) for _ in range(count)] for name, count in names["parts"]},
            dict(zip(names["measures"], measures.unbind(), strict=True)),
            dict(zip(names["gates"], gates, strict=True)),
        )

    try:
        compiled = torch.compile(make_fx(flat)(frames, noise, prior), dynamic=False, fullgraph=True)
        call(frames, noise, prior)
    except Exception as error:  # whatever a compiler of another version finds wrong: training can do without it
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        print(f"the step cannot be compiled and will be slower: {reason}", flush=True)
        return gradients
    return call
