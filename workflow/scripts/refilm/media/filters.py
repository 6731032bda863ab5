"""The filters between a film's decoded frames and frames of one size: shape, fields, scaling, colour."""

from fractions import Fraction

from refilm.media.bars import Box, fit_size
from refilm.media.colour import Colour

# ffmpeg's default flags are 1.25 grey levels off and 20 dB from an exact box average; these are within 0.01 and 52 dB.
_SCALER = "flags=area+accurate_rnd+full_chroma_int"


def unify_size_filters(width: int, height: int, aspect: Fraction, changing: bool) -> list[str]:
    """Filters after which each frame is width x height pixels of that shape, as the others are.

    Where a film is known to change, what has another shape is shown as meant, between black. Where it is not, a frame of
    another size is bent to this one, so that no later filter meets it. Frames that are right pass untouched.
    """
    if not changing:
        return [f"scale={width}:{height}:interl=-1:{_SCALER}"]
    shown = f"(iw*sar/ih/({aspect.numerator}/{aspect.denominator}))"  # width over height, in pixels of the wanted shape
    fitted_width, fitted_height = f"round(min({width},{height}*{shown}))", f"round(min({height},{width}/{shown}))"
    return [
        f"scale=w='max(1,{fitted_width})':h='max(1,{fitted_height})':eval=frame:interl=-1:{_SCALER}",
        f"setsar={aspect.numerator}/{aspect.denominator}",
        # by whole pairs of lines, so that the fields stay what they are
        f"pad={width}:{height}:(ow-iw)/2:trunc((oh-ih)/4)*2:black:eval=frame",
    ]


def deinterlace_filters(fields: str, tagged: bool, each_field: bool) -> list[str]:
    """Filters that make whole pictures of fields: one a frame, or with `each_field` one a field, of twice the rate.

    fields: 'progressive', 'tff' or 'bff'; tagged: the frames say so themselves, and those that say otherwise are kept.
    """
    if fields == "progressive":
        return []
    mode = "send_field" if each_field else "send_frame"
    trusted = tagged and not each_field
    return [f"bwdif={mode}:{'auto' if tagged else fields}:{'interlaced' if trusted else 'all'}"]


def scaled(colour: Colour, aspect: Fraction, box: Box, width: int, height: int, fit: str) -> list[str]:
    """Filters from the picture inside `box` to width x height of RGB; `fit` 'pad' shows all of it, between black."""
    inner_width, inner_height = width, height
    if fit == "pad":
        inner_width, inner_height = fit_size(box, aspect, width, height)
    over_black = []
    if colour.alpha:
        over_black = [f"scale={colour.scaler_options}:{_SCALER}", "format=gbrap", "premultiply=inplace=1", "format=gbrp"]
    kept = f":out_color_matrix={colour.matrix}:out_range=tv" if colour.to_screen else ""
    chain = [f"crop={box}", *over_black, f"scale={inner_width}:{inner_height}:{_SCALER}:{colour.scaler_options}{kept}"]
    chain += [*colour.to_screen, "format=rgb24"]
    return chain + ([f"pad={width}:{height}:(ow-iw)/2:(oh-ih)/2:black"] if fit == "pad" else [])
