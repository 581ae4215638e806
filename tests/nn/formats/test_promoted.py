"""What the reader asks for is found where trainers put it."""

from __future__ import annotations

import pytest

from napari_unet.nn.formats.promoted import promoted


def test_a_configuration_at_any_depth() -> None:
    hints = {"cfg": {"a": [1, {"model": {"layer_order": "gcr", "num_groups": 4}}]}}
    found = promoted(hints)
    assert (found["layer_order"], found["num_groups"]) == ("gcr", 4)
    assert found["cfg"] == hints["cfg"]


def test_the_outermost_value_counts() -> None:
    found = promoted({"layer_order": "bcr", "cfg": {"layer_order": "gcr"}})
    assert found["layer_order"] == "bcr"


STRIDES = [[1, 1], [2, 2]]


@pytest.mark.parametrize(
    "configuration",
    [
        {"architecture": {"arch_kwargs": {"strides": STRIDES}}},
        {"pool_op_kernel_sizes": STRIDES},
        {"inherits_from": "base"},
    ],
)
@pytest.mark.parametrize("inside", [True, False])
def test_strides_of_the_trained_configuration(
    configuration: dict[str, object], inside: bool
) -> None:
    base = {"pool_op_kernel_sizes": STRIDES}
    other = {"pool_op_kernel_sizes": [[1, 1], [1, 2]]}
    plans = {"configurations": {"3d": other, "2d": configuration, "base": base}}
    hints: dict[str, object] = {"init_args": {"configuration": "2d"}}
    if inside:
        hints = {"init_args": {"configuration": "2d", "plans": plans}}
    else:
        hints["plans"] = plans
    assert promoted(hints)["strides"] == STRIDES


def test_values_of_another_kind_are_left_out() -> None:
    plans = {"configurations": {"2d": {"pool_op_kernel_sizes": [1, "x"]}}}
    hints = {"num_groups": "many", "layer_order": 3, "strides": 7, "plans": plans}
    assert promoted(hints) == {"plans": plans}


def test_nothing_found_is_nothing_added() -> None:
    assert promoted({"epoch": 3}) == {"epoch": 3}
    assert promoted({"plans": {"configurations": 7}}) == {
        "plans": {"configurations": 7}
    }
