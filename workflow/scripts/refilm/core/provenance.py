"""What made a file: the film, the models and the software, as one JSON text that every result carries in its metadata.

{
  "film":    the film that it shows, a record of `film_record`; null where it shows none, or where that is unknown
  "models":  the models that made it, in their order: records of `model_record`
  "latents": how the film was encoded for each of the models: {"model", "noise", "made_by"}, and "search" where latents
             were searched; null where that is unknown
  "made_by": what wrote the file, as of `made_by`
  "films":   of a walk with the latents of several films alone, in place of `film`: their records, in the order of `latents`
  "predictor": of a predictor and of a dream alone: {"recipe", "training", "steps", "made_by"}
  "dream":   of a dream alone: {"start", "seed", "temperature"}
}

The text is canonical, and no time is in it: the same work makes the same bytes again. What is derived from a file takes the
records over.
"""

import contextlib
import functools
import importlib.metadata
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import refilm

KEY = "provenance"  # of the metadata: a text chunk of PNG, an attribute of HDF5, an entry of safetensors
_PACKAGE = Path(refilm.__file__).parent
_GIT_SECONDS = 10
_GIT_PLACES = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"}  # another repository, where refilm runs in a hook of it

Record = dict[str, Any]


def provenance_text(
    written_by: Record,
    film: Record | None = None,
    models: Sequence[Record] = (),
    latents: Sequence[Record | None] = (),
    **others: Any,
) -> str:
    """The text of a file. written_by: `made_by` of the command that writes it; others: `films`, `predictor` and `dream`."""
    return canonical({"film": film, "models": [*models], "latents": [*latents], "made_by": written_by} | others)


def canonical(record: Mapping[str, Any]) -> str:
    """One line of ASCII with sorted keys: equal records give equal texts."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"))


def parse_provenance(text: object) -> Record | None:
    """The inverse of `provenance_text`; None for any other value, as of a file of an earlier version."""
    try:
        record = json.loads(str(text))
    except ValueError:
        return None
    return record if isinstance(record, dict) and record.keys() >= {"film", "models", "latents", "made_by"} else None


def film_of(metadata: Mapping[str, Any]) -> Record | None:
    """The record of the film that a file shows, by its metadata; None where the file does not say."""
    film: Record | None = (parse_provenance(metadata.get(KEY)) or {}).get("film")
    return film


def made_by(command: str, *packages: str, **versions: str) -> Record:
    """The command that writes a file, with the versions of refilm, of these Python packages, and those that are given."""
    known = {package: importlib.metadata.version(package) for package in packages}
    return {"command": command, "refilm": refilm.__version__, "commit": commit(), **known, **versions}


@functools.cache
def commit() -> str | None:
    """The commit of refilm's checkout, as `git describe` names it; '-dirty' if the package was edited since.

    None where refilm is no checkout, or git is missing or fails.
    """
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        if _git("ls-files", "__init__.py"):  # and not the repository of a project into which refilm was installed
            name = _git("describe", "--always", "--tags")
            return f"{name}-dirty" if _git("status", "--porcelain", "--untracked-files=no", ".") else name
    return None


def _git(*words: str) -> str:
    environ = {name: value for name, value in os.environ.items() if name not in _GIT_PLACES}
    environ["GIT_OPTIONAL_LOCKS"] = "0"  # jobs that run at once do not wait for each other
    command = ["git", "-C", str(_PACKAGE), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_GIT_SECONDS, env=environ)
    return done.stdout.strip()


def film_record(name: str, source: str, written_by: Record, **known: Any) -> Record:
    """The frames of a film. source: the file or the pattern of the images, of which an absolute path is not kept, since it
    may name a person; known: bytes and sha256 of a file, its address if it was fetched, or the digest of images; crop,
    filter, size, fps; settings: the keys that decide the pixels."""
    shown = Path(source).name if Path(source).is_absolute() else source
    return {"name": name, "source": shown, "made_by": written_by, **known}


def model_record(
    name: str,
    recipe: str,
    training: str,
    steps: int,
    films: Sequence[Record | None] | None,
    written_by: Record,
    initial: Record | None = None,
) -> Record:
    """A model after so many steps. recipe: as JSON; training: its key; films: the records of those that it was trained on,
    None for those of which it is unknown; initial: the record of the model from whose weights it started."""
    started = {"initial_model": initial} if initial else {}
    return started | {
        "name": name,
        "recipe": json.loads(recipe),
        "training": training,
        "steps": steps,
        "films": None if films is None else [*films],
        "made_by": written_by,
    }
