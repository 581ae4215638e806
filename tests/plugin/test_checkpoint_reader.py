"""Checkpoints are dropped on the viewer; what is none is left to other readers."""

from __future__ import annotations

import zipfile

import pytest

pytestmark = pytest.mark.gui


def packed(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "type: model")
    return path


def test_what_is_described_is_what_the_loader_looks_for():
    from napari_unet.nn.formats.bioimageio_read import NAMES
    from napari_unet.plugin.checkpoint_reader import DESCRIPTIONS

    assert DESCRIPTIONS == NAMES


@pytest.mark.parametrize(
    "names",
    [("rdf.yaml", "weights.pt"), ("model/bioimageio.yaml",), ("a.RDF", "rdf.yaml")],
)
def test_a_package_has_a_reader(tmp_path, names):
    from napari_unet.plugin.checkpoint_reader import get_reader

    path = packed(tmp_path / "theirs.ZIP", *names)
    assert get_reader(str(path)) is not None
    assert get_reader([str(path)]) is not None


@pytest.mark.parametrize("names", [(), ("image.tif",), ("rdf.yaml/x", "my_rdf.yaml")])
def test_another_zip_is_declined(tmp_path, names):
    from napari_unet.plugin.checkpoint_reader import get_reader

    assert get_reader(str(packed(tmp_path / "images.zip", *names))) is None


def test_what_is_no_zip_is_declined(tmp_path):
    from napari_unet.plugin.checkpoint_reader import get_reader

    (tmp_path / "broken.zip").write_bytes(b"PK\x05\x06 not a zip")
    (tmp_path / "folder.zip").mkdir()
    for name in ("broken.zip", "folder.zip", "absent.zip"):
        assert get_reader(str(tmp_path / name)) is None


@pytest.mark.installed
def test_a_package_that_is_opened_is_chosen(make_napari_viewer, monkeypatch, tmp_path):
    from napari_unet.plugin.segment_widget import SegmentWidget
    from napari_unet.plugin.warm_model import WarmModel

    read = []

    def load(model, engine, source, *_):
        read.append(source)

    monkeypatch.setattr(WarmModel, "load", load)
    package = packed(tmp_path / "theirs.zip", "rdf.yaml", "evil.py")
    description = tmp_path / "rdf.yaml"
    description.write_text("type: model")
    viewer = make_napari_viewer()
    for path in (package, description):
        assert viewer.open(str(path), plugin=None) == []
        (widget,) = (
            w
            for w in viewer.window.dock_widgets.values()
            if isinstance(w, SegmentWidget)
        )
        assert widget.form.model.value() == str(path)
    assert read[-2:] == [str(package), str(description)]
    images = packed(tmp_path / "images.zip", "image.tif")
    with pytest.raises(Exception, match=r"images\.zip|napari-unet-cells"):
        viewer.open(str(images), plugin=None)
    assert widget.form.model.value() == str(description)
