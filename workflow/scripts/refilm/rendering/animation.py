"""GIF and WebP animations that repeat without end."""

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from refilm.core.files import atomic_write

_COLOURS = 256
_PALETTE_FRAMES = 24  # from which the colours of a GIF are chosen
_UNITS = {".gif": 100, ".webp": 1000}  # of a frame's duration, per second
_FASTEST = 50  # frames per second of a GIF: browsers slow down those of more


def write_animation(path: Path | str, pictures: Sequence[Image.Image], fps: Fraction, provenance: str) -> None:
    """Write pictures of one size as .gif or .webp, by the suffix. Of more than 50 frames per second a GIF leaves out some.

    provenance: text of `refilm.core.provenance`, which becomes the comment of a GIF, and XMP of a WebP.
    """
    path, unit = Path(path), _UNITS[Path(path).suffix]
    step = math.ceil(fps / _FASTEST) if unit == _UNITS[".gif"] else 1
    shown, rate = pictures[::step], fps / step
    ends = [round((n + 1) * unit / rate) for n in range(len(shown))]
    durations = [int(end - start) * 1000 // unit for start, end in zip([0, *ends], ends, strict=False)]
    common: dict[str, Any] = {"save_all": True, "duration": durations, "loop": 0}
    with atomic_write(path) as partial:
        if unit == _UNITS[".gif"]:
            first, *rest = _with_one_palette(shown)
            first.save(partial, append_images=rest, comment=provenance.encode(), optimize=False, **common)
        else:
            first, *rest = shown
            first.save(partial, append_images=rest, xmp=provenance.encode(), quality=80, method=4, **common)


def _with_one_palette(pictures: Sequence[Image.Image]) -> list[Image.Image]:
    """The pictures in the same 256 colours, so that what stands still does not flicker."""
    chosen = [pictures[round(n)] for n in np.linspace(0, len(pictures) - 1, min(len(pictures), _PALETTE_FRAMES))]
    samples = np.concatenate([np.asarray(picture) for picture in chosen])
    palette = Image.fromarray(samples).quantize(_COLOURS, Image.Quantize.MEDIANCUT)
    return [picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for picture in pictures]
