"""MONAI's networks with sums or gates that no shapes tell: AttentionUnet and VNet."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from torch import Tensor

from napari_unet.graph_settings import Graph
from napari_unet.nn.formats.sketch import Sketch

VNET_LEVELS = (32, 64, 128, 256)


def attention_unet(tensors: Mapping[str, Tensor], answers: Mapping[str, str]) -> Graph:
    """Return the graph of an AttentionUnet; each level holds the next."""
    del answers
    first = tensors["model.0.conv.0.conv.weight"]
    net = _AttentionUnet(Sketch(tensors, first.ndim - 2))
    value = net.level(net.block(0, "model.0", ()), "model.1")
    net.sketch.convolution(value, "model.2.conv")
    net.sketch.refuse_unused()
    return net.sketch.graph(first.shape[1], "MONAI AttentionUnet")


class _AttentionUnet:
    def __init__(self, sketch: Sketch) -> None:
        self.sketch, self.half = sketch, (2,) * sketch.ndim

    def block(self, value: int, path: str, stride: tuple[int, ...]) -> int:
        """Add two convolutions, the first with `stride`."""
        for number, step in enumerate((stride, ())):
            unit = f"{path}.conv.{number}"
            value = self.sketch.convolution(value, f"{unit}.conv", step)
            value = self.sketch.norm(value, f"{unit}.adn.N")
            value = self.sketch.activation(value, "relu")
        return value

    def level(self, value: int, path: str) -> int:
        """Add what is below, enlarged, beside what the gate lets through."""
        sketch, inner = self.sketch, f"{path}.submodule"
        if sketch.has(f"{inner}.conv.0.conv"):
            deep = self.block(value, inner, self.half)
        else:
            down = self.block(value, f"{inner}.0", self.half)
            deep = self.level(down, f"{inner}.1")
        up = sketch.transposed(deep, f"{path}.upconv.up.conv", self.half)
        up = sketch.activation(sketch.norm(up, f"{path}.upconv.up.adn.N"), "relu")
        joined = sketch.concatenate(self.gated(value, up, f"{path}.attention"), up)
        merged = sketch.convolution(joined, f"{path}.merge.conv")
        merged = sketch.norm(merged, f"{path}.merge.adn.N", hidden=True)
        return sketch.activation(merged, "prelu", f"{path}.merge.adn.A")

    def gated(self, skip: int, up: int, path: str) -> int:
        """Add an attention gate."""
        sketch = self.sketch

        def narrow(value: int, name: str) -> int:
            value = sketch.convolution(value, f"{path}.{name}.0.conv")
            return sketch.norm(value, f"{path}.{name}.1")

        summed = sketch.add(narrow(up, "W_g"), narrow(skip, "W_x"))
        weight = narrow(sketch.activation(summed, "relu"), "psi")
        return sketch.multiply(skip, sketch.activation(weight, "sigmoid"))


def vnet(tensors: Mapping[str, Tensor], answers: Mapping[str, str]) -> Graph:
    """Return the graph of a VNet: each level adds what it began with."""
    first = tensors["in_tr.conv_block.conv.weight"]
    net = _VNet(Sketch(tensors, first.ndim - 2), answers.get("activation", "elu"))
    net.run()
    net.sketch.refuse_unused()
    return net.sketch.graph(first.shape[1], "MONAI VNet")


class _VNet:
    def __init__(self, sketch: Sketch, kind: str) -> None:
        self.sketch, self.kind, self.half = sketch, kind, (2,) * sketch.ndim

    def run(self) -> None:
        """Add all layers."""
        sketch = self.sketch
        wide, narrow = sketch.tensors["in_tr.conv_block.conv.weight"].shape[:2]
        copies = sketch.concatenate(*(0,) * (wide // narrow))
        x = sketch.add(self.unit(0, "in_tr.conv_block"), copies)
        x = self.active(x, "in_tr.act_function")
        skips = []
        for width in VNET_LEVELS:
            skips.append(x)
            path = f"down_tr{width}"
            down = sketch.convolution(x, f"{path}.down_conv", self.half)
            x = self.level(self.entered(down, path), path)
        for width in VNET_LEVELS[::-1]:
            path = f"up_tr{width}"
            up = sketch.transposed(x, f"{path}.up_conv", self.half)
            joined = sketch.concatenate(self.entered(up, path), skips.pop())
            x = self.level(joined, path)
        x = self.active(self.unit(x, "out_tr.conv_block"), "out_tr.act_function1")
        sketch.convolution(x, "out_tr.conv2")

    def level(self, value: int, path: str) -> int:
        """Add the convolutions of a level, and the sum with its beginning."""
        x = value
        for number in itertools.count():
            unit = f"{path}.ops.{number}"
            if not self.sketch.has(f"{unit}.conv_block.conv"):
                break
            x = self.unit(x, f"{unit}.conv_block")
            x = self.active(x, f"{unit}.act_function")
        return self.active(self.sketch.add(x, value), f"{path}.act_function2")

    def entered(self, value: int, path: str) -> int:
        """Add norm and activation of what leads into a level."""
        value = self.sketch.norm(value, f"{path}.bn1")
        return self.active(value, f"{path}.act_function1")

    def unit(self, value: int, path: str) -> int:
        """Add a convolution and its norm."""
        value = self.sketch.convolution(value, f"{path}.conv")
        return self.sketch.norm(value, f"{path}.adn.N")

    def active(self, value: int, path: str) -> int:
        """Add an activation."""
        return self.sketch.activation(value, self.kind, path)
