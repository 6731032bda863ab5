"""The pages of the screening room, and the data that they read.

A page is one HTML file with its style and scripts inside, so that it opens from a disk. What it shows of a film is a script
beside it, since a page that was opened from a disk may not read other files:

    refilm.film("256x144/bikes", {"frames": 250, "fps": [25, 1], "tiles": ..., "models": ["bikes"]},
    {"shots": [0, 57], "ssim": [null, [0.71, 0.72, ...]], ...});

The first line is what `read_description` reads of it. Every text goes through Jinja2's escaping, or JSON without `<`.
"""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

from markupsafe import Markup

from refilm.rendering.composite import Composite
from refilm.rendering.templates import render_template

# Of each measure the column of the metrics that the film has, if any, and the one that a reconstruction has.
_MEASURES = {
    "ssim": (None, "ssim"),
    "psnr": (None, "psnr"),
    "colour": (None, "colour_error"),
    "motion": ("film_motion", "recon_motion"),
}
_DIGITS = 4  # significant digits of a measure
_CALL = "refilm.film("

Measures = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """A film with its reconstructions of one frame size. key: SIZE/FILM; models: titles by name; thumbnail: a URL;
    described: as of `describe`, with the mean SSIM of each model."""

    key: str
    title: str
    models: Mapping[str, str]
    thumbnail: str
    described: Mapping[str, Any]

    @property
    def seconds(self) -> float:
        rate, scale = self.described["fps"]
        return float(self.described["frames"] * scale / rate)

    def thumbnail_style(self, tile: int) -> str:
        """CSS that shows a tile of the thumbnail in a box of its shape: 0 is the original."""
        (width, height), (left, top) = self.described["tile"], self.described["places"][tile]
        return f"width:{self._percent(self.described['size'][0], width)};left:{self._percent(-left, width)};" + (
            f"top:{self._percent(-top, height)}"
        )

    @staticmethod
    def _percent(part: float, whole: float) -> str:
        return f"{100 * part / whole:.3f}%"

    def to_json(self) -> dict[str, Any]:
        return {"title": self.title, "models": self.models}


@dataclass(frozen=True)
class Video:
    """A video that a page links to. video, thumbnail: URLs."""

    title: str
    video: str
    thumbnail: str


@dataclass(frozen=True)
class ModelPages:
    """The pages of a model: URLs, or empty texts where there are none."""

    network: str = ""
    findings: str = ""


def describe(count: int, fps: Fraction, size: tuple[int, int], models: Sequence[str]) -> dict[str, Any]:
    """What a page must know of a composite video. count: frames; size: (width, height) of a frame in pixels."""
    composite = Composite(1 + len(models), *size)
    factor = composite.factor
    return {
        "frames": count,
        "fps": [fps.numerator, fps.denominator],
        "models": [*models],
        "size": composite.video_size,
        "tile": [side * factor for side in size],
        "places": [[side * factor for side in composite.place(n)] for n in range(composite.count)],
    }


def read_measures(files: Sequence[Path | str], frames: range) -> Measures:
    """Of each measure the values of the film, or None, and then of each reconstruction: a list with one per frame. files:
    the metrics of each model; a missing value is None."""
    tables = [_columns(file, frames) for file in files]
    return {
        name: [tables[0][film] if film else None, *(table[reconstruction] for table in tables)]
        for name, (film, reconstruction) in _MEASURES.items()
    }


def _columns(file: Path | str, frames: range) -> dict[str, list[float | None]]:
    wanted = {column for columns in _MEASURES.values() for column in columns if column}
    columns: dict[str, list[float | None]] = {name: [] for name in wanted}
    with open(file, newline="", encoding="utf-8") as opened:
        for number, row in enumerate(csv.DictReader(opened)):
            if number in frames:
                for name, values in columns.items():
                    values.append(_number(row[name]))
    return columns


def _number(text: str) -> float | None:
    value = float(text) if text else math.nan
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None


def film_script(key: str, described: Mapping[str, Any], measures: Measures) -> str:
    """The script of a film."""
    means = [_mean(values) for values in measures["ssim"][1:]]
    return f"{_CALL}{to_script(key)}, {to_script({**described, 'ssim': means})},\n{to_script(measures)});\n"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), _DIGITS) if known else None


def read_description(file: Path) -> dict[str, Any]:
    """The description of a film, from its script."""
    with open(file, encoding="utf-8") as opened:
        first = opened.readline()
    described: dict[str, Any] = json.loads(f"[{first.removeprefix(_CALL).rstrip().removesuffix(',')}]")[1]
    return described


def to_script(value: object) -> str:
    """A value as JavaScript that may stand in an HTML file: ASCII, and no tag or comment can begin in it."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def render_index(
    entries: Sequence[Entry],
    pages: Mapping[str, ModelPages],
    videos: Mapping[str, Sequence[Video]] = MappingProxyType({}),
    made_of: str = "",
) -> str:
    """The page of all films. pages: of models, by name; videos: others, by the heading above their links; made_of: what a
    plan knows it by."""
    models = {name: title for entry in entries for name, title in entry.models.items()}
    return _render(
        entries=entries, models=models, pages=pages, videos=videos, film="", heading="The screening room", made_of=made_of
    )


def render_page(entry: Entry, script: str, video: str, made_of: str = "") -> str:
    """The page of one film, with all that it shows inside. script: of the film; video: a URL."""
    return _render(
        entries=[entry], models={}, pages={}, film=Markup(script), video=video, heading=entry.title, made_of=made_of
    )


def _render(entries: Sequence[Entry], **values: Any) -> str:
    data = {entry.key: entry.to_json() for entry in entries}
    return render_template("page.html", entries=entries, data=Markup(to_script(data)), **values)
