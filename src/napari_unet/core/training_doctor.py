"""The training doctor: mistakes in training data that would cost an evening.

A table of rules; each is a small pure function that says what it found and what to do,
or nothing. What can go wrong during training is watched in `training_watch`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from napari_unet.core import training_image_rules as image_rules
from napari_unet.core import training_label_rules as label_rules
from napari_unet.core import training_object_rules as object_rules
from napari_unet.core.split_parts import Split
from napari_unet.core.training_facts import Case, Data, Finding
from napari_unet.core.training_watch import History, watch
from napari_unet.errors import SettingsError

__all__ = ["RULES", "Finding", "History", "examine_data", "watch"]

_ORDER = ("error", "warning", "info")

Rule = Callable[[Data], Finding | None]

RULES: Mapping[str, Rule] = {
    rule.__name__: rule
    for rule in (
        label_rules.fractions_in_labels,
        label_rules.floats_as_labels,
        label_rules.colour_labels,
        label_rules.different_shapes,
        label_rules.labels_are_the_image,
        label_rules.mask_0_255,
        label_rules.mask_0_1,
        label_rules.class_numbers,
        label_rules.rare_classes,
        label_rules.classes_on_one_side,
        label_rules.nothing_annotated,
        label_rules.no_objects,
        label_rules.no_background,
        object_rules.few_objects,
        object_rules.tiny_objects,
        object_rules.objects_in_pieces,
        object_rules.different_scales,
        object_rules.larger_than_patch,
        image_rules.mixed_images,
        image_rules.copies_of_images,
        image_rules.copies_across_split,
        image_rules.weak_validation,
        image_rules.constant_images,
        image_rules.not_finite,
    )
}
"""Rules by name, in the order in which they are asked."""


def examine_data(
    images: Sequence[tuple[Any, Any, str]],
    *,
    patch: tuple[int, ...],
    split: Split | None = None,
    semantic: bool = False,
) -> list[Finding]:
    """Look for mistakes before training.

    Parameters
    ----------
    images
        (image, labels, name) each: image (C, [Z,] Y, X) or without C, labels
        ([Z,] Y, X), 0 background, negative not annotated.
    patch
        Size of the training patches per spatial axis; one number for all.
    split
        What is kept for validation, if that is decided.
    semantic
        Whether labels are classes instead of objects.

    Returns
    -------
    list of Finding
        Errors first; empty if no rule has anything to say.

    Raises
    ------
    SettingsError
        If there are no images.
    """
    if not images:
        raise SettingsError("There are no annotated images.", "Give at least one pair.")
    cases = tuple(Case(np.asarray(i), np.asarray(t), name) for i, t, name in images)
    data = Data(cases, patch, split, semantic)
    found = [
        replace(finding, rule=name)
        for name, rule in RULES.items()
        if (finding := rule(data)) is not None
    ]
    return sorted(found, key=lambda finding: _ORDER.index(finding.severity))
