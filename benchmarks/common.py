"""What the benchmarks share: a recipe, and a clock."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from refilm.settings.recipe import Recipe

# The defaults of the schema as plain JSON, so that a benchmark needs neither YAML nor a validator; a test holds them equal.
_DEFAULTS = Path(__file__).with_name("recipe_defaults.json")


def default_recipe(**values) -> Recipe:
    """The recipe of a model of one film with nothing set but what a benchmark sets; `steps` takes the place of epochs."""
    settings = json.loads(_DEFAULTS.read_text(encoding="utf-8")) | {"films": {"film": {"crop": "auto", "fit": "crop"}}}
    if values.get("steps") is not None:
        settings["epochs"] = None
    return Recipe.from_json(json.dumps(settings | values))


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
