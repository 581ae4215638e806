"""Segment plan: from what is chosen to what will be done, without doing it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import psutil

from napari_unet.errors import ChannelsError, SettingsError
from napari_unet.pipeline.given import plan_given
from napari_unet.pipeline.held import held_part
from napari_unet.pipeline.model_card import ModelCard
from napari_unet.pipeline.options import Options, parse_options
from napari_unet.pipeline.plan import Plan, make_plan
from napari_unet.plugin.layers import LayerImage
from napari_unet.plugin.preferences import read_preferences
from napari_unet.plugin.segment_choice import SegmentChoice, options_of

# Of the machine's memory, how much labels and probabilities on screen may take.
LARGEST_SHARE = 0.5
LABEL_BYTES = 8  # those of the job, and those on screen
# Bytes of labels and probabilities of a whole image beyond which those of a region have
# a shape of their own: napari draws whole planes. Fixed, too, like the next one.
CROPPED = 2**30
# Bytes beyond which an image that is on disk is segmented from there to there: a fixed
# number, so that the same image takes the same way everywhere.
LARGE = 2**31


def plan_for(
    choice: SegmentChoice,
    image: LayerImage,
    card: ModelCard | None,
    part: Mapping[str, Any],
) -> Plan:
    """Return the plan for a choice.

    Parameters
    ----------
    choice
        Of the widget.
    image
        The layer as the pipeline sees it.
    card
        Of the model; None: the image holds probabilities.
    part
        What of it is segmented: `region` and `outline`, as in `Options`.

    Raises
    ------
    UNetError
        If something does not fit; the message says what to do.
    """
    preferences = read_preferences()
    if card is None:
        given = {"separation": choice.separation, "rgb": False, **part}
        plan = plan_given(image.data, image.axes, parse_options(given))
    else:
        options = options_of(choice, image, card, preferences)
        plan = _planned(image, card, parse_options({**options, **part}))
    is_part = plan.options.region is not None
    if is_part and _n_bytes(plan, plan.axes.labels_shape) > CROPPED:
        cropped = dataclasses.replace(plan.options, crop=True)
        plan = dataclasses.replace(plan, options=cropped)
    if card is None or not goes_to_disk(plan):
        _check_memory(plan)
    return plan


def _planned(image: LayerImage, card: ModelCard, options: Options) -> Plan:
    """Return the pipeline's plan; what it refuses is said in the form's words."""
    try:
        return make_plan(image.data, card, options)
    except ChannelsError as error:
        if options.channels:
            raise
        wanted = ", ".join("0" * card.recipe.architecture.in_channels)
        raise ChannelsError(
            error.problem,
            f"Name a channel for each under Channels, such as {wanted}, or correct the "
            "axes.",
        ) from None


def goes_to_disk(plan: Plan) -> bool:
    """Whether labels go to disk block by block: of all of a large image on disk."""
    in_memory = isinstance(plan.image, np.ndarray)
    is_all = plan.options.region is None
    return not in_memory and is_all and _n_bytes(plan, plan.axes.labels_shape) > LARGE


def _n_bytes(plan: Plan, shape: tuple[int, ...]) -> int:
    """Return the bytes of labels and probabilities of this shape on screen."""
    stored = 2 if plan.options.prediction.stored == "uint16" else 1
    n_channels = len(plan.model.recipe.channels)
    return int(math.prod(shape) * (LABEL_BYTES + stored * n_channels))


def _check_memory(plan: Plan) -> None:
    """Refuse what would not fit in memory."""
    needed = _n_bytes(plan, held_part(plan).shape)
    limit = LARGEST_SHARE * psutil.virtual_memory().total
    if needed > limit:
        raise SettingsError(
            f"Labels and probabilities would take {needed / 2**30:.0f} GiB of memory.",
            "Choose a region, or run `napari-unet segment` in a shell, which works "
            "from disk to disk.",
        )


def scaled_note(plan: Plan) -> str:
    """Return what to know about the scale before running; empty if nothing."""
    return next((note for note in plan.notes if "is scaled by" in note), "")
