"""Frames of the networks' size, enlarged for a screen."""

from ffmpeg.nodes import FilterableStream

_FLAGS = "bicubic+accurate_rnd+full_chroma_int"


def upscaled_size(size: tuple[int, int], height: int) -> tuple[int, int]:
    """(width, height) of frames of `size` at that height, in the same shape, with an even width."""
    return round(height * size[0] / size[1] / 2) * 2, height


def upscale(stream: FilterableStream, size: tuple[int, int]) -> FilterableStream:
    """The ffmpeg-python stream with frames of `size` (width, height)."""
    return stream.filter_("scale", *size, flags=_FLAGS)
