"""The video of a film file before it is decoded: the properties of its frames, and what its header says of its length."""

from dataclasses import dataclass
from fractions import Fraction

from refilm.media.field_order import detect_field_order, interlaced_field_order
from refilm.media.film_file import FilmFile
from refilm.media.frame_properties import FrameProperties, analyse_frames, analyse_key_frames


@dataclass(frozen=True)
class VideoStream(FrameProperties):
    """The video of a film.

    film: the file; field_order: as measured, not as tagged; tagged_interlaced: most frames are tagged as interlaced;
    damaged: it is to be used although frames may be missing or broken; open_ended: its first and last frames may be
    incomplete, as in any recording.
    """

    film: FilmFile
    tagged_interlaced: bool
    damaged: bool

    @property
    def open_ended(self) -> bool:
        return self.film.is_recording


def probe_video(film: FilmFile, deinterlace: str = "auto", damaged: bool = False) -> VideoStream:
    """Look at the video of a film, in some of its frames.

    deinterlace: 'auto', 'on', 'fields' or 'off'; only with 'auto' it is measured whether frames that are not tagged so are
    interlaced. Raises RefilmError if the file is missing, empty, unreadable or has no video.
    """
    properties = analyse_key_frames(film) or analyse_frames(film)
    order, seconds = properties.field_order, film.estimated_seconds or Fraction(0)
    if deinterlace == "auto":
        order = detect_field_order(film, properties, film.nominal_rate, seconds)
    elif deinterlace != "off":
        order = interlaced_field_order(film, properties, seconds)
    tagged = properties.field_order != "progressive"
    return VideoStream(**vars(properties) | {"field_order": order}, film=film, tagged_interlaced=tagged, damaged=damaged)
