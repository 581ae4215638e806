"""Model folders of nnU-Net: plans, data set description, and one checkpoint a fold."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.archives import ZIP_MAGIC
from napari_unet.nn.formats.contents import Contents
from napari_unet.nn.formats.files import RegularFile, inside, shown_name
from napari_unet.nn.formats.limits import LARGEST_TEXT
from napari_unet.nn.formats.plain import plain
from napari_unet.nn.formats.torch_legacy import open_torch_legacy
from napari_unet.nn.formats.torch_zip import open_torch_zip
from napari_unet.nn.weight_files import COPY_AGAIN, DAMAGED

PLANS, DATASET = "plans.json", "dataset.json"
FOLD = re.compile(r"fold_(all|\d{1,3})")
CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth", "checkpoint_latest.pth")


def is_nnunet_folder(folder: Path) -> bool:
    """Return whether the folder has plans and a fold."""
    return (folder / PLANS).is_file() and bool(_folds(folder))


def open_nnunet_folder(
    folder: Path, *, fold: str | None = None, weights: str | None = None
) -> Contents:
    """Open one fold of a trained nnU-Net.

    Parameters
    ----------
    folder
        Holds `plans.json`, `dataset.json` and `fold_*`.
    fold
        Such as ``"0"`` or ``"all"``; None: ``"all"`` if it is there, else the first.
    weights
        Which set of weights of its checkpoint; None: chosen.

    Raises
    ------
    CheckpointError
        If there is no such fold, or a file is missing or damaged.
    """
    folds = _folds(folder)
    chosen = fold or ("all" if "all" in folds else next(iter(folds), ""))
    if chosen not in folds:
        raise CheckpointError(
            f"{shown_name(folder)} has no fold {fold}.",
            f"Choose one of {', '.join(folds)}.",
        )
    file = RegularFile(_checkpoint(folder, f"fold_{chosen}"))
    opens = open_torch_zip if file.head(4) == ZIP_MAGIC else open_torch_legacy
    contents = opens(file, weights=weights)
    hints = {
        **contents.hints,
        "plans": _json(folder, PLANS),
        "dataset": _json(folder, DATASET) if (folder / DATASET).is_file() else {},
        "fold": chosen,
    }
    notes = contents.notes
    if len(folds) > 1:
        note = (
            f"nnU-Net averages its {len(folds)} folds; fold {chosen} alone is used "
            "(fold=... chooses)."
        )
        notes = (*notes, note)
    return dataclasses.replace(contents, format="nnU-Net", hints=hints, notes=notes)


def _folds(folder: Path) -> dict[str, None]:
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return {}
    matches = (FOLD.fullmatch(name) for name in names)
    found = [match[1] for match in matches if match]
    return dict.fromkeys(sorted(found, key=lambda text: (len(text), text)))


def _checkpoint(folder: Path, fold: str) -> Path:
    for name in CHECKPOINTS:
        path = inside(folder, f"{fold}/{name}")
        if path.is_file():
            return path
    raise CheckpointError(
        f"{fold} holds no {CHECKPOINTS[0]}.", "Copy the whole model folder."
    )


def _json(folder: Path, name: str) -> Any:
    file = RegularFile(inside(folder, name))
    if file.size > LARGEST_TEXT:
        raise CheckpointError(f"{name} has {file.size} bytes.", COPY_AGAIN)
    try:
        found = json.loads(file.head(LARGEST_TEXT))
    except (RecursionError, *DAMAGED):
        raise CheckpointError(f"{name} is damaged.", COPY_AGAIN) from None
    return plain(found)
