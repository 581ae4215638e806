"""Choice: what the Train widget trains, from what and where to, as one value."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_unet.engine.training_order import StartModel
from napari_unet.plugin.remembered_answers import Answers, answers_to
from napari_unet.settings import Settings
from napari_unet.training_settings import AUGMENTATIONS, LOSSES, Loss, Training

NEW = "a new network"
EVERYWHERE = "everywhere"

LossName = Literal["default", "ronneberger2015", "falk2019"]
AugmentationName = Literal["default", "none", "light", "ronneberger2015", "strong"]


class PairChoice(Settings):
    """An annotated image in the viewer."""

    image: str = Field(
        "", description="Image layer to learn from; of several channels, from all."
    )
    labels: str = Field(
        "",
        description="Labels layer with one number per cell; 0 is background, -1 is not "
        "annotated.",
    )
    annotated: str = Field(
        "",
        description="Shapes layer around what is annotated; all outside counts "
        "nowhere, so a few cells in a rectangle are enough.",
    )


class TrainChoice(Settings):
    """What a user chose in the Train widget."""

    pairs: tuple[PairChoice, ...] = Field(
        (), description="Annotated images in the viewer."
    )
    folder: str = Field(
        "", description="Folder of images and labels, taken if it is not empty."
    )
    ignore_label: int = Field(
        0,
        ge=0,
        description="Number in the labels that means 'not annotated', where -1 is not "
        "possible; 0: none.",
    )
    planes: bool = Field(
        False, description="Train a 2-D network on the annotated planes of stacks."
    )
    start: str = Field(
        "", description="Model to go on from (fine-tuning); empty: a new network."
    )
    choices: dict[str, str] = Field(
        {},
        description="Answers to what that model's file does not say, as in load_model; "
        "empty: those given here or in Segment, else guesses.",
    )
    minutes: float = Field(5.0, gt=0, description="Time to train, minutes.")
    steps: int = Field(
        0, ge=0, description="Optimiser steps instead of minutes; 0: by time."
    )
    loss: LossName = Field(
        "default",
        description="Weights of the loss: ours, those of the 2015 paper, or those of "
        "the 2019 Fiji plugin.",
    )
    w0: float = Field(10.0, ge=0, le=100, description="Height of the border weights.")
    sigma: float = Field(
        5.0, gt=0, le=30, description="Reach of the border weights, pixels."
    )
    augmentation: AugmentationName = Field(
        "default", description="How patches are varied; see the sheet."
    )
    network: Training = Field(
        default_factory=Training, description="Network, batch and the rest."
    )
    out: str = Field("", description="File of the model, ending in .safetensors.")

    def training(self) -> Training:
        """Return the settings that the training takes.

        What is as usual does not count as given: there a model to go on from decides.
        """
        usual = Training()
        chosen = {
            name: value for name, value in self.network if value != getattr(usual, name)
        }
        return Training.parse(
            {
                **chosen,
                "steps": self.steps or None,
                "minutes": self.minutes,
                "loss": self.loss_settings(),
                "augmentation": AUGMENTATIONS[self.augmentation](),
            }
        )

    def loss_settings(self) -> Loss:
        """Return the preset of the loss with the height and reach chosen."""
        preset: Loss = LOSSES[self.loss]()
        return preset.replace(w0=self.w0, sigma=self.sigma)


def start_of(choice: TrainChoice) -> StartModel | None:
    """Return the model to go on from, with the answers given here or in Segment."""
    if not choice.start:
        return None
    said = Answers(choice.choices) if choice.choices else answers_to(choice.start)
    said = said or Answers()
    return StartModel(choice.start, tuple(sorted(said.choices.items())), said.sha256)
