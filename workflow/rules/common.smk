"""What all rules share: the checked configuration, where things are, and the functions that say what a rule needs.

No rules here. The configuration is checked before anything is planned; what is wrong with it is one line.
"""

import shlex
import sys
from pathlib import Path

from snakemake.settings.types import DeploymentMethod

SCRIPTS = Path(workflow.basedir, "workflow", "scripts")
sys.path.insert(0, str(SCRIPTS))

from refilm.settings.config import SLUG, Config
from refilm.settings.errors import RefilmError
from refilm.settings.recipe import parse_size, recipe_of_model


def plainly(function):
    """The function, whose RefilmError ends Snakemake with that one line, and not with a report about a rule."""

    def asked(*arguments):
        try:
            return function(*arguments)
        except RefilmError as error:
            print(f"refilm: {error}", file=sys.stderr)
            sys.exit(1)

    return asked


CONFIG = plainly(Config)(
    config, Path(workflow.basedir, "workflow", "schemas", "config.schema.yaml")
)


wildcard_constraints:
    film=SLUG,
    model=SLUG,
    comparison=SLUG,
    size="[0-9]+x[0-9]+",


# Every step is `python -m refilm.<rule>`: a change of code never retrains a model. A prefix replaces Snakemake's strict
# mode, so it is repeated. Outside conda the Python is the one that Snakemake runs on, activated or not. What a step says
# goes to the terminal and to its log, through a tee that outlives the signals by which a training is told to stop: it
# still has to be heard while it keeps its state.
in_conda = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
shell.prefix(
    "set -euo pipefail; "
    "export PYTHONPATH={}; ".format(shlex.quote(str(SCRIPTS)))
    + (
        ""
        if in_conda
        else "export PATH={}:$PATH; ".format(
            shlex.quote(str(Path(sys.executable).parent))
        )
    )
    + "keep_log() {{ (trap '' INT TERM; exec tee -- \"$1\"); }}; "
)


def frames_file(film, model):
    return "results/frames/{}/{}.h5".format(CONFIG.recipe(model).frame_size, film)


def reconstruction_file(film, model):
    return "results/reconstructions/{}_by_{}.h5".format(film, model)


@plainly
def get_source(wildcards):
    """The film file. One that is missing is named, with where to put it; one under results/ is made by a rule."""
    name = (
        comparison_film(wildcards)
        if hasattr(wildcards, "comparison")
        else wildcards.film
    )
    source = str(Path(CONFIG.film(name)["source"]).expanduser())
    if hasattr(wildcards, "size"):
        parse_size(wildcards.size, f"results/frames/{wildcards.size}")
    made = (
        getattr(wildcards, "size", None)
        and Path(f"results/frames/{wildcards.size}/{name}.h5").exists()
    )
    if not (source.startswith("results/") or Path(source).exists() or made):
        raise RefilmError(
            f"film '{name}' is missing: put it at {source}, or set films.{name}.source in config/config.yaml"
        )
    return ancient(source.replace("{", "{{").replace("}", "}}"))


def comparison_film(wildcards):
    return CONFIG.comparison(wildcards.comparison)["film"]


def get_film_options(wildcards):
    """Options of extract_frames that decide its pixels, always in the same order."""
    return [
        f"--{key}={value}"
        for key, value in sorted(CONFIG.film_pixels(wildcards.film).items())
    ]


@plainly
def get_training_frames(wildcards):
    """The frames of the model's films; none where the model is there and its recipe is the one that is wanted. So
    frames may be deleted, and films put away, once a model has watched them, and nothing but its recipe retrains it.
    """
    if recipe_of_model(
        f"results/models/{wildcards.model}/model.safetensors"
    ) == get_recipe(wildcards):
        return []
    return [
        frames_file(film, wildcards.model)
        for film in CONFIG.model(wildcards.model)["films"]
    ]


def get_recipe(wildcards):
    return CONFIG.recipe(wildcards.model).to_json()


def get_device(wildcards, output):
    """Asking for `output` keeps Snakemake from tracking the value: another device makes no work again."""
    return CONFIG.device


def get_hwaccel(wildcards, output):
    """Asking for `output` keeps it untracked: its frames are the CPU's."""
    return CONFIG.hwaccel


@plainly
def get_frames(wildcards):
    """The frames of a film at the size of the model that rebuilds it, or that are compared."""
    if hasattr(wildcards, "comparison"):
        comparison = CONFIG.comparison(wildcards.comparison)
        return frames_file(comparison["film"], comparison["models"][0])
    CONFIG.film(wildcards.film)
    return frames_file(wildcards.film, wildcards.model)


@plainly
def get_compared(wildcards):
    comparison = CONFIG.comparison(wildcards.comparison)
    return [
        reconstruction_file(comparison["film"], model) for model in comparison["models"]
    ]


def get_comparison_options(wildcards):
    """Options of render_comparison that decide what is shown: titles, the stretch of the film, the layout."""
    comparison = CONFIG.comparison(wildcards.comparison)
    title = CONFIG.film_title(comparison["film"])
    by = [f"--by={CONFIG.model_title(model)}" for model in comparison["models"]]
    keys = ("start", "end", "layout", "height")
    shown = [
        f"--{key}={comparison[key]}" for key in keys if comparison.get(key) is not None
    ]
    return [f"--title={title}", *by, *shown]


def get_final_output():
    """All that the configuration lists."""
    pairs = CONFIG.reconstructions
    return (
        [f"results/{pair}.mp4" for pair in pairs]
        + [f"results/stills/{pair}.png" for pair in pairs]
        + [f"results/comparisons/{name}.mp4" for name in CONFIG.comparisons]
    )
