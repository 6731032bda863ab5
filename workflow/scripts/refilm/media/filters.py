"""The filters between a film's decoded frames and frames of one size: shape, deinterlacing, scaling, colour."""

from fractions import Fraction

from refilm.media.bars import Box, fit_size
from refilm.media.colour import Colour

# ffmpeg's default flags are 1.25 grey levels off and 20 dB from an exact box average; these are within 0.01 and 52 dB.
_SCALER = "flags=area+accurate_rnd+full_chroma_int"

# The filters that print the properties and the time of each frame. x265 leaves its settings beside every frame, and printing
# those takes as long as decoding a small frame.
SHOW_FRAMES = ["sidedata=mode=delete:type=SEI_UNREGISTERED", "showinfo=checksum=0"]


def unify_size_filters(width: int, height: int, aspect: Fraction, variable_size: bool) -> list[str]:
    """Filters after which each frame is width x height pixels of the sample aspect ratio `aspect`.

    Where a film is known to vary, frames of another shape keep it, between black bars. Otherwise a frame of another size is
    stretched to this one, so that no later filter meets it. Frames that are right pass untouched.
    """
    if not variable_size:
        return [f"scale={width}:{height}:interl=-1:{_SCALER}"]
    shape = f"(iw*sar/ih/({aspect.numerator}/{aspect.denominator}))"  # width by height, in pixels of that aspect ratio
    fitted_width, fitted_height = f"round(min({width},{height}*{shape}))", f"round(min({height},{width}/{shape}))"
    return [
        f"scale=w='max(1,{fitted_width})':h='max(1,{fitted_height})':eval=frame:interl=-1:{_SCALER}",
        f"setsar={aspect.numerator}/{aspect.denominator}",
        # by whole pairs of lines, so that fields keep their lines
        f"pad={width}:{height}:(ow-iw)/2:trunc((oh-ih)/4)*2:black:eval=frame",
    ]


def deinterlace_filters(field_order: str, tagged: bool, each_field: bool) -> list[str]:
    """Filters that make progressive frames of fields: one per frame, or with `each_field` one per field, at twice the rate.

    field_order: 'progressive', 'tff' or 'bff'; tagged: the frames are tagged, and those tagged as progressive are kept.
    """
    if field_order == "progressive":
        return []
    mode = "send_field" if each_field else "send_frame"
    keep_progressive = tagged and not each_field
    return [f"bwdif={mode}:{'auto' if tagged else field_order}:{'interlaced' if keep_progressive else 'all'}"]


def scale_filters(colour: Colour, aspect: Fraction, box: Box, width: int, height: int, fit: str) -> list[str]:
    """Filters from the part `box` of the picture to RGB of width x height; `fit` 'pad' shows all of it, between black."""
    inner_width, inner_height = width, height
    if fit == "pad":
        inner_width, inner_height = fit_size(box, aspect, width, height)
    over_black = []
    if colour.alpha:
        over_black = [f"scale={colour.scaler_options}:{_SCALER}", "format=gbrap", "premultiply=inplace=1", "format=gbrp"]
    kept = f":out_color_matrix={colour.scaler_matrix}:out_range=tv" if colour.to_screen else ""
    chain = [f"crop={box}", *over_black, f"scale={inner_width}:{inner_height}:{_SCALER}:{colour.scaler_options}{kept}"]
    chain += [*colour.to_screen, "format=rgb24"]
    return chain + ([f"pad={width}:{height}:(ow-iw)/2:(oh-ih)/2:black"] if fit == "pad" else [])
