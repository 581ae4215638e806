"""The copied script reads the file only where that gives the layer's pixels."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.gui

FILE = np.arange(2 * 12 * 12, dtype=np.uint16).reshape(2, 12, 12)


@pytest.mark.parametrize(
    ("pixels", "is_same"),
    [
        (FILE, True),
        (FILE.astype(">u2"), True),
        (FILE[1], False),
        (FILE.astype(np.float32), False),
        (FILE[::-1], False),
        (np.swapaxes(FILE, 1, 2), False),
    ],
)
def test_a_file_that_a_reader_took_apart_is_not_named(
    make_napari_viewer, monkeypatch, tmp_path, pixels, is_same
):
    from napari_unet.plugin import script

    path = tmp_path / "cells.npy"
    np.save(path, FILE)
    viewer = make_napari_viewer()
    source = viewer.add_image(pixels, name="image")
    made = {
        "tile": [12, 12],
        "source_of_model": "nuclei",
        "origin": {"path": str(path)},
    }
    labels = viewer.add_labels(
        np.zeros(pixels.shape[-2:], int), metadata={"napari_unet": made}
    )
    monkeypatch.setattr(
        script, "script_of", lambda made, **_: script._reading(made["origin"])
    )
    code = script.as_python(labels, source)
    assert (code == f"read_image({path.as_posix()!r}).data") == is_same
    assert code.endswith("cells.npy was read in another way: name it here") != is_same
    path.unlink()
    assert "name it here" in script.as_python(labels, source)
    assert "name it here" not in script.as_python(labels)


MADE = {
    "source": "image",
    "source_of_model": "nuclei",
    "model": {"name": "nuclei", "sha256": "0"},
    "versions": {"napari-unet-cells": "1"},
    "tile": [16, 16],
    "tiling": {},
    "prediction": {},
    "normalization": {},
    "separation": {},
    "axes": "YX",
    "rgb": False,
    "pixel_size": None,
    "diameter": None,
    "region": None,
    "device": "cpu",
}


def test_what_was_allowed_and_answered_is_in_the_script():
    from napari_unet.plugin.script import script_of

    assert "nu.load_model('nuclei')" in script_of(MADE)
    made = MADE | {"trust": True, "choices": {"padding": "reflect"}}
    said = "nu.load_model('nuclei', trust=True, choices={'padding': 'reflect'})"
    assert said in script_of(made)


@pytest.mark.installed
def test_a_regions_script_plans_the_tiles_that_were_planned(make_napari_viewer):
    """They say over which area its cells are told apart."""
    from napari_unet.plugin.script import as_python, copied_note

    viewer = make_napari_viewer()
    made = {**MADE, "tile": [8, 16], "planned_tile": [16, 16]}
    zeros = np.zeros((16, 18), np.int32)
    whole = viewer.add_labels(zeros, metadata={"napari_unet": made})
    assert "tile=(8, 16)" in as_python(whole)
    assert "exactly these labels" in copied_note(whole)
    made = {**made, "region": {"X": (0, 4)}}
    part = viewer.add_labels(zeros, metadata={"napari_unet": made})
    assert "tile=(16, 16)" in as_python(part)
    assert "memory was full" in as_python(part)
    assert "exactly" not in copied_note(part)
    compile(as_python(part), "copied.py", "exec")


@pytest.mark.installed
def test_corrections_by_hand_are_said_in_the_script(make_napari_viewer):
    from napari_unet.plugin.hand_edits import note_edits
    from napari_unet.plugin.script import CORRECTED, as_python, copied_note

    viewer = make_napari_viewer()
    zeros = np.zeros((16, 18), np.int32)
    layer = viewer.add_labels(zeros, metadata={"napari_unet": MADE})
    note_edits(layer)
    plain = as_python(layer)
    assert "by hand" not in plain
    assert "exactly these labels" in copied_note(layer)
    layer.paint((3, 3), 7)
    lines = as_python(layer).splitlines()
    assert lines[2] == f"# {CORRECTED}"
    assert lines[-1] == f'print("{CORRECTED}")'
    assert [line for line in lines if CORRECTED not in line][3:] == (
        plain.splitlines()[2:]
    )
    compile(as_python(layer), "copied.py", "exec")
    assert "without corrections" in copied_note(layer)
