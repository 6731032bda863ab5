"""Print what made a result: the film and its SHA-256, the models with their recipes, and the versions of the software.

    python -m refilm.provenance results/bikes_by_bikes.mp4
    python -m refilm.provenance --json results/models/bikes/model.safetensors

For the files of refilm, and of exported images the JSON file beside them. A CSV file has no metadata: what made training.csv
is read from the training.png beside it, for metrics from the latents, the video or the sheet of the same film and model, and
for shots from the frames of the film.
"""

import argparse
import html
import os
import re
import textwrap
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import h5py
from PIL import Image, UnidentifiedImageError
from PIL.PdfParser import PdfFormatError, PdfParser

from refilm import layout
from refilm.config.recipe import metadata_of_model
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError
from refilm.core.files import check_exists
from refilm.core.provenance import KEY, Record, canonical, parse_provenance
from refilm.media.tags import read_tags
from refilm.models.provenance import text_of_model

_WIDTH = 100  # of a line after its label
_META = re.compile(rf'<meta name="{KEY}" content="([^"]*)">'.encode())  # of a page
_HEAD = 1 << 17  # bytes of a page, in which it is
_KEYS = {".png": KEY, ".gif": "comment", ".webp": "xmp"}  # of the metadata of pictures


def main(args: argparse.Namespace) -> None:
    without = []
    for file in args.files:
        place, record = find(Path(file))
        if record is None:
            without.append(file)
        else:
            print(canonical(record) if args.json else "\n".join(_described(file, place, record)))
    if without:
        raise RefilmError(
            f"{', '.join(without)}: no provenance: made by an earlier version of refilm, or by another program"
        )


def find(file: Path) -> tuple[Path, Record | None]:
    """(file that says it, provenance) of a result; None where nothing does. Raises OSError where there is no such file."""
    if file.is_dir():  # of exported images
        file = file / f"{file.name}.json"
    check_exists(file)
    places = [file] if file.suffix != ".csv" else [place for place in _beside(file) if place.exists()]
    known = ((place, read(place)) for place in places)
    return next(((place, record) for place, record in known if record), (file, None))


def read(file: Path) -> Record | None:
    """The provenance in the metadata of a file; None for one without it."""
    read_text = _READERS.get(file.suffix)
    return parse_provenance(read_text(file)) if read_text else None


def _beside(table: Path) -> Iterator[Path]:
    """The files that were made of the same as a CSV file."""
    if table.name == layout.TRAINING_LOG:
        yield table.with_name(layout.TRAINING_CURVES)
    yield table.with_suffix(".safetensors")  # of a model that is kept under trained/
    project = table.absolute().parent.parent.parent
    name, project = table.absolute().relative_to(project), Path(os.path.relpath(project))
    names = layout.wildcards(layout.METRICS, name)
    for pattern in (layout.LATENTS, layout.VIDEO, layout.STILLS) if names else ():
        yield project / pattern.format(**names)
    for film in layout.wildcards(layout.SHOTS, name).values():
        yield from sorted(project.glob(layout.FRAMES.format(size="*", film=film)))


def _of_hdf5(file: Path) -> object:
    try:
        with h5py.File(file, locking=False) as opened:
            return opened.attrs.get(KEY)
    except OSError:
        return None


def _of_weights(file: Path) -> object:
    return metadata_of_model(file).get(KEY) or text_of_model(file)


def _of_picture(file: Path) -> object:
    try:
        with Image.open(file) as opened:
            text = opened.info.get(_KEYS[file.suffix])
            return text.decode() if isinstance(text, bytes) else text
    except (UnidentifiedImageError, SyntaxError):
        return None


def _of_page(file: Path) -> object:
    found = _META.search(file.read_bytes()[:_HEAD])
    return html.unescape(found[1].decode()) if found else None


def _of_pdf(file: Path) -> object:
    try:
        return PdfParser(file).info[b"Keywords"]
    except (PdfFormatError, KeyError):
        return None


def _of_video(file: Path) -> object:
    try:
        return read_tags(file).comment
    except RefilmError:
        return None


_READERS = {".h5": _of_hdf5, ".safetensors": _of_weights, ".json": Path.read_text}
_READERS |= {".pdf": _of_pdf, ".html": _of_page}
_READERS |= dict.fromkeys(_KEYS, _of_picture) | dict.fromkeys((".mp4", ".mov", ".mkv"), _of_video)


# --- as text


def _described(file: str, place: Path, record: Record) -> Iterator[str]:
    yield file if Path(file) == place else f"{file} (no metadata in a CSV file: this is that of {place})"
    yield _line("made by", _software(record["made_by"]))
    for film in record.get("films", filter(None, [record["film"]])):
        yield from _film("film", film)
        if film:
            yield from _extraction(film)
    if not record["film"] and "films" not in record and record["latents"]:
        yield _line("film", "unknown")
    for model in record["models"]:
        yield from _model(model)
    for latents in record["latents"]:
        yield _line("encoded by", _encoding(latents) if latents else "unknown")
        if latents:
            yield _line("", _software(latents["made_by"]))
    if record.get("predictor"):
        yield from _predictor(record["predictor"])
    if "dream" in record:
        yield _line("dream", _settings(record["dream"]))


def _predictor(predictor: Record) -> Iterator[str]:
    yield _line("predictor", f"{predictor['training']}: {predictor['steps']} steps")
    yield _line("", _settings(predictor["recipe"]))
    yield _line("", _software(predictor["made_by"]))


def _encoding(latents: Record) -> str:
    search = f", search {latents['search']}" if "search" in latents else ""
    return f"{latents['model'] or 'unknown'}, noise {latents['noise']:g}{search}"


def _film(label: str, film: Record | None) -> Iterator[str]:
    if film is None:
        yield _line(label, "unknown")
        return
    yield _line(label, f"{film['name']}: {film['source']}" + (f", {film['bytes']} bytes" if "bytes" in film else ""))
    if "address" in film:
        yield _line("", f"from {film['address']}")
    yield _line("", f"sha256 {film['sha256']}" if "sha256" in film else f"images {film['images']}")


def _extraction(film: Record) -> Iterator[str]:
    yield _line("", f"crop {film['crop']} to {film['size']}, {film['fps']} frames/s")
    yield _line("", _settings(film["settings"]))
    yield _line("", "filter " + film["filter"].replace(",", ", "))
    yield _line("", _software(film["made_by"]))


def _model(model: Record) -> Iterator[str]:
    recipe = model["recipe"]
    yield _line("model", f"{model['name']}/{model['training']}: {recipe['recipe']}, {model['steps']} steps")
    yield _line("", _settings({key: value for key, value in recipe.items() if key not in ("films", "recipe")}))
    yield _line("", _software(model["made_by"]))
    if "initial_model" in model:
        first = model["initial_model"]
        yield _line("initial", f"{first['name']}/{first['training']}: {first['steps']} steps")
    for film in model["films"] if model["films"] is not None else [None]:
        yield from _film("trained on", film)


def _settings(values: Record) -> str:
    return ", ".join(f"{key}: {value}" for key, value in values.items() if value is not None)


def _software(made_by: Record) -> str:
    """'render_video of refilm 0.2.0 (v0.2.0-3-g1f0c63a), ffmpeg 7.1, torch 2.10.0'"""
    others = [f"{name} {version}" for name, version in made_by.items() if name not in ("command", "refilm", "commit")]
    commit = f"commit {made_by['commit']}" if made_by["commit"] else "commit unknown"
    return ", ".join([f"{made_by['command']} of refilm {made_by['refilm']} ({commit})", *others])


def _line(label: str, text: str) -> str:
    lines = textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"  {name:<10}  {line}" for name, line in zip_longest([label], lines, fillvalue=""))


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="FILE", help="a result of refilm")
    parser.add_argument("--json", action="store_true", help="as JSON, a line for each file")
    run_command(main, parser)
