"""Place: where the work of a command runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from napari_unet.errors import SettingsError
from napari_unet.settings import Settings

if TYPE_CHECKING:
    from napari_unet.engine.cluster import Cluster


class Place(Settings):
    """Where the work runs; its fields are flags."""

    workers: int = Field(
        0, ge=0, description="Processes on this machine, one per GPU; 0: this one."
    )
    scheduler: str = Field(
        "", description="Address of a dask scheduler: tls://host:8786."
    )
    block: int = Field(
        0, ge=0, description="OUT.zarr: pixels per axis of a block; 0: chosen."
    )

    @property
    def is_here(self) -> bool:
        """Whether nothing has to be started or reached."""
        return not (self.workers or self.scheduler)

    def cluster(self) -> Cluster:
        """Start or reach the workers; close it to end what was started."""
        from napari_unet.engine.cluster import connect
        from napari_unet.engine.local_workers import local_workers

        if self.workers and self.scheduler:
            raise SettingsError(
                "--workers and --scheduler exclude each other.", "Give one of the two."
            )
        return (
            connect(self.scheduler) if self.scheduler else local_workers(self.workers)
        )
