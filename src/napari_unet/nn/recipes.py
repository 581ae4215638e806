"""Recipes in checkpoints: parsed and checked, whatever is in the file."""

from __future__ import annotations

import json
from typing import Any

from napari_unet.errors import CheckpointError, SettingsError
from napari_unet.nn.weight_files import COPY_AGAIN, shortened
from napari_unet.settings import FORMAT_VERSION, Recipe


def parse_recipe(text: str, name: str) -> Recipe:
    """Return the recipe that a checkpoint carries.

    Parameters
    ----------
    text
        JSON.
    name
        Of the file, for messages.

    Raises
    ------
    CheckpointError
        If it is damaged, or of a newer version.
    """
    try:
        values: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise CheckpointError(f"The recipe in {name} is damaged.", COPY_AGAIN) from None
    version = values.get("format_version", 0) if isinstance(values, dict) else 0
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise CheckpointError(
            f"{name} was written by a newer version (format {version}; this one "
            f"reads up to {FORMAT_VERSION}).",
            "Update napari-unet-cells.",
        )
    try:
        recipe = Recipe.parse(values)
    except SettingsError as error:
        raise CheckpointError(
            f"The recipe in {name} is damaged: {shortened(error.problem)}", COPY_AGAIN
        ) from None
    check_recipe(recipe, name)
    return recipe


def check_recipe(recipe: Recipe, name: str) -> None:
    """Raise `CheckpointError` if the recipe contradicts its own architecture."""
    architecture = recipe.architecture
    counts = [("channels", len(recipe.channels), architecture.out_channels, "outputs")]
    if recipe.pixel_size is not None:
        n_sizes = len(recipe.pixel_size)
        counts.append(("pixel sizes", n_sizes, architecture.ndim, "axes"))
    for what, found, wanted, of in counts:
        if found != wanted:
            raise CheckpointError(
                f"The recipe in {name} names {found} {what} for {wanted} {of}.",
                COPY_AGAIN,
            )
