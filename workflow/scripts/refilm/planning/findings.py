"""What the rule of findings asks."""

import json

from refilm import layout
from refilm.core.errors import RefilmError
from refilm.planning.inputs import Inputs
from refilm.planning.networks import Networks
from refilm.planning.plans import Plans
from refilm.planning.snakemake_functions import Wildcards, exit_on_error
from refilm.planning.texts import digest_of_texts


class Findings(Plans):
    """What the text of 2016 says, measured on the reconstructions of a model."""

    def __init__(self, inputs: Inputs, networks: Networks):
        super().__init__(inputs)
        self.networks = networks

    @exit_on_error
    def frames(self, wildcards: Wildcards) -> list[str]:
        """The frames of the films that the configuration reconstructs with a model. Raises RefilmError if there are none."""
        self.config.check_reconstructs(wildcards.model)
        films = self.films_of(wildcards.model)
        if not films:
            missing = f"{self.networks.film(wildcards.model)}_by_{wildcards.model}"
            raise RefilmError(
                f"model '{wildcards.model}': no film is reconstructed with it: add {missing} to reconstructions"
            )
        return [self.inputs.model_frames(film, wildcards.model) for film in films]

    @exit_on_error
    def latents(self, wildcards: Wildcards) -> list[str]:
        """The latents of these films by the model."""
        return [self.inputs.latents(film, wildcards.model) for film in self.films_of(wildcards.model)]

    @exit_on_error
    def metrics(self, wildcards: Wildcards) -> list[str]:
        """The metrics of these films by the model, and by those that it is compared with."""
        page, digest = layout.FINDINGS.format(model=wildcards.model), self.digest_of(wildcards.model)
        paths = [layout.METRICS.format(film=film, model=model) for film, model in self._pairs(wildcards.model)]
        return [self.inputs.unless_made(path, page, digest) for path in paths]

    @exit_on_error
    def digest(self, wildcards: Wildcards) -> str:
        """A digest of what decides all that is measured."""
        return self.digest_of(wildcards.model)

    @exit_on_error
    def films(self, wildcards: Wildcards) -> str:
        """The films with their files, and with the models that they are compared by, as JSON."""
        return self._described(wildcards.model)

    def films_of(self, model: str) -> list[str]:
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

    def _pairs(self, model: str) -> list[tuple[str, str]]:
        """(film, model) of all metrics."""
        films = self.films_of(model)
        return [(film, by) for film in films for by in (model, *self._counterparts(film, model))]

    def _described(self, model: str) -> str:
        """`films` of a model."""
        films = []
        for film in self.films_of(model):
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
                "frames": self.inputs.frames_file(film, model),
                "latents": layout.LATENTS.format(film=film, model=model),
                "metrics": layout.METRICS.format(film=film, model=model),
            }
            films.append({"name": film, "title": self.config.film_title(film), **files, "beside": beside})
        return json.dumps(films)

    def digest_of(self, model: str) -> str:
        """A digest of what decides all that is measured of a model."""
        encoded = [self.inputs.encoded(film, by) for film, by in self._pairs(model)]
        return digest_of_texts([*encoded, self.config.model_title(model), self._described(model)])
