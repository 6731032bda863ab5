"""The provenance of what networks make, from that of the files that are read: see `refilm.core.provenance`."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from refilm.config.predictor_recipe import PredictorRecipe
from refilm.config.recipe import Recipe, metadata_of_model, training_key_of
from refilm.core.provenance import KEY, Record, film_of, made_by, model_record, parse_provenance, provenance_text
from refilm.frames.latents import LatentStore
from refilm.frames.store import FrameStore

Attributes = Mapping[str, Any]  # of a frames file or a latents file


def model_of(path: Path | str) -> Record | None:
    """The record of a model file. Of one that refilm 0.2 trained, it is unknown which files its films were."""
    metadata = metadata_of_model(path)
    known = parse_provenance(metadata.get(KEY))
    if known:
        model: Record = known["models"][0]
        return model
    if not metadata.keys() >= {"recipe", "steps", "refilm", "torch"}:
        return None
    written_by = {"command": "train_model", "refilm": metadata["refilm"], "commit": None, "torch": metadata["torch"]}
    training, steps = training_key_of(metadata["recipe"]), int(metadata["steps"])
    return model_record(Path(path).parent.name, metadata["recipe"], training, steps, None, written_by)


def text_of_training(
    name: str, recipe: Recipe, frame_files: Sequence[Path], initial: Path | str = ""
) -> Callable[[int], str]:
    """A function from a step to the text of what shows or is the model after it. name: of the model; initial: the file of
    the model from whose weights it starts."""
    started_from = model_of(initial) if initial else None
    films, written_by = [], made_by("train_model", "torch", "numpy")
    for file in frame_files:
        with FrameStore(file) as store:
            films.append(film_of(store.attributes))

    def text(step: int) -> str:
        record = model_record(name, recipe.to_json(), recipe.training_key(), step, films, written_by, started_from)
        return provenance_text(written_by, models=[record])

    return text


def text_of_model(path: Path | str, written_by: Record | None = None) -> str:
    """The text of what a model alone made, or of the model itself."""
    model = model_of(path)
    if model is None:
        return ""
    return provenance_text(written_by or model["made_by"], models=[model])


def text_of_latents(film: Attributes, model: Path | str, settings: Mapping[str, float]) -> str:
    """The text of a latents file. film: the attributes of the frames; settings: noise, and search where it is not 0."""
    written_by = made_by("encode_film", "torch", "h5py")
    record = model_of(model)
    name = f"{record['name']}/{record['training']}" if record else None
    latents = {"model": name, **settings, "made_by": written_by}
    return provenance_text(written_by, film_of(film), [record] if record else [], [latents])


def text_of_predictor(recipe: PredictorRecipe, model: Path | str, latents: Sequence[Attributes]) -> Callable[[int], str]:
    """A function from a step to the text of the predictor after it. latents: the attributes of those that it is trained
    on, by this model."""
    written_by, record = made_by("train_predictor", "torch", "h5py", "numpy"), model_of(model)

    def text(step: int) -> str:
        predictor = {"recipe": json.loads(recipe.to_json()), "training": recipe.training_key(), "steps": step}
        models = [record] if record else []
        return provenance_text(written_by, None, models, _encoded(latents), predictor=predictor | {"made_by": written_by})

    return text


def text_of_dream(
    written_by: Record, latents: Attributes, model: Path | str, predictor: Path | str, settings: Mapping[str, Any]
) -> str:
    """The text of a dream. latents: the attributes of those of the film that is continued; settings: start in seconds, seed,
    temperature."""
    known = parse_provenance(metadata_of_model(predictor).get(KEY)) or {}
    record = model_of(model)
    models = [record] if record else []
    others = {"predictor": known.get("predictor"), "dream": dict(settings)}
    return provenance_text(written_by, film_of(latents), models, _encoded([latents]), **others)


def text_of_decoded(
    written_by: Record, film: Attributes, latents: Sequence[Attributes], models: Sequence[Path | str]
) -> str:
    """The text of what shows decoded latents. film: the attributes of the frames or latents that say which film it is;
    latents: the attributes of each latents file, with the model that decoded it."""
    decoded_by = [record for file in models if (record := model_of(file))]
    return provenance_text(written_by, film_of(film), decoded_by, _encoded(latents))


def _encoded(latents: Sequence[Attributes]) -> list[Record | None]:
    """How each of these was encoded, by the attributes of the files; None where that is unknown."""
    known = [parse_provenance(attributes.get(KEY)) for attributes in latents]
    return [record["latents"][0] if record and record["latents"] else None for record in known]


def text_of_walk(written_by: Record, latents: Sequence[LatentStore], model: Path | str) -> str:
    """The text of a video that a model decoded of the latents of one film or several: those of several are its `films`."""
    known = [parse_provenance(store.attributes.get(KEY)) for store in latents]
    films = [record["film"] if record else None for record in known]
    several = {"films": films} if len(films) > 1 else {}
    decoded_by = [record for record in [model_of(model)] if record]
    return provenance_text(
        written_by, None if several else films[0], decoded_by, _encoded([store.attributes for store in latents]), **several
    )
