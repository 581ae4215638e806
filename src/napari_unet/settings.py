"""Settings: one frozen class each for the form, the argument, the flags and the recipe.

A default is written once, here. Field descriptions are the tooltips and the help texts.
"""

from __future__ import annotations

import numbers
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from napari_unet.graph_settings import Graph
from napari_unet.processing_settings import ProcessingStep
from napari_unet.settings_base import Settings as Settings

FORMAT_VERSION = 1

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Percentile = Annotated[float, Field(ge=0.0, le=100.0)]


class Normalization(Settings):
    """How intensities are brought to the range that the network was trained on.

    ``(x - low) / (high - low)``, with `low` and `high` percentiles of the whole image.
    """

    low: Percentile = Field(1.0, description="Percentile that becomes 0.")
    high: Percentile = Field(99.8, description="Percentile that becomes 1.")
    joint_channels: bool = Field(
        False, description="Measure all channels together instead of one by one."
    )
    joint_frames: bool = Field(
        False, description="Measure all time frames together instead of one by one."
    )
    clip: bool = Field(False, description="Clip to 0..1 after scaling.")
    invert: bool = Field(
        False, description="Swap dark and bright: for dark cells on bright ground."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g} must be below high = {self.high:g}")
        return self


class Tiling(Settings):
    """How an image is cut into tiles for the network."""

    tile: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (),
        max_length=3,
        description="Written pixels per spatial axis, rounded up to the divisor; one "
        "number for all axes; empty: chosen from the memory budget.",
    )
    memory_budget: int = Field(
        2 * 2**30,
        ge=2**24,
        description="Bytes that the network may use for one tile (a fixed number, "
        "so that the same image gives the same tiles everywhere).",
    )
    border: Literal["network", "mirror"] = Field(
        "network",
        description="Beyond the image: what the network itself pads, or the image "
        "mirrored by the halo.",
    )

    @field_validator("tile", mode="before")
    @classmethod
    def _one_number(cls, value: object) -> object:
        return (value,) if isinstance(value, numbers.Integral) else value


class Prediction(Settings):
    """How the network is run."""

    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Arithmetic of the network; float32 is the reference."
    )
    test_time_averaging: Literal["none", "flips", "rotations"] = Field(
        "none",
        description="Average over mirrored (and turned) copies: slower, a little "
        "better.",
    )
    stored: Literal["uint16", "uint8"] = Field(
        "uint16", description="Fixed-point type in which probabilities are kept."
    )


class Separation(Settings):
    """How probabilities become one label per cell."""

    seed_threshold: Annotated[float, Field(ge=-1.0, le=1.0)] = Field(
        0.7,
        description="A seed is where interior minus boundary (or the distance "
        "channel) is above this.",
    )
    min_seed_size: int = Field(
        12,
        ge=1,
        description="Seeds with fewer pixels of the image are ignored; the model's own "
        "number is converted where the image is scaled to the model.",
    )
    mask_threshold: Fraction = Field(
        0.5,
        description="A cell pixel is where interior plus boundary (or the distance "
        "channel) is above this.",
    )
    min_size: int = Field(
        15,
        ge=0,
        description="Objects with fewer pixels of the image are removed; the model's "
        "own number is converted where the image is scaled to the model.",
    )
    fill_holes: bool = Field(
        True, description="Fill background that one object encloses."
    )
    keep_unseeded: bool = Field(
        False,
        description="Keep a connected region without a seed as one object, if it is "
        "large enough.",
    )
    connectivity: int = Field(
        1,
        ge=1,
        le=3,
        description="Which pixels are neighbours: 1 faces, 2 also edges, 3 also "
        "corners.",
    )
    link: Literal["", "T", "Z", "TZ", "ZT"] = Field(
        "",
        description="Axes along which objects of neighbouring slices or frames share "
        "one label when they overlap.",
    )
    link_overlap: Fraction = Field(
        0.25, description="Smallest IoU of two objects that are linked."
    )

    def scaled(self, factor: float) -> Self:
        """Return it for pixels that are smaller: sizes count `factor` times as many."""
        if factor == 1:
            return self
        return self.replace(
            min_seed_size=max(1, round(self.min_seed_size * factor)),
            min_size=round(self.min_size * factor),
        )


class Architecture(Settings):
    """Arguments of `napari_unet.nn.unet.UNet`."""

    ndim: Literal[2, 3] = Field(2, description="Spatial dimensions.")
    in_channels: int = Field(1, ge=1, le=4096, description="Image channels.")
    out_channels: int = Field(3, ge=1, le=4096, description="Output channels.")
    depth: int = Field(4, ge=1, le=8, description="Number of poolings.")
    base_channels: int = Field(
        32, ge=1, le=4096, description="Channels of the first stage; doubled at each."
    )
    padded: bool = Field(
        True, description="Zero-padded convolutions; False: valid, as in 2015."
    )
    norm: Literal["none", "batch", "instance"] = Field(
        "batch", description="Normalisation after each convolution."
    )
    upsampling: Literal["transposed", "bilinear", "nearest"] = Field(
        "transposed", description="How the expansive path grows."
    )
    pooling: tuple[tuple[Annotated[int, Field(ge=1, le=4)], ...], ...] = Field(
        (), description="Pooling per stage and axis; empty: 2 everywhere."
    )
    dropout: Fraction = Field(
        0.0, description="Dropout at the end of the contracting path."
    )


class Credits(Settings):
    """Who made a model, and on what terms it may be used."""

    authors: tuple[str, ...] = Field(
        (), description="Names of the authors, with commas between them."
    )
    licence: str = Field(
        "", description="SPDX identifier of the licence, such as CC-BY-4.0."
    )
    cite: tuple[Annotated[str, Field(pattern=r"^10\.\S+/\S+$")], ...] = Field(
        (), description="DOIs to cite, with commas between them."
    )


class Opaque(Settings):
    """A network that runs as its file describes it: it is not rebuilt, nor trained."""

    ndim: Literal[2, 3] = Field(description="Spatial dimensions.")
    in_channels: int = Field(ge=1, le=4096, description="Image channels.")
    out_channels: int = Field(ge=1, le=4096, description="Output channels.")
    format: Literal["ONNX", "TorchScript", "Python"] = Field(
        description="What describes it."
    )


class Recipe(Settings):
    """All that must travel with the weights for the same answer elsewhere."""

    format_version: int = FORMAT_VERSION
    name: str = ""
    description: str = ""
    architecture: Architecture | Graph | Opaque = Field(
        union_mode="left_to_right",
        description="Of this package's U-Net, or of a network from elsewhere.",
    )
    channels: tuple[str, ...] = Field(
        description="Meaning of the output channels: background, interior, boundary, "
        "distance, or class names."
    )
    input_channels: tuple[str, ...] = ()
    task: Literal["instances", "semantic"] = "instances"
    activation: Literal["softmax", "sigmoid", "none"] = Field(
        "softmax",
        description="What turns the network's numbers into probabilities; a distance "
        "channel is no class, and softmax leaves it as it is.",
    )
    pixel_size: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        None, description="Micrometres per pixel and spatial axis, if known."
    )
    diameter: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Median object diameter in pixels, if known."
    )
    scale: Annotated[float, Field(gt=0)] = Field(
        1.0,
        description="Network pixels per image pixel where neither pixel size nor "
        "diameter says: as the images were scaled that it was trained on.",
    )
    size_volume: Annotated[float, Field(gt=0)] = Field(
        1.0,
        description="Network pixels in an image pixel where the sizes of the "
        "separation were counted; not 1 where training images were scaled.",
    )
    normalization: Normalization = Normalization()
    preprocessing: tuple[ProcessingStep, ...] = Field(
        (), description="Steps of a foreign description, instead of the normalisation."
    )
    postprocessing: tuple[ProcessingStep, ...] = Field(
        (), description="Steps of a foreign description, after the activation."
    )
    separation: Separation = Separation()
    training: dict[str, Any] = Field({})
    scores: dict[str, Any] = Field({})
    authors: tuple[str, ...] = ()
    licence: str = ""
    cite: tuple[str, ...] = ()
    versions: dict[str, str] = Field({})
    refusal: str = Field(
        "", description="Why images cannot be segmented with it; empty: they can."
    )
