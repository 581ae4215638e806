"""Options: all that shapes the answer besides image and model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from napari_unet.core.pixel_size import PixelSize
from napari_unet.errors import SettingsError
from napari_unet.settings import Normalization, Prediction, Separation, Tiling

RegionLike = Mapping[str, int | tuple[int, int]]


@dataclass(frozen=True)
class Options:
    """All that shapes the answer besides image and model.

    Parameters
    ----------
    axes
        The image's axes, such as ``"TCYX"``; None: guessed.
    rgb
        Whether the last axis holds colour samples; None: guessed.
    channels
        Indices of the image's channels for the network; empty: all.
    pixel_size
        Micrometres per pixel: one number, one per spatial axis, or by axis letter.
    diameter
        Typical object diameter in pixels of this image; the image is scaled to the
        model's.
    scale
        Network pixels per image pixel, given directly.
    tiling, prediction, separation, normalization
        Settings; of the last two, fields that were not given are the model's. Sizes
        count pixels of this image; those of the model are converted where the image
        is scaled.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``, ``"xpu"``.
    workers
        Tiles computed at once; 0: chosen for the device.
    region
        Part of the image to segment, by axis letter: an index, or (start, stop), such
        as ``{"T": 3, "Y": (0, 512)}``. Labels and probabilities keep the image's shape
        and are 0 elsewhere; objects that touch the region are kept whole as far as
        their tiles reach. None: all.
    outline
        Points (y, x), at least three, of a polygon around what is segmented, or a list
        of such polygons, which are joined; in pixels of the image, whose centres are
        whole numbers, and to two decimals. In every plane of the region, pixels whose
        centre lies outside are background, and their probabilities 0. None: there is
        no outline.
    crop
        Keep labels and probabilities of the region's tiles alone, and not in the
        image's shape; `Segmentation.start` says where they begin. Where the image is
        scaled, or tiles are blended, a frame or slice of the region is kept whole.
    """

    axes: str | None = None
    rgb: bool | None = None
    channels: tuple[int, ...] = ()
    pixel_size: PixelSize | None = None
    diameter: float | None = None
    scale: float | None = None
    tiling: Tiling = field(default_factory=Tiling)
    prediction: Prediction = field(default_factory=Prediction)
    separation: Separation = field(default_factory=Separation)
    normalization: Normalization = field(default_factory=Normalization)
    device: str = "auto"
    workers: int = 0
    region: RegionLike | None = None
    outline: Sequence[Any] | None = None
    crop: bool = False


def parse_options(given: dict[str, Any]) -> Options:
    """Return options; raise `SettingsError` for a name that is none."""
    try:
        return Options(**given)
    except TypeError:
        unknown = sorted(set(given) - set(Options.__dataclass_fields__))
        raise SettingsError(
            f"There is no option {', '.join(unknown)}.",
            f"The options are {', '.join(Options.__dataclass_fields__)}.",
        ) from None
