"""Channels: which are taken, and grey against scikit-image's luminance."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from skimage.color import rgb2gray

from napari_unet.core.channels import ChannelPlan, first_channels, plan_channels
from napari_unet.errors import AxesError, ChannelsError


@pytest.mark.parametrize(
    ("n_image", "n_network", "rgb", "chosen", "picked", "grey", "note"),
    [
        (1, 1, False, (), (0,), False, ""),
        (3, 3, False, (), (0, 1, 2), False, ""),
        (3, 3, True, (), (0, 1, 2), False, ""),
        (4, 4, True, (), (0, 1, 2, 3), False, ""),
        (4, 3, True, (), (0, 1, 2), False, "alpha"),
        (3, 1, True, (), (0, 1, 2), True, "grey"),
        (4, 1, True, (), (0, 1, 2), True, "grey"),
        (3, 1, True, (2,), (2,), False, ""),
        (3, 1, False, (1,), (1,), False, ""),
        (5, 2, False, (4, 0), (4, 0), False, ""),
        (1, 3, False, (0, 0, 0), (0, 0, 0), False, ""),
    ],
)
def test_table(n_image, n_network, rgb, chosen, picked, grey, note):
    plan = plan_channels(n_image, n_network, rgb=rgb, chosen=chosen)
    assert plan.picked == picked
    assert plan.grey is grey
    assert note in plan.note
    assert bool(note) is bool(plan.note)
    image = np.random.default_rng(0).integers(0, 99, (n_image, 4, 5))
    if not grey:
        assert np.array_equal(plan.apply(image), image[list(picked)])
    assert plan.apply(image).shape == (n_network, 4, 5)


@pytest.mark.parametrize(
    ("n_image", "n_network", "rgb", "chosen", "message"),
    [
        (2, 1, False, (), r"takes 1 channel\(s\), but the image has 2"),
        (3, 1, False, (), r"takes 1 channel\(s\), but the image has 3"),
        (1, 3, False, (), r"takes 3 channel\(s\), but the image has 1"),
        (3, 2, True, (), r"takes 2 channel\(s\), but the image has 3"),
        (2, 1, True, (), r"takes 1 channel\(s\), but the image has 2"),
        (5, 3, True, (), r"takes 3 channel\(s\), but the image has 5"),
        (3, 1, False, (3,), "Channel 3 does not exist: the image has 3"),
        (3, 1, False, (-1,), "Channel -1 does not exist"),
        (3, 2, False, (0, 1, 2), r"takes 2 channel\(s\), but 3 were chosen"),
        (3, 3, True, (0,), r"takes 3 channel\(s\), but 1 were chosen"),
    ],
)
def test_refused(n_image, n_network, rgb, chosen, message):
    with pytest.raises(AxesError, match=message) as caught:
        plan_channels(n_image, n_network, rgb=rgb, chosen=chosen)
    assert caught.value.remedy


@pytest.mark.parametrize("rgb", [False, True])
def test_the_first_channels_are_an_answer_wherever_there_are_enough(rgb):
    for n_image, n_network in itertools.product(range(1, 7), range(1, 5)):
        chosen = first_channels(n_image, n_network, rgb=rgb)
        if n_network > n_image:
            assert chosen == ()
            with pytest.raises(ChannelsError, match="some are the same"):
                plan_channels(n_image, n_network, rgb=rgb, chosen=chosen)
            continue
        plan = plan_channels(n_image, n_network, rgb=rgb, chosen=chosen)
        assert plan.grey is (rgb and n_network == 1 and n_image in (3, 4))
        assert plan.grey or plan.picked == tuple(range(n_network))


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.uint16, np.int16, np.uint32, np.float32, np.float64, ">u2"]
)
@pytest.mark.parametrize("n_image", [3, 4])
def test_grey_is_the_luminance_of_scikit_image(dtype, n_image):
    rng = np.random.default_rng(1)
    whole = rng.integers(0, 200, (n_image, 30, 40))
    image = (whole if np.dtype(dtype).kind != "f" else whole / 7).astype(dtype)
    grey = plan_channels(n_image, 1, rgb=True).apply(image)
    assert grey.dtype == image.dtype
    assert grey.shape == (1, 30, 40)
    luminance = rgb2gray(np.moveaxis(image[:3].astype(np.float64), 0, -1))
    rounding = 1e-5 if np.dtype(dtype).kind == "f" else 0.5 + 1e-9
    assert np.abs(grey[0] - luminance).max() <= rounding


def test_white_stays_white():
    plan = plan_channels(3, 1, rgb=True)
    for dtype in (bool, np.uint8, np.uint16, np.int32):
        white = 1 if dtype is bool else np.iinfo(dtype).max
        image = np.full((3, 2, 2), white, dtype)
        assert np.array_equal(plan.apply(image), image[:1])


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
def test_a_part_has_the_values_of_the_whole(dtype):
    """A matrix product would not do: its sums depend on the place in the tile."""
    image = np.random.default_rng(2).random((3, 64, 1001))
    image = image if dtype == np.float64 else (image * 60000).astype(dtype)
    plan = ChannelPlan((0, 1, 2), grey=True)
    whole = plan.apply(image)
    for y, x in itertools.product(range(0, 60, 7), range(0, 990, 13)):
        key = slice(None), slice(y, y + 3), slice(x, x + 11)
        assert np.array_equal(plan.apply(image[key]), whole[key])


def test_the_image_is_left_alone():
    image = np.arange(24, dtype=np.uint8).reshape(3, 2, 4)
    before = image.copy()
    for plan in (ChannelPlan((2, 0)), ChannelPlan((0, 1, 2), grey=True)):
        plan.apply(image)[...] = 0
    assert np.array_equal(image, before)
