"""config.yaml: checked against the schema, then for consistency, with defaults filled in."""

import copy
import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from refilm import layout
from refilm.config.keys import (
    SLUG,
    BendKeys,
    BendStepKeys,
    ComparisonKeys,
    DreamKeys,
    ExportKeys,
    FilmKeys,
    GlobalKeys,
    ModelKeys,
    PosterKeys,
    PredictorKeys,
    ReconstructionKeys,
    RecordingKeys,
    TrainingKeys,
    VideoKeys,
    WalkKeys,
    defaults,
    keys_of,
)
from refilm.config.predictor_recipe import PredictorRecipe
from refilm.config.recipe import Recipe, parse_size
from refilm.config.recipes import RECIPES
from refilm.config.schema import Schema, key_at, schema
from refilm.config.transforms import LAYERS, TRANSFORMS
from refilm.core.curves import parse_curve
from refilm.core.errors import RefilmError, suggest, suggest_near
from refilm.core.times import parse_time
from refilm.sources.listing import SCHEMES, is_images, parse_rate, scheme_of

_NAMED = ("films", "models", "comparisons", "exports", "posters", "dreams", "walks", "bends")
_PIXEL_KEYS = ("start", "end", "crop", "fit")  # what decides which pixels of a film a model sees
_LATER_PIXEL_KEYS = (
    "deinterlace",
    "damaged",
)  # the same: newer keys, which a recipe names only where they are not the default
_SHAPE_KEYS = ("recipe", "frame_size", "base_channels", "latent_dim")  # what decides the shapes of the networks

_WALKS = {"moments": "a walk between moments", "film": "a walk along latents", "mixture": "a mixture of films",
          "nearest": "nearest frames"}  # fmt: skip
_UNUSED_BY_WALKS = {
    "moments": ("start", "end", "smooth", "speed", "reverse", "mix_with", "mix", "nearest_in", "blend"),
    "film": ("seconds", "mix"),
    "mixture": ("seconds", "nearest_in"),
    "nearest": ("latents", "path", "seconds", "smooth", "speed", "reverse", "mix_with", "mix", "loop", "blend", "fps"),
}

_MOST_PIXELS = 1e9  # of a poster: 3 GB

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the first is several times as fast, and not everywhere


class Config:
    """A checked configuration. `films`, `models`, `comparisons`, `exports`, `posters`, `dreams`, `walks`, `bends`: the keys
    of each entry by its name."""

    def __init__(self, raw: Mapping[str, Any], auto_channels: Callable[[str, Recipe, str], int] | None = None):
        """auto_channels: what `base_channels: auto` is, from a model, its recipe and the key `device`; without it that is
        the full network. Raises RefilmError, in one line, for the first thing that is wrong."""
        values = _read_texts(_normalise_yaml(copy.deepcopy(dict(raw))))
        _check_schema(values)
        self._training = _only(TrainingKeys, values.get("training", {}))
        self.frame_size: str = {**defaults(TrainingKeys), **self._training}["frame_size"]
        self.films = {name: _film(given) for name, given in values.get("films", {}).items()}
        self.models = {name: _model(given) for name, given in values.get("models", {}).items()}
        self._of_model = {name: _only(TrainingKeys, given) for name, given in values.get("models", {}).items()}
        self._recording = {
            name: _recording(values.get("training", {}) | given) for name, given in values.get("models", {}).items()
        }
        self.comparisons = {name: _comparison(given) for name, given in values.get("comparisons", {}).items()}
        self.exports = {name: ExportKeys(**given) for name, given in values.get("exports", {}).items()}
        self.posters = {name: PosterKeys(**given) for name, given in values.get("posters", {}).items()}
        self.walks = {name: _walk(given) for name, given in values.get("walks", {}).items()}
        self.bends = {name: _bend(given) for name, given in values.get("bends", {}).items()}
        self.dreams = {name: DreamKeys(**given) for name, given in values.get("dreams", {}).items()}
        self.predictor = PredictorKeys(**values.get("predictor", {}))
        self.reconstructions: list[str] = values.get("reconstructions", [])
        self.video = VideoKeys(**values.get("video", {}))
        self.reconstruction = ReconstructionKeys(**values.get("reconstruction", {}))
        self.settings = GlobalKeys(**_only(GlobalKeys, values))
        self._auto_channels = auto_channels or (lambda _model, recipe, _device: recipe.base_channels)
        self._recipes: dict[str, Recipe] = {}
        self._check_consistency()

    def film(self, name: str) -> FilmKeys:
        """The film's keys. Raises RefilmError with the nearest known name."""
        _check_name("film", name, self.films)
        return self.films[name]

    def model(self, name: str) -> ModelKeys:
        """The keys of a model, or of one that is named as MODEL@STEP, besides those of training. Raises RefilmError with the
        nearest known name."""
        model, _step = layout.split_step(name)
        _check_name("model", model, self.models)
        return self.models[model]

    def recording(self, model: str) -> RecordingKeys:
        """What the training of a model keeps and shows."""
        return self._recording[model]

    def preview_films(self, model: str) -> list[str]:
        """The films of preview_films that a model is not trained on; none where it cannot reconstruct them."""
        named = self.recording(model).preview_films if self.recipe(model).spec.reconstructs else ()
        return [film for film in named if film not in self.models[model].films]

    def kept_steps(self, model: str) -> list[int]:
        """After which steps of its training a model is kept: those of `keep`, and those that the configuration names."""
        pairs = [layout.split_pair(pair)[1] for pair in self.reconstructions]
        initial = [name for other in self.models if (name := self.initial_model(other))]
        named = [*pairs, *initial, *(name for comparison in self.comparisons.values() for name in comparison.models)]
        named += [export.model for export in self.exports.values()]
        named += [poster.model for poster in self.posters.values()]
        named += [walk.model for walk in self.walks.values()]
        named += [bend.model for bend in self.bends.values()]
        named += [dream.model for dream in self.dreams.values()]
        needed = {step for name, step in map(layout.split_step, named) if name == model and step is not None}
        return sorted({*self.recording(model).keep, *needed})

    def comparison(self, name: str) -> ComparisonKeys:
        """The comparison's keys. Raises RefilmError with the nearest known name."""
        _check_name("comparison", name, self.comparisons)
        return self.comparisons[name]

    def export(self, name: str) -> ExportKeys:
        """The export's keys. Raises RefilmError with the nearest known name."""
        _check_name("export", name, self.exports)
        return self.exports[name]

    def poster(self, name: str) -> PosterKeys:
        """The poster's keys. Raises RefilmError with the nearest known name."""
        _check_name("poster", name, self.posters)
        return self.posters[name]

    def walk(self, name: str) -> WalkKeys:
        """The walk's keys. Raises RefilmError with the nearest known name."""
        _check_name("walk", name, self.walks)
        return self.walks[name]

    def bend(self, name: str) -> BendKeys:
        """The bend's keys. Raises RefilmError with the nearest known name."""
        _check_name("bend", name, self.bends)
        return self.bends[name]

    def dream(self, name: str) -> DreamKeys:
        """The dream's keys. Raises RefilmError with the nearest known name."""
        _check_name("dream", name, self.dreams)
        return self.dreams[name]

    def predictor_recipe(self, model: str) -> PredictorRecipe:
        """Everything that decides the weights of the predictor of a model, or of one that is named as MODEL@STEP."""
        self.check_reconstructs(model)
        step, how = layout.split_step(model)[1], self.reconstruction
        training = self.recipe(model).training_key() + ("" if step is None else f"@{step}")
        keys = dataclasses.asdict(self.predictor)
        return PredictorRecipe(**keys, model=training, noise=how.noise, search=how.search)

    @cached_property
    def gallery(self) -> dict[tuple[str, str], list[str]]:
        """What the gallery shows: the models of the listed reconstructions, by film and frame size."""
        shown: dict[tuple[str, str], list[str]] = {}
        for film, model in map(layout.split_pair, self.reconstructions):
            shown.setdefault((film, self.recipe(model).frame_size), []).append(model)
        return shown

    def shown_models(self, film: str, size: str) -> list[str]:
        """The models whose reconstructions of a film, of one frame size, are shown together. Raises RefilmError for none."""
        self.film(film)
        if (film, size) not in self.gallery:
            raise RefilmError(f"film '{film}' has no reconstruction of {size}: add {film}_by_MODEL to reconstructions")
        return self.gallery[film, size]

    def film_title(self, name: str) -> str:
        """The film's title in pictures; its name where it has none."""
        return self.film(name).title or name

    def model_title(self, name: str) -> str:
        """The model's title in pictures; the titles of its films where it has none."""
        own, step = self.model(name), layout.split_step(name)[1]
        title = own.title or self._default_title(own)
        if not own.title and any(self._default_title(other) == title for other in self._others(name)):
            title = f"{title} ({layout.split_step(name)[0]})"
        return title if step is None else f"{title} after {step:,} steps"

    def _default_title(self, model: ModelKeys) -> str:
        return " + ".join(self.film_title(film) for film in model.films)

    def _others(self, name: str) -> list[ModelKeys]:
        """All other models that have no title of their own."""
        model = layout.split_step(name)[0]
        return [other for known, other in self.models.items() if known != model and not other.title]

    def recipe(self, name: str) -> Recipe:
        """Everything that decides the weights of a model, or of one that is named as MODEL@STEP besides the step."""
        model, _step = layout.split_step(name)
        if model not in self._recipes:
            films = {name: self.film_pixels(name) for name in self.model(model).films}
            settings = self._settings_of(model) | self._initial_training(model)
            self._recipes[model] = Recipe.from_settings(
                settings, films, lambda recipe: self._auto_channels(model, recipe, self.settings.device)
            )
        return self._recipes[model]

    def initial_model(self, model: str) -> str | None:
        """The model, or MODEL@STEP, from whose weights the training of a model starts."""
        name: str | None = self._settings_of(model).get("initial_model")
        return name

    def film_pixels(self, film: str) -> dict[str, str]:
        """What decides which pixels of a film are used; times in seconds, the same however they are written."""
        own = self.film(film)
        usual = defaults(FilmKeys)
        settings = {key: getattr(own, key) for key in _PIXEL_KEYS if getattr(own, key) is not None}
        settings |= {key: getattr(own, key) for key in _LATER_PIXEL_KEYS if getattr(own, key) != usual[key]}
        for key in settings.keys() & {"start", "end"}:
            settings[key] = f"{float(parse_time(settings[key], f'films.{film}.{key}')):.6f}".rstrip("0").rstrip(".")
        if own.fps is not None and settings.keys() & {"start", "end"}:
            settings["fps"] = str(self.film_rate(film))  # of images, which it counts into seconds
        return settings

    def film_rate(self, film: str) -> Fraction:
        """Frames per second of a film that is a folder of images."""
        fps = self.film(film).fps
        return parse_rate("" if fps is None else fps, f"films.{film}.fps")

    def films_of_images(self) -> list[str]:
        """The films that are folders of images."""
        return [name for name, film in self.films.items() if is_images(film.source)]

    def has_sound(self, film: str) -> bool:
        """Whether the film file is needed for its sound: not where `audio` is none, nor for images."""
        own = self.film(film)
        return own.audio != "none" and not is_images(own.source)

    def check_reconstructs(self, model: str) -> None:
        """Raises RefilmError for a model that cannot encode films."""
        recipe = self.recipe(model)
        if not recipe.spec.reconstructs:
            raise RefilmError(
                f"model '{model}' cannot reconstruct films: its recipe {recipe.recipe} has no encoder; "
                f"ask for {layout.SAMPLES.format(model=model)}"
            )

    def check_samples(self, model: str) -> None:
        """Raises RefilmError for a model that has no prior to sample from."""
        recipe = self.recipe(model)
        if not recipe.spec.samples:
            raise RefilmError(
                f"model '{model}' cannot make samples: its recipe {recipe.recipe} has no prior: use one of another recipe"
            )

    def _settings_of(self, model: str) -> dict[str, Any]:
        """The keys of training: that are given, those of the model before those of all."""
        common, own = dict(self._training), self._of_model[model]
        if any(own.get(key) is not None for key in ("epochs", "steps")):
            common.pop("epochs", None)
            common.pop("steps", None)
        return common | own

    def _initial_training(self, model: str) -> dict[str, str]:
        """initial_model as a recipe has it: a change of the other model's recipe makes another one of this."""
        name = self.initial_model(model)
        if name is None:
            return {}
        step = layout.split_step(name)[1]
        return {"initial_model": self.recipe(name).training_key() + ("" if step is None else f"@{step}")}

    def _check_initial_model(self, name: str) -> None:
        """Raises RefilmError if a model starts from one that is unknown, that starts from itself, or of another shape."""
        place, chain = f"config: models.{name}.initial_model", [name]
        while following := self.initial_model(chain[-1]):
            other = layout.split_step(following)[0]
            _check_known(f"config: models.{chain[-1]}.initial_model", "model", other, self.models)
            if other in chain:
                raise RefilmError(f"{place}: {' starts from '.join([*chain, other])}: one of them must start from another")
            chain.append(other)
        if len(chain) > 1:
            ours, others = self.recipe(name), self.recipe(chain[1])
            for key in _SHAPE_KEYS:
                if getattr(ours, key) != getattr(others, key):
                    raise RefilmError(
                        f"{place}: {chain[1]} has {key}: {getattr(others, key)}, and this model {getattr(ours, key)}: both "
                        f"need the same {', '.join(_SHAPE_KEYS)}"
                    )

    def _check_consistency(self) -> None:
        for name, film in self.films.items():
            _check_span(film, f"films.{name}")
            _check_source(film, f"config: films.{name}")
        for name in self.models:
            self._check_model(name)
        for entry in self.reconstructions:
            film_name, _, model = entry.partition("_by_")
            self._check_pair("config: reconstructions", film_name, [model])
        for name, comparison in self.comparisons.items():
            self._check_pair(f"config: comparisons.{name}", comparison.film, comparison.models)
            _check_span(comparison, f"comparisons.{name}")
            sizes = {model: self.recipe(model).frame_size for model in comparison.models}
            if len(set(sizes.values())) > 1:
                raise RefilmError(
                    f"config: comparisons.{name}: its models differ in frame_size {sizes}: choose models of one frame_size"
                )

        for name, export in self.exports.items():
            self._check_pair(f"config: exports.{name}", export.film, [export.model])
            _check_span(export, f"exports.{name}")
        for name, poster in self.posters.items():
            self._check_pair(f"config: posters.{name}", poster.film, [poster.model])
            _check_page(poster, f"config: posters.{name}")
        for name, walk in self.walks.items():
            self._check_walk(walk, f"walks.{name}")
        for name, bend in self.bends.items():
            self._check_bend(bend, f"bends.{name}")
        for name, dream in self.dreams.items():
            self._check_pair(f"config: dreams.{name}", dream.film, [dream.model])
            _check_start(dream, f"config: dreams.{name}")

    def _check_model(self, name: str) -> None:
        own, place = self._of_model[name], f"config: models.{name}"
        for film in self.models[name].films:
            _check_known(f"{place}.films", "film", film, self.films)
        for film in self.recording(name).preview_films:
            _check_known(f"{place}.preview_films", "film", film, self.films)
        if own.get("steps") is not None and own.get("epochs") is not None:
            raise RefilmError(f"{place}: both steps and epochs are given: keep one")
        recipe = {**defaults(TrainingKeys), **self._settings_of(name)}["recipe"]
        size_place = f"{place if 'frame_size' in own else 'config: training'}.frame_size"
        parse_size(own.get("frame_size", self.frame_size), size_place, RECIPES[recipe].size_multiple)
        self._check_initial_model(name)
        with _at(place):
            self.recipe(name)

    def _check_walk(self, walk: WalkKeys, place: str) -> None:
        _check_one_of(walk, place, "film", "latents", "moments")
        usual = defaults(WalkKeys)
        for key in _UNUSED_BY_WALKS[walk.kind]:
            if getattr(walk, key) != usual[key]:
                raise RefilmError(f"config: {place}.{key}: has no effect on {_WALKS[walk.kind]}: remove it")
        if walk.path == "neighbours" and not walk.moments:
            raise RefilmError(f"config: {place}.path: neighbours is a way between moments: give moments, or another path")
        if walk.film and walk.film in (walk.mix_with, walk.nearest_in):
            raise RefilmError(f"config: {place}: it has the film '{walk.film}' twice: name another one")
        if len(walk.moments) == 1:
            raise RefilmError(f"config: {place}.moments: one moment is not a way: give two or more")
        self._check_sound(walk.sound, place)
        _check_span(walk, place)
        for moment in walk.moments:
            parse_time(moment.partition("@")[2], f"config: {place}.moments")
        if walk.fps is not None:
            parse_rate(walk.fps, f"config: {place}.fps")
        least, most = parse_curve(walk.mix, f"config: {place}.mix").limits
        if least < 0 or most > 1:
            raise RefilmError(f"config: {place}.mix: {walk.mix}: a share lies between 0 and 1")
        _check_known(f"config: {place}", "model", layout.split_step(walk.model)[0], self.models)
        for film in walk.films:
            self._check_pair(f"config: {place}", film, [walk.model])

    def _check_bend(self, bend: BendKeys, place: str) -> None:
        _check_one_of(bend, place, "film", "latents")
        _check_span(bend, place)
        if bend.fps is not None:
            parse_rate(bend.fps, f"config: {place}.fps")
        _check_known(f"config: {place}", "model", layout.split_step(bend.model)[0], self.models)
        if bend.film:
            self._check_pair(f"config: {place}", bend.film, [bend.model])
        for number, step in enumerate(bend.transforms):
            _check_step(step, self.recipe(bend.model), f"config: {place}.transforms.{number}")

    def _check_sound(self, film: str | None, place: str) -> None:
        """Raises RefilmError if the film of a key `sound` has none."""
        if film is not None:
            _check_known(f"config: {place}.sound", "film", film, self.films)
            if not self.has_sound(film):
                raise RefilmError(
                    f"config: {place}.sound: film '{film}' is silent (images, or audio: none): name another one"
                )

    def _check_pair(self, place: str, film: str, models: Iterable[str]) -> None:
        _check_known(place, "film", film, self.films)
        for model in models:
            _check_known(place, "model", layout.split_step(model)[0], self.models)
            with _at(place):
                self.check_reconstructs(model)


@contextmanager
def _at(place: str) -> Iterator[None]:
    """Puts the place before the text of an error."""
    try:
        yield
    except RefilmError as error:
        raise RefilmError(f"{place}: {error}") from error


def _film(given: dict[str, Any]) -> FilmKeys:
    """A film's keys, with ~ in its path replaced by the user's folder."""
    path = given["source"]
    source = path if scheme_of(path) else str(Path(path).expanduser()) + "/" * path.endswith("/")
    return FilmKeys(**given | {"source": source})


def _model(given: dict[str, Any]) -> ModelKeys:
    return ModelKeys(**_only(ModelKeys, given) | {"films": tuple(given["films"])})


def _recording(given: dict[str, Any]) -> RecordingKeys:
    return RecordingKeys(**{key: tuple(value) for key, value in _only(RecordingKeys, given).items()})


def _comparison(given: dict[str, Any]) -> ComparisonKeys:
    return ComparisonKeys(**given | {"models": tuple(given["models"])})


def _walk(given: dict[str, Any]) -> WalkKeys:
    return WalkKeys(**given | {"moments": tuple(given.get("moments", ()))})


def _bend(given: dict[str, Any]) -> BendKeys:
    steps = ({**step, "channels": tuple(step.get("channels", ()))} for step in given["transforms"])
    return BendKeys(**given | {"transforms": tuple(BendStepKeys(**s | {"layers": tuple(s["layers"])}) for s in steps)})


def _only(section: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that are keys of one section."""
    known = {field.name for field in dataclasses.fields(section)}
    return {key: value for key, value in given.items() if key in known}


def _check_name(kind: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise RefilmError(f"unknown {kind} '{name}'{suggest(name, known)} (config: {kind}s)")


def _check_known(place: str, kind: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise RefilmError(f"{place}: unknown {kind} '{name}'{suggest(name, known)}")


def check_yaml(file: Path | str) -> None:
    """Raises RefilmError for a configuration file that is not YAML, and for two equal keys, of which YAML keeps the second:
    the films under the first would be lost."""
    try:
        unread = [yaml.compose(Path(file).read_text(encoding="utf-8"), _Loader)]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise RefilmError(
            f"config: {file}{line}: {error.problem or error.context}: put a text with a colon in quotes, as in title: "
            '"Alien: Covenant", indent with spaces, and close every bracket'
        ) from error
    while unread:
        node = unread.pop()
        if isinstance(node, yaml.SequenceNode):
            unread += node.value
        if isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                if name in lines:
                    raise RefilmError(
                        f"config: {file}, line {line}: duplicate key '{name}:', first on line {lines[name]}: merge the two"
                    )
                lines[name] = line
                unread.append(value)


def _check_one_of(values: WalkKeys | BendKeys, place: str, *keys: str) -> None:
    given = [key for key in keys if getattr(values, key)]
    if len(given) != 1:
        found = f"{' and '.join(given)} are given" if given else "none of them is given"
        raise RefilmError(f"config: {place}: {found}: give either {', '.join(keys[:-1])} or {keys[-1]}")


def _check_step(step: BendStepKeys, recipe: Recipe, place: str) -> None:
    """Raises RefilmError for numbers that a transform does not take, and for layers and channels that a decoder has not."""
    taken = TRANSFORMS[step.transform].parameters
    for name in ("by", "x", "y"):
        if getattr(step, name) is not None and name not in taken:
            numbers = f"it takes {' and '.join(taken)}" if taken else "it takes no number"
            raise RefilmError(f"{place}.{name}: {step.transform} does not take it: {numbers}")
    for name, curve in {"amount": step.amount, **step.parameters()}.items():
        parse_curve(curve, f"{place}.{name}")
    if step.channels and step.share != 1:
        raise RefilmError(f"{place}: both channels and share are given: keep one")
    if 0 in step.layers and not recipe.spec.linear_code:
        raise RefilmError(f"{place}.layers: 0: {recipe.recipe} has no linear code: its layers are 1 to {LAYERS}")
    for layer in step.layers if step.channels else ():
        count = recipe.base_channels * 2 ** (LAYERS - layer) if layer else 3
        if max(step.channels) >= count:
            raise RefilmError(f"{place}.channels: {max(step.channels)}: layer {layer} has {count}, from 0 to {count - 1}")


def _check_span(values: FilmKeys | ComparisonKeys | ExportKeys | WalkKeys | BendKeys, place: str) -> None:
    start, end = (
        None if value is None else parse_time(value, f"config: {place}.{key}")
        for key, value in (("start", values.start), ("end", values.end))
    )
    if end is not None and end <= (start or 0):
        raise RefilmError(f"config: {place}: end {values.end} is not after start {values.start or 0}")


def _check_start(dream: DreamKeys, place: str) -> None:
    if dream.start is not None and parse_time(dream.start, f"{place}.start") == 0:
        raise RefilmError(f"{place}.start: {dream.start}: a dream continues a film: let it start after the first frame")


def _check_page(poster: PosterKeys, place: str) -> None:
    pixels = poster.width * poster.height / 25.4**2 * poster.dpi**2
    if pixels > _MOST_PIXELS:
        raise RefilmError(
            f"{place}: {poster.width:g} x {poster.height:g} mm at {poster.dpi} dpi are {pixels / 1e6:,.0f} million pixels: "
            f"at most {_MOST_PIXELS / 1e6:,.0f} fit into memory: lower dpi"
        )


def _check_source(film: FilmKeys, place: str) -> None:
    source, scheme = film.source, scheme_of(film.source)
    if scheme and scheme not in SCHEMES:
        raise RefilmError(f"{place}.source: {source}: only {', '.join(SCHEMES)} addresses are supported: download the film")
    if is_images(source):
        _check_images(film, place)
    elif film.fps is not None:
        raise RefilmError(f"{place}.fps: only a folder of images needs it; {source} has its own rate: remove fps")


def _check_images(film: FilmKeys, place: str) -> None:
    if film.fps is None:
        raise RefilmError(f"{place}: the images {film.source} have no rate of their own: add fps, such as fps: 24")
    parse_rate(film.fps, f"{place}.fps")
    if film.audio not in ("auto", "none"):
        raise RefilmError(f"{place}.audio: {film.audio}: the images {film.source} have no sound: remove audio")
    usual = defaults(FilmKeys)
    for key in (*_LATER_PIXEL_KEYS, "sha256"):
        if getattr(film, key) != usual[key]:
            raise RefilmError(f"{place}.{key}: only for film files, and {film.source} are images: remove {key}")


def _read_texts(value: Any, place: tuple[str, ...] = ()) -> Any:
    """The configuration with the numbers and truth values that Snakemake hands on as texts: from the command line, as in
    `--config tensorboard=true "training={'steps': 8}"`. Of keys that take text it is a text."""
    if isinstance(value, dict):
        return {key: _read_texts(entry, (*place, str(key))) for key, entry in value.items()}
    if isinstance(value, list):
        return [_read_texts(entry, place) for entry in value]
    key = key_at(place) if isinstance(value, str) else None
    if key is None or key.pattern or value in key.choices or (str in key.types and not key.choices):
        return value
    read = yaml.load(value, _Loader)
    return read if isinstance(read, bool | int | float | None) else value


def _normalise_yaml(values: dict[str, Any]) -> dict[str, Any]:
    """YAML reads a film called 2001 as a number, and on as true; these are text. An entry set to ~ is removed."""
    for section in _NAMED:
        if isinstance(values.get(section), dict):
            named = values[section].items()
            values[section] = {
                name if isinstance(name, (str, bool)) else str(name): entry for name, entry in named if entry is not None
            }
    films = values.get("films")
    for film in films.values() if isinstance(films, dict) else ():
        if isinstance(film, dict) and isinstance(film.get("deinterlace"), bool):
            film["deinterlace"] = "on" if film["deinterlace"] else "off"
    return {key: value for key, value in values.items() if value is not None}


def _check_schema(values: dict[str, Any]) -> None:
    for section in _NAMED:
        for name in values.get(section) or {}:
            if not isinstance(name, str) or not re.fullmatch(SLUG, name):
                raise RefilmError(
                    f"config: {section}: {name!r} is not a valid name: use a-z, 0-9 and -, starting with a letter or a digit"
                    + (", in quotes" if isinstance(name, bool) else "")
                )
    error = best_match(Draft202012Validator(schema()).iter_errors(values))
    if error is not None:
        raise RefilmError(f"config: {_format_schema_error(error)}")


def _format_schema_error(error: ValidationError) -> str:
    place = ".".join(str(part) for part in error.absolute_path)
    given, limit, part = cast(Any, error.instance), cast(Any, error.validator_value), cast(Schema, error.schema)
    if error.validator == "additionalProperties":
        return _format_unknown_key(given, part["properties"], f"{place}." if place else "")
    if error.validator == "required":
        return f"{place}: '{next(key for key in limit if key not in given)}' is missing"
    value = repr(given) if len(repr(given)) < 80 else f"{repr(given)[:77]}..."
    if error.validator == "enum" and "anyOf" not in error.absolute_schema_path:
        return f"{place}: {value} is not one of {_format_choices(given, limit)}"
    key = key_at(list(error.absolute_path))
    meaning = f"{key.summary} ({key.values()})" if key else part.get("description", error.message)
    return f"{place or 'the whole file'}: invalid value {value}: {meaning}"


def _format_unknown_key(given: Iterable[str], known: Schema, place: str) -> str:
    unknown = next(key for key in given if key not in known)
    renamed = {key.former: key.name for key in keys_of(TrainingKeys).values() if key.former}
    if renamed.get(unknown) in known:
        return f"{place}{unknown}: this key is now called {renamed[unknown]}"
    return f"{place}{unknown}: unknown key{suggest(unknown, known)}"


def _format_choices(given: Any, choices: list[Any]) -> str:
    """The choices, and the nearest one where there is one."""
    known = [str(choice).lower() if isinstance(choice, bool) else str(choice) for choice in choices]
    return ", ".join(known) + suggest_near(str(given), known)
