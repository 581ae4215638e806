"""What a TIFF file says beside its pixels: pixel size, channel names, provenance.

OME-XML is asked first, then ImageJ's description, the scanner's, and last the
resolution tags, which are believed only if they are not those of a printer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import tifffile

from napari_unet.io.units import is_print_resolution, micrometres

NAMESPACE = "napari-unet"
_UNIT_OF_TAG = {2: "inch", 3: "cm", 4: "mm", 5: "um"}
_MPP = re.compile(r"\bMPP\s*=\s*([0-9.]+)")


def describe(
    file: tifffile.TiffFile, series: tifffile.TiffPageSeries, *, index: int
) -> dict[str, Any]:
    """Return the arguments of `Found` that describe one series.

    Returns
    -------
    dict
        ``pixel_size`` (micrometres by axis letter), ``channel_names``, ``recorded``.
    """
    if file.is_ome:
        image = _ome_image(file, series, index)
        return {
            "pixel_size": _ome_size(image),
            "channel_names": _ome_channels(image),
            "recorded": str(our_notes(file).get("axes", "")) if index == 0 else "",
        }
    if file.is_imagej:
        return {"pixel_size": _imagej_size(file, series)}
    return {"pixel_size": _scanner_size(series) or _tag_size(series)}


def our_notes(file: tifffile.TiffFile) -> dict[str, str]:
    """Return the key-value pairs that this package wrote into an OME-TIFF file."""
    structured = _child(_ome(file), "StructuredAnnotations")
    for annotation in _listed(_child(structured, "MapAnnotation")):
        if _child(annotation, "Namespace") == NAMESPACE:
            pairs = _listed(_child(_child(annotation, "Value"), "M"))
            return {str(p.get("K")): str(p.get("value", "")) for p in pairs}
    return {}


def provenance(file: tifffile.TiffFile) -> dict[str, Any] | None:
    """Return the provenance that this package wrote into the file, or None."""
    text = our_notes(file).get("provenance") if file.is_ome else None
    try:
        found = json.loads(text) if text else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _ome(file: tifffile.TiffFile) -> Any:
    try:
        return _child(tifffile.xml2dict(file.ome_metadata or "<OME/>"), "OME")
    except SyntaxError:  # xml.etree's ParseError is one
        return {}


def _ome_image(
    file: tifffile.TiffFile, series: tifffile.TiffPageSeries, index: int
) -> Any:
    """Return the Image element of a series: by position if they match, else by name."""
    images = _listed(_child(_ome(file), "Image"))
    if len(images) != len(file.series):
        named = [image for image in images if image.get("Name") == series.name]
        return named[0] if len(named) == 1 else {}
    return images[index]


def _ome_size(image: Any) -> dict[str, float]:
    pixels = _child(image, "Pixels")
    sizes = {}
    for axis in "ZYX":
        value = _number(_child(pixels, f"PhysicalSize{axis}"))
        unit = _child(pixels, f"PhysicalSize{axis}Unit")
        sizes[axis] = micrometres(value, None if unit is None else str(unit))
    return _known(sizes)


def _ome_channels(image: Any) -> tuple[str, ...]:
    channels = _listed(_child(_child(image, "Pixels"), "Channel"))
    names = [_child(channel, "Name") for channel in channels]
    return () if None in names else tuple(str(name) for name in names)


def _imagej_size(
    file: tifffile.TiffFile, series: tifffile.TiffPageSeries
) -> dict[str, float]:
    """Return the size in ImageJ's unit; without a unit it counts pixels."""
    meta = file.imagej_metadata or {}
    unit = str(meta.get("unit", ""))
    if not unit or micrometres(1.0, unit) is None:
        return {}
    depth = {"Z": micrometres(_number(meta.get("spacing")), unit)}
    return _known({**depth, **_resolution(series, unit)})


def _scanner_size(series: tifffile.TiffPageSeries) -> dict[str, float]:
    """Return the size in an Aperio description; only the full level is that large."""
    match = _MPP.search(series.keyframe.description or "")
    size = micrometres(_number(match.group(1)), "um") if match else None
    return (
        {}
        if size is None or series.name not in ("", "Baseline")
        else ({"Y": size, "X": size})
    )


def _tag_size(series: tifffile.TiffPageSeries) -> dict[str, float]:
    """Return the size of the resolution tags, unless it is that of a printer."""
    tags = series.keyframe.tags
    unit = _UNIT_OF_TAG.get(int(tags.valueof("ResolutionUnit", 1)))
    if unit is None or tags.valueof("XResolution") in (None, (1, 1)):
        return {}
    sizes = _known(_resolution(series, unit))
    return {} if any(map(is_print_resolution, sizes.values())) else sizes


def _resolution(series: tifffile.TiffPageSeries, unit: str) -> dict[str, float | None]:
    """Return the size by axis that the tags give in pixels per `unit`."""
    sizes = {}
    for axis in "YX":
        upper, lower = series.keyframe.tags.valueof(f"{axis}Resolution", (0, 1))
        sizes[axis] = micrometres(lower / upper if upper else 0.0, unit)
    return sizes


def _known(sizes: Mapping[str, float | None]) -> dict[str, float]:
    return {axis: size for axis, size in sizes.items() if size is not None}


def _child(element: Any, name: str) -> Any:
    return element.get(name) if isinstance(element, Mapping) else None


def _listed(found: Any) -> list[Any]:
    every = found if isinstance(found, (list, tuple)) else [found]
    return [item for item in every if isinstance(item, Mapping)]


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0
