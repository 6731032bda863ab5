"""What `snakemake --report report.zip` shows: every result that is there, films on pages that play them.

Snakemake's report shows pictures and pages, and offers anything else as a download. So films, tables and trainings get a
page each: a folder with an index.html and links to the files that it shows, which the zip then contains. The pages are made
when the Snakefile is read, and only for a report: no rule could make them, since `--report` runs no jobs.
"""

import csv
import html
import shutil
import statistics
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from refilm import layout
from refilm.config.configuration import Config
from refilm.core.errors import RefilmError

PAGES = Path(".snakemake/refilm-report")
INDEX = "index.html"
TRAININGS = "results/models/{model}"
UNDECLARED = (layout.TRAINING_CURVES, layout.TRAINING_LOG)
# Results that are shown as they are: their category in the report, and their caption in workflow/report. Exports are not:
# they are large, browsers play few of them, and the same reconstruction is there as a video.
RESULTS = {
    layout.VIDEO: ("Reconstructions", "video"),
    layout.COMPARISON: ("Comparisons", "comparison"),
    layout.STILLS: ("Stills", "stills"),
    layout.CROP_PREVIEW: ("Stills", "crop"),
    layout.ORDERED_STILLS: ("Sheets of shots", "sheet"),
    layout.MOMENT: ("Moments", "moment"),
    layout.CLIP: ("Animations", "clip"),
    layout.POSTER: ("Posters", "poster"),
    layout.SAMPLES: ("Samples", "samples"),
    layout.DRIFT: ("Samples", "drift"),
    layout.WALK: ("Walks", "walk"),
    layout.BEND: ("Bends", "bend"),
    layout.DREAM: ("Dreams", "dream"),
    layout.METRICS: ("Metrics", "metrics"),
    layout.SHOTS: ("Shots", "shots"),
    TRAININGS: ("Trainings", "training"),
}
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font-family: sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em; }}
video, img {{ display: block; margin: 1em 0; max-width: 100%; }}
video {{ background: black; max-height: 80vh; width: 100%; }}
td, th {{ padding: .2em 1em .2em 0; text-align: right; }}
td:first-child, th:first-child {{ text-align: left; }}
</style>
<h1>{title}</h1>
{body}
</html>
"""


@dataclass(frozen=True)
class Shown:
    """An entry of the report. path: a file, or a folder with a page; names: the film, model or comparison that it shows;
    results: those of its files that rules make."""

    path: str
    category: str
    caption: str
    names: dict[str, str]
    results: list[str]
    index: str | None

    @property
    def labels(self) -> dict[str, str]:
        """The columns of the report's list."""
        return self.names | ({"model": "(crop)"} if self.caption.endswith("crop.rst") else {})


class Options(Protocol):
    """The command line of Snakemake, as its parser returns it."""

    report: Path | None
    report_after_run: bool
    targets: Iterable[str]


def check_report(options: Options) -> bool:
    """Whether a report is asked for. Raises RefilmError for one that would not show what its command line names."""
    if options.report is None:
        return False
    if options.report_after_run:
        raise RefilmError(
            "--report-after-run: a report shows what was there before: run snakemake without it, then --report"
        )
    for target in options.targets:
        raise RefilmError(f"{target}: a report shows all results that are there: ask for --report without a target")
    return True


def collect(config: Config) -> list[Shown]:
    """All that is there of what the configuration names, with new pages. Raises RefilmError if nothing is there."""
    shutil.rmtree(PAGES, ignore_errors=True)
    found = [entry for pattern in RESULTS for entry in entries(config, pattern)]
    if not found:
        raise RefilmError("--report: there are no results yet: ask snakemake for some by their names first")
    return found


def entries(config: Config, pattern: str) -> Iterator[Shown]:
    """The entries of the results of a pattern."""
    category, caption = RESULTS[pattern]
    for result, names in existing(config, pattern):
        files = beside(result) if pattern == TRAININGS else [result]
        if files:
            path, index = show(result, title(config, names), files)
            made = [str(file) for file in files if file.name not in UNDECLARED]
            yield Shown(path, category, f"../report/{caption}.rst", names, made, index)


def beside(folder: Path) -> list[Path]:
    """What is there of a training: its curves, the training as a film, its metrics."""
    names = (layout.TRAINING_CURVES, Path(layout.TRAINING_FILM).name, layout.TRAINING_LOG)
    return [folder / name for name in names if (folder / name).exists()]


def show(result: Path, heading: str, files: list[Path]) -> tuple[str, str | None]:
    """Link the files of a result into a folder of its own; the folder and its page, or the file if it is one picture."""
    folder = PAGES / result.suffix.removeprefix(".") / result.with_suffix("").relative_to("results")
    folder.mkdir(parents=True)
    for file in files:
        (folder / file.name).symlink_to(file.resolve())
    if result.suffix == ".png":
        return str(folder / result.name), None
    body = "".join(VIEWS[file.suffix](file) for file in files)
    (folder / INDEX).write_text(PAGE.format(title=html.escape(heading), body=body), encoding="utf-8")
    return str(folder), INDEX


def existing(config: Config, pattern: str) -> Iterator[tuple[Path, dict[str, str]]]:
    """The files of a pattern whose names the configuration knows, and these names."""
    known = {"film": set(config.films), "model": set(config.models)}
    known |= {"comparison": set(config.comparisons), "poster": set(config.posters)}
    known |= {"walk": set(config.walks), "bend": set(config.bends)}
    known |= {"dream": set(config.dreams)}
    for path in sorted(layout.existing(pattern)):
        names = layout.wildcards(pattern, path)
        if names and all(layout.split_step(names[name])[0] in known[name] for name in names.keys() & known):
            yield path, names


def title(config: Config, names: dict[str, str]) -> str:
    """The heading of a page: the titles of the film and the model that it shows."""
    if "comparison" in names:
        comparison = config.comparison(names["comparison"])
        models = ", ".join(config.model_title(model) for model in comparison.models)
        return f"{config.film_title(comparison.film)} by {models}"
    if "poster" in names:
        poster = config.poster(names["poster"])
        return f"{config.film_title(poster.film)} by {config.model_title(poster.model)}"
    if "walk" in names:
        return config.walk(names["walk"]).title or names["walk"]
    if "bend" in names:
        return config.bend(names["bend"]).title or names["bend"]
    if "dream" in names:
        dream = config.dream(names["dream"])
        return f"{config.film_title(dream.film)} as dreamt by {config.model_title(dream.model)}"
    film = [config.film_title(names["film"])] if "film" in names else []
    model = [config.model_title(names["model"])] if "model" in names else []
    return " by ".join(film + model)


def player(path: Path) -> str:
    return f'<video src="{path.name}" controls loop preload="metadata"></video>\n'


def picture(path: Path) -> str:
    return f'<img src="{path.name}" alt="{path.stem}">\n'


def numbers(path: Path) -> str:
    """A CSV file in short, and itself: of each column mean, minimum, maximum, and the last value."""
    rows: list[tuple[str, ...]] = [("", "mean", "minimum", "maximum", "last")]
    for name, values in columns(path).items():
        of = (statistics.fmean(values), min(values), max(values), values[-1])
        rows.append((name, *(f"{value:.5g}" for value in of)))
    return f'{table(rows)}<p><a href="{path.name}" download>{path.name}</a></p>\n'


def columns(path: Path) -> dict[str, list[float]]:
    """The numbers in each column of a CSV file, without those that are missing or not yet written as a whole."""
    found: dict[str, list[float]] = {}
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for name, text in row.items():
                with suppress(ValueError, TypeError):
                    found.setdefault(name, []).append(float(text))
    return {name: values for name, values in found.items() if values}


def table(rows: list[tuple[str, ...]]) -> str:
    """Rows as a table; the first one is its head."""
    lines = [cells("td" if number else "th", row) for number, row in enumerate(rows)]
    return "<table>\n" + "".join(f"<tr>{line}</tr>\n" for line in lines) + "</table>\n"


def cells(tag: str, row: tuple[str, ...]) -> str:
    return "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)


VIEWS = {".mp4": player, ".png": picture, ".gif": picture, ".webp": picture, ".csv": numbers}
