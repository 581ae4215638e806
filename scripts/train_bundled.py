"""Train a bundled model anew: `nuclei`, `nuclei-fast` or `nuclei-3d`.

    python scripts/train_bundled.py nuclei --data DSB2018/train --minutes 240
    python scripts/train_bundled.py nuclei-3d --minutes 240

The first two learn from a folder with images and labels, the third from simulated
volumes alone. Training may be interrupted and goes on when started again; `--start`
begins with the weights of another model. What comes of it lies in `--out` until it is
copied to src/napari_unet/models: convolutions in float16, batch norm in float32.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from skimage.segmentation import expand_labels
from torch import nn

import napari_unet as nu
from napari_unet.core.events import Note
from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation
from napari_unet.core.training_doctor import Finding
from napari_unet.core.training_events import Validated
from napari_unet.io.pairing import find_pairs
from napari_unet.io.training_data import load_pairs
from napari_unet.io.training_image import TrainingImage
from napari_unet.nn.checkpoint import load_model, save_model
from napari_unet.nn.training import iter_train
from napari_unet.nn.training_state import state_path
from napari_unet.training_settings import Augmentation, Loss, Training

DSB2018 = {
    "data": "DSB2018 (BBBC038) fluorescence images, 487 of stage1_train, with the "
    "community's mask corrections",
    "data_licence": "CC0-1.0",
}
SIMULATED = {
    "data": "simulated volumes alone (napari_unet.core.simulate), no real image",
    "data_licence": "BSD-3-Clause",
}
# Users' images differ in magnification, so zoom is wide. Half of the patches keep their
# own size, blur and noise: by these a network can tell the sources of DSB2018 apart,
# some of which draw the outline 2 to 3 px outside the nucleus.
NUCLEI = Augmentation(scale=(0.5, 2.0), scale_probability=0.4)
N_VOLUMES = 64
# Sigmas beyond its outline to which the light of a bright nucleus may be seen.
SEEN = 2.0
CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class Bundled:
    """How one bundled model is made.

    Parameters
    ----------
    description
        What it is for.
    limits
        What it is not for.
    training
        Settings, but for the budget.
    source
        What it was trained on.
    load
        Returns the images, given the data folder.
    smallest
        Pixels of the smallest nucleus that it is for. Seeds are no smaller than half of
        it: dirt of real images is unlike simulated dirt, so no validation tells.
    """

    description: str
    limits: str
    training: Training
    source: dict[str, str]
    load: Callable[[Path | None], list[TrainingImage]]
    smallest: int = 0


def from_folder(data: Path | None) -> list[TrainingImage]:
    """Read a folder of images and labels."""
    if data is None:
        raise SystemExit("Give the folder of training images: --data FOLDER")
    return load_pairs(find_pairs(data))


def draw_volume(number: int) -> TrainingImage:
    """Simulate one volume; size, spacing, crowding, optics and noise are drawn."""
    rng = np.random.default_rng(number)
    step = float(rng.uniform(1.0, 3.0))
    # Confocal stacks of living tissue: a dark background and a handful of photons.
    photons = float(np.exp(rng.uniform(np.log(4.0), np.log(500.0))))
    settings = Simulation(
        shape=(48, 160, 160),
        spacing=(step, 1.0, 1.0),
        diameter=float(rng.uniform(max(10.0, 3.2 * step), 26.0)),
        diameter_spread=float(rng.uniform(0.08, 0.3)),
        crowding=float(rng.uniform(0.2, 0.9)),
        overlap=float(rng.uniform(0.02, 0.2)),
        elongation=float(rng.uniform(1.0, 1.8)),
        irregularity=float(rng.uniform(0.0, 0.12)),
        texture=float(rng.uniform(0.0, 0.7)),
        brightness_spread=float(rng.uniform(0.1, 0.8)),
        condensed=float(rng.uniform(0.0, 0.12)),
        debris=float(rng.uniform(0.0, 0.6)),
        blur_sigma=float(rng.uniform(0.5, 2.0)),
        axial_blur=float(rng.uniform(1.5, 4.0)),
        haze=float(rng.uniform(0.05, 0.4)),
        background=0.3 * float(rng.uniform()) ** 2,
        depth_loss=float(rng.uniform(0.0, 0.7)),
        photons=photons,
        read_noise=min(2.0, photons / 10),
        random_seed=number,
    )
    # From a handful of nuclei in the dark to as many as there is usually room for.
    n_cells = round(settings.cell_count * float(rng.uniform(0.15, 1.0)))
    settings = settings.replace(n_cells=n_cells)
    image, labels = simulate(settings)
    return TrainingImage(
        image=image[None],
        labels=as_seen(labels.astype(np.int32), settings),
        name=f"simulated {number}",
        pixel_size={"Z": step, "Y": 1.0, "X": 1.0},
    )


def as_seen(labels: np.ndarray, settings: Simulation) -> np.ndarray:
    """Draw nuclei as an annotator sees them, out to where their light is faint.

    That is a quarter of the light of the nucleus itself, or of a typical one where it
    is brighter: at one setting of contrast bright nuclei look larger. Light is blurred
    more along Z, so nuclei look longer there. Nobody's outline is taken.
    """
    darkroom = settings.replace(
        background=0.0,
        debris=0.0,
        haze=0.0,
        uneven_light=0.0,
        depth_loss=0.0,
        photons=1e6,
        read_noise=0.0,
        offset=0.0,
        gain=1e-3,
    )
    light, _ = simulate(darkroom)
    own = np.zeros(labels.max() + 1)
    own[1:] = ndimage.median(light, labels, np.arange(1, own.size))
    faint = np.minimum(own, np.median(own[1:])) / 4
    sigma = settings.blur_sigma * np.array([settings.axial_blur, 1.0, 1.0])
    # The edge lies half a voxel outside of the last voxel's centre.
    reach = SEEN * sigma / settings.spacing + 0.5
    grown = expand_labels(labels, 1.0, spacing=1 / reach)
    return np.where((light > faint[grown]) | (labels > 0), grown, 0)


def from_simulator(data: Path | None) -> list[TrainingImage]:
    """Simulate the volumes; no folder is read."""
    del data
    with ProcessPoolExecutor() as pool:
        return list(pool.map(draw_volume, range(N_VOLUMES)))


BUNDLED = {
    "nuclei": Bundled(
        "Fluorescence nuclei, bright on dark, of about 10 to 80 px.",
        "Not for brightfield, histology or whole cells.",
        Training(base_channels=22, batch=16, ema=0.999, augmentation=NUCLEI),
        DSB2018,
        from_folder,
    ),
    "nuclei-fast": Bundled(
        "Fluorescence nuclei, a seventh of the arithmetic of nuclei: for laptops.",
        "Less accurate than nuclei; not for brightfield, histology or whole cells.",
        Training(base_channels=8, batch=16, ema=0.999, augmentation=NUCLEI),
        DSB2018,
        from_folder,
    ),
    "nuclei-3d": Bundled(
        "Fluorescence nuclei in volumes, of about 10 to 26 px, Z up to 3 times coarser.",
        "Has seen no real image: check the result, fine-tune on a few annotated ones.",
        Training(
            base_channels=8,
            depth=3,
            batch=4,
            ema=0.999,
            loss=Loss(boundary_width=3.0),
            augmentation=Augmentation(scale=(0.8, 1.25), elastic=4.0),
        ),
        SIMULATED,
        from_simulator,
        # A ball 10 px wide, in planes 3 px apart.
        smallest=174,
    ),
}


def train(name: str, arguments: argparse.Namespace, out: Path) -> None:
    """Train, or go on training, and print what happens."""
    bundled = BUNDLED[name]
    training = bundled.training.replace(
        minutes=arguments.minutes, steps=arguments.steps, validation=0.1
    )
    begun = state_path(out).exists()
    for event in iter_train(
        bundled.load(arguments.data),
        out,
        training=training,
        model=arguments.start,
        device=arguments.device,
        resume=begun,
        overwrite=not begun,
    ):
        if isinstance(event, Validated):
            (first, value), *_ = event.scores.items()
            seconds = f"{event.seconds / 60:.1f} min"
            print(f"step {event.step}, {seconds}: {first} {value:.4f}", flush=True)
        elif isinstance(event, (Note, Finding)):
            print(event, flush=True)


def compress(path: Path, name: str, start: str | None) -> None:
    """Store convolutions in float16, and describe the model and all of its budget."""
    model, bundled = load_model(path), BUNDLED[name]
    for module in model.network.modules():
        if isinstance(module, CONVOLUTIONS):
            module.half()
    trained = model.recipe.training
    device = trained["device"]
    if device.startswith("cuda"):
        device = f"one {torch.cuda.get_device_name(device)}"
    elif device == "cpu":
        n_threads = torch.get_num_threads()
        device = f"{n_threads} thread{'s' * (n_threads != 1)} of a processor"
    budget = (
        f"{trained['seconds'] / 60:.0f} minutes on {device}, "
        f"{trained['precision']}, {trained['step']} steps of "
        f"{trained['settings']['batch']} patches"
    )
    if start is not None:
        earlier = load_model(start).recipe.training.get("budget", f"from {start}")
        budget = f"{earlier}; then {budget}"
    separation = model.recipe.separation
    seeds = max(separation.min_seed_size, bundled.smallest // 2)
    recipe = model.recipe.replace(
        name=name,
        separation=separation.replace(min_seed_size=seeds),
        description=bundled.description,
        input_channels=("nuclei",),
        training={**bundled.source, "budget": budget, "limits": bundled.limits},
        licence="BSD-3-Clause",
    )
    save_model(path, model.network, recipe)
    size = path.stat().st_size / 2**20
    print(f"{path}: {size:.2f} MiB, {nu.load_model(path).recipe.scores}")


def main() -> None:
    """Train and compress one model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=sorted(BUNDLED))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--start", help="model to begin with")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    if (arguments.minutes is None) == (arguments.steps is None):
        parser.error("give either --minutes or --steps")
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"{arguments.name}.safetensors"
    train(arguments.name, arguments, path)
    compress(path, arguments.name, arguments.start)


if __name__ == "__main__":
    main()
