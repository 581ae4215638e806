"""Joining over blocks as others do it, beside ours, for bench_scale.py.

One volume, one network, one separation: what differs is how blocks are put together.
The reference is the separation of the whole volume in one piece. Cellpose is asked where
it is installed: name the python of its environment in NAPARI_UNET_CELLPOSE.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import napari_unet as nu
from napari_unet.core.components import label_components
from napari_unet.core.fixed_point import scale_of, threshold_of
from napari_unet.core.seeds import mask_evidence
from napari_unet.core.separation import separate_instances
from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation
from napari_unet.engine.blocks import Blocks
from napari_unet.engine.records import Records
from napari_unet.engine.separating import SampleSeparation, separate_blocks
from napari_unet.engine.survey import Task

SHAPE, SIZE, OVERLAP = (64, 384, 384), (64, 96, 96), 30
CELLPOSE = "NAPARI_UNET_CELLPOSE"


def volume() -> tuple[np.ndarray, tuple[str, ...], nu.Separation]:
    """Probabilities (C, Z, Y, X) of simulated nuclei, their names, the separation."""
    image, _ = simulate(Simulation(shape=SHAPE, n_cells=450, random_seed=1))
    model = nu.load_model("nuclei")
    found = nu.segment(image, model, axes="ZYX")
    return found.probabilities, found.channels, model.recipe.separation


def ours(stored: np.ndarray, task: Task, folder: Path) -> tuple[np.ndarray, float]:
    """All steps, block by block."""
    labels = np.zeros(SHAPE, np.int32)
    blocks = Blocks(SHAPE, SIZE)
    began = time.perf_counter()
    steps = SampleSeparation(blocks, task, Records(folder / "records"))
    for region, found in separate_blocks(stored, steps):
        labels[region] = found
    return labels, time.perf_counter() - began


def cellpose(stored: np.ndarray, task: Task, folder: Path) -> dict[str, object] | str:
    """Blocks with Cellpose's overlap, separated one by one, joined by Cellpose."""
    blocks, given = Blocks(SHAPE, SIZE), {}
    began = time.perf_counter()
    for number in range(len(blocks)):
        crop = [
            (max(0, part.start - OVERLAP), min(n, part.stop + OVERLAP))
            for part, n in zip(blocks.region(number), SHAPE, strict=True)
        ]
        part = stored[(slice(None), *(slice(*span) for span in crop))]
        given[f"labels_{number}"] = separate_instances(
            np.ascontiguousarray(part), task.channels, task.separation
        )
        given[f"crop_{number}"] = np.array(crop)
        given[f"index_{number}"] = np.array(blocks.position(number))
    seconds = time.perf_counter() - began
    source, target = folder / "blocks.npz", folder / "joined.npz"
    np.savez(source, n=len(blocks), shape=SHAPE, size=SIZE, overlap=OVERLAP, **given)
    python = os.environ.get(CELLPOSE, sys.executable)
    script = Path(__file__).with_name("scale_cellpose.py")
    done = subprocess.run(
        [python, str(script), str(source), str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    found = np.load(target)
    seconds += float(found["seconds"])
    return {**found, "labels": found["labels"], "seconds": seconds}


def dask_image(mask: np.ndarray) -> tuple[np.ndarray, float]:
    """Connected components across blocks."""
    import dask.array as da
    from dask_image.ndmeasure import label

    began = time.perf_counter()
    found, _ = label(da.from_array(mask, chunks=SIZE))
    return np.asarray(found), time.perf_counter() - began


def agreement(found: np.ndarray, whole: np.ndarray) -> tuple[int, int, float]:
    """Return objects, those with exactly the pixels of one of the whole, share wrong.

    Wrong are pixels of objects that lie in another object than in the whole.
    """
    n_found = len(np.unique(found[found > 0]))
    joint = np.stack([whole.ravel(), found.ravel()])[
        :, (whole > 0).ravel() | (found > 0).ravel()
    ]
    pairs, counts = np.unique(joint, axis=1, return_counts=True)
    size = {i: np.bincount(row.ravel()) for i, row in enumerate((whole, found))}
    same = (pairs[0] > 0) & (pairs[1] > 0)
    same &= (size[0][pairs[0]] == counts) & (size[1][pairs[1]] == counts)
    best: dict[int, int] = {}
    for w, f, n in zip(*pairs.tolist(), counts.tolist(), strict=True):
        if w and f:
            best[w] = max(best.get(w, 0), n)
    wrong = 1 - sum(best.values()) / counts.sum()
    return n_found, int(same.sum()), float(wrong)


def measure(folder: Path) -> list[str]:
    """Compare all, and return the section of the page."""
    stored, names, separation = volume()
    task = Task(names, separation)
    began = time.perf_counter()
    whole = separate_instances(stored, names, separation)
    whole_time = time.perf_counter() - began
    rows = [("whole volume, one piece", whole, whole, whole_time)]
    rows.append(("ours, all steps of separation", whole, *ours(stored, task, folder)))
    theirs = cellpose(stored, task, folder)
    if not isinstance(theirs, str):
        name = f"Cellpose {theirs['version']}, overlap of {OVERLAP} px, its joining"
        rows.append((name, whole, theirs["labels"], theirs["seconds"]))
    threshold = threshold_of(separation.mask_threshold, scale_of(stored.dtype))
    mask = mask_evidence(stored, names) > threshold
    components = label_components(mask)
    rows.append(("components, whole volume", components, components, 0.0))
    with contextlib.suppress(ImportError):
        rows.append(("components, dask-image `label`", components, *dask_image(mask)))
    lines = [
        "## Beside others",
        "",
        f"Simulated nuclei, {' x '.join(map(str, SHAPE))} voxels in blocks of "
        f"{' x '.join(map(str, SIZE))}; the same probabilities (model `nuclei`, plane by "
        "plane) and the same separation in 3-D for all, so that what differs is how blocks "
        "are put together. Against the whole volume in one piece:",
        "",
        "| | objects | with exactly the same voxels | voxels in another object | same numbers | time |",
        "|---|---|---|---|---|---|",
    ]
    for name, reference, found, seconds in rows:
        n_found, n_same, wrong = agreement(found, reference)
        numbers = "yes" if np.array_equal(found, reference) else "no"
        shown = f"{seconds:.2f} s" if seconds else ""
        lines.append(
            f"| {name} | {n_found} | {n_same} | {100 * wrong:.3f} % | {numbers} | {shown} |"
        )
    if isinstance(theirs, str):
        lines += ["", f"Cellpose could not be asked: `{theirs}`."]
    return [
        *lines,
        "",
        "Cellpose's weights were not used, nor its network: only what its distributed mode "
        "does with labels of overlapping blocks. dask-image labels components; it has no "
        "step that tells touching cells apart.",
        "",
    ]
