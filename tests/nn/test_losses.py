"""Losses: hand values, finite differences, and what pixels that weigh nothing do."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_unet.core.border_weights import border_weights
from napari_unet.core.targets import IGNORED, two_class
from napari_unet.errors import SettingsError
from napari_unet.nn.losses import (
    Batch,
    dice_loss,
    plan_objective,
    weighted_cross_entropy,
    weighted_smooth_l1,
)
from napari_unet.training_settings import Loss


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def log_p_of(*p: float) -> torch.Tensor:
    """Pixels whose second of two classes has the probabilities `p`."""
    second = torch.tensor(p)
    return torch.stack([1 - second, second]).log()[None]


def make_batch(random: torch.Generator, loss: Loss, n: int = 12) -> Batch:
    classes = 2 if loss.target == "two_class" else 3
    target = torch.randint(0, classes, (2, n, n), generator=random)
    target[:, :3] = IGNORED
    weight = 1 + 5 * torch.rand(2, n, n, generator=random)
    weight[:, :3] = 0
    distance = torch.rand(2, n, n, generator=random)
    image = torch.zeros(2, 1, n, n)
    return Batch(image, target, weight, distance)


def test_cross_entropy_by_hand() -> None:
    target = torch.tensor([[1, 0]])
    weight = torch.tensor([[3.0, 1.0]])
    found = weighted_cross_entropy(log_p_of(0.5, 0.2), target, weight)
    expected = (3 * math.log(2) + math.log(1 / 0.8)) / 4
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_focal_factor_by_hand() -> None:
    target, weight = torch.tensor([[1, 1]]), torch.tensor([[1.0, 2.0]])
    found = weighted_cross_entropy(log_p_of(0.9, 0.3), target, weight, focal=2)
    expected = (0.1**2 * -math.log(0.9) + 2 * 0.7**2 * -math.log(0.3)) / 3
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_unit_weights_give_plain_cross_entropy(random: torch.Generator) -> None:
    logits = torch.randn(2, 4, 9, 7, generator=random)
    target = torch.randint(0, 4, (2, 9, 7), generator=random)
    target[0, 2:5] = IGNORED
    found = weighted_cross_entropy(logits.log_softmax(1), target, torch.ones(2, 9, 7))
    expected = F.cross_entropy(logits, target, ignore_index=IGNORED)
    torch.testing.assert_close(found, expected)


def test_dice_by_hand() -> None:
    """Only interior counts: (2 * 1.1 + 1) / (1.6 + 2 + 1)."""
    p = torch.tensor([[[0.1, 0.8, 0.5], [0.9, 0.2, 0.5]]])
    target = torch.tensor([[1, 1, 0]])
    expected = 1 - (2 * 1.1 + 1) / (1.6 + 2 + 1)
    assert dice_loss(p, target).item() == pytest.approx(expected, abs=1e-6)


def test_dice_leaves_out_absent_classes() -> None:
    target = torch.zeros(1, 5, 5, dtype=torch.long)
    uniform = torch.full((1, 3, 5, 5), 1 / 3)
    assert dice_loss(uniform, target).item() == 0
    target[0, 2, 2] = 1
    two = dice_loss(uniform[:, :2], target)
    torch.testing.assert_close(dice_loss(uniform, target), two)


def test_dice_of_a_perfect_answer_is_zero() -> None:
    target = torch.arange(27).reshape(3, 3, 3) % 3
    p = F.one_hot(target).movedim(-1, 1).float()
    assert dice_loss(p, target).item() == pytest.approx(0, abs=1e-6)


def test_smooth_l1_by_hand() -> None:
    predicted = torch.tensor([[0.5, 0.05, 0.7]])
    target = torch.tensor([[0.0, 0.0, float("nan")]])
    weight = torch.tensor([[1.0, 3.0, 0.0]])
    found = weighted_smooth_l1(predicted, target, weight)
    expected = (0.45 + 3 * 0.05**2 / 0.2) / 4
    assert found.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("target", ["three_class", "two_class", "distance"])
@pytest.mark.parametrize("focal", [0.0, 0.5, 2.0])
def test_gradients_agree_with_finite_differences(
    target: str, focal: float, random: torch.Generator
) -> None:
    objective = plan_objective(Loss.parse({"target": target, "focal": focal}))
    batch = make_batch(random, objective.loss, 4)
    double = Batch(
        batch.image, batch.target, batch.weight.double(), batch.distance.double()
    )
    shape = (2, len(objective.channels), 4, 4)
    logits = torch.randn(shape, generator=random, dtype=torch.float64)

    def total(x: torch.Tensor) -> torch.Tensor:
        # The objective computes in float32 on purpose; its terms do not.
        log_p = x[:, : objective.n_classes].log_softmax(1)
        parts = weighted_cross_entropy(
            log_p, double.target, double.weight, focal=focal
        ) + dice_loss(log_p.exp(), double.target)
        if objective.has_distance:
            annotated = double.weight * (double.target != IGNORED)
            parts = parts + weighted_smooth_l1(x[:, -1], double.distance, annotated)
        return parts

    assert torch.autograd.gradcheck(total, logits.requires_grad_())


@pytest.mark.parametrize("target", ["three_class", "two_class", "distance"])
def test_ignored_pixels_have_exactly_no_influence(
    target: str, random: torch.Generator
) -> None:
    objective = plan_objective(Loss.parse({"target": target, "focal": 2}))
    batch = make_batch(random, objective.loss)
    shape = (2, len(objective.channels), 12, 12)
    logits = torch.randn(shape, generator=random).requires_grad_()
    found = objective(logits, batch)["total"]
    found.backward()
    assert torch.count_nonzero(logits.grad[:, :, :3]) == 0
    assert (logits.grad[:, :, 3:] != 0).any(dim=1).all()

    other = logits.detach().clone()
    other[:, :, :3] = 50 * torch.randn(2, shape[1], 3, 12, generator=random)
    weight, distance = batch.weight.clone(), batch.distance.clone()
    weight[:, :3], distance[:, :3] = 9, float("nan")
    changed = Batch(batch.image, batch.target, weight, distance)
    assert objective(other, changed)["total"].item() == found.item()


def test_without_annotated_pixels_the_loss_is_zero(random: torch.Generator) -> None:
    objective = plan_objective(Loss(target="distance"))
    batch = make_batch(random, objective.loss)
    nothing = Batch(
        batch.image,
        torch.full_like(batch.target, IGNORED),
        batch.weight,
        batch.distance,
    )
    logits = torch.randn(2, 4, 12, 12, generator=random).requires_grad_()
    total = objective(logits, nothing)["total"]
    total.backward()
    assert total.item() == 0
    assert torch.count_nonzero(logits.grad) == 0


def test_border_weights_reach_the_gradient() -> None:
    """Two cells with a gap: a gap pixel pulls by its weight."""
    labels = np.zeros((24, 24), np.int32)
    labels[2:12, 2:8], labels[2:12, 9:15] = 1, 2
    weights = border_weights(labels, w0=10, sigma=5)
    gap, far = (6, 8), (20, 20)
    assert weights[gap] == pytest.approx(1 + 10 * math.exp(-4 / 50), rel=1e-5)
    target = torch.from_numpy(two_class(labels).astype(np.int64))[None]
    logits = torch.zeros(1, 2, 24, 24, requires_grad=True)
    weight = torch.from_numpy(weights)[None]
    batch = Batch(torch.zeros(1, 1, 24, 24), target, weight)
    plan_objective(Loss(target="two_class", dice=0))(logits, batch)["total"].backward()
    pull = logits.grad[0, 0]
    assert pull[far] < 0
    ratio = (pull[gap] / pull[far]).item()
    assert ratio == pytest.approx(weights[gap] / weights[far], rel=1e-5)


def test_valid_networks_are_compared_with_the_middle(random: torch.Generator) -> None:
    objective = plan_objective(Loss(target="distance"))
    batch = make_batch(random, objective.loss)
    logits = torch.randn(2, 4, 6, 6, generator=random)
    middle = (slice(None), slice(3, 9), slice(3, 9))
    cropped = Batch(
        batch.image, batch.target[middle], batch.weight[middle], batch.distance[middle]
    )
    assert objective(logits, batch) == objective(logits, cropped)


def test_the_total_is_the_sum_of_its_weighted_parts(random: torch.Generator) -> None:
    loss = Loss(target="distance", dice=0.3, distance=2.0)
    batch = make_batch(random, loss)
    logits = torch.randn(2, 4, 12, 12, generator=random)
    parts = plan_objective(loss)(logits, batch)
    assert set(parts) == {"total", "cross_entropy", "dice", "distance"}
    total = parts.pop("total")
    torch.testing.assert_close(total, sum(parts.values()))
    dice = dice_loss(logits[:, :3].softmax(1), batch.target)
    torch.testing.assert_close(parts["dice"], 0.3 * dice)


def test_three_dimensions_are_two_with_one_more_axis(random: torch.Generator) -> None:
    objective = plan_objective(Loss())
    batch = make_batch(random, objective.loss)
    logits = torch.randn(2, 3, 12, 12, generator=random)
    deep = Batch(
        batch.image[:, :, None], batch.target[:, None], batch.weight[:, None], None
    )
    torch.testing.assert_close(
        objective(logits[:, :, None], deep)["total"], objective(logits, batch)["total"]
    )


def test_channels_and_their_meaning() -> None:
    names = {
        target: plan_objective(Loss.parse({"target": target})).channels
        for target in ("two_class", "three_class", "distance")
    }
    assert names["two_class"] == ("background", "interior")
    assert names["three_class"] == ("background", "interior", "boundary")
    assert names["distance"] == ("background", "interior", "boundary", "distance")
    semantic = plan_objective(Loss(target="semantic"), ("background", "road"))
    assert semantic.task == "semantic"
    assert semantic.n_classes == 2


@pytest.mark.parametrize(
    "classes", [("background",), ("background", "interior"), ("x",) * 256]
)
def test_classes_that_cannot_be_told_apart_are_refused(
    classes: tuple[str, ...],
) -> None:
    with pytest.raises(SettingsError):
        plan_objective(Loss(target="semantic"), classes)
