"""Import: packages written by hand, against torch, NumPy and bioimageio.core."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from napari_unet.errors import AxesError, CheckpointError, UNetError
from napari_unet.nn.checkpoint import Model, load_model
from napari_unet.nn.formats.bioimageio_code import SourceNetwork
from napari_unet.nn.formats.bioimageio_export import write_zip
from napari_unet.nn.formats.bioimageio_package import write_package
from napari_unet.nn.formats.containers import open_checkpoint
from napari_unet.nn.formats.packages import CACHE
from napari_unet.nn.unet import UNet
from napari_unet.pipeline import segment
from napari_unet.settings import Tiling

pytestmark = [
    pytest.mark.usefixtures("bioimageio", "cache"),
    pytest.mark.filterwarnings("ignore"),  # the library's own
]
PAIR = ("foreground", "boundary")
PER_CHANNEL = ["y", "x"]
Array = npt.NDArray[Any]
Values = dict[str, Any]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def network(make_model: Any) -> UNet:
    found = make_model(depth=1, in_channels=2, out_channels=2).network
    assert isinstance(found, UNet)
    return found


@pytest.fixture
def image() -> Array:
    rng = np.random.default_rng(7)
    shift = np.array([200.0, 900.0])[:, None, None]
    return (rng.gamma(2.0, 100.0, (2, 40, 48)) + shift).astype(np.float32)


def run(network: torch.nn.Module, seen: Array) -> Array:
    with torch.inference_mode():
        logits = network(torch.from_numpy(seen.astype(np.float32))[None])[0]
    return np.asarray(logits)


def normal(image: Array) -> Array:
    axes = (1, 2)
    mean, std = image.mean(axes, keepdims=True), image.std(axes, keepdims=True)
    return np.asarray((image - mean) / (std + 1e-6))


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


@pytest.fixture
def package(by_hand: Any) -> Any:
    """A package of version 0.5 that normalises each channel and ends in a sigmoid."""

    def make(
        folder: Path, network: UNet, image: Array, output: Array, **given: Any
    ) -> Path:
        zero_mean = {"id": "zero_mean_unit_variance", "kwargs": {"axes": PER_CHANNEL}}
        defaults = {"before": [zero_mean], "after": [{"id": "sigmoid"}], "names": PAIR}
        pair, source = (image[None], output[None]), given.pop("source", None)
        arguments = by_hand.write_files(folder, network, *pair, source=source)
        found: Path = by_hand.version_5(folder, arguments, **{**defaults, **given})
        return found

    return make


def core_prediction(folder: Path, image: Array) -> Array:
    from bioimageio.core import load_model_description, predict

    model = load_model_description(folder / "rdf.yaml")
    name = getattr(model.inputs[0], "id", None) or model.inputs[0].name
    found = predict(model=model, inputs={str(name): image[None]})
    (output,) = found.members.values()
    return np.asarray(output.data)[0]


def probabilities(model: Model, image: Array, **how: Any) -> Array:
    found = segment(image, model, axes="CYX", device="cpu", **how).probabilities
    return found.astype(np.float64) / 65535


# -- version 0.5 --------------------------------------------------------------------


def test_version_5_gives_the_described_output_and_that_of_core(
    package: Any, tmp_path: Path, network: UNet, image: Array
) -> None:
    expected = sigmoid(run(network, normal(image)))
    folder = package(tmp_path / "package", network, image, expected)
    model = load_model(folder)
    assert any("was reproduced" in note for note in model.notes)
    recipe = model.recipe
    assert (recipe.name, recipe.licence) == ("a foreign model", "MIT")
    assert (recipe.authors, recipe.cite) == (("Emmy Noether",), ("10.1000/abc",))
    assert (recipe.channels, recipe.task) == (("interior", "boundary"), "instances")
    assert (recipe.activation, recipe.pixel_size) == ("sigmoid", (0.5, 0.5))
    found = probabilities(model, image)
    assert np.abs(found - expected).max() < 2e-5
    assert np.abs(found - core_prediction(folder, image)).max() < 2e-5


def test_tiles_see_the_statistics_of_the_whole_image(
    package: Any, tmp_path: Path, network: UNet, image: Array
) -> None:
    expected = sigmoid(run(network, normal(image)))
    model = load_model(package(tmp_path / "package", network, image, expected))
    tiled = probabilities(model, image, tiling=Tiling(tile=(8,)))
    assert np.abs(tiled - expected).max() < 2e-5


def test_frames_are_normalised_each_by_itself(
    package: Any, tmp_path: Path, network: UNet, image: Array
) -> None:
    expected = sigmoid(run(network, normal(image)))
    model = load_model(package(tmp_path / "package", network, image, expected))
    series = np.stack([image, 3 * image + 50])
    found = segment(series, model, axes="TCYX", device="cpu").probabilities / 65535
    for frame in (0, 1):
        assert np.abs(found[:, frame] - expected).max() < 2e-5


def test_steps_after_the_network_are_applied(
    package: Any, tmp_path: Path, network: UNet, image: Array
) -> None:
    image = image / np.float32(1000)
    raw = run(network, image)
    after: list[Values] = [
        {"id": "sigmoid"},
        {
            "id": "scale_linear",
            "kwargs": {"axis": "channel", "gain": [0.5, 1.0], "offset": [0.25, 0.0]},
        },
        {"id": "clip", "kwargs": {"min": 0.3, "max": 0.7}},
    ]
    gain, offset = np.reshape([0.5, 1.0], (2, 1, 1)), np.reshape([0.25, 0.0], (2, 1, 1))
    expected = np.clip(sigmoid(raw) * gain + offset, 0.3, 0.7)
    folder = package(
        tmp_path / "package", network, image, expected, before=[], after=after
    )
    model = load_model(folder)
    assert np.abs(probabilities(model, image) - expected).max() < 2e-5


def test_an_activation_in_the_code_is_found_by_the_test_output(
    package: Any, tmp_path: Path, network: UNet, image: Array
) -> None:
    expected = sigmoid(run(network, normal(image)))
    model = load_model(package(tmp_path / "p", network, image, expected, after=[]))
    assert model.recipe.activation == "sigmoid"
    assert any("settled a final sigmoid" in note for note in model.notes)


def test_other_weights_are_refused_or_run_by_their_own_code(
    package: Any, tmp_path: Path, network: UNet, image: Array
) -> None:
    """The code does what its tensors do not tell: it doubles the image first."""
    folder = tmp_path / "package"
    expected = sigmoid(run(network, 2 * normal(image)))
    source = (
        "import torch\n"
        + __import__(
            "napari_unet.nn.formats.bioimageio_package", fromlist=["x"]
        ).network_source(network)[0]
    ).replace("from __future__ import annotations\n", "")
    source = "from __future__ import annotations\n" + source.replace(
        "skips = []", "skips, x = [], 2 * x"
    )
    package(folder, network, image, expected, source=source)
    with pytest.raises(CheckpointError, match=r"does not give.*If you trust the code"):
        load_model(folder)
    model = load_model(folder, trust=True)
    assert isinstance(model.network, SourceNetwork)
    assert any("own code is run" in note for note in model.notes)
    assert np.abs(probabilities(model, image) - expected).max() < 2e-5


def test_code_is_listed_and_not_run(
    package: Any, tmp_path: Path, network: UNet, image: Array
) -> None:
    mark = tmp_path / "executed"
    expected = sigmoid(run(network, normal(image)))
    source = f"open({str(mark)!r}, 'w')"
    folder = package(tmp_path / "p", network, image, expected, source=source)
    contents = open_checkpoint(folder)
    assert [code.text for code in contents.code] == [source]
    load_model(folder)
    assert not mark.exists()


def test_several_inputs_load_and_are_refused_with_the_reason(
    package: Any, tmp_path: Path, network: UNet, image: Array
) -> None:
    import json

    folder = package(tmp_path / "p", network, image, image)
    description = json.loads((folder / "rdf.yaml").read_text())
    second = {**description["inputs"][0], "id": "raw2"}
    description["inputs"].append(second)
    (folder / "rdf.yaml").write_text(json.dumps(description))
    model = load_model(folder)
    assert model.recipe.name == "a foreign model"
    with pytest.raises(AxesError, match="takes 2 inputs at once: raw, raw2"):
        segment(image, model, axes="CYX")


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"id": "zero_mean_unit_variance", "kwargs": {"axes": ["x"]}}, "each y by it"),
        ({"id": "softmax", "kwargs": {"axis": "y"}}, "softmax along y"),
    ],
)
def test_steps_that_no_tile_can_do_are_refused(
    package: Any, tmp_path: Path, network: UNet, image: Array, step: Values, said: str
) -> None:
    folder = package(tmp_path / "p", network, image, image, before=[step])
    with pytest.raises(CheckpointError, match=said):
        load_model(folder)


def test_outputs_that_are_no_probabilities_are_refused(
    package: Any, tmp_path: Path, network: UNet, image: Array
) -> None:
    raw = run(network, image)
    axes = (1, 2)
    scaled = normal(raw) * image.std(axes, keepdims=True) + image.mean(
        axes, keepdims=True
    )
    match: Values = {
        "id": "scale_mean_variance",
        "kwargs": {"reference_tensor": "raw", "axes": PER_CHANNEL},
    }
    folder = package(tmp_path / "p", network, image, scaled, before=[], after=[match])
    model = load_model(folder)
    assert any("was reproduced" in note for note in model.notes)
    with pytest.raises(AxesError, match="by scale_mean_variance, and not"):
        segment(image, model, axes="CYX")


# -- version 0.4 --------------------------------------------------------------------


def test_version_4_gives_the_described_output_and_that_of_core(
    by_hand: Any, tmp_path: Path, network: UNet, image: Array
) -> None:
    low, high = np.percentile(image, [1.0, 99.0], axis=(1, 2), keepdims=True)
    seen = np.clip((image - low) / (high - low + 1e-6), 0.0, 0.9)
    expected = sigmoid(run(network, seen))
    before = [
        {
            "name": "scale_range",
            "kwargs": {
                "mode": "per_sample",
                "axes": "yx",
                "min_percentile": 1.0,
                "max_percentile": 99.0,
            },
        },
        {"name": "clip", "kwargs": {"min": 0.0, "max": 0.9}},
    ]
    folder = tmp_path / "package"
    arguments = by_hand.write_files(folder, network, image[None], expected[None])
    by_hand.version_4(folder, arguments, before=before, after=[{"name": "sigmoid"}])
    model = load_model(folder)
    assert any("was reproduced" in note for note in model.notes)
    assert np.abs(probabilities(model, image) - expected).max() < 2e-5


def test_version_4_fixed_means(
    by_hand: Any, tmp_path: Path, network: UNet, image: Array
) -> None:
    mean, std = [400.0, 1100.0], [150.0, 140.0]
    seen = (image - np.reshape(mean, (2, 1, 1))) / np.reshape(std, (2, 1, 1))
    expected = sigmoid(run(network, seen))
    before = [
        {
            "name": "zero_mean_unit_variance",
            "kwargs": {"mode": "fixed", "axes": "yx", "mean": mean, "std": std},
        }
    ]
    folder = tmp_path / "package"
    arguments = by_hand.write_files(folder, network, image[None], expected[None])
    by_hand.version_4(folder, arguments, before=before, after=[{"name": "sigmoid"}])
    model = load_model(folder)
    found = probabilities(model, image)
    assert np.abs(found - expected).max() < 2e-5
    assert np.abs(found - core_prediction(folder, image)).max() < 2e-5


# -- there and back -----------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False])
def test_an_export_opens_again_bit_identical(
    make_model: Any, tmp_path: Path, image: Array, zipped: bool
) -> None:
    given = {
        "channels": ("background", "interior", "boundary"),
        "task": "instances",
        "separation": {"seed_threshold": 0.6},
        "normalization": {"low": 2.0, "invert": True, "clip": True},
    }
    original = make_model(depth=1, in_channels=2, recipe=given)
    content, path = tmp_path / "content", tmp_path / "package.zip"
    content.mkdir()
    description = write_package(original, content)
    write_zip(description, content, path)
    opened = load_model(path if zipped else content)
    assert opened.recipe == original.recipe
    found, wanted = (
        segment(image, model, axes="CYX", device="cpu") for model in (opened, original)
    )
    assert np.array_equal(found.probabilities, wanted.probabilities)
    assert np.array_equal(found.labels, wanted.labels)


def test_an_edited_description_counts_more_than_the_recipe_in_it(
    make_model: Any, tmp_path: Path
) -> None:
    content = tmp_path / "content"
    content.mkdir()
    channels = ("background", "interior", "boundary")
    original = make_model(depth=1, recipe={"channels": channels, "task": "instances"})
    write_zip(write_package(original, content), content, tmp_path / "package.zip")
    path = content / "rdf.yaml"
    path.write_text(
        path.read_text().replace("max_percentile: 99.8", "max_percentile: 50")
    )
    with pytest.raises(CheckpointError, match="does not give the described output"):
        load_model(content)


# -- damage and harm ----------------------------------------------------------------


def change(folder: Path, old: str, new: str) -> Path:
    path = folder / "rdf.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return folder


DAMAGE = {
    "another hash": (("weights.pt", None), "its hash differs"),
    "a file that leads out": (('"weights.pt"', '"../weights.pt"'), "leads out of"),
    "an absolute file": (('"weights.pt"', '"/etc/passwd"'), "not in the package"),
    "a file from elsewhere": (
        ('"weights.pt"', '"https://example.com/weights.pt"'),
        "not in the package",
    ),
    "another model's output": (
        ('"id": "raw", "axes"', '"id": "raw", "output_of": "affable-shark", "axes"'),
        "output of another model",
    ),
    "no model": (('"type": "model"', '"type": "dataset"'), "not describe a model"),
    "no YAML": (('{"format_version"', '{{{"format_version"'), "damaged"),
    "nothing known": (('"pytorch_state_dict": {', '"keras_hdf5": {'), "no valid desc"),
    "references": (
        ('{"format_version"', '{"a": &a [1], "b": *a, "format_version"'),
        "itself",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_one_line(
    package: Any, tmp_path: Path, network: UNet, image: Array, name: str
) -> None:
    (old, new), said = DAMAGE[name]
    folder = package(tmp_path / "p", network, image, image)
    if new is None:
        (folder / old).write_bytes((folder / old).read_bytes() + b" ")
    else:
        change(folder, old, new)
    with pytest.raises(UNetError, match=said) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_test_tensors_are_not_unpickled(
    by_hand: Any, tmp_path: Path, network: UNet, image: Array
) -> None:
    folder = tmp_path / "p"
    arguments = by_hand.write_files(folder, network, image[None], image[None])
    np.save(folder / "input.npy", np.array([{"a": 1}], object), allow_pickle=True)
    by_hand.version_5(folder, arguments, before=[], after=[], names=PAIR)
    with pytest.raises(CheckpointError, match=r"input.npy is damaged"):
        load_model(folder)


def test_a_zip_is_unpacked_once_into_the_cache(
    package: Any, tmp_path: Path, network: UNet, image: Array, cache: Path
) -> None:
    expected = sigmoid(run(network, normal(image)))
    folder = package(tmp_path / "inside", network, image, expected)
    path = Path(shutil.make_archive(str(tmp_path / "package"), "zip", folder))
    for _ in range(2):
        assert load_model(path).recipe.name == "a foreign model"
        assert len(list((cache / "packages").iterdir())) == 1
