"""Findings as a page and as Markdown: of each claim what was measured, a figure, and whether it is borne out.

Figures are SVG, whose colours follow the light or dark scheme of the page.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt

from refilm.models.claims import FEW, FEWEST_SHOTS, MEASURES, NO, OPEN, UNMEASURED, YES, Claim, Row, Series
from refilm.models.intervals import RESAMPLES
from refilm.rendering.templates import data_url, render_template

# Stand-ins that matplotlib draws with, and what they become in a light and a dark scheme: those of viewer/style.css.
_COLOURS = {
    "#010101": ("#1b1a18", "#e8e6e1"),
    "#020202": ("#5f5b54", "#a09d96"),
    "#030303": ("#d8d3c8", "#2c2b2d"),
    "#040404": ("#a65f00", "#e8a33d"),
    "#050505": ("#1f6f92", "#5aa9c8"),
    "#060606": ("#a8322c", "#d8716b"),
}
_INK, _QUIET, _LINE, *_SERIES = _COLOURS
_MARKERS = ("o", "s", "D")
_MEANING = {
    YES: "the interval lies above zero",
    NO: "the interval lies below zero",
    OPEN: "the interval includes zero",
    FEW: f"fewer than {FEWEST_SHOTS} shots, whose interval is too narrow to decide",
    UNMEASURED: "nothing to measure it with",
}


@dataclass(frozen=True)
class Findings:
    """What a report says. facts: lines below the heading; populations: (label, frames, shots, films) that are there."""

    title: str
    facts: Sequence[str]
    populations: Sequence[tuple[str, int, int, str]]
    claims: Sequence[Claim]

    def to_html(self, made_of: str, provenance: str) -> str:
        """The page. made_of: what a plan knows it by; provenance: text of `refilm.core.provenance`."""
        figures = [data_url(draw_figure(claim).encode(), "image/svg+xml") if claim.series else "" for claim in self.claims]
        return render_template(
            "findings.html", findings=self, claims=list(zip(self.claims, figures, strict=True)), made_of=made_of,
            provenance=provenance, meaning=_MEANING, resamples=RESAMPLES, measures=MEASURES, effect=effect_of,
            interval=interval_of,
        )  # fmt: skip

    def to_markdown(self) -> str:
        """The same text, with the figures as tables."""
        lines = [f"# {_plain(self.title)}: what the text of 2016 says, measured", "", *map(_plain, self.facts), ""]
        lines += ["Frames, of which a claim uses those that it can:", ""]
        lines += _table(("population", "frames", "shots", "films"), [
            (label, f"{frames:,}", f"{shots:,}", films) for label, frames, shots, films in self.populations
        ])  # fmt: skip
        summary = []
        for number, claim in enumerate(self.claims, 1):
            row = claim.deciding
            of = (effect_of(row), interval_of(row), row.about, row.measure) if row else ("–", "–", "–", "–")
            summary.append((f"{number}. {claim.name}", claim.verdict, *of))
        lines += _table(("claim", "verdict", "effect", "95 % interval", "frames of", "measure"), summary)
        lines += [f"{verdict}: {meaning}." for verdict, meaning in _MEANING.items()]
        lines += [f"Intervals are by the bootstrap over shots: {RESAMPLES:,} resamples.", ""]
        for number, claim in enumerate(self.claims, 1):
            lines += [f"## {number}. {claim.name}: {claim.verdict}", "", claim.statement]
            lines += [claim.absent] if claim.absent else []
            lines += [claim.method, ""]
            if claim.rows:
                lines += [f"Effect: {claim.effect}.", ""]
                lines += _table(("frames of", "measure", "effect", "95 % interval", "frames", "shots", "verdict"), [
                    (row.about, row.measure, effect_of(row), interval_of(row), f"{row.interval.frames:,}",
                     f"{row.interval.shots:,}", row.verdict) for row in claim.rows
                ])  # fmt: skip
            if claim.series:
                lines += _table((claim.axis, *(series.label for series in claim.series)), _points(claim.series))
        return "\n".join(lines).rstrip() + "\n"


def effect_of(row: Row) -> str:
    """The effect with its sign."""
    return f"{row.interval.value:+.3f}" if row.interval.shots else "–"


def interval_of(row: Row) -> str:
    """The interval."""
    return f"{row.interval.low:+.3f} to {row.interval.high:+.3f}" if row.interval.shots else "–"


def draw_figure(claim: Claim) -> str:
    """The figure of a claim as SVG: a line for each category, and on it a point with its interval for each population."""
    categories = list(dict.fromkeys(category for series in claim.series for category, _ in series.points))
    with plt.rc_context(_style()):
        figure, axis = plt.subplots(figsize=(7.2, 0.9 + 0.5 * len(categories)), layout="constrained")
        spread = 0.5 / max(1, len(claim.series))
        for n, series in enumerate(claim.series):
            for category, found in series.points:
                place = categories.index(category) + (n - (len(claim.series) - 1) / 2) * spread
                if found.shots:
                    axis.plot([found.low, found.high], [place, place], color=_SERIES[n], linewidth=2, solid_capstyle="round")
                axis.plot(found.value, place, _MARKERS[n], color=_SERIES[n], markersize=6)
            axis.plot([], [], _MARKERS[n], color=_SERIES[n], label=series.label)
        axis.set_yticks(range(len(categories)), [_shorten(category) for category in categories])
        axis.set_ylim(len(categories) - 0.5, -0.5)
        axis.set_xlabel(claim.axis)
        axis.grid(axis="x", color=_LINE, linewidth=0.8)
        axis.set_axisbelow(True)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(length=0)
        figure.legend(loc="outside upper left", ncols=3, frameon=False, handletextpad=0.2, columnspacing=1.5)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        plt.close(figure)
    return _themed(out.getvalue())


def _style() -> dict[Any, Any]:
    """Settings of matplotlib: the same text makes the same bytes, and stays text."""
    text = {"font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 10, "text.parse_math": False}
    colours = {"text.color": _INK, "axes.edgecolor": _LINE, "axes.labelcolor": _QUIET, "xtick.color": _QUIET}
    return text | colours | {"ytick.color": _INK, "svg.hashsalt": "refilm", "svg.fonttype": "none"}


def _themed(svg: str) -> str:
    """The SVG with colours that follow the scheme of the page."""
    light, dark = ("".join(f"--c{n}:{pair[k]};" for n, pair in enumerate(_COLOURS.values())) for k in (0, 1))
    for n, stand_in in enumerate(_COLOURS):
        svg = svg.replace(stand_in, f"var(--c{n})")
    style = f"<style>:root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"
    head, tag, rest = svg.partition("<defs>")
    return f"{head}{style}{tag}{rest}"


def _points(series: Sequence[Series]) -> list[tuple[str, ...]]:
    """The figure as a table: a row for each category."""
    categories = list(dict.fromkeys(category for each in series for category, _ in each.points))
    rows = []
    for category in categories:
        found = [dict(each.points).get(category) for each in series]
        cells = [f"{each.value:.3f} ({each.low:.3f} to {each.high:.3f})" if each and each.shots else "–" for each in found]
        rows.append((category, *cells))
    return rows


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(_plain(cell) for cell in line)} |" for line in lines] + [""]


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, and that ends no cell of a table."""
    for special in "\\`*_[]<>|":
        text = text.replace(special, f"\\{special}")
    return " ".join(text.split())


def _shorten(text: str, most: int = 32) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
