"""Executors: where the items of a run are done, one after another or many at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from napari_unet.engine.items import Item
from napari_unet.engine.work import Work

Run = Callable[[Iterable[Item]], Iterator[Item]]


class Executor(Protocol):
    """A place where work is done."""

    def running(self, work: Work) -> AbstractContextManager[Run]:
        """Return a context with a function that does items and yields them when done.

        Items given together are independent of each other; they may be done in any
        order. When the caller stops, items that have begun are finished.
        """
        ...


class Here:
    """In this process, one item after another."""

    @contextlib.contextmanager
    def running(self, work: Work) -> Iterator[Run]:
        """Do items with `work` itself."""

        def run(items: Iterable[Item]) -> Iterator[Item]:
            for item in items:
                work.do(item)
                yield item

        yield run
