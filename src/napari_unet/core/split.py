"""Validation without leaks: which images, or which part of one, the network never sees.

Two or more images are split by image; copies of an image, and images of one group,
stay on one side, and of classes each is on both sides if that can be. A single image is
split by region: a band at an end of it is kept for validation, and a gap before it is
used for neither. Only an image too small for that validates on what it trains on, and
the split says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.split_parts import Labels, Split, classes_in, whole_images
from napari_unet.core.split_region import split_region
from napari_unet.errors import SettingsError

Clusters = list[list[int]]
Classes = frozenset[int]


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
        Whether labels are classes: there are no objects to be cut, and each class is
        to be trained and validated on.

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
        return split_region(
            labels, useful[0], fraction=fraction, gap=gap, semantic=semantic
        )
    clusters = _join_groups(copies, groups)
    drawn = [c for c in clusters if any(set(u) <= set(c) for u in useful)]
    if len(drawn) == 1:
        return _by_end(labels, useful, fraction=fraction)
    classes = [_classes(labels, c) if semantic else Classes() for c in drawn]
    kept = _choose(drawn, classes, fraction=fraction, random_seed=random_seed)
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


def _classes(labels: Sequence[Labels], cluster: Sequence[int]) -> Classes:
    return Classes().union(*(classes_in(labels[i]) for i in cluster))


def _choose(
    clusters: Clusters,
    classes: Sequence[Classes],
    *,
    fraction: float,
    random_seed: int,
) -> list[int]:
    """Draw clusters up to the fraction of all images; the smallest if none fits.

    The first is drawn that shows most of the classes which validation lacks, a class
    of few clusters counting more; none takes the last cluster of a class from training.
    """
    total = sum(map(len, clusters))
    wanted = min(max(1, round(fraction * total)), total - 1)
    left = np.random.default_rng(random_seed).permutation(len(clusters)).tolist()
    n_with = {c: sum(c in each for each in classes) for c in Classes().union(*classes)}
    trained, missing = dict(n_with), set(n_with)
    kept: list[int] = []

    def gain(i: int) -> float:
        return sum(1 / n_with[c] for c in classes[i] & missing)

    while True:
        fitting = [
            i
            for i in left
            if len(kept) + len(clusters[i]) <= wanted
            and all(trained[c] > 1 for c in classes[i])
        ]
        if not fitting:
            return sorted(kept) or _smallest(clusters, classes, n_with)
        best = max(fitting, key=gain)
        left.remove(best)
        kept += clusters[best]
        missing -= classes[best]
        for c in classes[best]:
            trained[c] -= 1


def _smallest(
    clusters: Clusters, classes: Sequence[Classes], n_with: Mapping[int, int]
) -> list[int]:
    """Return the cluster that takes the fewest classes from training, then images."""

    def cost(i: int) -> tuple[int, int]:
        return sum(n_with[c] == 1 for c in classes[i]), len(clusters[i])

    return clusters[min(range(len(clusters)), key=cost)]


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
    return Split(
        whole_images(labels, trained), whole_images(labels, sorted(kept)), note, warning
    )
