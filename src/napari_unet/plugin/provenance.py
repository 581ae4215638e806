"""Provenance: how a layer was made, as plain data in its metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.plugin.script import origin_of

if TYPE_CHECKING:
    from napari_unet.pipeline.result import Segmentation
    from napari_unet.plugin.outputs import Outputs


def complete_provenance(outputs: Outputs, result: Segmentation) -> dict[str, Any]:
    """Return all that a script needs to make the same labels again."""
    options: Any = outputs.plan.options
    return {
        **result.provenance,
        "source_of_model": getattr(outputs.plan.model, "source", ""),
        "trust": getattr(outputs.plan.model, "trust", False),
        "choices": dict(getattr(outputs.plan.model, "choices", ())),
        "origin": origin_of(outputs.source),
        "rgb": options.rgb,
        "chosen_channels": list(options.channels),
        "pixel_size": options.pixel_size,
        "diameter": options.diameter,
    }
