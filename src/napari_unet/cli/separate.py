"""`napari-unet separate`: probabilities of any network to labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_unet.cli.console import out as stdout
from napari_unet.cli.outputs import channels_first
from napari_unet.cli.targets import check_file, refuse_existing, refuse_inputs
from napari_unet.io.images import ImageSource, read_image
from napari_unet.io.write import read_provenance, write_labels
from napari_unet.pipeline import separate
from napari_unet.pipeline.separating import INSTANCE_CHANNELS
from napari_unet.settings import Separation


def separate_file(
    path: Path,
    target: Path,
    separation: Separation,
    *,
    names: tuple[str, ...] = (),
    axes: str | None = None,
    spatial: str | None = None,
    overwrite: bool = False,
) -> None:
    """Separate the probabilities in `path` and write the labels to `target`.

    Channel names, settings and the axes of one sample that are not given are those
    stored in the file, if it was written here.

    Raises
    ------
    UNetError
        If the file holds no probabilities, or the target is not free.
    """
    check_file(target)
    refuse_inputs([target], [path])
    refuse_existing([target], overwrite=overwrite)
    source = read_image(path, axes=axes)
    stored = (read_provenance(path) if path.is_file() else None) or {}
    separation = separation.over(Separation.parse(stored.get("separation", {})))
    letters = source.axes.replace("C", "")
    try:
        labels = separate(
            channels_first(source, letters),
            separation,
            channels=names or tuple(stored.get("channel_names", _told(source))),
            axes=letters,
            spatial=spatial or stored.get("spatial"),
        )
    finally:
        source.close()
    write_labels(
        target,
        labels,
        axes=letters,
        pixel_size=source.pixel_size,
        description={**stored, "separation": separation.model_dump()},
    )
    n = int(np.unique(labels[labels > 0]).size)
    stdout.print(f"{path.name}: {n} label{'s' * (n != 1)} -> {target}", markup=False)


def _told(source: ImageSource) -> tuple[str, ...]:
    """Return the file's own names of its channels, if they are meant for this."""
    names = tuple(name.lower() for name in source.channel_names)
    return names if INSTANCE_CHANNELS.issuperset(names) else ()
