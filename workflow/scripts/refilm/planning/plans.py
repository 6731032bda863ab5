"""What the plans of all results share."""

from refilm.planning.inputs import Inputs
from refilm.planning.snakemake_functions import Wildcards, exit_on_error
from refilm.planning.texts import digest_of_texts, path_of


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


class VideoPlans(Plans):
    """The same, of videos that the configuration declares and the gallery links to by a thumbnail.

    result, thumbnail: the patterns of the paths of both.
    """

    result: str
    thumbnail: str

    def made_of(self, wildcards: Wildcards) -> list[str]:
        """What decides the latents that are shown."""
        raise NotImplementedError

    def options(self, wildcards: Wildcards) -> list[str]:
        """What else decides the pictures: the options of the command."""
        raise NotImplementedError

    @exit_on_error
    def digest(self, wildcards: Wildcards) -> str:
        """A digest of what decides the pictures."""
        return digest_of_texts([*self.made_of(wildcards), *self.options(wildcards)])

    @exit_on_error
    def video(self, wildcards: Wildcards) -> str:
        """The video of which the thumbnail is a still."""
        path, thumbnail = path_of(self.result, wildcards), path_of(self.thumbnail, wildcards)
        return self.inputs.unless_made(path, thumbnail, self.digest(wildcards))
