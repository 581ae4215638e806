"""Settings of training: augmentation, loss, targets and the loop.

Kept apart from `settings`, which a user who only segments reads; the same rules hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from napari_unet.errors import SettingsError
from napari_unet.settings import Fraction, Normalization, Settings

Span = tuple[float, float]
IN_PIXELS = "give sigma in micrometres: those of the presets are in pixels"


class Augmentation(Settings):
    """How training patches are varied; each probability is per patch.

    Elastic deformation as in Ronneberger et al. (2015): random displacements on a
    coarse grid, Gaussian, interpolated smoothly.
    """

    flips: bool = Field(True, description="Mirror along each axis (not Z if coarser).")
    rotation: Annotated[float, Field(ge=0, le=180)] = Field(
        180.0, description="Largest rotation in the YX plane, degrees."
    )
    rotation_probability: Fraction = Field(0.5, description="Share of patches turned.")
    scale: Span = Field((0.7, 1.4), description="Range of the zoom factor.")
    scale_probability: Fraction = Field(0.4, description="Share of patches zoomed.")
    elastic: Annotated[float, Field(ge=0)] = Field(
        10.0, description="Standard deviation of the displacements, pixels."
    )
    elastic_spacing: Annotated[float, Field(gt=1)] = Field(
        128.0, description="Distance of the grid of displacements, pixels."
    )
    elastic_probability: Fraction = Field(0.2, description="Share of patches deformed.")
    gain: Span = Field((0.7, 1.3), description="Range of the factor on intensities.")
    offset: Span = Field((-0.1, 0.1), description="Range added to intensities.")
    gamma: Span = Field((0.6, 1.6), description="Range of the exponent.")
    intensity_probability: Fraction = Field(
        0.5, description="Share of patches with changed intensity, each of the three."
    )
    blur: Span = Field((0.3, 1.5), description="Range of the Gaussian blur, pixels.")
    blur_probability: Fraction = Field(0.15, description="Share of patches blurred.")
    noise: Span = Field(
        (0.0, 0.1), description="Range of the noise, in units of the scaled intensity."
    )
    noise_probability: Fraction = Field(
        0.15, description="Share of patches with noise."
    )
    low_resolution: Span = Field(
        (0.5, 1.0), description="Range of the resolution that is simulated."
    )
    low_resolution_probability: Fraction = Field(
        0.1, description="Share of patches with lower resolution."
    )

    @classmethod
    def none(cls) -> Self:
        """Nothing is varied: the patch is a crop."""
        return cls(
            flips=False,
            rotation_probability=0.0,
            scale_probability=0.0,
            elastic_probability=0.0,
            intensity_probability=0.0,
            blur_probability=0.0,
            noise_probability=0.0,
            low_resolution_probability=0.0,
        )

    @classmethod
    def light(cls) -> Self:
        """Flips, some turns and small changes of brightness: many images, all alike."""
        return cls.none().replace(
            flips=True,
            rotation_probability=0.25,
            scale=(0.85, 1.2),
            scale_probability=0.25,
            gain=(0.85, 1.15),
            offset=(-0.05, 0.05),
            gamma=(0.8, 1.25),
            intensity_probability=0.3,
        )

    @classmethod
    def ronneberger2015(cls) -> Self:
        """The U-Net paper: every patch turned, deformed, its grey values varied.

        Displacements with a standard deviation of 10 pixels at the nodes of a grid of
        3 x 3 in a patch of 256 pixels, interpolated smoothly. The shift lies in the
        choice of the patch and in the mean of the displacements. The paper gives no
        numbers for the grey values; ours stand in. It names no mirroring.
        """
        return cls.none().replace(
            rotation=180.0,
            rotation_probability=1.0,
            elastic=10.0,
            elastic_spacing=128.0,
            elastic_probability=1.0,
            gain=(0.75, 1.25),
            offset=(-0.1, 0.1),
            gamma=(0.7, 1.4),
            intensity_probability=1.0,
        )

    @classmethod
    def strong(cls) -> Self:
        """Wide ranges, often: a handful of images, or a model for many microscopes."""
        return cls(
            rotation_probability=0.8,
            scale=(0.5, 2.0),
            scale_probability=0.7,
            elastic=12.0,
            elastic_spacing=96.0,
            elastic_probability=0.5,
            gain=(0.5, 1.5),
            offset=(-0.2, 0.2),
            gamma=(0.5, 2.0),
            intensity_probability=0.7,
            blur=(0.3, 2.5),
            blur_probability=0.3,
            noise=(0.0, 0.15),
            noise_probability=0.3,
            low_resolution=(0.3, 1.0),
            low_resolution_probability=0.25,
        )


AUGMENTATIONS: Mapping[str, Callable[[], Augmentation]] = {
    "none": Augmentation.none,
    "light": Augmentation.light,
    "default": Augmentation,
    "ronneberger2015": Augmentation.ronneberger2015,
    "strong": Augmentation.strong,
}
"""Presets of augmentation by name; the default is close to nnU-Net's."""


class Loss(Settings):
    """What the network is taught, and how pixels weigh.

    The weight of a pixel is its class's weight plus the border term; see
    `napari_unet.core.border_weights`.
    """

    target: Literal["three_class", "two_class", "distance", "semantic"] = Field(
        "three_class",
        description="three_class: background, interior, boundary; two_class: the form "
        "of 2015; distance: three classes and a distance channel; semantic: classes.",
    )
    formula: Literal["ronneberger2015", "falk2019"] = Field(
        "ronneberger2015",
        description="Border weights of the paper, or of the authors' Fiji plugin, "
        "where far background counts little and class weights are not used.",
    )
    w0: Annotated[float, Field(ge=0)] = Field(
        10.0, description="Height of the border weights."
    )
    sigma: Annotated[float, Field(gt=0)] = Field(
        5.0, description="Reach of the border weights, in the unit below."
    )
    sigma_unit: Literal["pixels", "micrometres"] = Field(
        "pixels",
        description="Unit of sigma: pixels of X, or micrometres, for which images need "
        "a pixel size.",
    )
    boundary_width: Annotated[float, Field(gt=0)] = Field(
        4.0, description="Width of the boundary class, pixels."
    )
    class_weights: Literal["none", "balance"] = Field(
        "none",
        description="balance: weigh classes by inverse frequency, at most 10 to 1, "
        "such that the average pixel weighs 1.",
    )
    dice: Annotated[float, Field(ge=0)] = Field(
        0.5, description="Weight of the Dice term beside cross-entropy."
    )
    focal: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Focal exponent: above 0 for rare classes."
    )
    distance: Annotated[float, Field(ge=0)] = Field(
        1.0, description="Weight of the distance term, where there is that channel."
    )

    @model_validator(mode="after")
    def _sigma_in_its_unit(self) -> Self:
        if self.sigma_unit != "pixels" and "sigma" not in self.model_fields_set:
            raise ValueError(IN_PIXELS)
        return self

    def replace(self, **changes: Any) -> Self:
        """Return a validated copy with `changes`; another unit needs another sigma."""
        unit = changes.get("sigma_unit", "pixels")
        changed = unit != "pixels" and self.sigma_unit == "pixels"
        if changed and "sigma" not in changes:
            raise SettingsError(f"Loss: {IN_PIXELS}.", "Give sigma beside sigma_unit.")
        return super().replace(**changes)

    @classmethod
    def ronneberger2015(cls) -> Self:
        """Two classes, a carved gap, w0 = 10, sigma = 5 px, balanced classes."""
        return cls(target="two_class", class_weights="balance", dice=0.0)

    @classmethod
    def falk2019(cls) -> Self:
        """Two classes, a carved gap, weight 50, sigma = 6 px, background floor."""
        return cls(target="two_class", formula="falk2019", w0=50.0, sigma=6.0, dice=0.0)


LOSSES: Mapping[str, Callable[[], Loss]] = {
    "default": Loss,
    "ronneberger2015": Loss.ronneberger2015,
    "falk2019": Loss.falk2019,
}
"""Presets of the loss by name."""


class Training(Settings):
    """The loop: budget, batches, optimiser, validation."""

    minutes: Annotated[float, Field(gt=0)] | None = Field(
        5.0, description="Time budget, minutes; ignored if steps are given."
    )
    steps: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Budget in optimiser steps."
    )
    patch: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (),
        max_length=3,
        description="Patch size per spatial axis, rounded up to what the network "
        "takes; one number for all; empty: 256 in 2-D, 2^18 voxels in 3-D, and no "
        "larger than the images.",
    )
    scale_to: Literal["", "diameter", "pixel_size"] = Field(
        "",
        description="What images are scaled to before training: the median diameter "
        "of the objects of the model that is trained further, or one pixel size (that "
        "model's, else the images' middle one); empty: nothing.",
    )
    image_scale: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Network pixels per image pixel, given directly: images are "
        "scaled by it before training, and later before segmentation; none given: 1, "
        "or that of the model that is trained further.",
    )
    batch: int = Field(4, ge=1, description="Patches per step.")
    depth: int = Field(4, ge=1, le=8, description="Poolings of a new network.")
    base_channels: int = Field(
        8,
        ge=1,
        le=1024,
        description="First stage's channels of a new network: 8 suit minutes on a "
        "processor, 16 or 32 an accelerator, or hours.",
    )
    optimizer: Literal["adamw", "sgd"] = Field(
        "adamw", description="AdamW, or SGD with Nesterov momentum 0.99."
    )
    learning_rate: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Peak learning rate, after warm-up and before the cosine; none "
        "given: 0.001 (adamw) or 0.01 (sgd), a third of it from a trained model.",
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        1e-4, description="Weight decay."
    )
    warmup: Fraction = Field(0.05, description="Part of the budget for warm-up.")
    ema: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.99, description="Decay of the weights' moving average; 0: none."
    )
    clip_gradient: Annotated[float, Field(gt=0)] = Field(
        12.0, description="Largest norm of the gradient."
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="auto: bfloat16 where the processor has it."
    )
    validation: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="Part of the images (or of one image) kept for validation."
    )
    validate_every: Annotated[float, Field(gt=0, le=1)] = Field(
        0.1, description="Part of the budget between validations."
    )
    patience: int = Field(
        0, ge=0, description="Validations without progress before stopping; 0: never."
    )
    tune_for: Literal["ap", "rand"] = Field(
        "ap",
        description="What final thresholds suit best: single objects (ap, mean AP), "
        "or tissue without gaps (rand, the Rand index), where two large cells in one "
        "are worse than many small errors.",
    )
    foreground: Fraction = Field(
        0.5, description="Share of patches centred on an object (or a rare class)."
    )
    classes: tuple[str, ...] = Field(
        (),
        description="Names of the classes, background first, for semantic labels; "
        "empty: background, class_1, ...",
    )
    random_seed: int = Field(0, ge=0, description="Same seed, same weights.")
    normalization: Normalization = Normalization()
    augmentation: Augmentation = Augmentation()
    loss: Loss = Loss()

    @model_validator(mode="after")
    def _limited(self) -> Self:
        if self.minutes is None and self.steps is None:
            raise ValueError("give minutes or steps: without either it never ends")
        if self.scale_to and self.image_scale is not None:
            raise ValueError("give scale_to or image_scale: both say how to scale")
        return self

    @field_validator("patch", mode="before")
    @classmethod
    def _one_number(cls, value: object) -> object:
        return (value,) if isinstance(value, int) else value
