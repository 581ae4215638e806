"""Script: a labels layer as a Python program that makes the same labels again."""

from __future__ import annotations

import contextlib
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import SettingsError, UNetError
from napari_unet.plugin.hand_edits import KEY, is_edited
from napari_unet.settings import (
    Normalization,
    Prediction,
    Separation,
    Settings,
    Tiling,
)

if TYPE_CHECKING:
    from napari.layers import Image, Layer

SAMPLES = {
    "touching_nuclei": "touching_nuclei",
    "nuclei_3d": "nuclei_3d",
    "nuclei_series": "nuclei_series",
}

CORRECTED = "These labels were corrected by hand, which this script does not do."
CORRECTED_COMMENT = (f"# {CORRECTED}", "")
CORRECTED_PRINT = (f'print("{CORRECTED}")',)
RESTARTED = (
    "# The device's memory was full, and smaller tiles than these made the labels in",
    "# napari: with enough memory the last digits of probabilities may differ.",
    "",
)


def origin_of(layer: Image) -> dict[str, Any]:
    """Return where a layer's pixels come from, as far as napari knows."""
    source = layer.source
    if source.sample:
        return {"sample": list(source.sample)}
    if source.path:
        return {"path": str(source.path)}
    return {}


def as_python(layer: Layer, source: Image | None = None) -> str:
    """Return a script that makes the labels of `layer` again, without a viewer.

    Of labels that were corrected by hand it makes what they were before, and says so.

    Parameters
    ----------
    layer
        The labels.
    source
        The image they were made of, if it is there: the script reads its file only
        where that gives the same pixels.

    Raises
    ------
    SettingsError
        If the layer was not made by this plugin, or its run is not finished.
    """
    made = layer.metadata.get(KEY, {})
    if "tile" not in made:
        raise SettingsError(
            f"The layer {layer.name} does not say how it was made.",
            "Choose a labels layer that the Segment widget has finished.",
        )
    if "source_of_model" not in made:
        raise SettingsError(
            f"{layer.name} lies in a file; a script would have to write it again.",
            "Use napari_unet.segment_to, or napari-unet segment in a shell.",
        )
    origin = made.get("origin", {})
    if source is not None and "path" in origin and not is_read_as(source, origin):
        made = {**made, "origin": {"other_path": origin["path"]}}
    return script_of(made, corrected=is_edited(layer))


def copied_note(layer: Layer) -> str:
    """Return what to tell who has copied the script of a layer."""
    if is_edited(layer):
        return "Copied: a script that makes these labels without corrections by hand."
    if is_restarted(layer.metadata[KEY]):
        return (
            "Copied: a script that makes nearly these labels. They took smaller tiles "
            "than planned, since memory was full."
        )
    return "Copied: a script that makes exactly these labels."


def is_restarted(made: dict[str, Any]) -> bool:
    """Whether a region was made with smaller tiles than those it is separated in."""
    planned = made.get("planned_tile", made["tile"])
    return made["region"] is not None and planned != made["tile"]


def is_read_as(layer: Image, origin: dict[str, Any]) -> bool:
    """Whether `read_image` gives the pixels of a layer; one line of them is compared.

    A reader may have split channels, chosen a series or turned axes round.
    """
    from napari_unet.io.images import read_image

    data = layer.data[0] if layer.multiscale else layer.data
    dtype = np.dtype(data.dtype).newbyteorder("=")
    try:
        with contextlib.closing(read_image(origin["path"])) as found:
            if (found.shape, found.dtype) != (tuple(data.shape), dtype):
                return False
            line = tuple(slice(n // 2, n // 2 + 1) for n in found.shape[:-1])
            one, other = np.asarray(found.data[*line, :]), np.asarray(data[*line, :])
            return bool(np.array_equal(one, other))
    except UNetError:
        return False


def copy_text(text: str) -> None:
    """Put text on the clipboard, where there is one."""
    from qtpy.QtWidgets import QApplication

    clipboard = QApplication.clipboard()
    if clipboard is not None:
        clipboard.setText(text)


def script_of(made: dict[str, Any], *, corrected: bool = False) -> str:
    """Return the script for a layer's provenance.

    Parameters
    ----------
    made
        From the layer's metadata.
    corrected
        Whether the layer was changed by hand since.
    """
    version = made["versions"]["napari-unet-cells"]
    lines = [
        f'"""Labels of {made["source"]}, as U-Net Cells {version} made them."""',
        "",
        *CORRECTED_COMMENT * corrected,
        *RESTARTED * is_restarted(made),
        *_imports(made.get("origin", {})),
        "",
        f"image = {_reading(made.get('origin', {}))}",
        f"model = nu.load_model({_loading(made)})",
        f"if model.sha256 != {made['model']['sha256']!r}:",
        '    raise SystemExit("This is another model than in napari.")',
        "",
        "seg = nu.segment(",
        "    image,",
        "    model,",
        *(f"    {name}={code}," for name, code in _options(made).items()),
        ")",
        "labels = seg.labels",
        'print(f"{labels.max()} objects")',
        *CORRECTED_PRINT * corrected,
        "",
    ]
    return "\n".join(lines)


def _loading(made: dict[str, Any]) -> str:
    """Return the arguments that load the same model as napari did."""
    given = [repr(made["source_of_model"])]
    given += ["trust=True"] * bool(made.get("trust"))
    given += [f"choices={choices!r}" for choices in [made.get("choices")] if choices]
    return ", ".join(given)


def _imports(origin: dict[str, Any]) -> list[str]:
    if _is_own_sample(origin):
        name = SAMPLES[origin["sample"][1]]
        where = "napari_unet.plugin.sample_data"
        return ["import napari_unet as nu", f"from {where} import {name}"]
    return ["import napari_unet as nu", "from napari_unet.io.images import read_image"]


def _reading(origin: dict[str, Any]) -> str:
    if _is_own_sample(origin):
        return f"{SAMPLES[origin['sample'][1]]}()[0][0]"
    if "path" in origin:
        return f"read_image({Path(origin['path']).as_posix()!r}).data"
    note = "the layer had no file"
    if "other_path" in origin:
        note = f"{Path(origin['other_path']).name} was read in another way"
    return f"read_image('image.tif').data  # {note}: name it here"


def _is_own_sample(origin: dict[str, Any]) -> bool:
    sample = origin.get("sample") or ["", ""]
    return sample[0] == "napari-unet-cells" and sample[1] in SAMPLES


def _options(made: dict[str, Any]) -> dict[str, str]:
    tile = made["planned_tile" if is_restarted(made) else "tile"]
    tiling = Tiling.parse({**made["tiling"], "tile": tuple(tile)})
    options = {
        "axes": repr(made["axes"]),
        "rgb": repr(made["rgb"]),
        "channels": repr(tuple(made.get("chosen_channels", ())) or None),
        "pixel_size": repr(made["pixel_size"]),
        "diameter": repr(made["diameter"]),
        "region": repr(made["region"]),
        "outline": _wrapped(repr(made.get("outline"))),
        "crop": "True" if made.get("crop") else "None",
        "device": repr(made["device"]),
        "tiling": code_of(tiling),
        "prediction": code_of(Prediction.parse(made["prediction"])),
        "normalization": code_of(Normalization.parse(made["normalization"])),
        "separation": code_of(Separation.parse(made["separation"])),
    }
    return {name: code for name, code in options.items() if code != "None"}


def _wrapped(code: str) -> str:
    """Return the code of nested lists with lines of the usual length."""
    return "\n".join(textwrap.wrap(code, 72, subsequent_indent=" " * 8))


def code_of(settings: Settings) -> str:
    """Return the expression that makes these settings, every field named."""
    fields = [f"{name}={value!r}" for name, value in settings.model_dump().items()]
    name = type(settings).__name__
    short = f"nu.{name}({', '.join(fields)})"
    if len(short) <= 60:
        return short
    body = textwrap.indent(",\n".join(fields) + ",", " " * 8)
    return f"nu.{name}(\n{body}\n    )"
