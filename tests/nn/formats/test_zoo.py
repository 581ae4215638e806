"""U-Nets of people who never heard of each other, read back from their files alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from napari_unet.nn.formats.parametrised import plain_weights
from napari_unet.nn.formats.reading import read_network

sys.path.insert(0, str(Path(__file__).parent))
import zoo
import zoo_parts

EQUAL = 1e-4
# The others are in the table that scripts/write_checkpoints.py makes.
QUICK = (
    "lists of pairs",
    "SiLU, enlarged and convolved",
    "one slope for each block",
    "residual",
    "a strided convolution of its own",
    "two outputs",
    "weight norm, as before",
    "sums, ELU, no norm, declared backwards",
    "norms with another epsilon",
    "the image is added at the end",
    "shuffled pixels",
    "U-Net on a ResNet of bottlenecks",
    "squeeze-and-excitation",
    "recurrent",
)
TESTED = [animal for animal in zoo.ZOO if animal.name in QUICK]


@pytest.mark.parametrize("animal", TESTED, ids=lambda animal: animal.name)
def test_a_network_of_the_zoo_is_read_or_refused(animal: Any, tmp_path: Path):
    """Right, right with its choices, or refused: never wrong."""
    outcome = zoo.judge(animal, tmp_path)
    if animal.refused:
        assert animal.refused in outcome.refusal
        assert "\n" not in outcome.refusal
    else:
        assert not outcome.refusal
        assert outcome.difference < EQUAL


def test_what_nothing_confirms_is_doubted():
    plain = zoo_parts.UNet(
        zoo_parts.Plan(zoo.NUMBERED, block=zoo.unnormed, up=zoo.two(2))
    )
    report = read_network(plain.state_dict(), "net").report
    assert "no running statistics" in report.doubt
    assert any(line.startswith("Doubt: ") for line in report.lines())
    remembering = zoo.train(
        zoo_parts.UNet(zoo_parts.Plan(zoo.STAGED, up=zoo.two(2))), 8
    )
    doubt = read_network(remembering.state_dict(), "net").report.doubt
    assert not doubt or "hardly tell apart" in doubt


def test_statistics_that_fit_nothing_are_not_believed():
    torch.manual_seed(0)
    network = zoo_parts.UNet(zoo_parts.Plan(zoo.LISTS, up=zoo.two(2)))
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.3)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    reading = read_network(network.eval().state_dict(), "net")
    x = torch.rand(1, 1, 32, 32)
    torch.testing.assert_close(reading.network(x), network(x))
    assert "what is usual was assumed" in reading.report.doubt


def test_each_output_can_be_had_alone():
    torch.manual_seed(0)
    network = zoo_parts.UNet(
        zoo_parts.Plan(zoo.LISTS, heads=2, n_out=3, up=zoo.two(2))
    ).eval()
    x = torch.rand(1, 1, 32, 32)
    wanted = network(x)
    for head, channels in (("final_conv0", slice(0, 3)), ("final_conv1", slice(3, 5))):
        choices = {"head": head, "padding": "same"}
        reading = read_network(network.state_dict(), "net", choices=choices)
        torch.testing.assert_close(reading.network(x), wanted[:, channels])
        other = {"final_conv0", "final_conv1"} - {head}
        assert any(line.startswith(other.pop()) for line in reading.report.unused)


@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm"])
@pytest.mark.parametrize("transposed", [False, True])
def test_parametrised_weights_are_those_of_torch(kind: str, transposed: bool):
    torch.manual_seed(0)
    sort = torch.nn.ConvTranspose2d if transposed else torch.nn.Conv2d
    layer = torch.nn.Sequential(sort(6, 6, 3))
    getattr(torch.nn.utils.parametrizations, kind)(layer[0])
    layer.train()(torch.rand(1, 6, 8, 8))
    tensors, lines = plain_weights(layer.eval().state_dict())
    assert set(tensors) == {"0.weight", "0.bias"}
    torch.testing.assert_close(tensors["0.weight"], layer[0].weight.detach())
    assert lines == (f"{kind.replace('_', ' ')} of 1 layers, as plain weights",)


def test_damaged_parametrisations_are_left_for_the_refusal():
    state = {"a.weight_v": torch.rand(4, 1, 3, 3), "a.weight_g": torch.rand(4, 1, 5, 1)}
    assert plain_weights(state) == (state, ())
