"""Export: the description by hand-made oracles, the package by bioimageio.core."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unet.core.normalize import measure_intensity
from napari_unet.core.tiling import AxisGeometry
from napari_unet.errors import CheckpointError
from napari_unet.nn.checkpoint import Model
from napari_unet.nn.formats import bioimageio_export
from napari_unet.nn.formats.bioimageio_axes import axis_sizes, input_axes, output_axes
from napari_unet.nn.formats.bioimageio_check import Checked
from napari_unet.nn.formats.bioimageio_export import export_model
from napari_unet.nn.formats.bioimageio_package import package_name
from napari_unet.nn.formats.bioimageio_steps import (
    postprocessing_steps,
    preprocessing_steps,
)
from napari_unet.nn.formats.bioimageio_steps_read import StepReader
from napari_unet.processing_settings import (
    Binarize,
    Clip,
    EnsureDtype,
    FixedZeroMeanUnitVariance,
    ProcessingStep,
    ScaleLinear,
    ScaleRange,
    Sigmoid,
    Softmax,
    ZeroMeanUnitVariance,
)
from napari_unet.settings import Architecture, Credits, Normalization, Recipe

NAMES = ("background", "interior", "boundary")


def recipe(**given: Any) -> Recipe:
    return Recipe.parse({"architecture": Architecture(), "channels": NAMES, **given})


def instances(make_model: Any, **architecture: Any) -> Model:
    given = {"channels": NAMES, "task": "instances", "name": "tiny cells"}
    model: Model = make_model(recipe=given, **architecture)
    return model


# -- axes ---------------------------------------------------------------------------


def test_padded_axis_has_a_halo_of_whole_steps() -> None:
    # Depth 4 with transposed convolutions: 94 px of context, on a grid of 16.
    sizes = axis_sizes(AxisGeometry(16, (94, 94), (0, 0), 16))
    assert (sizes.halo, sizes.step, sizes.cut) == (96, 16, 0)
    assert sizes.minimum == 208  # the first multiple of 16 above 2 * 96
    assert sizes.test_size(64) == 224
    assert sizes.test_size(300) == 304


def test_valid_axis_has_an_offset_and_no_halo() -> None:
    # The network of 2015: 572 px in, 388 out; 188 is its smallest input.
    sizes = axis_sizes(AxisGeometry(16, (92, 92), (92, 92), 188))
    assert (sizes.halo, sizes.step, sizes.cut) == (0, 16, 184)
    assert sizes.minimum == 188


def test_axes_carry_pixel_size_names_and_offset() -> None:
    geometry = (AxisGeometry(4, (5, 5), (5, 5), 14), AxisGeometry(8, (7, 9), (0, 0), 8))
    given = recipe(pixel_size=(0.5, 0.25), input_channels=("DNA",))
    batch, channel, y, x = input_axes(given, geometry, blocks=True)
    assert batch == {"type": "batch"}
    assert channel["channel_names"] == ["DNA"]
    assert (y["id"], y["scale"], y["unit"]) == ("y", 0.5, "micrometer")
    assert x["size"] == {"min": 40, "step": 8}
    outputs = output_axes(given, geometry)
    assert outputs[1]["channel_names"] == list(NAMES)
    assert outputs[2]["size"] == {"tensor_id": "input", "axis_id": "y", "offset": -10}
    assert "halo" not in outputs[2]
    assert outputs[3]["halo"] == 16


# -- steps --------------------------------------------------------------------------


def by_the_specification(image: np.ndarray, steps: list[dict[str, Any]]) -> np.ndarray:
    """The three steps that an export writes, after the words of the specification."""
    x = image.astype(np.float64)
    for step in steps:
        given = step["kwargs"]
        if step["id"] == "scale_range":
            axes = tuple("cyx".index(a[0]) for a in given["axes"] if a != "batch")
            ends = [given["min_percentile"], given["max_percentile"]]
            low, high = np.percentile(x, ends, axis=axes, keepdims=True)
            x = (x - low) / (high - low + given["eps"])
        elif step["id"] == "scale_linear":
            x = x * given["gain"] + given["offset"]
        else:
            x = np.clip(x, given["min"], given["max"])
    return x


@pytest.mark.parametrize(
    "settings",
    [
        Normalization(),
        Normalization(low=3, high=97, clip=True),
        Normalization(invert=True),
        Normalization(invert=True, clip=True, joint_channels=True),
    ],
)
def test_steps_do_what_the_normalisation_does(settings: Normalization) -> None:
    image = np.random.default_rng(1).integers(0, 4000, (2, 30, 40)).astype(np.uint16)

    def read(region: tuple[slice, ...]) -> np.ndarray:
        return image[(slice(None), *region)]

    found = measure_intensity([read], image.shape[1:], image.dtype, settings)
    ours = found.apply(image, settings)
    steps = preprocessing_steps(recipe(normalization=settings))
    assert np.abs(by_the_specification(image, steps) - ours).max() < 1e-5


def test_frames_measured_jointly_are_a_batch() -> None:
    settings = Normalization(joint_frames=True)
    steps = preprocessing_steps(recipe(normalization=settings))
    assert steps[0]["kwargs"]["axes"] == ["batch", "y", "x"]


def test_the_activation_is_written_once() -> None:
    assert postprocessing_steps(recipe(activation="sigmoid")) == [{"id": "sigmoid"}]
    soft = postprocessing_steps(recipe())
    assert soft == [{"id": "softmax", "kwargs": {"axis": "channel"}}]


STEPS: tuple[ProcessingStep, ...] = (
    EnsureDtype(dtype="float32"),
    ScaleRange(min_percentile=1.0, max_percentile=99.0, per_channel=True),
    ScaleRange(joint_samples=True, unprocessed=True, eps=1e-4),
    ZeroMeanUnitVariance(joint_samples=True, per_channel=True),
    FixedZeroMeanUnitVariance(mean=(1.0, 2.0), std=(3.0, 4.0)),
    ScaleLinear(gain=(2.0, 3.0), offset=(1.0, 0.0)),
    ScaleLinear(gain=(2.0,), offset=(1.0,)),
    Clip(min=0.0, max=1.0),
    Clip(max_percentile=90.0, per_channel=True),
    Binarize(threshold=(0.5, 0.6)),
    Sigmoid(),
    Softmax(),
)


def test_steps_of_an_import_are_written_as_they_were_read() -> None:
    given = recipe(preprocessing=[step.model_dump() for step in STEPS])
    reader = StepReader("bcyx", unprocessed=True)
    written = preprocessing_steps(given)
    found = [
        reader.read(s["id"], {"axis": "channel", **s.get("kwargs", {})})
        for s in written
    ]
    assert found == list(STEPS)


def test_percentiles_that_the_format_lacks_are_refused() -> None:
    with pytest.raises(CheckpointError, match="does not know percentiles 0 to"):
        preprocessing_steps(recipe(normalization=Normalization(low=0, high=0.5)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nuclei", "nuclei"),
        ("a", "a U-Net"),
        ("", "U-Net"),
        ("zellen/ä.v2", "zellen---v2"),
    ],
)
def test_names_are_made_to_fit(name: str, expected: str) -> None:
    assert package_name(recipe(name=name)) == expected


# -- the package --------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("bioimageio")
def test_package_passes_in_a_fresh_process(make_model: Any, tmp_path: Path) -> None:
    out = tmp_path / "tiny.zip"
    done = export_model(
        instances(make_model, depth=1),
        out,
        credits=Credits(authors=("Ada Lovelace",), licence="CC-BY-4.0"),
    )
    passed = [line for line in done.tests if line.startswith("passed")]
    assert passed == list(done.tests)
    for kind in ("pytorch_state_dict", "torchscript"):
        wanted = f"passed: Reproduce test outputs from test inputs ({kind})"
        assert wanted in done.tests
        assert sum(f"Run {kind} inference" in line for line in done.tests) == 6
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.zip"]
    with zipfile.ZipFile(out) as archive:
        text = archive.read("rdf.yaml").decode()
        assert "## Validation" in archive.read("README.md").decode()
        for source, digest in re.findall(r"source: (\S+)\s+sha256: (\w+)", text):
            assert hashlib.sha256(archive.read(source)).hexdigest() == digest
    assert "seed_threshold: 0.7" in text
    assert "name: Ada Lovelace" in text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("bioimageio")
@pytest.mark.parametrize(
    "architecture",
    [
        {"padded": False, "norm": "none", "depth": 1, "in_channels": 2},
        {"ndim": 3, "depth": 2, "pooling": ((1, 2, 2), (2, 2, 2))},
    ],
    ids=["valid", "volume"],
)
def test_other_forms_pass_too(
    make_model: Any, tmp_path: Path, architecture: dict[str, Any]
) -> None:
    from bioimageio.core import test_model

    content, package = tmp_path / "content", tmp_path / "package.zip"
    content.mkdir()
    model = instances(make_model, **architecture)
    description = bioimageio_export.write_package(model, content)
    bioimageio_export.write_zip(description, content, package)
    summary = test_model(package, devices=["cpu"])
    assert summary.status == "passed", summary.format()


def test_a_package_that_fails_is_not_written(
    make_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Checked(False, ("passed: a", "failed: b, by 3 %"), ())
    monkeypatch.setattr(bioimageio_export, "check_package", lambda *_: failing)
    monkeypatch.setattr(bioimageio_export, "require_bioimageio", lambda: None)
    monkeypatch.setattr(bioimageio_export, "write_package", lambda *_: {})
    with pytest.raises(CheckpointError, match=r"test.*: failed: b, by 3 %\."):
        export_model(instances(make_model, depth=1), tmp_path / "tiny.zip")
    assert list(tmp_path.iterdir()) == []


def test_names_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    existing = tmp_path / "there.zip"
    existing.write_bytes(b"")
    for path, problem in [
        (tmp_path / "tiny.tar", "no name for a package"),
        (tmp_path / "nowhere" / "tiny.zip", "does not exist"),
        (existing, "exists"),
    ]:
        with pytest.raises(CheckpointError, match=problem):
            export_model("nuclei", path)
