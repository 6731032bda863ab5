"""Films as inputs: their files, and the frames that are made of them."""

import json
from collections.abc import Callable
from pathlib import Path

from refilm import layout
from refilm.config.configuration import Config
from refilm.core.errors import RefilmError
from refilm.core.made_of import read_made_of
from refilm.planning.texts import literal
from refilm.sources.film_identity import difference
from refilm.sources.images_index import images_digest
from refilm.sources.listing import film_suffix, image_files, is_images, scheme_of


class FilmInputs:
    """The films of a configuration, on the files of the working directory.

    Snakemake looks at the time of an input only where it is not what the configuration asks for, and so at that of what
    it is made of: a job that makes it again makes again what depends on it, and a file that was touched does not.
    """

    def __init__(self, config: Config, ancient: Callable[[str], str], checks_films: bool):
        """ancient: Snakemake's mark of an input whose time is ignored; checks_films: whether film files are compared with
        those that frames were made of."""
        self.config, self.ancient, self._checks_films = config, ancient, checks_films
        # What many jobs ask is looked at once: which films are there, their files, and their images.
        self._available: dict[str, bool] = {}
        self._replaced: dict[str, str] = {}
        self._digests: dict[str, str] = {}

    def frames(self, film: str, size: str) -> str:
        """The frames of a film; size: WIDTHxHEIGHT."""
        path = layout.FRAMES.format(size=size, film=film)
        return self.ancient(path) if read_made_of(path) == self.pixels(film) else path

    def pixels(self, film: str) -> str:
        """What decides the pixels of a film's frames, at any size, as JSON."""
        images = self.images_identity(film) if is_images(self.config.film(film).source) else {}
        return json.dumps(self.config.film_pixels(film) | images, sort_keys=True)

    def images_identity(self, film: str) -> dict[str, str]:
        """The rate of a film that is a folder of images, and what is in them."""
        if film not in self._digests:
            files = image_files(self.config.film(film).source)
            self._digests[film] = images_digest(files, Path(layout.IMAGES_INDEX.format(film=film)))
        return {"fps": str(self.config.film_rate(film)), "images": self._digests[film]}

    def source(self, film: str) -> str | list[str]:
        """The film file, or the images. Raises RefilmError that says where to put what is missing."""
        source = self.config.film(film).source
        if is_images(source):
            return self._images(film, source)
        if scheme_of(source):
            self._check_download(film, source)
        elif not self.is_available(film):
            raise RefilmError(f"film '{film}' is missing: put it at {source}, or set films.{film}.source")
        if replaced := self.replacement(film):
            raise RefilmError(f"film '{film}': {replaced}")
        return self.ancient(str(self.download(film, source)) if scheme_of(source) else literal(source))

    def sound(self, film: str) -> str | list[str]:
        """The film file of the sound of a result; none for a silent film."""
        return self.source(film) if self.config.has_sound(film) else []

    def audio(self, film: str) -> str:
        """Which soundtrack of the film a result has."""
        return str(self.config.film(film).audio)

    def _images(self, film: str, source: str) -> list[str]:
        images = image_files(source)
        if not images:
            raise RefilmError(f"film '{film}' has no images: put them at {source}, or set films.{film}.source")
        return [literal(image) for image in images]

    def replacement(self, film: str) -> str:
        """How the film file differs from the one that frames of it were made of, and what to do; an empty string if it is
        the same, or not there. A result of refilm may be made again."""
        if film not in self._replaced:
            source = self.config.film(film).source
            path = self.download(film, source) if scheme_of(source) else Path(source)
            checked = self._checks_films and not source.startswith("results/") and path.is_file()
            self._replaced[film] = self._compared(film, path) if checked else ""
        return self._replaced[film]

    def _compared(self, film: str, path: Path) -> str:
        index = Path(layout.FILM_INDEX.format(film=film))
        found = [(str(frames), difference(path, frames, index)) for frames in sorted(layout.existing(_frames_of(film)))]
        other = [(frames, how) for frames, how in found if how]
        if not other:
            return ""
        names = " and ".join(frames for frames, _how in other)
        verb = "was" if len(other) == 1 else "were"
        return (
            f"{path} is not the file that {names} {verb} made of ({other[0][1]}): put that file back, give this one a name "
            f"of its own under films:, or delete {names} and all results of '{film}' to use it in its place"
        )

    def is_available(self, film: str) -> bool:
        """Whether frames of the film can be made: its file was there when a plan first asked, or is fetched or made."""
        if film not in self._available:
            self._available[film] = _exists(self.config.film(film).source)
        return self._available[film]

    def download(self, film: str, address: str) -> Path:
        """Where a film that has an address is fetched to."""
        return Path(layout.DOWNLOAD.format(film=film, suffix=film_suffix(address)))

    def _check_download(self, film: str, address: str) -> None:
        """Raises RefilmError for a film that was fetched with another SHA-256 than is configured now."""
        wanted = (self.config.film(film).sha256 or "").lower()
        path = self.download(film, address)
        record = Path(layout.DOWNLOAD_RECORD.format(film=film, suffix=film_suffix(address)))
        if wanted and path.exists() and record.exists():
            found = json.loads(record.read_text(encoding="utf-8"))["sha256"]
            if found != wanted:
                raise RefilmError(
                    f"{path}: its sha256 is {found}, and films.{film}.sha256 is {wanted}: correct that, or delete {path} to "
                    "fetch the film again"
                )


def _exists(source: str) -> bool:
    """Whether a source is there, can be fetched, or is made by a rule."""
    if is_images(source):
        return bool(image_files(source))
    return bool(scheme_of(source)) or source.startswith("results/") or Path(source).exists()


def _frames_of(film: str) -> str:
    """The pattern of a film's frames at all sizes."""
    return layout.FRAMES.replace("{film}", film)
