"""`napari-unet evaluate`: scores of label files against true ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from napari_unet.cli.batch import refuse_existing
from napari_unet.cli.console import err, out
from napari_unet.core.metrics import Scores, evaluate
from napari_unet.core.semantic_metrics import semantic_scores
from napari_unet.errors import AxesError
from napari_unet.io.folders import list_images, pair_by_stem, unpaired
from napari_unet.io.images import read_image
from napari_unet.io.tables import write_table

Array = npt.NDArray[Any]


def evaluate_files(
    predictions: Path,
    truth: Path,
    *,
    csv: Path | None = None,
    as_json: bool = False,
    ignore: int = -1,
    n_classes: int = 0,
    overwrite: bool = False,
) -> None:
    """Pair the files by stem, score them and print the scores."""
    if csv is not None:
        refuse_existing([csv], overwrite=overwrite)
    found, true = list_images([predictions]), list_images([truth])
    pairs = [(found[0], true[0])] if len(found) == len(true) == 1 else None
    if pairs is None:
        pairs = pair_by_stem(found, true)
        for path in unpaired(found, true):
            err.print(f"{path} has no partner and is left out.", markup=False)
    left, right = Frames([a for a, _ in pairs]), Frames([b for _, b in pairs])
    if n_classes:
        scores = semantic_scores(left, right, n_classes=n_classes, ignore=(ignore, 255))
        out.print(json.dumps(scores, indent=1), markup=False)
        return
    scored = evaluate(left, right, ignore=ignore)
    if csv is not None:
        write_table(csv, objects_columns(scored, left.names))
    if as_json:
        out.print(json.dumps(scored.summary(), indent=1), markup=False)
    else:
        print_scores(scored)


class Frames(Sequence[Array]):
    """Label images, one a frame (ids restart in each), read when they are needed."""

    def __init__(self, paths: list[Path]) -> None:
        self.frames: list[tuple[Path, int | None]] = []
        for path in paths:
            self.frames.extend((path, t) for t in _frames(path))

    @property
    def names(self) -> list[str]:
        """A name for each frame."""
        return [p.name if t is None else f"{p.name}[{t}]" for p, t in self.frames]

    def __len__(self) -> int:
        return len(self.frames)

    @overload
    def __getitem__(self, index: int) -> Array: ...

    @overload
    def __getitem__(self, index: slice) -> list[Array]: ...

    def __getitem__(self, index: int | slice) -> Array | list[Array]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        path, frame = self.frames[index]
        source = read_image(path)
        key = tuple(
            frame if a == "T" and frame is not None else slice(None)
            for a in source.axes
        )
        return np.asarray(source.data[key])


def _frames(path: Path) -> Iterator[int | None]:
    source = read_image(path)
    source.close()
    if "C" in source.axes:
        raise AxesError(
            f"{path} has {source.axes} axes: a picture with channels, not labels.",
            "Give label images: one number per object, 0 for background.",
        )
    if "T" not in source.axes:
        return iter((None,))
    return iter(range(source.shape[source.axes.index("T")]))


def objects_columns(scores: Scores, names: list[str]) -> dict[str, Array]:
    """Return the table of objects with the images' names."""
    rows = scores.to_rows()
    columns = list(rows[0]) if rows else ["image", "side", "id", "kind"]
    table: dict[str, list[Any]] = {
        name: [row[name] for row in rows] for name in columns
    }
    table["image"] = [names[index] for index in table["image"]]
    return {name: np.asarray(values) for name, values in table.items()}


def print_scores(scores: Scores) -> None:
    """Print the main scores as a short table."""
    found = scores.summary()
    lines = {
        "AP at IoU 0.5 (TP/(TP+FP+FN), pooled)": found["ap@0.5"],
        "AP at IoU 0.75": found["ap@0.75"],
        "AP at IoU 0.9": found["ap@0.9"],
        "mean AP 0.5 to 0.9": found["mean_ap_50_90"],
        "mean AP 0.5 to 0.95": found["mean_ap_50_95"],
        "mean AP 0.5 to 0.95, mean over images": found["mean_ap_50_95_of_images"],
        "F1 at IoU 0.5": found["f1@0.5"],
        "PQ at IoU 0.5": found["pq@0.5"],
        "SEG (Cell Tracking Challenge)": found["seg"],
        "Dice of the foreground": found["dice"],
    }
    for name, value in lines.items():
        out.print(f"{name:<40}{value:>8.4f}", markup=False)
    counts = ("n_images", "n_truth", "n_predicted")
    out.print(
        "{:.0f} image(s), {:.0f} true objects, {:.0f} found".format(
            *(found[name] for name in counts)
        )
        + "; missed {n_missed:.0f}, split {n_split:.0f}, merged {n_merged:.0f}, "
        "false {n_false:.0f}".format(**found),
        markup=False,
    )
