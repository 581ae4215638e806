"""What nnU-Net's plans say about images: normalisation, pixel size, order of axes.

The formulas are nnU-Net's own, written as steps before the network; what cannot be
written so makes the recipe refuse images, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_unet.nn.formats.nnunet_plans import channels_of, plan_of
from napari_unet.processing_settings import (
    Clip,
    Measured,
    ProcessingStep,
    ScaleLinear,
    ScaleRange,
    ZeroMeanUnitVariance,
)
from napari_unet.settings import Recipe

# Never divided by less.
LEAST = 1e-8
# Readers of these files give millimetres.
IN_MILLIMETRES = (".nii", ".nii.gz", ".nrrd", ".mha", ".gipl")

CROPPED = (
    "nnU-Net first crops an image to the box of its values other than 0, which is not "
    "done here: results may differ for images with black margins."
)
# The spacing along Z that nnU-Net gives to images that have none.
FLAT = 999
SCHEMES: Mapping[str, ProcessingStep] = {
    "ZScoreNormalization": ZeroMeanUnitVariance(per_channel=True, eps=LEAST),
    "RescaleTo01Normalization": ScaleRange(per_channel=True, eps=LEAST),
    "RGBTo01Normalization": ScaleLinear(gain=(1 / 255,)),
    "NoNormalization": ScaleLinear(),
}

Plan = Mapping[str, Any]


def planned_recipe(
    recipe: Recipe, hints: Mapping[str, Any]
) -> tuple[Recipe, tuple[str, ...]]:
    """Return the recipe with what the plans say, and notes on it; none: no plans.

    Parameters
    ----------
    recipe
        Of the network, as assumed from its tensors.
    hints
        What lies beside them.
    """
    names = channels_of(hints)
    if len(names) == recipe.architecture.out_channels:
        recipe = recipe.replace(channels=names, task="semantic")
    plan = plan_of(hints)
    schemes = plan.get("schemes")
    if not isinstance(schemes, list) or not schemes:
        return recipe, ()
    steps, refusal = _steps(schemes, plan, recipe.architecture.in_channels)
    size, unit = _pixel_size(plan, hints, recipe.architecture.ndim)
    refusal = refusal or _transposed(plan)
    planned = recipe.replace(preprocessing=steps, pixel_size=size, refusal=refusal)
    said = ", ".join(str(scheme)[:80] for scheme in schemes[:8])
    notes = [
        f"Normalised over the whole image as the plans say: {said}.",
        CROPPED,
        *([f"Pixel size {unit}."] if unit else []),
        *([refusal] if refusal else []),
    ]
    return planned, tuple(notes)


def _steps(
    schemes: Sequence[str], plan: Plan, n_channels: int
) -> tuple[tuple[ProcessingStep, ...], str]:
    """Return the steps, or why there are none."""
    scheme, masked = str(schemes[0]), plan.get("masked")
    steps: tuple[ProcessingStep, ...] = ()
    refusal = ""
    if len(schemes) != n_channels or len(set(schemes)) > 1:
        refusal = "Its channels are normalised in different ways, as no step does."
    elif scheme == "CTNormalization":
        steps, refusal = _fixed(plan.get("intensities"), n_channels)
    elif scheme not in SCHEMES:
        refusal = f"It is normalised by {scheme[:80]}, which is not known."
    elif scheme == "ZScoreNormalization" and masked not in (None, [False] * n_channels):
        refusal = "It is normalised inside a mask of the image, as no step does."
    else:
        step = SCHEMES[scheme]
        # A slice is normalised by its whole stack.
        joint = {"joint_samples": True} if _has_slices(plan) else {}
        steps = (step.replace(**joint) if isinstance(step, Measured) else step,)
    return steps, refusal


def _has_slices(plan: Plan) -> bool:
    """Whether a 2-D network saw slices of stacks; images have a spacing of 999."""
    original = plan.get("original")
    stacks = isinstance(original, list) and len(original) == 3 and original[0] != FLAT
    spacing = plan.get("spacing")
    return stacks and isinstance(spacing, list) and len(spacing) == 2


def _fixed(
    intensities: object, n_channels: int
) -> tuple[tuple[ProcessingStep, ...], str]:
    """Clip to percentiles of the training data, then take its mean and deviation.

    A clip has one pair of ends: each channel's are brought to 0 and 1 and back.
    """
    table = intensities if isinstance(intensities, Mapping) else {}
    rows = [_numbers(table.get(str(n))) for n in range(n_channels)]
    known = [row for row in rows if row is not None]
    if len(known) < n_channels:
        return (), "The plans lack the intensities of its training images."
    low, high, mean, std = zip(*known, strict=True)
    span = [max(b - a, LEAST) for a, b in zip(low, high, strict=True)]
    below = ScaleLinear(
        gain=tuple(1 / s for s in span),
        offset=tuple(-a / s for a, s in zip(low, span, strict=True)),
    )
    deviations = [max(value, LEAST) for value in std]
    after = ScaleLinear(
        gain=tuple(s / d for s, d in zip(span, deviations, strict=True)),
        offset=tuple(
            (a - m) / d for a, m, d in zip(low, mean, deviations, strict=True)
        ),
    )
    return (below, Clip(min=0.0, max=1.0), after), ""


def _numbers(row: object) -> tuple[float, float, float, float] | None:
    if not isinstance(row, Mapping):
        return None
    found = [row.get(k) for k in ("percentile_00_5", "percentile_99_5", "mean", "std")]
    numbers = [float(v) for v in found if isinstance(v, int | float)]
    return (
        (numbers[0], numbers[1], numbers[2], numbers[3]) if len(numbers) == 4 else None
    )


def _pixel_size(
    plan: Plan, hints: Mapping[str, Any], ndim: int
) -> tuple[tuple[float, ...] | None, str]:
    """Return micrometres per axis and words for it; spacing 1 means unknown."""
    spacing = plan.get("spacing")
    numbers = [
        float(value)
        for value in (spacing if isinstance(spacing, list) else [])
        if isinstance(value, int | float) and value > 0
    ]
    if len(numbers) != ndim or set(numbers) == {1.0}:
        return None, ""
    dataset = hints.get("dataset")
    told = dataset.get("file_ending") if isinstance(dataset, Mapping) else ""
    milli = str(told).lower() in IN_MILLIMETRES
    size = tuple(1000 * n if milli else n for n in numbers)
    unit = "millimetres" if milli else "micrometres"
    words = " x ".join(f"{n:g}" for n in numbers)
    return size, f"{words} from the plans, taken as {unit}"


def _transposed(plan: Plan) -> str:
    order = plan.get("transpose")
    if isinstance(order, list) and order != sorted(order):
        return "It was trained on images with their axes in another order."
    return ""
