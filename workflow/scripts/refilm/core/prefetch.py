"""Prefetching: a thread makes the next items while earlier ones are used."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetch(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """The items in their order, up to `depth` of them made in advance. An exception in the thread is raised here."""
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1, "prefetch") as thread:
        pending = deque(thread.submit(next, iterator, end) for _ in range(depth))
        try:
            while (item := pending.popleft().result()) is not end:
                pending.append(thread.submit(next, iterator, end))
                yield item  # type: ignore[misc]
        finally:
            for future in pending:
                future.cancel()
