"""What single files of the known families tell beyond what all of them have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from napari_unet.nn.formats.nnunet_plans import plan_of

Tensors = Mapping[str, Tensor]
Hints = Mapping[str, Any]


def torch_em(tensors: Tensors, hints: Hints) -> dict[str, str]:
    """Where its norms are, and whether they have weights."""
    del hints
    if "encoder.blocks.0.block.1.weight" in tensors:
        norms = [k for k in tensors if re.search(r"block\.[03]\.weight$", k)]
        known = {"order": "norm_convolution_activation"}
        if not norms:
            known["norm"] = "instance_hidden"
        elif not any("running_mean" in key for key in tensors):
            known["norm"] = "groups_32"
        return known
    return {"norm": "none"}


def milesial(tensors: Tensors, hints: Hints) -> dict[str, str]:
    """How it enlarges, where that has no weights."""
    del hints
    transposed = "up1.up.weight" in tensors
    return {} if transposed else {"upsampling": "linear_corners"}


def pytorch_3dunet(tensors: Tensors, hints: Hints) -> dict[str, str]:
    """`layer_order` and `num_groups` of its configuration settle the rest."""
    known = {"order": "norm_convolution_activation"} if _norms_inputs(tensors) else {}
    hints = settings_of(hints)
    order = str(hints.get("layer_order", ""))
    if "l" in order:
        residual = any(".conv3." in key for key in tensors)
        known["activation"] = "leaky_relu_0.1" if residual else "leaky_relu_0.01"
    elif order:
        known["activation"] = "elu" if "e" in order else "relu"
    if any("groupnorm" in key for key in tensors):
        known["norm"] = f"group_{int(hints.get('num_groups', 8))}"
    return known


def settings_of(hints: Hints) -> Hints:
    """Return the hyper-parameters, wherever the trainer put them."""
    for key in ("model", "config", "hyper_parameters", "kwargs"):
        inner = hints.get(key)
        if isinstance(inner, Mapping):
            return settings_of(inner)
    return hints


def _norms_inputs(tensors: Tensors) -> bool:
    """Whether the norms are as large as what their convolutions read."""
    for key, weight in tensors.items():
        path = key.removesuffix(".conv.weight")
        sides = tuple(weight.shape[:2])
        if path == key or len(set(sides)) < 2:
            continue
        for norm in ("groupnorm", "batchnorm"):
            found = tensors.get(f"{path}.{norm}.weight")
            if found is not None:
                return len(found) == sides[1]
    return False


def basic_unet(tensors: Tensors, hints: Hints) -> dict[str, str]:
    """How it enlarges, where that has no weights."""
    del hints
    learned = any("upsample.deconv" in key for key in tensors)
    return {} if learned else {"upsampling": "linear_corners"}


def nnunet(tensors: Tensors, hints: Hints) -> dict[str, str]:
    """The strides of plans.json, where they are there."""
    del tensors
    strides = plan_of(hints).get("strides")
    if not isinstance(strides, list | tuple) or len(strides) < 2:
        return {}
    return {"factors": ",".join("x".join(str(n) for n in s) for s in strides[1:])}


def monai_unet(tensors: Tensors, hints: Hints) -> dict[str, str]:
    """Its usual activation has weights."""
    del hints
    learned = any(key.endswith("adn.A.weight") for key in tensors)
    return {"activation": "prelu"} if learned else {}


def vnet(tensors: Tensors, hints: Hints) -> dict[str, str]:
    """Its activation may have weights."""
    del hints
    learned = "in_tr.act_function.weight" in tensors
    return {"activation": "prelu"} if learned else {}
