"""Model: a network with all that is needed for the same answer elsewhere."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import nn

from napari_unet.core.tiling import Geometry
from napari_unet.nn.empirical_geometry import empirical_geometry, looks_everywhere
from napari_unet.nn.formats.opaque import OpaqueNetwork
from napari_unet.nn.formats.report import Report
from napari_unet.nn.predict import Predictor, make_predictor
from napari_unet.nn.receptive_field import network_geometry, tile_dependent_layers
from napari_unet.nn.shapes import bytes_per_pixel
from napari_unet.settings import Prediction, Recipe


@dataclass(frozen=True)
class Model:
    """A network with all that is needed for the same answer elsewhere.

    Parameters
    ----------
    network
        In eval mode, untouched: nothing folded, no activation added.
    recipe
        Channels, normalisation, separation, scores.
    sha256
        Of the file that it came from.
    notes
        What was assumed while loading, one sentence each.
    report
        What was recognised in a foreign file; None for this package's own.
    """

    network: nn.Module
    recipe: Recipe
    sha256: str = ""
    notes: tuple[str, ...] = ()
    report: Report | None = None

    @functools.cached_property
    def geometry(self) -> Geometry:
        """Divisor, halo and crop per axis, probed once; of opaque networks measured."""
        arch = self.recipe.architecture
        opaque = isinstance(self.network, OpaqueNetwork)
        find = empirical_geometry if opaque else network_geometry
        return find(self.network, ndim=arch.ndim, in_channels=arch.in_channels)

    @functools.cached_property
    def bytes_per_pixel(self) -> float:
        """Bytes of activations for each pixel read."""
        if isinstance(self.network, OpaqueNetwork):
            return self.network.bytes_per_pixel
        arch = self.recipe.architecture
        return bytes_per_pixel(
            self.network, ndim=arch.ndim, in_channels=arch.in_channels
        )

    @functools.cached_property
    def tile_dependent_layers(self) -> tuple[str, ...]:
        """Layers whose result depends on the tile; empty: tiling is exact."""
        if isinstance(self.network, OpaqueNetwork):
            everywhere = looks_everywhere(self.geometry)
            return ("the network as a whole",) if everywhere else ()
        return tile_dependent_layers(self.network)

    @functools.cached_property
    def _predictors(self) -> dict[tuple[Prediction, torch.device], Predictor]:
        return {}

    def predictor(self, prediction: Prediction, device: torch.device) -> Predictor:
        """Return the network ready to run; the last one made is kept."""
        key = prediction, device
        found = self._predictors.get(key)
        if found is None:
            found = make_predictor(self.network, self.recipe, prediction, device)
            # Another thread may do the same: each returns what it made or found.
            self._predictors.clear()
            self._predictors[key] = found
        return found
