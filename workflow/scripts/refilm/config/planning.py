"""What the rules ask: which files a job needs, with which options, and what is missing.

A planner is made of a checked configuration. Its methods take a job's wildcards, and look at the disk where a plan depends
on what is there. It does not import Snakemake.

What was made stays, and can be used, when that of which it was made is deleted: frames without their film, latents without
frames and film, pictures without either. Such results are excluded from the rules that make them, so Snakemake takes them as
they are, whatever is edited or forced. A result that is not there, but needs what was deleted, is an error that says what to
put where.

@exit_on_error      on every method that Snakemake calls: a RefilmError ends Snakemake with that one line.
@untracked          on those whose value must not make work again when it changes.
"""

import hashlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from refilm import layout
from refilm.config.configuration import Config
from refilm.config.keys import (
    SLUG,
    BendKeys,
    ComparisonKeys,
    DreamKeys,
    ExportKeys,
    PosterKeys,
    VideoKeys,
    WalkKeys,
    defaults,
)
from refilm.config.model_folder import ModelFolder, check_length, checkpoints, model_folders
from refilm.config.recipe import Recipe, metadata_of_model, parse_size, recipe_of_model
from refilm.config.report import title
from refilm.config.shared_training import fetch_training
from refilm.core.errors import RefilmError, explain
from refilm.core.made_of import read_made_of
from refilm.sources.film_identity import difference
from refilm.sources.images_index import images_digest
from refilm.sources.listing import film_suffix, image_files, is_images, scheme_of

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
SIZE = "[0-9]+x[0-9]+"
_SEARCHED = 4096  # bytes at each end of a file of the gallery, in which its digest is
_SNAKEMAKE_WILDCARD = re.compile(r"\{\s*[.\w]+\s*(,[^{}]*)?\}")


class Wildcards(Protocol):
    """The wildcards of a job: an attribute for each."""

    def __getattr__(self, name: str) -> str: ...


def exit_on_error(function: F) -> F:
    """The function, but a RefilmError ends Snakemake with that one line instead of a report about a rule."""

    def checked(*args: Any) -> Any:
        try:
            return function(*args)
        except RefilmError as error:
            print(f"refilm: {explain(error)}", file=sys.stderr)
            sys.exit(1)

    return cast(F, _with_signature(checked, function, inspect.signature(function)))


def check_storage(provider: str | None) -> None:
    """Raises RefilmError where the files of the rules would be copies of those in a storage, as `s3` and `fs` make them."""
    if provider:
        raise RefilmError(
            f"--default-storage-provider {provider}: the checkpoints and previews of trainings, and the locks that protect "
            "them, would be lost with each job: leave it out, and run refilm on a file system that all jobs share, as "
            "docs/cluster.md describes; films alone may come from an s3 address"
        )


def check_deployment(methods: Iterable[str]) -> None:
    """Raises RefilmError for a method of software deployment that Snakemake would ignore, since no rule uses it."""
    unused = sorted(set(methods) - {"conda"})
    if unused:
        raise RefilmError(
            f"--software-deployment-method {' '.join(unused)}: the rules of refilm have a conda environment only: use "
            "conda, or run Snakemake as a whole in an image of the Dockerfile"
        )


def untracked(method: Callable[[Any, Wildcards], T]) -> Callable[[Any, Wildcards, object], T]:
    """The method as a params function whose value Snakemake does not track.

    Snakemake runs a job again when its params have changed, except for those whose function takes `output`: their value
    is considered to be derived from it. So the function takes `output`, and ignores it.
    """

    def derived(self: Any, wildcards: Wildcards, output: object = None) -> T:
        return method(self, wildcards)

    made: Callable[[Any, Wildcards, object], T] = _with_signature(derived, method, inspect.signature(derived))
    return made


def _with_signature(wrapper: Callable[..., Any], function: Callable[..., Any], signature: inspect.Signature) -> Any:
    """The wrapper under the name of the function. Snakemake asks for its signature several times per job."""
    wrapper.__name__, wrapper.__doc__ = function.__name__, function.__doc__
    wrapper.__signature__ = signature  # type: ignore[attr-defined]
    return wrapper


class Planner:
    """Answers for one configuration, on the files of the working directory."""

    def __init__(self, config: Config, ancient: Callable[[str], str] = str, checks_films: bool = True):
        """ancient: Snakemake's mark of an input whose time is ignored; checks_films: whether film files are compared with
        those that frames were made of. A job trusts the plan."""
        self.config, self._ancient, self._checks_films = config, ancient, checks_films
        self._available: dict[str, bool] = {}
        # What many jobs ask is looked at once: the files of films, their images, and the files of models.
        self._replaced: dict[str, str] = {}
        self._digests: dict[str, str] = {}
        self._models: dict[str, str] = {}

    # --- films and frames

    @exit_on_error
    def source(self, wildcards: Wildcards) -> str | list[str]:
        """The film file, whose time is ignored, or the images, of frames. Raises RefilmError that says where to put what is
        missing."""
        parse_size(wildcards.size, f"results/frames/{wildcards.size}")
        return self._source(wildcards.film)

    @exit_on_error
    def previewed_source(self, wildcards: Wildcards) -> str | list[str]:
        """The film file whose crop is previewed."""
        if is_images(self.config.film(wildcards.film).source):
            raise RefilmError(
                f"film '{wildcards.film}' is a folder of images: previews of the crop are available for film files only"
            )
        return self._source(wildcards.film)

    @exit_on_error
    def sound_source(self, wildcards: Wildcards) -> str | list[str]:
        """The film file of a result's soundtrack; none for a silent result."""
        film = self._film_of(wildcards)
        return self._source(film) if self.config.has_sound(film) else []

    def shots_of_chapters(self, wildcards: Wildcards) -> list[str]:
        """The table of shots that become the chapters of a video, where the configuration wants that."""
        return [layout.SHOTS.format(film=wildcards.film)] if self.config.video.chapters == "shots" else []

    @exit_on_error
    def audio(self, wildcards: Wildcards) -> str:
        """Which soundtrack of the film a result has."""
        return str(self.config.film(self._film_of(wildcards)).audio)

    @exit_on_error
    def film_options(self, wildcards: Wildcards) -> list[str]:
        """The options that decide the pixels of a film's frames."""
        return _options(self.config.film_pixels(wildcards.film))

    @exit_on_error
    def image_options(self, wildcards: Wildcards) -> list[str]:
        """The same of images: their rate, and which images there are."""
        return _options(self.config.film_pixels(wildcards.film) | self._images_identity(wildcards.film))

    @untracked
    @exit_on_error
    def images_index(self, wildcards: Wildcards) -> str:
        """The index by which images are recognised."""
        return layout.IMAGES_INDEX.format(film=wildcards.film)

    @untracked
    @exit_on_error
    def validation_options(self, wildcards: Wildcards) -> list[str]:
        """What is checked of a film file before it is decoded."""
        film = self.config.film(wildcards.film)
        checksum = {} if scheme_of(film.source) else _given(sha256=film.sha256)  # of a download: checked when it was fetched
        return _options({"audio": str(film.audio)} | checksum)

    @untracked
    @exit_on_error
    def download_options(self, wildcards: Wildcards) -> list[str]:
        """What is checked of a film that was fetched."""
        return _options(_given(sha256=self.config.film(wildcards.film).sha256))

    @untracked
    def frame_size(self, wildcards: Wildcards) -> str:
        """The size of frames as WIDTHxHEIGHT. It is in their path: a change of it needs no tracking."""
        return wildcards.size

    @untracked
    @exit_on_error
    def source_spec(self, wildcards: Wildcards) -> str:
        """The address of a film or the pattern of its images. One that is moved is still the same film."""
        return self.config.film(wildcards.film).source

    @exit_on_error
    def frames(self, wildcards: Wildcards) -> str:
        """The frames of a film, at the size of the model that encodes it or of those that are shown beside it."""
        film = self._film_of(wildcards)
        return self._model_frames(film, self._models_of(wildcards)[0])

    @exit_on_error
    def film_frames(self, wildcards: Wildcards) -> str:
        """The frames of a film at the size of `training:`, for what is made of a film without a model."""
        return self._frames(wildcards.film, self.config.frame_size)

    @untracked
    @exit_on_error
    def frames_made_of(self, wildcards: Wildcards) -> str:
        """The text by which a plan knows frames: what decides them."""
        return self._pixels(wildcards.film)

    # --- models

    @exit_on_error
    def recipe(self, wildcards: Wildcards) -> str:
        """Everything that decides the weights of a model, as one string."""
        return self.config.recipe(wildcards.model).to_json()

    @exit_on_error
    def training_frames(self, wildcards: Wildcards) -> list[str]:
        """The frames of a model's films; none where the model was trained with the recipe that is configured.

        So frames and films may be deleted once a model is trained, and nothing but its recipe trains it again. Raises
        RefilmError for a length that is shorter than was trained already.
        """
        if self._is_trained(wildcards.model):
            return []
        self._check_length(wildcards.model)
        return [self._model_frames(film, wildcards.model) for film in self.config.model(wildcards.model).films]

    @exit_on_error
    def preview_frames(self, wildcards: Wildcards) -> list[str]:
        """The frames of the films that a training shows besides its own; none where the model was trained."""
        films = [] if self._is_trained(wildcards.model) else self.config.preview_films(wildcards.model)
        return [self._model_frames(film, wildcards.model) for film in films]

    @exit_on_error
    def initial_model(self, wildcards: Wildcards) -> str | list[str]:
        """The model from whose weights another one starts; none where that was trained, or starts from random weights."""
        first = self.config.initial_model(wildcards.model)
        return self._model(first) if first and not self._is_trained(wildcards.model) else []

    @untracked
    @exit_on_error
    def model_file(self, wildcards: Wildcards) -> str:
        """The file of a model, which is in its path: a change of it needs no tracking."""
        return layout.model_file(wildcards.model)

    @exit_on_error
    def early_model_source(self, wildcards: Wildcards) -> str | list[str]:
        """The model whose training keeps a model after so many steps; none where that was kept. Raises RefilmError where
        it is not."""
        model, step = wildcards.model, int(wildcards.step)
        if self._find(f"{model}@{step}"):
            return []
        self._check_keeps(model, step)
        return self._model(model)

    @exit_on_error
    def encoder(self, wildcards: Wildcards) -> str:
        """The model that encodes a film. Raises RefilmError for one that has no encoder."""
        return self._encoder(wildcards.model)

    @exit_on_error
    def sampled_model(self, wildcards: Wildcards) -> str:
        """The model that makes samples. Raises RefilmError for one that has no prior."""
        self.config.check_samples(wildcards.model)
        return self._model(wildcards.model)

    @exit_on_error
    def model(self, wildcards: Wildcards) -> str:
        """A trained model."""
        return self._model(wildcards.model)

    @exit_on_error
    def shown_model(self, wildcards: Wildcards) -> str:
        """The model of an export, a poster or a dream."""
        return self._model(self._shown(wildcards).model)

    @exit_on_error
    def predictor_recipe(self, wildcards: Wildcards) -> str:
        """Everything that decides the weights of a predictor, as one string."""
        return self.config.predictor_recipe(wildcards.model).to_json()

    @exit_on_error
    def predictor_latents(self, wildcards: Wildcards) -> list[str]:
        """The latents of a model's films, by that model; none where its predictor was trained as it is configured."""
        return [self._latents(film, wildcards.model) for film in self._predicted_films(wildcards.model)]

    @exit_on_error
    def predictor_frames(self, wildcards: Wildcards) -> list[str]:
        """The frames of the same films, which say where the shots are."""
        return [self._model_frames(film, wildcards.model) for film in self._predicted_films(wildcards.model)]

    @exit_on_error
    def predicted_model(self, wildcards: Wildcards) -> str | list[str]:
        """The model of a predictor; none where that was trained."""
        return self._encoder(wildcards.model) if self._predicted_films(wildcards.model) else []

    @exit_on_error
    def dreamt_latents(self, wildcards: Wildcards) -> str:
        """The latents of the film that a dream continues."""
        dream = self.config.dream(wildcards.dream)
        return self._latents(dream.film, dream.model)

    @exit_on_error
    def dreaming_predictor(self, wildcards: Wildcards) -> str:
        """The predictor of a dream."""
        model = self.config.dream(wildcards.dream).model
        path = layout.PREDICTOR.format(model=model)
        is_current = recipe_of_model(path) == self.config.predictor_recipe(model).to_json()
        return self._ancient(path) if is_current else path

    @exit_on_error
    def latents(self, wildcards: Wildcards) -> str:
        """The latents of a film by a model."""
        return self._latents(wildcards.film, wildcards.model)

    @untracked
    @exit_on_error
    def device(self, _wildcards: Wildcards) -> str:
        """What the networks run on: another device makes no work again."""
        return self.config.settings.device

    @untracked
    @exit_on_error
    def search(self, _wildcards: Wildcards) -> int:
        """Steps of the latent search. What is `encoded` has them, so that 0 makes nothing again that was made before."""
        return self.config.reconstruction.search

    @untracked
    @exit_on_error
    def hwaccel(self, _wildcards: Wildcards) -> str:
        """What decodes films: the reference is the CPU's frames, and the others' are as good."""
        return self.config.settings.hwaccel

    @untracked
    @exit_on_error
    def training_options(self, wildcards: Wildcards) -> list[str]:
        """How a model is trained and what is written besides it: the model is the same."""
        settings = self.config.settings
        options = [f"--gpus={settings.gpus}", f"--compile={str(settings.compile).lower()}"]
        options += [f"--keep={step}" for step in self.config.kept_steps(wildcards.model)]
        return options + (["--tensorboard"] if settings.tensorboard else [])

    @untracked
    def tensorboard(self, _wildcards: Wildcards) -> list[str]:
        """Whether a training writes TensorBoard events too: what is trained is the same."""
        return ["--tensorboard"] if self.config.settings.tensorboard else []

    # --- what results are made of: a change of it makes them again, and nothing else does, no time of a file

    @exit_on_error
    def encoded(self, wildcards: Wildcards) -> str:
        """What decides the latents of a film by a model."""
        return self._encoded(wildcards.film, wildcards.model)

    @exit_on_error
    def rendered(self, wildcards: Wildcards) -> str:
        """What decides a video besides its sound and quality. Videos of versions without chapters are current."""
        chapters = self.config.video.chapters
        return self.encoded(wildcards) + (f", chapters: {chapters}" if chapters != defaults(VideoKeys)["chapters"] else "")

    @untracked
    def chapters(self, wildcards: Wildcards) -> str:
        """Which chapters a video has; `rendered` tracks it."""
        return self.config.video.chapters

    @exit_on_error
    def film_frames_made_of(self, wildcards: Wildcards) -> str:
        """What decides `film_frames`."""
        made_of = {"frames": self._pixels(wildcards.film), "frame_size": self.config.frame_size}
        return json.dumps(made_of, sort_keys=True)

    @exit_on_error
    def shown(self, wildcards: Wildcards) -> str:
        """What decides the latents of an export or a poster."""
        shown = self._shown(wildcards)
        return self._encoded(shown.film, shown.model)

    @exit_on_error
    def dreamt(self, wildcards: Wildcards) -> list[str]:
        """What decides the latents of the film that a dream continues, and its predictor."""
        dream = self.config.dream(wildcards.dream)
        return [self._encoded(dream.film, dream.model), self.config.predictor_recipe(dream.model).to_json()]

    @exit_on_error
    def compared(self, wildcards: Wildcards) -> list[str]:
        """What decides the latents of all that is shown beside a film."""
        return [self._encoded(self._film_of(wildcards), model) for model in self._models_of(wildcards)]

    @exit_on_error
    def walked(self, wildcards: Wildcards) -> list[str]:
        """What decides the latents of a walk."""
        return self._walked(wildcards.walk)

    @exit_on_error
    def bent(self, wildcards: Wildcards) -> list[str]:
        """What decides the latents that a bent decoder decodes."""
        return self._latents_of_bend(wildcards.bend)

    # --- what is shown

    @exit_on_error
    def ordering_metrics(self, wildcards: Wildcards) -> str | list[str]:
        """The metrics by which the shots of a sheet are ordered; none for all shots in their order."""
        if wildcards.order == "shots":
            return []
        return self._ancient(layout.METRICS.format(film=wildcards.film, model=wildcards.model))

    @untracked
    def order(self, wildcards: Wildcards) -> str:
        """The order of a sheet, which is in its path."""
        return wildcards.order

    @untracked
    def moment(self, wildcards: Wildcards) -> str:
        """The moment of a still, which is in its path."""
        return layout.clock_time(wildcards.moment)

    @untracked
    def span(self, wildcards: Wildcards) -> list[str]:
        """The part of a film that a clip shows, which is in its path."""
        return [f"--start={layout.clock_time(wildcards.start)}", f"--end={layout.clock_time(wildcards.end)}"]

    @exit_on_error
    def poster_latents(self, wildcards: Wildcards) -> str:
        """The latents of a poster."""
        poster = self.config.poster(wildcards.poster)
        return self._latents(poster.film, poster.model)

    @exit_on_error
    def poster_options(self, wildcards: Wildcards) -> list[str]:
        """What a poster shows: titles, the number of frames, the page."""
        poster = self.config.poster(wildcards.poster)
        titles = {"title": self.config.film_title(poster.film), "by": self.config.model_title(poster.model)}
        page = {key: f"{getattr(poster, key):g}" for key in ("width", "height", "dpi", "frames")}
        return _options(titles | page)

    @exit_on_error
    def exported_latents(self, wildcards: Wildcards) -> str:
        """The latents of an export. Raises RefilmError where its codec makes another file."""
        export = self.config.export(wildcards.export)
        suffix = getattr(wildcards, "suffix", None)
        asked = (layout.EXPORT_FILE if suffix else layout.EXPORT_FOLDER).format(export=wildcards.export, suffix=suffix)
        path = layout.export_path(wildcards.export, export)
        if path != asked:
            screens = f" for {export.screens} screens" if export.screens > 1 else ""
            raise RefilmError(f"{asked}: export '{wildcards.export}' is {export.codec}{screens}: ask for {path}")
        return self._latents(export.film, export.model)

    @exit_on_error
    def export_options(self, wildcards: Wildcards) -> list[str]:
        """What an export looks like: the part of the film, size, codec and its quality, screens."""
        export = self.config.export(wildcards.export)
        crf = self.config.video.crf if export.codec in layout.CRF_CODECS else None
        shown = {key: getattr(export, key) for key in ("start", "end", "height", "scaler", "codec", "screens")}
        return _options(_given(crf=crf, **shown)) + (["--loop"] if export.loop else [])

    @exit_on_error
    def walk_latents(self, wildcards: Wildcards) -> list[str]:
        """The latents files of a walk: of each moment, or its own and that of the other film. Raises RefilmError for a file
        of the user's that is missing."""
        walk = self.config.walk(wildcards.walk)
        files = [self._latents(film, walk.model) for film in walk.films]
        return files if walk.latents is None else [self._own_latents(walk.latents, f"walks.{wildcards.walk}"), *files]

    @exit_on_error
    def walk_model(self, wildcards: Wildcards) -> str:
        """The model of a walk."""
        return self._model(self.config.walk(wildcards.walk).model)

    @exit_on_error
    def walk_frames(self, wildcards: Wildcards) -> list[str]:
        """The frames of the films of a walk that shows them; none of the others."""
        walk = self.config.walk(wildcards.walk)
        return [self._model_frames(film, walk.model) for film in walk.films] if walk.kind == "nearest" else []

    @exit_on_error
    def walk_source(self, wildcards: Wildcards) -> str | list[str]:
        """The film file of a walk's sound; none for a silent one."""
        sound = self.config.walk(wildcards.walk).sound
        return self._source(sound) if sound else []

    @exit_on_error
    def walk_sound_frames(self, wildcards: Wildcards) -> str | list[str]:
        """The frames of that film, which say when it begins and ends."""
        walk = self.config.walk(wildcards.walk)
        return self._model_frames(walk.sound, walk.model) if walk.sound else []

    @exit_on_error
    def walk_audio(self, wildcards: Wildcards) -> str:
        """Which soundtrack of that film."""
        sound = self.config.walk(wildcards.walk).sound
        return str(self.config.film(sound).audio) if sound else "none"

    @exit_on_error
    def walk_options(self, wildcards: Wildcards) -> list[str]:
        """What a walk is: its kind, and the keys that it has."""
        return self._walk_options(wildcards.walk)

    @exit_on_error
    def walk_digest(self, wildcards: Wildcards) -> str:
        """A digest of what decides the pictures of a walk."""
        return self._walk_digest(wildcards.walk)

    @exit_on_error
    def walk_video(self, wildcards: Wildcards) -> str:
        """The walk of which a thumbnail is a still."""
        path, thumbnail = _path_of(layout.WALK, wildcards), _path_of(layout.WALK_THUMBNAIL, wildcards)
        return self._unless_made(path, thumbnail, self._walk_digest(wildcards.walk))

    @exit_on_error
    def bend_latents(self, wildcards: Wildcards) -> str:
        """The latents file of a bend. Raises RefilmError for one of the user's that is missing."""
        bend = self.config.bend(wildcards.bend)
        if bend.latents is not None:
            return self._own_latents(bend.latents, f"bends.{wildcards.bend}")
        return self._latents(str(bend.film), bend.model)

    @exit_on_error
    def bend_model(self, wildcards: Wildcards) -> str:
        """The model of a bend."""
        return self._model(self.config.bend(wildcards.bend).model)

    @exit_on_error
    def bend_source(self, wildcards: Wildcards) -> str | list[str]:
        """The film file of a bend's soundtrack; none for a silent one."""
        film = self.config.bend(wildcards.bend).film
        return self._source(film) if film and self.config.has_sound(film) else []

    @exit_on_error
    def bend_audio(self, wildcards: Wildcards) -> str:
        """Which soundtrack of the film."""
        film = self.config.bend(wildcards.bend).film
        return str(self.config.film(film).audio) if film else "none"

    @exit_on_error
    def bend_options(self, wildcards: Wildcards) -> list[str]:
        """What a bend is: the transforms as JSON, the part of the film, the seed."""
        return self._bend_options(wildcards.bend)

    @exit_on_error
    def bend_digest(self, wildcards: Wildcards) -> str:
        """A digest of what decides the pictures of a bend."""
        return _digest([*self._latents_of_bend(wildcards.bend), *self._bend_options(wildcards.bend)])

    @exit_on_error
    def bend_video(self, wildcards: Wildcards) -> str:
        """The bend of which a thumbnail is a still."""
        path, thumbnail = _path_of(layout.BEND, wildcards), _path_of(layout.BEND_THUMBNAIL, wildcards)
        return self._unless_made(path, thumbnail, self.bend_digest(wildcards))

    @exit_on_error
    def dream_options(self, wildcards: Wildcards) -> list[str]:
        """What a dream is: titles, where it begins, how long it is, and its chance."""
        dream = self.config.dream(wildcards.dream)
        titles = {"title": self.config.film_title(dream.film), "by": self.config.model_title(dream.model)}
        keys = ("start", "length", "lead", "temperature", "seed", "height")
        return _options(titles | _given(**{key: getattr(dream, key) for key in keys}))

    @exit_on_error
    def dream_digest(self, wildcards: Wildcards) -> str:
        """A digest of what decides the pictures of a dream."""
        return _digest([*self.dreamt(wildcards), *self.dream_options(wildcards)])

    @exit_on_error
    def dream_video(self, wildcards: Wildcards) -> str:
        """The dream of which a thumbnail is a still."""
        path, thumbnail = _path_of(layout.DREAM, wildcards), _path_of(layout.DREAM_THUMBNAIL, wildcards)
        return self._unless_made(path, thumbnail, self.dream_digest(wildcards))

    @exit_on_error
    def film_title(self, wildcards: Wildcards) -> str:
        """The title of a film in pictures."""
        return self.config.film_title(wildcards.film)

    @exit_on_error
    def model_title(self, wildcards: Wildcards) -> str:
        """The title of a model in pictures."""
        return self.config.model_title(wildcards.model)

    @exit_on_error
    def compared_latents(self, wildcards: Wildcards) -> list[str]:
        """The latents of a film, by each of the models that are shown beside it."""
        return [self._latents(self._film_of(wildcards), model) for model in self._models_of(wildcards)]

    @exit_on_error
    def compared_models(self, wildcards: Wildcards) -> list[str]:
        """These models, in the same order."""
        return [self._encoder(model) for model in self._models_of(wildcards)]

    @exit_on_error
    def compared_metrics(self, wildcards: Wildcards) -> list[str]:
        """The measures of the film by each of them, in the same order."""
        film, made = self._film_of(wildcards), layout.MEASURES
        if hasattr(wildcards, "comparison"):
            made = layout.COMPARISON_PAGE
        metrics = [layout.METRICS.format(film=film, model=model) for model in self._models_of(wildcards)]
        return [self._unless_made(path, _path_of(made, wildcards), self._digest(wildcards)) for path in metrics]

    @exit_on_error
    def composite(self, wildcards: Wildcards) -> str:
        """The video of which a thumbnail is a still."""
        path, thumbnail = _path_of(layout.COMPOSITE, wildcards), _path_of(layout.THUMBNAIL, wildcards)
        return self._unless_made(path, thumbnail, self._digest(wildcards))

    @exit_on_error
    def compared_digest(self, wildcards: Wildcards) -> str:
        """A digest of what is `compared`, by which a plan knows files that are made of it."""
        return self._digest(wildcards)

    @exit_on_error
    def comparison_options(self, wildcards: Wildcards) -> list[str]:
        """What a comparison shows: titles, the part of the film, the layout."""
        comparison = self.config.comparison(wildcards.comparison)
        shown = _given(start=comparison.start, end=comparison.end, layout=comparison.layout, height=comparison.height)
        return [*self._titles(comparison), *_options(shown)]

    @exit_on_error
    def page_options(self, wildcards: Wildcards) -> list[str]:
        """What the page of a comparison shows: titles, the part of the film."""
        comparison = self.config.comparison(wildcards.comparison)
        return [*self._titles(comparison), *_options(_given(start=comparison.start, end=comparison.end))]

    @exit_on_error
    def compared_names(self, wildcards: Wildcards) -> list[str]:
        """The names of the models that are shown beside a film."""
        return list(self._models_of(wildcards))

    @exit_on_error
    def network_frames(self, wildcards: Wildcards) -> str | list[str]:
        """The frames of the film of which a network is shown a frame; none for one without an encoder."""
        film = self._own_film(wildcards.model)
        return self._model_frames(film, wildcards.model) if film else []

    @exit_on_error
    def network_latents(self, wildcards: Wildcards) -> str | list[str]:
        """The latents of that film; none for a network without an encoder. Raises RefilmError for a moment of none."""
        film = self._own_film(wildcards.model)
        if not film and hasattr(wildcards, "moment"):
            whole = layout.NETWORK.format(model=wildcards.model)
            raise RefilmError(f"model '{wildcards.model}' has no encoder, so no frame of a film is shown: ask for {whole}")
        return self._latents(film, wildcards.model) if film else []

    @exit_on_error
    def network_digest(self, wildcards: Wildcards) -> str:
        """A digest of what decides what is shown of a network."""
        return self._network_digest(wildcards.model)

    @exit_on_error
    def network_film_title(self, wildcards: Wildcards) -> str:
        """The title of that film."""
        film = self._own_film(wildcards.model)
        return self.config.film_title(film) if film else ""

    @exit_on_error
    def findings_frames(self, wildcards: Wildcards) -> list[str]:
        """The frames of the films that the configuration reconstructs with a model. Raises RefilmError if there are none."""
        self.config.check_reconstructs(wildcards.model)
        films = self._reconstructed_films(wildcards.model)
        if not films:
            missing = f"{self._own_film(wildcards.model)}_by_{wildcards.model}"
            raise RefilmError(
                f"model '{wildcards.model}': no film is reconstructed with it: add {missing} to reconstructions"
            )
        return [self._model_frames(film, wildcards.model) for film in films]

    @exit_on_error
    def findings_latents(self, wildcards: Wildcards) -> list[str]:
        """The latents of these films by the model."""
        return [self._latents(film, wildcards.model) for film in self._reconstructed_films(wildcards.model)]

    @exit_on_error
    def findings_metrics(self, wildcards: Wildcards) -> list[str]:
        """The metrics of these films by the model, and by those that it is compared with."""
        page, digest = layout.FINDINGS.format(model=wildcards.model), self._findings_digest(wildcards.model)
        paths = [layout.METRICS.format(film=film, model=model) for film, model in self._findings_pairs(wildcards.model)]
        return [self._unless_made(path, page, digest) for path in paths]

    @exit_on_error
    def findings_digest(self, wildcards: Wildcards) -> str:
        """A digest of what decides all that is measured."""
        return self._findings_digest(wildcards.model)

    @exit_on_error
    def findings_films(self, wildcards: Wildcards) -> str:
        """The films with their files, and with the models that they are compared by, as JSON."""
        return self._findings_films(wildcards.model)

    @untracked
    def network_moment(self, wildcards: Wildcards) -> str:
        """The moment of the frame, which is in the path; empty where a frame is chosen."""
        return layout.clock_time(wildcards.moment) if hasattr(wildcards, "moment") else ""

    @exit_on_error
    def gallery_files(self, _wildcards: Wildcards) -> list[str]:
        """What the gallery shows: of each film and frame size the measures, which it reads, and the video and its still,
        which it only names."""
        digest, files = self._gallery_digest(), []
        for film, size in self.config.gallery:
            video, thumbnail, measures = (
                pattern.format(film=film, size=size) for pattern in (layout.COMPOSITE, layout.THUMBNAIL, layout.MEASURES)
            )
            files += [self._ancient(video), self._ancient(thumbnail), self._unless_made(measures, layout.GALLERY, digest)]
        files += [self._ancient(thumbnail) for listed in self._other_videos().values() for *_, thumbnail in listed]
        # A page that is made again makes the gallery again: Snakemake looks at no params of what depends on a job.
        pages = self._pages_of_models().items()
        return files + [self._ancient(page) if _holds(page, digest) else page for page, digest in pages]

    @exit_on_error
    def gallery_digest(self, _wildcards: Wildcards) -> str:
        """A digest of what decides the latents of all that the gallery shows."""
        return self._gallery_digest()

    @exit_on_error
    def gallery_entries(self, _wildcards: Wildcards) -> str:
        """What the gallery shows, as JSON: the titles of films and of models, and (film, size, models) of each entry; and
        of other videos the title, the file and its thumbnail, by heading."""
        shown = [(film, size, models) for (film, size), models in self.config.gallery.items()]
        films = {film: self.config.film_title(film) for film, _size, _models in shown}
        titles = {model: self.config.model_title(model) for *_, models in shown for model in models}
        return json.dumps(
            {"films": films, "models": titles, "shown": shown, "pages": list(self._pages_of_models())}
            | _given(videos=self._other_videos() or None)
        )

    def _other_videos(self) -> dict[str, list[tuple[str, str, str]]]:
        """(title, file, thumbnail) of what the gallery links to besides films, by heading."""
        kinds = (
            ("Dreams", "dream", self.config.dreams, layout.DREAM, layout.DREAM_THUMBNAIL),
            ("Walks", "walk", self.config.walks, layout.WALK, layout.WALK_THUMBNAIL),
            ("Bends", "bend", self.config.bends, layout.BEND, layout.BEND_THUMBNAIL),
        )
        return {
            heading: [
                (title(self.config, {kind: name}), video.format(**{kind: name}), thumbnail.format(**{kind: name}))
                for name in named
            ]
            for heading, kind, named, video, thumbnail in kinds
            if named
        }

    def targets(self) -> list[str]:
        """All files that the configuration lists."""
        return [result.path for result in layout.catalogue(self.config)]

    @exit_on_error
    def keep_models(self) -> None:
        """Before anything is planned: keep every trained model, and link those that are missing to what was kept."""
        for folder in model_folders():
            folder.keep()
        for model in self.config.models:
            folder, recipe = self._trained(model)
            folder.inherit_early(recipe)
            folder.restore(recipe)
        for model in {dream.model for dream in self.config.dreams.values()}:
            self._predictor_folder(model).restore(self.config.predictor_recipe(model))

    def made_from(self, names: Mapping[str, str]) -> bool:
        """Whether a plan of a result that is there succeeds: nothing was deleted or replaced that it would be made of
        again."""
        comparison = self.config.comparisons.get(names.get("comparison", ""))
        one = self.config.posters.get(names.get("poster", "")) or self.config.dreams.get(names.get("dream", ""))
        shown = comparison or one
        films = [shown.film] if shown else [names["film"]] if "film" in names else []
        models = [one.model] if one else [names["model"]] if "model" in names else []
        models += comparison.models if comparison else []
        if walk := self.config.walks.get(names.get("walk", "")):
            films, models = [*walk.films, *filter(None, [walk.sound])], [walk.model]
        if bend := self.config.bends.get(names.get("bend", "")):
            films, models = [*filter(None, [bend.film])], [bend.model]
        for model in models:
            films += [] if self._is_trained(model) else self.config.model(model).films
        return all(self._is_available(film) and not self._replacement(film) for film in films)

    # --- wildcard constraints, from what is there when Snakemake starts

    def downloads(self) -> str:
        """The films that have an address and are not fetched yet.

        A film that is there has no rule that makes it, so nothing, not even --forceall, deletes it or fetches it again.
        """
        films = self.config.films.items()
        return _any_of(
            name for name, film in films if scheme_of(film.source) and not self._download(name, film.source).exists()
        )

    def image_films(self) -> str:
        """The films that are images."""
        return _any_of(self.config.films_of_images())

    def to_make(self, result: str) -> str:
        """The first wildcard of a result, for all but those that are there and cannot be made again."""
        start = result.index("{")
        kept = [re.escape(str(file)[start:]) for file in self._kept(result)]
        refused = f"(?!(?:{'|'.join(kept)})$)" if kept else ""
        return refused + (SIZE if result[start:].startswith("{size}") else SLUG)

    @exit_on_error
    def check_targets(self, targets: Iterable[str]) -> None:
        """Raises RefilmError for a target that is there and has no rule: Snakemake takes those as inputs only."""
        wanted = set(targets)
        for result in layout.RESULTS:
            for file in self._kept(result):
                if str(file) in wanted:
                    raise RefilmError(
                        f"{file}: this file exists and cannot be made again, since its film was deleted: do not ask for it"
                    )

    # --- how

    def _film_of(self, wildcards: Wildcards) -> str:
        if hasattr(wildcards, "comparison"):
            return self.config.comparison(wildcards.comparison).film
        if hasattr(wildcards, "dream"):
            return self.config.dream(wildcards.dream).film
        return self.config.export(wildcards.export).film if hasattr(wildcards, "export") else wildcards.film

    def _walked(self, name: str) -> list[str]:
        walk = self.config.walk(name)
        made_of = [self._encoded(film, walk.model) for film in walk.films]
        return made_of if walk.latents is None else [self._decoded(walk.latents, walk.model, f"walk-{name}"), *made_of]

    def _latents_of_bend(self, name: str) -> list[str]:
        bend = self.config.bend(name)
        if bend.latents is not None:
            return [self._decoded(bend.latents, bend.model, f"bend-{name}")]
        return [self._encoded(str(bend.film), bend.model)]

    def _decoded(self, latents: str, model: str, name: str) -> str:
        """What decides what a model makes of a latents file of the user's. Without the file, as it was last seen."""
        index = Path(layout.LATENTS_INDEX.format(name=name))
        digest = images_digest([latents] if Path(latents).exists() else [], index)
        recipe, step = self.config.recipe(model).to_json(), layout.split_step(model)[1]
        return json.dumps({"latents": digest, "recipe": recipe} | _given(step=step), sort_keys=True)

    def _bend_options(self, name: str) -> list[str]:
        bend, usual = self.config.bend(name), defaults(BendKeys)
        steps = [
            {"transform": step.transform, "layers": step.layers, "channels": step.channels, "share": step.share}
            | {"amount": step.amount, "parameters": step.parameters()}
            for step in bend.transforms
        ]
        keys = ("start", "end", "fps", "seed", "height")
        given = {key: getattr(bend, key) for key in keys if getattr(bend, key) != usual[key]}
        return _options({"transforms": json.dumps(steps, sort_keys=True)} | given)

    def _walk_options(self, name: str) -> list[str]:
        walk, usual = self.config.walk(name), defaults(WalkKeys)
        keys = ("seconds", "start", "end", "path", "smooth", "speed", "loop", "blend", "fps", "height")
        given = {key: getattr(walk, key) for key in keys if getattr(walk, key) != usual[key]}
        given |= {"mix": walk.mix} if walk.kind == "mixture" else {}
        titles = [f"--title={self.config.film_title(film)}" for film in walk.films if walk.kind == "nearest"]
        # the sound of another film begins where that does
        given |= {"sound-start": walk.start} if walk.start is not None and walk.sound == walk.film else {}
        moments = [f"--moment={moment.partition('@')[2]}" for moment in walk.moments]
        return [*moments, *titles, *_options(given), *(["--reverse"] if walk.reverse else [])]

    def _walk_digest(self, name: str) -> str:
        return _digest([*self._walked(name), *self._walk_options(name)])

    def _own_latents(self, latents: str, place: str) -> str:
        """A latents file of the user's as an input, whose digest is in the params."""
        if not (Path(latents).exists() or latents.startswith("results/")):
            raise RefilmError(f"{latents}: the latents file is missing: put it there, or set {place}.latents")
        return self._ancient(_literal(latents))

    def _own_film(self, model: str) -> str:
        """The film of a model that its pages show: the first of those that it is trained on, and before them one that the
        configuration reconstructs with it; none for a model without an encoder."""
        if not self.config.recipe(model).spec.reconstructs:
            return ""
        films = self.config.model(model).films
        return next((film for film in films if f"{film}_by_{model}" in self.config.reconstructions), films[0])

    def _reconstructed_films(self, model: str) -> list[str]:
        """The films that the configuration reconstructs with a model."""
        pairs = (layout.split_pair(pair) for pair in self.config.reconstructions)
        return [film for film, by in pairs if by == model]

    def _counterparts(self, film: str, model: str) -> list[str]:
        """The models of the same recipe and frame size that the configuration reconstructs a film with, of which either they
        or this model were trained on it."""
        own, watched = self.config.recipe(model), film in self.config.model(model).films
        pairs = (layout.split_pair(pair) for pair in self.config.reconstructions)
        others = [by for shown, by in pairs if shown == film and layout.split_step(by)[1] is None]
        return [
            other
            for other in others
            if (film in self.config.model(other).films) != watched
            and (self.config.recipe(other).recipe, self.config.recipe(other).frame_size) == (own.recipe, own.frame_size)
        ]

    def _findings_pairs(self, model: str) -> list[tuple[str, str]]:
        films = self._reconstructed_films(model)
        return [(film, by) for film in films for by in (model, *self._counterparts(film, model))]

    def _findings_films(self, model: str) -> str:
        films = []
        for film in self._reconstructed_films(model):
            beside = [
                {
                    "title": self.config.model_title(other),
                    "metrics": layout.METRICS.format(film=film, model=other),
                    "watched": film in self.config.model(other).films,
                    "holdout_fraction": self.config.recipe(other).holdout_fraction,
                    "seed": self.config.recipe(other).seed,
                }
                for other in self._counterparts(film, model)
            ]
            files = {
                "frames": self._frames_file(film, model),
                "latents": layout.LATENTS.format(film=film, model=model),
                "metrics": layout.METRICS.format(film=film, model=model),
            }
            films.append({"name": film, "title": self.config.film_title(film), **files, "beside": beside})
        return json.dumps(films)

    def _findings_digest(self, model: str) -> str:
        encoded = [self._encoded(film, by) for film, by in self._findings_pairs(model)]
        return _digest([*encoded, self.config.model_title(model), self._findings_films(model)])

    def _network_digest(self, model: str) -> str:
        """Of the recipe, or the latents of the film, and of the titles."""
        film = self._own_film(model)
        shown = [self._encoded(film, model), self.config.film_title(film)] if film else [self.config.recipe(model).to_json()]
        return _digest([*shown, self.config.model_title(model)])

    def _pages_of_models(self) -> dict[str, str]:
        """The pages of the models that the gallery shows, networks in pictures and findings, with the digests that they have
        where they are current: those that are there, or can be made of what the gallery needs anyway."""
        models = {model: None for shown in self.config.gallery.values() for model in shown if "@" not in model}
        pages: dict[str, str] = {}
        for model in models:
            films = self._reconstructed_films(model)
            of_model = {layout.FINDINGS.format(model=model): self._findings_digest(model)}
            if self._own_film(model) in films:
                of_model = {layout.NETWORK.format(model=model): self._network_digest(model)} | of_model
            can_be_made = all(map(self._is_available, films))
            pages |= {page: digest for page, digest in of_model.items() if can_be_made or Path(page).exists()}
        return pages

    def _shown(self, wildcards: Wildcards) -> ExportKeys | PosterKeys | DreamKeys:
        if hasattr(wildcards, "export"):
            return self.config.export(wildcards.export)
        if hasattr(wildcards, "dream"):
            return self.config.dream(wildcards.dream)
        return self.config.poster(wildcards.poster)

    def _titles(self, comparison: ComparisonKeys) -> list[str]:
        by = [f"--by={self.config.model_title(model)}" for model in comparison.models]
        return [f"--title={self.config.film_title(comparison.film)}", *by]

    def _models_of(self, wildcards: Wildcards) -> Sequence[str]:
        """The models of a job: those of a comparison, those that the gallery shows of a film, or the one that is named."""
        if hasattr(wildcards, "comparison"):
            return self.config.comparison(wildcards.comparison).models
        if hasattr(wildcards, "size"):
            return self.config.shown_models(wildcards.film, wildcards.size)
        return [wildcards.model]

    def _kept(self, result: str) -> list[Path]:
        """The files of a result that cannot be made again, since their film was deleted."""
        deleted = {film for film in self.config.films if not self._is_available(film)}
        return [file for file in layout.existing(result) if self._is_kept(result, file, deleted)] if deleted else []

    def _is_kept(self, result: str, file: Path, deleted: set[str]) -> bool:
        names = layout.wildcards(result, file)
        if result == layout.WALK:
            return names.get("walk") in self.config.walks and self._is_walk_kept(self.config.walks[names["walk"]], deleted)
        if result == layout.BEND:
            bend = self.config.bends.get(names.get("bend", ""))
            return bool(bend and bend.film in deleted and self.config.has_sound(str(bend.film)))
        comparison = self.config.comparisons.get(names.get("comparison", ""))
        one = self.config.exports.get(names.get("export", "")) or self.config.posters.get(names.get("poster", ""))
        shown = comparison or one or self.config.dreams.get(names.get("dream", ""))
        known = names.get("model", "") in self.config.models
        of_model = self._own_film(names["model"]) if known and "film" not in names else ""
        if result in (layout.FINDINGS, layout.FINDINGS_TABLE):
            films = self._reconstructed_films(names["model"]) if known else []
            return any(film in deleted and not Path(self._frames_file(film, names["model"])).exists() for film in films)
        film = shown.film if shown else names.get("film", of_model)
        in_gallery = self.config.gallery.get((film, names.get("size", "")), [""])
        model = names.get("model", in_gallery[0])
        if shown:
            model = shown.models[0] if isinstance(shown, ComparisonKeys) else shown.model
        if film not in deleted or result in (layout.FRAMES, layout.CROP_PREVIEW):
            return film in deleted
        if result == layout.SHOTS:
            return not Path(layout.FRAMES.format(size=self.config.frame_size, film=film)).exists()
        if layout.split_step(model)[0] not in self.config.models:
            return False
        if result == layout.LATENTS and not self._are_current(film, model):
            return False
        sounding = (layout.VIDEO, layout.EXPORT_FILE, layout.EXPORT_FOLDER, layout.DREAM)
        with_original = (layout.COMPARISON, layout.COMPOSITE, layout.COMPARISON_PAGE)
        needs_sound = result in (*sounding, *with_original) and self.config.has_sound(film)
        needs_frames = (
            result not in (*sounding, layout.POSTER, layout.POSTER_PAGE)
            and not Path(self._frames_file(film, model)).exists()
        )
        return needs_sound or needs_frames

    def _is_walk_kept(self, walk: WalkKeys, deleted: set[str]) -> bool:
        """Whether a walk needs a film that was deleted: for its sound, or for frames that are deleted too."""
        shown = {*(walk.films if walk.kind == "nearest" else ()), *filter(None, [walk.sound])}
        missing = {film for film in shown & deleted if not Path(self._frames_file(film, walk.model)).exists()}
        return bool(missing) or walk.sound in deleted

    def _pixels(self, film: str) -> str:
        images = self._images_identity(film) if is_images(self.config.film(film).source) else {}
        return json.dumps(self.config.film_pixels(film) | images, sort_keys=True)

    def _encoded(self, film: str, model: str) -> str:
        how, recipe = self.config.reconstruction, self.config.recipe(model).to_json()
        # without search and step, latents of versions that had none are current
        later = ({"search": how.search} if how.search else {}) | _given(step=layout.split_step(model)[1])
        made_of = {"frames": self._pixels(film), "noise": how.noise, "recipe": recipe} | later
        return json.dumps(made_of, sort_keys=True)

    def _digest(self, wildcards: Wildcards) -> str:
        film = self._film_of(wildcards)
        return _digest(self._encoded(film, model) for model in self._models_of(wildcards))

    def _gallery_digest(self) -> str:
        shown = self.config.gallery.items()
        return _digest(self._encoded(film, model) for (film, _size), models in shown for model in models)

    # --- inputs: Snakemake looks at the time of one only where it is not what the configuration asks for, and so at that of
    # what it is made of: a job that makes it again makes again what depends on it, and a file that was touched does not

    def _model_frames(self, film: str, model: str) -> str:
        return self._frames(film, self.config.recipe(model).frame_size)

    def _frames(self, film: str, size: str) -> str:
        path = layout.FRAMES.format(size=size, film=film)
        return self._ancient(path) if read_made_of(path) == self._pixels(film) else path

    def _model(self, model: str) -> str:
        if model not in self._models:
            path = layout.model_file(model)
            self._models[model] = self._ancient(path) if self._is_current(model, path) else path
        return self._models[model]

    def _is_current(self, model: str, path: str) -> bool:
        """Whether a file is the model as it is configured, or a link to what that was after so many steps.

        A job that makes the link again must not find it current: Snakemake then looks at no params of what depends on it.
        """
        if layout.split_step(model)[1] is None:
            return recipe_of_model(path) == self.config.recipe(model).to_json()
        kept = self._find(model)
        return kept is not None and Path(path).resolve() == kept.resolve()

    def _unless_made(self, path: str, result: str, digest: str) -> str:
        """An input of a result that has the digest of what it is made of: its time is ignored where that is current."""
        return self._ancient(path) if _holds(result, digest) else path

    def _latents(self, film: str, model: str) -> str:
        path = layout.LATENTS.format(film=film, model=model)
        return self._ancient(path) if read_made_of(path) == self._encoded(film, model) else path

    def _images_identity(self, film: str) -> dict[str, str]:
        """The rate of a film that is a folder of images, and what is in them."""
        if film not in self._digests:
            files = image_files(self.config.film(film).source)
            self._digests[film] = images_digest(files, Path(layout.IMAGES_INDEX.format(film=film)))
        return {"fps": str(self.config.film_rate(film)), "images": self._digests[film]}

    def _frames_file(self, film: str, model: str) -> str:
        return layout.FRAMES.format(size=self.config.recipe(model).frame_size, film=film)

    def _encoder(self, model: str) -> str:
        self.config.check_reconstructs(model)
        return self._model(model)

    def _trained(self, model: str) -> tuple[ModelFolder, Recipe]:
        """The folder of a model, or of one that is named as MODEL@STEP, and the recipe by which its files are found."""
        return ModelFolder(layout.MODEL.format(model=layout.split_step(model)[0])), self.config.recipe(model)

    def _find(self, model: str) -> Path | None:
        """The file of trained/ that a model is, if it was trained so far."""
        (folder, recipe), step = self._trained(model), layout.split_step(model)[1]
        return folder.find(recipe) if step is None else folder.find_early(recipe, step)

    def _predictor_folder(self, model: str) -> ModelFolder:
        return ModelFolder(layout.PREDICTOR.format(model=model))

    def _predicted_films(self, model: str) -> Sequence[str]:
        """The films that the predictor of a model is yet to be trained on. Raises RefilmError for a length that is shorter
        than was trained already."""
        folder, recipe = self._predictor_folder(model), self.config.predictor_recipe(model)
        if folder.find(recipe):
            return ()
        for step, checkpoint in checkpoints(folder.state / recipe.state_key())[:1]:
            if frames := metadata_of_model(checkpoint).get("frames"):
                check_length(checkpoint.parent, step, recipe.total_steps(int(frames)))
        return self.config.model(model).films

    def _is_trained(self, model: str) -> bool:
        return self._find(model) is not None

    def _check_keeps(self, model: str, step: int) -> None:
        """Raises RefilmError if a training does not keep its model after `step` steps, or did not when it was there."""
        folder, recipe = self._trained(model)
        place, total, reached = f"model '{model}@{step}'", recipe.steps, 0
        for latest, checkpoint in checkpoints(folder.state / recipe.state_key())[:1]:
            frames, reached = metadata_of_model(checkpoint).get("frames"), latest
            total = recipe.total_steps(int(frames)) if frames else total
        if trained := folder.find(recipe):
            total = reached = int(metadata_of_model(trained).get("steps", 0))
        if total and step > total:
            raise RefilmError(f"{place}: the training of '{model}' has {total:,} steps: ask for one of them")
        if reached >= step:
            fetch_training(folder, recipe)
            if not folder.find_early(recipe, step):
                raise RefilmError(
                    f"{place}: the training of '{model}' is past step {step} and did not keep it: to have it, train a model "
                    f"of another name with the same keys and keep: [{step}], or this one with another seed"
                )
        elif step != total and step not in self.config.kept_steps(model):
            raise RefilmError(
                f"{place}: the training of '{model}' does not keep this step: add keep: [{step}] to models.{model}"
            )

    def _check_length(self, model: str) -> None:
        folder, recipe = self._trained(model)
        for step, checkpoint in checkpoints(folder.state / recipe.state_key())[:1]:
            frames = metadata_of_model(checkpoint).get("frames")  # refilm 0.2 did not write it
            if recipe.steps is not None or frames:
                check_length(checkpoint.parent, step, recipe.total_steps(int(frames or 0)))

    def _source(self, film: str) -> str | list[str]:
        source = self.config.film(film).source
        if is_images(source):
            return self._images(film, source)
        if scheme_of(source):
            self._check_download(film, source)
        elif not self._is_available(film):
            raise RefilmError(f"film '{film}' is missing: put it at {source}, or set films.{film}.source")
        if replaced := self._replacement(film):
            raise RefilmError(f"film '{film}': {replaced}")
        return self._ancient(str(self._download(film, source)) if scheme_of(source) else _literal(source))

    def _images(self, film: str, source: str) -> list[str]:
        images = image_files(source)
        if not images:
            raise RefilmError(f"film '{film}' has no images: put them at {source}, or set films.{film}.source")
        return [_literal(image) for image in images]

    def _replacement(self, film: str) -> str:
        """How the film file differs from the one that frames of it were made of, and what to do; an empty string if it is
        the same, or not there. A result of refilm may be made again."""
        if film not in self._replaced:
            source = self.config.film(film).source
            path = self._download(film, source) if scheme_of(source) else Path(source)
            checked = self._checks_films and not source.startswith("results/") and path.is_file()
            self._replaced[film] = self._compared(film, path) if checked else ""
        return self._replaced[film]

    def _compared(self, film: str, path: Path) -> str:
        index = Path(layout.FILM_INDEX.format(film=film))
        found = [(str(frames), difference(path, frames, index)) for frames in sorted(layout.existing(_frames_of(film)))]
        other = [(frames, how) for frames, how in found if how]
        if not other:
            return ""
        names = " and ".join(frames for frames, _how in other)
        return (
            f"{path} is not the file that {names} was made of ({other[0][1]}): put that file back, give this one a name of "
            f"its own under films:, or delete {names} and all results of '{film}' to use it in its place"
        )

    def _is_available(self, film: str) -> bool:
        """Whether frames of the film can be made: its file was there when a plan first asked, or is fetched or made."""
        if film not in self._available:
            self._available[film] = _exists(self.config.film(film).source)
        return self._available[film]

    def _are_current(self, film: str, model: str) -> bool:
        """Whether latents are those of the model as it is configured and trained."""
        latents, trained = layout.LATENTS.format(film=film, model=model), layout.model_file(model)
        made_of = read_made_of(latents)
        if made_of.startswith("{"):
            known = json.loads(made_of)
            wanted = self.config.recipe(model).to_json(), layout.split_step(model)[1]
            return (str(known["recipe"]), known.get("step")) == wanted
        return self._is_trained(model) and Path(trained).stat().st_mtime <= Path(latents).stat().st_mtime

    def _download(self, film: str, address: str) -> Path:
        return Path(layout.DOWNLOAD.format(film=film, suffix=film_suffix(address)))

    def _check_download(self, film: str, address: str) -> None:
        """Raises RefilmError for a film that was fetched with another SHA-256 than is configured now."""
        wanted = (self.config.film(film).sha256 or "").lower()
        path = self._download(film, address)
        record = Path(layout.DOWNLOAD_RECORD.format(film=film, suffix=film_suffix(address)))
        if wanted and path.exists() and record.exists():
            found = json.loads(record.read_text(encoding="utf-8"))["sha256"]
            if found != wanted:
                raise RefilmError(
                    f"{path}: its sha256 is {found}, and films.{film}.sha256 is {wanted}: correct that, or delete {path} to "
                    "fetch the film again"
                )


def _exists(source: str) -> bool:
    """Whether a source is there, can be fetched, or is made by a rule."""
    if is_images(source):
        return bool(image_files(source))
    return bool(scheme_of(source)) or source.startswith("results/") or Path(source).exists()


def _path_of(pattern: str, wildcards: Wildcards) -> str:
    """The path of a pattern with a job's wildcards."""
    return re.sub(r"\{(\w+)\}", lambda name: str(getattr(wildcards, name[1])), pattern)


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _holds(path: str, digest: str) -> bool:
    """Whether a file has a digest near its beginning or its end; False where there is no file."""
    try:
        with open(path, "rb") as file:
            head = file.read(_SEARCHED)
            file.seek(max(0, Path(path).stat().st_size - _SEARCHED))
            return digest.encode() in head + file.read()
    except OSError:
        return False


def _frames_of(film: str) -> str:
    """The pattern of a film's frames at all sizes."""
    return layout.FRAMES.replace("{film}", film)


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _options(values: dict[str, Any]) -> list[str]:
    """Options of a command, always in the same order."""
    return [f"--{key}={value}" for key, value in sorted(values.items())]


def _literal(path: str) -> str:
    """A path as an input. Snakemake reads it as a pattern, and has no way to quote braces."""
    if _SNAKEMAKE_WILDCARD.search(path):
        raise RefilmError(f"{path}: Snakemake reads a word in braces in a file name as a wildcard: rename the file")
    return path


def _any_of(names: Iterable[str]) -> str:
    """A pattern that matches these names; without names, nothing."""
    return "|".join(names) or "(?!)"
