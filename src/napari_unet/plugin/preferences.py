"""Preferences: napari's page of this plugin, as one value."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_unet.engine.client import Compute
from napari_unet.errors import SettingsError
from napari_unet.plugin.paths import files_in, is_folder

PLUGIN = "napari-unet-cells"
N_RECENT = 8
DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")


@dataclass(frozen=True)
class Preferences:
    """What a user chose once for all images.

    Parameters
    ----------
    device
        As in `Options`.
    memory_budget
        Bytes for one tile.
    compute
        Where work runs.
    model_folder
        Folder with the user's own checkpoints; empty: none.
    recent
        Checkpoints that were opened last, newest first.
    """

    device: str
    memory_budget: int
    compute: Compute
    model_folder: str
    recent: tuple[str, ...]


def read_preferences() -> Preferences:
    """Return what stands on the preferences page now."""
    page = _page()
    where = page.compute
    return Preferences(
        device=where.device.strip() or "auto",
        memory_budget=int(where.memory_gib * 2**30),
        compute=Compute(
            where.address.strip(), where.ca_file, where.cert_file, where.key_file
        ),
        model_folder=_expanded(page.models.folder.strip()),
        recent=tuple(line for line in page.models.recent.split("\n") if line),
    )


def remember(checkpoint: str) -> None:
    """Put a checkpoint in front of the recent ones."""
    models = models_page()
    others = [
        line for line in models.recent.split("\n") if line not in ("", checkpoint)
    ]
    models.recent = "\n".join([checkpoint, *others[: N_RECENT - 1]])


def own_models() -> tuple[str, ...]:
    """Return the checkpoints in the user's folder, by name."""
    folder = read_preferences().model_folder
    found = files_in(folder) if folder else []
    suffixes = (".safetensors", ".pt", ".pth", ".zip")
    return tuple(str(path) for path in found if path.suffix.lower() in suffixes)


def check_device_name() -> None:
    """Raise if the device of the preferences is none that any machine has.

    Raises
    ------
    SettingsError
        With what to choose.
    """
    device = read_preferences().device
    kind, colon, number = device.partition(":")
    if kind not in DEVICES or (colon and not number.isdecimal()):
        raise SettingsError(
            f"There is no device {device!r}.",
            "Choose auto, cpu, cuda, cuda:1, mps or xpu in Preferences.",
        )


def folder_note() -> str:
    """Return what to know of the model folder; empty if it is there, or none is."""
    folder = read_preferences().model_folder
    if not folder or is_folder(folder):
        return ""
    return f"The model folder {folder} does not exist. Choose another in Preferences."


def page_parts() -> tuple[Any, Any]:
    """Return the parts of the page, whose events tell of changes."""
    page = _page()
    return page.compute, page.models


def models_page() -> Any:
    """Return the part of the page that holds what is known of checkpoints."""
    return _page().models


def _expanded(folder: str) -> str:
    """Return a folder with ``~`` written out, where the system knows a home."""
    with contextlib.suppress(RuntimeError):
        return str(Path(folder).expanduser()) if folder else ""
    return folder


def _page() -> Any:
    from napari.settings import get_plugin_settings

    return get_plugin_settings(PLUGIN)
