"""Whether a film file is the one that frames were made of: the same bytes, whatever its name and its time.

Its SHA-256 is computed when frames are made. An index remembers it with the size and the time of modification of the file,
as git does: only a file that was touched or copied is read again.
"""

import contextlib
import json
from pathlib import Path

from refilm.core.errors import RefilmError
from refilm.core.files import atomic_write, sha256_of
from refilm.core.made_of import read_provenance
from refilm.core.provenance import KEY, film_of


def remembered_sha256(film: Path | str, index: Path | None) -> str:
    """The SHA-256 of a film file: from the index if the file is as it was then, else computed, and remembered there."""
    stat = Path(film).stat()
    now = {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    known = _read(index) if index else {}
    if known.items() >= now.items() and "sha256" in known:
        return str(known["sha256"])
    sha256 = sha256_of(film)
    if index:
        with contextlib.suppress(OSError), atomic_write(index) as partial:  # without it, the film is read again
            partial.write_text(json.dumps(now | {"sha256": sha256}), encoding="utf-8")
    return sha256


def check_sha256(film: Path | str, expected: str, index: Path | None) -> None:
    """Raises RefilmError, naming both checksums, if a film file does not have the expected SHA-256."""
    actual = remembered_sha256(film, index)
    if actual != expected.lower():
        raise RefilmError(
            f"{film}: its sha256 is {actual}, expected {expected.lower()}: copy the film again, or correct sha256"
        )


def difference(film: Path | str, frames: Path | str, index: Path) -> str:
    """What tells a film file from the one that a frames file was made of, in words; an empty string if it is the same, and
    for frames that do not say. Reads the film only if it has the same size and another time of modification."""
    made_of = film_of({KEY: read_provenance(frames)}) or {}
    if "sha256" not in made_of:
        return ""
    size, former = Path(film).stat().st_size, made_of["sha256"]
    if size != made_of["bytes"]:
        return f"its size is {size} bytes, it was {made_of['bytes']}"
    sha256 = remembered_sha256(film, index)
    return "" if sha256 == former else f"its sha256 is {sha256}, it was {former}"


def address_of(film: Path | str, sha256: str) -> str | None:
    """The address from which a film file was fetched; None for any other, and for one that was replaced since."""
    record = _read(origin_path(Path(film)))
    return str(record["address"]) if record.get("sha256") == sha256 and "address" in record else None


def origin_path(film: Path) -> Path:
    """The file beside a downloaded film about its origin: address, bytes, SHA-256, time."""
    return film.with_name(f"{film.name}.json")


def _read(path: Path) -> dict[str, str | int]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
