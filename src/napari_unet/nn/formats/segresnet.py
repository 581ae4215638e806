"""MONAI's SegResNet: residual blocks that begin with a norm, and sums as skips."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from torch import Tensor

from napari_unet.graph_settings import Graph
from napari_unet.nn.formats.sketch import Sketch


def segresnet(tensors: Mapping[str, Tensor], answers: Mapping[str, str]) -> Graph:
    """Return the graph of a SegResNet that enlarges by interpolation."""
    first = tensors["convInit.conv.weight"]
    net = _SegResNet(Sketch(tensors, first.ndim - 2), answers)
    net.run()
    net.sketch.refuse_unused()
    return net.sketch.graph(first.shape[1], "MONAI SegResNet")


class _SegResNet:
    def __init__(self, sketch: Sketch, answers: Mapping[str, str]) -> None:
        self.sketch, self.kind = sketch, answers.get("activation", "relu")
        kind, _, number = answers.get("norm", "group_8").partition("_")
        self.groups = int(number) if kind == "group" else 0

    def run(self) -> None:
        """Add all layers."""
        sketch = self.sketch
        half = (2,) * sketch.ndim
        x = sketch.convolution(0, "convInit.conv")
        levels = []
        for level in itertools.count():
            if not sketch.has(f"down_layers.{level}.1.conv1.conv"):
                break
            if level:
                x = sketch.convolution(x, f"down_layers.{level}.0.conv", half)
            x = self.blocks(x, f"down_layers.{level}", 1)
            levels.append(x)
        skips = levels[-2::-1]
        for number, skip in enumerate(skips):
            x = sketch.convolution(x, f"up_samples.{number}.0.conv")
            x = sketch.add(sketch.resize(x, half, "linear"), skip)
            x = self.blocks(x, f"up_layers.{number}", 0)
        sketch.convolution(self.normed(x, "conv_final.0"), "conv_final.2.conv")

    def blocks(self, value: int, path: str, first: int) -> int:
        """Add the residual blocks of a level."""
        for number in itertools.count(first):
            block = f"{path}.{number}"
            if not self.sketch.has(f"{block}.conv1.conv"):
                return value
            x = value
            for n in (1, 2):
                x = self.normed(x, f"{block}.norm{n}")
                x = self.sketch.convolution(x, f"{block}.conv{n}.conv")
            value = self.sketch.add(x, value)
        return value

    def normed(self, value: int, path: str) -> int:
        value = self.sketch.norm(value, path, groups=self.groups)
        return self.sketch.activation(value, self.kind)
