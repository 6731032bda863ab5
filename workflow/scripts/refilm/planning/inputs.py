"""What results are made of, as inputs and as texts: frames, models and latents."""

import json
from collections.abc import Callable
from pathlib import Path

from refilm import layout
from refilm.config.configuration import Config
from refilm.config.model_folder import ModelFolder
from refilm.config.recipe import Recipe, recipe_of_model
from refilm.core.errors import RefilmError
from refilm.core.made_of import read_made_of
from refilm.planning.film_inputs import FilmInputs
from refilm.planning.texts import given, holds, literal
from refilm.sources.images_index import images_digest


class Inputs(FilmInputs):
    """Films, and what networks make of them: models and latents.

    `encoded` and `decoded` are texts of all that decides a result. A change of it makes the result again, and nothing else
    does, no time of a file.
    """

    def __init__(self, config: Config, ancient: Callable[[str], str] = str, checks_films: bool = True):
        super().__init__(config, ancient, checks_films)
        self._models: dict[str, str] = {}  # what many jobs ask is looked at once

    def encoded(self, film: str, model: str) -> str:
        """What decides the latents of a film by a model, as JSON."""
        how, recipe = self.config.reconstruction, self.config.recipe(model).to_json()
        # without search and step, latents of versions that had none are current
        later = ({"search": how.search} if how.search else {}) | given(step=layout.split_step(model)[1])
        made_of = {"frames": self.pixels(film), "noise": how.noise, "recipe": recipe} | later
        return json.dumps(made_of, sort_keys=True)

    def decoded(self, latents: str, model: str, name: str) -> str:
        """What decides what a model makes of a latents file of the user's. Without the file, as it was last seen."""
        index = Path(layout.LATENTS_INDEX.format(name=name))
        digest = images_digest([latents] if Path(latents).exists() else [], index)
        recipe, step = self.config.recipe(model).to_json(), layout.split_step(model)[1]
        return json.dumps({"latents": digest, "recipe": recipe} | given(step=step), sort_keys=True)

    def model_frames(self, film: str, model: str) -> str:
        """The frames of a film at the size of a model."""
        return self.frames(film, self.config.recipe(model).frame_size)

    def frames_file(self, film: str, model: str) -> str:
        """The path of these frames."""
        return layout.FRAMES.format(size=self.config.recipe(model).frame_size, film=film)

    def model(self, model: str) -> str:
        """A trained model, or one that is named as MODEL@STEP."""
        if model not in self._models:
            path = layout.model_file(model)
            self._models[model] = self.ancient(path) if self._is_current(model, path) else path
        return self._models[model]

    def _is_current(self, model: str, path: str) -> bool:
        """Whether a file is the model as it is configured, or a link to what that was after so many steps.

        A job that makes the link again must not find it current: Snakemake then looks at no params of what depends on it.
        """
        if layout.split_step(model)[1] is None:
            return recipe_of_model(path) == self.config.recipe(model).to_json()
        kept = self.find(model)
        return kept is not None and Path(path).resolve() == kept.resolve()

    def encoder(self, model: str) -> str:
        """The model that encodes a film. Raises RefilmError for one that has no encoder."""
        self.config.check_reconstructs(model)
        return self.model(model)

    def latents(self, film: str, model: str) -> str:
        """The latents of a film by a model."""
        path = layout.LATENTS.format(film=film, model=model)
        return self.ancient(path) if read_made_of(path) == self.encoded(film, model) else path

    def own_latents(self, latents: str, place: str) -> str:
        """A latents file of the user's as an input, whose digest is in the params."""
        if not (Path(latents).exists() or latents.startswith("results/")):
            raise RefilmError(f"{latents}: the latents file is missing: put it there, or set {place}.latents")
        return self.ancient(literal(latents))

    def unless_made(self, path: str, result: str, digest: str) -> str:
        """An input of a result that has the digest of what it is made of: its time is ignored where that is current."""
        return self.ancient(path) if holds(result, digest) else path

    def are_current(self, film: str, model: str) -> bool:
        """Whether latents are those of the model as it is configured and trained."""
        latents, trained = layout.LATENTS.format(film=film, model=model), layout.model_file(model)
        made_of = read_made_of(latents)
        if made_of.startswith("{"):
            known = json.loads(made_of)
            wanted = self.config.recipe(model).to_json(), layout.split_step(model)[1]
            return (str(known["recipe"]), known.get("step")) == wanted
        return self.is_trained(model) and Path(trained).stat().st_mtime <= Path(latents).stat().st_mtime

    def trained(self, model: str) -> tuple[ModelFolder, Recipe]:
        """The folder of a model, or of one that is named as MODEL@STEP, and the recipe by which its files are found."""
        return ModelFolder(layout.MODEL.format(model=layout.split_step(model)[0])), self.config.recipe(model)

    def find(self, model: str) -> Path | None:
        """The file of trained/ that a model is, if it was trained so far."""
        (folder, recipe), step = self.trained(model), layout.split_step(model)[1]
        return folder.find(recipe) if step is None else folder.find_early(recipe, step)

    def is_trained(self, model: str) -> bool:
        """Whether a model was trained as it is configured."""
        return self.find(model) is not None

    def predictor_folder(self, model: str) -> ModelFolder:
        """The folder of the predictor of a model."""
        return ModelFolder(layout.PREDICTOR.format(model=model))
