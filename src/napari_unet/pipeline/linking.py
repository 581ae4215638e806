"""Linking: one id for the objects of neighbouring slices or frames that overlap."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import AxesPlan
from napari_unet.core.linking import link_slices
from napari_unet.errors import AxesError
from napari_unet.settings import Separation


def check_link(plan: AxesPlan, separation: Separation) -> None:
    """Raise `AxesError` if an axis to link over is not one of the samples'."""
    for axis in separation.link:
        if axis not in plan.sample_axes:
            raise AxesError(
                f"Objects cannot be linked over {axis}: the axes are {plan.axes}, and "
                f"those of one sample {plan.spatial}.",
                f"Link over {plan.sample_axes or 'no axis'}.",
            )


def link(
    labels: npt.NDArray[np.int32], plan: AxesPlan, separation: Separation
) -> npt.NDArray[np.int32]:
    """Link objects over the axes that `separation` names; Z before T."""
    for axis in sorted(separation.link, reverse=True):
        # Volumes that were linked over Z are then linked over T as a whole.
        joined = "Z" if axis == "T" and "Z" in separation.link else ""
        others = [a for a in plan.sample_axes if a not in axis + joined]
        labels = _link_axis(labels, plan, (axis, others), separation.link_overlap)
    return labels


def _link_axis(
    labels: npt.NDArray[np.int32],
    plan: AxesPlan,
    over: tuple[str, list[str]],
    overlap: float,
) -> npt.NDArray[np.int32]:
    """Link over one axis, for each position along the others."""
    axis, others = over
    linked = np.empty_like(labels)
    letters = plan.labels_axes
    for position in np.ndindex(*(plan.size[a] for a in others)):
        at = dict(zip(others, position, strict=True))
        key = tuple(at.get(a, slice(None)) for a in letters)
        where = [a for a in letters if a not in at].index(axis)
        linked[key] = link_slices(labels[key], axis=where, min_iou=overlap)
    return linked
