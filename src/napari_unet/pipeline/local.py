"""Local: the backend that runs in this process, with torch and the watershed in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy.typing as npt
import torch

from napari_unet.core.events import TileDone
from napari_unet.core.normalize import Reader
from napari_unet.core.tiling import Grid
from napari_unet.errors import DeviceFullError
from napari_unet.nn.checkpoint import Model
from napari_unet.nn.device import choose_device, is_out_of_memory, release_memory
from napari_unet.nn.predict import iter_predict
from napari_unet.pipeline.plan import Plan
from napari_unet.pipeline.separating import separate_sample

Array = npt.NDArray[Any]


class LocalBackend:
    """Runs a model on a device of this machine.

    Parameters
    ----------
    model
        From `load_model`.
    device
        As in `Options`.

    Raises
    ------
    DeviceError
        If there is no such device.
    """

    # The watershed of one sample; the worker's backend has it elsewhere.
    separate = staticmethod(separate_sample)

    def __init__(self, model: Model, device: str = "auto") -> None:
        self.model = model
        self.device = choose_device(device)

    def predict(
        self, plan: Plan, reader: Reader, grid: Grid, out: Array
    ) -> Iterator[TileDone]:
        """Fill `out` with the grid's tiles in their order; raise `DeviceFullError`."""
        try:
            yield from iter_predict(
                self.model.predictor(plan.options.prediction, self.device),
                reader,
                grid,
                out,
                workers=plan.options.workers or default_workers(self.device),
                blend=self.model.geometry if self.model.tile_dependent_layers else None,
            )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            release_memory(self.device)
            raise full_memory(self.device) from None

    def facts(self) -> dict[str, Any]:
        """Return device, threads and versions, for the provenance."""
        return device_facts(self.device)


def full_memory(device: torch.device) -> DeviceFullError:
    """Return the error that says that `device` is full."""
    return DeviceFullError(
        f"The memory of {device} is full.",
        "Close other programs that use it, or choose smaller tiles.",
    )


def device_facts(device: torch.device) -> dict[str, Any]:
    """Return what of device and torch an answer may depend on."""
    return {
        "device": str(device),
        "threads": torch.get_num_threads(),
        "versions": {"torch": str(torch.__version__)},  # its class would need torch
    }


def default_workers(device: torch.device) -> int:
    """Return how many tiles are computed at once; see docs/decisions."""
    return 1 if device.type == "cpu" else 2
