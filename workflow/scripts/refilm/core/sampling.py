"""Evenly spaced samples of a sequence."""


def evenly_spaced(count: int, wanted: int) -> list[int]:
    """`wanted` indices of range(count), or all where there are fewer: the middles of equal parts, since the ends of a film
    are black."""
    wanted = min(wanted, count)
    return [(2 * n + 1) * count // (2 * wanted) for n in range(wanted)]
