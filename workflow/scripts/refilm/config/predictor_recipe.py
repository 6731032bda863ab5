"""The recipe of a predictor: everything that decides its weights, as one frozen object and one string."""

import dataclasses
import json
import math

from refilm.config.keys import PredictorKeys
from refilm.config.recipe import training_key_of, values_of_json
from refilm.core.errors import RefilmError

VERSION = 1  # counts changes of its layers and its losses

# The length of `steps: auto`: a film of ten minutes has so many steps, another one as the square root of its length.
_STEPS, _FRAMES, _LEAST_STEPS = 500, 14_400, 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictorRecipe(PredictorKeys):
    """The keys of predictor:, and what decides the latents that a predictor is trained on.

    model: the training of the model whose films these are, by its `training_key`, with @STEP where it is not its end. That
    says its films and which shots are held out. noise, search: as in reconstruction:.
    """

    model: str
    noise: float
    search: int
    version: int = VERSION

    # how it is trained, as the optimiser and the learning rate of a model have it
    learning_rate = 0.005
    warmup = 0.02
    lr_schedule = "cosine"
    beta2 = 0.99
    grad_clip = 5.0
    head_lr_scale = 1.0
    ema_decay = 0.999
    batch_size = 32  # windows of consecutive frames

    @classmethod
    def from_json(cls, text: str) -> "PredictorRecipe":
        """From `to_json`'s string. Raises RefilmError for unknown and missing keys, and for another version."""
        values = values_of_json(text, cls, "predictor recipe")
        if values["version"] != VERSION:
            raise RefilmError(
                f"predictor recipe: version {values['version']} is not supported, this refilm has {VERSION}: train the "
                "predictor again, or use the refilm that trained it"
            )
        return cls(**values)

    def to_json(self) -> str:
        """One canonical string: equal settings give equal strings."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    def training_key(self) -> str:
        """The name of a training, as `Recipe.training_key`."""
        return training_key_of(self.to_json())

    def state_key(self) -> str:
        """A short hash of all but the length of training, which may change without starting over."""
        return self.training_key().partition("-")[0]

    def total_steps(self, frames: int) -> int:
        """Steps of the whole training on so many frames."""
        if isinstance(self.steps, int):
            return self.steps
        return max(_LEAST_STEPS, math.ceil(_STEPS * math.sqrt(frames / _FRAMES)))
