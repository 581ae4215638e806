from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from napari_unet.errors import ImageFileError
from napari_unet.io.images import ImageSource, read_image


@pytest.fixture
def grey(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 255, (20, 30), np.uint8)


@pytest.fixture
def colour(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 255, (20, 30, 3), np.uint8)


def saved(path: Path, array: np.ndarray) -> ImageSource:
    Image.fromarray(array).save(path)
    return read_image(path)


def with_alpha(array: np.ndarray, alpha: np.ndarray | int) -> np.ndarray:
    last = np.broadcast_to(np.asarray(alpha, np.uint8), array.shape[:2])
    return np.concatenate([array, last[..., None]], axis=-1)


def assert_grey(source: ImageSource, array: np.ndarray) -> None:
    assert (source.axes, source.rgb, source.dtype) == ("YX", False, array.dtype)
    np.testing.assert_array_equal(source.data, array)


def test_grey_pictures(tmp_path: Path, grey: np.ndarray) -> None:
    assert_grey(saved(tmp_path / "a.png", grey), grey)
    wide = grey.astype(np.uint16) * 257
    assert_grey(saved(tmp_path / "b.png", wide), wide)
    bits = grey > 100
    assert_grey(saved(tmp_path / "c.png", bits), bits)


def test_grey_in_disguise(tmp_path: Path, grey: np.ndarray) -> None:
    threefold = np.repeat(grey[..., None], 3, axis=2)
    assert_grey(saved(tmp_path / "a.png", threefold), grey)
    assert_grey(saved(tmp_path / "b.png", with_alpha(threefold, 255)), grey)
    assert_grey(saved(tmp_path / "c.png", with_alpha(grey[..., None], 255)), grey)
    assert_grey(saved(tmp_path / "d.png", with_alpha(grey[..., None], grey)), grey)


def test_colour_pictures(tmp_path: Path, colour: np.ndarray) -> None:
    for name, array in [
        ("a.png", colour),
        ("b.png", with_alpha(colour, 255)),
        ("c.png", with_alpha(colour, 7)),
    ]:
        source = saved(tmp_path / name, array)
        assert (source.axes, source.rgb) == ("YXC", True)
        np.testing.assert_array_equal(source.data, colour)
    varying = with_alpha(colour, colour[..., 0])
    source = saved(tmp_path / "d.png", varying)
    assert source.rgb
    np.testing.assert_array_equal(source.data, varying)


def test_colours_of_16_bits_are_not_reduced(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    array = rng.integers(0, 2**16, (20, 30, 3), np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(array))
    source = read_image(tmp_path / "a.png")
    assert (source.axes, source.rgb, source.dtype) == ("YXC", True, np.uint16)
    np.testing.assert_array_equal(source.data, array)


def test_palettes_become_their_colours(tmp_path: Path, colour: np.ndarray) -> None:
    few = colour // 128 * 200
    picture = Image.fromarray(few).quantize(8)
    picture.save(tmp_path / "a.png")
    source = read_image(tmp_path / "a.png")
    assert source.rgb
    np.testing.assert_array_equal(source.data, np.asarray(picture.convert("RGB")))
    index = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3), "L")
    greys = index.convert("P")
    greys.save(tmp_path / "b.png")
    assert_grey(read_image(tmp_path / "b.png"), np.asarray(index))


def test_jpeg(tmp_path: Path, colour: np.ndarray, grey: np.ndarray) -> None:
    source = saved(tmp_path / "a.JPG", colour)
    assert source.rgb
    np.testing.assert_array_equal(source.data, np.asarray(Image.open(source.path)))
    source = saved(tmp_path / "b.jpeg", grey)
    assert (source.axes, source.shape) == ("YX", grey.shape)


def test_a_large_picture_does_not_warn_and_a_huge_one_is_refused(
    tmp_path: Path, grey: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", grey.size - 1)
    assert_grey(saved(tmp_path / "a.png", grey), grey)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", grey.size // 4)
    with pytest.raises(ImageFileError, match="too large for a picture"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_damaged_and_foreign_files_are_refused(
    tmp_path: Path, grey: np.ndarray, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(grey).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageFileError, match="is damaged or was cut off"):
        read_image(path)
    path.write_text("hello")
    with pytest.raises(ImageFileError, match="not a PNG or JPEG picture"):
        read_image(path)
    Image.fromarray(grey).save(path, format="GIF")
    with pytest.raises(ImageFileError, match="not a PNG or JPEG picture"):
        read_image(path)


def test_damaged_16_bit_colours_are_refused(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    array = rng.integers(0, 2**16, (20, 30, 3), np.uint16)
    content = imagecodecs.png_encode(array)
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageFileError, match="is damaged or was cut off"):
        read_image(tmp_path / "a.png")
