"""Large run: an image on disk, segmented into labels on disk while they are looked at.

The labels layer is the file itself: blocks appear as they are finished, those in view
first; labels of the whole image take their place at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog

from napari_unet.core.axes import AXES
from napari_unet.engine.large import iter_large
from napari_unet.engine.large_order import LargeOrder, LargeResult
from napari_unet.engine.output import SUFFIX, Progress
from napari_unet.io.lazy import LazyArray
from napari_unet.io.names import stem
from napari_unet.plugin.job import Job
from napari_unet.plugin.layers import KEY, output_name, put_layer
from napari_unet.plugin.outputs import CELLS, OPACITY
from napari_unet.plugin.view import visible_region

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_unet.plugin.segment_run import Order

# A cancelled run waits for the block in work; labels do not depend on its size.
BLOCK = {2: 1024, 3: 128}

# The step that takes the time; those after it are over in a moment.
LONG_STEPS = ("network", "survey", "classes", "whole")


class LargeRun(QObject):
    """Carries out an order from disk to disk.

    `progress` carries blocks done and all blocks; `finished` a `LargeResult`; `stopped`
    comes last, after `cancel` too.

    Parameters
    ----------
    viewer
        napari's.
    parent
        Owner.
    ask
        Suggested path -> where the labels go; None: nowhere, and nothing is done.
    """

    progress = Signal(int, int)
    finished = Signal(object)
    failed = Signal(object)
    stopped = Signal()

    def __init__(
        self,
        viewer: Any,
        parent: QObject | None = None,
        ask: Callable[[Path], Path | None] | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self.ask = viewer, ask or ask_where
        self.labels: Labels | None = None
        self._order: Any = None
        self._target = Path()
        self._view: Any = None
        self._job = Job(self, asks=True)
        self._job.event.connect(self._on_progress)
        self._job.done.connect(self._on_done)
        self._job.failed.connect(self.failed)
        self._job.stopped.connect(self.stopped)

    @property
    def is_running(self) -> bool:
        """Whether blocks are being computed."""
        return self._job.is_running

    def start(self, order: Order) -> bool:
        """Ask where the labels go, and run; return False if nowhere."""
        target = self.ask(suggested(order.source))
        if target is None:
            return False
        plan: Any = order.plan
        self._order, self._target, self.labels = order, target, None
        self._look()
        options = {k: v for k, v in vars(plan.options).items() if k != "region"}
        asked = LargeOrder(
            image=plan.image,
            out=target,
            model=plan.model.source,
            trust=plan.model.trust,
            choices=plan.model.choices,
            block=BLOCK[len(plan.axes.spatial)],
            options=options,
        )
        self._job.start(lambda: iter_large(order.engine, asked, lambda: self._view))
        return True

    def cancel(self) -> None:
        """Stop after the block in work; what is finished stays, and is gone on with."""
        self._job.cancel()

    def _look(self) -> None:
        """Note what is looked at, for the thread that asks."""
        axes, order = self._order.plan.axes.axes, self._order
        self._view = visible_region(self._viewer, order.source, axes)

    def _on_progress(self, event: Progress) -> None:
        self._look()
        if self.labels is None:
            path = self._target.with_name(self._target.name + SUFFIX)
            self._show(path if path.is_dir() else self._target)
        if event.step in LONG_STEPS:
            self.progress.emit(event.n_done, event.total)
        if self.labels is not None and self.labels in self._viewer.layers:
            self.labels.refresh(extent=False, thumbnail=False)

    def _on_done(self, result: LargeResult) -> None:
        self._show(result.path, **result.provenance)
        self.finished.emit(result)

    def _show(self, path: Path, **provenance: Any) -> None:
        """Show the labels in a file, in the layer of an earlier run if there is one."""
        axes, source = self._order.plan.axes, self._order.source
        levels = read_levels(path, axes.labels_axes)
        data: Any = levels if len(levels) > 1 else levels[0]
        made = {"output": CELLS, "path": str(path)}
        layer: Any = put_layer(
            self._viewer,
            "labels",
            data,
            source=source,
            multiscale=len(levels) > 1,
            name=output_name(source.name, CELLS),
            opacity=OPACITY,
            metadata={KEY: {**made, **provenance}},
            axes=axes.axes,
        )
        self.labels = layer


def suggested(source: Image) -> Path:
    """Return where the labels of a layer could go: beside its file."""
    path = Path(source.source.path) if source.source.path else Path.home() / source.name
    return path.with_name(f"{stem(path)}-{CELLS}.zarr")


def ask_where(suggestion: Path) -> Path | None:
    """Ask for the OME-Zarr that the labels go to."""
    title = "Labels of this image go to disk: to which OME-Zarr?"
    name, _ = QFileDialog.getSaveFileName(
        None,
        title,
        str(suggestion),
        "OME-Zarr (*.zarr)",
        options=QFileDialog.Option.DontConfirmOverwrite,
    )
    if not name or name.endswith(".zarr"):
        return Path(name) if name else None
    return Path(f"{name}.zarr")


def read_levels(path: Path, axes: str) -> list[Any]:
    """Return the labels in an output, level by level, read when they are drawn.

    Parameters
    ----------
    path
        The OME-Zarr group, finished or not.
    axes
        In the order that is wanted; stored they are T, Z, Y, X.
    """
    import zarr  # takes half of what the window may take to open

    group = zarr.open_group(path / "labels" / CELLS, mode="r")
    names = sorted((name for name, _ in group.arrays()), key=int)
    order = tuple("".join(a for a in AXES if a in axes).index(a) for a in axes)
    return [LazyArray(group[name], order, name=path.name) for name in names]
