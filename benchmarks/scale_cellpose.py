"""Cellpose's joining of labels over blocks, for scale_others.py.

Runs in an environment that has Cellpose; takes labels of overlapping blocks, as Cellpose
cuts them, and writes those of the whole volume. All that joins is Cellpose's own code
(`cellpose.contrib.distributed_segmentation`); only its network is not asked.

    python scale_cellpose.py blocks.npz joined.npz
"""

import sys
import time
from importlib.metadata import version

import numpy as np
from cellpose.contrib import distributed_segmentation as cellpose


def step(name):
    """Return a step by its name, which newer versions begin with an underscore."""
    return getattr(cellpose, name, None) or getattr(cellpose, f"_{name}")


def main(source, target):
    """Join."""
    given = np.load(source)
    shape, size = tuple(given["shape"]), tuple(int(n) for n in given["size"])
    overlap = int(given["overlap"])
    n_blocks = step("get_nblocks")(shape, size)
    joined = np.zeros(shape, np.uint32)
    indices, faces, ids = [], [], []
    began = time.perf_counter()
    for number in range(int(given["n"])):
        index = tuple(int(i) for i in given[f"index_{number}"])
        crop = tuple(slice(int(a), int(b)) for a, b in given[f"crop_{number}"])
        labels = given[f"labels_{number}"]
        try:
            labels, crop = step("remove_overlaps")(labels, crop, overlap, size)
        except TypeError:  # newer: one overlap an axis
            labels, crop = step("remove_overlaps")(labels, crop, (overlap,) * 3, size)
        labels, remap = step("global_segment_ids")(labels, index, n_blocks)
        joined[tuple(crop)] = labels
        indices.append(index)
        faces.append(step("block_faces")(labels))
        ids += [i for i in remap if i]
    new = step("determine_merge_relabeling")(indices, faces, np.array(ids))
    joined = new[joined]
    seconds = time.perf_counter() - began
    np.savez(target, labels=joined, seconds=seconds, version=version("cellpose"))


if __name__ == "__main__":
    main(*sys.argv[1:])
