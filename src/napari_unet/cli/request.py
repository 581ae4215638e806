"""Request: what one command does to every image that it was given."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from napari_unet.cli.targets import Wanted
from napari_unet.core.pixel_size import spatial_pixel_size
from napari_unet.io.images import ImageSource
from napari_unet.nn.checkpoint import Model
from napari_unet.pipeline import Options

# Where the work runs does not change what is asked for.
_PLACE = ("device", "workers")


@dataclass(frozen=True)
class Request:
    """What is done to every image.

    Parameters
    ----------
    model
        Loaded once.
    options
        As for `segment`; axes and pixel size, if given, stand over the file's.
    wanted
        Files beside the labels.
    series
        Which image of a file that holds several.
    """

    model: Model
    options: Options
    wanted: Wanted
    series: int = 0

    def described(self) -> dict[str, Any]:
        """Return plain JSON, flat, that changes whenever the answer may."""
        recipe, options = self.model.recipe, self.options
        plain = {
            name: value
            for name, value in vars(options).items()
            if name not in _PLACE and not hasattr(value, "model_dump")
        }
        return {
            "model": self.model.sha256,
            **plain,
            **options.tiling.model_dump(mode="json"),
            **options.prediction.model_dump(mode="json"),
            **options.normalization.over(recipe.normalization).model_dump(mode="json"),
            **options.separation.over(recipe.separation).model_dump(mode="json"),
            **asdict(self.wanted),
            "series": self.series,
        }

    def options_for(self, source: ImageSource) -> Options:
        """Return the options with what the file says of itself."""
        given = self.options.pixel_size
        return replace(
            self.options,
            axes=source.axes,
            rgb=source.rgb,
            pixel_size=source.pixel_size if given is None else given,
        )

    def pixel_size(self, source: ImageSource) -> dict[str, float]:
        """Return micrometres by axis letter, for the outputs."""
        given = self.options.pixel_size
        if given is None:
            return dict(source.pixel_size)
        # Two numbers are meant for Y and X, also of an image that has a Z.
        few = not isinstance(given, float | int) and len(given) == 2
        spatial = "".join(a for a in "ZYX"[few:] if a in source.axes)
        sizes = spatial_pixel_size(given, spatial) or ()
        return dict(zip(spatial, sizes, strict=False))
