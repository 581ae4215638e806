"""Segment many images at once, each whole on one of several workers."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_unet.cli import explain
from napari_unet.cli.journal import identity
from napari_unet.cli.outputs import count, summary, write_outputs
from napari_unet.cli.report import Outcome
from napari_unet.cli.request import Request
from napari_unet.engine.cluster import Cluster
from napari_unet.io.images import read_image
from napari_unet.pipeline import segment


def segment_parallel(
    cluster: Cluster, outputs: dict[Path, dict[str, Path]], request: Request
) -> Iterator[Outcome]:
    """Segment images on the workers of a cluster; yield each as it is finished.

    Parameters
    ----------
    cluster
        Sees images and outputs under the same paths.
    outputs
        The files that each image leads to.
    request
        What is done; it travels once to every worker.
    """
    items = [
        (image.absolute(), {name: path.absolute() for name, path in paths.items()})
        for image, paths in outputs.items()
    ]
    by_path = {image.absolute(): image for image in outputs}
    with cluster.sent(request) as each:
        for found in each(segment_image, items, _deadly):
            yield dataclasses.replace(found, image=by_path[found.image])


def _deadly(item: tuple[Path, dict[str, Path]]) -> Outcome:
    """Say of an image that it ended worker after worker, most likely by its size."""
    problem = (
        "It has ended worker after worker. Give each of them more memory, or segment "
        "it alone into OME-Zarr, block by block."
    )
    return Outcome(item[0], problem=problem)


def segment_image(request: Request, item: tuple[Path, dict[str, Path]]) -> Outcome:
    """Segment one image on a worker; what is wrong with it must not cost the others."""
    image, paths = item
    started = time.perf_counter()
    try:
        source = read_image(image, axes=request.options.axes, series=request.series)
        try:
            options: dict[str, Any] = dict(vars(request.options_for(source)))
            result = segment(source.data, request.model, **options)
            write_outputs(paths, source, result, request, origin=identity(image))
        finally:
            source.close()
    except Exception as error:  # noqa: BLE001
        spent = time.perf_counter() - started
        return Outcome(image, problem=explain(error), seconds=spent)
    spent = time.perf_counter() - started
    return Outcome(
        image, summary(result), n_objects=count(result), seconds=round(spent, 3)
    )
