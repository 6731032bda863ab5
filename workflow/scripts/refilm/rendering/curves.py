"""training.csv as a picture: how each curve looks in a healthy training, and what does not look healthy in this one."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from refilm.core.files import atomic_write
from refilm.core.provenance import KEY
from refilm.rendering.style import BACKGROUND, REMARK, SERIES, TITLE

_BAD, _GOOD = SERIES[2], SERIES[3]
_SMOOTHED_SHARE = 25  # curves are smoothed over 1/25 of the training
_CHANCE_LOSS = 2 * math.log(2)  # of the discriminator: -log(1/2) for film and for generated frames (Goodfellow 2014)
# Limits of a healthy training. Rules of thumb, not measured: a finding is a reason to look at the previews, no more.
_MIN_ROWS = 8  # rows before anything is diagnosed: smoothed curves of fewer still follow single rows
_PSNR_DROP = 1.0  # dB below the best, a visible difference
_COLLAPSE_BITS = 10.0  # per frame: fewer distinguish at most 2**10 frames, 43 seconds of film
_CERTAIN = 0.02  # distance of an output from 0 or 1: there the log-loss gives hardly any gradient
_JUMP = 100.0  # times the median gradient norm
_SLOWDOWN = 0.7  # of the median rate


@dataclass(frozen=True)
class _Zone:
    """A range of the y axis in which a curve stays in a healthy training, or does not belong."""

    low: float
    high: float
    label: str
    colour: str


@dataclass(frozen=True)
class _Panel:
    """series: columns and their labels; healthy: what the curves do in a healthy training; diagnose: of smoothed columns,
    what is wrong and what to do, or ''."""

    title: str
    series: dict[str, str]
    healthy: str
    logarithmic: bool = False
    limits: tuple[float, float] | None = None
    zones: tuple[_Zone, ...] = ()
    diagnose: Callable[[pd.DataFrame], str] = lambda rows: ""


def _drop(values: pd.Series) -> float:
    """How far the last value is below the best."""
    return float(values.max() - values.iloc[-1])


def _diagnose_psnr(rows: pd.DataFrame) -> str:
    drop = _drop(rows["psnr"])
    return f"{drop:.1f} dB below its best" if drop > _PSNR_DROP else ""


def _diagnose_held_out(rows: pd.DataFrame) -> str:
    drop = _drop(rows["held_out_psnr"])
    return f"overfitting: it learns by heart, held-out frames {drop:.1f} dB below their best" if drop > _PSNR_DROP else ""


def _diagnose_latents(rows: pd.DataFrame) -> str:
    collapsed = rows["kl_bits"].iloc[-1] < _COLLAPSE_BITS
    return "posterior collapse: all frames have become one: lower kl_weight" if collapsed else ""


def _diagnose_discriminator(rows: pd.DataFrame) -> str:
    film, made = (rows[name].iloc[-1] for name in ("d_real", "d_recon" if "d_recon" in rows else "d_prior"))
    if film <= made:
        return "cannot tell film from generated frames: raise discriminator_lr_scale"
    certain = film > 1 - _CERTAIN and made < _CERTAIN
    return "almost never wrong: if frames stay blurred, lower discriminator_lr_scale" if certain else ""


def _diagnose_gradients(rows: pd.DataFrame) -> str:
    norms = rows.filter(like="_grad_norm")
    late = norms.iloc[len(norms) // 2 :]
    return "jumps: lower learning_rate" if (late.max() > _JUMP * norms.median()).any() else ""


def _diagnose_rate(rows: pd.DataFrame) -> str:
    rate = rows["frames_per_s"]
    return "slower than before: what else is running?" if rate.iloc[-1] < _SLOWDOWN * rate.median() else ""


_PANELS = [
    _Panel("Reconstruction: PSNR in dB", {"psnr": "PSNR"}, "rises, more and more slowly", diagnose=_diagnose_psnr),
    _Panel(
        "Seen and held-out frames: PSNR in dB",
        {"seen_psnr": "seen", "held_out_psnr": "held out"},
        "both rise, held out below; where it falls: overfitting, the film is learnt by heart",
        diagnose=_diagnose_held_out,
    ),
    _Panel(
        "Latents: KL divergence in bits per frame",
        {"kl_bits": "KL divergence"},
        "settles in the tens or hundreds",
        logarithmic=True,
        zones=(_Zone(1e-6, _COLLAPSE_BITS, "posterior collapse: too few to tell frames apart", _BAD),),
        diagnose=_diagnose_latents,
    ),
    _Panel(
        "Feature loss, in the discriminator's layers",
        {"feature_loss": "feature loss"},
        "falls, then hovers; the layers that measure it learn too",
        logarithmic=True,
    ),
    _Panel(
        "Discriminator's output",
        {"d_real": "film", "d_recon": "reconstruction", "d_prior": "prior sample"},
        "film above, the others below, none at 0 or 1",
        limits=(0, 1),
        zones=(_Zone(0, _CERTAIN, "", _BAD), _Zone(1 - _CERTAIN, 1, "", _BAD), _Zone(0.05, 0.95, "balanced", _GOOD)),
        diagnose=_diagnose_discriminator,
    ),
    _Panel(
        "Discriminator's loss",
        {"l_gan": "loss"},
        "hovers between chance and certainty",
        zones=(_Zone(0, 0.1, "almost certain", _BAD), _Zone(_CHANCE_LOSS, 1.08 * _CHANCE_LOSS, "chance", _BAD)),
        limits=(0, 1.7),
    ),
    _Panel("Generator's loss", {"l_generator": "loss"}, "hovers; a steady rise means that the discriminator is winning"),
    _Panel(
        "Weight of the feature loss, gamma",
        {"gamma": "gamma"},
        "hovers; feature and adversarial loss in balance",
        logarithmic=True,
    ),
    _Panel(
        "Gradient norms",
        {
            "encoder_grad_norm": "encoder",
            "decoder_grad_norm": "decoder",
            "generator_grad_norm": "generator",
            "discriminator_grad_norm": "discriminator",
            "predictor_grad_norm": "predictor",
        },
        "hover, without jumps of powers of ten",
        logarithmic=True,
        diagnose=_diagnose_gradients,
    ),
    _Panel("Likelihood of the next change: nats per latent, less is better", {"nll": "loss"}, "falls, more and more slowly"),
    _Panel(
        "Prediction 8 frames ahead: dB over standing still",
        {"seen_gain": "seen", "held_out_gain": "held out"},
        "seen rises; held out stays about 0 or above",
    ),
    _Panel("Cuts: loss", {"cut_loss": "loss"}, "falls as shots are learnt by heart"),
    _Panel("Frames per second", {"frames_per_s": "frames/s"}, "level", diagnose=_diagnose_rate),
]


def _panels_of(rows: pd.DataFrame) -> list[_Panel]:
    """The panels of which the recipe has a column."""
    return [panel for panel in _PANELS if set(panel.series) & set(rows.columns)]


def diagnose(rows: pd.DataFrame) -> dict[str, str]:
    """What does not look healthy in the rows of training.csv: title of the panel -> what is wrong and what to do."""
    rows = _measured(rows)
    if len(rows) < _MIN_ROWS:
        return {}
    smooth = _smooth(rows)
    findings = {panel.title: panel.diagnose(smooth) for panel in _panels_of(rows)}
    return {title: finding for title, finding in findings.items() if finding}


def _measured(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns that have values already: some are those of a later stage."""
    return rows.dropna(axis="columns", how="all")


def _smooth(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.ewm(span=max(1, len(rows) / _SMOOTHED_SHARE)).mean()


def _style() -> dict[Any, Any]:
    """Settings of matplotlib."""
    dark, light, grey = (_colour(rgb) for rgb in (BACKGROUND, TITLE, REMARK))
    colours = {"axes.edgecolor": grey, "xtick.color": grey, "ytick.color": grey, "text.color": light}
    return colours | {"figure.facecolor": dark, "axes.facecolor": dark, "font.size": 9, "font.family": "DejaVu Sans"}


def _colour(rgb: tuple[int, int, int]) -> tuple[float, ...]:
    return tuple(value / 255 for value in rgb)


def draw_curves(log: Path | str, picture: Path | str, name: str, provenance: str = "") -> None:
    """Draw training.csv as a PNG, with the panels of which the recipe has columns.

    name: the model's; provenance: text of `refilm.core.provenance`, kept in the file.
    """
    rows = _measured(pd.read_csv(log))
    smooth, findings, panels = _smooth(rows), diagnose(rows), _panels_of(rows)
    with plt.rc_context(_style()), atomic_write(Path(picture)) as partial:
        lines, layout = -(-len(panels) // 2), ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.12)
        figure, axes = plt.subplots(lines, 2, figsize=(12, 2.9 * lines + 0.5), squeeze=False, layout=layout)
        length = f"{rows['step'].iloc[-1]:,} steps, {rows['seconds'].iloc[-1] / 60:,.0f} min"
        figure.suptitle(f"{name}: {length}", fontsize=14, x=0.012, ha="left")
        for axis, panel in zip(axes.flat, panels, strict=False):
            _draw_panel(axis, panel, rows, smooth, findings.get(panel.title))
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(False)
        figure.savefig(partial, dpi=130, metadata={KEY: provenance} if provenance else {})
        plt.close(figure)


def _draw_panel(axis: Axes, panel: _Panel, rows: pd.DataFrame, smooth: pd.DataFrame, finding: str | None) -> None:
    """Raw values faintly and smoothed ones over them; zones behind; above, what is healthy or what is wrong."""
    series = {column: label for column, label in panel.series.items() if column in rows}
    for colour, (column, label) in zip(SERIES, series.items(), strict=False):
        measured = rows[column].notna()  # some columns are measured at previews only
        axis.plot(rows["step"][measured], rows[column][measured], color=colour, linewidth=0.8, alpha=0.35)
        axis.plot(rows["step"][measured], smooth[column][measured], color=colour, linewidth=1.6, label=label)
    if panel.logarithmic and (rows[list(series)] > 0).all(axis=None):
        axis.set_yscale("log")
        _plain_ticks(axis, *axis.get_ylim())
    _draw_zones(axis, panel, rows[list(series)])
    axis.set_title(panel.title, loc="left", fontsize=11, pad=20)
    axis.text(0, 1.04, f"check: {finding}" if finding else f"healthy: {panel.healthy}", transform=axis.transAxes,
              color=_BAD if finding else _colour(REMARK), fontsize=9)  # fmt: skip
    axis.spines[["top", "right"]].set_visible(False)
    axis.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axis.margins(x=0.01)
    if len(series) > 1:
        key = axis.legend(frameon=False, fontsize=9, loc="lower right", bbox_to_anchor=(1, 1.09), ncols=3,
                          handlelength=1.2, columnspacing=1.4, borderpad=0)  # fmt: skip
        key.set_in_layout(False)


def _draw_zones(axis: Axes, panel: _Panel, values: pd.DataFrame) -> None:
    """The zones of a panel, and the limits of its y axis."""
    low, high = panel.limits or axis.get_ylim()
    if panel.limits:  # values outside of them stay visible
        low, high = min(low, np.nanmin(values)), max(high, np.nanmax(values))
    for zone in panel.zones:
        axis.axhspan(zone.low, zone.high, color=zone.colour, alpha=0.10, linewidth=0)
        middle = (max(low, zone.low) + min(high, zone.high)) / 2
        if zone.label and low < middle < high:
            axis.text(0.01, middle, zone.label, transform=axis.get_yaxis_transform(), color=zone.colour,
                      fontsize=8, va="center", alpha=0.9)  # fmt: skip
    axis.set_ylim(low, high)


def _plain_ticks(axis: Axes, low: float, high: float) -> None:
    """Plain numbers on a logarithmic axis, with more ticks per decade the fewer decades it shows."""
    within = (1,) if high > 100 * low else (1, 2, 5) if high > 4 * low else range(1, 10)
    axis.yaxis.set_major_locator(LogLocator(subs=within))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.yaxis.set_minor_locator(NullLocator())
