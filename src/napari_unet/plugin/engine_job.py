"""Engine job: a job on the worker, which stays until the job has ended.

The widget may turn to another worker meanwhile, because the preferences have changed.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from napari_unet.plugin.job import Job, Make
from napari_unet.plugin.shared_engine import hold_engine, return_engine
from napari_unet.plugin.when_destroyed import when_destroyed

if TYPE_CHECKING:
    from napari_unet.engine.client import Engine


class EngineJob(Job):
    """A job that holds its engine; one that is cancelled needs it no more."""

    def __init__(self, parent: QObject | None = None, *, asks: bool = False) -> None:
        super().__init__(parent, asks=asks)
        self.engine: Engine | None = None
        self._user = object()
        when_destroyed(self, functools.partial(return_engine, self._user))
        self.stopped.connect(self._let_go)

    def start_on(self, engine: Engine, make: Make) -> None:
        """Run as `start` does, on an engine that the caller has borrowed."""
        self.start(make)
        self.engine = hold_engine(self._user, engine)

    def cancel(self) -> None:
        """Stop at the next event; what is finished stays."""
        super().cancel()
        self._let_go()

    def _let_go(self) -> None:
        self.engine = None
        return_engine(self._user)
