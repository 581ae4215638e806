"""Nested U-Nets: each level holds the next: MONAI's `UNet`, and pix2pix's generator.

They shrink by strided convolutions and join at the coarse side of each level.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from napari_unet.graph_settings import Graph
from napari_unet.nn.formats.sketch import Sketch

LEAKY = 0.2


def monai_unet(tensors: Mapping[str, Tensor], answers: Mapping[str, str]) -> Graph:
    """Return the graph of MONAI's `UNet`, with or without residual units."""
    first = "model.0.conv.unit0.conv.weight"
    weight = tensors.get(first, tensors.get("model.0.conv.weight"))
    if weight is None:
        raise LookupError(first)
    ndim = weight.ndim - 2
    sketch = Sketch(tensors, ndim)
    net = _Monai(sketch, answers)
    net.level(0, "model", 0)
    return sketch.graph(weight.shape[1], "MONAI UNet")


class _Monai:
    def __init__(self, sketch: Sketch, answers: Mapping[str, str]) -> None:
        self.sketch = sketch
        self.hidden = answers.get("norm", "instance_hidden") == "instance_hidden"
        self.kind = answers.get("activation", "relu")
        told = answers.get("factors", "")
        self.factors = [tuple(map(int, f.split("x"))) for f in told.split(",") if f]

    def level(self, value: int, prefix: str, depth: int) -> int:
        """Add what is at `prefix`: down, the next level beside a skip, up."""
        sketch = self.sketch
        last = len(self.factors) <= depth
        stride = (2,) * sketch.ndim if last else self.factors[depth]
        down = self.layer(value, f"{prefix}.0", stride)
        inner = f"{prefix}.1.submodule"
        if any(key.startswith(f"{inner}.1.submodule.") for key in sketch.tensors):
            deep = self.level(down, inner, depth + 1)
        else:
            deep = self.layer(down, inner, (1,) * sketch.ndim)
        joined = sketch.concatenate(down, deep)
        up = f"{prefix}.2"
        residual = sketch.has(f"{up}.0.conv")
        path = f"{up}.0" if residual else up
        grown = sketch.transposed(joined, f"{path}.conv", stride)
        top = depth == 0
        if residual or not top:
            grown = self.finish(grown, path)
        return self.units(grown, f"{up}.1", (), top) if residual else grown

    def layer(self, value: int, path: str, stride: tuple[int, ...]) -> int:
        """Add a convolution, or a residual unit of several."""
        if self.sketch.has(f"{path}.conv"):
            value = self.sketch.convolution(value, f"{path}.conv", stride)
            return self.finish(value, path)
        return self.units(value, path, stride, top=False)

    def units(self, value: int, path: str, stride: tuple[int, ...], top: bool) -> int:
        """Add a residual unit; its sum has no activation."""
        sketch, number, x = self.sketch, 0, value
        while sketch.has(f"{path}.conv.unit{number}.conv"):
            unit = f"{path}.conv.unit{number}"
            x = sketch.convolution(x, f"{unit}.conv", stride if number == 0 else ())
            number += 1
            if not top or sketch.has(f"{path}.conv.unit{number}.conv"):
                x = self.finish(x, unit)
        if sketch.has(f"{path}.residual"):
            value = sketch.convolution(value, f"{path}.residual", stride)
        return sketch.add(x, value)

    def finish(self, value: int, path: str) -> int:
        """Add norm and activation."""
        value = self.sketch.norm(value, f"{path}.adn.N", self.hidden)
        return self.sketch.activation(value, self.kind, f"{path}.adn.A")


def pix2pix(tensors: Mapping[str, Tensor], answers: Mapping[str, str]) -> Graph:
    """Return the graph of pix2pix's U-Net generator, up to its last tanh."""
    del answers
    sketch = Sketch(tensors, 2)
    down = sketch.convolution(0, "model.model.0", (2, 2))
    deep = _pix2pix_level(sketch, down, "model.model.1.model")
    out = sketch.transposed(sketch.activation(deep, "relu"), "model.model.3", (2, 2))
    sketch.activation(out, "tanh")
    return sketch.graph(tensors["model.model.0.weight"].shape[1], "pix2pix U-Net")


def _pix2pix_level(sketch: Sketch, value: int, prefix: str) -> int:
    """Add a level: its input beside what the deeper levels make of it."""
    x = sketch.activation(value, "leaky_relu", slope=LEAKY)
    x = sketch.convolution(x, f"{prefix}.1", (2, 2))
    inner, after = f"{prefix}.3.model", 5
    if any(key.startswith(inner) for key in sketch.tensors):
        x = sketch.norm(x, f"{prefix}.2", hidden=not sketch.has(f"{prefix}.2"))
        x = _pix2pix_level(sketch, x, inner)
    else:
        after = 3
    x = sketch.transposed(sketch.activation(x, "relu"), f"{prefix}.{after}", (2, 2))
    norm = f"{prefix}.{after + 1}"
    x = sketch.norm(x, norm, hidden=not sketch.has(norm))
    return sketch.concatenate(value, x)
