"""Batches: in order, whatever the threads do; errors come out; closing ends them."""

from __future__ import annotations

import itertools
import os
import threading

import numpy as np
import pytest
import torch

from napari_unet.core.augment import Sample
from napari_unet.nn.batches import collate, iter_batches, n_cores

CPU = torch.device("cpu")


def patch(index: int) -> Sample:
    """A patch that knows its number."""
    plane = np.full((4, 4), index, np.float32)
    return Sample(plane[None], np.zeros((4, 4), np.uint8), plane + 1, plane + 2)


def numbers(batch: object) -> list[float]:
    return batch.image[:, 0, 0, 0].tolist()  # type: ignore[attr-defined]


def test_batches_come_in_order_from_any_start() -> None:
    """Later patches are ready before earlier ones: the first of each batch waits."""
    seen, ready = set(), threading.Event()

    def uneven(index: int) -> Sample:
        seen.add(index)
        if index >= 6:
            ready.set()
        if index == 3:
            assert ready.wait(20) or len(seen) < 3
        return patch(index)

    job = iter_batches(uneven, 3, CPU, first=1)
    found = [numbers(batch) for batch in itertools.islice(job, 4)]
    job.close()
    assert found == [[3, 4, 5], [6, 7, 8], [9, 10, 11], [12, 13, 14]]


def test_collate_keeps_values_and_chooses_types() -> None:
    batch = collate([patch(1), patch(2)], CPU)
    assert batch.image.shape == (2, 1, 4, 4)
    assert batch.image.is_contiguous(memory_format=torch.channels_last)
    assert batch.target.dtype == torch.int64
    assert batch.weight[1].unique().item() == 3
    assert batch.distance is not None
    assert batch.distance[0].unique().item() == 3
    bare = Sample(np.zeros((1, 2, 4, 4), np.float32), np.zeros((2, 4, 4), np.uint8))
    with pytest.raises(TypeError):
        collate([bare], CPU)  # a sample without weights is no training sample


def test_errors_of_threads_come_out() -> None:
    def fails(index: int) -> Sample:
        if index == 5:
            raise RuntimeError("no such pixel")
        return patch(index)

    job = iter_batches(fails, 2, CPU)
    assert numbers(next(job)) == [0, 1]
    assert numbers(next(job)) == [2, 3]
    with pytest.raises(RuntimeError, match="no such pixel"):
        next(job)


def test_closing_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    job = iter_batches(patch, 2, CPU)
    next(job)
    assert threading.active_count() > before
    job.close()
    assert threading.active_count() == before


def test_cores_are_those_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster's job gets a few of a machine's cores; not every system tells."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 4, 9}, raising=False)
    assert n_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert n_cores() == 64
