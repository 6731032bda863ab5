"""A recipe: everything that decides the weights of a model, and nothing else, as one frozen object and one string."""

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refilm.config.keys import TrainingKeys, defaults
from refilm.config.recipes import RECIPES, RecipeSpec
from refilm.core.errors import RefilmError, suggest

_LENGTH = ("epochs", "steps")
# Newer keys, with the values of a recipe that does not name them: recipes written before them stay the same.
_LATER_KEYS: dict[str, Any] = {"initial_model": None}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe(TrainingKeys):
    """The settings of one model: the keys of training:, its films, and the version of its layers.

    architecture_version is that of the recipe's layers, from the registry; it is not a key.
    initial_model is here the training of that model, by its `training_key`, with @STEP where it is not its end.
    films maps each film's name to what decides which of its pixels are used (start, end, crop, fit), so that a film
    file that is moved, or gets another title, is still the same recipe.
    """

    architecture_version: int
    films: dict[str, dict[str, str]]

    def __post_init__(self) -> None:
        parse_size(self.frame_size, "frame_size", self.spec.size_multiple)
        if (self.epochs is None) == (self.steps is None):
            raise RefilmError("recipe: either epochs or steps must be given")
        for key, (value, reason) in self.spec.invalid.items():
            if getattr(self, key) == value:
                raise RefilmError(f"recipe: {key}: {value} is invalid: {reason}")
        if self.architecture_version != self.spec.version:
            raise RefilmError(
                f"recipe: architecture_version {self.architecture_version} is not supported, this refilm has "
                f"{self.spec.version}: train the model again, or use the refilm that trained it"
            )

    @property
    def spec(self) -> RecipeSpec:
        """Its entry in the registry."""
        return RECIPES[self.recipe]

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], films: dict[str, dict[str, str]]) -> "Recipe":
        """From the keys that are given, completed by the defaults of that recipe; steps take precedence over epochs.

        Keys without an effect have their defaults, so that they make no difference. Raises RefilmError.
        """
        usual = defaults(TrainingKeys)
        spec = RECIPES[settings.get("recipe", usual["recipe"])]
        values = {**usual, **spec.defaults, **settings, **{key: usual[key] for key in spec.unused}}
        if values["steps"] is not None:
            values["epochs"] = None
        return cls.from_json(json.dumps(values | {"architecture_version": spec.version, "films": films}))

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """From `to_json`'s string. Raises RefilmError for unknown and missing keys."""
        try:
            values = json.loads(text)
        except ValueError as error:
            raise RefilmError(f"recipe: not valid JSON: {error}") from error
        fields = {field.name for field in dataclasses.fields(cls)}
        if (name := values.get("recipe")) not in RECIPES:
            raise RefilmError(f"recipe: unknown recipe {name!r}{suggest(str(name), RECIPES)}")
        values = {"architecture_version": 1} | _LATER_KEYS | values
        for key in values:
            if key not in fields:
                raise RefilmError(f"recipe: unknown key '{key}'{suggest(key, fields)}")
        if missing := fields - values.keys():
            raise RefilmError(f"recipe: missing {', '.join(sorted(missing))}")
        return cls(**{field.name: _coerce(field.type, values[field.name]) for field in dataclasses.fields(cls)})

    def to_json(self) -> str:
        """One canonical string: equal settings give equal strings, in whatever order they were written."""
        return self._json

    @functools.cached_property
    def _json(self) -> str:
        # a plan asks for it several times per job
        values = {
            key: value
            for key, value in dataclasses.asdict(self).items()
            if key not in _LATER_KEYS or value != _LATER_KEYS[key]
        }
        return json.dumps(values, sort_keys=True, separators=(",", ":"))

    def state_key(self) -> str:
        """A short hash of all but the length of training, which may change without starting over."""
        return _state_key(json.loads(self.to_json()))

    def training_key(self) -> str:
        """The name of a training: the recipe's short hash and the length, '1f0c63a4e2d1-6-epochs'."""
        return training_key_of(self.to_json())

    def total_steps(self, frames: int) -> int:
        """Steps of the whole training on so many frames; an epoch shows each frame once."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None, "one of the two is given: __post_init__"
        return math.ceil(self.epochs * frames / self.batch_size)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of a frame in pixels."""
        return parse_size(self.frame_size, "frame_size", self.spec.size_multiple)


def training_key_of(recipe: str) -> str:
    """`Recipe.training_key` of a recipe as JSON, which may be one that this version of refilm cannot train."""
    values = json.loads(recipe)
    unit = "epochs" if values.get("steps") is None else "steps"
    return f"{_state_key(values)}-{values[unit]:.12g}-{unit}"


def _state_key(values: dict[str, Any]) -> str:
    values = {key: value for key, value in values.items() if key not in _LENGTH}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def recipe_of_model(path: Path | str) -> str | None:
    """The recipe in a model file's metadata, as `to_json` wrote it, or None where there is none."""
    return metadata_of_model(path).get("recipe")


def metadata_of_model(path: Path | str) -> dict[str, str]:
    """The metadata of a model file or a checkpoint; empty if it is not one.

    Reads the head of the file with the standard library alone, so that a plan does not import torch.
    """
    try:
        with open(path, "rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return dict(header["__metadata__"])
    except (OSError, ValueError, KeyError, OverflowError, MemoryError):
        return {}


def _coerce(kind: Any, value: Any) -> Any:
    """A value as the one type that its field has, so that 1 and 1.0 are the same recipe."""
    if value is None or isinstance(value, (str, dict)):
        return value
    if isinstance(value, list):
        return tuple(value)
    return int(value) if kind in (int, int | None) else float(value)


def parse_size(text: str, key: str, multiple: int = 16) -> tuple[int, int]:
    """(width, height) in pixels from '256x144'. Raises RefilmError unless both are multiples of `multiple`."""
    width, _, height = str(text).partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise RefilmError(f"{key}: {text!r} is not a valid frame size: write WIDTHxHEIGHT, such as 256x144")
    nearest = [max(multiple, round(int(side) / multiple) * multiple) for side in (width, height)]
    if nearest != [int(width), int(height)]:
        raise RefilmError(
            f"{key}: {text} is not a valid frame size: width and height must be multiples of {multiple}; the nearest is "
            f"{nearest[0]}x{nearest[1]}"
        )
    return int(width), int(height)
