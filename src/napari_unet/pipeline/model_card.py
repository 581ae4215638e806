"""Model card: what is known of a model without holding it.

A worker makes it from the network; it is plain data, so a viewer can plan and show
without torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.core.tiling import Geometry
from napari_unet.pipeline.open_questions import Question, questions_of
from napari_unet.settings import Recipe

if TYPE_CHECKING:
    from napari_unet.nn.checkpoint import Model


@dataclass(frozen=True)
class ModelCard:
    """Facts of one model; see `napari_unet.pipeline.plan.ModelFacts`.

    Parameters
    ----------
    source
        Bundled name or path, as it was asked for.
    recipe
        Channels, normalisation, separation, scores.
    sha256
        Of the file.
    notes
        What was assumed while loading.
    geometry
        Divisor, halo and crop per axis.
    bytes_per_pixel
        Bytes of activations for each pixel read.
    tile_dependent_layers
        Layers whose result depends on the tile; empty: tiling is exact.
    n_weights
        Numbers in the network.
    trust
        Whether the file's own code was allowed to run.
    choices
        Answers that were given to what the file does not say: (question, answer).
    questions
        What the file does not say, with the answers taken; none of an own file.
    doubt
        What speaks against the guesses among them, one sentence; empty: nothing.
    """

    source: str
    recipe: Recipe
    sha256: str
    notes: tuple[str, ...]
    geometry: Geometry
    bytes_per_pixel: float
    tile_dependent_layers: tuple[str, ...]
    n_weights: int = 0
    trust: bool = False
    choices: tuple[tuple[str, str], ...] = ()
    questions: tuple[Question, ...] = ()
    doubt: str = ""


def card_of(
    model: Model,
    source: str,
    *,
    trust: bool = False,
    choices: tuple[tuple[str, str], ...] = (),
) -> ModelCard:
    """Return the card of a model that was loaded so."""
    report = model.report
    return ModelCard(
        source=source,
        recipe=model.recipe,
        sha256=model.sha256,
        notes=model.notes,
        geometry=model.geometry,
        bytes_per_pixel=model.bytes_per_pixel,
        tile_dependent_layers=model.tile_dependent_layers,
        n_weights=sum(weights.numel() for weights in model.network.parameters()),
        trust=trust,
        choices=choices,
        questions=questions_of(report, dict(choices)) if report else (),
        doubt=report.doubt if report else "",
    )
