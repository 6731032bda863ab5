"""A recipe: everything that decides the weights of a model, and nothing else, as one frozen object and one string."""

import dataclasses
import hashlib
import json
import math
from pathlib import Path

from refilm.config.recipes import RECIPES, RecipeSpec
from refilm.core.errors import RefilmError, suggest

_LENGTH = ("epochs", "steps")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of one model. Every key's meaning and default: workflow/schemas/config.schema.yaml.

    architecture_version is that of the recipe's layers, from the registry; nobody sets it.
    films maps each film's name to what decides which of its pixels are seen (start, end, crop, fit), so that a film
    file that moves on the disk, or gets another title, is still the same recipe.
    """

    recipe: str
    frame_size: str
    latent_dim: int
    base_channels: int
    batch_size: int
    epochs: float | None
    steps: int | None
    learning_rate: float
    warmup: float
    lr_schedule: str
    beta2: float
    grad_clip: float
    noise: float
    kl_weight: float
    pixel_weight: float
    similarity_layers: tuple[int, ...]
    gamma: float | str
    adversarial_ratio: float
    discriminator_lr_scale: float
    head_lr_scale: float
    equilibrium: float | None
    equilibrium_margin: float
    ema_decay: float
    precision: str
    seed: int
    film_weighting: str
    holdout_fraction: float
    architecture_version: int
    films: dict[str, dict]

    def __post_init__(self):
        parse_size(self.frame_size, "frame_size", self.spec.size_multiple)
        if (self.epochs is None) == (self.steps is None):
            raise RefilmError("a recipe has either epochs or steps, to say how long it trains")
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
        """What the registry says of it."""
        return RECIPES[self.recipe]

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """From `to_json`'s string. Raises RefilmError for unknown and missing keys."""
        try:
            values = json.loads(text)
        except ValueError as error:
            raise RefilmError(f"recipe: not JSON: {error}") from error
        fields = {field.name for field in dataclasses.fields(cls)}
        if (name := values.get("recipe")) not in RECIPES:
            raise RefilmError(f"recipe: unknown recipe {name!r}{suggest(str(name), RECIPES)}")
        values.setdefault("architecture_version", 1)
        for key in values:
            if key not in fields:
                raise RefilmError(f"recipe: unknown key '{key}'{suggest(key, fields)}")
        if missing := fields - values.keys():
            raise RefilmError(f"recipe: missing {', '.join(sorted(missing))}")
        return cls(**{field.name: _coerce(field.type, values[field.name]) for field in dataclasses.fields(cls)})

    def to_json(self) -> str:
        """One canonical string: the same settings give the same characters, in whatever order they were written."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    def state_key(self) -> str:
        """A short hash of all but the length of training: a run may be prolonged, but not continued as another."""
        values = {key: value for key, value in json.loads(self.to_json()).items() if key not in _LENGTH}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]

    def total_steps(self, frames: int) -> int:
        """Steps of the whole training on so many frames; an epoch shows each frame once."""
        return self.steps if self.steps is not None else math.ceil(self.epochs * frames / self.batch_size)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of a frame in pixels."""
        return parse_size(self.frame_size, "frame_size", self.spec.size_multiple)


def recipe_of_model(path: Path | str) -> str | None:
    """The recipe in a model file's metadata, as `to_json` wrote it, or None if there is no such file or no recipe."""
    return metadata_of_model(path).get("recipe")


def metadata_of_model(path: Path | str) -> dict[str, str]:
    """What a model file says of itself; nothing if it is none.

    Reads the head of the file with nothing but the standard library, so that a plan costs no import of torch.
    """
    try:
        with open(path, "rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return header["__metadata__"]
    except (OSError, ValueError, KeyError, OverflowError, MemoryError):
        return {}


def _coerce(kind, value):
    """YAML's 1, 1.0 and true-to-size lists as the one type that the field has, so that spelling is no difference."""
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
