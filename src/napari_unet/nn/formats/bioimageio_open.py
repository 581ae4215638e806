"""A bioimage.io package, a folder or a zip, opened as any other checkpoint."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.archives import open_archive
from napari_unet.nn.formats.bioimageio_code import source_network
from napari_unet.nn.formats.bioimageio_described import Described, WeightsDescribed
from napari_unet.nn.formats.bioimageio_read import NAMES, read_description
from napari_unet.nn.formats.bioimageio_recipe import own_recipe
from napari_unet.nn.formats.bioimageio_settle import Settler
from napari_unet.nn.formats.contents import Code, Contents
from napari_unet.nn.formats.files import RegularFile, shown_name
from napari_unet.nn.formats.limits import LARGEST_SOURCE
from napari_unet.nn.formats.onnx_file import open_onnx
from napari_unet.nn.formats.packages import names_in, unpacked
from napari_unet.nn.formats.torch_legacy import LEGACY_MAGIC, open_torch_legacy
from napari_unet.nn.formats.torch_zip import open_torch_zip


def find_description(path: Path) -> Path | None:
    """Return the description in a folder, or the one given; None if there is none."""
    found = [path] if path.name in NAMES else [path / name for name in NAMES]
    return next((candidate for candidate in found if candidate.is_file()), None)


def described_inside(file: RegularFile) -> str | None:
    """Return the name of the description in a zip file; None if there is none."""
    with open_archive(file) as archive:
        names = names_in(archive)
    found = [n for n in names if PurePosixPath(n).name in NAMES]
    return min(
        found,
        key=lambda n: (n.count("/"), NAMES.index(PurePosixPath(n).name)),
        default=None,
    )


def open_package_zip(
    file: RegularFile, description: str, *, trust: bool, weights: str | None
) -> Contents:
    """Open a zip whose description is the record `description`."""
    folder = unpacked(file)
    path = folder.joinpath(*PurePosixPath(description).parts)
    return open_package(path, trust=trust, weights=weights)


def open_package(
    description: Path, *, trust: bool = False, weights: str | None = None
) -> Contents:
    """Open the weights that a description names; what it says comes along.

    Parameters
    ----------
    description
        The YAML file in the package's folder.
    trust
        Whether code in the package may be executed.
    weights
        ``"pytorch_state_dict"``, ``"onnx"`` or ``"torchscript"``; None: the first.

    Raises
    ------
    CheckpointError
        If the description or a file is damaged, or there are no weights of that kind.
    """
    described = read_description(description)
    chosen = _choose(described, weights)
    inner = _open_weights(chosen, trust=trust)
    own = own_recipe(described) if chosen.kind == "pytorch_state_dict" else None
    code, needs_trust = inner.code, inner.needs_trust
    run = None
    if chosen.source is not None:
        code = (*code, _shown(chosen.source))
        needs_trust = f"the code in {shown_name(chosen.source)}"
        if trust:
            run = functools.partial(source_network, chosen, inner)
    settler = Settler(described, own is not None, run, needs_trust)
    return replace(
        inner,
        format=f"bioimage.io, {inner.format}",
        hints={**inner.hints, "bioimageio": _hint(described, chosen)},
        recipe=None if own is None else own.model_dump_json(),
        code=code,
        notes=(*inner.notes, *_notes(described, chosen)),
        needs_trust="" if own is not None else needs_trust,
        settle=settler,
    )


def _choose(described: Described, kind: str | None) -> WeightsDescribed:
    kinds = {weights.kind: weights for weights in described.weights}
    if kind is None:
        return described.weights[0]
    if kind not in kinds:
        raise CheckpointError(
            f"The package has no weights called {kind}.",
            f"Choose from {', '.join(kinds)}.",
        )
    return kinds[kind]


def _open_weights(weights: WeightsDescribed, *, trust: bool) -> Contents:
    file = RegularFile(weights.path)
    if weights.kind == "onnx":
        return open_onnx(file)
    if file.head(len(LEGACY_MAGIC)).startswith(LEGACY_MAGIC):
        return open_torch_legacy(file)
    return open_torch_zip(file, trust=trust)


def _shown(path: Path) -> Code:
    file = RegularFile(path)
    text = file.head(LARGEST_SOURCE).decode("utf-8", "replace")
    return Code("Python", file.name, file.size, text)


def _hint(described: Described, weights: WeightsDescribed) -> dict[str, Any]:
    return {
        "name": described.name,
        "architecture": weights.factory,
        "arguments": weights.arguments,
    }


def _notes(described: Described, weights: WeightsDescribed) -> tuple[str, ...]:
    others = [w.kind for w in described.weights if w.kind != weights.kind]
    if not others:
        return ()
    return (f"Weights: {weights.kind}; also there: {', '.join(others)}.",)
