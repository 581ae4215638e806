"""Segmenting: image and model in, labels out, all in this process."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from napari_unet.core.axes import ArrayLike
from napari_unet.core.events import Event, exhaust
from napari_unet.nn.checkpoint import Model, load_model
from napari_unet.pipeline.local import LocalBackend
from napari_unet.pipeline.options import parse_options
from napari_unet.pipeline.plan import make_plan
from napari_unet.pipeline.result import Segmentation
from napari_unet.pipeline.running import run


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
    return exhaust(iter_segment(image, model, **options))


def iter_segment(
    image: ArrayLike | Sequence[ArrayLike], model: Model | str | Path, **options: Any
) -> Generator[Event, None, Segmentation]:
    """Segment as `segment` does, yielding progress events; close it to cancel.

    What does not fit is refused at once, before the first event. The arrays in the
    first event, `Started`, are filled as the work goes on; what is finished when the
    job is closed stays in them.
    """
    parsed = parse_options(options)
    loaded = model if isinstance(model, Model) else load_model(model)
    plan = make_plan(image, loaded, parsed)
    return run(plan, LocalBackend(loaded, parsed.device))
