"""Families: what is known of trainers and packages whose files are recognised."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from napari_unet.graph_settings import Graph
from napari_unet.nn.formats.nested import monai_unet, pix2pix
from napari_unet.nn.formats.nnunet_plans import plan_of

Tensors = Mapping[str, Tensor]
Hints = Mapping[str, Any]


def _no_more(tensors: Tensors, hints: Hints) -> dict[str, str]:
    del tensors, hints
    return {}


@dataclass(frozen=True)
class Family:
    """Files of one origin.

    Parameters
    ----------
    name
        As users know it.
    pattern
        Regular expressions that each match some key of such files.
    known
        What is known of them, whatever the file.
    verified
        Whether outputs were found equal to the original's.
    more
        What is known of a particular file.
    convert
        Tensors and answers -> graph, for a network that the general reader cannot
        wire; None: it can.
    open
        What `convert` leaves to the user: question -> options.
    """

    name: str
    pattern: tuple[str, ...] = ()
    known: Mapping[str, str] = field(default_factory=dict)
    verified: bool = False
    more: Callable[[Tensors, Hints], dict[str, str]] = _no_more
    convert: Callable[[Tensors, Mapping[str, str]], Graph] | None = None
    open: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def fits(self, tensors: Tensors) -> bool:
        """Whether some key matches each of the patterns."""
        return bool(self.pattern) and all(
            any(re.search(pattern, key) for key in tensors) for pattern in self.pattern
        )

    def answers(self, tensors: Tensors, hints: Hints) -> dict[str, str]:
        """Return what is known of a file."""
        return {**self.known, **self.more(tensors, hints)}


def _torch_em(tensors: Tensors, hints: Hints) -> dict[str, str]:
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


def _milesial(tensors: Tensors, hints: Hints) -> dict[str, str]:
    del hints
    transposed = "up1.up.weight" in tensors
    return {} if transposed else {"upsampling": "linear_corners"}


def _pytorch_3dunet(tensors: Tensors, hints: Hints) -> dict[str, str]:
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


def _basic_unet(tensors: Tensors, hints: Hints) -> dict[str, str]:
    del hints
    learned = any("upsample.deconv" in key for key in tensors)
    return {} if learned else {"upsampling": "linear_corners"}


def _nnunet(tensors: Tensors, hints: Hints) -> dict[str, str]:
    """The strides of plans.json, where they are there."""
    del tensors
    strides = plan_of(hints).get("strides")
    if not isinstance(strides, list | tuple) or len(strides) < 2:
        return {}
    return {"factors": ",".join("x".join(str(n) for n in s) for s in strides[1:])}


PLAIN = {"padding": "same", "activation": "relu", "pooling": "max"}
AFTER = {**PLAIN, "order": "convolution_norm_activation", "up_activation": "no"}
NNUNET = {
    "padding": "same",
    "pooling": "strided",
    "activation": "leaky_relu_0.01",
    "concatenation": "up_first",
    "order": "convolution_norm_activation",
    "up_activation": "no",
}

UNKNOWN = Family("unknown")
FAMILIES: tuple[Family, ...] = (
    Family(
        "torch-em UNet",
        (
            r"^encoder\.blocks\.0\.block\.\d",
            r"^base\.block",
            r"^decoder\.samplers\.0\.conv",
        ),
        {
            **PLAIN,
            "concatenation": "up_first",
            "upsampling": "linear",
            "up_activation": "no",
        },
        verified=True,
        more=_torch_em,
    ),
    Family(
        "giacomodeodato Brain-MRI-segmentation",
        (r"^layers\.0\.conv1\.weight", r"^layers\.0\.bn2\.", r"^layers\.\d+\.weight"),
        {**AFTER, "concatenation": "up_first"},
        verified=True,
    ),
    Family(
        "milesial Pytorch-UNet",
        (r"^inc\.double_conv\.0", r"^down1\.maxpool_conv\.1", r"^outc\.conv\.weight"),
        {**AFTER, "concatenation": "skip_first"},
        more=_milesial,
    ),
    Family(
        "mateuszbuda brain-segmentation",
        (r"^encoder1\.enc1conv1", r"^decoder1\.dec1conv1", r"^upconv1\."),
        {**AFTER, "concatenation": "up_first"},
    ),
    Family(
        "pytorch-3dunet ResidualUNet",
        (r"^encoders\.0\.basic_module\.conv2\.conv", r"^decoders\.0\.basic_module\."),
        {"padding": "same", "pooling": "max", "stretch": "yes", "up_activation": "no"},
        verified=True,
        more=_pytorch_3dunet,
    ),
    Family(
        "pytorch-3dunet UNet",
        (r"^encoders\.0\.basic_module\.SingleConv1\.conv",),
        {
            **PLAIN,
            "concatenation": "skip_first",
            "upsampling": "nearest",
        },
        verified=True,
        more=_pytorch_3dunet,
    ),
    Family(
        "nnU-Net v2 residual encoder",
        (r"^encoder\.stages\.0\.blocks\.0\.conv1", r"^decoder\.seg_layers\.0"),
        {**NNUNET, "shortcut": "pooled", "sum": "before_activation"},
        verified=True,
        more=_nnunet,
    ),
    Family(
        "nnU-Net v2",
        (r"^encoder\.stages\.0\.0\.convs\.0\.", r"^decoder\.seg_layers\.0"),
        NNUNET,
        verified=True,
        more=_nnunet,
    ),
    Family(
        "nnU-Net v1",
        (r"^conv_blocks_context\.0\.blocks\.0\.conv", r"^seg_outputs\.0", r"^tu\.0"),
        NNUNET,
        more=_nnunet,
    ),
    Family(
        "MONAI DynUNet",
        (r"^input_block\.conv1\.conv", r"^upsamples\.0\.transp_conv\.conv"),
        {**NNUNET, "sum": "before_activation"},
        verified=True,
    ),
    Family(
        "MONAI BasicUNet",
        (r"^conv_0\.conv_0\.conv", r"^upcat_1\.convs\.conv_0\.conv"),
        {
            "padding": "same",
            "pooling": "max",
            "activation": "leaky_relu_0.1",
            "concatenation": "skip_first",
            "order": "convolution_norm_activation",
            "up_activation": "no",
        },
        verified=True,
        more=_basic_unet,
    ),
    Family(
        "fastMRI U-Net",
        (
            r"^down_sample_layers\.0\.layers\.0\.weight",
            r"^up_transpose_conv\.0\.layers\.0\.weight",
        ),
        {
            "padding": "same",
            "pooling": "average",
            "activation": "leaky_relu_0.2",
            "norm": "instance_hidden",
            "order": "convolution_norm_activation",
            "concatenation": "up_first",
            "up_activation": "yes",
        },
    ),
    Family(
        "MONAI UNet",
        (r"^model\.0\.conv\.(weight|unit0\.conv\.weight)", r"^model\.1\.submodule\."),
        {"concatenation": "skip_first", "pooling": "strided", "padding": "same"},
        verified=True,
        convert=monai_unet,
        open={
            "norm": ("instance_hidden", "none"),
            "activation": ("relu", "leaky_relu", "gelu", "silu", "elu"),
        },
    ),
    Family(
        "pix2pix U-Net generator",
        (r"^model\.model\.0\.weight", r"^model\.model\.1\.model\.1\.weight"),
        {"concatenation": "skip_first", "pooling": "strided", "padding": "same"},
        convert=pix2pix,
    ),
)


def recognise(tensors: Tensors, hints: Hints) -> Family:
    """Return the first family that fits; `UNKNOWN` otherwise."""
    del hints
    return next((family for family in FAMILIES if family.fits(tensors)), UNKNOWN)
