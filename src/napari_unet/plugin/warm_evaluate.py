"""Warm evaluate: what scoring needs is started while the user still looks around."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from napari_unet.engine.measuring import warm_up
from napari_unet.plugin.engine_job import EngineJob
from napari_unet.plugin.error_view import warm_colours
from napari_unet.plugin.job import Job, once
from napari_unet.plugin.layers import full_pixels
from napari_unet.plugin.preferences import read_preferences

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_unet.engine.client import Engine


class WarmEvaluate(QObject):
    """Starts the worker, and loads aside what the window needs to show errors.

    If that fails nothing is said: whoever presses a button is told the reason.

    Parameters
    ----------
    borrow
        Returns the engine for the user of this; called in the window's thread.
    parent
        Owner.
    """

    def __init__(
        self, borrow: Callable[[], Engine], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._borrow, self._begun = borrow, False
        self._page, self._worker, self._colours = Job(self), EngineJob(self), Job(self)
        self._page.done.connect(self._start)

    @property
    def is_busy(self) -> bool:
        """Whether it is still at work."""
        jobs = (self._page, self._worker, self._colours)
        return any(job.is_running for job in jobs)

    def begin(self, *layers: Labels) -> None:
        """Get ready to compare layers; only the first of several calls counts."""
        if self._begun:
            return
        self._begun = True
        pixels = [full_pixels(layer) for layer in layers]
        self._colours.start(once(lambda: warm_colours(*pixels)))
        # For the first of them napari reads the manifests of all plugins.
        self._page.start(once(read_preferences))

    def cancel(self) -> None:
        """Forget it, until it is begun again."""
        self._begun = False
        for job in (self._page, self._worker, self._colours):
            job.cancel()

    def _start(self) -> None:
        engine = self._borrow()
        self._worker.start_on(engine, once(lambda: engine.start(warm_up)))
