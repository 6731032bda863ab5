"""Which files Snakemake takes for incomplete: those of jobs that it started and did not see end, as when it was killed.

With `rerun-incomplete` it forces the jobs of those that exist. But it then does not look at jobs whose inputs are all marked
`ancient` and exist: their outputs may be missing, and would not be made. So such a file must not be marked.
"""

from base64 import urlsafe_b64decode
from contextlib import suppress
from pathlib import Path

_FOLDER = Path(".snakemake/incomplete")


def incomplete_files(folder: Path = _FOLDER) -> frozenset[str]:
    """Their paths. Snakemake has an empty file for each, whose name is the path in base64; of a long one, @parts of it."""
    found = set()
    for file in folder.rglob("*"):
        with suppress(ValueError):  # not a name of this kind
            *parts, last = file.relative_to(folder).parts
            found.add(urlsafe_b64decode("".join(part.removeprefix("@") for part in parts) + last).decode())
    return frozenset(found)
