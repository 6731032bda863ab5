"""What the networks of a model are made of, layer by layer, and what each layer makes of one frame.

Nothing here knows a recipe: layers are the modules without children, in the order in which PyTorch lists them, and what
they give is caught by forward hooks.
"""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from refilm.models.base import Model

_PARAMETRIZED = "parametrizations"  # the child in which PyTorch keeps what a weight is computed from
_COLOURS = 3


@dataclass(frozen=True)
class Layer:
    """A layer. network, name: as in the names of its weights; kind: its class; shapes: of its weights, by name; count: of
    the numbers in them; trained: whether they are parameters, and not fitted to the film; output: the shape that it gives
    for one frame, or () where it was not run."""

    network: str
    name: str
    kind: str
    shapes: dict[str, tuple[int, ...]]
    count: int
    trained: bool
    output: tuple[int, ...]


@dataclass(frozen=True)
class Activation:
    """What a layer gives for one frame, after the norm and the activation function that follow it.

    network, name: of the layer; kinds: of it and of those that follow; values: (C, h, w) float32."""

    network: str
    name: str
    kinds: tuple[str, ...]
    values: Tensor


@dataclass(frozen=True)
class Trace:
    """layers: all of a model; activations: in the order of computing; reconstruction: (3, H, W) in [-1, 1]."""

    layers: list[Layer]
    activations: list[Activation]
    reconstruction: Tensor


@dataclass(frozen=True)
class _Output:
    network: str
    name: str
    module: nn.Module
    values: Tensor
    follows: bool  # whether the module before it gave what it was given, or is a part of it


@torch.no_grad()
def trace_frame(model: Model, frames: Tensor | None, latents: Tensor, row: int) -> Trace:
    """Run all networks on a batch, and keep what is made of one of its frames.

    frames: (B, 3, H, W) in [-1, 1], or None for a model without an encoder; latents: (B, latent_dim), which are decoded;
    row: of the frame. The discriminator sees the frames, or where there are none what is decoded.
    """
    outputs: list[_Output] = []
    latest: list[Tensor] = []  # the output of the module before

    def catch(network: str, name: str, module: nn.Module) -> Any:
        def keep(_module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                of_part = bool(outputs) and outputs[-1].name.startswith(f"{name}.")
                follows = bool(latest) and (of_part or inputs[0] is latest[0])
                outputs.append(_Output(network, name, module, output[row].float().cpu(), follows))
                latest[:] = [output]

        return module.register_forward_hook(keep)

    with ExitStack() as stack:
        for network, name, module in _computing(model):
            stack.callback(catch(network, name, module).remove)
        if frames is not None:
            model.encode(frames)
        decoded = model.decode(latents)
        if "discriminator" in model.networks():
            model.networks()["discriminator"](decoded if frames is None else frames)
    shapes = {(each.network, each.name): tuple(each.values.shape) for each in outputs}
    layers = [_describe(network, name, module, shapes.get((network, name), ())) for network, name, module in _leaves(model)]
    return Trace(layers, list(_activations(outputs)), decoded[row].float().cpu())


def first_kernels(model: Model) -> dict[str, Tensor]:
    """The kernels of the convolutions that look at a picture, by the name of the layer: (n, 3, k, k) float32."""
    return {
        f"{network}.{name}": module.weight.detach().float().cpu()
        for network, name, module in _leaves(model)
        if isinstance(module, nn.Conv2d) and module.in_channels == _COLOURS
    }


def _children(module: nn.Module) -> list[nn.Module]:
    return [child for name, child in module.named_children() if name != _PARAMETRIZED]


def _computing(model: Model) -> Iterator[tuple[str, str, nn.Module]]:
    """(network, name, module) of what computes: layers, and blocks of layers that do more than to call one after another."""
    for network, whole in model.networks().items():
        for name, module in whole.named_modules():
            plain = isinstance(module, (nn.Sequential, nn.ModuleList)) or (module is whole and bool(_children(whole)))
            if not plain and _PARAMETRIZED not in name:
                yield network, name, module


def _leaves(model: Model) -> Iterator[tuple[str, str, nn.Module]]:
    return (each for each in _computing(model) if not _children(each[2]))


def _describe(network: str, name: str, module: nn.Module, output: tuple[int, ...]) -> Layer:
    shapes = {
        key.removeprefix(f"{_PARAMETRIZED}.").removesuffix(".original"): tuple(value.shape)
        for key, value in module.state_dict().items()
    }
    trained = any(True for _ in module.parameters()) or not shapes
    return Layer(network, name, _kind(module), shapes, sum(map(math.prod, shapes.values())), trained, output)


def _kind(module: nn.Module) -> str:
    return type(module).__name__.removeprefix("Parametrized").lstrip("_")


def _activations(outputs: list[_Output]) -> Iterator[Activation]:
    """Of each layer with a kernel what the norm and the activation function make of it that follow; and of these alone,
    where they are given something else."""
    groups: list[list[_Output]] = []
    for each in outputs:
        if _has_kernel(each.module) or not each.follows:
            groups.append([])
        groups[-1].append(each)
    for group in groups:
        kinds = tuple(_kind(each.module) for each in group)
        if group[-1].values.ndim == 3:
            yield Activation(group[0].network, group[0].name, kinds, group[-1].values)


def _has_kernel(module: nn.Module) -> bool:
    return isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear))
