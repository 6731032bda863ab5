"""What a training writes and shows while it runs: checkpoints, training.csv, previews, progress.

`Recorder` is the main process's; the other processes of a shared training have a `NullRecorder`, which writes nothing.
"""

import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from refilm import layout
from refilm.config.recipe import Recipe, Training
from refilm.core import job_status
from refilm.core.errors import Interrupted, RefilmError, explain
from refilm.core.files import check_space
from refilm.core.progress import print_line
from refilm.core.times import format_duration
from refilm.models.base import Model
from refilm.models.device import device_name
from refilm.models.inference import reconstruct_frames, sample_prior
from refilm.models.metrics import pooled_psnr, psnr
from refilm.models.rng import generator_for
from refilm.training.checkpoint import StateFolder
from refilm.training.distributed import ProcessGroup
from refilm.training.log import Row, TrainingLog, format_progress
from refilm.training.now import CLIP_SECONDS, PICTURE_SECONDS, Now, NowClip, Renewal, reconstruct_clip, reconstruct_others
from refilm.training.sampler import FrameSampler, preview_steps
from refilm.training.trainer import BaseTrainer, Trainer

REPORT_STEPS = 20  # metrics are means over this many steps
_CHECKPOINT_SECONDS = 300.0
_CHECKPOINT_SHARE = 0.01  # of the time that checkpoints may take: where they are slow they are written less often
_PREVIEW_FRAMES = 8
_EVALUATION_FRAMES = 64  # seen, and as many held out, whose PSNR is evaluated at each preview
_EVALUATION_BATCHES = 4  # the same where each frame takes a whole batch


@dataclass(frozen=True)
class Preview:
    """What a preview shows: rows of frames uint8 (n, H, W, 3) by name, the same frames of the films every time."""

    step: int
    total: int
    rows: dict[str, np.ndarray]


class TrainingCallbacks:
    """What the main process of a training calls. Each does nothing, for a subclass to override.

    keep: after which steps `on_keep` is called; preview_films: frames files of films that are shown besides its own.
    """

    keep: Collection[int] = ()
    preview_films: Sequence[Path] = ()

    def on_start(self) -> None:
        """Called before the first step."""

    def on_preview(self, preview: Preview) -> None:
        """Called with each preview."""

    def on_now(self, now: Now) -> None:
        """Called about every minute, and at the end. Where it raises RefilmError or OSError, the training continues."""

    def on_clip(self, clip: NowClip) -> None:
        """Called about every ten minutes, in the same way."""

    def on_keep(self, step: int, model: Model) -> None:
        """Called with the model after each step of `keep`."""

    def on_row(self, row: Row) -> None:
        """Called with each row of training.csv, after it was written."""


class NullRecorder:
    """Reads the checkpoint that the main process continues from, and writes nothing."""

    def __init__(self, recipe: Recipe, folder: Path):
        self.states = StateFolder(folder, recipe)

    def start(self, trainer: Trainer, sampler: FrameSampler, total: int) -> None:
        """Restore the trainer from the latest checkpoint, if there is one."""
        if step := trainer.group.broadcast(0):
            trainer.restore(step, self.states.read(step))

    def preview(self) -> None:
        pass

    def show_now(self) -> None:
        pass

    def keep(self) -> None:
        pass

    def report(self, metrics: dict[str, float]) -> str:
        return ""

    def save(self, force: bool) -> None:
        pass

    def interrupt(self) -> None:
        """Nothing: this process ends with exit status 0, and the main one reports the interruption."""


class BaseRecorder:
    """What the main process of every training writes: checkpoints, training.csv, a line of what is trained.

    The caller of the training holds the lock of the state folder. shorter, other_training: what the user can do where a
    training takes too long, and where it diverges.
    """

    shorter = ""
    other_training = ""

    def __init__(self, recipe: Training, folder: Path, callbacks: "TrainingCallbacks"):
        self.recipe, self.folder, self.callbacks = recipe, folder, callbacks
        self.states = StateFolder(folder, recipe)
        self._time_printed = False
        self._later_metrics: tuple[str, ...] = ()

    def _begin(self, trainer: BaseTrainer, total: int, batch: int, frames: int, described: str) -> None:
        """Restore the trainer from the latest checkpoint, if there is one, and print what will be trained, on so many frames
        with so many in a step. Raises RefilmError where the disk is too full for it."""
        self.trainer, self.total, name = trainer, total, self.folder.name
        check_space(self.states.folder, self._needed_bytes())
        self.callbacks.on_start()
        log_file = self.folder / layout.TRAINING_LOG
        step, tensors = self.states.load(total, log_file) or (0, {})
        epochs = f"{total * batch / frames:,.1f}".removesuffix(".0")
        processes = f"{trainer.group.world_size} x " if trainer.group.world_size > 1 else ""
        dtype = str(trainer.dtype).removeprefix("torch.")
        print(
            f"{name}: {total:,} steps of {batch:,} frames ({epochs} epochs of {frames:,} frames), {described}in {dtype} on "
            f"{processes}{device_name(trainer.device)}",
            flush=True,
        )
        job_status.describe(device=device_name(trainer.device))
        self._first = step
        if trainer.group.broadcast(step):
            trainer.restore(step, tensors)
            print(f"{name}: continues after step {step:,} of {total:,}", flush=True)
        self.log = TrainingLog(log_file, trainer.step, batch, frames)
        self._next_save = time.monotonic() + _CHECKPOINT_SECONDS

    def preview(self) -> None:
        """Show a preview, if this step is one of those."""

    def show_now(self) -> None:
        """Renew what is shown of now, if it is due."""

    def keep(self) -> None:
        """Keep the model, if this step is one of those."""

    def report(self, metrics: dict[str, float]) -> str:
        """Write a row of training.csv; returns the text for the progress bar. Raises RefilmError for a metric that is not
        finite."""
        self._check_finite(metrics)
        row = self.log.write(
            self.trainer.step, {**dict.fromkeys(self._later_metrics, ""), **metrics, **self._evaluated_metrics()}
        )
        job_status.describe(metrics=row)
        with self.log.pause():
            self.callbacks.on_row(row)
        self._print_time(row)
        return f" {format_progress(row)}"

    def save(self, force: bool) -> None:
        """Write a checkpoint, if one is due or forced. A state is saved only after its metrics were checked."""
        if not force and (self.trainer.unreported or time.monotonic() <= self._next_save):
            return
        self.trainer.synchronize()
        began = time.monotonic()
        with self.log.pause():
            self.states.save(self.trainer.step, self.trainer.state(), self.log.path, self.log.frames)
        self._next_save = time.monotonic() + checkpoint_interval(time.monotonic() - began)

    def interrupt(self) -> None:
        """Raises Interrupted: the state was saved, and training continues in the next run."""
        raise Interrupted(
            f"{self.folder.name}: stopped after step {self.trainer.step} of {self.total}; the same command continues"
        )

    def _evaluated_metrics(self) -> dict[str, float | str]:
        """The columns of what is evaluated at previews; empty strings where it was not."""
        return {}

    def _weights_bytes(self) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in self.trainer.ema.state_dict().values())

    def _needed_bytes(self) -> int:
        """What will be written: checkpoints and the model."""
        return self.states.needed_bytes(self._weights_bytes()) + self._weights_bytes()

    def _print_time(self, row: Row) -> None:
        """Print once how long the rest will take. The first steps do not count: they compile and record the step."""
        left = self.total - self.trainer.step
        if self._time_printed or not left or self.trainer.step < self._first + 2 * REPORT_STEPS:
            return
        self._time_printed = True
        rate = max(0.01, float(row["frames_per_s"]))  # which is rounded
        time_left = format_duration(left * self.recipe.batch_size / rate)
        # Narrower networks would start over.
        remedy = "" if self._first else self.shorter
        print_line(f"{self.folder.name}: about {time_left} left on this machine{remedy}")

    def _check_finite(self, metrics: dict[str, float]) -> None:
        bad = [key for key, value in metrics.items() if not math.isfinite(value)]
        if not bad:
            return
        latest = self.states.latest()
        kept = "no checkpoint had been written"
        if latest is not None:
            kept = f"the checkpoint after step {latest:,} is in {self.states.folder}, and the same command continues from it"
        raise RefilmError(
            f"training diverged: {', '.join(bad)} not finite at step {self.trainer.step:,}; {kept}. "
            f"If it diverges again, {self.other_training}"
        )


class Recorder(BaseRecorder):
    """What the main process of a model's training writes besides: previews, what the model has come to, early models."""

    shorter = "; fewer steps or base_channels take less: config/README.md"
    other_training = (
        "set a lower learning_rate, another seed, or precision: float32: each of them trains the model from the beginning"
    )
    recipe: Recipe
    trainer: Trainer

    def start(self, trainer: Trainer, sampler: FrameSampler, total: int) -> None:
        """Restore the trainer from the latest checkpoint, if there is one, and print what will be trained.

        Raises RefilmError where the disk is too full for it.
        """
        self._sampler, name = sampler, self.folder.name
        self._preview_steps = {step for step in preview_steps(total) if step > (self.states.latest() or 0)}
        described = f"base_channels {self.recipe.base_channels}, "
        self._begin(trainer, total, self.recipe.batch_size, len(sampler), described)
        for late in sorted(step for step in self.callbacks.keep if step > total):
            print(f"{name}: step {late:,}, which is to be kept, is after the end of this training", flush=True)
        if self.recipe.holdout_fraction:
            print(f"{name}: held out: {_held_out(sampler)}", flush=True)
        self._later_metrics = trainer.model.later_metrics
        self._previewer, self._evaluator = Previewer(sampler), HoldoutEvaluator(sampler)
        self._picture, self._clip = Renewal(PICTURE_SECONDS), Renewal(CLIP_SECONDS)

    def preview(self) -> None:
        """Show a preview and evaluate the held-out frames, if this step is one of those."""
        if self.trainer.step not in self._preview_steps:
            return
        self.trainer.synchronize()  # the steps before it are training time, and what follows is not
        with self.log.pause():
            rows = self._previewer.rows(self.trainer.ema)
            self.callbacks.on_preview(Preview(self.trainer.step, self.total, rows))
            self._evaluator.evaluate(self.trainer.ema)

    def show_now(self) -> None:
        """Renew the picture of now and its clip, if they are due or the training ends here."""
        ended = self.trainer.step == self.total
        picture, clip = self._picture.is_due() or ended, self._clip.is_due() and self.recipe.spec.reconstructs
        if not picture and not clip:
            return
        self.trainer.synchronize()
        with self.log.pause():
            if picture:
                with self._picture.measured():
                    self._show(self._show_picture)
            if clip:
                with self._clip.measured():
                    self._show(self._show_clip)

    def _show(self, show: Callable[[], None]) -> None:
        """Training continues without what could not be shown."""
        try:
            show()
        except (RefilmError, OSError) as error:
            print(f"{self.folder.name}: the picture of now was not renewed: {explain(error)}", flush=True)

    def _show_picture(self) -> None:
        model = self.trainer.ema
        films = self.callbacks.preview_films if self.recipe.spec.reconstructs else ()
        others = reconstruct_others(model, films)
        self.callbacks.on_now(Now(self.trainer.step, self.total, self._previewer.rows(model), others))

    def _show_clip(self) -> None:
        film = self._sampler.stores[0]
        films = reconstruct_clip(self.trainer.ema, film, self.callbacks.preview_films)
        self.callbacks.on_clip(NowClip(self.trainer.step, self.total, films, film.fps))

    def keep(self) -> None:
        """Keep the model, if this step is one of those: before a checkpoint after it, from which a training continues
        without passing the step again."""
        if self.trainer.step not in self.callbacks.keep:
            return
        self.trainer.synchronize()
        with self.log.pause():
            if all(bool(tensor.isfinite().all()) for tensor in self.trainer.ema.state_dict().values()):
                self.callbacks.on_keep(self.trainer.step, self.trainer.ema)

    def _evaluated_metrics(self) -> dict[str, float | str]:
        return self._evaluator.pop_metrics()

    def _needed_bytes(self) -> int:
        """Also the models that are kept, and previews, whose PNG take less than their frames."""
        width, height = self.recipe.size
        previews = len(self._preview_steps) * 2 * _PREVIEW_FRAMES * height * width * 3
        kept = sum((self.states.latest() or 0) < step <= self.total for step in self.callbacks.keep)
        return super()._needed_bytes() + kept * self._weights_bytes() + previews


def make_recorder(
    recipe: Recipe, folder: Path, callbacks: TrainingCallbacks, group: ProcessGroup
) -> Recorder | NullRecorder:
    """The recorder of this process."""
    return Recorder(recipe, folder, callbacks) if group.is_main else NullRecorder(recipe, folder)


def checkpoint_interval(cost: float) -> float:
    """Seconds from one checkpoint to the next, when one takes `cost` seconds."""
    return max(_CHECKPOINT_SECONDS, cost / _CHECKPOINT_SHARE)


class Previewer:
    """The frames of a preview: of the films beside their reconstructions, or samples where a recipe has no encoder."""

    def __init__(self, sampler: FrameSampler):
        self._sampler = sampler
        self._indices = sampler.evenly_spaced(_PREVIEW_FRAMES)
        self._originals = sampler.read(self._indices)

    def rows(self, model: Model) -> dict[str, np.ndarray]:
        """Rows of frames uint8 (n, H, W, 3) by name."""
        if model.recipe.spec.reconstructs:
            reconstruction = reconstruct_from(self._sampler, model, self._indices)
            return {"film": self._originals, "reconstruction": reconstruction}
        generator = generator_for(model.recipe.seed, "preview", 0)
        normal = torch.randn(2 * _PREVIEW_FRAMES, model.recipe.latent_dim, generator=generator)
        return {"sample": sample_prior(model, normal)}


class HoldoutEvaluator:
    """PSNR of training frames and of held-out frames, the same ones every time; nothing where none are held out."""

    def __init__(self, sampler: FrameSampler):
        self._sampler = sampler
        self._indices: dict[str, np.ndarray] = {}
        self._psnr: dict[str, float] = {}
        spec = sampler.recipe.spec
        if len(sampler.held_out) and spec.reconstructs:
            count = _EVALUATION_BATCHES if spec.mixes_batch else _EVALUATION_FRAMES
            self._indices = {
                "seen_psnr": sampler.evenly_spaced(count),
                "held_out_psnr": sampler.evenly_spaced(count, held_out=True),
            }

    def evaluate(self, model: Model) -> None:
        """Evaluate the model, in dB over all pixels of the frames."""
        for name, indices in self._indices.items():
            frames = torch.from_numpy(self._sampler.read(indices))
            reconstruction = torch.from_numpy(reconstruct_from(self._sampler, model, indices))
            self._psnr[name] = round(pooled_psnr(psnr(frames, reconstruction)).item(), 3)

    def pop_metrics(self) -> dict[str, float | str]:
        """The results since the last call; empty strings where there are none."""
        results, self._psnr = self._psnr, {}
        return {name: results.get(name, "") for name in self._indices}


def reconstruct_from(sampler: FrameSampler, model: Model, indices: np.ndarray) -> np.ndarray:
    """Reconstructions of a sampler's frames, as in the results of each film: uint8 (n, H, W, 3)."""
    return sampler.map_films(indices, lambda store, own: reconstruct_frames(model, store, own))


def _held_out(sampler: FrameSampler) -> str:
    """How many frames of each film are held out, as text."""
    return ", ".join(
        f"{count:,} of the {len(store):,} frames of {store.path.stem}" + ("" if count else " (no shot is short enough)")
        for count, store in zip(sampler.held_out_per_film(), sampler.stores, strict=True)
    )
