"""Checkpoints are dropped on the viewer; what is none is left to other readers."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.gui


def packed(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "type: model")
    return path


def test_what_is_described_is_what_the_loader_looks_for():
    from napari_unet.nn.formats import nnunet_folder
    from napari_unet.nn.formats.bioimageio_read import NAMES
    from napari_unet.plugin.model_paths import DESCRIPTIONS, PLANS

    assert DESCRIPTIONS == NAMES
    assert PLANS == nnunet_folder.PLANS


def model_folder(folder, described_by):
    folder.mkdir()
    (folder / described_by).write_text("{}")
    return folder


@pytest.mark.parametrize("described_by", ["rdf.yaml", "bioimageio.yaml", "plans.json"])
def test_napari_asks_for_no_folder_because_of_us(tmp_path, described_by):
    from npe2 import PluginManager, PluginManifest

    import napari_unet
    from napari_unet.plugin.checkpoint_reader import get_reader
    from napari_unet.plugin.model_paths import source_at

    manifest = PluginManifest.from_file(
        Path(napari_unet.__file__).with_name("napari.yaml")
    )
    theirs = model_folder(tmp_path / "theirs", described_by)
    description, images = theirs / described_by, tmp_path / "images"
    images.mkdir()

    def offered(path):
        manager = PluginManager()
        manager.register(manifest)
        return list(manager.iter_compatible_readers([str(path)])) != []

    assert offered(description)
    assert not offered(theirs)
    assert get_reader(str(theirs)) is None
    assert get_reader(str(description)) is not None
    loaded = theirs if described_by == "plans.json" else description
    assert source_at(description) == str(loaded)
    # Why: a reader of folders is offered for every one, whatever its patterns.
    manifest.contributions.readers[0].accepts_directories = True
    assert offered(images)


@pytest.fixture
def choosing(make_napari_viewer, monkeypatch):
    """The Segment widget, and which sources it would have read."""
    from napari_unet.plugin.segment_widget import SegmentWidget
    from napari_unet.plugin.warm_model import WarmModel

    read = []
    monkeypatch.setattr(
        WarmModel, "load", lambda _, __, source, *___: read.append(source)
    )
    viewer = make_napari_viewer()
    widget = SegmentWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Segment")
    return widget, read


def drag(widget, kind, *paths):
    """Drag files over a widget, or let them go; return whether it takes them."""
    from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
    from qtpy.QtGui import QDragEnterEvent, QDropEvent
    from qtpy.QtWidgets import QApplication

    held = QMimeData()
    held.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    make, where = {
        "enter": (QDragEnterEvent, QPoint(5, 5)),
        "drop": (QDropEvent, QPointF(5, 5)),
    }[kind]
    how = (Qt.DropAction.CopyAction, held, Qt.MouseButton.LeftButton)
    event = make(where, *how, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(widget, event)
    return event.isAccepted()


@pytest.mark.parametrize("described_by", ["rdf.yaml", "bioimageio.yaml", "plans.json"])
def test_a_model_folder_is_dropped_on_the_widget(choosing, tmp_path, described_by):
    from napari_unet.plugin.preferences import read_preferences

    widget, read = choosing
    theirs = model_folder(tmp_path / "theirs", described_by)
    assert drag(widget, "enter", theirs)
    assert drag(widget, "drop", theirs)
    assert widget.form.model.value() == str(theirs)
    assert widget.form.model.box.currentText() == "theirs"
    assert read[-1] == str(theirs)
    assert read_preferences().recent[0] == str(theirs)


def test_what_is_no_model_is_not_taken(choosing, tmp_path):
    widget, _ = choosing
    chosen = widget.form.model.value()
    images, text = tmp_path / "images", tmp_path / "notes.txt"
    images.mkdir()
    text.write_text("none")
    theirs = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for paths in ([images], [text], theirs, []):
        assert not drag(widget, "enter", *paths)
        assert not drag(widget, "drop", *paths)
    assert widget.form.model.value() == chosen
    assert drag(widget, "enter", theirs[0])
    assert drag(widget, "drop", theirs[0])
    assert widget.form.model.value() == str(theirs[0])


def test_a_folder_is_opened_from_the_menu_and_by_its_plans(
    choosing, tmp_path, monkeypatch
):
    from qtpy.QtWidgets import QFileDialog

    widget, _ = choosing
    chooser = widget.form.model
    first = model_folder(tmp_path / "first", "rdf.yaml")
    second = model_folder(tmp_path / "second", "plans.json")
    picked = staticmethod(lambda *_: str(first))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", picked)
    picked = staticmethod(lambda *_: (str(second / "plans.json"), ""))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", picked)
    by_name = {action.text(): action for action in chooser.button.menu().actions()}
    by_name["Folder…"].trigger()
    assert chooser.value() == str(first)
    by_name["File…"].trigger()
    assert chooser.value() == str(second)
    chooser.set_value(str(first / "rdf.yaml"))
    assert chooser.box.currentText() == "first"


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
