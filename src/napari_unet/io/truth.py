"""True labels for a score: which files belong to which prediction, and their pixels.

A truth is not always one label image of the same name: the Cell Tracking Challenge
numbers its frames, the 2018 Data Science Bowl keeps one mask per object.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_unet.errors import ImageFileError
from napari_unet.io.folders import list_images, pair_by_stem, unpaired
from napari_unet.io.label_images import (
    Labels,
    merge_objects,
    place_slices,
    read_labels,
)
from napari_unet.io.names import is_zarr, stem
from napari_unet.io.pairing_challenges import frame_truths
from napari_unet.io.pairing_folders import find_bowl

_FRAME = re.compile(r"(?:t|mask|man_seg|man_track)_?(\d{3,})")


@dataclass(frozen=True)
class Truth:
    """The files that hold the true labels of one image.

    Parameters
    ----------
    files
        One label image; or one mask per object; or single annotated slices.
    objects
        Whether each file is the mask of one object.
    slices
        Z of each file, if they are slices.
    """

    files: tuple[Path, ...]
    objects: bool = False
    slices: tuple[int, ...] = ()

    def read(
        self, shape: tuple[int, ...], *, ignore: int | None = None
    ) -> tuple[Labels, str]:
        """Return labels (-1: not annotated) and their axes.

        Parameters
        ----------
        shape
            Of the prediction; slices are placed into it.
        ignore
            Value in the file that means "not annotated", besides negative ones.

        Raises
        ------
        ImageFileError
            If a file holds no labels, or does not fit.
        """
        if self.objects:
            return merge_objects(self.files), "YX"
        if self.slices:
            stack = place_slices(
                self.files, self.slices, shape=shape, ignore_label=ignore
            )
            return stack, "ZYX"
        labels, axes, _ = read_labels(self.files[0], ignore_label=ignore)
        return labels, axes


@dataclass(frozen=True)
class ScoredPairs:
    """Predictions with their truth, and the files that have no partner."""

    pairs: tuple[tuple[Path, Truth], ...]
    unpaired: tuple[Path, ...] = ()


def pair_with_truth(predictions: Path, truth: Path) -> ScoredPairs:
    """Find the truth of each prediction.

    Parameters
    ----------
    predictions
        A label image or a folder of them.
    truth
        A label image, or a folder: ``01_GT`` (or its ``SEG``) of the Cell Tracking
        Challenge, frames being told by their numbers; a folder of the 2018 Data
        Science Bowl with one folder of masks per image; or label images of the same
        names.

    Raises
    ------
    ImageFileError
        If one of them does not exist or holds nothing, or nothing can be paired.
    """
    found = list_images([predictions])
    if not truth.exists():
        raise ImageFileError(
            f"{truth} does not exist.", "Check the spelling and the current folder."
        )
    if truth.is_dir() and not is_zarr(truth):
        pairs = _challenge(found, truth) or _bowl(found, truth)
        if pairs is not None:
            return pairs
    true = list_images([truth])
    if len(found) == len(true) == 1:
        return ScoredPairs(((found[0], Truth((true[0],))),))
    named = pair_by_stem(found, true)
    every = tuple((a, Truth((b,))) for a, b in named)
    return ScoredPairs(every, tuple(unpaired(found, true)))


def _challenge(found: Sequence[Path], folder: Path) -> ScoredPairs | None:
    seg = folder if folder.name == "SEG" else folder / "SEG"
    truths = frame_truths(seg) if seg.is_dir() else {}
    if not truths:
        return None
    pairs, rest = [], []
    for path in found:
        match = _FRAME.fullmatch(stem(path))
        if match is None or int(match[1]) not in truths:
            rest.append(path)
            continue
        files, slices = truths[int(match[1])]
        pairs.append((path, Truth(files, slices=slices)))
    if not pairs:
        raise ImageFileError(
            f"None of the predictions is named like a frame of {folder}.",
            "Name them t000.tif or mask000.tif, with the number of the frame.",
        )
    return ScoredPairs(tuple(pairs), tuple(rest))


def _bowl(found: Sequence[Path], folder: Path) -> ScoredPairs | None:
    pairing = find_bowl(folder)
    if pairing is None:
        return None
    truths = {p.name.casefold(): Truth(p.labels, objects=True) for p in pairing.pairs}
    names = {path: stem(path).casefold() for path in found}
    pairs = tuple((p, truths[name]) for p, name in names.items() if name in truths)
    if not pairs:
        raise ImageFileError(
            f"None of the predictions is named like an image in {folder}.",
            "Name them like the folders of the images.",
        )
    return ScoredPairs(
        pairs, tuple(p for p, name in names.items() if name not in truths)
    )
