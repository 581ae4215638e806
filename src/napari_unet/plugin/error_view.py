"""Error view: errors as features and colours of the two layers that were compared.

The user's own colours come back when it is switched off.
"""

from __future__ import annotations

import functools
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.engine.by_sample import Position
from napari_unet.plugin.scoring import Findings, iter_findings

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.utils.colormaps import DirectLabelColormap

    from napari_unet.core.axes import ArrayLike
    from napari_unet.core.object_errors import Side
    from napari_unet.core.tables import Table
    from napari_unet.engine.client import Engine

# Errors stand out, what is right recedes. Told apart also by the colour-blind.
COLOURS = {
    "missed": "#3d9bff",
    "false": "#ff4d4d",
    "merged": "#c77dff",
    "split": "#ffa62b",
    "matched": "#5f9e75",
}
CLEAR = (0.0, 0.0, 0.0, 0.0)
CONTOUR = 3


class ErrorView:
    """Shows findings on a labels layer and its truth, one sample at a time.

    Parameters
    ----------
    labels, truth
        The layers.
    """

    def __init__(self, labels: Labels, truth: Labels) -> None:
        self.labels, self.truth = labels, truth
        self._own = {id(layer): _look(layer) for layer in (labels, truth)}
        self._coloured = False

    def show(self, findings: Findings, position: Position, *, coloured: bool) -> None:
        """Write features, and colours if asked for, of one sample."""
        if not coloured:
            self.restore()
        for layer, side in self._sides():
            columns = findings.columns(position, side)
            write_features(layer, columns)
            if coloured and side == "truth":
                layer.colormap = _outlines(columns, findings.outlined(position))
            elif coloured:
                layer.colormap = _colormap(columns)
        if coloured:
            self.truth.visible, self.truth.contour = True, CONTOUR
            self.truth.opacity = 1.0
            self._coloured = True

    def restore(self) -> None:
        """Give the layers their own look back, if they have another one."""
        if not self._coloured:
            return
        self._coloured = False
        for layer, _ in self._sides():
            for name, value in self._own[id(layer)].items():
                setattr(layer, name, value)

    def _sides(self) -> tuple[tuple[Labels, Side], tuple[Labels, Side]]:
        return (self.labels, "prediction"), (self.truth, "truth")


def iter_showable(
    engine: Engine, labels: ArrayLike, truth: ArrayLike, n_leading: int
) -> Generator[int | None, None, Findings]:
    """Compare as `iter_findings` does; to show them then holds up no window."""
    findings = yield from iter_findings(engine, labels, truth, n_leading)
    warm_colours(labels, truth)
    return findings


def warm_colours(*arrays: ArrayLike) -> None:
    """Let napari compile, in this thread, what draws errors of arrays like these."""
    for dtype in {np.dtype(array.dtype) for array in arrays}:
        _warm(dtype)


@functools.cache
def _warm(dtype: np.dtype[Any]) -> None:
    from napari.layers import Labels

    one = {"label": np.ones(1, np.int64), "error": np.array(["false"], dtype=object)}
    colormap = _colormap(one)
    Labels(np.ones((2, 2), dtype), colormap=colormap)
    colormap.map(np.ones(2, np.uint8))  # the table of colours that the GPU is given


def _look(layer: Labels) -> dict[str, Any]:
    return {
        name: getattr(layer, name)
        for name in ("colormap", "contour", "opacity", "visible")
    }


def _colormap(columns: Table) -> DirectLabelColormap:
    """Return the colours of labels by kind of error."""
    from napari.utils.colormaps import DirectLabelColormap

    colours: dict[int | None, Any] = {None: COLOURS["matched"], 0: CLEAR}
    for label, kind in zip(columns["label"].tolist(), columns["error"], strict=True):
        if kind != "matched":
            colours[label] = COLOURS[kind]
    return DirectLabelColormap(color_dict=colours)


def _outlines(columns: Table, outlined: set[int]) -> DirectLabelColormap:
    """Return the colours of the truth: only what the labels do not show."""
    from napari.utils.colormaps import DirectLabelColormap

    colours: dict[int | None, Any] = {None: CLEAR, 0: CLEAR}
    for label, kind in zip(columns["label"].tolist(), columns["error"], strict=True):
        if label in outlined:
            colours[label] = COLOURS[kind]
    return DirectLabelColormap(color_dict=colours)


def write_features(layer: Labels, columns: Table) -> None:
    """Put columns into a layer's features, beside those of the same objects there.

    Parameters
    ----------
    layer
        Its features get a row for the background and one per label.
    columns
        With ``label``; the others replace columns of the same name.
    """
    known = {name: np.asarray(layer.features[name]) for name in layer.features}
    ids = np.concatenate([[0], columns["label"]]).astype(np.int64)
    rows = {"index": ids}
    if np.array_equal(known.get("index", []), ids):
        rows |= known
    for name, values in columns.items():
        if name != "label":
            rows[name] = np.concatenate([_blank(values), values])
    layer.features = rows


def _blank(values: Any) -> Any:
    """Return what the background has in a column."""
    if values.dtype == object:
        return np.array([""], dtype=object)
    return np.zeros(1, values.dtype)
