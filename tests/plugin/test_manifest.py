"""The manifest is valid, and everything that it names exists."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import napari_unet

SOURCE = Path(napari_unet.__file__).with_name("napari.yaml")


def _manifest():
    from npe2 import PluginManifest

    return PluginManifest.from_file(SOURCE)


def test_the_manifest_is_valid_and_carries_the_distribution_name():
    manifest = _manifest()
    assert manifest.name == "napari-unet-cells"
    assert manifest.display_name == "U-Net Cells"


def test_commands_are_prefixed_and_resolve():
    commands = _manifest().contributions.commands
    assert commands
    for command in commands:
        assert command.id.startswith("napari-unet-cells.")
        module, name = command.python_name.split(":")
        assert callable(getattr(importlib.import_module(module), name))


def test_the_entry_point_leads_to_the_manifest():
    (entry,) = entry_points(group="napari.manifest", name="napari-unet-cells")
    assert entry.value == "napari_unet:napari.yaml"


def test_the_link_at_the_top_is_the_packaged_file():
    link = Path(__file__).parents[2] / "napari.yaml"
    assert link.read_bytes() == SOURCE.read_bytes()


def test_sample_data_loads_neither_torch_nor_numba():
    code = (
        "import json, sys\n"
        "from napari_unet.plugin.sample_data import touching_nuclei\n"
        "touching_nuclei()\n"
        "print(json.dumps([m for m in ('torch', 'numba') if m in sys.modules]))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert json.loads(found.stdout) == []
