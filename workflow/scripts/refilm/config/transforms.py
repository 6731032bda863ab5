"""The registry of transforms of a decoder's features: one entry each, and all that planning must know of it. No torch.

A new transform is a function in models/bending.py, and a line here under its name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

LAYERS = 4  # of a decoder, from the coarsest on


@dataclass(frozen=True)
class TransformSpec:
    """What a transform declares. summary: for the manual; parameters: those that its function takes, of `by`, `x` and `y`,
    with their defaults."""

    summary: str
    parameters: Mapping[str, float] = field(default_factory=dict)


TRANSFORMS: dict[str, TransformSpec] = {
    "ablate": TransformSpec("0 in place of the features"),
    "invert": TransformSpec("the features with the opposite sign"),
    "multiply": TransformSpec("the features times `by`", {"by": 2}),
    "threshold": TransformSpec("1 where a feature is above `by`, else 0", {"by": 0}),
    "scale": TransformSpec("enlarged about the middle of the picture by the factor `by`, at least 0.01", {"by": 1.5}),
    "translate": TransformSpec("moved to the right by `x` of the width, and down by `y` of the height", {"x": 0.1, "y": 0}),
    "rotate": TransformSpec("turned anticlockwise about the middle by `by` degrees", {"by": 15}),
    "flip": TransformSpec("left and right exchanged"),
    "erode": TransformSpec("each feature the least of the square around it, `by` cells to each side", {"by": 1}),
    "dilate": TransformSpec("the same with the greatest", {"by": 1}),
}
