"""The README of a packaged model: what it does, how well, and how to run it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from napari_unet.settings import Recipe

TEXT = """# {name}

{description}

A {ndim}-D U-Net for {task} segmentation. It takes {n_in} channel(s){pixel_size} and
gives {channels}{activation}.

## Input

Intensities are scaled so that percentile {low:g} of the image becomes 0 and percentile
{high:g} becomes 1; the description holds this as a pre-processing step.{scale}

## From probabilities to objects

The description ends with probabilities. With napari-unet-cells they become one label
per object; the settings are stored under `config.napari_unet` and used unless others
are given:

```bash
pip install napari-unet-cells
napari-unet segment image.tif -m this_package.zip -o labels.tif
```

{separation}{sizes}

## Tiling

{tiling}

## Validation

{validation}

To validate on images with known objects that the model was not trained on:

```bash
napari-unet segment images/ -m this_package.zip -o found/
napari-unet evaluate found/ truth/
```

## Training

{training}

## Credits

{credits}
"""
TASKS = {"instances": "instance", "semantic": "semantic"}
SCALED = (
    " The network learned from images scaled by {scale:.3g}, which no step can say: "
    "scale others alike. napari-unet-cells does so by itself."
)
SIZES = (
    "\n\nmin_seed_size and min_size count pixels of images before they are scaled, "
    "each of which is {volume:.3g} pixels of the network."
)
LOCAL = (
    "The result does not depend on how an image is cut, if tiles overlap by the halo "
    "and begin at multiples of the step that the description gives."
)
DEPENDENT = (
    "Some layers ({layers}) depend on the tile: whole images, or large tiles, are best."
)


def write_readme(
    recipe: Recipe, *, name: str, description: str, layers: tuple[str, ...]
) -> str:
    """Return the README in Markdown.

    Parameters
    ----------
    recipe
        Of the model, with its scores.
    name, description
        As in the description.
    layers
        Those whose result depends on the tile.
    """
    arch, normalization = recipe.architecture, recipe.normalization
    sizes, volume = recipe.pixel_size, recipe.size_volume
    shown = "" if sizes is None else " x ".join(f"{size:g}" for size in sizes)
    with_activation = recipe.activation != "none"
    return TEXT.format(
        name=name,
        description=description,
        ndim=arch.ndim,
        task=TASKS[recipe.task],
        n_in=arch.in_channels,
        pixel_size=f" of {shown} micrometres per pixel" if shown else "",
        channels=", ".join(recipe.channels),
        activation=f" after {recipe.activation}" if with_activation else "",
        low=normalization.low,
        high=normalization.high,
        scale="" if recipe.scale == 1 else SCALED.format(scale=recipe.scale),
        separation=_table(recipe.separation.model_dump()),
        sizes="" if volume == 1 else SIZES.format(volume=volume),
        tiling=DEPENDENT.format(layers=", ".join(layers[:3])) if layers else LOCAL,
        validation=_table(recipe.scores) or "The checkpoint holds no scores.",
        training=_table(recipe.training) or "The checkpoint does not say.",
        credits=_credits(recipe),
    )


def _credits(recipe: Recipe) -> str:
    authors = ", ".join(recipe.authors) or "not named"
    licence = recipe.licence or "not stated"
    cited = [f"- https://doi.org/{doi}" for doi in recipe.cite]
    return "\n".join([f"Authors: {authors}. Licence: {licence}.", "", *cited]).strip()


def _table(values: Mapping[str, Any]) -> str:
    """Return a table of the entries, with dotted names for nested ones."""
    rows = [f"| {name} | {value} |" for name, value in _flat(values)]
    return "\n".join(["| name | value |", "|---|---|", *rows]) if rows else ""


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            text = f"{value:.4g}" if isinstance(value, float) else str(value)
            yield f"{prefix}{name}", text.replace("|", "/").replace("\n", " ")
