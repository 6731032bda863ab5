"""Work in a thread, ahead of the code that uses its results."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def run_ahead(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """The items in their order, up to `depth` of them made by a thread while earlier ones are used."""
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1, "run-ahead") as thread:
        pending = deque(thread.submit(next, iterator, end) for _ in range(depth))
        try:
            while (item := pending.popleft().result()) is not end:
                pending.append(thread.submit(next, iterator, end))
                yield item  # type: ignore[misc]
        finally:
            for future in pending:
                future.cancel()
