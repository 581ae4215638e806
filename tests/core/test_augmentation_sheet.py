"""The sheet of augmented patches: what it shows, checked pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.augment import Sample
from napari_unet.core.augmentation_sheet import (
    GAP,
    NOT_ANNOTATED,
    OUTLINES,
    augmentation_sheet,
)
from napari_unet.core.targets import IGNORED
from napari_unet.errors import SettingsError
from napari_unet.training_settings import Augmentation


def square_sample():
    labels = np.zeros((40, 40), np.int32)
    labels[15:25, 15:25] = 1
    target = (labels > 0).astype(np.uint8)
    target[:12] = IGNORED
    weight = np.where(labels > 0, 2.0, 0.0).astype(np.float32)
    return Sample(np.full((1, 40, 40), 0.5, np.float32), target, weight, labels=labels)


def cells(sheet, size):
    step_y, step_x = size + GAP, 2 * size + GAP
    n_rows, n_columns = (
        (sheet.shape[0] - GAP) // step_y,
        (sheet.shape[1] - GAP) // (step_x),
    )
    for y in range(n_rows):
        for x in range(n_columns):
            top, left = GAP + y * step_y, GAP + x * step_x
            yield sheet[top : top + size, left : left + 2 * size]


def test_the_first_patch_is_the_image_as_it_is():
    sheet = augmentation_sheet(
        square_sample(), Augmentation.none(), n=1, patch_shape=(40, 40)
    )
    assert sheet.dtype == np.uint8
    assert sheet.shape == (40 + 2 * GAP, 80 + 2 * GAP, 3)
    picture, weights = sheet[GAP:-GAP, GAP : GAP + 40], sheet[GAP:-GAP, GAP + 40 : -GAP]
    colour = OUTLINES[1]
    outline = (picture == colour).all(axis=-1)
    expected = np.zeros((40, 40), bool)
    expected[15:25, 15:25] = True
    expected[16:24, 16:24] = False
    np.testing.assert_array_equal(outline, expected)
    assert (picture[~outline] == 127).all()
    assert (weights[15:25, 15:25] == 255).all()
    assert (weights[30:] == 0).all()
    assert (weights[:12] == NOT_ANNOTATED).all()


def test_patches_are_many_and_can_be_repeated(rng):
    sample = square_sample()
    sheets = [
        augmentation_sheet(
            sample, Augmentation.strong(), n=7, patch_shape=(24, 24), random_seed=s
        )
        for s in (1, 1, 2)
    ]
    np.testing.assert_array_equal(sheets[0], sheets[1])
    assert (sheets[0] != sheets[2]).any()
    shown = [cell for cell in cells(sheets[0], 24) if (cell != 40).any()]
    assert len(shown) == 7
    assert len({cell.tobytes() for cell in shown}) > 4


def test_volumes_and_bare_images_are_shown(rng):
    volume = Sample(
        rng.random((1, 10, 40, 40), dtype=np.float32),
        (rng.random((10, 40, 40)) < 0.5).astype(np.uint8),
    )
    sheet = augmentation_sheet(
        volume, Augmentation.strong(), n=2, spacing=(3.0, 1.0, 1.0)
    )
    assert sheet.shape[-1] == 3
    bare = Sample(rng.random((3, 40, 40), dtype=np.float32))
    assert augmentation_sheet(bare, Augmentation.none(), n=3).shape[-1] == 3


def test_labels_alone_show_what_is_not_annotated():
    labels = np.zeros((20, 20), np.int32)
    labels[:5] = -1
    sample = Sample(np.ones((1, 20, 20), np.float32), labels=labels)
    sheet = augmentation_sheet(sample, Augmentation.none(), n=1, patch_shape=(20, 20))
    picture = sheet[GAP:-GAP, GAP : GAP + 20]
    assert (picture[:5] != 255).all()
    assert (picture[5:] == 255).all()


def test_an_empty_sheet_is_refused():
    with pytest.raises(SettingsError, match="0 patches"):
        augmentation_sheet(square_sample(), Augmentation.none(), n=0)
