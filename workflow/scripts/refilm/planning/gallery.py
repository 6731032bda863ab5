"""What the rule of the gallery asks."""

import json
from pathlib import Path

from refilm import layout
from refilm.config.report import title
from refilm.planning.findings import Findings
from refilm.planning.inputs import Inputs
from refilm.planning.networks import Networks
from refilm.planning.plans import Plans
from refilm.planning.snakemake_functions import Wildcards, exit_on_error
from refilm.planning.texts import digest_of_texts, given, holds


class Gallery(Plans):
    """The page of all that the configuration lists, and of the pages of its models."""

    def __init__(self, inputs: Inputs, networks: Networks, findings: Findings):
        super().__init__(inputs)
        self.networks, self.findings = networks, findings

    @exit_on_error
    def files(self, wildcards: Wildcards) -> list[str]:
        """What the gallery shows: of each film and frame size the measures, which it reads, and the video and its still,
        which it only names."""
        digest, files = self.digest(wildcards), []
        for film, size in self.config.gallery:
            video, thumbnail, measures = (
                pattern.format(film=film, size=size) for pattern in (layout.COMPOSITE, layout.THUMBNAIL, layout.MEASURES)
            )
            files += [
                self.inputs.ancient(video),
                self.inputs.ancient(thumbnail),
                self.inputs.unless_made(measures, layout.GALLERY, digest),
            ]
        files += [self.inputs.ancient(thumbnail) for listed in self._other_videos().values() for *_, thumbnail in listed]
        # A page that is made again makes the gallery again: Snakemake looks at no params of what depends on a job.
        pages = self._pages().items()
        return files + [self.inputs.ancient(page) if holds(page, digest) else page for page, digest in pages]

    @exit_on_error
    def digest(self, _wildcards: Wildcards) -> str:
        """A digest of what decides the latents of all that the gallery shows."""
        shown = self.config.gallery.items()
        return digest_of_texts(self.inputs.encoded(film, model) for (film, _size), models in shown for model in models)

    @exit_on_error
    def entries(self, _wildcards: Wildcards) -> str:
        """What the gallery shows, as JSON: the titles of films and of models, and (film, size, models) of each entry; and
        of other videos the title, the file and its thumbnail, by heading."""
        shown = [(film, size, models) for (film, size), models in self.config.gallery.items()]
        films = {film: self.config.film_title(film) for film, _size, _models in shown}
        titles = {model: self.config.model_title(model) for *_, models in shown for model in models}
        return json.dumps(
            {"films": films, "models": titles, "shown": shown, "pages": list(self._pages())}
            | given(videos=self._other_videos() or None)
        )

    def _other_videos(self) -> dict[str, list[tuple[str, str, str]]]:
        """(title, file, thumbnail) of what the gallery links to besides films, by heading."""
        kinds = (
            ("Dreams", "dream", self.config.dreams, layout.DREAM, layout.DREAM_THUMBNAIL),
            ("Walks", "walk", self.config.walks, layout.WALK, layout.WALK_THUMBNAIL),
            ("Bends", "bend", self.config.bends, layout.BEND, layout.BEND_THUMBNAIL),
        )
        return {
            heading: [
                (title(self.config, {kind: name}), video.format(**{kind: name}), thumbnail.format(**{kind: name}))
                for name in named
            ]
            for heading, kind, named, video, thumbnail in kinds
            if named
        }

    def _pages(self) -> dict[str, str]:
        """The pages of the models that the gallery shows, networks in pictures and findings, with the digests that they have
        where they are current: those that are there, or can be made of what the gallery needs anyway."""
        models = {model: None for shown in self.config.gallery.values() for model in shown if "@" not in model}
        pages: dict[str, str] = {}
        for model in models:
            films = self.findings.films_of(model)
            of_model = {layout.FINDINGS.format(model=model): self.findings.digest_of(model)}
            if self.networks.film(model) in films:
                of_model = {layout.NETWORK.format(model=model): self.networks.digest_of(model)} | of_model
            can_be_made = all(map(self.inputs.is_available, films))
            pages |= {page: digest for page, digest in of_model.items() if can_be_made or Path(page).exists()}
        return pages
