"""Given probabilities: a layer or file of any network, separated as our own are."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator

import numpy as np

from napari_unet.core.axes import ArrayLike
from napari_unet.core.events import Event, SampleDone, Started
from napari_unet.core.fixed_point import to_fixed_point
from napari_unet.core.tiling import AxisGeometry
from napari_unet.errors import AxesError
from napari_unet.pipeline.held import empty_labels, held_part
from napari_unet.pipeline.linking import link
from napari_unet.pipeline.model_card import ModelCard
from napari_unet.pipeline.options import Options
from napari_unet.pipeline.outlined import kept_by
from napari_unet.pipeline.plan import Plan, make_plan
from napari_unet.pipeline.reading import Source
from napari_unet.pipeline.result import Segmentation
from napari_unet.pipeline.running import Backend, labels_of_area
from napari_unet.settings import Architecture, Recipe

# Every pixel is its own tile: nothing is predicted.
PIXEL = AxisGeometry(divisor=1, halo=(0, 0), crop=(0, 0), smallest=1)

NAMES = {
    1: ("interior",),
    2: ("background", "interior"),
    3: ("background", "interior", "boundary"),
}


def plan_given(image: ArrayLike, axes: str, options: Options) -> Plan:
    """Plan to separate probabilities; C may stand anywhere among `axes`, or nowhere.

    Raises
    ------
    AxesError
        If the number of channels has no meaning.
    """
    n = image.shape[axes.index("C")] if "C" in axes else 1
    if n not in NAMES:
        raise AxesError(
            f"An image of {n} channels does not hold probabilities of cells.",
            "Give interior alone; background and interior; or background, interior "
            "and boundary.",
        )
    ndim = 3 if "Z" in axes else 2
    architecture = Architecture(ndim=ndim, in_channels=n, out_channels=n)
    card = ModelCard(
        source="",
        recipe=Recipe(architecture=architecture, channels=NAMES[n]),
        sha256="",
        notes=(f"The channels are taken for {', '.join(NAMES[n])}.",),
        geometry=(PIXEL,) * ndim,
        bytes_per_pixel=1.0,
        tile_dependent_layers=(),
    )
    plain = dataclasses.replace(options, axes=axes, pixel_size=None, diameter=None)
    return make_plan(image, card, plain)


def run_given(plan: Plan, backend: Backend) -> Generator[Event, None, Segmentation]:
    """Separate probabilities sample by sample; events are those of `running.run`."""
    axes, recipe = plan.axes, plan.model.recipe
    held = held_part(plan)
    labels = empty_labels(held)
    stored = np.zeros((len(recipe.channels), *held.shape), np.uint16)
    samples = plan.region.samples
    yield Started(len(samples), stored, labels)
    source = Source(plan)
    for index, sample in enumerate(samples):
        target = held.probabilities(stored, sample)
        given = to_fixed_point(source.raw(sample)(held.area))
        given = given if given.dtype == np.uint16 else given * np.uint16(257)
        kept_by(plan, target, tuple(part.start for part in held.area))[...] = given
        found = labels_of_area(plan, held, backend, target, plan.separation)
        held.labels(labels, sample)[...] = found
        yield SampleDone(index + 1, len(samples), sample)
    return Segmentation(
        labels=link(labels, held.axes, plan.separation),
        probabilities=stored,
        channels=recipe.channels,
        axes=axes.labels_axes,
        spatial=axes.spatial,
        separation=plan.separation,
        notes=plan.notes,
        start=dict(held.start),
        provenance={
            "axes": axes.axes,
            "spatial": axes.spatial,
            "separation": plan.separation.model_dump(),
            "notes": list(plan.notes),
        },
    )
