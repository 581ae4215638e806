"""Segment plan: from what is chosen to what will be done, without doing it."""

from __future__ import annotations

import math
from typing import Any

import psutil

from napari_unet.errors import SettingsError
from napari_unet.pipeline.given import plan_given
from napari_unet.pipeline.model_card import ModelCard
from napari_unet.pipeline.options import parse_options
from napari_unet.pipeline.plan import Plan, make_plan
from napari_unet.plugin.layers import LayerImage
from napari_unet.plugin.preferences import read_preferences
from napari_unet.plugin.segment_choice import SegmentChoice, options_of

# Of the machine's memory, how much labels and probabilities on screen may take.
LARGEST_SHARE = 0.5
LABEL_BYTES = 8  # those of the job, and those on screen


def plan_for(
    choice: SegmentChoice,
    image: LayerImage,
    card: ModelCard | None,
    region: dict[str, Any] | None,
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
    region
        What of it is segmented.

    Raises
    ------
    UNetError
        If something does not fit; the message says what to do.
    """
    preferences = read_preferences()
    if card is None:
        given = {"separation": choice.separation, "region": region, "rgb": False}
        plan = plan_given(image.data, image.axes, parse_options(given))
    else:
        options = options_of(choice, image, card, preferences, region=region)
        plan = make_plan(image.data, card, parse_options(options))
    _check_memory(plan)
    return plan


def _check_memory(plan: Plan) -> None:
    """Refuse what would not fit in memory; a region alone is never allocated whole."""
    region = plan.region
    n_pixels = len(region.samples) * math.prod(p.stop - p.start for p in region.box)
    stored = 2 if plan.options.prediction.stored == "uint16" else 1
    needed = n_pixels * (LABEL_BYTES + stored * len(plan.model.recipe.channels))
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
