"""Processing of several images at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ordered_map(
    function: Callable[[T], R], items: Iterable[T], *, threads: int, window: int = 4
) -> Iterator[R]:
    """Apply `function` in `threads` threads and yield results in order, holding few at a time.

    The results do not depend on the number of threads, because the calls are independent.
    """
    if threads <= 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        pending = []
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= threads * window:
                yield pending.pop(0).result()
        for future in pending:
            yield future.result()
