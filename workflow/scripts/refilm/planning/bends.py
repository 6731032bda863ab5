"""What the rule of bent decoders asks."""

import json

from refilm import layout
from refilm.config.keys import BendKeys, defaults
from refilm.planning.plans import VideoPlans
from refilm.planning.snakemake_functions import Wildcards, exit_on_error
from refilm.planning.texts import as_options


class Bends(VideoPlans):
    """Films by models whose decoder is bent."""

    result, thumbnail = layout.BEND, layout.BEND_THUMBNAIL

    @exit_on_error
    def latents(self, wildcards: Wildcards) -> str:
        """The latents file of a bend. Raises RefilmError for one of the user's that is missing."""
        bend = self.config.bend(wildcards.bend)
        if bend.latents is not None:
            return self.inputs.own_latents(bend.latents, f"bends.{wildcards.bend}")
        return self.inputs.latents(str(bend.film), bend.model)

    @exit_on_error
    def model(self, wildcards: Wildcards) -> str:
        """The model of a bend."""
        return self.inputs.model(self.config.bend(wildcards.bend).model)

    @exit_on_error
    def sound_source(self, wildcards: Wildcards) -> str | list[str]:
        """The film file of a bend's soundtrack; none for a silent one."""
        film = self.config.bend(wildcards.bend).film
        return self.inputs.sound(film) if film else []

    @exit_on_error
    def audio(self, wildcards: Wildcards) -> str:
        """Which soundtrack of the film."""
        film = self.config.bend(wildcards.bend).film
        return self.inputs.audio(film) if film else "none"

    @exit_on_error
    def made_of(self, wildcards: Wildcards) -> list[str]:
        """What decides the latents that a bent decoder decodes."""
        bend = self.config.bend(wildcards.bend)
        if bend.latents is not None:
            return [self.inputs.decoded(bend.latents, bend.model, f"bend-{wildcards.bend}")]
        return [self.inputs.encoded(str(bend.film), bend.model)]

    @exit_on_error
    def options(self, wildcards: Wildcards) -> list[str]:
        """What a bend is: the transforms as JSON, the part of the film, the seed."""
        bend, usual = self.config.bend(wildcards.bend), defaults(BendKeys)
        steps = [
            {"transform": step.transform, "layers": step.layers, "channels": step.channels, "share": step.share}
            | {"amount": step.amount, "parameters": step.parameters()}
            for step in bend.transforms
        ]
        keys = ("start", "end", "fps", "seed", "height")
        given = {key: getattr(bend, key) for key in keys if getattr(bend, key) != usual[key]}
        return as_options({"transforms": json.dumps(steps, sort_keys=True)} | given)
