"""The JSON Schema of config.yaml, made of the keys."""

from collections.abc import Sequence
from types import NoneType
from typing import Any

from refilm.config.keys import (
    MODEL_STEP,
    SLUG,
    BendKeys,
    BendStepKeys,
    ComparisonKeys,
    DreamKeys,
    ExportKeys,
    FilmKeys,
    GlobalKeys,
    Key,
    ModelKeys,
    PosterKeys,
    PredictorKeys,
    ReconstructionKeys,
    RecordingKeys,
    TrainingKeys,
    VideoKeys,
    WalkKeys,
    keys_of,
)

Schema = dict[str, Any]
_SECTIONS: dict[str, tuple[type, ...]] = {
    "films": (FilmKeys,),
    "models": (ModelKeys, TrainingKeys, RecordingKeys),
    "training": (TrainingKeys, RecordingKeys),
    "comparisons": (ComparisonKeys,),
    "exports": (ExportKeys,),
    "posters": (PosterKeys,),
    "walks": (WalkKeys,),
    "bends": (BendKeys,),
    "dreams": (DreamKeys,),
    "predictor": (PredictorKeys,),
    "video": (VideoKeys,),
    "reconstruction": (ReconstructionKeys,),
}
_BY_NAME = ("films", "models", "comparisons", "exports", "posters", "dreams", "walks", "bends")
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", tuple: "array", NoneType: "null"}


def schema() -> Schema:
    """The whole of it, as plain lists and dicts."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "refilm configuration",
        "description": "The keys of config/config.yaml. config/README.md explains them with examples.",
        **_object(
            {
                "films": _by_name("the films, by name", _section(*_SECTIONS["films"])),
                "models": _by_name("the models, by name", _section(*_SECTIONS["models"])),
                "training": {"description": "the recipe of every model", **_section(*_SECTIONS["training"])},
                "reconstructions": {
                    "description": "the videos that `snakemake` makes when no target is given, each written FILM_by_MODEL "
                    "or FILM_by_MODEL@STEP",
                    "type": "array",
                    "items": {
                        "description": "FILM_by_MODEL, such as koyaanisqatsi_by_bladerunner",
                        "type": "string",
                        "pattern": f"^{SLUG}_by_{MODEL_STEP}$",
                    },
                },
                "comparisons": _by_name("comparison clips, by name", _section(*_SECTIONS["comparisons"])),
                "posters": _by_name("frames of a film on one page, by name", _section(*_SECTIONS["posters"])),
                "exports": _by_name("reconstructions for a screen or a wall, by name", _section(*_SECTIONS["exports"])),
                "walks": _by_name("videos of paths through latents, by name", _section(*_SECTIONS["walks"])),
                "bends": _by_name("films by a model whose decoder is bent, by name", _bend()),
                "dreams": _by_name("films that a network continues, by name", _section(*_SECTIONS["dreams"])),
                "predictor": {"description": "how predictors are trained", **_section(*_SECTIONS["predictor"])},
                "video": {"description": "how results are encoded", **_section(*_SECTIONS["video"])},
                "reconstruction": {"description": "how models reconstruct films", **_section(*_SECTIONS["reconstruction"])},
                **_section(GlobalKeys)["properties"],
            }
        ),
    }


def key_at(path: Sequence[str | int]) -> Key | None:
    """The key at a place of the configuration, such as (films, bikes, start); None where there is none."""
    section, *below = path or [""]
    if not below:
        return keys_of(GlobalKeys).get(str(section))
    if section == "bends" and below[1:2] == ["transforms"]:
        names = [part for part in below[2:] if isinstance(part, str)]
        return keys_of(BendStepKeys).get(names[0]) if names else None
    name = str(below[1] if section in _BY_NAME and len(below) > 1 else below[0])
    known = {key: entry for keys in _SECTIONS.get(str(section), ()) for key, entry in keys_of(keys).items()}
    return known.get(name)


def _object(properties: Schema) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _by_name(description: str, entry: Schema) -> Schema:
    return {"description": description, "type": "object", "additionalProperties": entry}


def _section(*sections: type) -> Schema:
    keys = {name: key for section in sections for name, key in keys_of(section).items()}
    required = [name for name, key in keys.items() if key.required]
    return _object({name: _key(key) for name, key in keys.items()}) | ({"required": required} if required else {})


def _bend() -> Schema:
    """A bend: its keys, and the list of its transforms."""
    bend = _section(*_SECTIONS["bends"])
    steps = {"description": "what is done to the features, in this order", "type": "array", "minItems": 1}
    bend["properties"]["transforms"] = steps | {"items": _section(BendStepKeys)}
    return bend | {"required": [*bend["required"], "transforms"]}


def _key(key: Key) -> Schema:
    made: Schema = {"description": " ".join(key.description.split())} | _values(key)
    if not key.required and key.default is not None:
        made["default"] = list(key.default) if isinstance(key.default, tuple) else key.default
    return made


def _values(key: Key) -> Schema:
    limits = {
        "minimum": key.minimum,
        "maximum": key.maximum,
        "exclusiveMinimum": key.above,
        "exclusiveMaximum": key.below,
        "multipleOf": key.multiple_of,
        "pattern": key.pattern,
    }
    given = {name: limit for name, limit in limits.items() if limit is not None}
    if tuple in key.types:
        item = "string" if key.pattern else "integer"
        least = {} if key.default == () else {"minItems": 1}
        return {"type": "array", **least, "uniqueItems": not key.repeats, "items": {"type": item, **given}}
    others = [_TYPES[kind] for kind in key.types if kind in (int, float, NoneType)]  # than the words
    if key.choices and others:
        return {"anyOf": [{"enum": list(key.choices)}, {"type": others, **given}]}
    if key.choices:
        return {"enum": list(key.choices)}
    types = [_TYPES[kind] for kind in key.types]
    return {"type": types[0] if len(types) == 1 else types, **given, **({"minLength": 1} if key.required else {})}
