from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.split import split_validation
from napari_unet.core.split_parts import Part, Split
from napari_unet.core.training_doctor import RULES, Finding, examine_data
from napari_unet.core.training_facts import measure_objects
from napari_unet.errors import SettingsError

Image = tuple[NDArray[Any], NDArray[Any], str]
SHAPE = (48, 60)


def grid(shape: tuple[int, ...] = SHAPE, size: int = 6) -> NDArray[np.int32]:
    """Square cells of `size` on a grid, numbered 1, 2, ..."""
    labels = np.zeros(shape, np.int32)
    step = size + 4
    for i, (y, x) in enumerate(np.ndindex(shape[-2] // step, shape[-1] // step)):
        labels[
            ..., y * step + 2 : y * step + 2 + size, x * step + 2 : x * step + 2 + size
        ] = i + 1
    return labels


def picture(seed: int, shape: tuple[int, ...] = SHAPE) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (1, *shape)).astype(np.uint8)


def healthy(count: int = 3) -> list[Image]:
    return [(picture(i), grid(), f"image {i}") for i in range(count)]


def relabelled(labels: NDArray[Any]) -> list[Image]:
    """Healthy images, the second of them with other labels."""
    images = healthy(3)
    images[1] = (images[1][0], labels, "odd")
    return images


def examine(images: list[Image], **options: Any) -> dict[str, Finding]:
    found = examine_data(images, **{"patch": (32, 32), **options})
    return {finding.rule: finding for finding in found}


def only(images: list[Image], rule: str, **options: Any) -> Finding:
    found = examine(images, **options)
    assert set(found) == {rule}
    assert found[rule].found.endswith(".")
    assert found[rule].remedy.endswith(".")
    return found[rule]


def changed(value: int, where: tuple[Any, ...]) -> NDArray[np.int32]:
    labels = grid()
    labels[where] = value
    return labels


@pytest.mark.parametrize("semantic", [False, True])
def test_nothing_is_said_about_healthy_data(semantic: bool) -> None:
    images = healthy()
    if semantic:
        images = [(i, labels % 3, name) for i, labels, name in images]
    split = split_validation(
        [(i, labels) for i, labels, _ in images], fraction=0.3, random_seed=0
    )
    assert examine(images, split=split, semantic=semantic) == {}
    volume = (picture(0, (20, *SHAPE)), grid((20, *SHAPE)), "stack")
    assert examine([volume]) == {}


def test_no_images_are_refused() -> None:
    with pytest.raises(SettingsError, match="no annotated images"):
        examine_data([], patch=(32,))


def test_every_rule_is_tested_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [rule for rule in RULES if f'"{rule}"' not in text] == []


def test_errors_come_first() -> None:
    images = [*relabelled(grid() * 0.5), (picture(0), grid(), "copy")]
    severities = [f.severity for f in examine_data(images, patch=(32,))]
    assert severities == ["error", "info"]


# -- labels ---------------------------------------------------------------------------


def test_fractions_are_no_labels() -> None:
    finding = only(relabelled(grid() * 0.5), "fractions_in_labels")
    assert finding.severity == "error"
    assert finding.images == ("odd",)


def test_whole_numbers_as_floats_are_accepted() -> None:
    finding = only(relabelled(grid().astype(np.float32)), "floats_as_labels")
    assert finding.severity == "info"


def test_colour_labels() -> None:
    finding = only(relabelled(np.stack([grid()] * 3, -1)), "colour_labels")
    assert finding.severity == "error"


@pytest.mark.parametrize("labels", [grid()[:-1], grid().T, grid()[None, None]])
def test_different_shapes(labels: NDArray[Any]) -> None:
    finding = only(relabelled(labels), "different_shapes")
    assert str(labels.shape) in finding.found


def test_the_image_as_its_own_labels() -> None:
    images = healthy()
    images[1] = (grid()[None], grid(), "odd")
    assert only(images, "labels_are_the_image").images == ("odd",)


def test_black_and_white_masks() -> None:
    mask = np.where(grid() > 0, 255, 0).astype(np.uint8)
    finding = only([(i, mask, name) for i, _, name in healthy()], "mask_0_255")
    assert (finding.severity, finding.fix) == ("error", "components")
    assert finding.images == ("image 0", "image 1", "image 2")
    assert only(relabelled(mask), "mask_0_255").severity == "warning"


@pytest.mark.parametrize("dtype", [bool, np.uint8])
def test_binary_masks(dtype: type) -> None:
    mask = (grid() > 0).astype(dtype)
    finding = only([(i, mask, name) for i, _, name in healthy()], "mask_0_1")
    assert (finding.severity, finding.fix) == ("error", "components")
    half_annotated = mask.astype(int)
    half_annotated[:, :20] = -1
    assert "mask_0_1" in examine([(picture(0), half_annotated, "half")])


def test_one_object_per_image_is_no_mask() -> None:
    single = (grid() == 7).astype(np.uint8)
    images = [(picture(i), single, f"image {i}") for i in range(12)]
    assert examine(images) == {}
    speck = single.copy()
    speck[0, 0] = 1
    images[3] = (picture(3), speck, "odd")
    assert set(examine(images)) == {"objects_in_pieces"}


@pytest.mark.parametrize("odd", [255, 99])
def test_class_numbers_with_a_gap(odd: int) -> None:
    images = [(i, labels % 3, name) for i, labels, name in healthy()]
    images[1][1][:9] = odd
    finding = only(images, "class_numbers", semantic=True)
    assert (finding.severity, finding.images) == ("error", ("image 1",))
    assert str(odd) in finding.remedy


def test_rare_classes() -> None:
    images = [(i, labels % 3, name) for i, labels, name in healthy()]
    images[0][1][4, 4:8] = 3
    finding = only(images, "rare_classes", semantic=True)
    assert "Class(es) 3 cover" in finding.found
    images[0][1][:9] = 3
    assert examine(images, semantic=True) == {}


def test_classes_on_one_side() -> None:
    images = [(i, labels % 3, name) for i, labels, name in healthy()]
    images[2][1][:9] = 3
    whole = [Part(n, tuple(map(slice, SHAPE))) for n in range(3)]
    split = Split((whole[0], whole[1]), (whole[2],), "")
    finding = only(images, "classes_on_one_side", semantic=True, split=split)
    assert finding.found == "Class(es) 3 are validated but not trained on."
    split = Split((whole[0], whole[2]), (whole[1],), "")
    finding = only(images, "classes_on_one_side", semantic=True, split=split)
    assert finding.found == "Class(es) 3 are trained on but not validated."
    images[1][1][:9] = 3
    assert examine(images, semantic=True, split=split) == {}
    images[2][1][:9] = -1
    images[2][1][0, 0] = 255  # not annotated, as -1
    images[1][1][:9] = 0
    assert "classes_on_one_side" not in examine(images, semantic=True, split=split)


def test_nothing_annotated() -> None:
    blank = np.full(SHAPE, -1, np.int32)
    assert only(relabelled(blank), "nothing_annotated").severity == "warning"
    every = [(i, blank, name) for i, _, name in healthy()]
    assert examine(every)["nothing_annotated"].severity == "error"


def test_empty_masks() -> None:
    blank = np.zeros(SHAPE, np.int32)
    assert only(relabelled(blank), "no_objects").severity == "warning"
    every = [(i, blank, name) for i, _, name in healthy()]
    assert only(every, "no_objects").severity == "error"
    classes = [(i, labels % 3, name) for i, labels, name in relabelled(blank)]
    assert examine(classes, semantic=True) == {}
    assert "no_objects" in examine(every, semantic=True)


def test_full_masks() -> None:
    full = 1 + np.arange(48 * 60, dtype=np.int32).reshape(SHAPE) // 60 // 4
    assert set(examine(relabelled(full), patch=(64,))) == {"no_background"}
    painted = np.where(grid() > 0, grid(), -1)
    assert only(relabelled(painted), "no_background").severity == "warning"
    assert examine(relabelled(full % 3), patch=(64,), semantic=True) == {}


# -- objects --------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "speaks"), [(9, True), (10, False)])
def test_few_objects(count: int, speaks: bool) -> None:
    labels = grid()
    labels[labels > count] = 0
    assert set(examine([(picture(0), labels, "a")])) == {"few_objects"} & {
        "few_objects" if speaks else ""
    }


def test_tiny_objects() -> None:
    tiny = changed(99, (0, slice(0, 4)))
    finding = only(relabelled(tiny), "tiny_objects")
    assert "1 object(s)" in finding.found
    assert examine(relabelled(changed(99, (0, slice(0, 5))))) == {}


def test_objects_in_pieces() -> None:
    strayed = changed(7, (0, 0))
    assert only(relabelled(strayed), "objects_in_pieces").severity == "info"
    alone = [(picture(0), strayed, "a")]
    assert only(alone, "objects_in_pieces").severity == "warning"
    diagonal = changed(1, (8, 8))  # touches a corner of cell 1
    assert examine(relabelled(diagonal)) == {}


def test_different_scales() -> None:
    shape = (200, 200)
    images = [(picture(i, shape), grid(shape), "small") for i in range(2)]
    images.append((picture(3, shape), grid(shape, 30), "large"))
    finding = only(images, "different_scales", patch=(64,))
    assert finding.images == ("small", "large")
    assert "7 and 34 px" in finding.found
    images[2] = (picture(3, shape), grid(shape, 18), "medium")
    assert examine(images, patch=(64,)) == {}


@pytest.mark.parametrize(("patch", "advice"), [((5,), "16"), ((64, 5), "80 x 16")])
def test_larger_than_patch(patch: tuple[int, ...], advice: str) -> None:
    finding = only(healthy(), "larger_than_patch", patch=patch)
    assert f"a patch of {advice} px, or scale the images by 0.83" in finding.remedy
    assert finding.found.startswith("image 0, image 1, image 2: 72 object(s)")
    assert examine(healthy(), patch=(6,)) == {}


# -- images ---------------------------------------------------------------------------


def test_mixed_channels_and_dimensions() -> None:
    images = healthy(4)
    images[1] = (np.repeat(picture(1), 3, axis=0), grid(), "colour")
    assert only(images, "mixed_images").images == ("colour",)
    images[1] = (picture(9)[0], grid(), "without C")
    assert examine(images) == {}
    images[1] = (picture(1, (4, *SHAPE)), grid((4, *SHAPE)), "stack")
    assert only(images, "mixed_images").images == ("stack",)


def test_copies() -> None:
    images = [*healthy(), (picture(0), grid(), "copy")]
    finding = only(images, "copies_of_images")
    assert (finding.severity, finding.images) == ("info", ("image 0", "copy"))
    images[3] = (picture(0), changed(0, (slice(9),)), "copy")
    assert only(images, "copies_of_images").severity == "warning"


def test_copies_across_the_split() -> None:
    images = [*healthy(), (picture(0), grid(), "copy")]
    whole = (slice(0, 48), slice(0, 60))
    leaking = Split(tuple(Part(i, whole) for i in range(3)), (Part(3, whole),), "")
    found = examine(images, split=leaking)
    assert set(found) == {"copies_of_images", "copies_across_split"}
    assert found["copies_across_split"].severity == "error"
    assert found["copies_across_split"].images == ("copy",)
    sound = split_validation(
        [(i, labels) for i, labels, _ in images], fraction=0.3, random_seed=0
    )
    assert set(examine(images, split=sound)) == {"copies_of_images"}


def test_regions_of_one_image_do_not_leak() -> None:
    halves = Split(
        (Part(0, (slice(0, 24), slice(0, 60)), cut=True),),
        (Part(0, (slice(24, 48), slice(0, 60)), cut=True),),
        "",
    )
    assert examine(healthy(1), split=halves) == {}


def test_a_weak_split_is_repeated() -> None:
    image, labels, name = healthy(1)[0]
    image, labels = image[:, :30, :30], labels[:30, :30]
    split = split_validation([(image, labels)], fraction=0.2, random_seed=0)
    found = examine([(image, labels, name)], split=split)
    assert set(found) == {"weak_validation", "few_objects"}
    assert found["weak_validation"].remedy == split.warning


def test_constant_images() -> None:
    images = healthy()
    images[1] = (np.full((1, *SHAPE), 7, np.uint8), grid(), "odd")
    assert only(images, "constant_images").images == ("odd",)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite(value: float) -> None:
    images = healthy()
    images[1] = (images[1][0].astype(np.float32), grid(), "odd")
    assert examine(images) == {}
    images[1][0][0, 3, 3] = value
    assert only(images, "not_finite").severity == "warning"


def test_many_names_are_shortened() -> None:
    finding = only(healthy(6), "larger_than_patch", patch=(5,))
    assert finding.found.startswith("image 0, image 1, image 2 and 3 more: ")
    assert len(finding.images) == 6


# -- facts ----------------------------------------------------------------------------


@settings(deadline=None, max_examples=80)
@given(
    hnp.arrays(
        np.int32,
        st.sampled_from([(7, 9), (3, 5, 4), (1, 1)]),
        elements=st.sampled_from([0, 0, 1, 2, 5, 2_000_000_000]),
    )
)
def test_objects_against_brute_force(labels: NDArray[np.int32]) -> None:
    found = measure_objects(labels)
    ids = [i for i in np.unique(labels).tolist() if i]
    assert found.ids.tolist() == ids
    for row, i in enumerate(ids):
        where = np.argwhere(labels == i)
        assert found.areas[row] == len(where)
        assert found.extents[row].tolist() == (np.ptp(where, axis=0) + 1).tolist()
        full = np.ones((3,) * labels.ndim)
        assert found.pieces[row] == ndimage.label(labels == i, full)[1]


def test_diameters_of_discs_and_balls() -> None:
    for ndim, radius in ((2, 20), (3, 12)):
        axes = np.indices((2 * radius + 5,) * ndim) - radius - 2
        ball = (axes**2).sum(axis=0) <= radius**2
        diameter = measure_objects(ball.astype(np.int32)).diameters[0]
        assert diameter == pytest.approx(2 * radius, rel=0.03)
