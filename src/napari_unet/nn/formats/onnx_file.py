"""ONNX: a graph of fixed operators; its weights are read, and it runs on the CPU.

A graph holds no code of its own, but may ask for loops, operators from elsewhere and
data in other files: these are refused, except data beside the file.
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.archives import is_elsewhere
from napari_unet.nn.formats.contents import Contents, TensorInfo
from napari_unet.nn.formats.files import RegularFile, shown_name
from napari_unet.nn.formats.limits import LARGEST_SHARING, MIB, MOST_TENSORS
from napari_unet.nn.weight_files import COPY_AGAIN, first_line, shortened

INSTALL = "Install it: pip install 'napari-unet-cells[onnx]'."
# Protocol buffers end there.
LARGEST_ONNX = 2 * 1024 * MIB
MOST_NODES = 20_000
STANDARD = ("", "ai.onnx")
LOOPS = {"Loop", "Scan", "If", "SequenceMap"}


def open_onnx(file: RegularFile) -> Contents:
    """Open an ONNX file.

    Parameters
    ----------
    file
        Data that lie in other files must lie beside it.

    Raises
    ------
    CheckpointError
        If it is damaged, asks for what is refused, or the package `onnx` is missing.
    """
    model = _parsed(file)
    _check_graph(model, file.name)
    infos = tuple(_info(tensor, file.name) for tensor in model.graph.initializer)
    if sum(info.n_bytes for info in infos) > LARGEST_SHARING * (
        file.size + sum(f.size for f in _others(model, file))
    ):
        raise _damaged(file.name, "its weights are larger than the file")

    runs = find_spec("onnxruntime") is not None

    def read() -> dict[str, Tensor]:
        whole = _with_data(model, file)
        return {t.name: _tensor(t, file.name) for t in whole.graph.initializer}

    def network() -> nn.Module:
        from napari_unet.nn.formats.onnx_network import OnnxNetwork

        return OnnxNetwork(_with_data(model, file), file.name)

    return Contents(
        file=file,
        format="ONNX",
        listed=infos,
        read=read,
        hints={"ordered": True, "metadata": _metadata(model)},
        notes=() if runs else (f"To run it as it is, install onnxruntime. {INSTALL}",),
        network=network if runs else None,
    )


def _parsed(file: RegularFile) -> Any:
    if find_spec("onnx") is None:
        raise CheckpointError("ONNX files need the package onnx.", INSTALL)
    import onnx

    if file.size > LARGEST_ONNX:
        raise _damaged(file.name, f"it has {file.size} bytes")
    model = onnx.ModelProto()
    try:
        with file.open() as raw:
            model.ParseFromString(raw.read())
    except Exception as error:  # noqa: BLE001 - whatever protobuf raises, by version
        raise _damaged(file.name, first_line(error)) from None
    return model


def _check_graph(model: Any, name: str) -> None:
    graph = model.graph
    if not graph.node or len(graph.initializer) > MOST_TENSORS:
        raise _damaged(name, "it has no graph of a network")
    if len(graph.node) > MOST_NODES or len(model.functions):
        raise _refused(name, "its graph is not that of a U-Net")
    for node in graph.node:
        nested = any(a.HasField("g") or len(a.graphs) for a in node.attribute)
        if node.domain not in STANDARD:
            raise _refused(name, f"it needs operators of {shortened(node.domain)}")
        if nested or node.op_type in LOOPS:
            raise _refused(name, f"it holds a {shortened(node.op_type)}")


def _info(tensor: Any, name: str) -> TensorInfo:
    shape = tuple(tensor.dims)
    if any(size < 0 for size in shape) or math.prod(shape) >= 2**40:
        raise _damaged(name, f"a tensor of shape {shape[:8]}")
    import onnx

    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except (KeyError, ValueError, TypeError):
        raise _damaged(name, f"a tensor of kind {tensor.data_type}") from None
    return TensorInfo(
        shortened(tensor.name), shape, str(dtype), math.prod(shape) * dtype.itemsize
    )


def _tensor(tensor: Any, name: str) -> Tensor:
    from onnx import numpy_helper

    try:
        return torch.from_numpy(numpy_helper.to_array(tensor).copy())
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(name, first_line(error)) from None


def _others(model: Any, file: RegularFile) -> list[RegularFile]:
    """Return the files in which data lie: beside the ONNX file, and no links."""
    names = {
        entry.value
        for tensor in model.graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }
    found = []
    for name in sorted(names):
        path = file.path.parent / name
        if is_elsewhere(name) or "/" in name or path.is_symlink():
            raise _refused(file.name, f"it reads {shown_name(Path(name))}")
        found.append(RegularFile(path))
    return found


def _with_data(model: Any, file: RegularFile) -> Any:
    """Return the model with the data of other files in it; each stays in its bounds."""
    files = {other.path.name: other for other in _others(model, file)}
    if not files:
        return model
    import onnx

    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    for tensor in whole.graph.initializer:
        if not tensor.external_data:
            continue
        where = {entry.key: entry.value for entry in tensor.external_data}
        other = files[where["location"]]
        start, length = int(where.get("offset", 0)), _info(tensor, file.name).n_bytes
        with other.open() as raw:
            raw.seek(max(0, start))
            data = raw.read(length)
        if len(data) != length:
            raise _damaged(other.name, "it is too short")
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.DEFAULT
        tensor.raw_data = data
    return whole


def _metadata(model: Any) -> dict[str, str]:
    known = {
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "doc": model.doc_string,
        **{entry.key: entry.value for entry in model.metadata_props},
    }
    return {shortened(k): v[:10_000] for k, v in known.items() if v}


def _damaged(name: str, why: str) -> CheckpointError:
    return CheckpointError(f"{name} is damaged or no ONNX file ({why}).", COPY_AGAIN)


def _refused(name: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"{name} is refused: {why}.", "Export the network as a plain ONNX graph."
    )
