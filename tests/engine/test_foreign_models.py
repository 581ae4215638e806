"""Models from elsewhere on the worker: with the user's answers, and with trust."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import napari_unet as nu
from napari_unet.errors import CheckpointError


def finish(job):
    """Return the result of a job."""
    while True:
        try:
            next(job)
        except StopIteration as stop:
            return stop.value


def test_choices_and_trust_travel_to_the_worker(engine, nuclei, tmp_path):
    network = foreign_network()
    path = tmp_path / "foreign.pth"
    torch.save(network.state_dict(), path)
    found = []
    for padding in ("same", "reflect"):
        choices = {"padding": padding, "pooling": "average"}
        card = engine.card(str(path), choices=choices)
        assert dict(card.choices) == choices
        result = finish(engine.iter_segment(nuclei, card, axes="YX"))
        model = nu.load_model(path, choices=choices)
        expected = nu.segment(nuclei, model, axes="YX")
        np.testing.assert_array_equal(result.probabilities, expected.probabilities)
        found.append(result.probabilities)
    assert (found[0] != found[1]).any()
    with pytest.raises(CheckpointError, match="no answer to padding"):
        engine.card(str(path), choices={"padding": "wide"})


def test_code_runs_on_the_worker_only_with_trust(engine, tmp_path):
    path = tmp_path / "script.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls it deprecated
        torch.jit.script(torch.nn.Conv2d(1, 2, 3, padding=1)).save(path)
    with pytest.raises(CheckpointError, match="trust"):
        engine.card(str(path))
    card = engine.card(str(path), trust=True)
    assert card.trust
    assert card.recipe.architecture.out_channels == 2


def foreign_network() -> torch.nn.Module:
    """A U-Net of one level under names of its own."""
    torch.manual_seed(0)

    def block(a: int, b: int) -> torch.nn.Sequential:
        first, second = (torch.nn.Conv2d(n, b, 3, padding=1) for n in (a, b))
        relu = torch.nn.ReLU()
        return torch.nn.Sequential(first, relu, second, relu)

    parts = {
        "enc": block(1, 4),
        "deep": block(4, 8),
        "up": torch.nn.ConvTranspose2d(8, 4, 2, stride=2),
        "dec": block(8, 4),
        "out": torch.nn.Conv2d(4, 3, 1),
    }
    return torch.nn.ModuleDict(parts)
