"""What the rule of walks through latents asks."""

from refilm import layout
from refilm.config.keys import WalkKeys, defaults
from refilm.planning.plans import VideoPlans
from refilm.planning.snakemake_functions import Wildcards, exit_on_error
from refilm.planning.texts import as_options


class Walks(VideoPlans):
    """Walks through latents."""

    result, thumbnail = layout.WALK, layout.WALK_THUMBNAIL

    @exit_on_error
    def latents(self, wildcards: Wildcards) -> list[str]:
        """The latents files of a walk: of each moment, or its own and that of the other film. Raises RefilmError for a file
        of the user's that is missing."""
        walk = self.config.walk(wildcards.walk)
        files = [self.inputs.latents(film, walk.model) for film in walk.films]
        return files if walk.latents is None else [self.inputs.own_latents(walk.latents, f"walks.{wildcards.walk}"), *files]

    @exit_on_error
    def model(self, wildcards: Wildcards) -> str:
        """The model of a walk."""
        return self.inputs.model(self.config.walk(wildcards.walk).model)

    @exit_on_error
    def frames(self, wildcards: Wildcards) -> list[str]:
        """The frames of the films of a walk that shows them; none of the others."""
        walk = self.config.walk(wildcards.walk)
        return [self.inputs.model_frames(film, walk.model) for film in walk.films] if walk.kind == "nearest" else []

    @exit_on_error
    def sound_source(self, wildcards: Wildcards) -> str | list[str]:
        """The film file of a walk's sound; none for a silent one."""
        sound = self.config.walk(wildcards.walk).sound
        return self.inputs.source(sound) if sound else []

    @exit_on_error
    def sound_frames(self, wildcards: Wildcards) -> str | list[str]:
        """The frames of that film, which say when it begins and ends."""
        walk = self.config.walk(wildcards.walk)
        return self.inputs.model_frames(walk.sound, walk.model) if walk.sound else []

    @exit_on_error
    def audio(self, wildcards: Wildcards) -> str:
        """Which soundtrack of that film."""
        sound = self.config.walk(wildcards.walk).sound
        return self.inputs.audio(sound) if sound else "none"

    @exit_on_error
    def made_of(self, wildcards: Wildcards) -> list[str]:
        """What decides the latents of a walk."""
        walk = self.config.walk(wildcards.walk)
        films = [self.inputs.encoded(film, walk.model) for film in walk.films]
        if walk.latents is None:
            return films
        return [self.inputs.decoded(walk.latents, walk.model, f"walk-{wildcards.walk}"), *films]

    @exit_on_error
    def options(self, wildcards: Wildcards) -> list[str]:
        """What a walk is: its kind, and the keys that it has."""
        walk, usual = self.config.walk(wildcards.walk), defaults(WalkKeys)
        keys = ("seconds", "start", "end", "path", "smooth", "speed", "loop", "blend", "fps", "height")
        given = {key: getattr(walk, key) for key in keys if getattr(walk, key) != usual[key]}
        given |= {"mix": walk.mix} if walk.kind == "mixture" else {}
        titles = [f"--title={self.config.film_title(film)}" for film in walk.films if walk.kind == "nearest"]
        # the sound of another film begins where that does
        given |= {"sound-start": walk.start} if walk.start is not None and walk.sound == walk.film else {}
        moments = [f"--moment={moment.partition('@')[2]}" for moment in walk.moments]
        return [*moments, *titles, *as_options(given), *(["--reverse"] if walk.reverse else [])]
