"""The source of a film: a file, a folder of images, or an address from which the file is downloaded first."""

import fnmatch
import glob
import os
import re
from fractions import Fraction
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from refilm.core.errors import RefilmError

SCHEMES = ("http", "https", "s3")
IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".avif", ".bmp", ".tga", ".jp2", ".ppm", ".pgm", ".exr"}
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_FILM_SUFFIX = re.compile(r"\.(mp4|m4v|mkv|mov|avi|webm|mpe?g|m2?ts|vob|wmv|flv|og[gmv]|mxf|dv|3gp)", re.IGNORECASE)
_NUMBER = re.compile(r"([0-9]+)")


def scheme_of(source: str) -> str | None:
    """'https' of 'https://…', None of a path."""
    match = _SCHEME.match(source)
    return match[1].lower() if match else None


def film_suffix(address: str) -> str:
    """'.mkv' of the address of such a film, '' where its path does not end as a film's."""
    suffix = PurePosixPath(urlsplit(address).path).suffix
    return suffix.lower() if _FILM_SUFFIX.fullmatch(suffix) else ""


def is_images(source: str) -> bool:
    """Whether a source is a folder, or a pattern that names images, such as stills/*.png."""
    path = Path(source)
    if scheme_of(source) or path.is_file():
        return False
    names_images = not path.suffix or path.suffix.lower() in IMAGE_SUFFIXES or glob.has_magic(path.suffix)
    return path.is_dir() or source.endswith("/") or (glob.has_magic(source) and names_images)


def image_files(source: str) -> list[str]:
    """The images of a folder or a pattern in natural order: 2 before 10, without regard to case.

    The name of an existing folder is never a pattern; files whose names begin with a dot are left out. Raises RefilmError
    for a name that is not Unicode.
    """
    path = Path(source)
    if path.is_dir():
        files = [file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES]
    elif path.parent.is_dir():
        files = [file for file in path.parent.iterdir() if fnmatch.fnmatchcase(file.name, path.name)]
    else:
        files = [Path(file) for file in glob.glob(source, recursive=True)]  # noqa: PTH207 (a pattern of folders too)
    images = sorted((file for file in files if not file.name.startswith(".") and not file.is_dir()), key=_natural_key)
    for file in images:
        if any("\udc80" <= letter <= "\udcff" for letter in str(file)):
            raise RefilmError(f"{source}: {os.fsencode(file)!r} is not a Unicode name: rename this image")
    return [str(file) for file in images]


def _natural_key(path: Path) -> tuple[list[list[int | str]], Path]:
    """For natural order: folder by folder, numbers by their value; names that differ in case alone by their letters."""

    def key(part: str) -> list[int | str]:
        # split() puts text at even and digits at odd positions, so that text is compared with text
        return [int(piece) if n % 2 else piece.casefold() for n, piece in enumerate(_NUMBER.split(part))]

    return [key(part) for part in path.parts], path


def parse_rate(value: str | int | float, place: str) -> Fraction:
    """Frames per second from 24, 12.5, '24000/1001' and 23.976, which means 24000/1001.

    `place` is the key that the error names. Raises RefilmError for anything else.
    """
    text = str(value).strip()
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?|[1-9][0-9]*/[1-9][0-9]*", text) or not 0 < Fraction(text) <= 1000:
        raise RefilmError(f"{place}: {value!r} is not a valid frame rate: write frames per second, such as 24 or 24000/1001")
    rate = Fraction(text)
    near = Fraction(round(rate * Fraction(1001, 1000)) * 1000, 1001)
    return near if rate.denominator > 1 and "/" not in text and abs(rate - near) < Fraction(7, 1000) else rate
