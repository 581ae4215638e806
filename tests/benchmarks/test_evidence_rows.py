"""What trainings do to their images."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from scipy.ndimage import center_of_mass

from napari_unet.io.training_image import TrainingImage


@pytest.fixture(scope="module")
def rows(load_script: Callable[[str], ModuleType]) -> ModuleType:
    """The rows, imported as when run."""
    return load_script("evidence_rows")


def image(name: str = "tile1_num_7") -> TrainingImage:
    """A bright rectangle, labelled 3, in one corner that is not annotated."""
    labels = np.zeros((40, 60), np.int32)
    labels[8:20, 10:40] = 3
    labels[:4, :4] = -1
    return TrainingImage((labels == 3)[None] * np.uint8(200), labels, name)


def test_halved_keeps_places_and_tells_the_pixel_size(rows: ModuleType) -> None:
    (small,) = rows.halved(rows.WHOLE([image()]))
    assert small.pixel_size == {"Y": 2.0, "X": 2.0}
    assert small.image.shape == (1, 20, 30)
    assert set(np.unique(small.labels)) == {-1, 0, 3}
    assert np.sum(small.labels == 3) == 6 * 15
    bright, labelled = small.image[0], (small.labels == 3).astype(float)
    assert center_of_mass(bright) == pytest.approx(center_of_mass(labelled), abs=0.3)
    assert bright.max() == pytest.approx(200, abs=5)


def test_mirrored_pairs_stay_together(rows: ModuleType) -> None:
    one, other = rows.mirrored([image()])
    assert np.array_equal(other.image, one.image[:, :, ::-1])
    assert np.array_equal(other.labels, one.labels[:, ::-1])
    assert one.group == other.group == "tile1_num_7"


def test_groups_and_classes(rows: ModuleType) -> None:
    assert rows.grouped("_")([image()])[0].group == "tile1"
    assert rows.TILE([image()])[0].group == "7"
    (marked,) = rows.without(3)([image()])
    assert set(np.unique(marked.labels)) == {-1, 0}


def test_semantic_rows_name_their_classes(rows: ModuleType) -> None:
    for name, row in rows.ROWS.items():
        semantic = row.training and row.training.loss.target == "semantic"
        by_class = row.metric.__name__ == "classes"
        assert bool(semantic) == by_class, name
        assert not semantic or len(row.training.classes) >= 2
