from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_unet.errors import AxesError, ImageFileError
from napari_unet.io.source import Found, ImageSource, settle

PATH = Path("folder/a.tif")


def settled(
    shape: tuple[int, ...], letters: str, *, axes: str | None = None, recorded: str = ""
) -> ImageSource:
    array = np.arange(np.prod(shape)).reshape(shape)
    return settle(Found(array, letters, recorded=recorded), PATH, axes=axes)


@pytest.mark.parametrize(
    ("shape", "letters", "axes", "known"),
    [
        ((4, 5), "YX", "YX", True),
        ((4, 5), "??", "YX", False),
        ((3, 4, 5), "?YX", "ZYX", False),
        ((2, 3, 4, 5), "??YX", "TZYX", False),
        ((2, 3, 4, 5, 6), "?????", "TCZYX", False),
        ((2, 3, 4, 5), "?CYX", "ZCYX", False),
        ((2, 3, 4, 5), "?ZYX", "TZYX", False),
        ((2, 3, 4, 5), "C?YX", "CZYX", False),
        ((2, 3, 4, 5, 6), "?C?YX", "TCZYX", False),
    ],
)
def test_letters_are_kept_and_unknown_ones_guessed(
    shape: tuple[int, ...], letters: str, axes: str, known: bool
) -> None:
    source = settled(shape, letters)
    assert (source.axes, source.axes_known) == (axes, known)
    assert source.shape == shape
    assert not source.rgb


@pytest.mark.parametrize(
    ("shape", "letters", "axes", "out", "rgb"),
    [
        ((4, 5, 3), "YXS", "YXC", (4, 5, 3), True),
        ((4, 5, 4), "YXS", "YXC", (4, 5, 4), True),
        ((4, 5, 2), "YXS", "YXC", (4, 5, 2), False),
        ((4, 5, 1), "YXS", "YX", (4, 5), False),
        ((3, 4, 5), "SYX", "YXC", (4, 5, 3), True),
        ((2, 3, 4, 5), "ZSYX", "ZYXC", (2, 4, 5, 3), True),
        ((2, 4, 5, 3), "?YXS", "ZYXC", (2, 4, 5, 3), True),
        ((1, 4, 5, 3), "CYXS", "YXC", (4, 5, 3), True),
        ((2, 4, 5, 1), "CYXS", "CYX", (2, 4, 5), False),
    ],
)
def test_colour_samples_become_the_last_axis(
    shape: tuple[int, ...], letters: str, axes: str, out: tuple[int, ...], rgb: bool
) -> None:
    source = settled(shape, letters)
    assert (source.axes, source.shape, source.rgb) == (axes, out, rgb)
    array = np.arange(np.prod(shape)).reshape(shape)
    if out[-1] == 3:
        moved = np.moveaxis(array, letters.index("S"), -1).reshape(out)
        np.testing.assert_array_equal(np.asarray(source.data), moved)


def test_too_many_unknown_axes_are_not_guessed() -> None:
    with pytest.raises(AxesError, match=r"a\.tif: The axes of .* cannot be guessed"):
        settled((2, 2, 2, 4, 5, 3), "???YXS")
    with pytest.raises(AxesError, match=r"a\.tif: The axes of .* cannot be guessed"):
        settled((2, 2, 2, 4, 5, 3), "?ZTYXS")


def test_channels_and_colours_together_are_refused() -> None:
    with pytest.raises(ImageFileError, match="both channels and colour samples"):
        settled((2, 4, 5, 3), "CYXS")


def test_recorded_axes_bring_back_order_and_lone_axes() -> None:
    source = settled((3, 4, 5), "ZYX", recorded="TXYZ")
    assert (source.axes, source.shape) == ("TXYZ", (1, 5, 4, 3))
    array = np.arange(60).reshape(3, 4, 5)
    np.testing.assert_array_equal(source.data[0], array.transpose(2, 1, 0))
    np.testing.assert_array_equal(source.data[:, 2, :, 1], array[1, :, 2][None])
    # after somebody added an axis the record no longer holds
    assert settled((3, 4, 5), "ZYX", recorded="YX").axes == "ZYX"


def test_the_user_has_the_last_word_on_axes() -> None:
    source = settled((3, 4, 5), "?YX", axes="tyx")
    assert (source.axes, source.axes_known) == ("TYX", True)
    source = settled((4, 5, 3), "YXS", axes="YXZ")
    assert (source.axes, source.rgb) == ("YXZ", False)
    assert settled((4, 5, 3), "YXS", axes="YXC").rgb


@pytest.mark.parametrize("axes", ["YX", "ZZYX", "QYX", "TCZ"])
def test_axes_that_do_not_fit_are_refused_saying_what_is_there(axes: str) -> None:
    with pytest.raises(AxesError, match=r"a\.tif: .*shape \(3, 4, 5\), read as ZYX"):
        settled((3, 4, 5), "?YX", axes=axes)


def test_pixel_size_is_that_of_the_spatial_axes_in_the_result() -> None:
    sizes = {"Z": 2.0, "Y": 0.5, "X": 0.5, "T": 3.0}
    found = Found(np.zeros((3, 4, 5)), "ZYX", pixel_size=sizes)
    assert settle(found, PATH).pixel_size == {"Z": 2.0, "Y": 0.5, "X": 0.5}
    assert settle(found, PATH, axes="TYX").pixel_size == {"Y": 0.5, "X": 0.5}


def test_channel_names_are_kept_only_if_they_count_the_channels() -> None:
    def names(*given: str) -> tuple[str, ...]:
        found = Found(np.zeros((2, 4, 5)), "CYX", channel_names=given)
        return settle(found, PATH).channel_names

    assert names("a", "b") == ("a", "b")
    assert names("a") == ()


def test_what_is_no_image_is_refused() -> None:
    for array, message in [
        (np.zeros((4, 5), complex), r"complex numbers \(complex128\)"),
        (np.zeros((4, 5), "U3"), "not pixels"),
        (np.zeros((0, 5)), r"no pixels \(shape \(0, 5\)\)"),
        (np.zeros(5), "1 axes"),
        (np.zeros((1,) * 6), "6 axes"),
    ]:
        with pytest.raises(ImageFileError, match=message):
            settle(Found(array, "?" * array.ndim), PATH)


def test_an_array_in_order_is_passed_on_as_it_is() -> None:
    array = np.zeros((4, 5), np.uint8)
    source = settle(Found(array, "YX"), PATH)
    assert source.data is array
    assert (source.name, source.path, source.ndim) == ("a", PATH, 2)
    source.close()
