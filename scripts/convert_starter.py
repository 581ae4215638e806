"""Convert the starter network's bare state dict into the bundled model `nuclei`.

    python scripts/convert_starter.py STARTER.pt LABELS_FOLDER

LABELS_FOLDER holds the training labels; they give the median object diameter. Nothing
is trained here: the converted network gives the starter's output bit for bit.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import tifffile
import torch

from napari_unet.nn.building import build
from napari_unet.nn.checkpoint import BUNDLED, save_model
from napari_unet.settings import Architecture, Normalization, Recipe, Separation

DEPTH = 4
STAGE = {"0": "conv1", "1": "norm1", "3": "conv2", "4": "norm2"}


def rename(key: str) -> str:
    """Return our name of one of the starter's tensors."""
    part, *rest = key.split(".")
    if part == "h":
        return ".".join(["head", *rest])
    level = int(rest[0])
    if part == "e":
        return ".".join(["encoder", rest[0], STAGE[rest[1]], *rest[2:]])
    applied = str(DEPTH - 1 - level)
    if part == "u":
        return ".".join(["up", applied, *rest[1:]])
    return ".".join(["decoder", applied, STAGE[rest[1]], *rest[2:]])


def median_diameter(folder: Path) -> float:
    """Return the median diameter in pixels of a disc as large as each object."""
    areas: list[int] = []
    for path in sorted(folder.glob("*.tif")):
        areas.extend(np.bincount(tifffile.imread(path).ravel())[1:].tolist())
    return round(2 * math.sqrt(float(np.median([a for a in areas if a])) / math.pi), 1)


def main() -> None:
    """Convert and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("starter", type=Path)
    parser.add_argument("labels", type=Path)
    arguments = parser.parse_args()
    found = torch.load(arguments.starter, map_location="cpu", weights_only=True)
    state = {rename(key): value for key, value in found.items()}
    architecture = Architecture(base_channels=16, depth=DEPTH, out_channels=3)
    form = [1, 0, *[2] * (2 * DEPTH)]
    network = build(architecture, {**state, "form": torch.tensor(form)})
    recipe = Recipe(
        name="nuclei",
        description="Fluorescence nuclei, bright on dark, of about 10 to 50 px. "
        "A starter: trained for 58 minutes on two CPU cores; to be replaced.",
        architecture=architecture,
        channels=("background", "interior", "boundary"),
        input_channels=("nuclei",),
        diameter=median_diameter(arguments.labels),
        normalization=Normalization(low=1.0, high=99.8),
        separation=Separation(
            seed_threshold=0.7,
            min_seed_size=12,
            mask_threshold=0.5,
            min_size=15,
        ),
        training={
            "data": "DSB2018 (BBBC038) fluorescence images, 487 of stage1_train, with "
            "the community's mask corrections",
            "data_licence": "CC0-1.0",
            "budget": "58 minutes, two CPU cores, bfloat16, about 6,000 steps of 6 "
            "patches of 256x256",
        },
        scores={"dsb2018_fluo test (27 images), AP at IoU 0.5, pooled": 0.800},
        licence="BSD-3-Clause",
        versions={"torch": "2.13.0"},
    )
    BUNDLED.mkdir(exist_ok=True)
    save_model(BUNDLED / "nuclei.safetensors", network, recipe)


if __name__ == "__main__":
    main()
