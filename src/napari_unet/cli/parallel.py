"""Segment many images at once, each whole on one of several workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_unet.cli import explain
from napari_unet.cli.journal import identity
from napari_unet.cli.outputs import summary, write_outputs
from napari_unet.cli.request import Request
from napari_unet.engine.cluster import Cluster
from napari_unet.io.images import read_image
from napari_unet.pipeline import segment


@dataclass(frozen=True)
class Outcome:
    """What became of one image: a summary, or what was wrong with it."""

    image: Path
    summary: str = ""
    problem: str = ""


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
        for found in each(segment_image, items):
            yield Outcome(by_path[found.image], found.summary, found.problem)


def segment_image(request: Request, item: tuple[Path, dict[str, Path]]) -> Outcome:
    """Segment one image on a worker; what is wrong with it must not cost the others."""
    image, paths = item
    try:
        source = read_image(image, axes=request.options.axes, series=request.series)
        try:
            options: dict[str, Any] = dict(vars(request.options_for(source)))
            result = segment(source.data, request.model, **options)
            write_outputs(paths, source, result, request, origin=identity(image))
        finally:
            source.close()
    except Exception as error:  # noqa: BLE001
        return Outcome(image, problem=explain(error))
    return Outcome(image, summary(result))
