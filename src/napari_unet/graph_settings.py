"""A network from elsewhere as plain numbers and strings: the steps that it takes.

Each step names the values that it reads (0 is the image, n the result of step n) and,
if it has weights, the module that holds them: their keys are those of the file that
they came from, so fine-tuned weights go back there.
"""

from __future__ import annotations

import functools
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from napari_unet.settings_base import Settings

MOST_STEPS = 4096

Count = Annotated[int, Field(ge=1, le=65536)]
Factor = Annotated[int, Field(ge=1, le=64)]
Margin = Annotated[int, Field(ge=0, le=64)]
PerAxis = Annotated[tuple[Factor, ...], Field(min_length=2, max_length=3)]
Margins = Annotated[tuple[Margin, ...], Field(min_length=2, max_length=3)]
Scales = Annotated[
    tuple[Annotated[float, Field(gt=0, le=64)], ...], Field(min_length=2, max_length=3)
]

Activations = Literal[
    "relu",
    "leaky_relu",
    "elu",
    "gelu",
    "silu",
    "mish",
    "selu",
    "hardswish",
    "prelu",
    "sigmoid",
    "tanh",
    "softmax",
]


class Step(Settings):
    """What all steps have: the values read, and where their weights are."""

    inputs: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    name: str = Field("", max_length=512)


class Convolution(Step):
    """A convolution, or a transposed one; sizes per spatial axis."""

    op: Literal["convolution"] = "convolution"
    out: Count
    kernel: PerAxis
    stride: PerAxis
    padding: Margins
    dilation: Factor = 1
    groups: Count = 1
    bias: bool = True
    padding_mode: Literal["zeros", "reflect", "replicate"] = "zeros"
    transposed: bool = False
    output_padding: Margins | None = None


class Norm(Step):
    """A normalisation; `tracked`: by stored statistics, else by the image's own."""

    op: Literal["norm"] = "norm"
    kind: Literal["batch", "instance", "group"]
    groups: Count = 1
    affine: bool = True
    tracked: bool = False
    eps: Annotated[float, Field(gt=0, le=1)] = 1e-5


class Activation(Step):
    """A function of each value; `slope`: below zero, of leaky_relu or elu."""

    op: Literal["activation"] = "activation"
    kind: Activations = "relu"
    slope: Annotated[float, Field(ge=-1, le=2)] = 0.01
    parameters: Count = 1


class Pool(Step):
    """Pooling; the stride is the kernel's size unless it is given."""

    op: Literal["pool"] = "pool"
    kind: Literal["max", "average"] = "max"
    kernel: PerAxis
    stride: PerAxis | None = None
    padding: Margins | None = None


class Pad(Step):
    """More pixels at the low and high ends of each axis."""

    op: Literal["pad"] = "pad"
    before: Margins
    after: Margins
    mode: Literal["zeros", "reflect", "replicate"] = "zeros"


class Resize(Step):
    """Interpolation by a factor per axis."""

    op: Literal["resize"] = "resize"
    factor: Scales
    mode: Literal["nearest", "linear"] = "nearest"
    align_corners: bool = False


class Merge(Step):
    """Several values into one; `crop`: the centre of the first, as large as the second.

    The others take values of one size; the second of `multiply` may have one channel.
    """

    op: Literal["merge"] = "merge"
    kind: Literal["concatenate", "add", "crop", "multiply"]


AnyStep = Annotated[
    Convolution | Norm | Activation | Pool | Pad | Resize | Merge,
    Field(discriminator="op"),
]


class Graph(Settings):
    """A network as a list of steps; the last one's result is the output (logits)."""

    ndim: Literal[2, 3] = Field(2, description="Spatial dimensions.")
    in_channels: Count = Field(1, description="Image channels.")
    steps: tuple[AnyStep, ...] = Field(
        min_length=1, max_length=MOST_STEPS, description="In the order of execution."
    )
    family: str = Field("", max_length=200, description="Where it comes from.")

    @model_validator(mode="after")
    def _sound(self) -> Self:
        self._check_names()
        for number, step in enumerate(self.steps, start=1):
            if max(step.inputs) >= number:
                raise ValueError(f"step {number} reads a value that comes later")
            self._check_axes(number, step)
        _ = self.channels
        return self

    def _check_names(self) -> None:
        """Only slopes may be shared: one module may run after several layers."""
        named: dict[str, object] = {}
        for step in self.steps:
            kind = step.parameters if isinstance(step, Activation) else object()
            if step.name and named.setdefault(step.name, kind) != kind:
                raise ValueError("two steps share one name")

    def _check_axes(self, number: int, step: AnyStep) -> None:
        per_axis = [v for v in dict(step).values() if isinstance(v, tuple)][1:]
        if any(len(values) != self.ndim for values in per_axis):
            raise ValueError(f"step {number} does not have {self.ndim} axes")

    @functools.cached_property
    def channels(self) -> tuple[int, ...]:
        """Channels of the image and of each step's result."""
        found = [self.in_channels]
        for step in self.steps:
            given = [found[value] for value in step.inputs]
            found.append(channels_out(step, given))
        return tuple(found)

    @property
    def out_channels(self) -> int:
        """Output channels."""
        return self.channels[-1]


def channels_out(step: AnyStep, given: list[int]) -> int:
    """Return the channels of a step's result.

    Raises
    ------
    ValueError
        If it cannot take values of `given` channels.
    """
    if isinstance(step, Convolution):
        if given[0] % step.groups or step.out % step.groups:
            raise ValueError(f"{step.groups} groups do not divide the channels")
        return step.out
    if isinstance(step, Norm) and given[0] % step.groups:
        raise ValueError(f"{step.groups} groups do not divide {given[0]} channels")
    if isinstance(step, Merge):
        if step.kind == "concatenate":
            return sum(given)
        if step.kind == "add" and len(set(given)) > 1:
            raise ValueError(f"values of {given} channels cannot be added")
        if step.kind == "multiply" and not {1, given[0]} >= set(given[1:]):
            raise ValueError(f"values of {given} channels cannot be multiplied")
    return given[0]
