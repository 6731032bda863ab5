"""What all rules share: the checked configuration, where things are, and the functions that say what a rule needs.

No rules here. The configuration is checked before anything is planned; what is wrong with it is one line.
"""

import json
import shlex
import sys
from pathlib import Path

from snakemake.io import contains_wildcard
from snakemake.settings.types import DeploymentMethod

SCRIPTS = Path(workflow.basedir, "workflow", "scripts")
sys.path.insert(0, str(SCRIPTS))

from refilm.config.configuration import Config, reject_duplicate_keys
from refilm.core.errors import RefilmError, explain
from refilm.config.keys import SLUG
from refilm.config.recipe import parse_size, recipe_of_model
from refilm.sources.listing import (
    downloaded_file,
    image_files,
    images_digest,
    is_images,
    scheme_of,
)


def exit_on_error(function):
    """The function, whose RefilmError ends Snakemake with that one line, and not with a report about a rule."""

    def asked(*arguments):
        try:
            return function(*arguments)
        except RefilmError as error:
            print(f"refilm: {explain(error)}", file=sys.stderr)
            sys.exit(1)

    return asked


for file in workflow.configfiles:
    exit_on_error(reject_duplicate_keys)(file)

CONFIG = exit_on_error(Config)(config)


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


@exit_on_error
def get_source(wildcards):
    """The film file, or its images, or the file that an address is fetched into. What is missing is named, with where to
    put it; what lies under results/ is made by a rule.
    """
    name = film_of(wildcards)
    source = CONFIG.film(name).source
    if hasattr(wildcards, "size"):
        parse_size(wildcards.size, f"results/frames/{wildcards.size}")
    made = (
        getattr(wildcards, "size", None)
        and Path(f"results/frames/{wildcards.size}/{name}.h5").exists()
    )
    if is_images(source):
        images = image_files(source)
        if not images and not made:
            raise RefilmError(
                f"film '{name}' has no images: put them at {source}, or set films.{name}.source in config/config.yaml"
            )
        return [
            require_no_wildcards(image) for image in images
        ]  # a changed image makes the frames anew
    if scheme_of(source):
        check_download(name)
        return ancient(downloaded_file(name, source))
    if not (source.startswith("results/") or Path(source).exists() or made):
        raise RefilmError(
            f"film '{name}' is missing: put it at {source}, or set films.{name}.source in config/config.yaml"
        )
    return ancient(require_no_wildcards(source))


@exit_on_error
def get_previewed_source(wildcards):
    """The film file whose crop is previewed."""
    if wildcards.film in CONFIG.films_of_images():
        raise RefilmError(
            f"film '{wildcards.film}' is a folder of images: a preview of the crop is there for film files only"
        )
    return get_source(wildcards)


def check_download(film):
    """A film that was fetched with another SHA-256 than is wanted now is for the user to keep or to delete."""
    wanted = (CONFIG.film(film).sha256 or "").lower()
    path = Path(downloaded_file(film, CONFIG.film(film).source))
    record = path.with_name(f"{path.name}.json")
    if wanted and path.exists() and record.exists():
        found = json.loads(record.read_text(encoding="utf-8"))["sha256"]
        if found != wanted:
            raise RefilmError(
                f"{path}: its sha256 is {found}, and films.{film}.sha256 is {wanted}: correct that, or delete {path} to "
                "fetch the film anew"
            )


def require_no_wildcards(path):
    """A path as an input, which Snakemake reads as a pattern: it knows no way to say that {x} is part of a name."""
    if contains_wildcard(path):
        raise RefilmError(
            f"{path}: Snakemake takes a word in braces in a file's name for a wildcard: rename it"
        )
    return path


def film_of(wildcards):
    """The film of a result: the one that its name says, or the one that is compared."""
    if hasattr(wildcards, "comparison"):
        return CONFIG.comparison(wildcards.comparison).film
    return wildcards.film


@exit_on_error
def get_sound_source(wildcards):
    """The film file for its sound; none where the result is to be silent."""
    return get_source(wildcards) if CONFIG.has_sound(film_of(wildcards)) else []


def get_audio(wildcards):
    """Which soundtrack of the film is heard: for results, which it decides."""
    return str(CONFIG.film(film_of(wildcards)).audio)


def get_film_options(wildcards):
    """Options of extract_frames that decide its pixels, always in the same order."""
    return to_cli_options(CONFIG.film_pixels(wildcards.film))


def get_validation_options(wildcards, output):
    """What is asked of a film file before hours are spent on it. Asking for `output` keeps Snakemake from tracking it."""
    film = CONFIG.film(wildcards.film)
    checks = {"audio": film.audio} | ({"sha256": film.sha256} if film.sha256 else {})
    if scheme_of(film.source):
        checks.pop("sha256", None)  # was checked when it was fetched
    return to_cli_options(checks)


def get_image_options(wildcards):
    """Options of extract_images that decide its frames: which images there are, too."""
    images = image_files(CONFIG.film(wildcards.film).source)
    made = f"results/frames/{wildcards.size}/{wildcards.film}.h5"
    return to_cli_options(
        CONFIG.film_pixels(wildcards.film)
        | {
            "fps": CONFIG.film_rate(wildcards.film),
            "images": images_digest(images) if images else images_of_frames(made),
        }
    )


def images_of_frames(file):
    """The digest of the images that a frames file was made of, for images that were put away since."""
    from refilm.frames.store import (
        FrameStore,
    )  # only here, so that a plan need not load h5py

    with FrameStore(file) as frames:
        return frames.attributes["images"]


def get_source_spec(wildcards, output):
    """The address of a film, or the pattern of its images: untracked, since what moves is still the same film."""
    return CONFIG.film(wildcards.film).source


def get_download_checks(wildcards, output):
    film = CONFIG.film(wildcards.film)
    return to_cli_options({"sha256": film.sha256} if film.sha256 else {})


def to_cli_options(values):
    return [f"--{key}={value}" for key, value in sorted(values.items())]


def name_pattern(names):
    """A wildcard's constraint to these names; where there are none, to nothing."""
    return "|".join(names) or "(?!)"


def films_to_fetch():
    """The films that have an address and are not here yet."""
    addresses = {name: film.source for name, film in CONFIG.films.items()}
    return [
        name
        for name, address in addresses.items()
        if scheme_of(address) and not Path(downloaded_file(name, address)).exists()
    ]


@exit_on_error
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
        for film in CONFIG.model(wildcards.model).films
    ]


def get_recipe(wildcards):
    return CONFIG.recipe(wildcards.model).to_json()


def get_device(wildcards, output):
    """Asking for `output` keeps Snakemake from tracking the value: another device makes no work again."""
    return CONFIG.settings.device


def get_training_options(wildcards, output):
    """How train_model trains, and what else it writes; not tracked either: the model is the same."""
    options = [
        f"--gpus={CONFIG.settings.gpus}",
        f"--compile={str(CONFIG.settings.compile).lower()}",
    ]
    return options + (["--tensorboard"] if CONFIG.settings.tensorboard else [])


def get_hwaccel(wildcards, output):
    """Asking for `output` keeps it untracked: its frames are the CPU's."""
    return CONFIG.settings.hwaccel


@exit_on_error
def get_frames(wildcards):
    """The frames of a film at the size of the model that rebuilds it, or that are compared."""
    if hasattr(wildcards, "comparison"):
        comparison = CONFIG.comparison(wildcards.comparison)
        return frames_file(comparison.film, comparison.models[0])
    CONFIG.film(wildcards.film)
    return frames_file(wildcards.film, wildcards.model)


@exit_on_error
def get_reconstructions(wildcards):
    comparison = CONFIG.comparison(wildcards.comparison)
    return [reconstruction_file(comparison.film, model) for model in comparison.models]


def get_comparison_options(wildcards):
    """Options of render_comparison that decide what is shown: titles, the stretch of the film, the layout."""
    comparison = CONFIG.comparison(wildcards.comparison)
    title = CONFIG.film_title(comparison.film)
    by = [f"--by={CONFIG.model_title(model)}" for model in comparison.models]
    keys = ("start", "end", "layout", "height")
    shown = [
        f"--{key}={getattr(comparison, key)}"
        for key in keys
        if getattr(comparison, key) is not None
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
