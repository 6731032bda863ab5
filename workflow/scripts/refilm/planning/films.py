"""What the rules of films ask: sources, frames, shots."""

import json

from refilm import layout
from refilm.config.recipe import parse_size
from refilm.core.errors import RefilmError
from refilm.planning.plans import Plans
from refilm.planning.snakemake_functions import Wildcards, exit_on_error, untracked
from refilm.planning.texts import any_of, as_options, given
from refilm.sources.listing import is_images, scheme_of


class Films(Plans):
    """Films, and what is made of them without a model."""

    @exit_on_error
    def source(self, wildcards: Wildcards) -> str | list[str]:
        """The film file, whose time is ignored, or the images, of frames. Raises RefilmError that says where to put what is
        missing."""
        parse_size(wildcards.size, f"results/frames/{wildcards.size}")
        return self.inputs.source(wildcards.film)

    @exit_on_error
    def previewed_source(self, wildcards: Wildcards) -> str | list[str]:
        """The film file whose crop is previewed."""
        if is_images(self.config.film(wildcards.film).source):
            raise RefilmError(
                f"film '{wildcards.film}' is a folder of images: previews of the crop are available for film files only"
            )
        return self.inputs.source(wildcards.film)

    @exit_on_error
    def options(self, wildcards: Wildcards) -> list[str]:
        """The options that decide the pixels of a film's frames."""
        return as_options(self.config.film_pixels(wildcards.film))

    @exit_on_error
    def image_options(self, wildcards: Wildcards) -> list[str]:
        """The same of images: their rate, and which images there are."""
        return as_options(self.config.film_pixels(wildcards.film) | self.inputs.images_identity(wildcards.film))

    @untracked
    @exit_on_error
    def images_index(self, wildcards: Wildcards) -> str:
        """The index by which images are recognised."""
        return layout.IMAGES_INDEX.format(film=wildcards.film)

    @untracked
    @exit_on_error
    def validation_options(self, wildcards: Wildcards) -> list[str]:
        """What is checked of a film file before it is decoded."""
        film = self.config.film(wildcards.film)
        checksum = {} if scheme_of(film.source) else given(sha256=film.sha256)  # of a download: checked when it was fetched
        return as_options({"audio": str(film.audio)} | checksum)

    @untracked
    @exit_on_error
    def download_options(self, wildcards: Wildcards) -> list[str]:
        """What is checked of a film that was fetched."""
        return as_options(given(sha256=self.config.film(wildcards.film).sha256))

    @untracked
    def frame_size(self, wildcards: Wildcards) -> str:
        """The size of frames as WIDTHxHEIGHT. It is in their path: a change of it needs no tracking."""
        return wildcards.size

    @untracked
    @exit_on_error
    def source_spec(self, wildcards: Wildcards) -> str:
        """The address of a film or the pattern of its images. One that is moved is still the same film."""
        return self.config.film(wildcards.film).source

    @untracked
    @exit_on_error
    def hwaccel(self, _wildcards: Wildcards) -> str:
        """What decodes films: the reference is the CPU's frames, and the others' are as good."""
        return self.config.settings.hwaccel

    @untracked
    @exit_on_error
    def made_of(self, wildcards: Wildcards) -> str:
        """The text by which a plan knows frames: what decides them."""
        return self.inputs.pixels(wildcards.film)

    @exit_on_error
    def frames(self, wildcards: Wildcards) -> str:
        """The frames of a film at the size of `training:`, for what is made of a film without a model."""
        return self.inputs.frames(wildcards.film, self.config.frame_size)

    @exit_on_error
    def shots_made_of(self, wildcards: Wildcards) -> str:
        """What decides `film_frames`."""
        made_of = {"frames": self.inputs.pixels(wildcards.film), "frame_size": self.config.frame_size}
        return json.dumps(made_of, sort_keys=True)

    @exit_on_error
    def title(self, wildcards: Wildcards) -> str:
        """The title of a film in pictures."""
        return self.config.film_title(wildcards.film)

    def downloads(self) -> str:
        """The films that have an address and are not fetched yet.

        A film that is there has no rule that makes it, so nothing, not even --forceall, deletes it or fetches it again.
        """
        films = self.config.films.items()
        return any_of(
            name for name, film in films if scheme_of(film.source) and not self.inputs.download(name, film.source).exists()
        )

    def of_images(self) -> str:
        """The films that are images."""
        return any_of(self.config.films_of_images())
