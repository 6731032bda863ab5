"""The recipe of the benchmarks: the defaults of the schema, with what a benchmark sets."""

import json
from pathlib import Path

from refilm.settings.config import Config
from refilm.settings.recipe import Recipe

SCHEMA = Path(__file__).parent.parent / "workflow" / "schemas" / "config.schema.yaml"


def recipe(**values) -> Recipe:
    config = Config({"films": {"film": {"source": "film"}}, "models": {"model": {"films": ["film"]}}}, SCHEMA)
    return Recipe.from_json(json.dumps(json.loads(config.recipe("model").to_json()) | values))
