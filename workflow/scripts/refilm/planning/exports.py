"""What the rules of exports and of posters ask."""

from refilm import layout
from refilm.core.errors import RefilmError
from refilm.planning.plans import PairPlans
from refilm.planning.snakemake_functions import Wildcards, exit_on_error
from refilm.planning.texts import as_options, given


class Exports(PairPlans):
    """Reconstructions for a screen or a wall."""

    def pair(self, wildcards: Wildcards) -> tuple[str, str]:
        export = self.config.export(wildcards.export)
        return export.film, export.model

    @exit_on_error
    def latents(self, wildcards: Wildcards) -> str:
        """The latents of an export. Raises RefilmError where its codec makes another file."""
        export = self.config.export(wildcards.export)
        suffix = getattr(wildcards, "suffix", None)
        asked = (layout.EXPORT_FILE if suffix else layout.EXPORT_FOLDER).format(export=wildcards.export, suffix=suffix)
        path = layout.export_path(wildcards.export, export)
        if path != asked:
            screens = f" for {export.screens} screens" if export.screens > 1 else ""
            raise RefilmError(f"{asked}: export '{wildcards.export}' is {export.codec}{screens}: ask for {path}")
        return super().latents(wildcards)

    @exit_on_error
    def options(self, wildcards: Wildcards) -> list[str]:
        """What an export looks like: the part of the film, size, codec and its quality, screens."""
        export = self.config.export(wildcards.export)
        crf = self.config.video.crf if export.codec in layout.CRF_CODECS else None
        shown = {key: getattr(export, key) for key in ("start", "end", "height", "scaler", "codec", "screens")}
        return as_options(given(crf=crf, **shown)) + (["--loop"] if export.loop else [])


class Posters(PairPlans):
    """Thousands of frames on one page."""

    def pair(self, wildcards: Wildcards) -> tuple[str, str]:
        poster = self.config.poster(wildcards.poster)
        return poster.film, poster.model

    @exit_on_error
    def options(self, wildcards: Wildcards) -> list[str]:
        """What a poster shows: titles, the number of frames, the page."""
        poster = self.config.poster(wildcards.poster)
        titles = {"title": self.config.film_title(poster.film), "by": self.config.model_title(poster.model)}
        page = {key: f"{getattr(poster, key):g}" for key in ("width", "height", "dpi", "frames")}
        return as_options(titles | page)
