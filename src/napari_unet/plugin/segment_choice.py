"""Choice: all that the Segment widget holds, as one value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from napari_unet.core.channels import first_channels
from napari_unet.plugin.layers import LayerImage
from napari_unet.settings import (
    Normalization,
    Prediction,
    Separation,
    Settings,
    Tiling,
)

if TYPE_CHECKING:
    from napari_unet.pipeline.model_card import ModelCard
    from napari_unet.plugin.preferences import Preferences

RegionChoice = Literal[
    "Everything", "Visible part", "Selected shape", "Current slice or frame"
]


class SegmentChoice(Settings):
    """What a user chose in the Segment widget."""

    layer: str = Field("", description="Name of the image layer.")
    axes: str = Field("", description="Axes of its array; empty: guessed.")
    channels: tuple[int, ...] = Field(
        (),
        description="Channels of the image that the model sees, counted from 0, in its "
        "order; empty: the first, or of colour a grey of all.",
    )
    model: str = Field("nuclei", description="Bundled name or path of the model.")
    choices: dict[str, str] = Field(
        {},
        description="Answers to what the model's file does not say, as in load_model; "
        "empty: those given before, else guesses.",
    )
    region: RegionChoice = Field("Everything", description="What is segmented.")
    diameter: float = Field(
        0.0,
        ge=0.0,
        description="Typical object diameter in pixels of this image; the image is "
        "scaled to the model's, and smallest sizes that are the model's own follow. "
        "0: as it is, or by the pixel size where known.",
    )
    invert: bool = Field(
        False, description="Swap dark and bright: for dark cells on bright ground."
    )
    prediction: Prediction = Field(
        default_factory=Prediction, description="How the network is run."
    )
    separation: Separation = Field(
        default_factory=Separation, description="How cells are told apart."
    )


def options_of(
    choice: SegmentChoice,
    image: LayerImage,
    card: ModelCard,
    preferences: Preferences,
) -> dict[str, Any]:
    """Return the pipeline's options for a choice, but for what is segmented."""
    sizes = image.n_channels, card.recipe.architecture.in_channels
    inverted = card.recipe.normalization.invert != choice.invert
    normalization = Normalization(invert=choice.invert) if inverted else Normalization()
    return {
        "axes": image.axes,
        "rgb": image.rgb,
        "channels": choice.channels or first_channels(*sizes, rgb=image.rgb),
        "pixel_size": image.pixel_size or None,
        "diameter": choice.diameter or None,
        "tiling": Tiling(memory_budget=preferences.memory_budget),
        "prediction": choice.prediction,
        "separation": choice.separation,
        "normalization": normalization,
        "device": preferences.device,
    }
