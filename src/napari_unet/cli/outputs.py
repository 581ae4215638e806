"""Outputs of one image: labels, and on demand overlay, table and probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import ArrayLike, plan_axes
from napari_unet.core.measure import measure_stack
from napari_unet.io.images import ImageSource
from napari_unet.io.names import stem
from napari_unet.io.overlay import overlay, write_picture
from napari_unet.io.planes import display_step, pick_plane, take_plane
from napari_unet.io.tables import write_table
from napari_unet.io.write import write_image, write_labels

if TYPE_CHECKING:
    from napari_unet.pipeline import Segmentation


@dataclass(frozen=True)
class Wanted:
    """Which files are written beside the labels."""

    overlay: bool = False
    objects: bool = False
    probabilities: bool = False


def output_paths(labels_path: Path, wanted: Wanted) -> dict[str, Path]:
    """Return the path of each file that one image leads to, labels first."""
    name = stem(labels_path)
    paths = {"labels": labels_path}
    if wanted.overlay:
        paths["overlay"] = labels_path.with_name(f"{name}_overlay.png")
    if wanted.objects:
        paths["objects"] = labels_path.with_name(f"{name}_objects.csv")
    if wanted.probabilities:
        paths["probabilities"] = labels_path.with_name(f"{name}_probabilities.tif")
    return paths


def write_outputs(
    paths: Mapping[str, Path],
    source: ImageSource,
    result: Segmentation,
    *,
    pixel_size: Mapping[str, float],
    class_names: tuple[str, ...] = (),
) -> None:
    """Write what `paths` names; the labels last, since they say that all is done."""
    provenance = {**result.provenance, "channel_names": list(result.channels)}
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
        picture = draw_overlay(source, result.labels, result.axes, class_names)
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
    """Measure each object on the image's own intensities; one row an object."""
    plan = plan_axes(source.axes, source.shape, ndim=len(result.spatial))
    image = np.asarray(source.data[...])
    at = [source.axes.index(axis) for axis in result.axes]
    channel = [source.axes.index("C")] if "C" in source.axes else []
    image = image.transpose([*channel, *at])
    sizes = tuple(pixel_size.get(axis, 0.0) for axis in plan.spatial)
    return measure_stack(
        result.labels,
        image if channel else image[None],
        axes=result.axes,
        spatial_axes=plan.spatial,
        pixel_size=sizes if all(sizes) else None,
    )
