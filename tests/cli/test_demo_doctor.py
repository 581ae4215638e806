"""The demo, headless; and the doctor, on machines that are not well."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

import napari_unet as nu
from napari_unet.cli import demo, doctor
from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation


@pytest.fixture
def small_sample(monkeypatch, tmp_path):
    """Let the demo simulate a smaller scene, in a folder of its own."""

    def smaller(settings: Simulation):
        shape = (12, 96, 96) if len(settings.shape) == 3 else (128, 128)
        return simulate(settings.replace(shape=shape, n_cells=10))

    monkeypatch.setattr(demo, "simulate", smaller)
    monkeypatch.chdir(tmp_path)


def test_the_demo_writes_and_scores(run, small_sample, tmp_path, listing):
    said = run("demo")
    assert (said.status, said.err) == (0, "")
    folder = tmp_path / "napari-unet-demo"
    names = ["sample.tif", "sample_labels.tif", "sample_objects.csv"]
    assert listing(folder) == [*names, "sample_overlay.png", "sample_truth.tif"]
    labels = tifffile.imread(folder / "sample_labels.tif")
    truth = tifffile.imread(folder / "sample_truth.tif")
    scores = nu.evaluate(labels, truth)
    assert said.out.startswith(f"{labels.max()} objects in ")
    found = re.search(r"AP at IoU 0\.5: ([\d.]+), mean", said.out)
    assert float(found[1]) == pytest.approx(scores.ap[0], abs=5e-4)
    assert scores.ap[0] > 0.8
    for name in listing(folder):
        assert str(folder.relative_to(tmp_path) / name) in said.out
    again = nu.segment(tifffile.imread(folder / "sample.tif"), "nuclei", axes="YX")
    assert np.array_equal(again.labels, labels)
    # Its own folder may be used again; any other only when asked.
    assert run("demo").status == 0
    assert "exists already" in run("demo", "-o", folder).line
    assert run("demo", "-o", folder, "--overwrite").status == 0


def test_the_sample_is_the_same_everywhere(small_sample):
    first, second = demo.sample(volume=False), demo.sample(volume=False)
    assert np.array_equal(first[0].data, second[0].data)
    assert np.array_equal(first[1], second[1])


def test_a_volume_is_linked(run, small_sample, tmp_path):
    said = run("demo", "--volume", "-o", "volume")
    assert said.status == 0
    labels = tifffile.imread(tmp_path / "volume" / "sample_labels.tif")
    assert labels.ndim == 3
    assert any(np.unique(labels[0][labels[0] > 0]).tolist())
    shared = np.intersect1d(labels[1][labels[1] > 0], labels[2][labels[2] > 0])
    assert shared.size
    assert said.out.startswith(f"{labels.max()} objects in ")


def test_an_image_of_ones_own(run, image, tmp_path, monkeypatch, listing):
    monkeypatch.chdir(tmp_path)
    said = run("demo", "--image", image, "-o", "mine")
    assert said.status == 0
    assert "simulated" not in said.out
    names = ["cells_labels.tif", "cells_objects.csv", "cells_overlay.png"]
    assert listing(tmp_path / "mine") == names
    with Image.open(tmp_path / "mine" / "cells_overlay.png") as picture:
        assert picture.size == (96, 96)


def test_refusals(run, image, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = run("demo", "--image", image, "--volume")
    assert said.line == "--image and --volume exclude each other. Give one of the two."
    (tmp_path / "file").write_text("mine")
    assert "is a file" in run("demo", "-o", "file").line
    assert "does not exist" in run("demo", "--image", "no.tif").line
    assert "There is no model called x" in run("demo", "-m", "x").line


def test_show_without_napari_says_what_to_install(run, image, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "napari", None)
    said = run("demo", "--image", image, "--show")
    assert said.status == 0
    assert "pip install 'napari-unet-cells[all]'" in said.err


# -- doctor ----------------------------------------------------------------------


def test_the_doctor_tells_what_is_used(run):
    import torch

    said = run("doctor")
    assert (said.status, said.err) == (0, "")
    for text in (nu.__version__, torch.__version__, "nuclei", "threads", "Python"):
        assert text in said.out


def test_a_clash_of_packages(monkeypatch):
    versions = {"napari-unet": "0.2.3", "napari-unet-cells": "1.0"}
    monkeypatch.setattr(doctor, "version", versions.__getitem__)
    (finding,) = doctor.examine_clash()
    assert "napari-unet 0.2.3 is installed as well" in finding.state
    assert finding.remedy.startswith("pip uninstall napari-unet,")


def test_no_clash(monkeypatch):
    monkeypatch.setattr(doctor, "installed", lambda name: None)
    assert doctor.examine_clash() == []
    finding = doctor.examine_napari()
    assert "not installed" in finding.state
    assert "napari-unet-cells[all]" in finding.remedy


@pytest.mark.parametrize(
    ("gpu", "cuda", "state", "remedy"),
    [
        ("", None, "no GPU found", ""),
        (
            "H100",
            None,
            "built without CUDA, but there is a H100",
            "CUDA build of torch",
        ),
        ("H100", "13.0", "cannot reach the H100 (built for CUDA 13.0)", "driver"),
    ],
)
def test_why_there_is_no_gpu(monkeypatch, gpu, cuda, state, remedy):
    import torch

    monkeypatch.setattr(doctor, "nvidia_gpu", lambda: gpu)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    found = doctor.why_no_gpu()
    assert state in found[0]
    assert remedy in found[1]


def test_torch_that_does_not_load_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (finding,) = doctor.examine_torch()
    assert "does not load" in finding.state
    assert "pip install" in finding.remedy


def test_an_old_napari(monkeypatch):
    monkeypatch.setattr(doctor, "installed", lambda name: "0.5.6")
    assert "napari>=0.9" in doctor.examine_napari().remedy


def test_qt_that_does_not_load(monkeypatch):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(doctor.sys, "executable", "/bin/false")
    finding = doctor.examine_qt()
    assert "does not load" in finding.state
    assert finding.remedy.startswith("apt-get install")


@pytest.mark.parametrize(
    ("n_lost", "state", "remedy"),
    [("0", "PySide6 6.12.0", ""), ("100", "will abort", "'PySide6<6.12'")],
)
def test_a_qt_that_loses_references(monkeypatch, n_lost, state, remedy):
    """The probe counts them; it is replaced by what it would say."""
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(doctor, "installed", lambda name: "6.12.0")
    monkeypatch.setattr(doctor, "QT_PROBE", f"print('PySide6', {n_lost})")
    finding = doctor.examine_qt()
    assert state in finding.state
    assert remedy in finding.remedy
    assert bool(finding.remedy) == bool(remedy)
