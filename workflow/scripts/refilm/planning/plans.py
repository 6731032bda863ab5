"""What the plans of all results share."""

from refilm.planning.inputs import Inputs
from refilm.planning.snakemake_functions import Wildcards, exit_on_error


class Plans:
    """Answers to what the rules of some results ask, on the inputs that all of them share."""

    def __init__(self, inputs: Inputs):
        self.inputs, self.config = inputs, inputs.config


class PairPlans(Plans):
    """The same, of results that show one film by one model."""

    def pair(self, wildcards: Wildcards) -> tuple[str, str]:
        """(film, model) of a job."""
        return wildcards.film, wildcards.model

    @exit_on_error
    def latents(self, wildcards: Wildcards) -> str:
        """The latents of the film by the model."""
        return self.inputs.latents(*self.pair(wildcards))

    @exit_on_error
    def model(self, wildcards: Wildcards) -> str:
        """The model."""
        return self.inputs.model(self.pair(wildcards)[1])

    @exit_on_error
    def encoded(self, wildcards: Wildcards) -> str:
        """What decides the latents."""
        return self.inputs.encoded(*self.pair(wildcards))

    @exit_on_error
    def sound_source(self, wildcards: Wildcards) -> str | list[str]:
        """The film file of the soundtrack; none for a silent result."""
        return self.inputs.sound(self.pair(wildcards)[0])

    @exit_on_error
    def audio(self, wildcards: Wildcards) -> str:
        """Which soundtrack of the film."""
        return self.inputs.audio(self.pair(wildcards)[0])
