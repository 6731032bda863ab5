"""Writes what is made of the keys: workflow/schemas/config.schema.yaml and the tables of config/README.md.

python -m refilm.config.generate            # after a change in keys.py or recipes.py
python -m refilm.config.generate --check    # fails where they are stale
"""

import argparse
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from refilm.config.keys import (
    BendKeys,
    BendStepKeys,
    ComparisonKeys,
    DreamKeys,
    ExportKeys,
    FilmKeys,
    GlobalKeys,
    Key,
    ModelKeys,
    PosterKeys,
    PredictorKeys,
    ReconstructionKeys,
    RecordingKeys,
    TrainingKeys,
    VideoKeys,
    WalkKeys,
    defaults,
    keys_of,
)
from refilm.config.recipe import auto_shown
from refilm.config.recipes import RECIPES
from refilm.config.schema import schema
from refilm.config.transforms import TRANSFORMS
from refilm.core.command_line import command_parser, run_command
from refilm.core.errors import RefilmError

ROOT = Path(__file__).parents[4]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
MANUAL = ROOT / "config" / "README.md"
_FILM_LENGTHS = {"10 s": 240, "1 min": 1_440, "10 min": 14_400, "1 h": 86_400, "1 h 57 min": 168_480, "4 h": 345_600}
_TABLE = re.compile(r"(<!-- keys:(\w+) -->\n).*?(<!-- /keys -->)", re.DOTALL)


def main(args: argparse.Namespace) -> None:
    """Raises RefilmError under --check if a file is stale."""
    made = {SCHEMA: schema_text(), MANUAL: manual_text(MANUAL.read_text(encoding="utf-8"))}
    for file, text in made.items():
        if file.read_text(encoding="utf-8") == text:
            continue
        if args.check:
            raise RefilmError(f"{file.relative_to(ROOT)}: stale: run `python -m refilm.config.generate`")
        file.write_text(text, encoding="utf-8")
        print(f"{file.relative_to(ROOT)}: written")


def schema_text() -> str:
    """The schema as YAML."""
    head = "# Made by `python -m refilm.config.generate` of workflow/scripts/refilm/config/keys.py: edit that file.\n"
    return head + yaml.dump(schema(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Equal parts are written out, each in its place."""
        return True


def manual_text(text: str) -> str:
    """The manual with the table between each pair of `<!-- keys:NAME -->` and `<!-- /keys -->` made again."""
    tables = {
        "films": _table(keys_of(FilmKeys).values()),
        "models": _table(keys_of(ModelKeys).values()),
        "training": _table(keys_of(TrainingKeys).values()),
        "recording": _table(keys_of(RecordingKeys).values()),
        "recipes": _recipes(),
        "length": _lengths(),
        "comparisons": _table(keys_of(ComparisonKeys).values()),
        "posters": _table(keys_of(PosterKeys).values()),
        "exports": _table(keys_of(ExportKeys).values()),
        "walks": _table(keys_of(WalkKeys).values()),
        "bends": _table(keys_of(BendKeys).values()),
        "steps": _table(keys_of(BendStepKeys).values()),
        "transforms": _transforms(),
        "dreams": _table(keys_of(DreamKeys).values()),
        "predictor": _table(keys_of(PredictorKeys).values()),
        "reconstruction": _table(keys_of(ReconstructionKeys).values()),
        "video": _table(keys_of(VideoKeys).values()),
        "global": _table(keys_of(GlobalKeys).values()),
    }
    return _TABLE.sub(lambda match: f"{match[1]}{tables[match[2]]}\n{match[3]}", text)


def _table(keys: Iterable[Key]) -> str:
    head = ["| key | default | values | what it is |", "|---|---|---|---|"]
    return "\n".join(
        [*head, *(f"| `{key.name}` | {_default(key)} | {key.values()} | {_cell(key.description)} |" for key in keys)]
    )


def _recipes() -> str:
    head = ["| recipe | what it is | its own defaults | keys without effect |", "|---|---|---|---|"]
    rows = []
    for name, spec in RECIPES.items():
        own = ", ".join(f"`{key}: {_number(value)}`" for key, value in spec.defaults.items())
        unused = ", ".join(f"`{key}`" for key in keys_of(TrainingKeys) if key in spec.unused)
        rows.append(f"| `{name}` | {_cell(spec.summary)} | {own or 'none'} | {unused or 'none'} |")
    return "\n".join([*head, *rows])


def _transforms() -> str:
    head = ["| transform | the features become | its numbers |", "|---|---|---|"]
    rows = [
        f"| `{name}` | {_cell(spec.summary)} | "
        + (", ".join(f"`{parameter}: {_number(value)}`" for parameter, value in spec.parameters.items()) or "none")
        + " |"
        for name, spec in TRANSFORMS.items()
    ]
    return "\n".join([*head, *rows])


def _lengths() -> str:
    batch = defaults(TrainingKeys)["batch_size"]
    head = [f"| film at 24 frames/s | frames | epochs | steps of {batch} frames |", "|---|---|---|---|"]
    rows = []
    for film, frames in _FILM_LENGTHS.items():
        shown = auto_shown(frames)
        rows.append(f"| {film} | {frames:,} | {shown / frames:.3g} | {math.ceil(shown / batch):,} |")
    return "\n".join([*head, *rows])


def _default(key: Key) -> str:
    if key.required:
        return "required"
    return key.unset or "null" if key.default is None else _number(key.default)


def _number(value: Any) -> str:
    """0.00001 and not 1e-05, [2, 3] and not (2, 3)."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return str(list(value))
    return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    parser = command_parser(__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, and fail where a file is stale")
    run_command(main, parser)
