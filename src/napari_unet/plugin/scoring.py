"""Scoring: two labels arrays compared sample by sample, and the list of errors."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.core.metrics import Scores
from napari_unet.core.object_errors import ObjectRow, Side
from napari_unet.engine.by_sample import Position
from napari_unet.engine.scoring import iter_score

if TYPE_CHECKING:
    from napari_unet.core.axes import ArrayLike
    from napari_unet.core.tables import Table
    from napari_unet.engine.client import Engine

# In the order in which they are shown and stepped through.
KINDS = ("missed", "false", "merged", "split", "matched")
ERRORS = KINDS[:-1]


@dataclass(frozen=True, eq=False)
class Findings:
    """Scores of two arrays, and every object with its kind.

    Parameters
    ----------
    scores
        Over all samples.
    positions
        Index of each sample along the leading axes, in the order of `ObjectRow.image`.
    """

    scores: Scores
    positions: tuple[Position, ...]

    def errors(self) -> list[ObjectRow]:
        """Return one row per error, sample by sample.

        An error has rows on both sides. Of a cell that is missed or in pieces the
        truth's is listed, of what is there for nothing or runs cells together the
        prediction's; a piece or a cell beside a match is listed itself.
        """
        objects = self.scores.objects
        kinds = {(row.image, row.side, row.id): row.kind for row in objects}
        shown = [row for row in objects if _is_listed(row, kinds)]
        return sorted(shown, key=lambda row: (row.image, ERRORS.index(row.kind)))

    def counts(self) -> dict[str, int]:
        """Return the number of rows by kind; matched objects are counted once."""
        kinds = dict.fromkeys(KINDS, 0)
        for row in self.errors():
            kinds[row.kind] += 1
        objects = self.scores.objects
        kinds["matched"] = sum(
            row.kind == "matched" and row.side == "truth" for row in objects
        )
        return kinds

    def outlined(self, position: Position) -> set[int]:
        """Return ids of the truth that no object of the labels shows as wrong.

        What was missed, and what was run into an object that matches another cell.
        """
        at = self._image(position)
        return {
            row.id
            for row in self.errors()
            if (row.image, row.side) == (at, "truth") and row.kind != "split"
        }

    def columns(self, position: Position, side: Side) -> Table:
        """Return what is known of the objects of one sample, as columns.

        ``label``, ``error`` (its kind), ``partners`` (ids of the other side), ``iou``.
        """
        at = self._image(position)
        rows = [r for r in self.scores.objects if (r.image, r.side) == (at, side)]
        return {
            "label": np.array([row.id for row in rows], np.int64),
            "error": np.array([row.kind for row in rows], dtype=object),
            "partners": np.array(
                [" ".join(map(str, row.partners)) for row in rows], dtype=object
            ),
            "iou": np.array([row.iou for row in rows], np.float64),
        }

    def _image(self, position: Position) -> int:
        """Return the number of a sample; -1 if it is none."""
        return self.positions.index(position) if position in self.positions else -1


def _is_listed(row: ObjectRow, kinds: Mapping[tuple[int, Side, int], str]) -> bool:
    """Whether a row stands for its error, and not the row of its partner."""
    own: Side = "truth" if row.kind in ("missed", "split") else "prediction"
    if row.kind == "matched" or row.side == own:
        return row.kind != "matched"
    return all(kinds[row.image, own, partner] != row.kind for partner in row.partners)


def iter_findings(
    engine: Engine, labels: ArrayLike, truth: ArrayLike, n_leading: int
) -> Generator[int | None, None, Findings]:
    """Compare labels with the truth, on the worker.

    Parameters
    ----------
    engine
        The way to it.
    labels, truth
        Integers of one shape; lazy arrays are read sample by sample.
    n_leading
        Leading axes that count samples; the last two or three are the objects'.

    Yields
    ------
    int or None
        Samples done; None where nothing has happened for a moment.
    """
    positions = tuple(np.ndindex(*labels.shape[:n_leading]))
    scores = yield from iter_score(engine, labels, truth, n_leading)
    return Findings(scores, positions)
