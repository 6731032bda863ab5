"""What a frames file says of the film that it holds: the attributes of its HDF5 file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from refilm.core.provenance import KEY

Attribute = str | int | float | bool

_OPTIONAL = ("source", "crop", "filter")


@dataclass(frozen=True)
class FrameMetadata:
    """Where frames come from.

    fps: frames per second; start_time: seconds from the start of the film file to the first frame; source: the film file,
    or the pattern of the images; crop: the part of the picture, as 'width x height at x, y'; filter: how it was scaled;
    details: further attributes that are kept so that the frames can be made again; made_of: the text by which a plan knows
    them; provenance: what made them, as `refilm.core.provenance` writes it.
    """

    fps: Fraction
    start_time: Fraction = Fraction(0)
    source: str = ""
    crop: str = ""
    filter: str = ""
    details: Mapping[str, Attribute] = field(default_factory=dict)
    made_of: str = ""
    provenance: str = ""

    def shared_attributes(self) -> dict[str, Attribute]:
        """The attributes that files derived from the frames keep too, without those that are unknown."""
        known = {name: getattr(self, name) for name in _OPTIONAL if getattr(self, name)}
        return {"fps": str(self.fps), "start_time": str(self.start_time), **known}

    def to_attributes(self) -> dict[str, Attribute]:
        """All attributes of a frames file."""
        own = {KEY: self.provenance} if self.provenance else {}
        return {**self.details, **self.shared_attributes(), **own}

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Attribute]) -> "FrameMetadata":
        """The inverse of `to_attributes`. Raises KeyError or ValueError where the frame rate is missing or invalid."""
        own = {"fps", "start_time", "schema", KEY, *_OPTIONAL}
        return cls(
            fps=Fraction(str(attributes["fps"])),
            start_time=Fraction(str(attributes.get("start_time", 0))),
            **{name: str(attributes[name]) for name in _OPTIONAL if name in attributes},
            details={name: value for name, value in attributes.items() if name not in own},
            provenance=str(attributes.get(KEY, "")),
        )
