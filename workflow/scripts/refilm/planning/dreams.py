"""What the rules of dreams ask."""

from refilm import layout
from refilm.config.recipe import recipe_of_model
from refilm.planning.plans import PairPlans, VideoPlans
from refilm.planning.snakemake_functions import Wildcards, exit_on_error
from refilm.planning.texts import as_options, given


class Dreams(PairPlans, VideoPlans):
    """Films up to a moment, and what a network sees next."""

    result, thumbnail = layout.DREAM, layout.DREAM_THUMBNAIL

    def pair(self, wildcards: Wildcards) -> tuple[str, str]:
        dream = self.config.dream(wildcards.dream)
        return dream.film, dream.model

    @exit_on_error
    def predictor(self, wildcards: Wildcards) -> str:
        """The predictor of a dream."""
        model = self.pair(wildcards)[1]
        path = layout.PREDICTOR.format(model=model)
        is_current = recipe_of_model(path) == self.config.predictor_recipe(model).to_json()
        return self.inputs.ancient(path) if is_current else path

    @exit_on_error
    def made_of(self, wildcards: Wildcards) -> list[str]:
        """What decides the latents of the film that a dream continues, and its predictor."""
        return [self.encoded(wildcards), self.config.predictor_recipe(self.pair(wildcards)[1]).to_json()]

    @exit_on_error
    def options(self, wildcards: Wildcards) -> list[str]:
        """What a dream is: titles, where it begins, how long it is, and its chance."""
        dream = self.config.dream(wildcards.dream)
        titles = {"title": self.config.film_title(dream.film), "by": self.config.model_title(dream.model)}
        keys = ("start", "length", "lead", "temperature", "seed", "height")
        return as_options(titles | given(**{key: getattr(dream, key) for key in keys}))
