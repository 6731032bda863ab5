"""What belongs to a model that is shared between projects by --cache: its checkpoint, early models, log and previews.

Snakemake shares the model alone: in another project model.safetensors becomes a link into the cache. With the rest, which is
kept beside it there, that project can prolong the training and show it as a film.

{cache}/refilm/{sha256 of the model}/    the same files as in the folder of a model
"""

import os
from collections.abc import Iterator
from pathlib import Path

from refilm import layout
from refilm.config.model_folder import ModelFolder, checkpoints
from refilm.config.recipe import Recipe, recipe_of_model, training_key_of
from refilm.core.files import link_or_copy, sha256_of

_SHARED = "refilm"


def share_training(folder: ModelFolder, recipe: Recipe) -> None:
    """Put what belongs to a model that was trained into the cache of this run; nothing without --cache."""
    cache = os.environ.get("SNAKEMAKE_OUTPUT_CACHE", "")
    if os.environ.get("REFILM_CACHED") and Path(cache).is_dir():
        shared = Path(cache, _SHARED, sha256_of(folder.file(recipe)))
        for file, name in _belonging(folder, recipe):
            link_or_copy(file, shared / name)


def fetch_training(folder: ModelFolder, recipe: Recipe) -> None:
    """Take what belongs to the models of this recipe, of any length, that came from a cache; nothing where it is there."""
    if checkpoints(folder.state / recipe.state_key()):
        return
    for model in _cached_models(folder, recipe.state_key()):
        shared = model.parent / _SHARED
        found = shared / sha256_of(model) if shared.is_dir() else shared
        for file in found.rglob("*"):
            if file.is_file():
                link_or_copy(file, folder.folder / file.relative_to(found))


def _belonging(folder: ModelFolder, recipe: Recipe) -> Iterator[tuple[Path, Path]]:
    """(file, name in the folder of another model) of what belongs to a model. Its previews are there as those of a recipe
    that is not in use."""
    key, previews = recipe.state_key(), folder.folder / layout.PREVIEWS
    state = folder.state / key
    logs = [state / layout.TRAINING_LOG, folder.log(recipe)]
    early = [file for _step, file in folder.early_files(recipe.training_key())]
    for file in [*(checkpoint for _step, checkpoint in checkpoints(state)[:1]), *early, *logs]:
        yield file, file.relative_to(folder.folder)
    for file in previews.glob("step-*.png"):
        yield file, Path(layout.PREVIEWS, key, file.name)


def _cached_models(folder: ModelFolder, key: str) -> set[Path]:
    """The models of a recipe that are links to a file elsewhere."""
    models = [folder.model, *folder.trained.glob("*.safetensors")]
    files = {model.resolve() for model in models if model.parent != folder.trained or model.name.startswith(key)}
    return {file for file in files if file.parent != folder.trained.resolve() and _is_of(file, key)}


def _is_of(model: Path, key: str) -> bool:
    recipe = recipe_of_model(model)
    return recipe is not None and training_key_of(recipe).startswith(f"{key}-")
