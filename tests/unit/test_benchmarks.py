"""What the benchmarks stand on, in tiny: the figures themselves are made by `make bench`."""

import json
import subprocess
import sys

import pytest
import yaml

from benchmarks.common import default_recipe
from tests.conftest import ROOT, SCHEMA, config

BARE = ["yaml", "jsonschema", "ffmpeg", "imageio_ffmpeg", "snakemake"]  # what a bare GPU machine does not have


def test_the_benchmarks_defaults_are_those_of_the_schema():
    keys = yaml.safe_load(SCHEMA.read_text())["$defs"]["training"]["properties"]
    written = json.loads((ROOT / "benchmarks" / "recipe_defaults.json").read_text())
    assert written == {key: value["default"] for key, value in keys.items()}


@pytest.mark.parametrize("training", [{}, {"steps": 5, "width": 8}, {"epochs": 2, "seed": 3}, {"recipe": "vae"}])
def test_a_benchmarks_recipe_is_what_the_configuration_makes_of_it(training):
    films = {"film": {"source": "film"}}
    made = config(films=films, models={"model": {"films": ["film"], **training}}).recipe("model")
    assert default_recipe(**training) == made


def test_a_recipe_needs_no_more_than_a_bare_machine_has():
    code = f"""
import sys
sys.modules.update(dict.fromkeys({BARE}))  # importing any of them raises ImportError
from benchmarks.common import default_recipe
import refilm.training.loop
print(default_recipe(width=8).width)
"""
    paths = f"{ROOT / 'workflow' / 'scripts'}:{ROOT}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": paths})
    assert done.stdout.strip() == "8", done.stderr
