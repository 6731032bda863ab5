"""One predictor in training, as the trainer and the loop of a model."""

import copy
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from refilm.config.predictor_recipe import PredictorRecipe
from refilm.core.sampling import evenly_spaced
from refilm.models.device import full_float32
from refilm.models.predictor import Forecast, Predictor, expected_path, fit_buffers
from refilm.models.rng import generator_for
from refilm.training.loop import interrupt_flag, run_steps
from refilm.training.optimiser import GuardedAdam
from refilm.training.recorder import BaseRecorder, TrainingCallbacks
from refilm.training.sampler import preview_steps
from refilm.training.sequences import WINDOW, LatentSequences, Windows
from refilm.training.trainer import BaseTrainer, MetricSums

_ENERGY_WEIGHT = 0.5  # of the error in pixels against the likelihood, in which each number counts alike
_OWN_FROM = 0.7  # fraction of the training after which it continues its own draws
_OWN_FRAMES = 16  # of a window, the last ones
_PREVIEWS = 12
_PREVIEW_SPACING = 10  # steps: a preview takes longer than one
_EXAMPLES = 128  # whose error is evaluated at each preview, and as many held out
_EVALUATED = 8  # frames ahead
_MOST_KEYS = 16_384  # frames of the memory in which another one is looked for while a predictor trains
_ROWS = 1024  # looked for at once


class PredictorTrainer(BaseTrainer):
    """Trains one predictor on the windows of a film.

    What it is shown has noise, and in the last part of the training its own draws; what it is taught is the way from there
    to the film's next frame, so that it comes back where it has strayed (Ross et al. 2011; Valevski et al. 2024).
    """

    model: Predictor
    ema: Predictor

    def __init__(self, recipe: PredictorRecipe, sequences: LatentSequences, device: torch.device):
        torch.manual_seed(int(generator_for(recipe.seed, "weights", 0).initial_seed()))
        model = Predictor(sequences.dim, len(sequences), len(sequences.openings)).to(device)
        ema = copy.deepcopy(model).requires_grad_(False)
        optimisers = {"predictor": GuardedAdam(list(model.parameters()), recipe, [])}
        super().__init__(recipe, device, torch.float32, (model, ema), optimisers)
        self._metrics = [MetricSums()]

    def fit(self, sequences: LatentSequences, energy: Tensor) -> None:
        """Compute the buffers before the first step. energy: of `pixel_energy`."""
        for network in (self.model, self.ema):
            fit_buffers(network, sequences.trained(), sequences.openings, energy)

    def recall_elsewhere(self) -> None:
        """Find, for each frame of the memory, the most similar one in another shot, which a window recalls that is not
        known. To be called before the first step and when a training continues."""
        model = self.model
        count, scale = len(model.memory), model.weights().sqrt()
        keys = torch.tensor(evenly_spaced(count, _MOST_KEYS), device=self.device)
        shot = torch.searchsorted(model.opening_rows, torch.arange(count, device=self.device), right=True)
        known = model.memory[keys].float() * scale
        found = []
        for rows in torch.arange(count, device=self.device).split(_ROWS):
            similar = 2 * (model.memory[rows].float() * scale) @ known.T - known.square().sum(1)
            similar = similar.where(shot[rows, None] != shot[keys], -torch.inf)
            found.append(keys[similar.argmax(1)])
        self._elsewhere = torch.cat(found)

    @full_float32()
    def train_step(self, batch: Windows, total: int) -> None:
        self._set_rates(total)
        batch = batch.to(self.device)
        metrics = self._losses(batch, own=self.step >= _OWN_FROM * total)
        optimiser = self.optimisers["predictor"]
        gradients = torch.autograd.grad(metrics["loss"], list(optimiser.parameters))
        metrics["predictor_grad_norm"] = optimiser.step(optimiser.in_layout(list(gradients)), None)
        self._update_ema()
        self._add_metrics(metrics)
        self.step += 1
        self._metrics[-1].steps += 1

    def _losses(self, batch: Windows, own: bool) -> dict[str, Tensor]:
        shown = batch.latents[:, :-1] + self.model.change * batch.noise
        recalled = torch.where(batch.known, batch.row, self._elsewhere[batch.row])
        if own:
            shown = self._with_own_draws(shown, recalled, batch)
        forecast, _state = self.model(shown, recalled)
        target = (batch.latents[:, 1:] - shown) / self.model.change
        within = batch.used & ~batch.cut
        components = component_likelihoods(forecast, target)
        likelihood = (-components.logsumexp(-1) / self.model.dim)[within].mean()
        # Beside the numbers of a frame the choice of the component would count next to nothing.
        choice = -(components.softmax(-1).detach() * forecast.weights).sum(-1)[within].mean()
        error = (self.model.energy * (target - forecast.expected()).square()).mean(-1)[within].mean()
        cut = F.binary_cross_entropy_with_logits(forecast.cut[batch.used], batch.cut[batch.used].float())
        chosen = forecast.openings.log_softmax(-1).gather(-1, batch.opening[..., None])[..., 0]
        opening = -(chosen * batch.cut).sum() / batch.used.sum()  # per frame, as the cut
        loss = likelihood + choice + _ENERGY_WEIGHT * error + cut + opening
        return {"loss": loss, "nll": likelihood, "change_error": error, "cut_loss": cut + opening}

    @torch.no_grad()
    def _with_own_draws(self, shown: Tensor, recalled: Tensor, batch: Windows) -> Tensor:
        """The context with draws of the predictor in place of the last frames. Openings stay those of the film, and so do
        windows that are not known: from there no memory leads back."""
        first = WINDOW - _OWN_FRAMES
        forecast, state = self.model(shown[:, :first], recalled[:, :first])
        forecast = Forecast(*(part[:, -1:] for part in forecast))
        frames = [shown[:, :first]]
        last = shown[:, first - 1 : first]
        for n in range(first, WINDOW):
            drawn = self.model.sample_next(forecast, last, batch.normal[:, n : n + 1], batch.uniform[:, n : n + 1], 1.0)
            kept = (batch.cut | ~batch.used | ~batch.known)[:, n - 1 : n, None]
            following = torch.where(kept, shown[:, n : n + 1], drawn)
            frames.append(following)
            forecast, state = self.model(following, recalled[:, n : n + 1], last, state)
            last = following
        return torch.cat(frames, 1)


def component_likelihoods(forecast: Forecast, target: Tensor) -> Tensor:
    """The logarithm of the density of each component, with its weight, at changes (B, T, dim), without the constant of pi:
    (B, T, K)."""
    away = (target[..., None, :] - forecast.mean) * (-forecast.log_std).exp()
    return forecast.weights + (-0.5 * away.square() - forecast.log_std).sum(-1)


def gain_over_copy(predictor: Predictor, contexts: Tensor, truth: Tensor) -> Tensor:
    """How much less than standing still it errs, in dB, at each number of frames ahead: (horizon,). Errors are weighted by
    what they move in the pixels. contexts (n, T, dim); truth (n, horizon, dim)."""
    weights = predictor.energy / predictor.change.square()

    def error(path: Tensor) -> Tensor:
        return (weights * (path - truth).square()).sum(-1).mean(0)

    still, expected = error(contexts[:, -1:].expand_as(truth)), error(expected_path(predictor, contexts, truth.shape[1]))
    return 10 * torch.log10(still / expected)


class PredictorRecorder(BaseRecorder):
    """What is written besides: previews, and how much better than standing still it predicts."""

    shorter = "; fewer steps take less: predictor.steps"
    other_training = "set another predictor.seed, which trains it from the beginning"
    trainer: PredictorTrainer

    def start(
        self, trainer: PredictorTrainer, sequences: LatentSequences, total: int, show: Callable[[int, int, Predictor], None]
    ) -> None:
        """Restore the trainer and print what will be trained. show: draws a preview, given the step, the total and the
        predictor."""
        self._show, self._gains = show, dict[str, float]()
        previews = preview_steps(total, 1, _PREVIEWS, _PREVIEW_SPACING)
        self._preview_steps = {step for step in previews if step > (self.states.latest() or 0)}
        self._examples = {
            name: examples
            for name, held_out in (("seen_gain", False), ("held_out_gain", True))
            if len((examples := sequences.examples(held_out, _EXAMPLES))[0])
        }
        self._begin(trainer, total, self.recipe.batch_size * WINDOW, len(sequences), "")

    def preview(self) -> None:
        if self.trainer.step not in self._preview_steps:
            return
        self.trainer.synchronize()
        with self.log.pause():
            self._show(self.trainer.step, self.total, self.trainer.ema)
            for name, examples in self._examples.items():
                contexts, truth = (part[:, : _EVALUATED if part is examples[1] else None] for part in examples)
                gains = gain_over_copy(self.trainer.ema, contexts.to(self.trainer.device), truth.to(self.trainer.device))
                self._gains[name] = round(gains[-1].item(), 3)

    def _evaluated_metrics(self) -> dict[str, float | str]:
        gains, self._gains = self._gains, {}
        return {name: gains.get(name, "") for name in self._examples}


def train_predictor(
    recipe: PredictorRecipe,
    sequences: LatentSequences,
    energy: Callable[[], Tensor],
    folder: Path,
    device: torch.device,
    callbacks: TrainingCallbacks,
    show: Callable[[int, int, Predictor], None],
) -> PredictorTrainer:
    """Train to the end of the recipe, or continue to it, and return the trainer.

    energy: computes `pixel_energy`, before the first step; folder: where training.csv and state/ are written, which
    `StateFolder.locked` keeps other processes out of; show: as of `PredictorRecorder.start`. Raises Interrupted after a
    signal to stop, with the state saved, and RefilmError for a loss that is not finite.
    """
    with ExitStack() as stack:
        interrupt = stack.enter_context(interrupt_flag())
        total = recipe.total_steps(len(sequences))
        trainer = PredictorTrainer(recipe, sequences, device)
        recorder = PredictorRecorder(recipe, folder, callbacks)
        recorder.start(trainer, sequences, total, show)
        if trainer.step == 0:
            trainer.fit(sequences, energy())
        trainer.recall_elsewhere()
        batches = sequences.batches(trainer.step, total, recipe.batch_size)
        run_steps(trainer, batches, total, recorder, interrupt, f"train {folder.name}")
    return trainer
