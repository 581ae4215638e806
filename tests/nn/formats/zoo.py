"""A zoo of small U-Nets, in the many ways in which people write and save them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrizations
from zoo_networks import OnResNet, PlusPlus
from zoo_parts import (
    UP,
    Added,
    Crossed,
    Excited,
    Named,
    Names,
    OneNorm,
    Plan,
    Recurrent,
    Residual,
    UNet,
    convs,
)
from zoo_training import images, save, train

from napari_unet.errors import CheckpointError
from napari_unet.nn.checkpoint import load_model


@dataclass(frozen=True)
class Animal:
    """One network of the zoo.

    Parameters
    ----------
    name
        What is special about it.
    make
        Builds it.
    choices
        Named answers without which nothing in its file leads to the right network.
    refused
        Part of the message, for what cannot be rebuilt; empty: it can.
    save
        How it is stored.
    """

    name: str
    make: Callable[[], nn.Module]
    choices: Mapping[str, str] = field(default_factory=dict)
    refused: str = ""
    save: str = "plain"


@dataclass(frozen=True)
class Outcome:
    """What became of it: `difference` of the logits, or the refusal."""

    animal: Animal
    difference: float
    refusal: str
    doubt: str
    misfit: float | None = None


def judge(animal: Animal, folder: Path, steps: int = 12) -> Outcome:
    """Train, save, read without and with its choices, and compare."""
    torch.manual_seed(len(animal.name))
    network = train(animal.make(), steps)
    path = folder / "file.pth"
    save(network, animal.save, path)
    x = images(network, 2, 1000)
    wanted = network(x)
    try:
        model = load_model(path, choices=animal.choices)
    except CheckpointError as error:
        return Outcome(animal, float("nan"), str(error), "")
    found = model.network(x)
    if found.shape != wanted.shape:
        difference = float("inf")
    else:
        difference = float((found - wanted).abs().max() / wanted.abs().max())
    report = model.report
    assert report is not None
    return Outcome(animal, difference, "", report.doubt, report.misfit)


# -- the networks -------------------------------------------------------------------


def two(ndim: int) -> Callable[[int, int], nn.Module]:
    """Transposed convolutions of two pixels."""
    return lambda a, b: UP[ndim](a, b, 2, stride=2)


def grown_conv(a: int, b: int) -> nn.Module:
    """Enlarged by nearest pixels, then convolved."""
    conv = nn.Conv2d(a, b, 3, padding=1)
    up = nn.Upsample(scale_factor=2)
    return nn.Sequential(up, conv, nn.BatchNorm2d(b), nn.ReLU(inplace=True))


def shuffled(a: int, b: int) -> nn.Module:
    """Channels become pixels."""
    return nn.Sequential(nn.Conv2d(a, 4 * b, 1), nn.PixelShuffle(2))


def group(n: int) -> nn.Module:
    return nn.GroupNorm(2, n)


def instance(n: int) -> nn.Module:
    return nn.InstanceNorm2d(n, affine=True)


unnormed = partial(convs, norm=None)


def net(names: Names, **how: Any) -> Callable[[], nn.Module]:
    return lambda: UNet(Plan(names, **how))


def parametrised(
    names: Names, wrap: Callable[[nn.Module], nn.Module]
) -> Callable[[], nn.Module]:
    """A network whose convolutions are all parametrised."""

    def make() -> nn.Module:
        network = UNet(Plan(names, block=unnormed, up=two(2)))
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                wrap(module)
        return network

    return make


LISTS = Names(
    "downs.{n}",
    "bottleneck",
    "ups.{even}",
    "ups.{odd}",
    "final_conv",
    order="pairs down deep head",
)
NUMBERED = Names("down{n}", "middle", "grow{d}", "up{d}", "outc", first=1)
VGG = Names("conv{n}", "conv{n}", "upconv{n}", "iconv{n}", "predict", first=1)
STAGED = Names("enc.{n}", "enc.{n}", "ups.{d}", "dec.{d}", "seg")
SHRUNK = replace(STAGED, order="down shrink deep grow stage head")
LETTERS = Names("e{n}", "b", "u{n}", "d{n}", "outconv", first=1)
ONWARDS = Names("conv{n}", "bridge", "upconv{n}", "conv{on}", "prediction", first=1)
BACKWARDS = Names(
    "encoder.level{n}",
    "centre",
    "decoder.up{n}",
    "decoder.level{n}",
    "classifier",
    order="head pairs deep down",
)
ATTENTIVE = Names("Conv{n}", "Conv{n}", "Up{n}", "Up_conv{n}", "Conv_1x1", first=1)
PAIRED = Names(
    "Stage{n}.body",
    "Stage{n}.body",
    "Rise{n}.grow",
    "Join{n}.body",
    "To_class",
    first=1,
    order="down deep pairs head",
)
CAREFUL = partial(nn.BatchNorm2d, eps=1e-3)
SILU, LEAKY = nn.SiLU, partial(nn.LeakyReLU, 0.2)

ZOO = (
    Animal("lists of pairs", net(LISTS, up=two(2))),
    Animal(
        "interpolated, joined up first", net(NUMBERED, merge="up_first"), save="nested"
    ),
    Animal(
        "interpolated from the corners",
        net(NUMBERED, corners=True),
        {"upsampling": "linear_corners"},
        save="parallel",
    ),
    Animal(
        "nearest pixels",
        net(VGG, mode="nearest", widths=(6, 9, 15)),
        {"upsampling": "nearest"},
    ),
    Animal(
        "named as in VGG",
        net(VGG, block=Named, up=lambda a, b: nn.ConvTranspose2d(a, b, 3, 2, 1, 1)),
        save="lightning",
    ),
    Animal(
        "transposed, 4 pixels, leaky",
        net(
            STAGED,
            block=partial(convs, act=LEAKY),
            up=lambda a, b: nn.ConvTranspose2d(a, b, 4, 2, 1),
        ),
    ),
    Animal(
        "norm after activation", net(STAGED, block=partial(convs, late=True), up=two(2))
    ),
    Animal(
        "decoder declared first, averaged", net(BACKWARDS, pool="average", up=two(2))
    ),
    Animal("ELU", net(LETTERS, block=partial(convs, act=nn.ELU), up=two(2))),
    Animal(
        "SiLU, enlarged and convolved",
        net(PAIRED, block=partial(convs, act=SILU), up=grown_conv),
        {"upsampling": "nearest"},
    ),
    Animal(
        "one slope for each channel",
        net(LETTERS, block=lambda a, b: Named(a, b, 2, b), up=two(2)),
    ),
    Animal(
        "one slope for each block",
        net(LETTERS, block=lambda a, b: Named(a, b, 2, 1), up=two(2)),
    ),
    Animal(
        "group norm",
        net(NUMBERED, block=partial(convs, norm=group), up=two(2)),
        {"norm": "group_2"},
    ),
    Animal(
        "instance norm, residual",
        net(STAGED, block=partial(Residual, norm=instance), up=two(2)),
    ),
    Animal("residual", net(STAGED, block=Residual, up=two(2)), save="nested"),
    Animal(
        "three convolutions, dropout",
        net(LISTS, block=partial(convs, n=3, dropout=True), up=two(2)),
    ),
    Animal(
        "one convolution, five levels",
        net(
            NUMBERED, block=partial(convs, n=1), widths=(4, 6, 8, 10, 12, 14), up=two(2)
        ),
    ),
    Animal("strides instead of pooling", net(STAGED, pool="strided", up=two(2))),
    Animal(
        "a strided convolution of its own",
        net(SHRUNK, pool="own", up=two(2)),
    ),
    Animal(
        "valid convolutions",
        net(NUMBERED, block=partial(convs, padding=0), up=two(2)),
        {"padding": "valid"},
    ),
    Animal(
        "pooled after the convolutions",
        net(LISTS, pool="late", up=two(2)),
        {"pool_place": "after_convolutions"},
    ),
    Animal("sums", net(STAGED, merge="add", up=two(2))),
    Animal("outputs at all levels", net(STAGED, deep_heads=True, up=two(2))),
    Animal("two outputs", net(LISTS, heads=2, n_out=3, up=two(2)), {"head": "all"}),
    Animal(
        "attention gates",
        net(PAIRED, gates=True, up=grown_conv),
        {"upsampling": "nearest"},
    ),
    Animal("attention gates, transposed", net(ATTENTIVE, gates=True, up=two(2))),
    Animal(
        "3-D",
        net(
            STAGED,
            ndim=3,
            block=partial(convs, ndim=3, norm=nn.BatchNorm3d),
            widths=(4, 8, 12),
            up=two(3),
        ),
    ),
    Animal(
        "3-D, flat pooling first",
        net(
            STAGED,
            ndim=3,
            block=partial(convs, ndim=3, norm=nn.BatchNorm3d),
            widths=(4, 8, 12),
            factors=((1, 2, 2), (2, 2, 2)),
        ),
        {"factors": "1x2x2,2x2x2"},
    ),
    Animal("one norm for two convolutions", net(LETTERS, block=OneNorm, up=two(2))),
    Animal("numbers that go on in the decoder", net(ONWARDS, up=two(2))),
    Animal("no norm", net(NUMBERED, block=unnormed, up=two(2))),
    Animal("weight norm", parametrised(STAGED, parametrizations.weight_norm)),
    Animal(
        "weight norm, as before",
        parametrised(LISTS, parametrizations.weight_norm),
        save="old",
    ),
    Animal("spectral norm", parametrised(LISTS, parametrizations.spectral_norm)),
    Animal(
        "SELU",
        net(LETTERS, block=partial(convs, act=nn.SELU), up=two(2)),
        save="nested",
    ),
    Animal(
        "rows, then columns", net(NUMBERED, block=Crossed, up=two(2)), save="parallel"
    ),
    Animal(
        "sums, ELU, no norm, declared backwards",
        net(BACKWARDS, block=partial(unnormed, act=nn.ELU), merge="add", up=two(2)),
        {"activation": "elu"},
    ),
    Animal(
        "norms with another epsilon",
        net(LISTS, block=partial(convs, norm=CAREFUL), up=two(2)),
        {"epsilon": "1e-3"},
    ),
    Animal(
        "the image is added at the end",
        lambda: Added(Plan(VGG, n_out=1, up=two(2))),
        {"output": "plus_input"},
    ),
    Animal("shuffled pixels", net(STAGED, up=shuffled), refused="shuffling of pixels"),
    Animal("UNet++", PlusPlus),
    Animal("U-Net on a ResNet", OnResNet),
    Animal("U-Net on a ResNet of bottlenecks", partial(OnResNet, deep=True)),
    Animal("LinkNet on a ResNet", partial(OnResNet, link=True)),
    Animal(
        "squeeze-and-excitation",
        net(STAGED, block=Excited, up=two(2)),
        refused="squeeze-and-excitation",
    ),
    Animal("recurrent", net(STAGED, block=Recurrent, up=two(2)), refused="recurrent"),
)


def judged(folder: Path, steps: int = 12) -> Iterator[Outcome]:
    """Yield the outcome for each animal."""
    for animal in ZOO:
        yield judge(animal, folder, steps)
