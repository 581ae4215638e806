"""Training order: what is to be trained, as plain values that travel to a worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from napari_unet.training_settings import Training


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """One image with labels, as a layer holds them.

    Parameters
    ----------
    name
        What it is called in messages.
    image
        Any axes and dtype.
    axes
        One letter of TCZYX per axis of `image`.
    labels
        Axes of the image without C; 0 background, -1 not annotated.
    pixel_size
        Micrometres per pixel by axis letter, where known.
    """

    name: str
    image: npt.NDArray[Any]
    axes: str
    labels: npt.NDArray[Any]
    pixel_size: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StartModel:
    """Model that a training goes on from.

    Parameters
    ----------
    source
        Bundled name or path.
    choices
        Answers to what its file does not say, as in `load_model`.
    sha256
        Of the file that was meant by them; empty: whatever file it is.
    """

    source: str
    choices: tuple[tuple[str, str], ...] = ()
    sha256: str = ""


@dataclass(frozen=True, eq=False)
class TrainingOrder:
    """What is to be trained, from what, and where it is written.

    Parameters
    ----------
    layers
        Annotated images.
    folder
        Taken where there are no layers; see `napari_unet.io.pairing.find_pairs`.
    planes
        Whether stacks are taken plane by plane, for a 2-D network.
    components
        Whether labels are masks, which become one object per connected component.
    training
        Settings.
    out
        The checkpoint.
    start
        Model to go on from; None: a new network.
    options
        Fields of `napari_unet.nn.training.Options`, but for the model.
    """

    layers: tuple[AnnotatedImage, ...] = ()
    folder: str = ""
    planes: bool = False
    components: bool = False
    training: Training = field(default_factory=Training)
    out: str = ""
    start: StartModel | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
