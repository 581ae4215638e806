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

    def check(self, *, single: bool, large: bool) -> None:
        """Refuse flags that would do nothing.

        Parameters
        ----------
        single
            Whether one image leads to one file.
        large
            Whether that is OME-Zarr.

        Raises
        ------
        SettingsError
            Naming the flags.
        """
        given = [f"--{name}" for name in type(self).model_fields if getattr(self, name)]
        if single and given and not large:
            raise SettingsError(
                f"{' and '.join(given)} would do nothing: one image is done block by "
                "block only for an OUT that ends with .zarr.",
                "Name such an OUT, or leave them out.",
            )
        if not single and self.block:
            raise SettingsError(
                "--block would do nothing: of several images, each is done as a whole.",
                "Leave it out.",
            )

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
