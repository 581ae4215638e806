"""Outputs of one image: labels, and on demand overlay, table and probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.cli.request import Request
from napari_unet.core.axes import ArrayLike
from napari_unet.core.measure import measure_stack
from napari_unet.io.images import ImageSource
from napari_unet.io.lazy import LazyArray
from napari_unet.io.overlay import overlay, write_picture
from napari_unet.io.planes import display_step, pick_plane, take_plane
from napari_unet.io.tables import write_table
from napari_unet.io.write import write_image, write_labels
from napari_unet.pipeline import Segmentation


def write_outputs(
    paths: Mapping[str, Path],
    source: ImageSource,
    result: Segmentation,
    request: Request,
    *,
    origin: list[Any] | None = None,
) -> None:
    """Write what `paths` names; the labels last, since they say that all is done.

    Parameters
    ----------
    paths
        As `output_paths` gives them.
    source
        The image.
    result
        What is written.
    request
        Kept in the files, so that a stopped run can tell what is done.
    origin
        Identity of the image's file.
    """
    pixel_size = request.pixel_size(source)
    provenance = {
        **result.provenance,
        "channel_names": list(result.channels),
        "request": request.described(),
        "source": origin,
    }
    if "probabilities" in paths:
        write_image(
            paths["probabilities"],
            result.probabilities,
            axes="C" + result.axes,
            pixel_size=pixel_size,
            channel_names=result.channels,
            description=provenance,
        )
    if "objects" in paths:
        write_table(paths["objects"], objects_table(source, result, pixel_size))
    if "overlay" in paths:
        names = result.channels if result.semantic else ()
        picture = draw_overlay(source, result.labels, result.axes, names)
        write_picture(paths["overlay"], picture)
    write_labels(
        paths["labels"],
        result.labels,
        axes=result.axes,
        pixel_size=pixel_size,
        description=provenance,
    )


def draw_overlay(
    source: ImageSource,
    labels: ArrayLike,
    axes: str,
    class_names: tuple[str, ...] = (),
) -> npt.NDArray[np.uint8]:
    """Draw the plane that stands for the image; see `pick_plane`."""
    plane = pick_plane(labels, axes)
    size = dict(zip(axes, labels.shape, strict=True))
    step = display_step((size["Y"], size["X"]))
    ground = take_plane(source.data, source.axes, plane=plane, step=step)
    flat = take_plane(labels, axes, plane=plane, step=step)
    return overlay(ground, flat, semantic=bool(class_names), class_names=class_names)


def objects_table(
    source: ImageSource, result: Segmentation, pixel_size: Mapping[str, float]
) -> dict[str, npt.NDArray[Any]]:
    """Measure each object on the image's own intensities; one row an object.

    The image is read in bands, never as a whole.
    """
    sizes = tuple(pixel_size.get(axis, 0.0) for axis in result.spatial)
    # Objects extend along the axes of one sample, in the order of the labels.
    extent = "".join(a for a in result.axes if a in result.spatial)
    by_axis = dict(zip(result.spatial, sizes, strict=True))
    return measure_stack(
        result.labels,
        channels_first(source, result.axes),
        axes=result.axes,
        spatial_axes=extent,
        pixel_size=[by_axis[axis] for axis in extent] if all(sizes) else None,
    )


def channels_first(source: ImageSource, axes: str) -> LazyArray:
    """Return a lazy view of an image as (C, *axes), with one C if it has none."""
    order = [source.axes.index(a) if a in source.axes else None for a in "C" + axes]
    return LazyArray(source.data, tuple(order), name=source.name)


def summary(result: Segmentation) -> str:
    """Say what was found, in a few words."""
    if result.semantic:
        found = [result.channels[int(c)] for c in np.unique(result.labels)]
        return f"classes {', '.join(found)}"
    n = count_objects(result)
    return f"{n} object{'s' * (n != 1)}"


def count(result: Segmentation) -> int | None:
    """Return the number of objects; None for classes."""
    return None if result.semantic else count_objects(result)


def count_objects(result: Segmentation) -> int:
    """Return the number of objects; ids restart along axes that are not linked."""
    restarting = [
        a
        for a in result.axes
        if a not in result.spatial and a not in result.separation.link
    ]
    labels = np.moveaxis(
        result.labels,
        [result.axes.index(a) for a in restarting],
        range(len(restarting)),
    )
    frames = labels.reshape(-1, *labels.shape[len(restarting) :])
    return sum(int(frame.max(initial=0)) for frame in frames)
