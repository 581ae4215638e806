"""Measuring on a worker: compiled kernels never enter the viewer's process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from napari_unet.core.measure import Table
    from napari_unet.engine.client import Engine


def measure_on(
    engine: Engine,
    labels: npt.NDArray[Any],
    image: npt.NDArray[Any] | None,
    **how: Any,
) -> Table:
    """Measure as `napari_unet.core.measure.measure_stack` does, on the worker.

    Parameters
    ----------
    engine
        The way to it.
    labels, image, **how
        Its arguments.
    """
    return engine.call(_measure, labels, image, **how)


def _measure(
    labels: npt.NDArray[Any],
    image: npt.NDArray[Any] | None,
    *,
    axes: str,
    spatial_axes: str,
    pixel_size: Sequence[float] | None,
) -> Table:
    from napari_unet.core.measure import measure_stack

    return measure_stack(
        labels, image, axes=axes, spatial_axes=spatial_axes, pixel_size=pixel_size
    )
