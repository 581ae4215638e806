"""`napari-unet separate`: probabilities of any network to labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_unet.cli.batch import refuse_existing
from napari_unet.cli.console import out as stdout
from napari_unet.io.images import read_image
from napari_unet.io.write import read_provenance, write_labels
from napari_unet.pipeline import separate
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

    Channel names and settings that are not given are those stored in the file, if it
    was written here.
    """
    refuse_existing([target], overwrite=overwrite)
    source = read_image(path, axes=axes)
    stored = read_provenance(path) or {}
    names = names or tuple(stored.get("channel_names", ()))
    separation = separation.over(Separation.parse(stored.get("separation", {})))
    array = np.asarray(source.data[...])
    letters = source.axes
    if "C" in letters:
        array = np.moveaxis(array, letters.index("C"), 0)
        letters = letters.replace("C", "")
    else:
        array = array[None]
    labels = separate(array, separation, channels=names, axes=letters, spatial=spatial)
    write_labels(
        target,
        labels,
        axes=letters,
        pixel_size=source.pixel_size,
        description={**stored, "separation": separation.model_dump()},
    )
    stdout.print(
        f"{path.name}: {labels.max(initial=0)} objects -> {target}", markup=False
    )
