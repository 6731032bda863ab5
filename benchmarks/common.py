"""What the benchmarks share: a recipe, and a clock."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from refilm.settings.config import Config
from refilm.settings.recipe import Recipe

SCHEMA = Path(__file__).parent.parent / "workflow" / "schemas" / "config.schema.yaml"


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def recipe(**values) -> Recipe:
    """The defaults of the schema, with what a benchmark sets."""
    config = Config({"films": {"film": {"source": "film"}}, "models": {"model": {"films": ["film"]}}}, SCHEMA)
    return Recipe.from_json(json.dumps(json.loads(config.recipe("model").to_json()) | values))
