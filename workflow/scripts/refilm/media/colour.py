"""The colour space of a film, and the filters that convert it to that of an SDR screen.

Sources: ITU-R BT.601, BT.709, BT.2020; SMPTE ST 2084 (PQ) and ITU-R BT.2100 (HLG) for high dynamic range; J. Hable,
"Uncharted 2: HDR Lighting", GDC 2010, for the tone curve.
"""

import re
from dataclasses import dataclass

from refilm.core.errors import RefilmError
from refilm.media.ffmpeg_log import ColourTags

_MATRICES = {"bt709": "bt709", "smpte170m": "bt601", "bt470bg": "bt601", "smpte240m": "smpte240m", "fcc": "fcc"}
_MATRICES |= {"bt2020nc": "bt2020"}
# Matrices that the scaler does not know. zscale converts the first ones; of those of constant luminance it takes a display's
# light for the camera's (13 grey levels off), and for the last ones ffmpeg has no filter.
_FOR_ZSCALE = {"ycgco", "ictcp", "chroma-derived-nc"}
_UNREADABLE = {"bt2020c", "chroma-derived-c", "ycgco-re", "ycgco-ro", "smpte2085", "ipt-c2"}
_ZSCALE_NAMES = {"bt709": "709", "bt601": "170m", "bt2020": "2020_ncl", "smpte240m": "240m", "fcc": "fcc"}
HDR = {"smpte2084", "arib-std-b67"}  # transfers of high dynamic range
_WIDE_GAMUT = {"bt2020", "smpte431", "smpte432"}  # primaries further apart than those of an SDR screen
_ALPHA = re.compile(r"yuva|gbrap|rgba|bgra|argb|abgr|ya\d|ayuv|vuya|pal8|graya")

# 100 cd/m2 is linear 1. The curve keeps shadows and middle tones apart and rolls highlights off, up to 1000 cd/m2 as white:
# what HLG is made for and most HDR10 is graded on. The peak of the file's own tags would let one false tag darken a film.
_TONE_MAP = "tonemap=hable:desat=0:peak=10"
_SCREEN = "zscale=transfer=bt709:matrix=gbr:range=full"


@dataclass(frozen=True)
class Colour:
    """The colour space of a film.

    matrix: 'bt601', 'bt709', ..., as the scaler names it, or as ffmpeg does one that the scaler does not know; full_range:
    0-255 instead of 16-235; primaries, transfer: as ffmpeg names them; alpha: the film has an alpha channel.
    """

    matrix: str
    full_range: bool
    primaries: str
    transfer: str
    alpha: bool

    @property
    def before_scaler(self) -> list[str]:
        """Filters from a matrix that the scaler does not know to `scaler_matrix` in limited range; none for any other. They
        come before any use of it. Raises RefilmError for one that ffmpeg does not convert right."""
        if self.matrix in _UNREADABLE:
            raise RefilmError(
                f"its colour matrix is {self.matrix}, which ffmpeg does not convert right: export the film again in BT.709 "
                "with the program that made it"
            )
        if self.matrix not in _FOR_ZSCALE:
            return []
        given = f"min={self.matrix}:{self._light}:rin={'full' if self.full_range else 'limited'}"
        made = f"matrix={_ZSCALE_NAMES[self.scaler_matrix]}:transfer={self._zscale_transfer}:range=limited"
        return [f"zscale={given}:{made}", "format=yuv444p16"]

    @property
    def scaler_matrix(self) -> str:
        """The matrix of what the scaler reads."""
        return self.matrix if self.matrix not in _FOR_ZSCALE else "bt2020" if self.primaries in _WIDE_GAMUT else "bt709"

    @property
    def scaler_options(self) -> str:
        """The options by which the scaler reads this colour space."""
        full_range = self.full_range and not self.before_scaler
        return f"in_color_matrix={self.scaler_matrix}:in_range={'pc' if full_range else 'tv'}"

    @property
    def _light(self) -> str:
        """The options by which zscale reads transfer and primaries; untagged they are those of an SDR screen."""
        primaries = self.primaries if self.primaries in _WIDE_GAMUT else "709"
        return f"tin={self._zscale_transfer}:pin={primaries}:primaries={primaries}"

    @property
    def _zscale_transfer(self) -> str:
        return self.transfer if self.transfer in HDR else "709"

    @property
    def to_screen(self) -> list[str]:
        """Filters from this colour space, scaled, to R'G'B' of an SDR screen; none where the scaler does it.

        They come after scaling: on small frames they cost nothing, and the mean over an area is taken of the values in the
        file, as for any film. The scaler is not asked for R'G'B', whose 16-bit white would be 65,283.
        """
        hdr = self.transfer in HDR
        if not hdr and self.primaries not in _WIDE_GAMUT:
            return []
        given = f"{self._light}:min={_ZSCALE_NAMES[self.scaler_matrix]}:rin=limited"
        linear = f"zscale={given}:transfer=linear:matrix=gbr:npl=100"
        tone_map = [_TONE_MAP] if hdr else []
        return ["format=yuv444p16", linear, "format=gbrpf32le", "zscale=primaries=709", *tone_map, _SCREEN]


def colour_of(pixel_format: str, tags: ColourTags, width: int, height: int) -> Colour:
    """The colour space of frames by their pixel format and tags.

    An untagged film is BT.709 if it is HD and BT.601 if not, in limited range. ICtCp is HDR.
    """
    untagged = "bt709" if width >= 1280 or height > 576 else "bt601"
    alpha = _ALPHA.match(pixel_format) is not None
    matrix = tags.matrix if tags.matrix in _FOR_ZSCALE | _UNREADABLE else _MATRICES.get(tags.matrix, untagged)
    if matrix == "ictcp":
        tags = tags._replace(primaries="bt2020", transfer=tags.transfer if tags.transfer in HDR else "smpte2084")
    return Colour(matrix, tags.range == "pc", tags.primaries, tags.transfer, alpha)
