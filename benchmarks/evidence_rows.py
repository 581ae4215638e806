"""What evidence.py trains: a row for each training, with settings that fit its data.

Sizes are chosen by the objects: cells of 120 px and whole heads are learned at half the
resolution, so that a patch holds them. Images of one series, tile or photograph stay
together when some are kept for validation; thresholds are tuned on those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import evidence_scores
import numpy as np
import torch
from skimage.transform import resize

import napari_unet as nu
from napari_unet.io.training_image import TrainingImage, as_planes
from napari_unet.nn.checkpoint import Model
from napari_unet.nn.unet import UNet, ronneberger2015
from napari_unet.settings import Recipe
from napari_unet.training_settings import Augmentation, Loss, Training

Images = list[TrainingImage]
Step = Callable[[Images], Images]
Metric = Callable[..., dict[str, float]]


@dataclass(frozen=True)
class Row:
    """One training and its score.

    Parameters
    ----------
    data, method
        Set, and what is done with it.
    training
        Settings; None: the model that `start` gives is used as it is.
    metric
        Scores of labels, truth and class names.
    prepare, choose
        What is done to all images; to those for training as well.
    options
        Of `segment`.
    start
        Where training starts; None: from scratch.
    gold
        Whether only images with gold truth are scored.
    """

    data: str
    method: str
    training: Training | None
    metric: Metric = evidence_scores.objects
    prepare: tuple[Step, ...] = ()
    choose: tuple[Step, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    start: Callable[[], Model] | None = None
    gold: bool = False


# -- what is done to images ----------------------------------------------------------


def planes(images: Images) -> Images:
    """All planes of all volumes."""
    return [plane for image in images for plane in as_planes(image)]


def first_five(images: Images) -> Images:
    """Five images, spread over all of them."""
    return [images[round(i * (len(images) - 1) / 4)] for i in range(5)]


def series(images: Images) -> Images:
    """All of one series: its end is validated on, not frames between those learned."""
    return [replace(image, group="series") for image in images]


def grouped(last: str, *, after: bool = False) -> Step:
    """Return a step that groups images by their names, up to (or after) `last`."""

    def group(images: Images) -> Images:
        side = 2 if after else 0
        return [replace(i, group=i.name.partition(last)[side]) for i in images]

    return group


def sized(**micrometres: float) -> Step:
    """Return a step that gives pixels the size that their files do not tell."""

    def size(images: Images) -> Images:
        return [replace(image, pixel_size=micrometres) for image in images]

    return size


def halved(images: Images) -> Images:
    """Half the resolution; with the size of the pixels, so that test images follow."""
    return [_half(image) for image in images]


def without(*values: int) -> Step:
    """Return a step that marks classes as not annotated."""

    def mark(images: Images) -> Images:
        return [
            replace(i, labels=np.where(np.isin(i.labels, values), -1, i.labels))
            for i in images
        ]

    return mark


def mirrored(images: Images) -> Images:
    """Each image and its mirror image, left for right alone: streets have a sky."""
    copies = [
        replace(
            image,
            image=image.image[..., ::-1].copy(),
            labels=image.labels[..., ::-1].copy(),
            name=f"{image.name} mirrored",
        )
        for image in images
    ]
    return [replace(i, group=i.name.split()[0]) for i in (*images, *copies)]


def _half(image: TrainingImage) -> TrainingImage:
    shape = tuple(n // 2 for n in image.labels.shape)
    pixels = resize(
        image.image.astype(np.float32), (len(image.image), *shape), anti_aliasing=True
    )
    places = [np.arange(n) * 2 for n in shape]
    return replace(
        image,
        image=pixels.astype(np.float32),
        labels=np.ascontiguousarray(image.labels[np.ix_(*places)]),
        pixel_size={axis: 2 * size for axis, size in image.pixel_size.items()},
    )


# -- where training starts -----------------------------------------------------------


def nuclei() -> Model:
    """The bundled model."""
    return nu.load_model("nuclei")


def valid_network() -> Model:
    """The valid-convolution network of 2015, a quarter as wide."""
    architecture = ronneberger2015(base_channels=16)
    recipe = Recipe(architecture=architecture, channels=("background", "interior"))
    torch.manual_seed(0)
    return Model(UNet(architecture), recipe)


# -- settings ------------------------------------------------------------------------


def minutes(n: float, **settings: Any) -> Training:
    """Return the defaults, for `n` minutes."""
    return Training(minutes=n, **settings)


def semantic(n: float, names: str, **settings: Any) -> Training:
    """Return settings for classes of pixels, for `n` minutes."""
    loss = Loss(target="semantic", **settings.pop("loss", {}))
    return minutes(n, loss=loss, classes=tuple(names.split(", ")), **settings)


def accelerated(row: Row, n: float, **settings: Any) -> Row:
    """Return the row for an accelerator: `n` minutes, twice the channels and patches."""
    assert row.training is not None
    wide = {"base_channels": 16, "batch": 2 * row.training.batch, **settings}
    training = row.training.replace(minutes=n, **wide)
    return replace(row, method=f"{row.method}, accelerator", training=training)


NO_WEIGHTS = Loss(w0=0.0)
LINKED = {"separation": nu.Separation(link="Z", link_overlap=0.1)}
INVERTED = {"normalization": nu.Normalization(invert=True)}
EMBRYO = Augmentation(scale=(0.8, 1.25), elastic=4.0)
# Streets stand upright and are stiff.
STREET = Augmentation(flips=False, rotation=8.0, elastic_probability=0.0)
STREETS = (
    "sky, building, pole, road, pavement, tree, sign, fence, car, pedestrian, bicyclist"
)
DEFECTS = "none, blowhole, break, crack, fray, uneven"
LAND = "water, land, road, building, vegetation"
WHOLE = sized(Y=1.0, X=1.0)  # in units of their own
TILE = grouped("num_", after=True)
RARE = {"class_weights": "balance", "focal": 2.0}

DIC = Row(
    "ctc_dic_hela",
    "default",
    minutes(15),
    prepare=(WHOLE,),
    choose=(series, halved),
    gold=True,
)
N2DL = Row("ctc_n2dl_hela", "default", minutes(8), choose=(series,))
EM = Row(
    "isbi2012_em",
    "default",
    minutes(15, tune_for="rand"),
    evidence_scores.membranes,
    choose=(series,),
)
TILES = Row(
    "magnetic_tile",
    "plain",
    semantic(8, DEFECTS),
    evidence_scores.classes,
    choose=(TILE,),
)
ROWS = {
    "dic": DIC,
    "dic-no-weights": replace(
        DIC, method="w0 = 0", training=minutes(15, loss=NO_WEIGHTS)
    ),
    "n2dl": N2DL,
    "n2dl-no-weights": replace(
        N2DL, method="w0 = 0", training=minutes(8, loss=NO_WEIGHTS)
    ),
    "em-valid": replace(
        EM,
        method="valid convolutions, 2015",
        training=minutes(
            15, loss=Loss.ronneberger2015(), batch=1, patch=(444,), tune_for="rand"
        ),
        start=valid_network,
    ),
    "em": EM,
    "embryo": Row(
        "bbbc050_mouse_embryo_3d",
        "3-D, anisotropic pooling",
        minutes(20, base_channels=8, depth=3, batch=2, augmentation=EMBRYO),
        prepare=(sized(Z=2.19, Y=1.0, X=1.0),),
    ),
    "embryo-2d": Row(
        "bbbc050_mouse_embryo_3d",
        "2-D, linked over Z",
        minutes(10, base_channels=8),
        choose=(planes,),
        options=LINKED,
    ),
    "tumour": Row(
        "mri_brain_tumour",
        "default",
        semantic(8, "background, tumour"),
        evidence_scores.classes,
        prepare=(WHOLE,),
        choose=(halved,),
    ),
    "camvid": Row(
        "camvid",
        "default, upright",
        semantic(15, STREETS, augmentation=STREET),
        evidence_scores.classes,
        prepare=(without(11),),
        choose=(mirrored,),
    ),
    "tiles": TILES,
    "tiles-weighted": replace(
        TILES,
        method="class weights and focal 2",
        training=semantic(8, DEFECTS, loss=RARE),
    ),
    "dubai": Row(
        "dubai_aerial",
        "default",
        semantic(12, LAND),
        evidence_scores.classes,
        prepare=(without(5, 255),),
        choose=(grouped("_"),),
    ),
    "tissue": Row("dsb2018_brightfield", "default", minutes(10)),
    "n2dl-abroad": Row(
        "ctc_n2dl_hela", "n2dl_hela, `nuclei` as it is", None, start=nuclei
    ),
    "n2dl-tuned": Row(
        "ctc_n2dl_hela",
        "n2dl_hela, fine-tuned",
        minutes(3),
        choose=(first_five,),
        start=nuclei,
    ),
    "tissue-abroad": Row(
        "dsb2018_brightfield",
        "brightfield, `nuclei` as it is",
        None,
        start=nuclei,
        options=INVERTED,
    ),
    "tissue-tuned": Row(
        "dsb2018_brightfield",
        "brightfield, fine-tuned",
        minutes(3, normalization=nu.Normalization(invert=True)),
        choose=(first_five,),
        start=nuclei,
    ),
}
# What is far from its aim after minutes on a processor.
ACCELERATED = {
    "dic": 1.25,
    "em": 1.5,
    "embryo": 2.5,
    "tumour": 0.75,
    "camvid": 1.5,
    "tiles-weighted": 1.5,
    "dubai": 1.0,
}
ROWS |= {
    f"{name}-accelerator": accelerated(ROWS[name], n) for name, n in ACCELERATED.items()
}
