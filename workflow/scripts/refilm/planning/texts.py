"""What plans are made of: options of a command, digests, paths as Snakemake reads them."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from refilm.core.errors import RefilmError
from refilm.planning.snakemake_functions import Wildcards

_SEARCHED = 4096  # bytes at each end of a file of the gallery, in which its digest is
_SNAKEMAKE_WILDCARD = re.compile(r"\{\s*[.\w]+\s*(,[^{}]*)?\}")


def as_options(values: dict[str, Any]) -> list[str]:
    """Options of a command, always in the same order."""
    return [f"--{key}={value}" for key, value in sorted(values.items())]


def given(**values: Any) -> dict[str, Any]:
    """The values that are not None."""
    return {key: value for key, value in values.items() if value is not None}


def digest_of_texts(texts: Iterable[str]) -> str:
    """The SHA-256 of texts, in their order."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def holds(path: str, digest: str) -> bool:
    """Whether a file has a digest near its beginning or its end; False where there is no file."""
    try:
        with open(path, "rb") as file:
            head = file.read(_SEARCHED)
            file.seek(max(0, Path(path).stat().st_size - _SEARCHED))
            return digest.encode() in head + file.read()
    except OSError:
        return False


def path_of(pattern: str, wildcards: Wildcards) -> str:
    """The path of a pattern with a job's wildcards."""
    return re.sub(r"\{(\w+)\}", lambda name: str(getattr(wildcards, name[1])), pattern)


def literal(path: str) -> str:
    """A path as an input. Snakemake reads it as a pattern, and has no way to quote braces."""
    if _SNAKEMAKE_WILDCARD.search(path):
        raise RefilmError(f"{path}: Snakemake reads a word in braces in a file name as a wildcard: rename the file")
    return path


def any_of(names: Iterable[str]) -> str:
    """A pattern that matches these names; without names, nothing."""
    return "|".join(names) or "(?!)"
