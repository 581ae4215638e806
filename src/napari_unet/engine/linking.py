"""Linking out of core: objects of neighbouring slices get one label, slice by slice."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.linking import link_slices_into
from napari_unet.engine.stores import Store, open_array
from napari_unet.errors import SettingsError
from napari_unet.settings import Separation

# Two slices, and what is counted on them, are in memory at a time.
LARGEST_SLICE = 2**28


def check_linking(store: Store) -> None:
    """Refuse what cannot be linked slice by slice.

    Raises
    ------
    SettingsError
        If a slice is too large.
    """
    axes = store.layout.axes
    for index, axis in enumerate(store.layout.link):
        joined = index > 0 or len(axes.spatial) == 3
        letters = axes.labels_axes if joined else axes.spatial
        pixels = np.prod([axes.size[a] for a in letters if a != axis], dtype=np.int64)
        if pixels > LARGEST_SLICE:
            raise SettingsError(
                f"A slice of {pixels} pixels is too large to be linked over {axis}.",
                "Leave link empty, or link a cut-out.",
            )


def link_all(store: Store, separation: Separation) -> int:
    """Link over each axis that is asked for; reads one array and writes the next.

    Returns
    -------
    int
        Objects over the whole image; numbers start afresh where nothing is linked.
    """
    layout = store.layout
    n_objects = 0
    for index, axis in enumerate(layout.link):
        source = open_array(store.labels_paths[index])
        target = open_array(store.labels_paths[index + 1])
        joined = layout.link[:index]
        n_objects = 0
        others = [a for a in layout.axes.sample_axes if a not in axis + joined]
        for position in np.ndindex(*(layout.axes.size[a] for a in others)):
            at = dict(zip(others, map(int, position), strict=True))
            view = _View(
                source, target, layout.labels_axes, layout.axes.labels_axes, at
            )
            n_objects += link_slices_into(
                functools.partial(view.write, axis),
                view,
                axis=view.letters.index(axis),
                min_iou=separation.link_overlap,
            )
    return n_objects


@dataclass(frozen=True, eq=False)
class _View:
    """Stored labels, at a position along some axes, in the image's order of axes."""

    source: Any
    target: Any
    stored: str
    wanted: str
    at: dict[str, int]

    @property
    def letters(self) -> str:
        """Axes of the view."""
        return "".join(a for a in self.wanted if a not in self.at)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the view."""
        sizes = dict(zip(self.stored, self.source.shape, strict=True))
        return tuple(sizes[a] for a in self.letters)

    @property
    def ndim(self) -> int:
        """Axes of the view."""
        return len(self.letters)

    def __getitem__(self, key: tuple[Any, ...]) -> npt.NDArray[np.int32]:
        """Read one slice: full slices, then an integer."""
        axis = self.letters[len(key) - 1]
        stored, wanted = self._rest(axis)
        found = np.asarray(self.source[self._key(axis, key[-1])])
        return found.transpose([stored.index(a) for a in wanted])

    def write(self, axis: str, index: int, section: npt.NDArray[np.int32]) -> None:
        """Write one slice."""
        stored, wanted = self._rest(axis)
        order = [wanted.index(a) for a in stored]
        self.target[self._key(axis, index)] = section.transpose(order)

    def _rest(self, axis: str) -> tuple[list[str], list[str]]:
        gone = {axis, *self.at}
        return (
            [a for a in self.stored if a not in gone],
            [a for a in self.wanted if a not in gone],
        )

    def _key(self, axis: str, index: int) -> Any:
        at = {**self.at, axis: int(index)}
        return tuple(at.get(a, slice(None)) for a in self.stored)
