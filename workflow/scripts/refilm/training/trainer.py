"""One model in training: its networks, their running average, the optimisers, and the step reached.

On a CUDA GPU the whole step, from uint8 frames to averaged weights, is recorded once as a CUDA graph and then replayed: the
CPU only says which frames and which learning rates. Nothing waits for the device until measures are asked for.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from refilm.config.recipe import Recipe
from refilm.models.base import Networks, to_frames, to_network
from refilm.models.device import autocast, compute_type
from refilm.models.losses import Step
from refilm.models.rng import generator_for
from refilm.training.compiled import compile_gradients
from refilm.training.distributed import SINGLE_PROCESS, ProcessGroup
from refilm.training.optimiser import GuardedAdam
from refilm.training.schedule import Batch, learning_rate
from refilm.training.step import gradients, trained_weights

_WARM_UP = 3  # steps in which libraries choose their kernels, before the step is recorded


class Trainer:
    """See the module. reel: uint8 (N, H, W, 3) on the device, for batches that only name their frames' numbers."""

    def __init__(
        self,
        recipe: Recipe,
        device: torch.device,
        compiled: bool = False,
        processes: ProcessGroup = SINGLE_PROCESS,
        reel: Tensor | None = None,
    ):
        self.recipe, self.device, self.processes, self.reel, self.step = recipe, device, processes, reel, 0
        self.dtype = compute_type(device, recipe.precision)
        torch.manual_seed(int(generator_for(recipe.seed, "weights", 0).initial_seed()))
        self.networks = Networks(recipe).to(device)
        self.average = Networks(recipe).to(device).requires_grad_(False)
        self.average.load_state_dict(self.networks.state_dict())
        weights = trained_weights(self.networks, recipe)
        heads = self.networks.heads()
        self.optimisers = {name: GuardedAdam(own, recipe, heads) for name, own in weights.items()}
        self._share = torch.zeros((), device=device)  # of the weights in the average, at this step
        # sums over processes amid a step are no part of a graph that can be compiled
        self._compiled, self._graph, self._steps_here = compiled and processes.count == 1, None, 0
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._gradients: Callable[..., Step] | None = None
        self._measured: list[str] = []
        self._sums: Tensor | None = None
        self.unreported = 0  # steps since measures were taken

    def train_step(self, batch: Batch, total: int) -> None:
        """One step of `total`."""
        self._set_rates(total)
        inputs = self._upload(batch)
        if self.device.type == "cuda":
            self._replay(inputs)
        else:
            self._update(*inputs)
        self.step += 1
        self.unreported += 1
        self._steps_here += 1

    def pop_metrics(self) -> dict[str, float]:
        """Means over the steps since this was called last, and over the processes. The one host-device sync of training."""
        means = self.processes.mean(self._sums / self.unreported).tolist()
        self._sums.zero_()
        self.unreported = 0
        return dict(zip(self._measured, means, strict=True))

    def wait(self) -> None:
        """Until all steps so far are done, where the device works on while this process does other things."""
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()

    def release_graph(self) -> None:
        """Free the recorded step, when the last was done: while it is there, NCCL does not part the processes that it ties
        together."""
        self.wait()
        if self._graph is not None:
            self._graph.reset()
            self._graph = None

    @torch.no_grad()
    def rebuild(self, frames: np.ndarray) -> np.ndarray:
        """Frames as the averaged networks rebuild them without noise: uint8 (n, H, W, 3) both."""
        with autocast(self.device, self.dtype):
            mean, _ = self.average.encoder(to_network(torch.from_numpy(frames).to(self.device)))
            return to_frames(self.average.decoder(mean)).cpu().numpy()  # host-device sync: a preview is due

    def state(self) -> dict[str, Tensor]:
        """All that a continued run needs besides the step, as flat tensors."""
        tensors = {f"networks.{name}": tensor for name, tensor in self.networks.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        for part, optimiser in self.optimisers.items():
            tensors |= {f"optimiser.{part}.{name}": tensor for name, tensor in optimiser.state().items()}
        return tensors

    def restore(self, step: int, tensors: dict[str, Tensor]) -> None:
        """Become the trainer whose `state` that was, after `step` steps."""
        self.networks.load_state_dict(_under("networks.", tensors))
        self.average.load_state_dict(_under("average.", tensors))
        for part, optimiser in self.optimisers.items():
            optimiser.restore(_under(f"optimiser.{part}.", tensors))
        self.step = step

    # --- what a step is made of

    def _update(self, frames: Tensor, noise: Tensor, prior: Tensor) -> None:
        """All of a step that happens on the device."""
        if self.reel is not None:
            frames = self.reel.index_select(0, frames)
        step = self.gradients_of(frames, noise, prior)
        found = {name: optimiser.in_layout(step.gradients[name]) for name, optimiser in self.optimisers.items()}
        self.processes.average_gradients(found)
        for name, optimiser in self.optimisers.items():
            step.measures[f"{name}_grad_norm"] = optimiser.step(found[name], step.gates.get(name))
        self._update_ema()
        self._measure(step.measures)

    def gradients_of(self, frames: Tensor, noise: Tensor, prior: Tensor) -> Step:
        """The gradients of a batch on the device, frames uint8 (B, H, W, 3); compiled at the first call if so wished."""
        if self._gradients is None:
            self._gradients = self._eager_gradients
            if self._compiled:
                self._gradients = compile_gradients(self._eager_gradients, frames, noise, prior)
        return self._gradients(frames, noise, prior)

    def _eager_gradients(self, frames: Tensor, noise: Tensor, prior: Tensor) -> Step:
        precision = autocast(self.device, self.dtype)
        return gradients(self.networks, self.recipe, to_network(frames), noise, prior, precision, self.processes.sum)

    @torch.no_grad()
    def _update_ema(self) -> None:
        """The average goes its share of the way to the weights."""
        average, weights = list(self.average.parameters()), list(self.networks.parameters())
        if self.device.type == "cpu":
            torch._foreach_lerp_(average, weights, self._share.item())
            return
        for one, other in zip(average, weights, strict=True):
            one.lerp_(other, self._share)

    @torch.no_grad()
    def _measure(self, measures: dict[str, Tensor]) -> None:
        if self._sums is None:
            self._measured = list(measures)
            self._sums = torch.zeros(len(measures), device=self.device)
        self._sums.add_(torch.stack([value.detach().float() for value in measures.values()]))

    def _set_rates(self, total: int) -> None:
        rate = learning_rate(self.recipe, self.step, total)
        for name, optimiser in self.optimisers.items():
            optimiser.set_rate(rate * (self.recipe.discriminator_lr_scale if name == "discriminator" else 1.0))
        self._share.fill_(1 - min(self.recipe.ema_decay, (1 + self.step) / (10 + self.step)))  # short runs, short memory

    # --- on a GPU

    def _upload(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The batch on the device: copied while the steps before it compute."""
        tensors = (batch.frames, batch.noise, batch.prior)
        if self._copies is None:
            return tuple(tensor.to(self.device) for tensor in tensors)
        now = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._copies):
            copies = tuple(tensor.to(self.device, non_blocking=True) for tensor in tensors)
        now.wait_stream(self._copies)
        for copy in copies:
            copy.record_stream(now)
        return copies

    def _replay(self, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
        if self._steps_here == _WARM_UP:
            self._record(inputs)
        if self._graph is None:
            self._update(*inputs)
            return
        for place, value in zip(self._inputs, inputs, strict=True):
            place.copy_(value)
        self._graph.replay()

    def _record(self, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
        """Record the step, without doing it. Where that cannot be done, steps go on one kernel at a time."""
        self._inputs = tuple(value.clone() for value in inputs)
        graph = torch.cuda.CUDAGraph()
        try:
            # of this thread alone: another pins the memory of the batches to come, which no recording would bear
            stream, mode = torch.cuda.current_stream(self.device), "thread_local"
            with torch.cuda.graph(graph, stream=stream, capture_error_mode=mode):
                self._update(*self._inputs)
            self._graph = graph
        except RuntimeError as error:
            print(f"the step cannot be recorded as a CUDA graph and will be slower: {_first_line(error)}", flush=True)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
