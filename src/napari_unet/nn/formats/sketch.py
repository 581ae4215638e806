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
    Pool,
    Resize,
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

    def refuse_unused(self, allowed: tuple[str, ...] = ()) -> None:
        """Raise `ValueError` for a tensor without a place, but those `allowed`.

        Parameters
        ----------
        allowed
            Beginnings of names.
        """
        used = {step.name for step in self.steps}
        for key in self.tensors:
            if key.rpartition(".")[0] not in used and not key.startswith(allowed):
                raise ValueError(f"{key} has no place")

    def has(self, path: str) -> bool:
        """Whether a module has a weight."""
        return f"{path}.weight" in self.tensors

    def convolution(
        self, value: int, path: str, stride: tuple[int, ...] = (), groups: int = 1
    ) -> int:
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
                    "groups": groups,
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

    def norm(self, value: int, path: str, hidden: bool = False, groups: int = 0) -> int:
        """Add the norm at `path`, of `groups` if they are given and nothing is tracked.

        If there is none and it is `hidden`, one of each channel's own statistics.
        """
        tracked = f"{path}.running_mean" in self.tensors
        if not tracked and not self.has(path):
            if not hidden:
                return value
            return self._add(Norm(inputs=(value,), kind="instance", affine=False))
        alone = "group" if groups else "instance"
        return self._add(
            Norm.parse(
                {
                    "inputs": (value,),
                    "name": path,
                    "kind": "batch" if tracked else alone,
                    "groups": max(1, groups) if not tracked else 1,
                    "affine": self.has(path),
                    "tracked": tracked,
                }
            )
        )

    def activation(self, value: int, kind: str, path: str = "", **how: Any) -> int:
        """Add an activation, or the one with slopes at `path`."""
        usual = {"slope": 1.0} if kind == "elu" else {}
        given: dict[str, Any] = {"inputs": (value,), "kind": kind, **usual, **how}
        if path and self.has(path):
            n_slopes = self.tensors[f"{path}.weight"].numel()
            given.update(kind="prelu", name=path, parameters=n_slopes)
        return self._add(Activation.parse(given))

    def max_pool(
        self,
        value: int,
        kernel: tuple[int, ...],
        stride: tuple[int, ...],
        padding: tuple[int, ...],
    ) -> int:
        """Add a pooling whose windows may overlap."""
        inputs = (value,)
        return self._add(
            Pool(inputs=inputs, kernel=kernel, stride=stride, padding=padding)
        )

    def resize(self, value: int, factor: tuple[int, ...], mode: str = "nearest") -> int:
        """Add an enlargement; ``"linear"``: without aligned corners."""
        factors = tuple(float(n) for n in factor)
        given = {"inputs": (value,), "factor": factors, "mode": mode}
        return self._add(Resize.parse(given))

    def concatenate(self, *values: int) -> int:
        """Stack values."""
        return self._add(Merge(inputs=values, kind="concatenate"))

    def add(self, *values: int) -> int:
        """Add values."""
        return self._add(Merge(inputs=values, kind="add"))

    def multiply(self, value: int, factor: int) -> int:
        """Multiply a value by another, of as many channels or one."""
        return self._add(Merge(inputs=(value, factor), kind="multiply"))

    def _add(self, step: AnyStep) -> int:
        self.steps.append(step)
        return len(self.steps)
