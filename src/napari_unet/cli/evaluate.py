"""`napari-unet evaluate`: scores of label files against true ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.cli.console import err, out
from napari_unet.cli.scored_frames import Frames, ScoredFrames
from napari_unet.cli.targets import refuse_existing, refuse_inputs
from napari_unet.core.black_white import NOTE, are_masks, as_classes
from napari_unet.core.metrics import Scores, evaluate
from napari_unet.core.semantic_metrics import SemanticScores, semantic_scores
from napari_unet.errors import SettingsError
from napari_unet.io.tables import write_table
from napari_unet.io.truth import pair_with_truth

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
    """Pair the files by stem, score them and print the scores.

    Raises
    ------
    UNetError
        If nothing can be paired, or a file holds no labels or does not fit.
    """
    if csv is not None and n_classes:
        raise SettingsError(
            "--csv is a table of objects, and --classes knows none.",
            "Give one of the two.",
        )
    paired = pair_with_truth(predictions, truth)
    if csv is not None:
        refuse_inputs([csv], [path for path, _ in paired.pairs])
        refuse_existing([csv], overwrite=overwrite)
    for path in paired.unpaired:
        err.print(f"{path} has no partner and is left out.", markup=False)
    frames = ScoredFrames(paired.pairs, ignore=ignore)
    for note in frames.notes:
        err.print(note, markup=False)
    if n_classes:
        found = _scores_of_classes(frames, n_classes)
        out.print(json.dumps(found, indent=1), markup=False)
        return
    scores = evaluate(frames.predictions, frames.truths)
    if csv is not None:
        write_table(csv, objects_columns(scores, frames.names))
    if as_json:
        out.print(json.dumps(scores.summary(), indent=1), markup=False)
    else:
        print_scores(scores)


def _scores_of_classes(frames: ScoredFrames, n_classes: int) -> SemanticScores:
    """Score classes; masks of 0 and 255 are class 0 and 1, as in training."""
    void = (-1, 255) if n_classes <= 255 else (-1,)
    found: Sequence[Array] = frames.predictions
    truth: Sequence[Array] = frames.truths
    if n_classes == 2:
        found, truth = _as_classes(found), _as_classes(truth)
    return semantic_scores(found, truth, n_classes=n_classes, ignore=void)


def _as_classes(labels: Sequence[Array]) -> Sequence[Array]:
    if not are_masks(labels):
        return labels
    err.print(NOTE, markup=False)
    return Frames(len(labels), lambda index: as_classes(labels[index]))


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
