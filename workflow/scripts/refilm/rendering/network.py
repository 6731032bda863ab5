"""The page of a network in pictures: its layers, what each of them makes of a frame, and what its latents do.

Pictures are WebP inside the page, so that it is one file. Where pixels carry values, they are kept exactly.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from PIL import Image
from torch import Tensor

from refilm.models.latent_effects import EFFECT_STEP
from refilm.models.layer_trace import Activation, Layer
from refilm.models.linear_code import LinearCode
from refilm.rendering.templates import data_url, render_template

MOST_EFFECT = 10  # latents that are moved
STEPS = (-3, -2, -1, 0, 1, 2, 3)  # standard deviations, by which they are
_MOST_CHANNELS, _CHANNEL_COLUMNS = 64, 8
_KERNEL_COLUMNS, _PATTERN_COLUMNS, _PATTERN_WIDTH = 16, 16, 64
_BLACK, _WHITE = 1, 99  # percentiles of a layer's values
_QUALITY = 85  # of pictures that are looked at as pictures
_BAR_LIMIT = 4.0  # standard deviations
_NETWORKS = {
    "encoder": "from a frame to the latents",
    "code": "from a frame to the latents and back to a picture: fitted to the film, not trained",
    "decoder": "from the latents to a frame",
    "generator": "from the latents to a frame",
    "discriminator": "tells film from what the network makes; only the training needs it",
}


@dataclass(frozen=True)
class Picture:
    """A picture of a page. url: with the picture inside; caption: what it shows; remark: how its values are drawn; exact:
    whether its pixels are values, to be enlarged as squares."""

    url: str
    width: int
    height: int
    caption: str
    remark: str = ""
    exact: bool = False


@dataclass(frozen=True)
class LayerRow:
    """A layer of the table. share: of all weights."""

    name: str
    kind: str
    output: str
    weights: str
    count: int
    share: float


@dataclass(frozen=True)
class Moved:
    """A latent that is moved. number: from 1; effect: in grey levels; pictures: one for each of the steps, and what changes
    from the first to the last."""

    number: int
    effect: float
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class NetworkPage:
    """All that a page shows. facts: lines below the heading; tables: as of `layer_tables`; code: pictures of a linear code;
    parts: as of `activation_pictures`; bars: as of `bars_of`; moved: the strongest latents first; of_prior: whether the
    frame is a sample."""

    title: str
    facts: Sequence[str]
    frames: Sequence[Picture]
    tables: Sequence[tuple[str, str, float, Sequence[LayerRow]]]
    code: Sequence[Picture]
    parts: Sequence[tuple[str, Sequence[Picture]]]
    bars: Sequence[float]
    kernels: Sequence[Picture]
    moved: Sequence[Moved]
    of_prior: bool

    def to_html(self, made_of: str, provenance: str) -> str:
        """The page. made_of: what a plan knows it by; provenance: text of `refilm.core.provenance`, kept in its metadata."""
        chosen = {moved.number for moved in self.moved}
        return render_template(
            "network.html", page=self, made_of=made_of, provenance=provenance, steps=STEPS, effect_step=EFFECT_STEP,
            chosen=chosen, bar_limit=_BAR_LIMIT,
        )  # fmt: skip


def layer_tables(layers: Sequence[Layer]) -> list[tuple[str, str, float, list[LayerRow]]]:
    """(network, what it is for, its share of all weights, its layers), in their order."""
    total = sum(layer.count for layer in layers) or 1
    tables = []
    for network, group in groupby(layers, key=lambda layer: layer.network):
        rows = [
            LayerRow(
                layer.name or network, layer.kind, _shape(layer.output), _weights(layer), layer.count, layer.count / total
            )
            for layer in group
        ]
        tables.append((network, _NETWORKS.get(network, ""), sum(row.share for row in rows), rows))
    return tables


def activation_pictures(activations: Sequence[Activation]) -> list[tuple[str, list[Picture]]]:
    """(network, a grid of the channels of each of its layers), in the order of computing."""
    return [
        (network, [_channel_grid(each) for each in group])
        for network, group in groupby(activations, key=lambda a: a.network)
    ]


def _channel_grid(activation: Activation) -> Picture:
    """The channels of a layer at one scale of grey, in their order; of many those that vary most over the picture."""
    values = activation.values.numpy()
    low, high = np.percentile(values, (_BLACK, _WHITE))
    shown = np.sort(np.argsort(-values.std(axis=(1, 2)), kind="stable")[:_MOST_CHANNELS])
    grey = (values[shown] - low) / max(high - low, 1e-12)
    cells = np.repeat(_to_bytes(grey)[..., None], 3, axis=3)
    what = f"{len(shown)} of {len(values)} channels, those that vary most" if len(shown) < len(values) else ""
    remark = "; ".join([part for part in (what, f"black {low:.3g}, white {high:.3g}") if part])
    caption = f"{activation.name}: {' → '.join(activation.kinds)}, {_shape(values.shape)}"
    return _grid(cells, min(_CHANNEL_COLUMNS, len(cells)), caption, remark)


def kernel_pictures(kernels: Mapping[str, Tensor]) -> list[Picture]:
    """A grid of the kernels of each layer that looks at a picture, as the colours that they answer to."""
    pictures = []
    for name, weights in kernels.items():
        values = weights.numpy()
        strength = np.abs(values).max(axis=(1, 2, 3))
        shown = np.sort(np.argsort(-strength, kind="stable")[:_MOST_CHANNELS])
        colours = values[shown] / np.maximum(strength[shown], 1e-12)[:, None, None, None]
        of = f"{len(shown)} of {len(values)}, the strongest; " if len(shown) < len(values) else ""
        caption = f"{name}, {_shape(values.shape)}"
        remark = f"{of}each at its own scale; mid-grey is 0"
        pictures.append(_grid(_to_bytes(0.5 + colours / 2).transpose(0, 2, 3, 1), _KERNEL_COLUMNS, caption, remark))
    return pictures


def code_pictures(code: LinearCode) -> list[Picture]:
    """The mean frame of a linear code, and grids of its patterns: cosines, and principal components."""
    height, width, _ = code.shape
    mean = _to_bytes((code.mean.cpu().numpy().reshape(code.shape) + 1) / 2)
    pictures = [_picture(mean, "mean", "the mean of the film's frames, where all latents are 0")]
    patterns, cosines = code.basis.cpu().numpy().reshape(-1, *code.shape), code.count_cosines()
    size = min(_PATTERN_WIDTH, width), round(min(_PATTERN_WIDTH, width) * height / width)
    for first, end, kind in ((0, cosines, "cosines"), (cosines, len(patterns), "principal components of the film")):
        if end > first:
            cells = np.stack([_pattern(pattern, size) for pattern in patterns[first:end]])
            caption = f"numbers {first + 1} to {end}: {kind}"
            pictures.append(_grid(cells, _PATTERN_COLUMNS, caption, "each at its own scale; mid-grey is 0", exact=False))
    return pictures


def _pattern(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A pattern (H, W, 3) as a small picture, uint8 (h, w, 3)."""
    coloured = _to_bytes(0.5 + values / (2 * max(float(np.abs(values).max()), 1e-12)))
    return np.asarray(Image.fromarray(coloured).resize(size, Image.Resampling.BOX))


def frame_picture(frame: np.ndarray, caption: str, remark: str = "") -> Picture:
    """A frame, uint8 (H, W, 3)."""
    return _picture(frame, caption, remark)


def change_picture(first: np.ndarray, last: np.ndarray, caption: str) -> Picture:
    """What changes from one frame to another, uint8 (H, W, 3) each, at its own scale."""
    change = last.astype(np.float32) - first
    coloured = _to_bytes(0.5 + change / (2 * max(float(np.abs(change).max()), 1.0)))
    return _picture(coloured, f"what changes up to {caption}")


def bars_of(latents: np.ndarray, mean: np.ndarray, std: np.ndarray) -> list[float]:
    """Latents in standard deviations from their means, at most 4 to each side; 0 for those that do not vary."""
    varies = std > 0
    units = np.where(varies, (latents - mean) / np.where(varies, std, 1), 0)
    return [float(value) for value in units.clip(-_BAR_LIMIT, _BAR_LIMIT)]


def _grid(cells: np.ndarray, columns: int, caption: str, remark: str, exact: bool = True) -> Picture:
    """Small pictures in rows, with transparent lines between them: uint8 (n, h, w, 3)."""
    count, height, width, _ = cells.shape
    rows = math.ceil(count / columns)
    sheet = np.zeros((rows * (height + 1) - 1, columns * (width + 1) - 1, 4), np.uint8)
    for n, cell in enumerate(cells):
        top, left = n // columns * (height + 1), n % columns * (width + 1)
        sheet[top : top + height, left : left + width, :3] = cell
        sheet[top : top + height, left : left + width, 3] = 255
    return _picture(sheet, caption, remark, exact=exact, lossless=exact)


def _picture(pixels: np.ndarray, caption: str, remark: str = "", exact: bool = False, lossless: bool = False) -> Picture:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "WEBP", lossless=lossless, quality=_QUALITY, method=4)
    height, width = pixels.shape[:2]
    return Picture(data_url(out.getvalue(), "image/webp"), width, height, caption, remark, exact)


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """Values of 0 to 1 as uint8."""
    clipped: np.ndarray = np.round(values.clip(0, 1) * 255).astype(np.uint8)
    return clipped


def _shape(sides: Sequence[int]) -> str:
    return " × ".join(map(str, sides)) or "–"


def _weights(layer: Layer) -> str:
    """The shapes of a layer's weights."""
    text = ", ".join(f"{name} {_shape(shape)}" for name, shape in layer.shapes.items()) or "–"
    return text if layer.trained else f"{text} (fitted)"
