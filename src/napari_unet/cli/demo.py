"""`napari-unet demo`: the main job on an embedded sample, offline and headless."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from napari_unet.cli.batch import segment_source
from napari_unet.cli.console import err, out, progress_bar
from napari_unet.cli.outputs import summary, write_outputs
from napari_unet.cli.request import Request
from napari_unet.cli.targets import (
    Wanted,
    check_folder,
    refuse_existing,
    refuse_inputs,
)
from napari_unet.core.metrics import evaluate
from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation
from napari_unet.io.images import ImageSource, read_image
from napari_unet.io.write import write_image, write_labels
from napari_unet.nn.checkpoint import load_model
from napari_unet.pipeline import Options, Segmentation
from napari_unet.settings import Separation

FOLDER = Path("napari-unet-demo")
PIXEL_SIZE_UM = 0.5
SLICE_UM = 1.0


def sample(*, volume: bool) -> tuple[ImageSource, np.ndarray[Any, Any]]:
    """Simulate the sample and its truth; the same on every machine."""
    if volume:
        simulation = Simulation(
            shape=(24, 256, 256), spacing=(2.0, 1.0, 1.0), n_cells=60, random_seed=3
        )
    else:
        simulation = Simulation(random_seed=3)
    image, truth = simulate(simulation)
    axes = "ZYX" if volume else "YX"
    sizes = {"Z": SLICE_UM, "Y": PIXEL_SIZE_UM, "X": PIXEL_SIZE_UM}
    source = ImageSource(
        data=image,
        axes=axes,
        pixel_size=MappingProxyType({axis: sizes[axis] for axis in axes}),
        name="sample",
    )
    return source, truth


def run_demo(
    folder: Path,
    model: str,
    options: Options,
    *,
    image: Path | None,
    volume: bool,
    show: bool,
    overwrite: bool,
) -> None:
    """Segment, write labels, picture and table, and print scores and paths.

    Raises
    ------
    UNetError
        If the image, the model or the folder do not allow it.
    """
    started = time.perf_counter()
    truth = None
    if image is None:
        source, truth = sample(volume=volume)
    else:
        source = read_image(image, axes=options.axes)
    if volume and "Z" not in options.separation.link:
        linked = Separation(link="Z").over(options.separation)
        options = replace(options, separation=linked)
    paths = demo_paths(folder, source.name, with_truth=truth is not None)
    check_folder(folder)
    refuse_inputs(paths.values(), [] if image is None else [image])
    refuse_existing(paths.values(), overwrite=overwrite)
    request = Request(load_model(model), options, Wanted(overlay=True, objects=True))
    with progress_bar() as bar:
        result = segment_source(source, request, bar)
    folder.mkdir(parents=True, exist_ok=True)
    write_outputs(paths, source, result, request)
    if truth is not None:
        sizes = source.pixel_size
        write_image(paths["image"], source.data, axes=source.axes, pixel_size=sizes)
        write_labels(paths["truth"], truth, axes=source.axes, pixel_size=sizes)
    _report(result, truth, paths, time.perf_counter() - started)
    if show:
        show_in_napari(source, result)


def demo_paths(folder: Path, name: str, *, with_truth: bool) -> dict[str, Path]:
    """Return where each result lies, by what it is."""
    paths = {
        "labels": folder / f"{name}_labels.tif",
        "overlay": folder / f"{name}_overlay.png",
        "objects": folder / f"{name}_objects.csv",
    }
    if with_truth:
        paths |= {
            "image": folder / f"{name}.tif",
            "truth": folder / f"{name}_truth.tif",
        }
    return paths


def _report(
    result: Segmentation,
    truth: np.ndarray[Any, Any] | None,
    paths: dict[str, Path],
    seconds: float,
) -> None:
    out.print(f"{summary(result)} in {seconds:.1f} s")
    if truth is not None:
        scores = evaluate(result.labels, truth)
        found = scores.summary()
        out.print(
            f"AP at IoU 0.5: {found['ap@0.5']:.3f}, mean AP 0.5 to 0.95: "
            f"{found['mean_ap_50_95']:.3f}, F1: {found['f1@0.5']:.3f} "
            f"({scores.n_truth} true objects, simulated)"
        )
    for name, path in paths.items():
        out.print(f"{name:<9} {path}", markup=False)


def show_in_napari(source: ImageSource, result: Segmentation) -> None:
    """Open image and labels in napari, lying on each other."""
    try:
        import napari
    except ImportError:
        err.print(
            "napari is not installed here: pip install 'napari-unet-cells[all]'",
            markup=False,
        )
        return
    viewer = napari.Viewer()
    sizes = [source.pixel_size.get(axis, 1.0) for axis in result.axes]
    channel = source.axes.index("C") if "C" in source.axes else None
    viewer.add_image(
        np.asarray(source.data[...]),
        name=source.name,
        scale=sizes,
        rgb=source.rgb,
        channel_axis=None if source.rgb else channel,
    )
    viewer.add_labels(result.labels, name=f"{source.name} [cells]", scale=sizes)
    napari.run()
