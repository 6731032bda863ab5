"""What the rules of a film beside its reconstructions ask: comparisons, and the films of the gallery."""

from collections.abc import Sequence

from refilm import layout
from refilm.config.keys import ComparisonKeys
from refilm.planning.plans import Plans
from refilm.planning.snakemake_functions import Wildcards, exit_on_error
from refilm.planning.texts import as_options, digest_of_texts, given, path_of


class Comparisons(Plans):
    """A film and the models that are shown beside it."""

    @exit_on_error
    def frames(self, wildcards: Wildcards) -> str:
        """The frames of the film, at the size of the models."""
        return self.inputs.model_frames(self._film_of(wildcards), self._models_of(wildcards)[0])

    @exit_on_error
    def sound_source(self, wildcards: Wildcards) -> str | list[str]:
        """The film file of the soundtrack; none for a silent film."""
        return self.inputs.sound(self._film_of(wildcards))

    @exit_on_error
    def audio(self, wildcards: Wildcards) -> str:
        """Which soundtrack of the film."""
        return self.inputs.audio(self._film_of(wildcards))

    @exit_on_error
    def latents(self, wildcards: Wildcards) -> list[str]:
        """The latents of a film, by each of the models that are shown beside it."""
        return [self.inputs.latents(self._film_of(wildcards), model) for model in self._models_of(wildcards)]

    @exit_on_error
    def models(self, wildcards: Wildcards) -> list[str]:
        """These models, in the same order."""
        return [self.inputs.encoder(model) for model in self._models_of(wildcards)]

    @exit_on_error
    def metrics(self, wildcards: Wildcards) -> list[str]:
        """The measures of the film by each of them, in the same order."""
        film, made = self._film_of(wildcards), layout.MEASURES
        if hasattr(wildcards, "comparison"):
            made = layout.COMPARISON_PAGE
        metrics = [layout.METRICS.format(film=film, model=model) for model in self._models_of(wildcards)]
        return [self.inputs.unless_made(path, path_of(made, wildcards), self.digest(wildcards)) for path in metrics]

    @exit_on_error
    def names(self, wildcards: Wildcards) -> list[str]:
        """The names of the models that are shown beside a film."""
        return list(self._models_of(wildcards))

    @exit_on_error
    def made_of(self, wildcards: Wildcards) -> list[str]:
        """What decides the latents of all that is shown beside a film."""
        return [self.inputs.encoded(self._film_of(wildcards), model) for model in self._models_of(wildcards)]

    @exit_on_error
    def digest(self, wildcards: Wildcards) -> str:
        """A digest of `made_of`, by which a plan knows files that are made of it."""
        return digest_of_texts(self.made_of(wildcards))

    @exit_on_error
    def video(self, wildcards: Wildcards) -> str:
        """The video of which a thumbnail is a still."""
        path, thumbnail = path_of(layout.COMPOSITE, wildcards), path_of(layout.THUMBNAIL, wildcards)
        return self.inputs.unless_made(path, thumbnail, self.digest(wildcards))

    @exit_on_error
    def options(self, wildcards: Wildcards) -> list[str]:
        """What a comparison shows: titles, the part of the film, the layout."""
        comparison = self.config.comparison(wildcards.comparison)
        shown = given(start=comparison.start, end=comparison.end, layout=comparison.layout, height=comparison.height)
        return [*self._titles(comparison), *as_options(shown)]

    @exit_on_error
    def page_options(self, wildcards: Wildcards) -> list[str]:
        """What the page of a comparison shows: titles, the part of the film."""
        comparison = self.config.comparison(wildcards.comparison)
        return [*self._titles(comparison), *as_options(given(start=comparison.start, end=comparison.end))]

    def _film_of(self, wildcards: Wildcards) -> str:
        if hasattr(wildcards, "comparison"):
            return self.config.comparison(wildcards.comparison).film
        return wildcards.film

    def _models_of(self, wildcards: Wildcards) -> Sequence[str]:
        """The models of a job: those of a comparison, or those that the gallery shows of a film."""
        if hasattr(wildcards, "comparison"):
            return self.config.comparison(wildcards.comparison).models
        return self.config.shown_models(wildcards.film, wildcards.size)

    def _titles(self, comparison: ComparisonKeys) -> list[str]:
        by = [f"--by={self.config.model_title(model)}" for model in comparison.models]
        return [f"--title={self.config.film_title(comparison.film)}", *by]
