"""Whether the extra `bioimageio` is there and can work."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from napari_unet.errors import CheckpointError

# Where this package writes its recipe in a description, under `config`.
CONFIG_KEY = "napari_unet"
INSTALL = "Install it: pip install -U 'napari-unet-cells[bioimageio]'."
# From this pydantic on, descriptions are only read from this bioimageio.spec on.
NEW_PYDANTIC, NEW_SPEC = (2, 14), (0, 5, 14, 3)


def require_bioimageio() -> None:
    """Raise `CheckpointError` if bioimageio.core is not installed or cannot work.

    Reading the versions imports neither: that takes seconds.
    """
    for name in ("bioimageio.spec", "bioimageio.core"):
        if not _version(name):
            raise CheckpointError(f"This needs {name}, which is not there.", INSTALL)
    if _version("pydantic") >= NEW_PYDANTIC and _version("bioimageio.spec") < NEW_SPEC:
        raise CheckpointError(
            "The installed bioimageio.spec does not work with the installed pydantic.",
            "Install an older one: pip install 'pydantic<2.14'.",
        )


def _version(name: str) -> tuple[int, ...]:
    """Return a version as numbers; empty if there is none."""
    try:
        return tuple(int(part) for part in re.findall(r"\d+", version(name)))
    except PackageNotFoundError:
        return ()
