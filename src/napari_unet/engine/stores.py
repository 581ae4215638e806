"""Stores: the OME-Zarr image that a run fills, and the metadata that others read.

::

    out.zarr                 multiscale image: the probabilities, C after T
    out.zarr/labels/cells    multiscale labels with image-label metadata
    out.zarr/.napari-unet    journal and, until all is done, scratch

Axes are stored in the order that the specification asks for: T, C, Z, Y, X.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaozarrs
import zarr
import zarr.codecs

from napari_unet.core.axes import AXES, AxesPlan
from napari_unet.engine.blocks import Region
from napari_unet.engine.journal import FOLDER

NAME = "cells"
# Levels are added until a plane fits into a window.
SMALL_PLANE = 512
TYPES = {"T": "time", "C": "channel"}
# A chunk with a changed byte is not read as if nothing were.
COMPRESSOR = zarr.codecs.ZstdCodec(level=0, checksum=True)


@dataclass(frozen=True, eq=False)
class Layout:
    """What is stored, of one image.

    Parameters
    ----------
    axes
        The image's.
    channels
        Names of the probabilities' channels.
    stored
        Their type.
    chunk
        Of the spatial axes.
    keep_probabilities
        Whether they stay when all is done.
    pixel_size
        Micrometres by axis letter, where known.
    link
        Axes over which labels are linked at the end, in that order.
    """

    axes: AxesPlan
    channels: tuple[str, ...]
    stored: str
    chunk: tuple[int, ...]
    keep_probabilities: bool
    pixel_size: Mapping[str, float]
    link: str = ""

    @property
    def labels_axes(self) -> str:
        """Axes of the stored labels."""
        return "".join(a for a in AXES if a in self.axes.labels_axes)

    @property
    def probabilities_axes(self) -> str:
        """Axes of the stored probabilities."""
        return "".join(a for a in AXES if a == "C" or a in self.axes.labels_axes)

    def shape(self, axes: str) -> tuple[int, ...]:
        """Return the stored shape along `axes`."""
        sizes = {**self.axes.size, "C": len(self.channels)}
        return tuple(sizes[a] for a in axes)

    def chunks(self, axes: str) -> tuple[int, ...]:
        """Return the stored chunk along `axes`; channels are kept together."""
        sizes = dict(zip(self.axes.spatial, self.chunk, strict=True))
        sizes["C"] = len(self.channels)
        return tuple(sizes.get(a, 1) for a in axes)

    def key(self, axes: str, sample: Mapping[str, int], region: Region) -> Any:
        """Return the index of a region of a sample in an array of `axes`."""
        at = dict(zip(self.axes.spatial, region, strict=True))
        return tuple(sample.get(a, at.get(a, slice(None))) for a in axes)


@dataclass(frozen=True, eq=False)
class Store:
    """The output of one image.

    Parameters
    ----------
    path
        The zarr group.
    layout
        What is in it.
    """

    path: Path
    layout: Layout

    @property
    def probabilities_path(self) -> Path:
        """The array of the probabilities."""
        if self.layout.keep_probabilities:
            return self.path / "0"
        return self.path / FOLDER / "probabilities"

    @property
    def labels_path(self) -> Path:
        """The group of the labels."""
        return self.path / "labels" / NAME

    @property
    def groups(self) -> dict[str, Path]:
        """What becomes a pyramid, and where."""
        kept = {"probabilities": self.path} if self.layout.keep_probabilities else {}
        return {"labels": self.labels_path, **kept}

    @property
    def labels_paths(self) -> list[Path]:
        """The array of the labels before each linking, and at last."""
        unlinked = [self.path / FOLDER / f"unlinked-{a}" for a in self.layout.link]
        return [*unlinked, self.labels_path / "0"]

    def create(self) -> None:
        """Make the groups and empty arrays that are not there, without metadata."""
        for part in ("", "labels", f"labels/{NAME}", FOLDER):
            if not is_made(self.path / part):
                zarr.create_group(self.path / part, zarr_format=3)
        layout = self.layout
        axes = layout.probabilities_axes
        self._create(self.probabilities_path, axes, layout.stored)
        for path in self.labels_paths:
            self._create(path, layout.labels_axes, "int32")

    def _create(self, path: Path, axes: str, dtype: str) -> None:
        layout = self.layout
        if is_made(path):
            return
        zarr.create_array(
            path,
            shape=layout.shape(axes),
            chunks=layout.chunks(axes),
            dtype=dtype,
            dimension_names=[a.lower() for a in axes],
            compressors=COMPRESSOR,
            config={"write_empty_chunks": True},
        )

    def create_scratch(self, name: str, shape: tuple[int, ...], size: Region) -> None:
        """Make an array (samples, C, ...) for intermediate probabilities, once."""
        if is_made(self.path / FOLDER / name):
            return
        chunk = (1, shape[1], *(part.stop - part.start for part in size))
        zarr.create_array(
            self.path / FOLDER / name,
            shape=shape,
            chunks=chunk,
            dtype=self.layout.stored,
            compressors=COMPRESSOR,
            config={"write_empty_chunks": True},
        )

    def scratch(self, name: str) -> Any:
        """Return an array made by `create_scratch`."""
        return open_array(self.path / FOLDER / name)

    def read_probabilities(
        self, sample: Mapping[str, int], region: Region
    ) -> npt.NDArray[Any]:
        """Return the stored probabilities (C, ...) of a region of a sample."""
        key = self.layout.key(self.layout.probabilities_axes, sample, region)
        return np.asarray(open_array(self.probabilities_path)[key])

    def write_probabilities(
        self, sample: Mapping[str, int], region: Region, values: npt.NDArray[Any]
    ) -> None:
        """Write the probabilities (C, ...) of a region of whole chunks."""
        key = self.layout.key(self.layout.probabilities_axes, sample, region)
        open_array(self.probabilities_path)[key] = values

    def write_labels(
        self, sample: Mapping[str, int], region: Region, values: npt.NDArray[Any]
    ) -> None:
        """Write the labels of a region of whole chunks."""
        key = self.layout.key(self.layout.labels_axes, sample, region)
        open_array(self.labels_paths[0])[key] = values

    def stored_bytes(
        self, what: str, sample: Mapping[str, int], region: Region
    ) -> int | None:
        """Return the bytes of all chunks of a region; None if one is not there."""
        path, axes = {
            "probabilities": (self.probabilities_path, self.layout.probabilities_axes),
            "labels": (self.labels_paths[0], self.layout.labels_axes),
        }[what]
        key = self.layout.key(axes, sample, region)
        chunks = self.layout.chunks(axes)
        ranges = [
            range(k, k + 1)
            if isinstance(k, int)
            else range((k.start or 0) // c, -(-(k.stop or c) // c))
            for k, c in zip(key, chunks, strict=True)
        ]
        every = np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, len(axes))
        files = (path / "c" / "/".join(map(str, i)) for i in every)
        try:
            return sum(file.stat().st_size for file in files)
        except FileNotFoundError:
            return None

    def finish(self, provenance: Mapping[str, Any], n_levels: dict[str, int]) -> None:
        """Write the metadata that make it an OME-Zarr image; the provenance is last."""
        layout = self.layout
        root = zarr.open_group(self.path, mode="r+")
        if layout.keep_probabilities:
            axes = layout.probabilities_axes
            levels = self._multiscale(axes, n_levels["probabilities"], "probabilities")
            root.attrs["ome"] = checked({"version": "0.5", "multiscales": [levels]})
        labels = zarr.open_group(self.path / "labels", mode="r+")
        labels.attrs["ome"] = checked({"version": "0.5", "labels": [NAME]})
        cells = zarr.open_group(self.labels_path, mode="r+")
        levels = self._multiscale(layout.labels_axes, n_levels["labels"], NAME)
        source = {"source": {"image": "../../"}} if layout.keep_probabilities else {}
        cells.attrs["ome"] = checked(
            {"version": "0.5", "multiscales": [levels], "image-label": source}
        )
        root.attrs["napari_unet"] = dict(provenance)

    def remove_scratch(self) -> None:
        """Remove what was only needed on the way."""
        for entry in (self.path / FOLDER).iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)

    def _multiscale(self, axes: str, n_levels: int, name: str) -> dict[str, Any]:
        datasets = []
        for level in range(n_levels):
            scale = [
                self.layout.pixel_size.get(a, 1.0) * (2**level if a in "YX" else 1)
                for a in axes
            ]
            transform = {"type": "scale", "scale": [float(s) for s in scale]}
            datasets.append(
                {"path": str(level), "coordinateTransformations": [transform]}
            )
        return {
            "name": name,
            "axes": [self._axis(a) for a in axes],
            "datasets": datasets,
        }

    def _axis(self, letter: str) -> dict[str, str]:
        axis = {"name": letter.lower(), "type": TYPES.get(letter, "space")}
        known = letter in self.layout.pixel_size
        return {**axis, "unit": "micrometer"} if known else axis


def is_made(path: Path) -> bool:
    """Whether a group or an array is there."""
    return (path / "zarr.json").is_file()


def is_finished(path: Path) -> bool:
    """Whether `Store.finish` has written the last of the metadata."""
    try:
        found = json.loads((path / "zarr.json").read_text())
        return "napari_unet" in found["attributes"]
    except (OSError, ValueError, KeyError, TypeError):  # not there, or not ours
        return False


def open_array(path: Path) -> Any:
    """Open an array; chunks of zeros are written like all others, as proof of work."""
    array = zarr.open_array(path, mode="r+", zarr_format=3)
    return array.with_config({"write_empty_chunks": True})


def checked(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return OME metadata that follow the specification, or raise."""
    yaozarrs.validate_ome_object(metadata)
    return metadata


def n_levels_of(shape: tuple[int, ...]) -> int:
    """Return how many levels a pyramid has."""
    levels, side = 1, max(shape[-2:])
    while side > SMALL_PLANE:
        levels, side = levels + 1, -(-side // 2)
    return levels


def create_level(group: Path, level: int) -> None:
    """Make the empty array of a level: every other row and column of the one above."""
    above = open_array(group / str(level - 1))
    shape = (*above.shape[:-2], *(-(-n // 2) for n in above.shape[-2:]))
    zarr.create_array(
        group / str(level),
        shape=shape,
        chunks=tuple(map(min, above.chunks, shape)),
        dtype=above.dtype,
        dimension_names=above.metadata.dimension_names,
        overwrite=True,
        config={"write_empty_chunks": True},
    )


def level_chunks(group: Path, level: int) -> int:
    """Return how many chunks a level has."""
    return int(np.prod(open_array(group / str(level)).cdata_shape))


def fill_level(group: Path, level: int, number: int) -> None:
    """Write one chunk of a level."""
    above, array = open_array(group / str(level - 1)), open_array(group / str(level))
    index = np.unravel_index(number, array.cdata_shape)
    parts = [
        slice(int(i) * c, min(int(i) * c + c, n))
        for i, c, n in zip(index, array.chunks, array.shape, strict=True)
    ]
    source = [*parts[:-2], *(slice(2 * p.start, 2 * p.stop) for p in parts[-2:])]
    array[tuple(parts)] = above[tuple(source)][..., ::2, ::2]
