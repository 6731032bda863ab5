"""A digest of the images of a film, by their contents. An index remembers that of each image, with its size and time of
modification, as git does: only images that were touched are read again, and one that was only touched is the same.
"""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from refilm.core.files import atomic_write
from refilm.core.progress import progress_bar

_THREADS = 8
Entry = list[int | str]  # size in bytes, time of modification in ns, digest


def images_digest(files: list[str], index: Path | None = None) -> str:
    """A short string that changes when images are added, removed, renamed or edited: '250-3f1c9a0b52d7e846'.

    Without files, that of the images as they were last seen: they may be deleted once the frames are made.
    """
    known = _read(index) if index else {}
    entries = _updated(files, known) if files else known
    if index and entries != known:
        with atomic_write(index) as partial:
            partial.write_text(json.dumps(entries), encoding="utf-8")
    named = "\0".join(f"{name}\0{entry[2]}" for name, entry in entries.items())
    return f"{len(entries)}-{hashlib.sha256(named.encode()).hexdigest()[:16]}"


def _updated(files: list[str], known: dict[str, Entry]) -> dict[str, Entry]:
    """The entries of these files, in their order, by their names within the folder that all of them share: images that were
    moved together are the same. Reads those that are not known as they are now."""
    shared = os.path.commonpath([Path(file).absolute().parent for file in files])
    stats = {file: Path(file).stat() for file in files}
    names = {file: os.path.relpath(file, shared) for file in files}
    now: dict[str, Entry] = {file: [stat.st_size, stat.st_mtime_ns] for file, stat in stats.items()}
    changed = [file for file in files if known.get(names[file], [])[:2] != now[file]]
    with (
        ThreadPoolExecutor(_THREADS) as pool,
        progress_bar("check images", len(changed), " images", hidden=not changed) as bar,
    ):
        for file, digest in zip(changed, pool.map(_digest, changed), strict=True):
            now[file].append(digest)
            bar.update(1)
    return {name: now[file] if len(now[file]) == 3 else known[name] for file, name in names.items()}


def _digest(file: str) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "blake2b").hexdigest()[:32]


def _read(index: Path) -> dict[str, Entry]:
    try:
        entries: dict[str, Entry] = json.loads(index.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return entries
