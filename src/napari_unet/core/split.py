"""Validation without leaks: which images, or which part of one, the network never sees.

Two or more images are split by image; copies of an image, and images of one group,
stay on one side. A single image is split by region: a band at the end of its longest
axis is kept for validation, and a gap before it is used for neither. Only an image too
small for that validates on what it trains on, and the split says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import SettingsError

Region = tuple[slice, ...]
Labels = NDArray[Any]
Clusters = list[list[int]]
SMALLEST = 32
"""Shortest side, in pixels, of a region to train or to validate on."""


@dataclass(frozen=True)
class Part:
    """An image, or a region of one.

    Parameters
    ----------
    image
        Position in the list of images.
    region
        Slices along the spatial axes.
    cut
        Whether `region` is less than the image.
    """

    image: int
    region: Region
    cut: bool = False

    def image_of(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return the view of (C, [Z,] Y, X) that belongs to this part."""
        whole = (slice(None),) * (image.ndim - len(self.region))
        return image[whole + self.region]

    def labels_of(
        self, labels: NDArray[Any], *, semantic: bool = False
    ) -> NDArray[Any]:
        """Return the labels ([Z,] Y, X) of this part.

        Parameters
        ----------
        labels
            Labels of the whole image.
        semantic
            Whether labels are classes. Otherwise objects that reach beyond the part
            become -1, not annotated: half of an object is neither learnt nor scored,
            and no object is on both sides. (An object at the border of the image
            itself is kept.)
        """
        inside = labels[self.region]
        if semantic or not self.cut:
            return inside
        beyond = labels.copy()
        beyond[self.region] = 0
        crossing = np.intersect1d(inside[inside > 0], beyond)
        return np.where(np.isin(inside, crossing), np.int32(-1), inside)


@dataclass(frozen=True)
class Split:
    """What is trained on and what is validated on.

    Parameters
    ----------
    train, validation
        Parts of images; no pixel is in both unless `leaks`.
    note
        How it was split, one sentence.
    warning
        Why scores on validation will be too good, one sentence; empty if they are not.
    leaks
        Whether validation shows pixels that are trained on.
    """

    train: tuple[Part, ...]
    validation: tuple[Part, ...]
    note: str
    warning: str = ""
    leaks: bool = False


def split_validation(
    pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]],
    *,
    fraction: float,
    random_seed: int,
    groups: Sequence[str] | None = None,
    gap: int = 0,
    semantic: bool = False,
) -> Split:
    """Decide what is kept for validation.

    Parameters
    ----------
    pairs
        Images (C, [Z,] Y, X) with labels ([Z,] Y, X), -1 not annotated. Equal images
        are copies. Validation needs objects, so images without any are trained on
        (copies of others, or of their group, go with those).
    fraction
        Part of the images, or of the object pixels of one image; above 0, below 1.
    random_seed
        Same seed, same split.
    groups
        A name per image; images of one group stay together, ``""`` is no group.
        If all are of one group, its last images are validated on, with a warning.
    gap
        Pixels between the regions of a split image, such as the network's halo;
        narrower where the image is too small to spare as much.
    semantic
        Whether labels are classes, so that there are no objects to be cut.

    Returns
    -------
    Split
        At least one part on both sides.

    Raises
    ------
    SettingsError
        If there are no images, or `fraction` is out of range.
    """
    _check(len(pairs), fraction)
    labels = [ids for _, ids in pairs]
    copies = _copies([image for image, _ in pairs])
    useful = [c for c in copies if any((labels[i] > 0).any() for i in c)] or copies
    if len(useful) == 1:
        return _by_region(
            labels, useful[0], fraction=fraction, gap=gap, semantic=semantic
        )
    clusters = _join_groups(copies, groups)
    drawn = [c for c in clusters if any(set(u) <= set(c) for u in useful)]
    if len(drawn) == 1:
        return _by_end(labels, useful, fraction=fraction)
    kept = _choose(drawn, fraction=fraction, random_seed=random_seed)
    note = f"{len(kept)} of {len(pairs)} images are kept for validation."
    return _by_image(labels, kept, note=note)


def _check(count: int, fraction: float) -> None:
    if not count:
        raise SettingsError("There are no images to split.", "Give at least one.")
    if not 0 < fraction < 1:
        raise SettingsError(
            f"A validation part of {fraction:g} leaves nothing on one side.",
            "Choose a number above 0 and below 1, such as 0.2.",
        )


def image_hash(image: NDArray[Any]) -> bytes:
    """Return a hash of shape, type and pixels; equal for copies of an image."""
    plain = np.ascontiguousarray(image)
    hashed = hashlib.blake2b(f"{plain.shape}{plain.dtype.str}".encode())
    hashed.update(plain.reshape(-1).view(np.uint8).data)
    return hashed.digest()


def _copies(images: Sequence[NDArray[Any]]) -> Clusters:
    """Return the positions of equal images together, in order."""
    clusters: dict[bytes, list[int]] = {}
    for i, image in enumerate(images):
        clusters.setdefault(image_hash(image), []).append(i)
    return list(clusters.values())


def _join_groups(copies: Clusters, groups: Sequence[str] | None) -> Clusters:
    """Unite clusters that share a group, until none do."""
    joined: list[tuple[set[str], list[int]]] = []
    for cluster in copies:
        names = {groups[i] for i in cluster} - {""} if groups else set[str]()
        members = list(cluster)
        apart = []
        for other_names, other in joined:
            if names & other_names:
                names, members = names | other_names, other + members
            else:
                apart.append((other_names, other))
        joined = [*apart, (names, members)]
    return sorted(sorted(members) for _, members in joined)


def _choose(clusters: Clusters, *, fraction: float, random_seed: int) -> list[int]:
    """Draw clusters up to the fraction of all images; the smallest if none fits."""
    total = sum(map(len, clusters))
    wanted = max(1, round(fraction * total))
    kept: list[int] = []
    for i in np.random.default_rng(random_seed).permutation(len(clusters)).tolist():
        fits = len(kept) + len(clusters[i]) <= wanted
        if fits and len(kept) + len(clusters[i]) < total:
            kept += clusters[i]
    return kept or min(clusters, key=len)


def _by_end(labels: Sequence[Labels], copies: Clusters, *, fraction: float) -> Split:
    """Keep the last images of the only group, copies of them included."""
    wanted = max(1, round(fraction * sum(map(len, copies))))
    kept: list[int] = []
    for cluster in reversed(copies[1:]):
        if kept and len(kept) + len(cluster) > wanted:
            break
        kept += cluster
    note = f"The last {len(kept)} images of the only series are kept for validation."
    warning = (
        "All images are of one series, so validation shows the same cells as training "
        "and its scores are too good; add an image of something else."
    )
    return _by_image(labels, kept, note=note, warning=warning)


def _by_image(
    labels: Sequence[Labels], kept: list[int], *, note: str, warning: str = ""
) -> Split:
    trained = sorted(set(range(len(labels))) - set(kept))
    return Split(_whole(labels, trained), _whole(labels, sorted(kept)), note, warning)


def _whole(labels: Sequence[Labels], chosen: Sequence[int]) -> tuple[Part, ...]:
    return tuple(Part(i, tuple(map(slice, labels[i].shape))) for i in chosen)


def _by_region(
    labels: Sequence[Labels],
    copies: list[int],
    *,
    fraction: float,
    gap: int,
    semantic: bool,
) -> Split:
    """Cut one image (and its copies in the same way) across its longest axis."""
    shape = labels[copies[0]].shape
    axis = max(range(len(shape)), key=lambda i: shape[i])
    others = _whole(labels, sorted(set(range(len(labels))) - set(copies)))
    whole = _whole(labels, copies)
    if shape[axis] < 2 * SMALLEST:
        return _unsplit(whole, others)
    end, begin = _place_cut(
        [labels[i] for i in copies], axis=axis, fraction=fraction, gap=gap
    )
    train = tuple(_cut(part, axis=axis, span=slice(0, end)) for part in whole)
    kept = tuple(
        _cut(part, axis=axis, span=slice(begin, shape[axis])) for part in whole
    )
    if not all(
        _has_objects(part, labels, semantic=semantic) for part in (train[0], kept[0])
    ):
        return _unsplit(whole, others)
    letter = "ZYX"[-len(shape) :][axis]
    note = (
        f"{letter} from {begin} of {shape[axis]} is kept for validation, and {letter} "
        f"below {end} trained on."
    )
    return Split((*train, *others), kept, note)


def _place_cut(
    labels: Sequence[Labels], *, axis: int, fraction: float, gap: int
) -> tuple[int, int]:
    """Return where training ends and validation begins along the axis.

    Validation has at least `fraction` of the object pixels and training, after the
    gap, at least half of them, as far as both keep `SMALLEST` pixels.
    """
    length = labels[0].shape[axis]
    across = tuple(i for i in range(labels[0].ndim) if i != axis)
    objects = np.sum([(ids > 0).sum(axis=across) for ids in labels], axis=0)
    below = np.cumsum(objects if objects.any() else np.ones(length, np.int64))
    begin = int(np.searchsorted(below, (1 - fraction) * below[-1], side="right"))
    begin = min(max(begin, SMALLEST), length - SMALLEST)
    half = int(np.searchsorted(below, below[-1] / 2)) + 1
    return min(begin, max(begin - gap, half, SMALLEST)), begin


def _cut(part: Part, *, axis: int, span: slice) -> Part:
    region = (*part.region[:axis], span, *part.region[axis + 1 :])
    return Part(part.image, region, cut=True)


def _has_objects(part: Part, labels: Sequence[Labels], *, semantic: bool) -> bool:
    """Whether something is left to learn or score; without objects anywhere, yes."""
    ids = labels[part.image]
    left = part.labels_of(ids, semantic=semantic)
    return bool((left > 0).any()) or not (ids > 0).any()


def _unsplit(whole: tuple[Part, ...], others: tuple[Part, ...]) -> Split:
    return Split(
        (*whole, *others),
        whole[:1],
        "The only annotated image is both trained and validated on.",
        "The image is too small, or has too few objects, to keep a part of it for "
        "validation, so its scores are too good; annotate a second image.",
        leaks=True,
    )
