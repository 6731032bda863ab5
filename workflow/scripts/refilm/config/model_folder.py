"""The folder of a model: every finished training is kept, and model.safetensors is a link to one of them.

results/models/{model}/
    model.safetensors                            a link to trained/1f0c63a4e2d1-6-epochs.safetensors
    trained/1f0c63a4e2d1-6-epochs.safetensors    the networks, by recipe and length
    trained/1f0c63a4e2d1-6-epochs.csv            training.csv of that training
    trained/1f0c63a4e2d1-6-epochs@500.safetensors   the networks after 500 steps of it, if it keeps those
    model@500.safetensors                        a link to that
    state/1f0c63a4e2d1/step-000001200.safetensors   checkpoints, by recipe

The folder of a predictor, results/predictors/{model}/, has the same, with predictor.safetensors as the link.

Snakemake deletes model.safetensors before it makes it again. No rule declares trained/, so no model is lost with it: what
was trained before is linked again. Reads files with the standard library alone, so that a plan does not import torch.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from refilm import layout
from refilm.config.recipe import Recipe, Training, metadata_of_model, recipe_of_model, training_key_of
from refilm.core.errors import RefilmError
from refilm.core.files import link_or_copy, remove_partials

_CHECKPOINT = re.compile(r"step-(\d+)\.safetensors")


class ModelFolder:
    """Of a model file, results/models/{model}/model.safetensors, or of a predictor."""

    def __init__(self, model: Path | str):
        self.model = Path(model)
        self.folder = self.model.parent
        self.trained, self.state = self.folder / layout.TRAINED, self.folder / layout.STATE

    @property
    def is_predictor(self) -> bool:
        """Whether it is that of a predictor."""
        return self.model.name == Path(layout.PREDICTOR).name

    def file(self, recipe: Training) -> Path:
        """Where the model is kept that a recipe makes."""
        return self.trained / f"{recipe.training_key()}.safetensors"

    def log(self, recipe: Training) -> Path:
        """Where the training.csv of that training is kept."""
        return self.file(recipe).with_suffix(".csv")

    def find(self, recipe: Training) -> Path | None:
        """The model of a recipe, if it was trained to its end."""
        file = self.file(recipe)
        return file if recipe_of_model(file) == recipe.to_json() else None

    def early_file(self, recipe: Training, step: int) -> Path:
        """Where the model is kept that a recipe has made after so many steps."""
        return self.trained / f"{recipe.training_key()}@{step}.safetensors"

    def early_files(self, training_key: str) -> list[tuple[int, Path]]:
        """(step, file) of what was kept of a training before its end."""
        files = self.trained.glob(f"{training_key}@*.safetensors")
        return sorted((int(file.stem.rpartition("@")[2]), file) for file in files)

    def find_early(self, recipe: Training, step: int) -> Path | None:
        """The model of a recipe after so many steps, if it was kept or if the training has ended there."""
        files = [self.early_file(recipe, step), self.find(recipe)]
        return next((file for file in files if file and metadata_of_model(file).get("steps") == str(step)), None)

    def inherit_early(self, recipe: Training) -> None:
        """Let what was kept of a shorter training be kept of this one too, if it continues that."""
        checkpoint = next(iter(checkpoints(self.state / recipe.state_key())), None)
        former = recipe_of_model(checkpoint[1]) if checkpoint else None
        if checkpoint is None or former in (None, recipe.to_json()) or self.find(recipe):
            return
        for step, file in self.early_files(training_key_of(str(former))):
            if step <= checkpoint[0]:
                link_or_copy(file, self.early_file(recipe, step))

    def links(self) -> list[Path]:
        """The models that are links to files of trained/: model.safetensors, and those of early steps."""
        return [self.model, *self.folder.glob(self.early_link("*").name)]

    def link(self, trained: Path, step: int | None = None) -> None:
        """Let model.safetensors, or with a step that of this step, be this file of trained/: a link to it, but for one that
        Snakemake moves into a cache, and on a disk without links."""
        model = self.model if step is None else self.early_link(step)
        remove_partials(model)
        partial = self.folder / f".{model.stem}.part{os.getpid()}{model.suffix}"
        partial.unlink(missing_ok=True)
        cached = step is None and os.environ.get("REFILM_CACHED")
        _link(trained, partial, None if cached else os.path.relpath(trained, self.folder))
        partial.replace(model)
        partial.unlink(missing_ok=True)  # where both were the same file under two names, nothing was renamed

    def early_link(self, step: int | str) -> Path:
        """The link to the model that was kept after so many steps."""
        return self.folder / Path(layout.EARLY_MODEL.format(model=self.folder.name, step=step)).name

    def keep(self) -> None:
        """Keep under trained/ a model file that is not a link to it: of refilm 0.2, of a cache, or copied here."""
        file = self.model.resolve()
        if file.parent == self.trained.resolve() or (recipe := recipe_of_model(file)) is None:
            return
        try:
            kept = self.trained / f"{training_key_of(recipe)}.safetensors"
        except (ValueError, KeyError, TypeError, AttributeError):
            return  # not a recipe of refilm
        if recipe_of_model(kept) != recipe:
            self.trained.mkdir(exist_ok=True)
            kept.unlink(missing_ok=True)
            _link(file, kept, str(file) if self.model.is_symlink() else None)

    def channels(self, recipe: Recipe) -> int | None:
        """base_channels of a training here whose recipe is this one but for them and the length: of that which the folder
        shows, or else the latest that is kept; None where there is none.

        It does not change while a model is trained with it, so that a plan and its jobs find the same.
        """
        kept = [self.model, *self.trained.glob("[!.]*.safetensors"), *self.state.glob("*/step-*.safetensors")]
        latest = sorted((file for file in kept if file.exists()), key=lambda file: file.stat().st_mtime, reverse=True)
        found = (recipe.channels_of(text) for text in (self._shown(), *map(recipe_of_model, latest)) if text)
        return next((channels for channels in found if channels), None)

    def _shown(self) -> str:
        """The recipe of the training that was started or linked last, as JSON; empty where there is none."""
        with suppress(OSError, ValueError):
            return (self.folder / layout.RECIPE).read_text(encoding="utf-8")
        return ""

    def restore(self, recipe: Training) -> None:
        """Link a missing model.safetensors to the model of the recipe, if that was trained, and those of early steps to what
        was kept."""
        if not self.model.exists() and (kept := self.find(recipe)):
            self.link(kept)
        for step, early in self.early_files(recipe.training_key()):
            if not self.early_link(step).exists():
                self.link(early, step)


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """(step, file) of the checkpoints in a recipe's folder of state/, latest first."""
    files = folder.iterdir() if folder.is_dir() else ()
    return sorted(((int(match[1]), file) for file in files if (match := _CHECKPOINT.fullmatch(file.name))), reverse=True)


def check_length(folder: Path, trained: int, total: int) -> None:
    """Raises RefilmError if a recipe was trained for more than `total` steps: the shorter training is not a part of the
    longer one. folder: that of its checkpoints."""
    if trained > total:
        raise RefilmError(
            f"{folder}: this model was trained for {trained} steps, and its recipe now has {total}: set {trained} or more, "
            "or delete this folder to train it from the beginning"
        )


def model_folders() -> Iterator[ModelFolder]:
    """All that are in the working directory, those of predictors after those of models."""
    for file in map(Path, (layout.MODEL, layout.PREDICTOR)):
        for folder in sorted(file.parent.parent.glob("*/")):
            yield ModelFolder(folder / file.name)


def _link(target: Path, link: Path, symbolic: str | None) -> None:
    """Make `link` a symbolic link with that text, or else a hard link to `target`, or else a copy of it."""
    if symbolic is not None:
        with suppress(OSError):
            link.symlink_to(symbolic)
            return
    link_or_copy(target, link)
