"""One model in training: the model, the moving average of its weights (EMA), the optimisers, and the step. The predictor of
a model shares the part that is in `BaseTrainer`.

On a CUDA GPU the whole step, from uint8 frames to the updated average, is recorded once as a CUDA graph and then replayed:
the CPU only supplies frame indices and learning rates. Nothing waits for the device until metrics are requested.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from refilm.config.recipe import Recipe, Training
from refilm.models.augment import augment
from refilm.models.base import Batch, Model, StepContext, StepResult, to_network
from refilm.models.device import autocast, compute_type
from refilm.models.registry import build_model
from refilm.models.rng import generator_for
from refilm.training.compiled import compile_gradients, first_line
from refilm.training.distributed import SINGLE_PROCESS, ProcessGroup
from refilm.training.optimiser import GuardedAdam
from refilm.training.sampler import learning_rate

_WARM_UP_STEPS = 3  # in which libraries choose their kernels, before the step is recorded


class BaseTrainer:
    """What every training has: weights, their moving average, optimisers, the step, and sums of metrics.

    model: the weights; ema: their moving average, which becomes the result; optimisers: by name.
    """

    def __init__(
        self,
        recipe: Training,
        device: torch.device,
        dtype: torch.dtype,
        networks: tuple[nn.Module, nn.Module],
        optimisers: dict[str, GuardedAdam],
        group: ProcessGroup = SINGLE_PROCESS,
    ):
        """networks: the model and its moving average."""
        self.recipe, self.device, self.dtype, self.group, self.step = recipe, device, dtype, group, 0
        self.model, self.ema = networks
        self.optimisers = optimisers
        self._ema_weight = torch.zeros((), device=device)  # of the current weights in the average, at this step
        self._metrics: list[MetricSums] = []  # of the stages since metrics were requested

    def train_step(self, batch: Any, total: int) -> None:
        """One step of `total`."""
        raise NotImplementedError

    @property
    def unreported(self) -> int:
        """Steps since metrics were requested."""
        return sum(stage.steps for stage in self._metrics)

    def pop_metrics(self) -> dict[str, float]:
        """Means over the steps since the last call that have a metric, and over the processes. The one host-device sync of
        training."""
        sums: dict[str, float] = {}
        steps: dict[str, int] = {}
        for stage in self._metrics:
            for name, value in zip(stage.names, self.group.mean(stage.sums).tolist(), strict=True):
                sums[name] = sums.get(name, 0.0) + value
                steps[name] = steps.get(name, 0) + stage.steps
        self._metrics = [self._metrics[-1].cleared()]
        return {name: value / steps[name] for name, value in sums.items()}

    def synchronize(self) -> None:
        """Wait until the device has finished all steps so far."""
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()

    def state(self) -> dict[str, Tensor]:
        """All that a continued training needs besides the step, as flat tensors."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"ema.{name}": tensor for name, tensor in self.ema.state_dict().items()}
        for name, optimiser in self.optimisers.items():
            tensors |= {f"optimiser.{name}.{key}": tensor for key, tensor in optimiser.state().items()}
        return tensors

    def restore(self, step: int, tensors: dict[str, Tensor]) -> None:
        """Continue from what `state` returned after `step` steps."""
        self.model.load_state_dict(_with_prefix("model.", tensors))
        self.ema.load_state_dict(_with_prefix("ema.", tensors))
        for name, optimiser in self.optimisers.items():
            optimiser.restore(_with_prefix(f"optimiser.{name}.", tensors))
        self.step = step

    @torch.no_grad()
    def _update_ema(self) -> None:
        averages, weights = tuple(self.ema.parameters()), tuple(self.model.parameters())
        if self.device.type == "cpu":
            torch._foreach_lerp_(averages, weights, self._ema_weight.item())
            return
        for average, weight in zip(averages, weights, strict=True):
            average.lerp_(weight, self._ema_weight)

    @torch.no_grad()
    def _add_metrics(self, metrics: dict[str, Tensor]) -> None:
        values = torch.stack([value.detach().float() for value in metrics.values()])
        stage = self._metrics[-1]
        if not stage.names:
            stage.names, stage.sums = list(metrics), torch.zeros_like(values)
        stage.sums.add_(values)

    def _set_rates(self, total: int) -> None:
        rate = learning_rate(self.recipe, self.step, total)
        for name, optimiser in self.optimisers.items():
            optimiser.set_rate(rate * self._rate_scale(name))
        # a short average at the beginning, or the initial weights would stay in it
        self._ema_weight.fill_(1 - min(self.recipe.ema_decay, (1 + self.step) / (10 + self.step)))

    def _rate_scale(self, optimiser: str) -> float:
        """The learning rate of an optimiser over that of the recipe."""
        return 1.0


class Trainer(BaseTrainer):
    """Trains one model. `model` are its weights, `ema` their moving average, which becomes the result.

    resident_frames: uint8 (N, H, W, 3) on the device, for batches that hold only the indices of their frames.
    """

    recipe: Recipe
    model: Model
    ema: Model

    def __init__(
        self,
        recipe: Recipe,
        device: torch.device,
        compiled: bool = False,
        group: ProcessGroup = SINGLE_PROCESS,
        resident_frames: Tensor | None = None,
    ):
        torch.manual_seed(int(generator_for(recipe.seed, "weights", 0).initial_seed()))
        model = build_model(recipe).to(device)
        ema = build_model(recipe).to(device).requires_grad_(False)
        ema.load_state_dict(model.state_dict())
        heads = model.head_weights()
        optimisers = {name: GuardedAdam(own, recipe, heads) for name, own in model.trained_parameters().items()}
        super().__init__(recipe, device, compute_type(device, recipe.precision), (model, ema), optimisers, group)
        self.resident_frames = resident_frames
        # Sums over processes within a step are not part of a graph that can be compiled.
        self._compiled = compiled and group.world_size == 1
        self._graph: torch.cuda.CUDAGraph | None = None
        self._steps_here = 0  # of this process in this stage
        self._stage: tuple[str, int] | None = None  # its name, and how many frames are augmented
        self._copy_stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._gradients: Callable[[Batch], StepResult] | None = None

    def fit(self, frames: np.ndarray) -> None:
        """Compute what the recipe fits to the films before the first step, from some of their frames, uint8 (n, H, W, 3).
        All processes have the main one's result."""
        if self.group.is_main:
            self.model.fit(frames)
        for buffer in self.model.buffers():
            buffer.copy_(self.group.sum(buffer if self.group.is_main else torch.zeros_like(buffer)))
        self.ema.load_state_dict(self.model.state_dict())

    def start_from(self, initial: Model) -> None:
        """Start from the weights of a model with the same networks."""
        self.model.load_state_dict(initial.state_dict())
        self.ema.load_state_dict(initial.state_dict())

    def train_step(self, batch: Batch, total: int) -> None:
        """One step of `total`."""
        self._begin_stage(self.model.stage(self.step / total), len(batch.augmentations))
        self._set_rates(total)
        batch = self._upload(batch)
        if self.device.type == "cuda":
            self._replay(batch)
        else:
            self._update(batch)
        self.step += 1
        self._metrics[-1].steps += 1
        self._steps_here += 1

    def release_graph(self) -> None:
        """Free the recorded step after the last one: while it exists, NCCL does not end the process group."""
        self.synchronize()
        if self._graph is not None:
            self._graph.reset()
            self._graph = None

    # --- one step

    def _begin_stage(self, name: str, augmented: int) -> None:
        """Where a stage begins, its steps are compiled and recorded again: those of the one before were other ones."""
        if (name, augmented) == self._stage:
            return
        self.release_graph()
        self._stage, self._gradients, self._steps_here = (name, augmented), None, 0
        self._metrics.append(MetricSums())

    def _update(self, batch: Batch) -> None:
        """The part of a step that runs on the device."""
        if self.resident_frames is not None:
            batch = replace(batch, frames=self.resident_frames.index_select(0, batch.frames))
        step = self.gradients(batch)
        grads = {name: self.optimisers[name].in_layout(gradients) for name, gradients in step.gradients.items()}
        self.group.average_gradients(grads)
        for name, own in grads.items():
            step.metrics[f"{name}_grad_norm"] = self.optimisers[name].step(own, step.gates.get(name))
        self._update_ema()
        self._add_metrics(step.metrics)

    def gradients(self, batch: Batch) -> StepResult:
        """The gradients of a batch on the device, frames uint8 (B, H, W, 3); compiled at the first call if requested."""
        if self._gradients is None:
            self._gradients = self._eager_gradients
            if self._compiled:
                self._gradients = compile_gradients(self._eager_gradients, batch)
        return self._gradients(batch)

    def _eager_gradients(self, batch: Batch) -> StepResult:
        stage = self._stage[0] if self._stage else ""
        context = StepContext(autocast(self.device, self.dtype), self.group.sum, stage)
        frames = augment(to_network(batch.frames), batch.augmentations)
        return self.model.gradients(replace(batch, frames=frames), context)

    def _rate_scale(self, optimiser: str) -> float:
        return self.recipe.discriminator_lr_scale if optimiser == "discriminator" else 1.0

    # --- on a GPU

    def _upload(self, batch: Batch) -> Batch:
        """The batch on the device: copied while the steps before it compute."""
        if self._copy_stream is None:
            return batch.map(lambda tensor: tensor.to(self.device))
        current = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._copy_stream):
            copy = batch.map(lambda tensor: tensor.to(self.device, non_blocking=True))
        current.wait_stream(self._copy_stream)
        for tensor in copy.tensors():
            tensor.record_stream(current)
        return copy

    def _replay(self, batch: Batch) -> None:
        if self._steps_here == _WARM_UP_STEPS:
            self._record(batch)
        if self._graph is None:
            self._update(batch)
            return
        for static, value in zip(self._static_batch.tensors(), batch.tensors(), strict=True):
            static.copy_(value)
        self._graph.replay()

    def _record(self, batch: Batch) -> None:
        """Record the step without running it. Where that fails, steps continue one kernel at a time."""
        self._static_batch = batch.map(torch.clone)
        graph = torch.cuda.CUDAGraph()
        try:
            # Only this thread is recorded: another pins the memory of the next batches, which a recording does not allow.
            stream, mode = torch.cuda.current_stream(self.device), "thread_local"
            with torch.cuda.graph(graph, stream=stream, capture_error_mode=mode):
                self._update(self._static_batch)
            self._graph = graph
        except RuntimeError as error:
            print(f"the step cannot be recorded as a CUDA graph and will be slower: {first_line(error)}", flush=True)


class MetricSums:
    """The metrics of a stage's steps: names, their sums on the device, and the number of steps."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.sums = torch.empty(0)
        self.steps = 0

    def cleared(self) -> Self:
        """The same for the next steps, which a recorded graph adds to the same sums."""
        self.sums.zero_()
        self.steps = 0
        return self


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
