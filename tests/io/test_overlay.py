from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_unet.errors import AxesError, ImageFileError
from napari_unet.io.legend import draw_legend
from napari_unet.io.overlay import CLASS_PALETTE, PALETTE, overlay, write_picture


def outline_colours(labels: np.ndarray) -> dict[int, tuple[int, int, int]]:
    """Return the colour of each label's outline pixels, which must be one."""
    picture = overlay(np.zeros(labels.shape), labels)
    found = {}
    for label in np.unique(labels[labels > 0]).tolist():
        inside = np.pad(labels, 1, mode="edge") == label
        core = (
            inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
        )
        edge = (labels == label) & ~core
        if edge.any():
            colours = {tuple(c) for c in picture[edge].tolist()}
            assert len(colours) == 1
            found[label] = colours.pop()
    return found


@given(seed=st.integers(0, 2**31), cells=st.integers(2, 60))
@settings(deadline=None, max_examples=30)
def test_touching_objects_differ_in_colour_on_both_sides(seed: int, cells: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 40, (cells, 2))
    y, x = np.mgrid[:40, :40]
    distance = (y[..., None] - points[:, 0]) ** 2 + (x[..., None] - points[:, 1]) ** 2
    ids = rng.permutation(cells * 7)[:cells] + 1  # far apart and out of order
    labels = ids[distance.argmin(-1)]
    colours = outline_colours(labels)
    for one, other in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        for a, b in np.unique(
            np.stack([one[one != other], other[one != other]], 1), axis=0
        ):
            assert colours[int(a)] != colours[int(b)]


def test_outlines_fill_and_background() -> None:
    image = np.zeros((20, 20), np.uint8)
    image[0, 0] = 255
    labels = np.zeros((20, 20), np.int32)
    labels[5:15, 5:15] = 7
    picture = overlay(image, labels)
    assert (picture.dtype, picture.shape) == (np.uint8, (20, 20, 3))
    assert tuple(picture[5, 5]) in {tuple(c) for c in PALETTE.tolist()}
    assert (picture[labels == 0][1:] == 0).all()
    inside = picture[10, 10].astype(float)
    assert 0 < inside.max() < 60
    expected = picture[5, 5] * 0.16
    np.testing.assert_allclose(inside, expected, atol=1)


def test_negative_labels_and_empty_labels_leave_the_image_alone() -> None:
    image = np.arange(100.0).reshape(10, 10)
    empty = overlay(image, np.zeros((10, 10), int))
    np.testing.assert_array_equal(overlay(image, np.full((10, 10), -1)), empty)
    assert empty.min() == 0
    assert empty.max() == 255
    assert (empty[..., 0] == empty[..., 1]).all()


@pytest.mark.parametrize("value", [0, 7, np.nan, np.inf])
def test_constant_and_broken_images(value: float) -> None:
    labels = np.zeros((10, 10), int)
    labels[2:5, 2:5] = 1
    assert overlay(np.full((10, 10), value), labels).shape == (10, 10, 3)


def test_not_a_number_among_numbers_is_black() -> None:
    image = np.linspace(0, 1, 100).reshape(10, 10)
    image[0, 0], image[9, 9] = np.nan, np.inf
    picture = overlay(image, np.zeros((10, 10), int))
    assert tuple(picture[0, 0]) == (0, 0, 0)
    assert tuple(picture[9, 9]) == (255, 255, 255)


def test_images_with_channels(rng: np.random.Generator) -> None:
    labels = np.zeros((10, 12), int)
    colour = rng.integers(0, 256, (10, 12, 4), np.uint8)
    colour[0, 0, :3], colour[0, 1, :3] = 0, 255
    picture = overlay(colour, labels)
    np.testing.assert_allclose(picture, colour[..., :3], atol=8)
    two = overlay(colour[..., :2], labels)
    assert (two[..., 0] == two[..., 2]).all()


def test_large_images_are_reduced_by_a_whole_step() -> None:
    labels = np.zeros((2, 8193), np.uint8)
    assert overlay(labels, labels).shape == (1, 2731, 3)


def test_sizes_that_differ_are_refused() -> None:
    with pytest.raises(AxesError, match="do not lie over each other"):
        overlay(np.zeros((4, 5)), np.zeros((5, 4), int))
    with pytest.raises(AxesError, match="do not lie over each other"):
        overlay(np.zeros((3, 4, 5)), np.zeros((3, 4, 5), int))


def test_classes_have_their_own_colours_and_a_legend() -> None:
    labels = np.zeros((200, 300), np.uint8)
    labels[100:150, 100:150] = 1
    labels[100:150, 200:250] = 2
    names = ("background", "nucleus", "membrane")
    picture = overlay(np.zeros((200, 300)), labels, semantic=True, class_names=names)
    assert tuple(picture[100, 100]) == tuple(CLASS_PALETTE[0])
    assert tuple(picture[100, 200]) == tuple(CLASS_PALETTE[1])
    plain = overlay(np.zeros((200, 300)), labels, semantic=True)
    corner = (slice(0, 60), slice(0, 90))
    assert picture[corner].max() == 255  # the text
    assert (picture[160:] == plain[160:]).all()
    assert (picture[160:] == 0).all()


def test_class_0_is_drawn_if_its_name_is_not_background() -> None:
    labels = np.zeros((200, 300), np.uint8)
    labels[100:150, 100:150] = 1
    drawn = overlay(labels * 0, labels, semantic=True, class_names=("sky", "road"))
    assert drawn[180, 280].any()
    assert tuple(drawn[100, 100]) == tuple(CLASS_PALETTE[1])


def test_pixels_that_are_not_annotated_are_not_drawn() -> None:
    nothing = np.full((200, 300), -1)
    for names in ((), ("sky", "road")):
        drawn = overlay(nothing * 0, nothing, semantic=True, class_names=names)
        assert not drawn.any()


def test_no_legend_where_there_is_no_room() -> None:
    picture = np.zeros((20, 20, 3), np.uint8)
    assert draw_legend(picture, {"a long name": np.array([255, 0, 0])}) is picture
    assert draw_legend(picture, {}) is picture
    large = np.zeros((200, 200, 3), np.uint8)
    drawn = draw_legend(large, {"a": np.array([255, 0, 0])})
    assert large.max() == 0
    assert (drawn == (255, 0, 0)).all(-1).sum() > 20


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 3)])
def test_pictures_are_written_in_one_step(
    tmp_path: Path, rng: np.random.Generator, shape: tuple[int, ...]
) -> None:
    picture = rng.integers(0, 255, shape, np.uint8)
    write_picture(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), picture)
    write_picture(tmp_path / "b.jpg", picture)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.jpg"]
    with pytest.raises(ImageFileError, match=r"to a\.tif\. Choose .* a\.png"):
        write_picture(tmp_path / "a.tif", picture)
