"""The training loop, read from top to bottom: load a batch, take the exact gradients, step, average, report, keep.

Nothing in a step waits for the device; measures are summed there and fetched when a line is due.
"""

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from refilm.frames.store import FrameStore
from refilm.networks.device import autocast, compute_type
from refilm.networks.vaegan import Networks, to_frames, to_network
from refilm.settings.errors import Interrupted, RefilmError
from refilm.settings.progress import progress_bar
from refilm.settings.recipe import Recipe
from refilm.training.checkpoint import StateFolder
from refilm.training.log import TrainingLog, in_short
from refilm.training.schedule import Footage, ahead, learning_rate, preview_steps, seeded
from refilm.training.step import gradients

_REPORT_STEPS = 20  # measures are a mean over so many steps
_CHECKPOINT_SECONDS = 300.0
_CHECKPOINT_SHARE = 0.01  # of the time may go into checkpoints: where they are slow they are made less often
_PREVIEWS = 8  # frames on a preview sheet
_BETAS = (0.5, 0.99)


@dataclass(frozen=True)
class Preview:
    """What a preview shows, uint8 (n, H, W, 3) each: the same frames of the films every time, and as rebuilt now."""

    step: int
    total: int
    originals: np.ndarray
    rebuilt: np.ndarray


class Trainer:
    """One model in training: networks, their running average, the optimiser, and the step reached."""

    def __init__(self, recipe: Recipe, device: torch.device):
        self.recipe, self.device, self.step = recipe, device, 0
        self.dtype = compute_type(device, recipe.precision)
        torch.manual_seed(int(seeded(recipe.seed, "weights", 0).initial_seed()))
        self.networks = Networks(recipe).to(device)
        self.average = Networks(recipe).to(device).requires_grad_(False)
        self.average.load_state_dict(self.networks.state_dict())
        rates = {"discriminator": recipe.discriminator_rate}
        groups = [
            {"params": list(part.parameters()), "rate": rates.get(n, 1.0)} for n, part in self.networks.parts().items()
        ]
        self.optimiser = torch.optim.Adam(groups, lr=recipe.learning_rate, betas=_BETAS, fused=device.type != "mps")

    def train_step(self, batch, total: int) -> dict[str, torch.Tensor]:
        """One step on a Batch; returns its measures, still on the device."""
        frames, noise, prior = (
            tensor.to(self.device, non_blocking=True) for tensor in (batch.frames, batch.noise, batch.prior)
        )
        with autocast(self.device, self.dtype):
            step = gradients(self.networks, self.recipe, to_network(frames), noise, prior)
        for group, grads in zip(self.optimiser.param_groups, step.gradients.values(), strict=True):
            rate = learning_rate(self.recipe.learning_rate, self.recipe.warmup, self.step, total)
            group["lr"] = rate * group["rate"]
            for weight, gradient in zip(group["params"], grads, strict=True):
                weight.grad = in_layout_of(weight, gradient)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self._update_average()
        self.step += 1
        return step.measures

    def _update_average(self) -> None:
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))  # short runs have a short memory
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.networks.parameters()), 1 - decay)

    @torch.no_grad()
    def rebuild(self, frames: np.ndarray) -> np.ndarray:
        """Frames as the averaged networks rebuild them without noise: uint8 (n, H, W, 3) both."""
        with autocast(self.device, self.dtype):
            mean, _ = self.average.encoder(to_network(torch.from_numpy(frames).to(self.device)))
            return to_frames(self.average.decoder(mean)).cpu().numpy()  # host-device sync: a preview is due

    def state(self) -> dict[str, torch.Tensor]:
        """All that a continued run needs besides the step, as flat tensors."""
        tensors = {f"networks.{name}": tensor for name, tensor in self.networks.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": value for name, value in moments.items()}
        return tensors

    def restore(self, step: int, tensors: dict[str, torch.Tensor]) -> None:
        """Become the trainer whose `state` that was, after `step` steps."""
        parts = {"networks": {}, "average": {}, "optimiser": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = tensor
        self.networks.load_state_dict(parts["networks"])
        self.average.load_state_dict(parts["average"])
        weights = [weight for group in self.optimiser.param_groups for weight in group["params"]]
        moments: dict[int, dict] = {}
        for name, tensor in parts["optimiser"].items():
            index, _, moment = name.partition(".")
            moments.setdefault(int(index), {})[moment] = in_layout_of(weights[int(index)], tensor)
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})
        self.step = step


def in_layout_of(weight: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """The tensor with its elements in memory in the weight's order. Fused Adam goes through weight, gradient and moments
    by memory and asks no questions: in another order it would silently mix up the elements."""
    if tensor.shape != weight.shape or tensor.stride() == weight.stride():
        return tensor
    return torch.empty_like(weight).copy_(tensor)


def train(
    recipe: Recipe,
    frame_files: list[Path],
    folder: Path,
    device: torch.device,
    show: Callable[[Preview], None],
    watch: Callable[[dict], None] = lambda row: None,
) -> Trainer:
    """Train to the end of the recipe, or continue to it, and return the trainer.

    folder: where training.csv and the state/ folder live; show: called with a Preview every so often;
    watch: called with every row of training.csv, once it is written there.
    Raises Interrupted after SIGTERM or SIGINT, with the state kept, and RefilmError for a loss that is not finite.
    """
    with (
        ExitStack() as films,
        StateFolder(folder / "state", recipe).locked() as states,
        _stop_signals() as stop_signals,
    ):
        stores = [films.enter_context(FrameStore(file)) for file in frame_files]
        _check_sizes(recipe, stores)
        footage = Footage(stores, recipe.batch, recipe.latent, recipe.seed, pinned=device.type == "cuda")
        total, name = recipe.total_steps(len(footage)), folder.name
        trainer = Trainer(recipe, device)
        log_file = folder / "training.csv"
        if found := states.load(total, log_file):
            trainer.restore(*found)
            print(f"{name}: continues after step {trainer.step} of {total}", flush=True)
        log = TrainingLog(log_file, trainer.step, recipe.batch, len(footage))
        # the middles of as many stretches: films begin and end in black
        originals = footage.read(np.linspace(0, len(footage) - 1, 2 * _PREVIEWS + 1, dtype=int)[1::2])
        previews, sums, next_save = preview_steps(total), {}, time.monotonic() + _CHECKPOINT_SECONDS

        with progress_bar(f"train {name}", total, " steps", trainer.step) as bar:
            for _step, batch in ahead(footage.load, trainer.step, total):
                for key, value in trainer.train_step(batch, total).items():
                    sums[key] = sums[key] + value if key in sums else value

                stopped = bool(stop_signals)  # asked once a step: a state is kept only after its measures were checked

                # report
                if trainer.step % _REPORT_STEPS == 0 or trainer.step == total or stopped:
                    row = log.write(trainer.step, sums)  # the one host-device sync
                    _check_finite(row, states)
                    sums = {}
                    watch(row)
                    bar.set_postfix_str(f" {in_short(row)}", refresh=False)
                bar.update(1)

                # show
                if trainer.step in previews:
                    with log.pause():
                        show(Preview(trainer.step, total, originals, trainer.rebuild(originals)))

                # keep
                if stopped or (time.monotonic() > next_save and not sums) or trainer.step == total:
                    began = time.monotonic()
                    with log.pause():
                        states.save(trainer.step, trainer.state(), log_file)
                    cost = time.monotonic() - began
                    next_save = time.monotonic() + max(_CHECKPOINT_SECONDS, cost / _CHECKPOINT_SHARE)
                if stopped and trainer.step < total:
                    raise Interrupted(f"{name}: stopped after step {trainer.step} of {total}; the same command continues")
    return trainer


def _check_sizes(recipe: Recipe, stores: list[FrameStore]) -> None:
    for store in stores:
        if (store.width, store.height) != recipe.size:
            raise RefilmError(f"{store.path}: frames are {store.width}x{store.height} and the recipe's {recipe.frame_size}")


def _check_finite(row: dict[str, float], states: StateFolder) -> None:
    bad = [key for key, value in row.items() if not np.isfinite(value)]
    if bad:
        raise RefilmError(
            f"training has broken down: {', '.join(bad)} not finite at step {row['step']:.0f}. The last good state is in "
            f"{states.folder}. Set a lower learning_rate, or another seed, or precision: float32"
        )


class _stop_signals:
    """Within the block SIGTERM and SIGINT only ask to stop: the value becomes true, and the loop keeps its work."""

    def __enter__(self) -> "_stop_signals":
        self._asked = False
        self._before = {sig: signal.signal(sig, self._ask) for sig in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_exception) -> None:
        for sig, handler in self._before.items():
            signal.signal(sig, handler)

    def __bool__(self) -> bool:
        return self._asked

    def _ask(self, _signal, _frame) -> None:
        self._asked = True
