"""A network from elsewhere, run from its steps; torch and plain numbers, no code.

The tensors keep the names that they had where they were trained.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_unet.errors import AxesError, SettingsError
from napari_unet.graph_settings import (
    Activation,
    AnyStep,
    Convolution,
    Graph,
    Merge,
    Norm,
)
from napari_unet.nn.graph_layers import make_layer
from napari_unet.nn.graph_sizes import propagate
from napari_unet.nn.undrawn import Undrawn

# Where the layers without weights live: no module of a file is called so.
PLAIN = "(plain)"
LARGEST_SIZE = 8192
# What a twin has along X, where nothing happens.
PER_AXIS = {
    "kernel": 1,
    "stride": 1,
    "padding": 0,
    "before": 0,
    "after": 0,
    "output_padding": 0,
    "factor": 1.0,
}


class GraphNetwork(nn.Module):
    """Run the steps of a `Graph`; `forward` takes (N, C, [Z,] Y, X), returns logits.

    Parameters
    ----------
    architecture
        The steps.
    """

    def __init__(self, architecture: Graph) -> None:
        super().__init__()
        self.architecture = architecture
        self.paths: list[tuple[str, ...]] = []
        for number, step in enumerate(architecture.steps):
            path = tuple(step.name.split(".")) if step.name else (PLAIN, str(number))
            given = [architecture.channels[value] for value in step.inputs]
            _insert(self, path, make_layer(step, given[0], architecture.ndim))
            self.paths.append(path)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits for `x`; raise `AxesError` for a size it cannot take."""
        # A trace's sizes are no numbers.
        if not torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            self._check(x)
        steps = self.architecture.steps
        last_use = {v: n for n, step in enumerate(steps) for v in step.inputs}
        values = {0: x}
        for number, (step, path) in enumerate(zip(steps, self.paths, strict=True)):
            values[number + 1] = _find(self, path)(*(values[v] for v in step.inputs))
            for value in set(step.inputs):
                if last_use[value] == number:
                    del values[value]
        return values[len(steps)]

    def output_size(self, size: int, axis: int) -> int | None:
        """Return the output size along spatial `axis`, or None if `size` is refused."""
        return propagate(self.architecture, size, axis)

    def nearest_size(self, size: int, axis: int) -> int:
        """Return the size nearest to `size` that the network takes; larger on ties."""
        for distance in range(LARGEST_SIZE):
            for candidate in (size + distance, size - distance):
                if candidate > 0 and self.output_size(candidate, axis):
                    return candidate
        raise AxesError(
            f"The network takes no image of up to {LARGEST_SIZE} pixels a side.",
            "The checkpoint was read wrongly; choose other assumptions.",
        )

    def along(self, axis: int) -> GraphNetwork:
        """Return a 2-D, one-channel twin with this network's spatial `axis` as Y.

        It has no values yet.
        """
        with Undrawn():  # another thread may be drawing a network's first weights
            return GraphNetwork(_thin(self.architecture, axis))

    def fold_batch_norm(self) -> None:
        """Fold each batch norm into the convolution that it alone reads, in place."""
        steps = self.architecture.steps
        uses = Counter(value for step in steps for value in step.inputs)
        for number, step in enumerate(steps):
            if not isinstance(step, Norm) or not step.tracked or step.kind != "batch":
                continue
            source = step.inputs[0]
            before = steps[source - 1] if source else None
            if not isinstance(before, Convolution) or uses[source] > 1:
                continue
            conv = _find(self, self.paths[source - 1])
            norm = _find(self, self.paths[number])
            plain = not (conv._modules or norm._modules)
            if plain and isinstance(conv, (nn.Conv2d, nn.Conv3d)):
                dtype = conv.weight.dtype
                # In float64, so that folding itself rounds only once.
                pair = conv.double(), cast("nn.BatchNorm2d", norm).double()
                fused = fuse_conv_bn_eval(*pair).to(dtype)
                _insert(self, self.paths[source - 1], fused)
                _insert(self, self.paths[number], nn.Identity())

    def _check(self, x: Tensor) -> None:
        arch = self.architecture
        if x.ndim != arch.ndim + 2 or x.shape[1] != arch.in_channels:
            raise AxesError(
                f"The network takes (N, {arch.in_channels}, {'Z, ' * (arch.ndim == 3)}"
                f"Y, X), but was given {tuple(x.shape)}.",
                "Give the channels and axes it was trained with.",
            )
        sizes = tuple(x.shape[2:])
        if any(self.output_size(n, axis) is None for axis, n in enumerate(sizes)):
            nearest = tuple(self.nearest_size(n, axis) for axis, n in enumerate(sizes))
            raise AxesError(
                f"The network cannot take an image of {sizes} pixels.",
                f"The nearest size that it can take is {nearest}.",
            )


def empty_graph(architecture: Graph) -> GraphNetwork:
    """Return the network without values, on the meta device: nothing is stored."""
    with torch.device("meta"), Undrawn():
        return GraphNetwork(architecture)


def with_outputs(architecture: Graph, n_outputs: int) -> tuple[Graph, str]:
    """Return a graph whose last convolution has `n_outputs`, and that one's name."""
    steps = list(architecture.steps)
    for number in range(len(steps) - 1, -1, -1):
        step = steps[number]
        if isinstance(step, Convolution):
            steps[number] = step.replace(out=n_outputs)
            return architecture.replace(steps=tuple(steps)), step.name
    raise SettingsError(
        "The network has no convolution at its end.", "Train a new model instead."
    )


def _insert(root: nn.Module, path: tuple[str, ...], layer: nn.Module) -> None:
    """Put `layer` at `path`; not by attribute, so that any name will do."""
    parent = root
    for part in path[:-1]:
        parent = parent._modules.setdefault(part, nn.Module())  # type: ignore[assignment]
    before = parent._modules.get(path[-1])
    if before is not None:
        layer._modules.update(before._modules)
    parent._modules[path[-1]] = layer


def _find(root: nn.Module, path: tuple[str, ...]) -> nn.Module:
    found: Any = root
    for part in path:
        found = found._modules[part]
    return found  # type: ignore[no-any-return]


def _thin(architecture: Graph, axis: int) -> Graph:
    """Return the 2-D, one-channel graph that does along Y what this does on `axis`."""

    def thin(step: AnyStep) -> AnyStep:
        values = step.model_dump()
        for key, value in values.items():
            if key in PER_AXIS and value is not None:
                values[key] = value[axis], PER_AXIS[key]
        if isinstance(step, Convolution):
            values.update(out=1, groups=1)
        elif isinstance(step, Norm):
            values.update(groups=1)
        elif isinstance(step, Activation):
            values.update(parameters=1)
        elif isinstance(step, Merge) and step.kind == "multiply":
            values.update(kind="add")  # a product of zero would hide what it reads
        return step.parse(values)

    steps = tuple(thin(step) for step in architecture.steps)
    return Graph(ndim=2, in_channels=1, steps=steps)
