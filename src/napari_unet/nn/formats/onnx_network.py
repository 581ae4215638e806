"""An ONNX graph as a network: onnxruntime computes it, on the CPU, in float32.

A graph may claim fixed sizes that its operators do not need. The claims are dropped
where the graph then still gives, at the claimed size, what it gave before.
"""

from __future__ import annotations

import functools
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.opaque import CHANNELS, OpaqueNetwork, find_form
from napari_unet.nn.weight_files import first_line

SAME = 1e-6
# Bytes; a tile takes what the user's memory budget allows, 2 GiB unless set.
LARGEST_ARENA = 16 * 2**30
Pixels = npt.NDArray[np.float32]


class OnnxNetwork(OpaqueNetwork):
    """An ONNX model behind the interface of any other network.

    Parameters
    ----------
    model
        An `onnx.ModelProto` with all its data; it is not changed.
    name
        Of the file, for messages.

    Raises
    ------
    CheckpointError
        If onnxruntime refuses the graph, or if it is no network from one image to one
        image.
    """

    def __init__(self, model: Any, name: str) -> None:
        super().__init__()
        known = {tensor.name for tensor in model.graph.initializer}
        inputs = [value for value in model.graph.input if value.name not in known]
        if len(inputs) != 1:
            raise CheckpointError(
                f"{name} takes {len(inputs)} inputs.",
                "Only networks from one image to one image can be run.",
            )
        self.input = inputs[0].name
        kernels = [t.dims for t in model.graph.initializer if len(t.dims) in (4, 5)]
        self.width = max((dims[0] for dims in kernels[:2]), default=64)
        claimed = [dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim]
        self.session = _session(_without_sizes(model), name)
        ndims = (len(claimed) - 2,) if len(claimed) in (4, 5) else (2, 3)
        wanted = claimed[1:2] if len(claimed) > 1 and claimed[1] > 0 else CHANNELS
        try:
            self.form = find_form(self.forward, ndims=ndims, channels=wanted)
            self._compare(model, name, claimed)
        except CheckpointError as error:
            raise CheckpointError(f"{name}: {error.problem}", error.remedy) from None
        except ValueError as error:
            raise CheckpointError(
                f"{name} is refused by onnxruntime ({first_line(error)}).",
                "Export it again, or update onnxruntime.",
            ) from None

    def forward(self, x: Tensor) -> Tensor:
        """Run the graph on (N, C, ...), image by image; of several outputs the first.

        Raises
        ------
        ValueError
            If the graph does not take an image of this shape.
        """
        images = x.detach().to("cpu", torch.float32).contiguous().numpy()
        found = np.concatenate([self._run(image[None]) for image in images])
        return torch.from_numpy(found).to(x.device)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return itself: a session has no state that a run could change."""
        return self

    def _run(self, image: Pixels) -> Pixels:
        return _run(self.session, self.input, image)

    def _compare(self, model: Any, name: str, claimed: list[int]) -> None:
        """Refuse a graph that gives something else without the sizes that it claims."""
        if not claimed or min(claimed[1:]) <= 0 or max(claimed) > 1024:
            return
        rng = np.random.default_rng(0)
        image = rng.standard_normal([1, *claimed[1:]], dtype=np.float32)
        before = _run(_session(model, name), self.input, image)
        after = self._run(image)
        scale = max(1.0, float(np.abs(before).max()))
        if before.shape != after.shape or np.abs(before - after).max() > SAME * scale:
            raise CheckpointError(
                "The graph computes something else at other sizes.",
                "Export it with dynamic axes.",
            )


def _without_sizes(model: Any) -> Any:
    """Return a copy whose inputs and outputs may have any batch and image size."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    known = {tensor.name for tensor in copy.graph.initializer}
    for value in (*copy.graph.input, *copy.graph.output):
        if value.name in known:
            continue
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if axis != 1:
                dim.dim_param = f"{value.name}_{axis}"
    return copy


def _session(model: Any, name: str) -> Any:
    import onnxruntime

    _limit_memory()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # noqa: BLE001 - onnxruntime has its own kinds of errors
        raise CheckpointError(
            f"{name} is refused by onnxruntime ({first_line(error)}).",
            "Export it again, or update onnxruntime.",
        ) from None


@functools.cache
def _limit_memory() -> None:
    """Let all graphs together take so much memory, whatever they ask for."""
    import onnxruntime as ort

    kind = ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    memory = ort.OrtMemoryInfo("Cpu", kind, 0, ort.OrtMemType.DEFAULT)
    arena = ort.OrtArenaCfg({"max_mem": LARGEST_ARENA, "arena_extend_strategy": 1})
    ort.create_and_register_allocator(memory, arena)


def _run(session: Any, name: str, image: Pixels) -> Pixels:
    import onnxruntime

    how = onnxruntime.RunOptions()
    how.log_severity_level = 4
    # What one shape of image took goes back before the next one comes.
    how.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    try:
        found: Pixels = session.run(None, {name: image}, how)[0]
    except Exception as error:  # noqa: BLE001 - onnxruntime has its own kinds of errors
        raise ValueError(first_line(error)) from None
    return found
