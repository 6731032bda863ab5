"""training.csv as a picture that says how the training went."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import pandas as pd
from matplotlib import pyplot as plt

from refilm.settings.files import partial_file
from refilm.viewing.style import BACKGROUND, REMARK, SERIES, TITLE

# (title, columns and how they are called, logarithmic, what healthy looks like)
_PANELS = [
    ("Rebuilt frames, PSNR in dB", {"psnr": "PSNR"}, False, "rises, ever more slowly"),
    ("Latents, bits a frame", {"kl_bits": "KL"}, True, "settles well above 0"),
    ("Likeness in the discriminator", {"likeness": "likeness"}, True, "falls, then wavers"),
    (
        "Taken for film by the discriminator",
        {"d_real": "film", "d_rebuilt": "rebuilt", "d_imagined": "imagined"},
        False,
        "film highest, none stuck at 0 or 1",
    ),
    (
        "Gradient norms",
        {"encoder_gradient": "encoder", "decoder_gradient": "decoder", "discriminator_gradient": "discriminator"},
        True,
        "no jumps of many powers of ten",
    ),
    ("Frames a second", {"frames_per_s": "frames/s"}, False, "level"),
]


def draw_curves(log: Path, picture: Path, name: str) -> None:
    """Draw training.csv; panels whose columns the recipe does not have are left out."""
    rows = pd.read_csv(log)
    panels = [panel for panel in _PANELS if set(panel[1]) & set(rows.columns)]
    dark, light, grey = (tuple(c / 255 for c in colour) for colour in (BACKGROUND, TITLE, REMARK))
    colours = {
        "axes.edgecolor": grey,
        "xtick.color": grey,
        "ytick.color": grey,
        "text.color": light,
        "axes.labelcolor": grey,
    }
    style = colours | {"figure.facecolor": dark, "axes.facecolor": dark, "font.size": 9, "font.family": "DejaVu Sans"}
    with plt.rc_context(style), partial_file(picture) as partial:
        lines = -(-len(panels) // 2)
        figure, axes = plt.subplots(lines, 2, figsize=(11, 2.9 * lines), sharex=True, squeeze=False, layout="constrained")
        figure.suptitle(f"{name}: {rows['step'].iloc[-1]:,} steps, {rows['seconds'].iloc[-1] / 60:,.0f} min", fontsize=12)
        for axis, (title, series, logarithmic, healthy) in zip(axes.flat, panels, strict=False):
            shown = {column: label for column, label in series.items() if column in rows}
            for colour, (column, label) in zip(SERIES, shown.items(), strict=False):
                axis.plot(rows["step"], rows[column], color=colour, linewidth=1.2, label=label)
            axis.set_title(title, loc="left", fontsize=10)
            axis.set_title(f"healthy: {healthy}", loc="right", fontsize=8, color=grey)
            axis.spines[["top", "right"]].set_visible(False)
            if logarithmic:
                axis.set_yscale("log")
            if len(shown) > 1:
                axis.legend(frameon=False, fontsize=8)
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(False)
        for axis in axes[-1]:
            axis.set_xlabel("step")
        figure.savefig(partial, dpi=130)
        plt.close(figure)
