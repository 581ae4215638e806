"""Sketch: steps of a graph written down one by one, with shapes taken from tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from napari_unet.graph_settings import (
    Activation,
    AnyStep,
    Convolution,
    Graph,
    Merge,
    Norm,
)


class Sketch:
    """A graph in the making; each method takes and returns numbers of values.

    Parameters
    ----------
    tensors
        The state dict.
    ndim
        Spatial dimensions.
    """

    def __init__(self, tensors: Mapping[str, Tensor], ndim: int) -> None:
        self.tensors, self.ndim = tensors, ndim
        self.steps: list[AnyStep] = []

    def graph(self, in_channels: int, family: str) -> Graph:
        """Return the graph."""
        steps = tuple(self.steps)
        return Graph.parse(
            {
                "ndim": self.ndim,
                "in_channels": in_channels,
                "steps": steps,
                "family": family,
            }
        )

    def has(self, path: str) -> bool:
        """Whether a module has a weight."""
        return f"{path}.weight" in self.tensors

    def convolution(self, value: int, path: str, stride: tuple[int, ...] = ()) -> int:
        """Add a convolution that keeps the size, or divides it by `stride`."""
        weight = self.tensors[f"{path}.weight"]
        kernel = tuple(weight.shape[2:])
        stride = stride or (1,) * self.ndim
        return self._add(
            Convolution.parse(
                {
                    "inputs": (value,),
                    "name": path,
                    "out": weight.shape[0],
                    "kernel": kernel,
                    "stride": stride,
                    "padding": tuple((k - 1) // 2 for k in kernel),
                    "bias": f"{path}.bias" in self.tensors,
                }
            )
        )

    def transposed(self, value: int, path: str, stride: tuple[int, ...]) -> int:
        """Add a transposed convolution that multiplies the size by `stride`."""
        weight = self.tensors[f"{path}.weight"]
        kernel = tuple(weight.shape[2:])
        pairs = list(zip(kernel, stride, strict=True))
        padding = tuple(max(0, (k - s + 1) // 2) for k, s in pairs)
        extra = tuple(s - k + 2 * p for (k, s), p in zip(pairs, padding, strict=True))
        return self._add(
            Convolution.parse(
                {
                    "inputs": (value,),
                    "name": path,
                    "out": weight.shape[1],
                    "kernel": kernel,
                    "stride": stride,
                    "padding": padding,
                    "output_padding": extra if any(extra) else None,
                    "bias": f"{path}.bias" in self.tensors,
                    "transposed": True,
                }
            )
        )

    def norm(self, value: int, path: str, hidden: bool = False) -> int:
        """Add the norm at `path`; if there is none and it is `hidden`, one of each
        channel's own statistics."""  # noqa: D205, D209
        tracked = f"{path}.running_mean" in self.tensors
        if not tracked and not self.has(path):
            if not hidden:
                return value
            return self._add(Norm(inputs=(value,), kind="instance", affine=False))
        return self._add(
            Norm(
                inputs=(value,),
                name=path,
                kind="batch" if tracked else "instance",
                affine=self.has(path),
                tracked=tracked,
            )
        )

    def activation(self, value: int, kind: str, path: str = "", **how: Any) -> int:
        """Add an activation, or the one with slopes at `path`."""
        given: dict[str, Any] = {"inputs": (value,), "kind": kind, **how}
        if path and self.has(path):
            n_slopes = self.tensors[f"{path}.weight"].numel()
            given.update(kind="prelu", name=path, parameters=n_slopes)
        return self._add(Activation.parse(given))

    def concatenate(self, *values: int) -> int:
        """Stack values."""
        return self._add(Merge(inputs=values, kind="concatenate"))

    def add(self, *values: int) -> int:
        """Add values."""
        return self._add(Merge(inputs=values, kind="add"))

    def _add(self, step: AnyStep) -> int:
        self.steps.append(step)
        return len(self.steps)
