"""Frames to be scored: pairs of label files, cut where object numbers restart.

Files are read when they are needed, and only the last pair is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from napari_unet.core.label_axes import arrange_labels
from napari_unet.errors import AxesError, ImageFileError
from napari_unet.io.images import read_image
from napari_unet.io.label_images import read_labels
from napari_unet.io.truth import Truth
from napari_unet.io.write import read_provenance

Array = npt.NDArray[Any]
Index = tuple[int, tuple[int | slice, ...]]


class ScoredFrames:
    """All frames of several pairs of files.

    Parameters
    ----------
    pairs
        A file of predicted labels, and its truth.
    ignore
        Value in the truth that means "not annotated", besides negative ones.

    Attributes
    ----------
    names : list of str
        A name for each frame.
    notes : list of str
        What a user should know about how files were cut.
    predictions, truths : sequence of numpy.ndarray
        Labels of each frame; pixels of the truth that do not count are -1.
    """

    def __init__(self, pairs: Sequence[tuple[Path, Truth]], *, ignore: int) -> None:
        self._pairs, self._ignore = pairs, ignore
        self._kept: tuple[int, tuple[Array, Array]] | None = None
        self._frames: list[Index] = []
        self.names: list[str] = []
        self.notes: list[str] = []
        for number, (path, _) in enumerate(pairs):
            self._cut(number, path)
        self.predictions = Frames(len(self._frames), lambda index: self._at(index, 0))
        self.truths = Frames(len(self._frames), lambda index: self._at(index, 1))

    def _cut(self, number: int, path: Path) -> None:
        """Cut one file into frames."""
        axes, shape = _axes_of(path)
        cut = _restarting(path, axes)
        if "Z" in cut:
            self.notes.append(
                f"{path.name}: its objects are not linked over Z, so each slice is "
                "scored on its own."
            )
        sizes = [n for axis, n in zip(axes, shape, strict=True) if axis in cut]
        for position in np.ndindex(*sizes):
            at = dict(zip((a for a in axes if a in cut), position, strict=True))
            key = tuple(at.get(axis, slice(None)) for axis in axes)
            self._frames.append((number, key))
            place = ", ".join(str(i) for i in position)
            self.names.append(f"{path.name}[{place}]" if place else path.name)

    def _at(self, index: int, side: int) -> Array:
        number, key = self._frames[index]
        if self._kept is None or self._kept[0] != number:
            self._kept = number, self._load(*self._pairs[number])
        return self._kept[1][side][key]

    def _load(self, path: Path, truth: Truth) -> tuple[Array, Array]:
        labels, axes, _ = read_labels(path)
        if (labels < 0).any():
            raise ImageFileError(
                f"{path} holds negative labels.",
                "Only the truth may have pixels that do not count.",
            )
        true, letters = truth.read(labels.shape, ignore=self._ignore)
        try:
            arranged = arrange_labels(
                true, letters, image_axes=axes, image_shape=labels.shape
            )
        except AxesError:
            raise AxesError(
                f"{path} has the shape {labels.shape}, but its truth "
                f"{truth.files[0]} has {true.shape}.",
                "Compare label images of the same pixels.",
            ) from None
        return labels, arranged


class Frames(Sequence[Array]):
    """The frames of one side, read when they are asked for."""

    def __init__(self, length: int, read: Callable[[int], Array]) -> None:
        self._length, self._read = length, read

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Array: ...

    @overload
    def __getitem__(self, index: slice) -> list[Array]: ...

    def __getitem__(self, index: int | slice) -> Array | list[Array]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._read(index)


def _axes_of(path: Path) -> tuple[str, tuple[int, ...]]:
    """Return axes and shape of a file of labels, without colours that all are equal."""
    source = read_image(path)
    source.close()
    if "C" not in source.axes:
        return source.axes, source.shape
    labels, axes, _ = read_labels(path)
    if "C" in axes:
        raise AxesError(
            f"{path} has {axes} axes: a picture with channels, not labels.",
            "Give label images: one number per object, 0 for background.",
        )
    return axes, labels.shape


def _restarting(path: Path, axes: str) -> str:
    """Return the axes along which the objects' numbers restart.

    Frames always count as images of their own; slices do if the file was written
    here by a 2-D model and not linked.
    """
    stored: dict[str, Any] = {}
    if path.is_file():
        stored = read_provenance(path) or {}
    linked = str(dict(stored.get("separation") or {}).get("link", ""))
    alone = stored.get("spatial") == "YX" and "Z" not in linked
    return "".join(a for a in axes if a == "T" or (a == "Z" and alone))
