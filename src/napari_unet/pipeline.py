"""Pipeline: an image and a model in, one label per cell out.

The friendly layer: guesses are made here, and every guess becomes a note.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from napari_unet.core.axes import ArrayLike, AxesPlan, guess_axes, plan_axes
from napari_unet.core.channels import ChannelPlan, plan_channels
from napari_unet.core.events import Event, Note, SampleDone, Started, TileDone
from napari_unet.core.fixed_point import to_fixed_point
from napari_unet.core.linking import link_slices
from napari_unet.core.normalize import (
    IntensityRange,
    Reader,
    Region,
    measure_intensity,
)
from napari_unet.core.resample import (
    Resampling,
    inverse,
    plan_resampling,
    resample_stored,
    resampled_reader,
    resampled_shape,
)
from napari_unet.core.separation import separate_instances, separate_semantic
from napari_unet.core.tiling import (
    Grid,
    choose_tile,
    make_grid,
    uniform_tile,
)
from napari_unet.errors import AxesError, DeviceError, SettingsError
from napari_unet.nn.checkpoint import Model, load_model
from napari_unet.nn.device import choose_device, is_out_of_memory, release_memory
from napari_unet.nn.predict import iter_predict
from napari_unet.settings import Normalization, Prediction, Separation, Tiling

PixelSize = float | Sequence[float] | Mapping[str, float]
Array = npt.NDArray[Any]

SEPARATION = Separation()


@dataclass(frozen=True)
class Options:
    """All that shapes the answer besides image and model.

    Parameters
    ----------
    axes
        The image's axes, such as ``"TCYX"``; None: guessed.
    rgb
        Whether the last axis holds colour samples; None: guessed.
    channels
        Indices of the image's channels for the network; empty: all.
    pixel_size
        Micrometres per pixel: one number, one per spatial axis, or by axis letter.
    diameter
        Typical object diameter in pixels of this image; the image is scaled to the
        model's.
    scale
        Network pixels per image pixel, given directly.
    tiling, prediction, separation, normalization
        Settings; of the last two, fields that were not given are the model's.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``, ``"xpu"``.
    workers
        Tiles computed at once; 0: chosen for the device.
    """

    axes: str | None = None
    rgb: bool | None = None
    channels: tuple[int, ...] = ()
    pixel_size: PixelSize | None = None
    diameter: float | None = None
    scale: float | None = None
    tiling: Tiling = field(default_factory=Tiling)
    prediction: Prediction = field(default_factory=Prediction)
    separation: Separation = field(default_factory=Separation)
    normalization: Normalization = field(default_factory=Normalization)
    device: str = "auto"
    workers: int = 0


@dataclass(frozen=True)
class Segmentation:
    """The answer, and all that is needed to find it again.

    Parameters
    ----------
    labels
        int32, `axes`; 0 is background; ids restart per frame, and per slice for a 2-D
        model, unless linked.
    probabilities
        Fixed point (uint16 or uint8), C first, then `axes`.
    channels
        Names of C.
    axes
        The image's axes without C, in their order.
    spatial
        The axes within one sample: ``"YX"`` or ``"ZYX"``.
    separation
        As used: the model's, with what was given.
    notes
        What a user should read, one sentence each.
    provenance
        Model hash, settings, tile shape, intensity ranges, versions: plain JSON.
    """

    labels: npt.NDArray[np.int32]
    probabilities: Array
    channels: tuple[str, ...]
    axes: str
    spatial: str
    separation: Separation
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)

    def separate(self, separation: Separation) -> npt.NDArray[np.int32]:
        """Separate the stored probabilities again; fields not given stay."""
        return separate(
            self.probabilities,
            separation.over(self.separation),
            channels=self.channels,
            axes=self.axes,
            spatial=self.spatial,
        )


def segment(
    image: ArrayLike | Sequence[ArrayLike], model: Model | str | Path, **options: Any
) -> Segmentation:
    """Segment an image: probabilities tile by tile, then one label per cell.

    Parameters
    ----------
    image
        NumPy, dask or zarr array, or any other that can be sliced; a list of them is
        a multiscale image, whose first level is used.
    model
        From `load_model`, a bundled name, or a path.
    **options
        Fields of `Options`: `axes`, `pixel_size`, `tiling`, `separation`, `device`, ...

    Returns
    -------
    Segmentation
        Labels in the image's axes without C, probabilities and provenance.

    Raises
    ------
    UNetError
        If image, model and options do not fit; the message says what to do.
    """
    job = iter_segment(image, model, **options)
    while True:
        try:
            next(job)
        except StopIteration as stop:
            result: Segmentation = stop.value
            return result


def iter_segment(
    image: ArrayLike | Sequence[ArrayLike], model: Model | str | Path, **options: Any
) -> Generator[Event, None, Segmentation]:
    """Segment as `segment` does, yielding progress events; close it to cancel.

    The arrays in the first `Started` event are filled as the work goes on; what is
    finished when the job is closed stays in them.
    """
    job = _Job(image, model, _options(options))
    return job.run()


def separate(
    probabilities: Array,
    separation: Separation = SEPARATION,
    *,
    channels: Sequence[str] = (),
    axes: str | None = None,
    spatial: str | None = None,
) -> npt.NDArray[np.int32]:
    """Turn probabilities of any network into labels.

    Parameters
    ----------
    probabilities
        C first: (C, Y, X), (C, Z, Y, X), or (C, ...) with `axes`. uint8 and uint16
        are fixed point; others are numbers from 0 to 1.
    separation
        Thresholds and the rest.
    channels
        Names of C; by default interior; background, interior; background, interior,
        boundary for 1, 2, 3 channels. Names outside the vocabulary are classes: the
        labels are then the index of the strongest.
    axes
        Axes after C; by default YX or ZYX.
    spatial
        Axes of one sample, ``"YX"`` or ``"ZYX"``; others are repeated over. By
        default ZYX if there is a Z.

    Returns
    -------
    numpy.ndarray
        int32, `axes`.
    """
    stored = to_fixed_point(np.asarray(probabilities))
    names = _channel_names(tuple(channels), len(stored))
    letters = axes or guess_axes(stored.shape[1:])
    within = spatial or ("ZYX" if "Z" in letters else "YX")
    plan = plan_axes(letters, stored.shape[1:], ndim=len(within))
    labels = np.zeros(plan.labels_shape, np.int32)
    for sample in plan.samples():
        view = plan.probabilities_view(stored, sample)
        target = plan.labels_view(labels, sample)
        target[...] = _separate_sample(view, names, separation)
    return link(labels, plan, separation)


def link(
    labels: npt.NDArray[np.int32], plan: AxesPlan, separation: Separation
) -> npt.NDArray[np.int32]:
    """Link objects over the axes that `separation` names; Z before T.

    Raises
    ------
    AxesError
        If an axis to link over is not one that the samples are repeated over.
    """
    for axis in sorted(separation.link, reverse=True):
        if axis not in plan.sample_axes:
            raise AxesError(
                f"Objects cannot be linked over {axis}: the axes are {plan.axes}, and "
                f"those of one sample {plan.spatial}.",
                f"Choose from {plan.sample_axes or 'no axis'}.",
            )
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


INSTANCE_CHANNELS = frozenset(
    {"background", "interior", "foreground", "boundary", "distance"}
)


def _channel_names(channels: tuple[str, ...], n: int) -> tuple[str, ...]:
    defaults = {
        1: ("interior",),
        2: ("background", "interior"),
        3: ("background", "interior", "boundary"),
    }
    names = channels or defaults.get(n, ())
    if len(names) != n:
        raise AxesError(
            f"There are {n} channels of probabilities, but {len(names)} names.",
            "Name each channel, first axis first: background, interior, boundary, "
            "distance, or classes.",
        )
    return names


def _separate_sample(
    stored: Array, channels: tuple[str, ...], separation: Separation
) -> npt.NDArray[np.int32]:
    if INSTANCE_CHANNELS.issuperset(channels):
        return separate_instances(stored, channels, separation)
    return separate_semantic(stored)


def _options(given: dict[str, Any]) -> Options:
    try:
        return Options(**given)
    except TypeError:
        unknown = sorted(set(given) - set(Options.__dataclass_fields__))
        raise SettingsError(
            f"There is no option {', '.join(unknown)}.",
            f"The options are {', '.join(Options.__dataclass_fields__)}.",
        ) from None


class _Job:
    """One image on its way through one model."""

    def __init__(
        self,
        image: ArrayLike | Sequence[ArrayLike],
        model: Model | str | Path,
        options: Options,
    ) -> None:
        self.options = options
        several = isinstance(image, (list, tuple))
        self.image = cast("ArrayLike", image[0] if several else image)
        self.model = model if isinstance(model, Model) else load_model(model)
        self.recipe = self.model.recipe
        self.notes = list(self.model.notes)
        self.separation = options.separation.over(self.recipe.separation)
        self.normalization = options.normalization.over(self.recipe.normalization)
        self.lock = threading.Lock()
        self.plan, self.channels = self._plan()
        self.resampling = self._plan_resampling()
        self.device = choose_device(options.device)
        self.ranges: list[IntensityRange] = []

    # -- plans ------------------------------------------------------------------

    def _plan(self) -> tuple[AxesPlan, ChannelPlan]:
        shape = tuple(self.image.shape)
        arch = self.recipe.architecture
        rgb = self.options.rgb
        if rgb is None:
            rgb = self.options.axes is None and _looks_rgb(self.image)
        axes = self.options.axes
        if axes is None:
            axes = guess_axes(shape, rgb=rgb)
            self.notes.append(f"The axes were guessed to be {axes}.")
        plan = plan_axes(axes, shape, ndim=arch.ndim)
        channels = plan_channels(
            plan.n_channels, arch.in_channels, rgb=rgb, chosen=self.options.channels
        )
        if channels.note:
            self.notes.append(channels.note)
        return plan, channels

    def _plan_resampling(self) -> Resampling | None:
        factors = self._factors()
        if factors is None:
            return None
        if any(not 0.01 <= factor <= 100 for factor in factors):
            raise SettingsError(
                f"The image would be scaled by {_list(factors)} to the model's pixels.",
                "Correct the pixel size, the diameter or the scale.",
            )
        resampling = plan_resampling(self.plan.spatial_shape, factors)
        if resampling is not None:
            self.notes.append(
                f"The image is scaled by {_list(factors)} to the model's pixel size, "
                "and the probabilities are scaled back."
            )
        return resampling

    def _factors(self) -> tuple[float, ...] | None:
        options, ndim = self.options, self.recipe.architecture.ndim
        for name in ("scale", "diameter"):
            value = getattr(options, name)
            if value is not None and not value > 0:
                raise SettingsError(f"{name} = {value} is not positive.", "Correct it.")
        if options.scale is not None:
            return (options.scale,) * ndim
        if options.diameter is not None:
            if self.recipe.diameter is None:
                raise SettingsError(
                    "The model does not know the diameter of its objects.",
                    "Give the scale directly instead of a diameter.",
                )
            return (self.recipe.diameter / options.diameter,) * ndim
        sizes = spatial_pixel_size(options.pixel_size, self.plan.spatial)
        if sizes is None or self.recipe.pixel_size is None:
            return None
        pairs = zip(sizes, self.recipe.pixel_size, strict=True)
        return tuple(image / model for image, model in pairs)

    def _grid(self) -> Grid:
        tiling, geometry = self.options.tiling, self.model.geometry
        shape = self._network_shape()
        if tiling.tile:
            tile = uniform_tile(tiling.tile, len(shape))
        else:
            tile = choose_tile(
                shape,
                geometry,
                bytes_per_pixel=self.model.bytes_per_pixel,
                memory_budget=tiling.memory_budget,
            )
        return make_grid(shape, tile, geometry, border=tiling.border)

    def _network_shape(self) -> tuple[int, ...]:
        if self.resampling is None:
            return self.plan.spatial_shape
        return resampled_shape(self.resampling)

    # -- reading ----------------------------------------------------------------

    def _raw_reader(self, sample: Mapping[str, int]) -> Reader:
        def read(region: Region) -> Array:
            with self.lock:
                pixels = self.plan.read(self.image, sample, region)
            return self.channels.apply(pixels)

        return read

    def _measure(self, samples: list[dict[str, int]]) -> IntensityRange:
        chunks = getattr(self.image, "chunks", None)
        by_axis = dict(zip(self.plan.axes, chunks or (), strict=False))
        sizes = [_chunk_size(by_axis.get(a, 1)) for a in self.plan.spatial]
        return measure_intensity(
            map(self._raw_reader, samples),
            self.plan.spatial_shape,
            self.image.dtype,
            self.normalization,
            chunks=tuple(map(min, sizes, self.plan.spatial_shape)),
        )

    def _measure_all(self, samples: list[dict[str, int]]) -> list[IntensityRange]:
        """Measure per frame: all slices of one T together, or all frames jointly."""
        if self.normalization.joint_frames:
            return [self._measure(samples)] * len(samples)
        frames: dict[int, list[dict[str, int]]] = {}
        for sample in samples:
            frames.setdefault(sample.get("T", 0), []).append(sample)
        measured = {frame: self._measure(members) for frame, members in frames.items()}
        return [measured[sample.get("T", 0)] for sample in samples]

    def _reader(self, sample: Mapping[str, int], intensity: IntensityRange) -> Reader:
        raw = self._raw_reader(sample)
        if self.resampling is not None:
            raw = resampled_reader(raw, self.resampling)

        def read(region: Region) -> Array:
            return intensity.apply(raw(region), self.normalization)

        return read

    # -- work -------------------------------------------------------------------

    def run(self) -> Generator[Event, None, Segmentation]:
        dependent = self.model.tile_dependent_layers
        grid = self._grid()
        if dependent and len(grid.tiles) > 1:
            self.notes.append(
                "The result depends on the tiling, which is blended: "
                f"{len(dependent)} layer(s) normalise or interpolate by the tile, "
                f"such as {dependent[0]}."
            )
        samples = list(self.plan.samples())
        labels = np.zeros(self.plan.labels_shape, np.int32)
        probabilities = np.zeros(
            (len(self.recipe.channels), *self.plan.labels_shape),
            self.options.prediction.stored,
        )
        yield Started(len(grid.tiles) * len(samples), probabilities, labels)
        for text in self.notes:
            yield Note(text)
        self.ranges = self._measure_all(samples)
        yield from self._note_invalid()
        for index, sample in enumerate(samples):
            target = self.plan.probabilities_view(probabilities, sample)
            reader = self._reader(sample, self.ranges[index])
            position = index, len(samples)
            grid = yield from self._predict(reader, grid, target, position)
            names = self.recipe.channels
            separated = _separate_sample(target, names, self.separation)
            self.plan.labels_view(labels, sample)[...] = separated
            yield SampleDone(index + 1, len(samples))
        if self.separation.link:
            labels[...] = link(labels, self.plan, self.separation)
        return self._result(labels, probabilities, grid)

    def _predict(
        self, reader: Reader, grid: Grid, target: Array, position: tuple[int, int]
    ) -> Generator[Event, None, Grid]:
        """Predict one sample; restart it with smaller tiles if memory runs out."""
        predictor = self.model.predictor(self.options.prediction, self.device)
        workers = self.options.workers or default_workers(self.device)
        blend = self.model.geometry if self.model.tile_dependent_layers else None
        index, n_samples = position
        out = target
        if self.resampling is not None:
            out = np.empty((len(target), *grid.shape), target.dtype)
        while True:
            try:
                for event in iter_predict(
                    predictor, reader, grid, out, workers=workers, blend=blend
                ):
                    done = index * len(grid.tiles) + event.n_done
                    yield TileDone(event.tile, done, n_samples * len(grid.tiles))
                break
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                grid = self._smaller(grid)
            release_memory(self.device)
            text = f"The device's memory is full: restarted with tiles of {grid.tile}."
            self.notes.append(text)
            yield Note(text)
        if self.resampling is not None:
            target[...] = resample_stored(out, inverse(self.resampling))
        return grid

    def _smaller(self, grid: Grid) -> Grid:
        geometry = self.model.geometry
        longest = max(range(len(grid.tile)), key=lambda axis: grid.tile[axis])
        tile = list(grid.tile)
        tile[longest] //= 2
        if tile[longest] < geometry[longest].divisor:
            raise DeviceError(
                f"The memory of {self.device} is too small for any tile.",
                "Close other programs that use it, or choose the device cpu.",
            )
        border = self.options.tiling.border
        return make_grid(grid.shape, tuple(tile), geometry, border=border)

    def _note_invalid(self) -> Generator[Event, None, None]:
        n_invalid = sum({id(r): r.n_invalid for r in self.ranges}.values())
        if n_invalid:
            text = (
                f"{n_invalid} pixel(s) are NaN or infinite: taken as the darkest and "
                "brightest values."
            )
            self.notes.append(text)
            yield Note(text)

    def _result(
        self, labels: npt.NDArray[np.int32], probabilities: Array, grid: Grid
    ) -> Segmentation:
        return Segmentation(
            labels=labels,
            probabilities=probabilities,
            channels=self.recipe.channels,
            axes=self.plan.labels_axes,
            spatial=self.plan.spatial,
            separation=self.separation,
            notes=tuple(self.notes),
            provenance=self._provenance(grid),
        )

    def _provenance(self, grid: Grid) -> dict[str, Any]:
        return {
            "model": {"name": self.recipe.name, "sha256": self.model.sha256},
            "axes": self.plan.axes,
            "channels": list(self.channels.picked),
            "tile": list(grid.tile),
            "tiling": self.options.tiling.model_dump(),
            "prediction": self.options.prediction.model_dump(),
            "normalization": self.normalization.model_dump(),
            "intensity": [[list(r.low), list(r.high)] for r in self.ranges],
            "resampled_shape": list(grid.shape) if self.resampling else None,
            "separation": self.separation.model_dump(),
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            "versions": {
                "napari-unet-cells": version("napari-unet-cells"),
                "torch": torch.__version__,
                "numpy": np.__version__,
            },
            "notes": list(self.notes),
        }


def default_workers(device: torch.device) -> int:
    """Return how many tiles are computed at once; see docs/decisions."""
    return 1 if device.type == "cpu" else 2


def spatial_pixel_size(
    pixel_size: PixelSize | None, spatial: str
) -> tuple[float, ...] | None:
    """Return micrometres per pixel for the axes of `spatial`; None if not all known.

    Raises
    ------
    SettingsError
        If a size is not positive, or their number fits neither YX nor ZYX.
    """
    if pixel_size is None:
        return None
    if isinstance(pixel_size, Mapping):
        sizes = tuple(pixel_size.get(axis) for axis in spatial)
        if None in sizes:
            return None
    elif isinstance(pixel_size, Sequence):
        if len(pixel_size) < len(spatial) or len(pixel_size) > 3:
            raise SettingsError(
                f"{len(pixel_size)} pixel sizes were given for the axes {spatial}.",
                "Give one per spatial axis, in the order Z, Y, X.",
            )
        sizes = tuple(pixel_size)[-len(spatial) :]
    else:
        sizes = (pixel_size,) * len(spatial)
    known = tuple(float(size) for size in sizes if size is not None)
    if not all(np.isfinite(size) and size > 0 for size in known):
        raise SettingsError(
            f"The pixel size {known} is not positive.", "Correct it, in micrometres."
        )
    return known


def _looks_rgb(image: ArrayLike) -> bool:
    shape = image.shape
    return len(shape) == 3 and shape[-1] in (3, 4) and image.dtype == np.uint8


def _chunk_size(chunk: int | tuple[int, ...]) -> int:
    return chunk if isinstance(chunk, int) else max(chunk)


def _list(factors: Sequence[float]) -> str:
    return " x ".join(f"{factor:.3g}" for factor in factors)
