"""Public images: scikit-image's, downloaded on demand, with its hashes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_unet.errors import ImageFileError


def public_image(name: str) -> Any:
    """Return an image of `skimage.data`; the window lives on while it is downloaded.

    Parameters
    ----------
    name
        Of the function there.

    Raises
    ------
    ImageFileError
        If it is not here yet and cannot be downloaded.
    """
    return _aside(lambda: _read(name))


def _read(name: str) -> Any:
    """Read the image, from the cache where it is there."""
    import skimage.data

    try:
        return getattr(skimage.data, name)()
    except (OSError, ValueError, ModuleNotFoundError) as error:
        reason = str(error).strip().split("\n")[0].split(". ")[0].rstrip(".")
        raise ImageFileError(
            f"The public image {name} could not be downloaded: {reason}.",
            "Connect to the internet and try again, or open a simulated sample.",
        ) from None


def _aside(read: Callable[[], Any]) -> Any:
    """Call a function in another thread, with the window alive until it returns."""
    from qtpy.QtCore import QEventLoop
    from qtpy.QtWidgets import QApplication

    from napari_unet.plugin.job import Job, once

    app = QApplication.instance()
    if app is None:
        return read()
    job, loop = Job(), QEventLoop()
    said: list[Any] = []
    job.done.connect(said.append)
    job.failed.connect(said.append)
    job.stopped.connect(loop.quit)
    app.aboutToQuit.connect(loop.quit)
    job.start(once(read))
    loop.exec()
    if not said:
        raise ImageFileError("The download was left.", "Open the sample again.")
    if isinstance(said[0], Exception):
        raise said[0]
    return said[0]
