"""What a run may replace, and a kill at any moment while it does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import napari_unet as nu
from napari_unet.engine import target
from napari_unet.engine.journal import FOLDER
from napari_unet.engine.segment_to import iter_segment_to, segment_to
from napari_unet.engine.stores import is_finished
from napari_unet.errors import ImageFileError

MakeModel = Callable[..., nu.Model]
Noise = Callable[..., np.ndarray]
PATHS = [
    ("a.zarr", "a.zarr"),
    ("a.zarr/0", "a.zarr"),
    ("a.zarr", "a.zarr/cells.zarr"),
    ("a.zarr/0", "a.zarr/0/c/cells.zarr"),
    ("link/0", "a.zarr"),
    ("a.zarr", "link/cells.zarr"),
    ("a.zarr", "other/../a.zarr"),
    ("b.zarr.part", "b.zarr"),
]


@pytest.fixture
def images(noise: Noise, tmp_path: Path) -> Path:
    """A folder with images that could also be outputs of this program."""
    for name in ("a.zarr", "b.zarr.part"):
        group = zarr.create_group(tmp_path / name, zarr_format=3)
        group.create_array("0", data=noise((40, 40)), chunks=(40, 40))
        (tmp_path / name / FOLDER).mkdir()
    (tmp_path / "link").symlink_to("a.zarr", target_is_directory=True)
    (tmp_path / "other").mkdir()
    return tmp_path


@pytest.mark.parametrize(("source", "out"), PATHS)
def test_the_image_is_never_replaced(
    images: Path, make_model: MakeModel, source: str, out: str
) -> None:
    before = sorted(images.rglob("*"))
    with pytest.raises(ImageFileError, match="one lies in the other"):
        segment_to(images / source, images / out, make_model(), overwrite=True)
    assert sorted(images.rglob("*")) == before


@pytest.mark.parametrize("out", ["a.zarr", "a.zarr/0", "link/0/c/cells.zarr"])
def test_an_array_on_disk_is_never_replaced(
    images: Path, make_model: MakeModel, out: str
) -> None:
    before = sorted(images.rglob("*"))
    array = zarr.open_array(images / "a.zarr" / "0", mode="r")
    with pytest.raises(ImageFileError, match="one lies in the other"):
        segment_to(array, images / out, make_model(), overwrite=True)
    assert sorted(images.rglob("*")) == before


@pytest.mark.parametrize("name", ["o.zarr", "o.zarr.part", "o.zarr.old"])
@pytest.mark.parametrize("terms", ["overwrite", "resume"])
def test_what_others_made_is_never_replaced(
    make_model: MakeModel, noise: Noise, tmp_path: Path, name: str, terms: str
) -> None:
    zarr.create_group(tmp_path / name, zarr_format=3).create_array("0", data=np.ones(3))
    before = sorted(tmp_path.rglob("*"))
    given: dict[str, Any] = {terms: True}
    with pytest.raises(ImageFileError, match=rf"{name} is no output of this program"):
        segment_to(noise((40, 40)), tmp_path / "o.zarr", make_model(), **given)
    assert sorted(tmp_path.rglob("*")) == before


def interrupt_at(patch: pytest.MonkeyPatch, moment: int) -> None:
    """Raise at one of the steps: first removal, two renames, last removal."""
    steps = iter(range(9))

    def limited(do: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any) -> Any:
            if next(steps) == moment:
                raise KeyboardInterrupt
            return do(*args)

        return step

    patch.setattr(Path, "rename", limited(Path.rename))
    patch.setattr(target, "remove", limited(target.remove))


@pytest.mark.parametrize("moment", range(4))
def test_killed_while_the_old_output_is_replaced(
    make_model: MakeModel,
    noise: Noise,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: int,
) -> None:
    """There is a whole output at any moment, and the new one is not made again."""
    out, model = tmp_path / "o.zarr", make_model()
    images = noise((40, 40)), noise((40, 44))
    segment_to(images[0], out, model)
    with monkeypatch.context() as patch:
        interrupt_at(patch, moment)
        with pytest.raises(KeyboardInterrupt):
            segment_to(images[1], out, model, overwrite=True)
    shapes = {
        path.name: zarr.open_array(path / "labels" / "cells" / "0", mode="r").shape
        for path in tmp_path.iterdir()
        if is_finished(path)
    }
    new = "o.zarr" if moment == 3 else "o.zarr.part"
    assert shapes.pop(new) == (40, 44)
    assert list(shapes.values()) == [(40, 40)]
    job = iter_segment_to(images[1], out, model, resume=True)
    assert list(job) == []
    assert [path.name for path in tmp_path.iterdir()] == ["o.zarr"]
    found = zarr.open_array(out / "labels" / "cells" / "0", mode="r")
    np.testing.assert_array_equal(found[...], nu.segment(images[1], model).labels)


def test_what_is_left_of_a_removal_is_known_and_not_whole(
    make_model: MakeModel,
    noise: Noise,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "o.zarr"
    segment_to(noise((40, 40)), out, make_model())
    assert is_finished(out)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(target.shutil, "rmtree", stop)
        with pytest.raises(KeyboardInterrupt):
            target.remove(out)
    assert not is_finished(out)
    assert target.is_ours(out)
    target.remove(out)
    assert not out.exists()


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real" / FOLDER).mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to("real", target_is_directory=True)
    target.remove(link)
    assert not link.is_symlink()
    assert (tmp_path / "real" / FOLDER).is_dir()
