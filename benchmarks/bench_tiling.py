"""Tiled prediction against the whole image, MONAI and bioimageio.core.

One image, one network (padded, depth 4, base 16, random weights and statistics), float32.
Everything is given the same prepared network (batch norm folded, channels last), so that
the figures show the cost of tiling alone; the plain network is timed as well. Runs of all
candidates alternate; medians are compared. Errors are of softmax probabilities against
the whole image, everywhere and at least one receptive field inside the border.
bioimageio.core runs the plain network of our exported package (it loads no other), block
by block with the halo that the package declares, without pre-processing.

    python benchmarks/bench_tiling.py [--side 2048] [--repeats 5]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from napari_unet.core.tiling import make_grid
from napari_unet.nn.checkpoint import Model
from napari_unet.nn.optimisation import choose_precision
from napari_unet.nn.predict import Predictor, iter_predict, make_predictor
from napari_unet.nn.receptive_field import network_geometry
from napari_unet.nn.unet import UNet
from napari_unet.settings import Architecture, Prediction, Recipe

BASE_CHANNELS = 16
TILES = (1024, 512)


def random_network() -> UNet:
    """A network with weights and running statistics that are not trivial."""
    torch.manual_seed(0)
    network = UNet(Architecture(base_channels=BASE_CHANNELS))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def whole(network: nn.Module, image: np.ndarray) -> np.ndarray:
    """Softmax of the network on the whole image (C, Y, X)."""
    with torch.inference_mode():
        return network(torch.from_numpy(image)[None]).softmax(1)[0].numpy()


def tiled(
    predict: Predictor, image: np.ndarray, tile: int, *, workers: int, geometry
) -> np.ndarray:
    """Our tiles; stored in uint16, as they are in use."""
    out = np.empty((3, *image.shape[1:]), np.uint16)
    grid = make_grid(image.shape[1:], (tile, tile), geometry)
    for _ in iter_predict(
        predict,
        lambda region: image[(slice(None), *region)],
        grid,
        out,
        workers=workers,
    ):
        pass
    return out


def monai(
    network: nn.Module, image: np.ndarray, roi: int, *, overlap: float, mode: str
) -> np.ndarray:
    """MONAI's sliding window with the same read size as ours."""
    from monai.inferers import sliding_window_inference

    def softmax(x: Tensor) -> Tensor:
        return network(x).softmax(1)

    with torch.inference_mode():
        return sliding_window_inference(
            torch.from_numpy(image)[None], (roi, roi), 1, softmax, overlap, mode
        )[0].numpy()


def bioimageio_core(model: Model, roi: int) -> Callable[[np.ndarray], np.ndarray]:
    """bioimageio.core's blockwise prediction of our package, blocks of `roi`."""
    from bioimageio.core import create_prediction_pipeline, load_model_description
    from bioimageio.core import predict as core_predict

    from napari_unet.nn.formats.bioimageio_export import write_zip
    from napari_unet.nn.formats.bioimageio_package import write_package

    with tempfile.TemporaryDirectory() as name:
        content, package = Path(name, "content"), Path(name, "package.zip")
        content.mkdir()
        write_zip(write_package(model, content), content, package)
        described = load_model_description(package)
        pipeline = create_prediction_pipeline(
            described, weight_format="pytorch_state_dict"
        )
        pipeline.load()
    tensor = described.inputs[0].id
    blocks = {tensor: {"batch": 1, "channel": 1, "y": roi, "x": roi}}

    def run(image: np.ndarray) -> np.ndarray:
        found = core_predict(
            model=pipeline,
            inputs={tensor: image[None]},
            input_block_shape=blocks,
            skip_preprocessing=True,
        )
        (output,) = found.members.values()
        return np.asarray(output.data)[0]

    return run


def candidates(
    side: int,
) -> tuple[dict[str, Callable[[], np.ndarray]], np.ndarray, int]:
    """What is timed; the reference probabilities; the halo."""
    network = random_network()
    geometry = network_geometry(network, ndim=2, in_channels=1)
    recipe = Recipe(
        architecture=network.architecture,
        channels=("background", "interior", "boundary"),
    )
    predict = make_predictor(network, recipe, Prediction(), torch.device("cpu"))
    image = np.random.default_rng(0).random((1, side, side), np.float32)
    halo = geometry[0].aligned_halo[0]
    jobs: dict[str, Callable[[], np.ndarray]] = {
        "net(image), plain": lambda: whole(network, image),
        "net(image), prepared": lambda: whole(predict.network, image),
    }
    for tile in TILES:
        for workers in (1, 2):
            jobs[f"ours, {tile} px tiles, {workers} in parallel"] = (
                lambda t=tile, w=workers: tiled(
                    predict, image, t, workers=w, geometry=geometry
                )
            )
    # Elsewhere bfloat16 is emulated, and would take minutes.
    if choose_precision("auto", torch.device("cpu")) == "bfloat16":
        half = make_predictor(
            network, recipe, Prediction(precision="bfloat16"), torch.device("cpu")
        )
        jobs[f"ours, {TILES[0]} px tiles, bfloat16"] = lambda: tiled(
            half, image, TILES[0], workers=1, geometry=geometry
        )
    roi = TILES[0] + 2 * halo
    for overlap, mode in ((0.25, "constant"), (0.5, "gaussian")):
        jobs[f"MONAI, roi {roi}, overlap {overlap}, {mode}"] = (
            lambda o=overlap, m=mode: monai(
                predict.network, image, roi, overlap=o, mode=m
            )
        )
    core = bioimageio_core(Model(network, recipe), roi)
    jobs[f"bioimageio.core, blocks of {roi}, plain"] = lambda: core(image)
    return jobs, whole(network, image), halo


def errors(found: np.ndarray, reference: np.ndarray, halo: int) -> tuple[float, float]:
    """Largest difference everywhere, and inside the border."""
    if found.dtype == np.uint16:
        found = found.astype(np.float32) / np.float32(65535)
    difference = np.abs(found - reference).max(axis=0)
    return float(difference.max()), float(difference[halo:-halo, halo:-halo].max())


def measure(side: int = 2048, repeats: int = 5) -> list[dict[str, float | str]]:
    """A row per candidate: median seconds, ratio to the prepared network, errors."""
    jobs, reference, halo = candidates(side)
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    worst = {}
    for repeat in range(repeats + 1):
        for name, job in jobs.items():
            started = time.perf_counter()
            found = job()
            if repeat:  # the first round warms up
                seconds[name].append(time.perf_counter() - started)
            else:
                worst[name] = errors(found, reference, halo)
    base = statistics.median(seconds["net(image), prepared"])
    return [
        {
            "name": name,
            "seconds": statistics.median(times),
            "ratio": statistics.median(times) / base,
            "error": worst[name][0],
            "error_inside": worst[name][1],
        }
        for name, times in seconds.items()
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    for row in measure(arguments.side, arguments.repeats):
        print(
            "{name:45} {seconds:7.2f} s  {ratio:5.2f}x  error {error:.1e}, inside "
            "{error_inside:.1e}".format(**row)
        )


if __name__ == "__main__":
    main()
