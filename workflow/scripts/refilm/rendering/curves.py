"""training.csv as a picture that says how the training went, and what healthy looks like."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from refilm.core.files import atomic_write
from refilm.rendering.style import BACKGROUND, REMARK, SERIES, TITLE

_TROUBLE, _WELL = SERIES[2], SERIES[3]
_FEWEST = 8  # rows before anything is judged
_COIN_TOSS = 2 * math.log(2)  # the discriminator's loss when it knows nothing: -log 1/2 for film, and for the other


@dataclass(frozen=True)
class _Zone:
    """A stretch of the y axis in which a curve hovers while all is well, or should never be."""

    low: float
    high: float
    words: str
    colour: str


@dataclass(frozen=True)
class _Panel:
    """series: columns and how they are called; judge: from smoothed columns what is diagnose, or nothing."""

    title: str
    series: dict[str, str]
    healthy: str
    logarithmic: bool = False
    limits: tuple[float, float] | None = None
    zones: tuple[_Zone, ...] = ()
    judge: Callable[[pd.DataFrame], str] = lambda rows: ""


def _judge_psnr(rows: pd.DataFrame) -> str:
    lost = rows["psnr"].max() - rows["psnr"].iloc[-1]
    return f"{lost:.1f} dB below its best" if lost > 1 else ""


def _judge_held_out(rows: pd.DataFrame) -> str:
    lost = rows["held_out_psnr"].max() - rows["held_out_psnr"].iloc[-1]
    return f"held out {lost:.1f} dB below its best: it learns by heart" if lost > 1 else ""


def _judge_latents(rows: pd.DataFrame) -> str:
    return "frames have become one: lower kl_weight" if rows["kl_bits"].iloc[-1] < 10 else ""


def _judge_verdicts(rows: pd.DataFrame) -> str:
    film, rebuilt = rows["d_real"].iloc[-1], rows["d_recon"].iloc[-1]
    if film <= rebuilt:
        return "it cannot tell film: raise discriminator_lr_scale"
    return (
        "hardly ever wrong: if it all stays blurred, lower discriminator_lr_scale" if film > 0.98 and rebuilt < 0.02 else ""
    )


def _judge_gradients(rows: pd.DataFrame) -> str:
    norms = rows.filter(like="_grad_norm")
    late = norms.iloc[len(norms) // 2 :]
    return "jumps: lower learning_rate" if (late.max() > 100 * norms.median()).any() else ""


def _judge_rate(rows: pd.DataFrame) -> str:
    rate = rows["frames_per_s"]
    return "slower than it was: what else is running?" if rate.iloc[-1] < 0.7 * rate.median() else ""


_PANELS = [
    _Panel("Rebuilt frames: PSNR in dB", {"psnr": "PSNR"}, "rises, ever more slowly", judge=_judge_psnr),
    _Panel(
        "Frames seen and held out: PSNR in dB",
        {"seen_psnr": "seen", "held_out_psnr": "held out"},
        "both rise, held out below; where it turns down, the film is learnt by heart",
        judge=_judge_held_out,
    ),
    _Panel(
        "Latents: bits a frame",
        {"kl_bits": "KL divergence"},
        "settles, in the tens or hundreds",
        logarithmic=True,
        zones=(_Zone(1e-6, 10, "too few to tell frames apart", _TROUBLE),),
        judge=_judge_latents,
    ),
    _Panel(
        "Likeness in the discriminator's layers",
        {"feature_loss": "likeness"},
        "falls, then hovers: what measures it learns too",
        logarithmic=True,
    ),
    _Panel(
        "Taken for film by the discriminator",
        {"d_real": "film", "d_recon": "rebuilt", "d_prior": "imagined"},
        "film above, the others below, none at an end",
        limits=(0, 1),
        zones=(_Zone(0, 0.02, "", _TROUBLE), _Zone(0.98, 1, "", _TROUBLE), _Zone(0.05, 0.95, "in play", _WELL)),
        judge=_judge_verdicts,
    ),
    _Panel(
        "Discriminator's loss",
        {"l_gan": "loss"},
        "hovers between a coin toss and certainty",
        zones=(
            _Zone(0, 0.1, "almost certain", _TROUBLE),
            _Zone(_COIN_TOSS, 1.08 * _COIN_TOSS, "tosses a coin", _TROUBLE),
        ),
        limits=(0, 1.7),
    ),
    _Panel(
        "Weight of the likeness, gamma", {"gamma": "gamma"}, "hovers: likeness and adversary in balance", logarithmic=True
    ),
    _Panel(
        "Gradient norms",
        {"encoder_grad_norm": "encoder", "decoder_grad_norm": "decoder", "discriminator_grad_norm": "discriminator"},
        "hover, without jumps of powers of ten",
        logarithmic=True,
        judge=_judge_gradients,
    ),
    _Panel("Frames a second", {"frames_per_s": "frames/s"}, "level", judge=_judge_rate),
]


def diagnose(rows: pd.DataFrame) -> dict[str, str]:
    """What of a training does not look healthy, by the title of its panel: what is seen and what can be done."""
    smooth, found = _smoothed(rows), {}
    for panel in _PANELS:
        if len(rows) >= _FEWEST and set(panel.series) & set(rows.columns) and (said := panel.judge(smooth)):
            found[panel.title] = said
    return found


def _smoothed(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.ewm(span=max(1, len(rows) / 25)).mean()


def draw_curves(log: Path, picture: Path, name: str) -> None:
    """Draw training.csv; panels whose columns the recipe does not have are left out."""
    rows = pd.read_csv(log)
    smooth, remarks = _smoothed(rows), diagnose(rows)
    panels = [panel for panel in _PANELS if set(panel.series) & set(rows.columns)]
    dark, light, grey = (tuple(c / 255 for c in colour) for colour in (BACKGROUND, TITLE, REMARK))
    colours = {"axes.edgecolor": grey, "xtick.color": grey, "ytick.color": grey, "text.color": light}
    style = colours | {"figure.facecolor": dark, "axes.facecolor": dark, "font.size": 9, "font.family": "DejaVu Sans"}
    with plt.rc_context(style), atomic_write(picture) as partial:
        lines = -(-len(panels) // 2)
        figure, axes = plt.subplots(lines, 2, figsize=(12, 2.9 * lines + 0.5), squeeze=False, layout="constrained")
        figure.get_layout_engine().set(h_pad=0.12, w_pad=0.12)
        length = f"{rows['step'].iloc[-1]:,} steps, {rows['seconds'].iloc[-1] / 60:,.0f} min"
        figure.suptitle(f"{name}: {length}", fontsize=14, x=0.012, ha="left")
        for axis, panel in zip(axes.flat, panels, strict=False):
            _draw_panel(axis, panel, rows, smooth, remarks.get(panel.title), grey)
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(False)
        figure.savefig(partial, dpi=130)
        plt.close(figure)


def _draw_panel(axis, panel: _Panel, rows: pd.DataFrame, smooth: pd.DataFrame, remark: str | None, grey) -> None:
    """Raw values faintly, smoothed ones over them; zones behind; above, what healthy looks like or what is diagnose."""
    shown = {column: label for column, label in panel.series.items() if column in rows}
    for colour, (column, label) in zip(SERIES, shown.items(), strict=False):
        there = rows[column].notna()  # some are measured at previews alone
        axis.plot(rows["step"][there], rows[column][there], color=colour, linewidth=0.8, alpha=0.35)
        axis.plot(rows["step"][there], smooth[column][there], color=colour, linewidth=1.6, label=label)
    if panel.logarithmic and (rows[list(shown)] > 0).all(axis=None):
        axis.set_yscale("log")
        _plain_ticks(axis, *axis.get_ylim())
    low, high = panel.limits or axis.get_ylim()
    if panel.limits:  # a curve that leaves them is still seen
        low, high = min(low, rows[list(shown)].min(axis=None)), max(high, rows[list(shown)].max(axis=None))
    for zone in panel.zones:
        axis.axhspan(zone.low, zone.high, color=zone.colour, alpha=0.10, linewidth=0)
        middle = (max(low, zone.low) + min(high, zone.high)) / 2
        if zone.words and low < middle < high:
            axis.text(0.01, middle, zone.words, transform=axis.get_yaxis_transform(), color=zone.colour,
                      fontsize=8, va="center", alpha=0.9)  # fmt: skip
    axis.set_ylim(low, high)
    axis.set_title(panel.title, loc="left", fontsize=11, pad=20)
    axis.text(0, 1.04, f"look: {remark}" if remark else f"healthy: {panel.healthy}", transform=axis.transAxes,
              color=_TROUBLE if remark else grey, fontsize=9)  # fmt: skip
    axis.spines[["top", "right"]].set_visible(False)
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axis.margins(x=0.01)
    if len(shown) > 1:
        key = axis.legend(frameon=False, fontsize=9, loc="lower right", bbox_to_anchor=(1, 1.09), ncols=3,
                          handlelength=1.2, columnspacing=1.4, borderpad=0)  # fmt: skip
        key.set_in_layout(False)


def _plain_ticks(axis, low: float, high: float) -> None:
    """Numbers as people write them on a logarithmic axis, more of them within a decade where it has few."""
    within = (1,) if high > 100 * low else (1, 2, 5) if high > 4 * low else range(1, 10)
    axis.yaxis.set_major_locator(LogLocator(subs=within))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.yaxis.set_minor_locator(NullLocator())
