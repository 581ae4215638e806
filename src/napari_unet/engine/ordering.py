"""Ordering: of the items that are left, those of what is looked at come first.

The view may move while the work goes on; it is asked for before every item. The order
changes no label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from napari_unet.engine.items import NETWORK, OVER_ALL, Item
from napari_unet.engine.work import Work
from napari_unet.pipeline.region import Region, parse_region


def in_view_first(
    items: Iterable[Item], work: Work, view: Callable[[], Any]
) -> Iterator[Item]:
    """Yield items, each time the one that is nearest to the view.

    Parameters
    ----------
    items
        Of one step, in the order that they have without a view.
    work
        What they are of.
    view
        Returns a region by axis letters; None: nothing is looked at.
    """
    waiting, seen = list(reversed(list(items))), None
    while waiting:
        now = view()
        if now is not None and now != seen:
            seen = dict(now)
            distance = _distances(work, parse_region(now, work.plan.axes))
            waiting.sort(key=distance, reverse=True)
        yield waiting.pop()


def _distances(work: Work, view: Region) -> Callable[[Item], tuple[bool, int, Item]]:
    """Return a function: item -> how far it is from the view; ties by its place."""
    at = {tuple(sample.items()) for sample in view.samples}
    here = {n for n, s in enumerate(work.samples) if tuple(s.items()) in at}

    def distance(item: Item) -> tuple[bool, int, Item]:
        square = 0
        if item.step not in (NETWORK, *OVER_ALL):
            block = work.blocks.region(item.block)
            for part, seen in zip(block, view.box, strict=True):
                gap = max(part.start - seen.stop + 1, seen.start - part.stop + 1, 0)
                square += gap**2
        return item.sample not in here, square, item

    return distance
