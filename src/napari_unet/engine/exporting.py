"""Export on the worker: the window does not wait, and torch stays where it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.engine import worker_tasks
from napari_unet.errors import WorkerError
from napari_unet.settings import Credits

if TYPE_CHECKING:
    from napari_unet.engine.client import Engine
    from napari_unet.nn.formats.bioimageio_export import Export
    from napari_unet.pipeline.model_card import ModelCard


def export_package(
    engine: Engine,
    card: ModelCard,
    out: str | Path,
    credits: Credits,  # noqa: A002  (the word of the format)
    *,
    overwrite: bool = False,
) -> Export:
    """Export a model as `napari_unet.export_model` does, with the work on the worker.

    Raises
    ------
    WorkerError
        If that is another machine: the package would be written there.
    UNetError
        As `napari_unet.export_model`.
    """
    if engine.compute.address:
        raise WorkerError(
            "The package would be written on the machine that computes.",
            "Clear the compute address in the preferences.",
        )
    return engine.call(_export, card, str(out), credits, overwrite=overwrite)


def _export(
    card: ModelCard,
    out: str,
    credits: Credits,  # noqa: A002
    *,
    overwrite: bool,
) -> Export:
    from napari_unet.nn.formats.bioimageio_export import export_model

    model = worker_tasks.load_same(
        card.source, card.sha256, trust=card.trust, choices=card.choices
    )
    return export_model(model, out, credits=credits, overwrite=overwrite)
