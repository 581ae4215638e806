"""A job: one image, all that is done to it, small enough to be sent to every worker.

A worker makes the plan anew from it; plans are a function of image, model and options.
"""

from __future__ import annotations

import dataclasses
import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_unet.core.axes import ArrayLike
from napari_unet.core.outline import as_lists
from napari_unet.engine.journal import identity
from napari_unet.io.images import ImageSource, read_image
from napari_unet.nn.checkpoint import Model
from napari_unet.pipeline.options import Options
from napari_unet.pipeline.plan import Plan, make_plan


@dataclasses.dataclass(frozen=True, eq=False)
class Origin:
    """Where an image comes from.

    Parameters
    ----------
    path
        File or folder; None: `array` is the image.
    array
        NumPy, dask or zarr array.
    series
        Which image of a file that holds several.
    """

    path: Path | None
    array: ArrayLike | None = None
    series: int = 0

    @property
    def place(self) -> Path | None:
        """Where the image lies on disk, if that is known."""
        if self.path is not None:
            return self.path
        root = getattr(getattr(self.array, "store", None), "root", None)
        if root is None or not Path(root).is_dir():
            return None
        return Path(root, getattr(self.array, "path", ""))

    def open(self, options: Options) -> tuple[ArrayLike, Options, ImageSource | None]:
        """Return the image and the options with what the file knows."""
        if self.path is None:
            if self.array is None:
                raise TypeError("an origin has a path or an array")
            return self.array, options, None
        source = read_image(self.path, axes=options.axes, series=self.series)
        size = options.pixel_size
        known = dataclasses.replace(
            options,
            axes=source.axes,
            rgb=source.rgb if options.rgb is None else options.rgb,
            pixel_size=source.pixel_size if size is None else size,
        )
        return source.data, known, source

    def identity(self) -> str:
        """Return a text that changes when the image does, as far as can be told."""
        if self.path is not None:
            return f"{self.path.resolve()} {self.series} {identity(self.path)}"
        array: Any = self.array
        shown = f"{tuple(array.shape)} {array.dtype}"
        if isinstance(array, np.ndarray):
            content = np.ascontiguousarray(array)
            return f"{shown} {hashlib.sha256(content.data).hexdigest()}"
        if (place := self.place) is not None:
            return f"{shown} {identity(place)}"
        return f"{shown} {getattr(array, 'name', '')}"


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """What is done, to which image, and where the result goes.

    Parameters
    ----------
    origin
        The image.
    model
        Network and recipe.
    options
        As for `segment`.
    output
        Zarr group while the work goes on.
    block
        Pixels along each axis of a block; 0: a default.
    threads
        Of the CPU, per worker: part of what makes labels identical.
    keep_probabilities
        Whether they stay in the output.
    preview
        Whether provisional labels are there while the work goes on.
    """

    origin: Origin
    model: Model
    options: Options
    output: Path
    block: int
    threads: int
    keep_probabilities: bool
    preview: bool = False

    def plan(self) -> Plan:
        """Return how the image is segmented."""
        image, options, _ = self.origin.open(self.options)
        return make_plan(image, self.model, options)

    def to_send(self) -> Job:
        """Return the job without what a worker makes for itself."""
        model = self.model
        light = Model(model.network, model.recipe, model.sha256, model.notes)
        for name in ("geometry", "bytes_per_pixel", "tile_dependent_layers"):
            light.__dict__[name] = getattr(model, name)
        return dataclasses.replace(self, model=light)

    def request(self, plan: Plan) -> dict[str, Any]:
        """Return what the journal holds: all that must not change before a resume."""
        options = plan.options
        return {
            "format": 2,
            "model": self.model.sha256 or weights_hash(self.model),
            "image": self.origin.identity(),
            "axes": plan.axes.axes,
            "channels": list(plan.channels.picked),
            "scale": list(plan.grid.shape) if plan.resampling else None,
            "outline": as_lists(plan.outline),
            "tile": list(plan.grid.tile),
            "tiling": options.tiling.model_dump(mode="json"),
            "prediction": options.prediction.model_dump(mode="json"),
            "normalization": plan.normalization.model_dump(mode="json"),
            "separation": plan.separation.model_dump(mode="json"),
            "block": self.block,
            "threads": self.threads,
            "probabilities": self.keep_probabilities,
            "versions": {
                "napari-unet-cells": version("napari-unet-cells"),
                "torch": torch.__version__,
            },
        }


def weights_hash(model: Model) -> str:
    """Return a hash of recipe and weights, for a model that came from no file."""
    digest = hashlib.sha256(model.recipe.model_dump_json().encode())
    for name, value in sorted(model.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
