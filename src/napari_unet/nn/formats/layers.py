"""Layers: a convolution with its norm and activation, written down as steps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from napari_unet.graph_settings import (
    Activation,
    AnyStep,
    Convolution,
    Norm,
    Pad,
    Resize,
    channels_out,
)
from napari_unet.nn.formats.factors import Factors
from napari_unet.nn.formats.units import Unit, Way, norm_size


@dataclass
class LayerWriter:
    """Writes down layers; `value` is the number of the last step.

    Parameters
    ----------
    answers
        To what shapes cannot tell.
    steps
        So far.
    value
        What the next layer reads.
    channels
        Of the image and of each step's result.
    growing
        Whether the decoder has begun.
    """

    answers: Mapping[str, str]
    steps: list[AnyStep] = field(default_factory=list)
    value: int = 0
    channels: list[int] = field(default_factory=list)
    growing: bool = False

    def add(self, step: AnyStep) -> int:
        """Write a step; return its number."""
        given = [self.channels[value] for value in step.inputs]
        self.channels.append(channels_out(step, given))
        self.steps.append(step)
        self.value = len(self.steps)
        return self.value

    def unit(
        self,
        unit: Unit,
        way: Way,
        stride: Factors | None,
        active: bool,
        of_up: bool = False,
    ) -> None:
        """Write a convolution with its norm and activation, in the order answered."""
        order = self.answers.get("order", "convolution_norm_activation")
        for part in order.split("_"):
            if part == "convolution":
                self.convolve(unit, way, stride)
            elif part == "norm":
                self.norm(unit)
            elif active or order.endswith("convolution"):
                self.activate(unit, of_up)

    def convolve(self, unit: Unit, way: Way, stride: Factors | None) -> None:
        """Write a convolution."""
        ones = (1,) * len(unit.kernel)
        same = self.answers["padding"] != "valid"
        padding = tuple((k - 1) // 2 if same else 0 for k in unit.kernel)
        self.add(
            Convolution(
                inputs=(self.value,),
                name=unit.path,
                out=way.n_out,
                kernel=unit.kernel,
                stride=stride or ones,
                padding=padding,
                groups=way.groups,
                bias=unit.bias,
                padding_mode="reflect"
                if self.answers["padding"] == "reflect"
                else "zeros",
            )
        )

    def grow(self, factor: Factors) -> None:
        """Write an interpolation."""
        self.growing = True
        how = self.answers.get("upsampling", "linear")
        self.add(
            Resize(
                inputs=(self.value,),
                factor=tuple(float(f) for f in factor),
                mode="nearest" if how == "nearest" else "linear",
                align_corners=how == "linear_corners",
            )
        )

    def up(self, unit: Unit, n_out: int, factor: Factors) -> None:
        """Write a transposed convolution with its norm and activation."""
        self.growing = True
        padding = tuple(
            (k - f + 1) // 2 for k, f in zip(unit.kernel, factor, strict=True)
        )
        extra = tuple(
            f - k + 2 * p for k, f, p in zip(unit.kernel, factor, padding, strict=True)
        )
        stretched = self.answers.get("stretch") == "yes" and any(extra)
        self.add(
            Convolution(
                inputs=(self.value,),
                name=unit.path,
                out=n_out,
                kernel=unit.kernel,
                stride=factor,
                padding=padding,
                bias=unit.bias,
                transposed=True,
                output_padding=None if stretched or not any(extra) else extra,
            )
        )
        if stretched:
            ones = tuple(int(e > 0) for e in extra)
            none = (0,) * len(ones)
            self.add(
                Pad(inputs=(self.value,), before=ones, after=none, mode="replicate")
            )
        active = self.answers.get("up_activation", "no") != "no"
        if unit.norm is not None or active:
            self.norm(unit)
        if active:
            self.activate(unit, True)

    def norm(self, unit: Unit) -> None:
        """Write a unit's norm, also one without weights."""
        kind = self.answers.get("norm", "none")
        if unit.norm is None:
            hidden = kind == "instance_hidden" and not unit.pointwise
            if hidden:
                self.add(Norm(inputs=(self.value,), kind="instance", affine=False))
            return
        shapes = unit.norm.shapes
        tracked = "running_mean" in shapes
        given = {
            "inputs": (self.value,),
            "name": unit.norm.path,
            "affine": "weight" in shapes,
            "tracked": tracked,
            "eps": float(self.answers.get("epsilon", 1e-5)),
        }
        if kind.startswith("group"):
            size = norm_size(unit.norm)
            groups = int(re.sub(r"\D", "", kind))
            if size < groups:
                groups = size if kind.startswith("groups") else 1
            groups = groups if size % groups == 0 else 1
            self.add(Norm.parse({**given, "kind": "group", "groups": groups}))
        else:
            kinds = "instance" if kind == "instance" else "batch"
            self.add(Norm.parse({**given, "kind": kinds}))

    def activate(self, unit: Unit, of_up: bool = False) -> None:
        """Write a unit's activation; that of an up-sampling may be another."""
        if unit.activation is not None:
            size = norm_size(unit.activation)
            self.add(
                Activation(
                    inputs=(self.value,),
                    name=unit.activation.path,
                    kind="prelu",
                    parameters=size,
                )
            )
            return
        asked = self.answers["activation"]
        if self.growing and self.answers.get("decoder_activation") == "relu":
            asked = "relu"
        if of_up and self.answers.get("up_activation") == "relu":
            asked = "relu"
        kind, _, slope = asked.rpartition("_")
        if kind == "leaky_relu":
            step = {"kind": kind, "slope": float(slope)}
        elif asked == "elu":
            step = {"kind": "elu", "slope": 1.0}
        elif asked == "none":
            return
        else:
            step = {"kind": asked}
        self.add(Activation.parse({"inputs": (self.value,), **step}))

    def pointwise(self, unit: Unit, value: int) -> int:
        """Write a pointwise convolution of `value` and its norm."""
        self.value = value
        self.convolve(unit, unit.ways[0], None)
        self.norm(unit)
        return self.value
