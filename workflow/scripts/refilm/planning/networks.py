"""What the rules of a network in pictures ask."""

from refilm import layout
from refilm.core.errors import RefilmError
from refilm.planning.plans import Plans
from refilm.planning.snakemake_functions import Wildcards, exit_on_error, untracked
from refilm.planning.texts import digest_of_texts


class Networks(Plans):
    """Networks in pictures, each with a frame of a film."""

    @exit_on_error
    def frames(self, wildcards: Wildcards) -> str | list[str]:
        """The frames of the film of which a network is shown a frame; none for one without an encoder."""
        film = self.film(wildcards.model)
        return self.inputs.model_frames(film, wildcards.model) if film else []

    @exit_on_error
    def latents(self, wildcards: Wildcards) -> str | list[str]:
        """The latents of that film; none for a network without an encoder. Raises RefilmError for a moment of none."""
        film = self.film(wildcards.model)
        if not film and hasattr(wildcards, "moment"):
            whole = layout.NETWORK.format(model=wildcards.model)
            raise RefilmError(f"model '{wildcards.model}' has no encoder, so no frame of a film is shown: ask for {whole}")
        return self.inputs.latents(film, wildcards.model) if film else []

    @exit_on_error
    def digest(self, wildcards: Wildcards) -> str:
        """A digest of what decides what is shown of a network."""
        return self.digest_of(wildcards.model)

    @exit_on_error
    def film_title(self, wildcards: Wildcards) -> str:
        """The title of that film."""
        film = self.film(wildcards.model)
        return self.config.film_title(film) if film else ""

    @untracked
    def moment(self, wildcards: Wildcards) -> str:
        """The moment of the frame, which is in the path; empty where a frame is chosen."""
        return layout.clock_time(wildcards.moment) if hasattr(wildcards, "moment") else ""

    def film(self, model: str) -> str:
        """The film of a model that its pages show: the first of those that it is trained on, and before them one that the
        configuration reconstructs with it; none for a model without an encoder."""
        if not self.config.recipe(model).spec.reconstructs:
            return ""
        films = self.config.model(model).films
        return next((film for film in films if f"{film}_by_{model}" in self.config.reconstructions), films[0])

    def digest_of(self, model: str) -> str:
        """A digest of the recipe, or the latents of the film, and of the titles."""
        film = self.film(model)
        recipe = self.config.recipe(model).to_json()
        shown = [self.inputs.encoded(film, model), self.config.film_title(film)] if film else [recipe]
        return digest_of_texts([*shown, self.config.model_title(model)])
