"""Sample data: simulated nuclei with their truth, at once; public images on demand."""

from __future__ import annotations

from typing import Any

from napari_unet.core.simulate import simulate, simulate_series
from napari_unet.core.simulate_settings import Simulation
from napari_unet.plugin.public_images import public_image

LayerData = tuple[Any, dict[str, Any], str]

PIXEL_UM = 0.5


def touching_nuclei() -> list[LayerData]:
    """Return 120 nuclei in 512 x 512 px, and their truth."""
    return _layers(*simulate(Simulation(random_seed=3)), "nuclei", (1.0, 1.0))


def nuclei_3d() -> list[LayerData]:
    """Return 60 nuclei in 24 x 256 x 256 voxels, and their truth."""
    simulation = Simulation(
        shape=(24, 256, 256), spacing=(2.0, 1.0, 1.0), n_cells=60, random_seed=3
    )
    return _layers(*simulate(simulation), "nuclei 3-D", simulation.scale)


def nuclei_series() -> list[LayerData]:
    """Return 10 frames of 256 x 256 px in which nuclei move and divide."""
    simulation = Simulation(shape=(256, 256), n_cells=30, random_seed=3)
    images, truth = simulate_series(simulation, 10)
    return _layers(images, truth, "nuclei series", (1.0, 1.0))


def human_mitosis() -> list[LayerData]:
    """Return nuclei of human cells, 512 x 512 px, downloaded once."""
    image = public_image("human_mitosis")
    return [(image, {"name": "human mitosis", "axis_labels": ("Y", "X")}, "image")]


def cells_3d() -> list[LayerData]:
    """Return nuclei and membranes, 60 x 256 x 256 voxels each, downloaded once."""
    image = public_image("cells3d")
    placed = {
        "scale": (0.29, 0.26, 0.26),
        "units": ("um",) * 3,
        "axis_labels": tuple("ZYX"),
    }
    membranes = {"name": "membranes 3-D", "visible": False, **placed}
    return [
        (image[:, 0], membranes, "image"),
        (image[:, 1], {"name": "cell nuclei 3-D", **placed}, "image"),
    ]


def _layers(image: Any, truth: Any, name: str, spacing: Any) -> list[LayerData]:
    lead = image.ndim - len(spacing)
    placed = {
        "scale": (1.0,) * lead + tuple(PIXEL_UM * step for step in spacing),
        "units": ("s",) * lead + ("um",) * len(spacing),
        "axis_labels": (("T",) * lead) + tuple("ZYX"[-len(spacing) :]),
    }
    return [
        (image, {"name": name, **placed}, "image"),
        (truth, {"name": f"{name} [truth]", "visible": False, **placed}, "labels"),
    ]
