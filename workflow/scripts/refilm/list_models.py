"""List every trained model and predictor, and every state that is kept, with size and recipe; delete those that are named.

python -m refilm.list_models
python -m refilm.list_models --remove bikes/1f0c63a4e2d1-6-epochs bikes/state/1f0c63a4e2d1
"""

import argparse
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from refilm import layout
from refilm.config.keys import TrainingKeys, defaults
from refilm.config.model_folder import ModelFolder, checkpoints, model_folders
from refilm.config.recipe import metadata_of_model
from refilm.config.recipes import RECIPES
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError, suggest
from refilm.core.files import describe_bytes, try_lock

_PREDICTORS = Path(layout.PREDICTOR).parent.parent.name
_SHOWN_APART = {"recipe", "films", "epochs", "steps", "architecture_version"}


@dataclass(frozen=True)
class Kept:
    """A trained model, or the checkpoints of a recipe. path: a file or a folder; example: a file with the metadata."""

    name: str
    folder: ModelFolder
    path: Path
    example: Path
    step: str

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        files = self.path.iterdir() if self.path.is_dir() else (self.path,)
        return sum(file.stat().st_size for file in files)

    @property
    def in_use(self) -> bool:
        """Whether model.safetensors, or that of an early step, is this one."""
        return bool(self.links)

    @property
    def links(self) -> list[Path]:
        """The links to it from the folder of the model."""
        return [link for link in self.folder.links() if link.exists() and link.samefile(self.path)]

    @property
    def recipe(self) -> str:
        """'larsen2015 of bikes, gamma 2': the recipe, its films, and the settings that are not its defaults."""
        values = json.loads(metadata_of_model(self.example).get("recipe", "{}"))
        if self.folder.is_predictor:
            return f"predictor of {values.get('model', 'unknown')}, seed {values.get('seed')}"
        usual = defaults(TrainingKeys) | (RECIPES[values["recipe"]].defaults if values.get("recipe") in RECIPES else {})
        own = [f"{key} {_text(value)}" for key, value in sorted(values.items()) if _differs(key, value, usual)]
        return ", ".join([f"{values.get('recipe', 'unknown')} of {' and '.join(values.get('films', {}))}", *own])


def main(args: argparse.Namespace) -> None:
    kept = {entry.name: entry for folder in model_folders() for entry in _kept(folder)}
    for name in args.remove:
        if name not in kept:
            raise RefilmError(f"{name}: there is no such model or state{suggest(name, kept)}")
    for name in args.remove:
        _remove(kept[name])
    if not args.remove:
        _print_table(list(kept.values()))


def _kept(folder: ModelFolder) -> Iterator[Kept]:
    model = f"{_PREDICTORS}/{folder.folder.name}" if folder.is_predictor else folder.folder.name
    folder.keep()
    for file in sorted(folder.trained.glob("[!.]*.safetensors")):
        yield Kept(f"{model}/{file.stem}", folder, file, file, metadata_of_model(file).get("steps", "?"))
    for state in sorted(folder.state.glob("*/")):
        for step, checkpoint in checkpoints(state)[:1]:
            yield Kept(f"{model}/state/{state.name}", folder, state, checkpoint, str(step))


def _remove(kept: Kept) -> None:
    """Delete it, and the links to it."""
    _check_not_training(kept)
    for link in kept.links:
        link.unlink()
        print(f"{link}: deleted")
    if kept.path.is_dir():
        shutil.rmtree(kept.path)
    else:
        kept.path.with_suffix(".csv").unlink(missing_ok=True)
        kept.path.unlink()
    print(f"{kept.path}: deleted")


def _check_not_training(kept: Kept) -> None:
    path = kept.folder.state / layout.LOCK
    if kept.path.is_dir() and path.exists():
        with open(path) as lock:
            if not try_lock(lock):
                raise RefilmError(f"{kept.path}: {lock.read()} is training this model: stop it first")


def _print_table(kept: list[Kept]) -> None:
    rows = [(entry.name, describe_bytes(entry.size), f"{int(entry.step):,}", _use(entry), entry.recipe) for entry in kept]
    header = ("name", "size", "steps", "", "recipe")
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(4)]
    for name, size, steps, use, recipe in [header, *rows]:
        left = f"{name:<{widths[0]}}  {size:>{widths[1]}}  {steps:>{widths[2]}}  {use:<{widths[3]}}"
        print(f"{left}  {recipe}")
    print(f"{describe_bytes(sum(entry.size for entry in kept))} in all; to delete: make models REMOVE='NAME …'")


def _use(kept: Kept) -> str:
    return "checkpoints" if kept.path.is_dir() else "in use" if kept.in_use else "kept"


def _differs(key: str, value: object, usual: dict[str, object]) -> bool:
    return key not in _SHOWN_APART and _text(value) != _text(usual.get(key))


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else json.dumps(value).strip('"')


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--remove", nargs="*", default=[], metavar="NAME", help="names of the list to delete")
    run_command(main, parser)
