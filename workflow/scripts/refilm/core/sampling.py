"""Evenly spaced samples of a sequence."""

from fractions import Fraction


def evenly_spaced(count: int, wanted: int) -> list[int]:
    """The middles of `wanted` equal parts of range(count), or all indices if there are fewer.

    Middles, since films begin and end in black.
    """
    wanted = min(wanted, count)
    return [(2 * n + 1) * count // (2 * wanted) for n in range(wanted)]


def midpoints(length: Fraction, parts: int) -> list[Fraction]:
    """The middles of `parts` equal parts of a length."""
    return [Fraction(2 * n + 1, 2 * parts) * length for n in range(parts)]
