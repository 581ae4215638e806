"""Answers that the layers of a pickled network give: facts where shapes leave a guess.

A network that was pickled or scripted whole names the classes of its layers, and often
their settings. Where all layers of a kind agree, that settles the question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ACTIVATIONS = {
    "ReLU": "relu",
    "ELU": "elu",
    "SiLU": "silu",
    "GELU": "gelu",
    "Mish": "mish",
    "SELU": "selu",
    "Hardswish": "hardswish",
}
POOLINGS = {"MaxPool": "max", "AvgPool": "average"}
# Never guessed: what is seen is nearly that of windows of 2 pixels.
WIDE = "max_3"
MODES = {"nearest": "nearest", "bilinear": "linear", "trilinear": "linear"}

Layers = Sequence[Mapping[str, Any]]


def layer_answers(
    hints: Mapping[str, Any], options: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Return answers to the questions that the layers settle.

    Parameters
    ----------
    hints
        ``"layers"``: class and attributes of each module.
    options
        Question -> its possible answers.
    """
    table = hints.get("layers")
    layers = list(table.values()) if isinstance(table, Mapping) else []
    found = {
        "activation": {_activation(layer) for layer in layers},
        "pooling": {_pooling(layer) for layer in layers},
        "upsampling": {_upsampling(layer) for layer in layers},
    }
    # Layers that say nothing of a question give "".
    agreed = {name: values - {""} for name, values in found.items()}
    answers = {name: min(v) for name, v in agreed.items() if len(v) == 1}
    known = {question: {*values, WIDE} for question, values in options.items()}
    return {q: v for q, v in answers.items() if v in known.get(q, ())}


def _kind(layer: Mapping[str, Any]) -> str:
    return str(layer.get("class", "")).rpartition(".")[2]


def _pooling(layer: Mapping[str, Any]) -> str:
    found = POOLINGS.get(_kind(layer)[:7], "")
    wide = layer.get("kernel_size") in (3, (3, 3), (3, 3, 3))
    return WIDE if found == "max" and wide else found


def _activation(layer: Mapping[str, Any]) -> str:
    kind = _kind(layer)
    if kind == "LeakyReLU":
        return f"leaky_relu_{layer.get('negative_slope')}"
    return ACTIVATIONS.get(kind, "")


def _upsampling(layer: Mapping[str, Any]) -> str:
    found = MODES.get(str(layer.get("mode")), "") if "Upsampl" in _kind(layer) else ""
    corners = found == "linear" and layer.get("align_corners") is True
    return "linear_corners" if corners else found
