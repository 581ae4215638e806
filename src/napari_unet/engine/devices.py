"""Devices of a run: all of one kind, since another kind may round otherwise.

The worker that computes first writes down its kind; the others, and those of a resumed
run, must be alike. What takes no network runs anywhere.
"""

from __future__ import annotations

from napari_unet.engine.job import Job
from napari_unet.engine.records import Records, as_text, from_text
from napari_unet.errors import ImageFileError
from napari_unet.pipeline.local import LocalBackend

STEP = "device"


def open_backend(job: Job, records: Records) -> LocalBackend:
    """Return what runs the network here.

    Parameters
    ----------
    job
        What was asked for.
    records
        Of the whole image.

    Raises
    ------
    DeviceError
        If there is no such device.
    ImageFileError
        If the run was begun on another kind of device.
    """
    backend = LocalBackend(job.model, job.options.device)
    kind = backend.device.type
    if not records.has(STEP, 0):
        records.write(STEP, 0, {"kind": from_text(kind)})
    before = as_text(records.read(STEP, 0)["kind"])
    if before != kind:
        raise ImageFileError(
            f"{job.output.name} was begun with a device of kind {before}, and this is "
            f"{kind}: labels could differ.",
            f"Give --device {before}, or start afresh with --overwrite.",
        )
    return backend
