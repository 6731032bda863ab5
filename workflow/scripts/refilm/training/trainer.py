"""One model in training: the model, the moving average of its weights (EMA), the optimisers, and the step.

On a CUDA GPU the whole step, from uint8 frames to the updated average, is recorded once as a CUDA graph and then replayed:
the CPU only supplies frame indices and learning rates. Nothing waits for the device until metrics are requested.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from refilm.config.recipe import Recipe
from refilm.models.base import Batch, Model, StepContext, StepResult, to_network
from refilm.models.device import autocast, compute_type
from refilm.models.registry import build_model
from refilm.models.rng import generator_for
from refilm.training.compiled import compile_gradients, first_line
from refilm.training.distributed import SINGLE_PROCESS, ProcessGroup
from refilm.training.optimiser import GuardedAdam
from refilm.training.sampler import learning_rate

_WARM_UP_STEPS = 3  # in which libraries choose their kernels, before the step is recorded


class Trainer:
    """Trains one model. `model` are its weights, `ema` their moving average, which becomes the result.

    resident_frames: uint8 (N, H, W, 3) on the device, for batches that hold only the indices of their frames.
    """

    def __init__(
        self,
        recipe: Recipe,
        device: torch.device,
        compiled: bool = False,
        group: ProcessGroup = SINGLE_PROCESS,
        resident_frames: Tensor | None = None,
    ):
        self.recipe, self.device, self.group, self.resident_frames, self.step = recipe, device, group, resident_frames, 0
        self.dtype = compute_type(device, recipe.precision)
        torch.manual_seed(int(generator_for(recipe.seed, "weights", 0).initial_seed()))
        self.model = build_model(recipe).to(device)
        self.ema = build_model(recipe).to(device).requires_grad_(False)
        self.ema.load_state_dict(self.model.state_dict())
        heads = self.model.head_weights()
        parameters = self.model.trained_parameters()
        self.optimisers = {name: GuardedAdam(own, recipe, heads) for name, own in parameters.items()}
        self._ema_weight = torch.zeros((), device=device)  # of the current weights in the average, at this step
        # Sums over processes within a step are not part of a graph that can be compiled.
        self._compiled = compiled and group.world_size == 1
        self._graph: torch.cuda.CUDAGraph | None = None
        self._steps_here = 0
        self._copy_stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._gradients: Callable[[Batch], StepResult] | None = None
        self._metric_names: list[str] = []
        self._metric_sums: Tensor | None = None
        self.unreported = 0  # steps since metrics were requested

    def start_from(self, initial: Model) -> None:
        """Start from the weights of a model with the same networks."""
        self.model.load_state_dict(initial.state_dict())
        self.ema.load_state_dict(initial.state_dict())

    def train_step(self, batch: Batch, total: int) -> None:
        """One step of `total`."""
        self._set_rates(total)
        batch = self._upload(batch)
        if self.device.type == "cuda":
            self._replay(batch)
        else:
            self._update(batch)
        self.step += 1
        self.unreported += 1
        self._steps_here += 1

    def pop_metrics(self) -> dict[str, float]:
        """Means over the steps since the last call, and over the processes. The one host-device sync of training."""
        assert self._metric_sums is not None, "no step was trained"
        means = self.group.mean(self._metric_sums / self.unreported).tolist()
        self._metric_sums.zero_()
        self.unreported = 0
        return dict(zip(self._metric_names, means, strict=True))

    def synchronize(self) -> None:
        """Wait until the device has finished all steps so far."""
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()

    def release_graph(self) -> None:
        """Free the recorded step after the last one: while it exists, NCCL does not end the process group."""
        self.synchronize()
        if self._graph is not None:
            self._graph.reset()
            self._graph = None

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

    # --- one step

    def _update(self, batch: Batch) -> None:
        """The part of a step that runs on the device."""
        if self.resident_frames is not None:
            batch = Batch(self.resident_frames.index_select(0, batch.frames), batch.noise, batch.prior)
        step = self.gradients(batch)
        grads = {name: optimiser.in_layout(step.gradients[name]) for name, optimiser in self.optimisers.items()}
        self.group.average_gradients(grads)
        for name, optimiser in self.optimisers.items():
            step.metrics[f"{name}_grad_norm"] = optimiser.step(grads[name], step.gates.get(name))
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
        context = StepContext(autocast(self.device, self.dtype), self.group.sum)
        return self.model.gradients(Batch(to_network(batch.frames), batch.noise, batch.prior), context)

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
        if self._metric_sums is None:
            self._metric_names = list(metrics)
            self._metric_sums = torch.zeros(len(metrics), device=self.device)
        self._metric_sums.add_(torch.stack([value.detach().float() for value in metrics.values()]))

    def _set_rates(self, total: int) -> None:
        rate = learning_rate(self.recipe, self.step, total)
        for name, optimiser in self.optimisers.items():
            optimiser.set_rate(rate * (self.recipe.discriminator_lr_scale if name == "discriminator" else 1.0))
        # a short average at the beginning, or the initial weights would stay in it
        self._ema_weight.fill_(1 - min(self.recipe.ema_decay, (1 + self.step) / (10 + self.step)))

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


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
