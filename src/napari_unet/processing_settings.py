"""Steps that a foreign description asks for before and after its network.

Named and meant as in the bioimage.io specification. What is measured is measured on
whole images: each sample by itself, or all samples of an image together.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from napari_unet.settings_base import Settings

Low = Annotated[float, Field(ge=0.0, lt=100.0)]
High = Annotated[float, Field(gt=0.0, le=100.0)]
Epsilon = Annotated[float, Field(ge=0.0, le=0.1)]
# One number, or one for each channel.
PerChannel = Annotated[tuple[float, ...], Field(min_length=1, max_length=4096)]


class Measured(Settings):
    """What is measured together."""

    per_channel: bool = False
    joint_samples: bool = False


class ScaleRange(Measured):
    """``(x - low) / (high - low + eps)``, with percentiles low and high.

    `unprocessed`: those of the image as it was before the first step.
    """

    step: Literal["scale_range"] = "scale_range"
    min_percentile: Low = 0.0
    max_percentile: High = 100.0
    eps: Epsilon = 1e-6
    unprocessed: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_percentile >= self.max_percentile:
            raise ValueError("min_percentile must be below max_percentile")
        return self


class ZeroMeanUnitVariance(Measured):
    """``(x - mean) / (std + eps)``."""

    step: Literal["zero_mean_unit_variance"] = "zero_mean_unit_variance"
    eps: Epsilon = 1e-6


class ScaleMeanVariance(Measured):
    """``(x - mean) / (std + eps) * (ref_std + eps) + ref_mean``; ref: the image."""

    step: Literal["scale_mean_variance"] = "scale_mean_variance"
    eps: Epsilon = 1e-6


class Clip(Measured):
    """Values beyond the ends become the ends; an end may be a percentile."""

    step: Literal["clip"] = "clip"
    min: float | None = None
    max: float | None = None
    min_percentile: Low | None = None
    max_percentile: High | None = None


class ScaleLinear(Settings):
    """``x * gain + offset``."""

    step: Literal["scale_linear"] = "scale_linear"
    gain: PerChannel = (1.0,)
    offset: PerChannel = (0.0,)


class FixedZeroMeanUnitVariance(Settings):
    """``(x - mean) / std``."""

    step: Literal["fixed_zero_mean_unit_variance"] = "fixed_zero_mean_unit_variance"
    mean: PerChannel
    std: Annotated[
        tuple[Annotated[float, Field(gt=0.0)], ...],
        Field(min_length=1, max_length=4096),
    ]


class Binarize(Settings):
    """1 above the threshold, else 0."""

    step: Literal["binarize"] = "binarize"
    threshold: PerChannel


class EnsureDtype(Settings):
    """Cast, cutting off what lies behind the point for integers."""

    step: Literal["ensure_dtype"] = "ensure_dtype"
    dtype: Literal[
        "float32",
        "float64",
        "uint8",
        "int8",
        "uint16",
        "int16",
        "uint32",
        "int32",
        "uint64",
        "int64",
        "bool",
    ]


class Sigmoid(Settings):
    """``1 / (1 + exp(-x))``."""

    step: Literal["sigmoid"] = "sigmoid"


class Softmax(Settings):
    """Over the channels."""

    step: Literal["softmax"] = "softmax"


ProcessingStep = Annotated[
    ScaleRange
    | ZeroMeanUnitVariance
    | ScaleMeanVariance
    | Clip
    | ScaleLinear
    | FixedZeroMeanUnitVariance
    | Binarize
    | EnsureDtype
    | Sigmoid
    | Softmax,
    Field(discriminator="step"),
]
