"""config.yaml: checked against the schema, then for sense, with defaults filled in; and what the rules ask of it."""

import copy
import json
import re
from fractions import Fraction
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from refilm.config.recipe import Recipe, parse_size
from refilm.config.recipes import RECIPES
from refilm.core.errors import RefilmError, suggest
from refilm.core.times import parse_time
from refilm.sources.listing import SCHEMES, is_images, parse_rate, scheme_of

SLUG = "[a-z0-9][a-z0-9-]*"
_NAMED = ("films", "models", "comparisons")
_PIXEL_KEYS = ("start", "end", "crop", "fit")  # what of a film decides which pixels a model sees
# The same, of keys that came later: where they say what was done before them, recipes do not name them.
_LATER_PIXEL_KEYS = {"deinterlace": "auto", "damaged": "refuse"}


class Config:
    """A checked configuration. `films`, `models`, `comparisons`: dicts by name, with defaults filled in."""

    def __init__(self, raw: dict, schema_file: Path | str):
        """Raises RefilmError, in one line, for the first thing that is wrong."""
        schema = yaml.safe_load(Path(schema_file).read_text(encoding="utf-8"))
        values = _normalise_yaml(copy.deepcopy(raw))
        _check_schema(values, schema)
        self._training_keys = schema["$defs"]["training"]["properties"].keys()
        self._training_defaults = _defaults(schema["$defs"]["training"])
        self._training_given = values.get("training", {})
        self.training = self._training_defaults | self._training_given
        film_defaults = _defaults(schema["$defs"]["film"])
        comparison_defaults = _defaults(schema["$defs"]["comparison"])
        self.films = {name: film_defaults | _expand_user(film) for name, film in values.get("films", {}).items()}
        self.models = values.get("models", {})
        self.comparisons = {name: comparison_defaults | c for name, c in values.get("comparisons", {}).items()}
        self.reconstructions = values.get("reconstructions", [])
        self.video = _defaults(schema["properties"]["video"]) | values.get("video", {})
        self.hwaccel = values.get("hwaccel", schema["properties"]["hwaccel"]["default"])
        self.device = values.get("device", schema["properties"]["device"]["default"])
        self.reconstruction = _defaults(schema["properties"]["reconstruction"]) | values.get("reconstruction", {})
        self.gpus = values.get("gpus", schema["properties"]["gpus"]["default"])
        self.compile = str(values.get("compile", schema["properties"]["compile"]["default"])).lower()
        self.tensorboard = values.get("tensorboard", schema["properties"]["tensorboard"]["default"])
        self._check_consistency()

    def film(self, name: str) -> dict:
        """The film's settings. Raises RefilmError with the nearest known name."""
        return self._named("film", self.films, name)

    def model(self, name: str) -> dict:
        return self._named("model", self.models, name)

    def comparison(self, name: str) -> dict:
        return self._named("comparison", self.comparisons, name)

    def film_title(self, name: str) -> str:
        """How a film is called in pictures: its title, else its name."""
        return self.film(name).get("title") or name

    def model_title(self, name: str) -> str:
        """How a model is called in pictures: its title, else by the films that it watched."""
        own = self.model(name)
        return own.get("title") or " + ".join(self.film_title(film) for film in own["films"])

    def recipe(self, model: str) -> Recipe:
        """Everything that decides the weights of a model."""
        own = self.model(model)
        given = self._training_given | {key: own[key] for key in self._training_keys if key in own}
        spec = RECIPES[given.get("recipe", self.training["recipe"])]
        values = self._training_defaults | dict(spec.defaults) | given
        length = next((key for key in ("steps", "epochs") if own.get(key) is not None), None)
        if length:
            values |= {key: None for key in ("steps", "epochs") if key != length}
        elif values.get("steps") is not None:
            values["epochs"] = None
        values |= {key: default for key, default in self._training_defaults.items() if key in spec.unused}
        films = {name: self.film_pixels(name) for name in own["films"]}
        return Recipe.from_json(json.dumps({**values, "architecture_version": spec.version, "films": films}))

    def film_pixels(self, film: str) -> dict[str, str]:
        """What decides which pixels of a film are seen; times in seconds, the same however they were written."""
        settings = {key: self.film(film)[key] for key in _PIXEL_KEYS if self.film(film).get(key) is not None}
        settings |= {key: self.film(film)[key] for key, plain in _LATER_PIXEL_KEYS.items() if self.film(film)[key] != plain}
        for key in settings.keys() & {"start", "end"}:
            settings[key] = f"{float(parse_time(settings[key], f'films.{film}.{key}')):.6f}".rstrip("0").rstrip(".")
        if "fps" in self.film(film) and settings.keys() & {"start", "end"}:
            settings["fps"] = str(self.film_rate(film))  # of images, which it counts into seconds
        return settings

    def film_rate(self, film: str) -> Fraction:
        """Frames a second of a film that is a folder of images."""
        return parse_rate(self.film(film)["fps"], f"films.{film}.fps")

    def films_of_images(self) -> list[str]:
        return [name for name, film in self.films.items() if is_images(film["source"])]

    def has_sound(self, film: str) -> bool:
        """Whether the film file is needed for its sound: not where silence is wanted, nor for images."""
        return self.film(film)["audio"] != "none" and not is_images(self.film(film)["source"])

    def _named(self, kind: str, known: dict, name: str) -> dict:
        if name not in known:
            raise RefilmError(
                f"unknown {kind} '{name}'{suggest(name, known)} ({kind}s are declared in config/config.yaml under {kind}s:)"
            )
        return known[name]

    def _check_consistency(self) -> None:
        for name, film in self.films.items():
            _check_span(film, f"films.{name}")
            _check_source(film, f"config: films.{name}")
        for name, model in self.models.items():
            for film in model["films"]:
                if film not in self.films:
                    raise RefilmError(f"config: models.{name}.films: unknown film '{film}'{suggest(film, self.films)}")
            if model.get("steps") is not None and model.get("epochs") is not None:
                raise RefilmError(f"config: models.{name}: both steps and epochs are given: keep one")
            size = model.get("frame_size", self.training["frame_size"])
            parse_size(size, f"config: {f'models.{name}' if 'frame_size' in model else 'training'}.frame_size")
        for entry in self.reconstructions:
            film, _, model = entry.partition("_by_")
            self._check_pair("reconstructions", film, [model])
        for name, comparison in self.comparisons.items():
            self._check_pair(f"comparisons.{name}", comparison["film"], comparison["models"])
            _check_span(comparison, f"comparisons.{name}")
            sizes = {model: self.recipe(model).frame_size for model in comparison["models"]}
            if len(set(sizes.values())) > 1:
                raise RefilmError(f"config: comparisons.{name}: its models differ in frame_size {sizes}: compare equals")

    def _check_pair(self, place: str, film: str, models: list[str]) -> None:
        if film not in self.films:
            raise RefilmError(f"config: {place}: unknown film '{film}'{suggest(film, self.films)}")
        for model in models:
            if model not in self.models:
                raise RefilmError(f"config: {place}: unknown model '{model}'{suggest(model, self.models)}")


def reject_duplicate_keys(file: Path | str) -> None:
    """YAML lets the second of two equal keys win without a word, and films declared under the first are gone. Raises
    RefilmError that names both lines."""
    unread = [yaml.compose(Path(file).read_text(encoding="utf-8"), yaml.SafeLoader)]
    while unread:
        node = unread.pop()
        if isinstance(node, yaml.SequenceNode):
            unread += node.value
        if isinstance(node, yaml.MappingNode):
            lines = {}
            for key, value in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                if name in lines:
                    raise RefilmError(
                        f"config: {file}, line {line}: '{name}:' stands on line {lines[name]} already: keep one, with all"
                        " that belongs under it"
                    )
                lines[name] = line
                unread.append(value)


def _check_span(values: dict, place: str) -> None:
    start, end = (
        parse_time(values[key], f"config: {place}.{key}") if values.get(key) is not None else None
        for key in ("start", "end")
    )
    if end is not None and end <= (start or 0):
        raise RefilmError(f"config: {place}: end {values['end']} is not after start {values.get('start', 0)}")


def _check_source(film: dict, place: str) -> None:
    source, scheme = film["source"], scheme_of(film["source"])
    if scheme and scheme not in SCHEMES:
        raise RefilmError(f"{place}.source: {source}: only {', '.join(SCHEMES)} addresses can be fetched: download the film")
    if not is_images(source):
        if "fps" in film:
            raise RefilmError(f"{place}.fps: only a folder of images needs it; {source} has its own rate: take fps out")
        return
    if "fps" not in film:
        raise RefilmError(f"{place}: the images {source} have no rate of their own: add fps, such as fps: 24")
    parse_rate(film["fps"], f"{place}.fps")
    if film["audio"] not in ("auto", "none"):
        raise RefilmError(f"{place}.audio: {film['audio']}: the images {source} have no sound: take audio out")
    for key, plain in _LATER_PIXEL_KEYS.items():
        if film[key] != plain:
            raise RefilmError(f"{place}.{key}: {film[key]}: this is for film files, and {source} are images: take it out")
    if "sha256" in film:
        raise RefilmError(f"{place}.sha256: this is the sum of one file, and {source} are many: take sha256 out")


def _expand_user(film: dict) -> dict:
    """The film with ~ in its path made the user's folder."""
    path = film["source"]
    return film | {"source": path if scheme_of(path) else str(Path(path).expanduser()) + "/" * path.endswith("/")}


def _normalise_yaml(values: dict) -> dict:
    """YAML reads a film called 2001 as a number, and on as true; these are text. An entry set to ~ is taken out."""
    for section in _NAMED:
        if isinstance(values.get(section), dict):
            named = values[section].items()
            values[section] = {
                name if isinstance(name, (str, bool)) else str(name): entry for name, entry in named if entry is not None
            }
    films = values.get("films")
    for film in films.values() if isinstance(films, dict) else ():
        if isinstance(film, dict) and isinstance(film.get("deinterlace"), bool):
            film["deinterlace"] = "on" if film["deinterlace"] else "off"  # which YAML reads as true and false
    return {key: value for key, value in values.items() if value is not None}


def _check_schema(values: dict, schema: dict) -> None:
    for section in _NAMED:
        for name in values.get(section) or {}:
            if not isinstance(name, str) or not re.fullmatch(SLUG, name):
                raise RefilmError(
                    f"config: {section}: {name!r} cannot be a name: use a-z, 0-9 and -, beginning with a letter or a digit"
                    + (", in quotes" if isinstance(name, bool) else "")
                )
    error = best_match(Draft202012Validator(schema).iter_errors(values))
    if error is not None:
        raise RefilmError(f"config: {_format_schema_error(error)}")


def _format_schema_error(error) -> str:
    place = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties":
        known = error.schema["properties"]
        key = next(key for key in error.instance if key not in known)
        return f"{place + '.' if place else ''}{key}: unknown key{suggest(key, known)}"
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return f"{place}: '{missing}' is missing"
    meaning = " ".join(error.schema.get("description", "").split())
    value = repr(error.instance) if len(repr(error.instance)) < 80 else f"{repr(error.instance)[:77]}..."
    if error.validator == "enum":
        return f"{place}: {value} is none of {', '.join(map(str, error.validator_value))}{_close(error)}"
    return f"{place or 'the whole file'}: {value} will not do: {meaning or error.message}"


def _close(error) -> str:
    said = suggest(str(error.instance), [str(value) for value in error.validator_value])
    return said if "did you mean" in said else ""


def _defaults(schema: dict) -> dict:
    return {key: value["default"] for key, value in schema["properties"].items() if "default" in value}
