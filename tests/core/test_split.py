from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_unet.core.split import image_hash, split_validation
from napari_unet.core.split_parts import Part, Split, classes_in
from napari_unet.core.split_region import SMALLEST
from napari_unet.errors import SettingsError

Array = NDArray[np.generic]
Pair = tuple[Array, Array]


def make_pair(seed: int, shape: tuple[int, ...] = (8, 8)) -> Pair:
    image = np.random.default_rng(seed).integers(0, 255, (1, *shape)).astype(np.uint8)
    labels = np.zeros(shape, np.int32)
    labels[..., 2:4, 2:4] = 1
    return image, labels


def grid_of_cells(shape: tuple[int, ...], spacing: int = 12, size: int = 8) -> Array:
    """Square cells on a grid, numbered 1, 2, ..."""
    labels = np.zeros(shape, np.int32)
    for i, (y, x) in enumerate(np.ndindex(shape[-2] // spacing, shape[-1] // spacing)):
        top, left = y * spacing + 2, x * spacing + 2
        labels[..., top : top + size, left : left + size] = i + 1
    return labels


def images_of(parts: tuple[Part, ...]) -> list[int]:
    return [part.image for part in parts]


def visits(split: Split, pairs: list[Pair]) -> tuple[list[Array], list[Array]]:
    """How often each pixel of each image is on either side, by brute force."""
    counts = []
    for parts in (split.train, split.validation):
        seen = [np.zeros(labels.shape, int) for _, labels in pairs]
        for part in parts:
            seen[part.image][part.region] += 1
        counts.append(seen)
    return counts[0], counts[1]


def split(pairs: list[Pair], **options: object) -> Split:
    return split_validation(pairs, **{"fraction": 0.2, "random_seed": 0, **options})  # type: ignore[arg-type]


@settings(deadline=None, max_examples=60)
@given(
    kinds=st.lists(st.integers(0, 6), min_size=1, max_size=12),
    groups=st.lists(st.sampled_from(["", "", "a", "b"]), min_size=12, max_size=12),
    fraction=st.floats(0.05, 0.9),
    random_seed=st.integers(0, 5),
)
def test_images_copies_and_groups_stay_on_one_side(
    kinds: list[int], groups: list[str], fraction: float, random_seed: int
) -> None:
    pairs = [make_pair(kind) for kind in kinds]
    names = groups[: len(kinds)]
    found = split_validation(
        pairs, fraction=fraction, random_seed=random_seed, groups=names
    )
    assert found.train
    assert found.validation
    if len(set(kinds)) == 1:  # an 8 px image and its copies
        assert found.leaks
        assert found.warning
        return
    train, kept = images_of(found.train), images_of(found.validation)
    assert not found.leaks
    assert sorted(train + kept) == list(range(len(kinds)))
    assert not {kinds[i] for i in train} & {kinds[i] for i in kept}
    shared = {names[i] for i in train} & {names[i] for i in kept} - {""}
    assert bool(shared) <= bool(found.warning)


def test_the_seed_decides_and_nothing_else() -> None:
    pairs = [make_pair(i) for i in range(20)]
    assert split(pairs) == split(pairs)
    drawn = {tuple(images_of(split(pairs, random_seed=s).validation)) for s in range(9)}
    assert len(drawn) > 5
    assert {len(kept) for kept in drawn} == {4}


@pytest.mark.parametrize(
    ("count", "fraction", "kept"), [(2, 0.2, 1), (5, 0.2, 1), (2, 0.9, 1), (10, 0.5, 5)]
)
def test_both_sides_have_an_image(count: int, fraction: float, kept: int) -> None:
    found = split([make_pair(i) for i in range(count)], fraction=fraction)
    assert len(found.validation) == kept
    assert len(found.train) == count - kept


def test_images_without_objects_are_trained_on() -> None:
    pairs = [make_pair(i) for i in range(6)]
    for image, labels in pairs[:4]:
        labels[:] = -1 if image[0, 0, 0] % 2 else 0
    for seed in range(8):
        found = split(pairs, random_seed=seed)
        assert images_of(found.validation)[0] in (4, 5)
        assert len(found.train) == 5


def test_one_series_keeps_its_last_frames_with_a_warning() -> None:
    pairs = [make_pair(i) for i in range(10)]
    found = split(pairs, groups=["movie"] * 10)
    assert images_of(found.validation) == [8, 9]
    assert "one series" in found.warning
    assert not found.leaks


def test_a_large_group_is_not_preferred_to_a_small_one() -> None:
    pairs = [make_pair(i) for i in range(10)]
    for seed in range(8):
        found = split(pairs, groups=["a"] * 9 + ["b"], random_seed=seed)
        assert images_of(found.validation) == [9]


@pytest.mark.parametrize("gap", [0, 16, 1000])
@pytest.mark.parametrize("shape", [(240, 100), (100, 240), (6, 60, 240)])
def test_one_image_is_cut_across_its_longest_axis(
    shape: tuple[int, ...], gap: int
) -> None:
    image, _ = make_pair(0, shape)
    pair = image, grid_of_cells(shape)
    found = split([pair], gap=gap)
    (train,), (kept,) = visits(found, [pair])
    assert not found.leaks
    assert max(train.max(), kept.max()) == 1
    assert not (train & kept).any()
    axis = shape.index(max(shape))
    across = tuple(i for i in range(len(shape)) if i != axis)
    lines = train.any(across), kept.any(across)
    assert min(lines[0].sum(), lines[1].sum()) >= SMALLEST
    between = shape[axis] - lines[0].sum() - lines[1].sum()
    assert between == gap if gap < 100 else 0 < between < gap
    objects = pair[1] > 0
    assert objects[kept > 0].sum() >= 0.2 * objects.sum()
    assert objects[train > 0].sum() >= 0.5 * objects.sum()


def test_objects_across_the_cut_are_on_neither_side() -> None:
    labels = grid_of_cells((64, 200), spacing=13, size=12)
    pair = make_pair(0, labels.shape)[0], labels
    found = split([pair], gap=5)
    ids = [
        set(np.unique(p.labels_of(labels))) - {0, -1}
        for p in (found.train[0], found.validation[0])
    ]
    assert ids[0]
    assert ids[1]
    assert not ids[0] & ids[1]
    for part, kept in zip((found.train[0], found.validation[0]), ids, strict=True):
        inside = part.labels_of(labels)
        whole = {i for i in kept if (inside == i).sum() == (labels == i).sum()}
        assert whole == kept
        cropped = labels[part.region]
        np.testing.assert_array_equal(inside == -1, (cropped > 0) & (inside <= 0))
        np.testing.assert_array_equal(part.labels_of(labels, semantic=True), cropped)


def test_labels_are_left_as_they_were() -> None:
    labels = grid_of_cells((64, 200))
    before = labels.copy()
    split([(make_pair(0, labels.shape)[0], labels)])
    np.testing.assert_array_equal(labels, before)


def test_sparse_annotation_is_on_both_sides() -> None:
    labels = np.full((300, 300), -1, np.int32)
    labels[250:, :80] = grid_of_cells((50, 80))
    labels[:80, 10:40] = 0
    pair = make_pair(0, labels.shape)[0], labels.T.copy()
    found = split([pair], gap=20)
    for part in (*found.train, *found.validation):
        assert (part.labels_of(pair[1]) > 0).any()


@pytest.mark.parametrize("shape", [(60, 50), (2 * SMALLEST - 1, 8)])
def test_too_small_an_image_leaks_and_says_so(shape: tuple[int, ...]) -> None:
    found = split([make_pair(0, shape)])
    assert found.leaks
    assert "too good" in found.warning
    assert images_of(found.train) == images_of(found.validation) == [0]


def test_a_single_object_cannot_be_split() -> None:
    image, labels = make_pair(0, (100, 100))
    labels[:] = 0
    labels[20:90, 20:90] = 1
    assert split([(image, labels)]).leaks
    assert not split([(image, labels)], semantic=True).leaks


def test_copies_of_one_image_are_cut_alike() -> None:
    labels = grid_of_cells((64, 200))
    image, _ = make_pair(0, labels.shape)
    found = split([(image, labels), (image.copy(), labels), make_blank(1)])
    assert images_of(found.train) == [0, 1, 2]
    assert images_of(found.validation) == [0, 1]
    train, kept = visits(found, [(image, labels)] * 2 + [make_blank(1)])
    assert not any((a & b).any() for a, b in zip(train, kept, strict=True))
    assert found.validation[0].region == found.validation[1].region


def test_a_copy_without_labels_goes_with_the_image() -> None:
    pairs = [make_pair(i) for i in range(4)]
    pairs += [(image.copy(), np.full_like(labels, -1)) for image, labels in pairs]
    for seed in range(8):
        kept = images_of(split(pairs, random_seed=seed).validation)
        assert len(kept) == 2
        assert kept[1] == kept[0] + 4


def make_blank(seed: int) -> Pair:
    image, labels = make_pair(seed)
    return image, np.zeros_like(labels)


def test_the_region_of_an_image_with_channels() -> None:
    image = np.arange(2 * 4 * 5).reshape(2, 4, 5)
    part = Part(0, (slice(1, 3), slice(0, 5)), cut=True)
    np.testing.assert_array_equal(part.image_of(image), image[:, 1:3])


def test_hashes_tell_type_shape_and_pixels() -> None:
    image = np.zeros((1, 4, 6), np.uint8)
    other = image.copy()
    other[0, 3, 5] = 1
    several = [image, other, image.reshape(1, 6, 4), image.view(np.int8)]
    assert len({image_hash(array) for array in several}) == 4
    assert image_hash(image[:, ::2]) == image_hash(image[:, ::2].copy())


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1])
def test_impossible_fractions_are_refused(fraction: float) -> None:
    with pytest.raises(SettingsError, match="nothing on one side"):
        split([make_pair(0)], fraction=fraction)


def test_no_images_are_refused() -> None:
    with pytest.raises(SettingsError, match="no images"):
        split([])


def classes_on(split: Split, pairs: list[Pair]) -> tuple[set[int], set[int]]:
    """Classes that are trained on and validated on, by brute force."""
    found = []
    for parts in (split.train, split.validation):
        values = {
            v for p in parts for v in np.unique(pairs[p.image][1][p.region]).tolist()
        }
        found.append(values - {-1, 255})
    return found[0], found[1]


def class_image(seed: int, classes: list[int]) -> Pair:
    image, _ = make_pair(seed)
    labels = np.zeros((8, 8), np.int32)
    for row, value in enumerate(classes):
        labels[row] = value
    return image, labels


@pytest.mark.parametrize("seed", range(6))
def test_rare_classes_are_on_both_sides(seed: int) -> None:
    """20 images, of which two hold class 3, and two others class 4."""
    pairs = [class_image(i, [1, 2]) for i in range(20)]
    for i, value in ((4, 3), (11, 3), (5, 4), (17, 4)):
        pairs[i] = class_image(i, [1, value])
    found = split(pairs, semantic=True, random_seed=seed)
    assert len(found.validation) == 4
    assert classes_on(found, pairs) == ({0, 1, 2, 3, 4},) * 2
    # Left to chance, as for objects, most draws miss one of them.
    plain = split(pairs, random_seed=seed)
    assert len(plain.validation) == 4


@settings(deadline=None, max_examples=80)
@given(
    held=st.lists(
        st.sets(st.integers(1, 5), min_size=1, max_size=3), min_size=2, max_size=9
    ),
    fraction=st.floats(0.1, 0.8),
    random_seed=st.integers(0, 5),
)
def test_no_class_leaves_training_unless_every_image_has_one_of_its_own(
    held: list[set[int]], fraction: float, random_seed: int
) -> None:
    pairs = [class_image(i, sorted(classes)) for i, classes in enumerate(held)]
    found = split(pairs, fraction=fraction, random_seed=random_seed, semantic=True)
    train, kept = images_of(found.train), images_of(found.validation)
    assert sorted(train + kept) == list(range(len(held)))
    assert train
    assert kept
    counts = {c: sum(c in h for h in held) for c in range(1, 6)}
    own = [any(counts[c] == 1 for c in h) for h in held]
    if not all(own):
        assert classes_on(found, pairs)[0] == {0} | set().union(*held)
        assert not any(own[i] for i in kept)


def test_the_class_of_one_image_is_trained_on() -> None:
    pairs = [class_image(i, [1]) for i in range(5)]
    pairs[2] = class_image(2, [1, 7])
    for seed in range(6):
        found = split(pairs, semantic=True, random_seed=seed, fraction=0.6)
        assert 2 in images_of(found.train)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("at_the_start", [False, True])
def test_one_image_is_cut_where_most_classes_are_on_both_sides(
    axis: int, at_the_start: bool
) -> None:
    """Class 2 runs along one edge: across that edge no cut can share it."""
    labels = np.zeros((120, 160), np.int32)
    labels[::6] = 1
    edge = slice(0, 6) if at_the_start else slice(-6, None)
    labels[(slice(None),) * axis + (edge,)] = 2
    pair = make_pair(0, labels.shape)[0], labels
    found = split([pair], gap=8, semantic=True)
    (train,), (kept,) = visits(found, [pair])
    assert not (train & kept).any()
    assert max(train.max(), kept.max()) == 1
    assert classes_on(found, [pair]) == ({0, 1, 2}, {0, 1, 2})
    letter = "XY"[axis]
    assert found.note.startswith(f"{letter} ")


def test_classes_at_the_low_end_are_kept_from_there() -> None:
    labels = np.zeros((60, 200), np.int32)
    labels[:, 150:], labels[10:20, :70] = 1, 2  # 2 lies where the end does not reach
    labels[:, 20:24] = 1
    pair = make_pair(0, labels.shape)[0], labels
    found = split([pair], gap=4, semantic=True)
    assert classes_on(found, [pair]) == ({0, 1, 2}, {0, 1, 2})
    assert found.validation[0].region[1].start == 0
    stop = found.validation[0].region[1].stop
    start = found.train[0].region[1].start
    assert found.note == (
        f"X below {stop} of 200 is kept for validation, and X from {start} trained on."
    )


def test_what_is_not_annotated_is_no_class() -> None:
    assert classes_in(np.array([[-1, 0, 255], [3, 3, 0]])) == {0, 3}
