"""Where results lie: every path pattern, and the catalogue of what a configuration makes.

The rules, the planner and the commands read it, so a path is written once. {film}, {model}, {comparison}, {export} and so on
are names without an underscore: `{film}_by_{model}` reads one way only. Where a model reconstructs or makes samples, {model}
may be MODEL@STEP: what it was after so many steps.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from refilm.core import job_status

PAIR = "{film}_by_{model}"

DOWNLOAD = "films/downloads/{film}{suffix}"
DOWNLOAD_RECORD = f"{DOWNLOAD}.json"  # the address, size and SHA-256 of a film that was fetched
FRAMES = "results/frames/{size}/{film}.h5"
LATENTS_INDEX = "results/latents/own/{name}.json"  # the digest of a latents file of the user's, with its size and time
IMAGES_INDEX = "results/frames/images/{film}.json"  # the digest of each image of a film, with its size and time
FILM_INDEX = "results/frames/films/{film}.json"  # the SHA-256 of a film file, with its size and time
LATENTS = f"results/latents/{PAIR}.h5"
MODEL = "results/models/{model}/model.safetensors"  # a link to a file of its trained/
EARLY_MODEL = "results/models/{model}/model@{step}.safetensors"  # the same, of what it was after so many steps

VIDEO = f"results/{PAIR}.mp4"
STILLS = f"results/stills/{PAIR}.png"
ORDERED_STILLS = f"results/stills/{PAIR}_{{order}}.png"  # a sheet of a frame of each shot, or of the best or worst shots
ORDERS = ("shots", "best", "worst")
MOMENT = f"results/stills/{PAIR}@{{moment}}.png"  # the frame at HH-MM-SS, or HH-MM-SS.mmm
CLIP = f"results/clips/{PAIR}@{{start}}_to_{{end}}.{{suffix}}"  # a GIF or WebP of the frames between two such moments
METRICS = f"results/metrics/{PAIR}.csv"
COMPARISON = "results/comparisons/{comparison}.mp4"
POSTER = "results/posters/{poster}.png"
POSTER_PAGE = "results/posters/{poster}.pdf"
EXPORT_FILE = "results/exports/{export}.{suffix}"
EXPORT_FOLDER = "results/exports/{export}"  # of images, or of a file for each screen
EXPORT_SUFFIXES = {"h264": "mp4", "hevc": "mp4", "prores": "mov", "ffv1": "mkv", "png": ""}  # by codec
CRF_CODECS = ("h264", "hevc")  # those whose quality is the key `crf`
WALK = "results/walks/{walk}.mp4"
BEND = "results/bent/{bend}.mp4"
PREDICTOR = "results/predictors/{model}/predictor.safetensors"  # a link to a file of its trained/
DREAM = "results/dreams/{dream}.mp4"
CROP_PREVIEW = "results/stills/{film}_crop.png"
SHOTS = "results/shots/{film}.csv"
TRAINING_FILM = "results/models/{model}/training.mp4"
NETWORK = "results/models/{model}/network.html"  # the network in pictures
NETWORK_AT = "results/models/{model}/network@{moment}.html"  # the same, of the frame at that time
FINDINGS = "results/findings/{model}.html"  # what the text of 2016 says, measured
FINDINGS_TABLE = "results/findings/{model}.md"  # the same as Markdown
SAMPLES = "results/samples/{model}.png"
DRIFT = "results/samples/{model}.mp4"

# The screening room. Of each film and frame size: a video of all that is shown of it, a still of that, and its measures.
COMPOSITE = "results/gallery/films/{size}/{film}.mp4"
THUMBNAIL = "results/gallery/films/{size}/{film}.webp"
MEASURES = "results/gallery/films/{size}/{film}.js"
GALLERY = "results/gallery/index.html"
WALK_THUMBNAIL = "results/gallery/walks/{walk}.webp"
BEND_THUMBNAIL = "results/gallery/bent/{bend}.webp"
DREAM_THUMBNAIL = "results/gallery/dreams/{dream}.webp"
WATCH_PAGE = "results/watch.html"  # written by `make watch`
COMPARISON_PAGE = "results/gallery/{comparison}.html"  # one file to send

# All that show a film.
RESULTS = (
    FRAMES,
    LATENTS,
    VIDEO,
    STILLS,
    ORDERED_STILLS,
    MOMENT,
    CLIP,
    POSTER,
    POSTER_PAGE,
    METRICS,
    COMPARISON,
    EXPORT_FILE,
    EXPORT_FOLDER,
    WALK,
    BEND,
    DREAM,
    CROP_PREVIEW,
    SHOTS,
    COMPOSITE,
    MEASURES,
    COMPARISON_PAGE,
    NETWORK,
    NETWORK_AT,
    FINDINGS,
    FINDINGS_TABLE,
)

OF_FILM = (SHOTS, CROP_PREVIEW)  # named by a film alone
OF_MODEL = (MODEL, TRAINING_FILM, NETWORK, FINDINGS, FINDINGS_TABLE, SAMPLES, DRIFT)  # named by a model alone

DEMO_FILM = "results/demo/films/{film}"

# Beside a model. No rule declares these files: Snakemake deletes the declared outputs of a job that starts.
TRAINING_LOG = "training.csv"  # a row of metrics every 20 steps
TRAINING_CURVES = "training.png"  # the same, drawn
PREVIEWS = "previews"
NOW_PICTURE, NOW_CLIP = "now.png", "now.mp4"  # in previews/: what a training has come to
RECIPE = "recipe.json"
STATE = "state"  # the checkpoints
LOCK = "lock"  # of state/, held by the process that trains
TRAINED = "trained"  # every finished training
TENSORBOARD = "tensorboard"

MAX_CLIP_SECONDS = 30  # all of whose pictures are in memory
MOMENT_TIME = r"[0-9]{2}-[0-9]{2}-[0-9]{2}(?:\.[0-9]+)?"
_VALUES = dict.fromkeys(("moment", "start", "end"), MOMENT_TIME)  # of wildcards that are no names
_NAME = "[a-z0-9-]+(?:@[0-9]+)?"

_LOG = "logs/{rule}/{job}.log"
_PROGRESS = f"logs/**/*{job_status.SUFFIX}"  # beside a log: logs/{rule}/{job}.progress.json
_BENCHMARK = "logs/benchmarks/{rule}/{job}.tsv"


class Comparison(Protocol):
    """The keys of a comparison that say what it shows."""

    @property
    def film(self) -> str: ...

    @property
    def models(self) -> tuple[str, ...]: ...


class Poster(Protocol):
    """The keys of a poster that say what it shows."""

    @property
    def film(self) -> str: ...

    @property
    def model(self) -> str: ...


class Export(Poster, Protocol):
    """The keys of an export that say what it shows and where it lies."""

    @property
    def codec(self) -> str: ...

    @property
    def screens(self) -> int: ...


class Walk(Protocol):
    """The keys of a walk that say what it shows."""

    @property
    def films(self) -> tuple[str, ...]: ...

    @property
    def model(self) -> str: ...


class Bend(Protocol):
    """The keys of a bend that say what it shows."""

    @property
    def film(self) -> str | None: ...

    @property
    def model(self) -> str: ...


class Configuration(Protocol):
    """The part of a configuration that says what is made: `refilm.config.configuration.Config` is one."""

    @property
    def reconstructions(self) -> Sequence[str]: ...

    @property
    def comparisons(self) -> Mapping[str, Comparison]: ...

    @property
    def posters(self) -> Mapping[str, Poster]: ...

    @property
    def exports(self) -> Mapping[str, Export]: ...

    @property
    def walks(self) -> Mapping[str, Walk]: ...

    @property
    def bends(self) -> Mapping[str, Bend]: ...

    @property
    def dreams(self) -> Mapping[str, Poster]: ...


@dataclass(frozen=True)
class Result:
    """A file or folder that a configuration makes. kind: video, stills, comparison, poster, export, dream, walk, bend or
    gallery; film, models: whose it shows, of the gallery none in particular, of a walk the first film."""

    kind: str
    path: str
    name: str
    film: str
    models: tuple[str, ...]


def catalogue(config: Configuration) -> list[Result]:
    """All that a configuration lists, in its order: videos, their contact sheets, comparisons, posters, exports, dreams,
    walks, bends; and the gallery of the videos."""
    pairs = [(pair, *split_pair(pair)) for pair in config.reconstructions]
    return [
        *(Result("video", VIDEO.format(film=film, model=model), pair, film, (model,)) for pair, film, model in pairs),
        *(Result("stills", STILLS.format(film=film, model=model), pair, film, (model,)) for pair, film, model in pairs),
        *(
            Result("comparison", COMPARISON.format(comparison=name), name, comparison.film, comparison.models)
            for name, comparison in config.comparisons.items()
        ),
        *(
            Result("poster", POSTER.format(poster=name), name, poster.film, (poster.model,))
            for name, poster in config.posters.items()
        ),
        *(
            Result("export", export_path(name, export), name, export.film, (export.model,))
            for name, export in config.exports.items()
        ),
        *(
            Result("dream", DREAM.format(dream=name), name, dream.film, (dream.model,))
            for name, dream in config.dreams.items()
        ),
        *(
            Result("walk", WALK.format(walk=name), name, next(iter(walk.films), ""), (walk.model,))
            for name, walk in config.walks.items()
        ),
        *(
            Result("bend", BEND.format(bend=name), name, bend.film or "", (bend.model,))
            for name, bend in config.bends.items()
        ),
        *([Result("gallery", GALLERY, "gallery", "", ())] if pairs else []),
    ]


def export_path(name: str, export: Export) -> str:
    """The file of an export, or its folder."""
    suffix = EXPORT_SUFFIXES[export.codec]
    in_folder = not suffix or export.screens > 1
    return EXPORT_FOLDER.format(export=name) if in_folder else EXPORT_FILE.format(export=name, suffix=suffix)


def split_pair(pair: str) -> tuple[str, str]:
    """(film, model) of 'FILM_by_MODEL'."""
    film, _, model = pair.partition("_by_")
    return film, model


def split_step(model: str) -> tuple[str, int | None]:
    """(model, step) of 'MODEL@STEP'; no step for a model at the end of its training."""
    name, _, step = model.partition("@")
    return name, int(step) if step else None


def clock_time(moment: str) -> str:
    """HH:MM:SS of a moment in the name of a file."""
    return moment.replace("-", ":")


def model_file(model: str) -> str:
    """The file of a model, or of what it was after so many steps."""
    name, step = split_step(model)
    return MODEL.format(model=name) if step is None else EARLY_MODEL.format(model=name, step=step)


def existing(pattern: str) -> Iterator[Path]:
    """The files of a pattern that are in the working directory."""
    return Path().glob(re.sub(r"\{\w+\}", "*", pattern))


def wildcards(pattern: str, path: Path) -> dict[str, str]:
    """The values of a pattern's wildcards in a path of it; empty if it is not one."""
    # re.escape also escapes the braces of the wildcards
    values = re.sub(r"\\{(\w+)\\}", lambda name: f"(?P<{name[1]}>{_VALUES.get(name[1], _NAME)})", re.escape(pattern))
    match = re.fullmatch(values, str(path))
    return match.groupdict() if match else {}


def film_index(pattern: str, path: Path | str) -> Path | None:
    """The index of the film of which a file is a result; None for a file elsewhere, which a user names."""
    names = wildcards(pattern, Path(path))
    return Path(FILM_INDEX.format(film=names["film"])) if names else None


def log(rule: str, job: str) -> str:
    """The log of a rule's jobs; `job` has the wildcards that tell them apart."""
    return _LOG.replace("{rule}", rule).replace("{job}", job)


def progress_files() -> Iterator[Path]:
    """The files of the jobs' progress that are in the working directory."""
    return Path().glob(_PROGRESS)


def benchmark(rule: str, job: str) -> str:
    """The file of the time and memory that a job took."""
    return _BENCHMARK.replace("{rule}", rule).replace("{job}", job)
