"""OME-Zarr images (0.1 to 0.5) and bare zarr arrays, read lazily.

Metadata in the wild are often a little off the specification, so they are read with
patience; yaozarrs says what is wrong where nothing can be made of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import zarr
from pydantic import ValidationError

from napari_unet.core.axes import AXES
from napari_unet.errors import ImageFileError
from napari_unet.io.source import UNKNOWN, Found
from napari_unet.io.units import micrometres

if TYPE_CHECKING:
    from pathlib import Path

_NAMES = {"time": "T", "channel": "C", "channels": "C", "depth": "Z"}
_OPENING = (OSError, ValueError, KeyError, TypeError, RuntimeError)


def read_zarr(path: Path, *, series: int = 0) -> Found:
    """Open an image in a zarr folder; chunks are read when they are sliced.

    Parameters
    ----------
    path
        A multiscale group (level 0 is taken), an array, or a group that holds one.
    series
        Index of the image, where a group holds several.

    Raises
    ------
    ImageFileError
        If it holds no image, or a plate, or several images without a choice.
    """
    node = _open(path)
    if isinstance(node, zarr.Array):
        return _bare(node, path)
    meta = _ome(node)
    if "plate" in meta:
        raise _plate(path, meta["plate"])
    if "well" in meta:
        return _field(path, meta["well"], series)
    if "multiscales" in meta:
        return _multiscale(node, path, meta=meta, series=series)
    return _only_child(node, path, series)


def _open(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return zarr.open(str(path), mode="r")
    except FileNotFoundError:
        raise _unreadable(path, "zarr metadata are missing") from None
    except _OPENING as error:
        raise _unreadable(path, str(error) or type(error).__name__) from error


def _unreadable(path: Path, reason: str) -> ImageFileError:
    return ImageFileError(
        f"{path.name} is not a zarr folder that can be read ({reason}).",
        "Copy it again as a whole, hidden files included.",
    )


def _ome(group: Any) -> Mapping[str, Any]:
    """Return the OME metadata: under ``ome`` from version 0.5, else at the top."""
    attributes = dict(group.attrs)
    inner = attributes.get("ome")
    return inner if isinstance(inner, Mapping) else attributes


def _multiscale(
    group: Any, path: Path, *, meta: Mapping[str, Any], series: int
) -> Found:
    images = meta["multiscales"]
    if not isinstance(images, list) or not 0 <= series < len(images):
        count = len(images) if isinstance(images, list) else 0
        raise ImageFileError(
            f"{path.name} has no series {series}; it holds {count} image(s).",
            "Choose an index below that number.",
        )
    image = images[series]
    try:
        dataset = image["datasets"][0]
        name = str(dataset["path"])
    except (KeyError, IndexError, TypeError):
        raise _invalid(path, meta) from None
    array = _array(group, name, path=path, meta=meta)
    letters, units = _axes(image, array.ndim)
    if len(letters) != array.ndim:
        raise _invalid(path, meta)
    return Found(
        array,
        letters,
        pixel_size=_pixel_size(image, dataset, letters=letters, units=units),
        channel_names=_channel_names(meta),
        chunks=tuple(array.chunks),
    )


def _array(group: Any, name: str, *, path: Path, meta: Mapping[str, Any]) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array = group[name]
    except _OPENING:
        raise ImageFileError(
            f"{path.name} names the array {name!r}, which is not there.",
            "Copy the whole folder again, hidden files included.",
        ) from None
    if not isinstance(array, zarr.Array):
        raise _invalid(path, meta)
    return array


def _axes(image: Mapping[str, Any], ndim: int) -> tuple[str, list[str | None]]:
    """Return letters and units; before version 0.3 all images were TCZYX."""
    named = image.get("axes")
    if not isinstance(named, list):
        return AXES[-ndim:], [None] * ndim
    names = [a.get("name", "") if isinstance(a, Mapping) else a for a in named]
    units = [a.get("unit") if isinstance(a, Mapping) else None for a in named]
    return _letters(names), [str(u) if u else None for u in units]


def _letters(names: Any) -> str:
    out: list[str] = []
    for name in names:
        plain = str(name or "").lower()
        letter = _NAMES.get(plain, plain.upper())
        fits = len(letter) == 1 and letter in AXES and letter not in out
        out.append(letter if fits else UNKNOWN)
    return "".join(out)


def _pixel_size(
    image: Mapping[str, Any],
    dataset: Mapping[str, Any],
    *,
    letters: str,
    units: list[str | None],
) -> dict[str, float]:
    """Return the product of the scales of the dataset and of the whole image."""
    scale = [1.0] * len(letters)
    for holder in (dataset, image):
        for step in holder.get("coordinateTransformations") or ():
            if isinstance(step, Mapping) and step.get("type") == "scale":
                factors = step.get("scale") or scale
                scale = [a * float(b) for a, b in zip(scale, factors, strict=False)]
    sizes = {}
    for letter, value, unit in zip(letters, scale, units, strict=False):
        size = micrometres(value, unit)
        if letter in "ZYX" and size is not None:
            sizes[letter] = size
    return sizes


def _channel_names(meta: Mapping[str, Any]) -> tuple[str, ...]:
    omero = meta.get("omero")
    channels = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(channels, list):
        return ()
    names = [c.get("label") if isinstance(c, Mapping) else None for c in channels]
    return tuple(str(name) for name in names) if all(names) else ()


def _bare(array: Any, path: Path) -> Found:
    """Read an array by itself; its parent may know what it is a level of."""
    level = _as_level(array, path.parent, path.name)
    if level is not None:
        return level
    names = getattr(array.metadata, "dimension_names", None)
    names = names or array.attrs.get("_ARRAY_DIMENSIONS") or array.attrs.get("axes")
    letters = _letters(names) if names and len(names) == array.ndim else ""
    return Found(array, letters or UNKNOWN * array.ndim, chunks=tuple(array.chunks))


def _as_level(array: Any, parent: Path, name: str) -> Found | None:
    if not any((parent / meta).is_file() for meta in ("zarr.json", ".zattrs")):
        return None
    meta = _ome(_open(parent))
    for image in meta.get("multiscales") or ():
        for dataset in image.get("datasets") or ():
            if str(dataset.get("path")) == name:
                letters, units = _axes(image, array.ndim)
                return Found(
                    array,
                    letters,
                    pixel_size=_pixel_size(
                        image, dataset, letters=letters, units=units
                    ),
                    channel_names=_channel_names(meta),
                    chunks=tuple(array.chunks),
                )
    return None


def _field(path: Path, well: Any, series: int) -> Found:
    """Read one field of view of a well; several are not chosen from silently."""
    images = well.get("images") if isinstance(well, Mapping) else None
    names = [str(image.get("path")) for image in images or ()]
    if not names:
        raise ImageFileError(f"Well {path} holds no images.", "Choose another well.")
    if (len(names) > 1 and series == 0) or series >= len(names):
        raise ImageFileError(
            f"Well {path} holds {len(names)} fields of view.",
            f"Name one of them: {path / names[0]} (there are {', '.join(names)}).",
        )
    return read_zarr(path / names[series])


def _plate(path: Path, plate: Any) -> ImageFileError:
    wells = plate.get("wells") if isinstance(plate, Mapping) else None
    names = [str(well.get("path")) for well in wells or () if isinstance(well, Mapping)]
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    example = path / names[0] / "0" if names else path
    return ImageFileError(
        f"{path.name} is a plate with the wells {', '.join(names[:20])}{more}.",
        f"Name one image in it, such as {example}.",
    )


def _only_child(group: Any, path: Path, series: int) -> Found:
    """Read the image of a group that is itself none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        children = dict(sorted(group.members(max_depth=0)))
    images = [n for n, c in children.items() if _is_image(c)]
    if str(series) in images and "bioformats2raw.layout" in _ome(group):
        return read_zarr(path / str(series))
    if len(images) == 1 and series == 0:
        return read_zarr(path / images[0])
    if not images:
        raise ImageFileError(
            f"{path.name} holds no zarr array and no OME-Zarr image.",
            "Name the folder that holds .zarray, or zarr.json, or the multiscales "
            "metadata.",
        )
    raise ImageFileError(
        f"{path.name} holds {len(images)} images.",
        f"Name one of them: {path / images[0]} (there are {', '.join(images)}).",
    )


def _is_image(node: Any) -> bool:
    return isinstance(node, zarr.Array) or "multiscales" in _ome(node)


def _invalid(path: Path, meta: Mapping[str, Any]) -> ImageFileError:
    """Say what the specification would have liked."""
    import yaozarrs

    reason = "the metadata do not describe the arrays"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yaozarrs.validate_ome_object(dict(meta))
    except (ValidationError, ValueError, TypeError, NotImplementedError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        where = ".".join(str(part) for part in first["loc"][2:]) if first else ""
        reason = f"{where}: {first['msg']}" if first else str(error)
    return ImageFileError(
        f"{path.name} is not a valid OME-Zarr image ({reason}).",
        "Write it again with its program, or name one of its arrays and the axes.",
    )
