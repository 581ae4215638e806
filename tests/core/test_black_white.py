from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.black_white import are_masks, as_classes


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[0, 255]], True),
        ([[0, 0], [255, -1]], True),  # an empty mask, and one not annotated everywhere
        ([[255]], True),
        ([[0, 1, 255]], False),  # 255 means not annotated there
        ([[0, 255], [0, 1]], False),
        ([[0, 1]], False),
        ([[0, -1]], False),
    ],
)
def test_masks_are_told_by_all_images(values: list[list[int]], expected: bool) -> None:
    assert are_masks(np.array(v, np.int32) for v in values) is expected


def test_a_mask_becomes_classes() -> None:
    mask = np.array([0, 255, -1], np.int32)
    found = as_classes(mask)
    np.testing.assert_array_equal(found, [0, 1, -1])
    assert found.dtype == np.int32
    np.testing.assert_array_equal(mask, [0, 255, -1])
