"""A recipe: everything that decides the weights of a model, and nothing else, as one frozen object and one string."""

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from refilm.config.keys import AUTO_CHANNELS, TrainingKeys, defaults
from refilm.config.recipes import CLIP_KEYS, RECIPES, RecipeSpec
from refilm.core.errors import RefilmError, suggest

_LENGTH = ("epochs", "steps")
# Newer keys, with the values of a recipe that does not name them: recipes written before them stay the same.
_LATER_KEYS: dict[str, Any] = {
    "augment": 0.0,
    "augment_until": 0.9,
    "clips": 0.0,
    "clip_length": 2,
    "pair_weight": 0.05,
    "straighten_weight": 0.0,
    "discriminator_frames": 1,
    "cosines": "auto",
    "ssim_weight": 0.15,
    "adversarial_from": 0.3,
    "initial_model": None,
}
AUTO = "auto"
FULL_CHANNELS = AUTO_CHANNELS["cuda"]

# The length of `epochs: auto`: a feature film of so many frames, two hours at 24 frames/s, or a longer one is shown so many
# times. The epochs of a shorter one grow with this power of how many times it fits into the feature, but at least so many
# frames are shown.
_FEATURE_FRAMES, _FEATURE_EPOCHS = 168_480, 6
_SHORT_FILM_POWER = 0.43
_LEAST_SHOWN = 24_000


class Training(Protocol):
    """What decides the weights of something that is trained: a `Recipe`, or a `PredictorRecipe`."""

    @property
    def batch_size(self) -> int: ...

    @property
    def seed(self) -> int: ...

    @property
    def learning_rate(self) -> float: ...

    @property
    def warmup(self) -> float: ...

    @property
    def lr_schedule(self) -> str: ...

    @property
    def beta2(self) -> float: ...

    @property
    def grad_clip(self) -> float: ...

    @property
    def head_lr_scale(self) -> float: ...

    @property
    def ema_decay(self) -> float: ...

    def to_json(self) -> str: ...

    def training_key(self) -> str: ...

    def state_key(self) -> str: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe(TrainingKeys):
    """The settings of one model: the keys of training:, its films, and the version of its layers.

    base_channels is a number, whatever the key says, since it decides the weights. architecture_version is that of the
    recipe's layers, from the registry; it is not a key.
    initial_model is here the training of that model, by its `training_key`, with @STEP where it is not its end.
    films maps each film's name to what decides which of its pixels are used (start, end, crop, fit), so that a film
    file that is moved, or gets another title, is still the same recipe.
    """

    base_channels: int
    architecture_version: int
    films: dict[str, dict[str, str]]

    def __post_init__(self) -> None:
        parse_size(self.frame_size, "frame_size", self.spec.size_multiple)
        if (self.epochs is None) == (self.steps is None):
            raise RefilmError("recipe: either epochs or steps must be given")
        if isinstance(self.epochs, str) and self.epochs != AUTO:
            raise RefilmError(f"recipe: epochs: {self.epochs!r} is neither a number nor {AUTO}")
        for key, (value, reason) in self.spec.invalid.items():
            if getattr(self, key) == value:
                raise RefilmError(f"recipe: {key}: {value} is invalid: {reason}")
        if self.cosines != AUTO and int(self.cosines) > self.latent_dim:
            raise RefilmError(f"recipe: cosines: {self.cosines} exceeds latent_dim {self.latent_dim}")
        if self.discriminator_frames > 1 and (self.clips != 1 or self.batch_size % self.clip_length):
            raise RefilmError(
                f"recipe: discriminator_frames: {self.discriminator_frames} needs clips: 1, and a batch_size that is a "
                f"multiple of clip_length {self.clip_length}"
            )
        if self.discriminator_frames > self.clip_length:
            raise RefilmError(
                f"recipe: discriminator_frames: {self.discriminator_frames} exceeds clip_length {self.clip_length}"
            )
        if self.straighten_weight and self.clip_length < 3:
            raise RefilmError("recipe: straighten_weight: a clip of two frames has no turns: set clip_length to 3 or more")
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
    def from_settings(
        cls,
        settings: Mapping[str, Any],
        films: dict[str, dict[str, str]],
        auto_channels: Callable[["Recipe"], int] = lambda _recipe: FULL_CHANNELS,
    ) -> "Recipe":
        """From the keys that are given, completed by the defaults of that recipe; steps take precedence over epochs.

        Keys without an effect have their defaults, so that they make no difference. auto_channels: from the recipe of the
        full network to what `base_channels: auto` is for it. Raises RefilmError.
        """
        usual = defaults(TrainingKeys)
        spec = RECIPES[settings.get("recipe", usual["recipe"])]
        # the linear code of a model that starts from another is the other's
        unused = {*spec.unused} | ({"cosines"} if settings.get("initial_model") else set())
        unused |= CLIP_KEYS if not settings.get("clips") else set()
        values = {**usual, **spec.defaults, **settings, **{key: usual[key] for key in unused}}
        if values["steps"] is not None:
            values["epochs"] = None
        is_auto = values["base_channels"] == AUTO
        values |= {"architecture_version": spec.version, "films": films} | (
            {"base_channels": FULL_CHANNELS} if is_auto else {}
        )
        recipe = cls.from_json(json.dumps(values))
        return dataclasses.replace(recipe, base_channels=auto_channels(recipe)) if is_auto else recipe

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """From `to_json`'s string. Raises RefilmError for unknown and missing keys."""
        values = values_of_json(text, cls, "recipe", {"architecture_version": 1} | _LATER_KEYS)
        if values["recipe"] not in RECIPES:
            raise RefilmError(f"recipe: unknown recipe {values['recipe']!r}{suggest(str(values['recipe']), RECIPES)}")
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

    def channels_of(self, recipe: str) -> int | None:
        """base_channels of a recipe as JSON that differs from this one in that and in its length at most; else None."""
        try:
            values = json.loads(recipe)
            channels = int(values["base_channels"])
            same = _state_key(values) == dataclasses.replace(self, base_channels=channels).state_key()
        except (ValueError, KeyError, TypeError, AttributeError):
            return None  # not a recipe of refilm
        return channels if same else None

    def training_key(self) -> str:
        """The name of a training: the recipe's short hash and the length, '1f0c63a4e2d1-auto-epochs'."""
        return training_key_of(self.to_json())

    def total_steps(self, frames: int) -> int:
        """Steps of the whole training on so many frames; an epoch shows each frame once."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None, "one of the two is given: __post_init__"
        shown = auto_shown(frames) if isinstance(self.epochs, str) else self.epochs * frames
        return math.ceil(shown / self.batch_size)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of a frame in pixels."""
        return parse_size(self.frame_size, "frame_size", self.spec.size_multiple)


def auto_shown(frames: int) -> float:
    """How many frames a training of `epochs: auto` shows in all, when it has so many.

    Continuous and increasing: more frames never mean fewer steps. A short film is shown more often than a long one, since
    the same few epochs would end its training before it has learnt much.
    """
    shorter = max(1.0, _FEATURE_FRAMES / max(1, frames))
    return max(_LEAST_SHOWN, _FEATURE_EPOCHS * frames * math.pow(shorter, _SHORT_FILM_POWER))


def values_of_json(text: str, recipe: type, name: str, usual: Mapping[str, object] = MappingProxyType({})) -> dict[str, Any]:
    """The fields of a dataclass from JSON; `usual` are those of keys that older files do not have.

    name: for messages. Raises RefilmError for unknown and missing keys.
    """
    try:
        values: dict[str, Any] = dict(usual) | json.loads(text)
    except ValueError as error:
        raise RefilmError(f"{name}: not valid JSON: {error}") from error
    fields = {field.name for field in dataclasses.fields(recipe)}
    for key in values:
        if key not in fields:
            raise RefilmError(f"{name}: unknown key '{key}'{suggest(key, fields)}")
    if missing := fields - values.keys():
        raise RefilmError(f"{name}: missing {', '.join(sorted(missing))}")
    return values


def training_key_of(recipe: str) -> str:
    """`Recipe.training_key` of a recipe as JSON, which may be one that this version of refilm cannot train."""
    values = json.loads(recipe)
    unit = "epochs" if values.get("steps") is None else "steps"
    length = AUTO if values[unit] == AUTO else f"{values[unit]:.12g}"
    return f"{_state_key(values)}-{length}-{unit}"


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
    return int(value) if kind in (int, int | None, int | str) else float(value)


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
