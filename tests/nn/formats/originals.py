"""Networks of the original packages, small, for comparison with our reading."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

Make = Callable[[], nn.Module]


@dataclass(frozen=True)
class Case:
    """One network of a package."""

    name: str
    package: str
    make: Make
    shape: tuple[int, ...]
    choices: Mapping[str, str] = field(default_factory=dict)
    hints: Mapping[str, Any] = field(default_factory=dict)
    asks_logits: bool = False

    def logits(self, network: nn.Module, x: Tensor) -> Tensor:
        """Return the original's logits at full resolution."""
        if self.asks_logits:
            _, logits = network(x, return_logits=True)
            return logits  # type: ignore[no-any-return]
        result: Any = network(x)
        return result[0] if isinstance(result, list | tuple) else result


def jittered(network: nn.Module) -> nn.Module:
    """Give norms values of their own, so that none can be mistaken for another."""
    torch.manual_seed(0)
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.3)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    for parameter in network.parameters():
        if parameter.ndim == 1:
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    return network.eval().requires_grad_(False)


def monai(name: str, *args: Any, **kwargs: Any) -> Make:
    def make() -> nn.Module:
        from monai.networks import nets

        network: nn.Module = getattr(nets, name)(*args, **kwargs)
        return network

    return make


def torch_em(name: str, *args: Any, **kwargs: Any) -> Make:
    """From the package's one file: the whole of it needs much that is not here."""

    def make() -> nn.Module:
        found = PathFinder.find_spec("torch_em")
        if found is None or found.origin is None:
            raise ImportError("torch_em")
        root = Path(found.origin).parent
        for package, folder in (("torch_em", root), ("torch_em.model", root / "model")):
            if package not in sys.modules:
                module = types.ModuleType(package)
                module.__path__ = [str(folder)]
                sys.modules[package] = module
        unet = importlib.import_module("torch_em.model.unet")
        network: nn.Module = getattr(unet, name)(*args, **kwargs)
        return network

    return make


def pytorch_3dunet(name: str, **kwargs: Any) -> Make:
    def make() -> nn.Module:
        from pytorch3dunet.unet3d import model

        given = {"f_maps": 8, "num_levels": 3, "final_sigmoid": True, **kwargs}
        network: nn.Module = getattr(model, name)(1, 2, **given)
        return network

    return make


def nnunet(name: str, ndim: int, kernels: Any, strides: Any, **kwargs: Any) -> Make:
    def make() -> nn.Module:
        from dynamic_network_architectures.architectures import unet

        n = len(strides)
        conv = nn.Conv2d if ndim == 2 else nn.Conv3d
        norm = nn.InstanceNorm2d if ndim == 2 else nn.InstanceNorm3d
        blocks = [1, 3, *[2] * (n - 2)] if name.startswith("Residual") else [2] * n
        decoder = [1] * (n - 1) if name.startswith("Residual") else [2] * (n - 1)
        network: nn.Module = getattr(unet, name)(
            1,
            n,
            [8, 16, 32, 32][:n],
            conv,
            kernels,
            strides,
            blocks,
            2,
            decoder,
            conv_bias=True,
            norm_op=norm,
            norm_op_kwargs={"eps": 1e-5, "affine": True},
            nonlin=nn.LeakyReLU,
            nonlin_kwargs={"inplace": True},
            **kwargs,
        )
        return network

    return make


def smp(name: str, encoder: str, **kwargs: Any) -> Make:
    """Beside a torch without torchvision's operators, of which none is used here."""

    def make() -> nn.Module:
        try:
            torch.ops.torchvision.nms  # noqa: B018
        except AttributeError:
            found = torch.library.Library("torchvision", "DEF")
            for operator in ("nms", "qnms"):
                found.define(f"{operator}(Tensor a, Tensor b, float c) -> Tensor")
            LIBRARIES.append(found)
        models = importlib.import_module("segmentation_models_pytorch")
        given = {"encoder_weights": None, "in_channels": 1, "classes": 2, **kwargs}
        network: nn.Module = getattr(models, name)(encoder, **given)
        return network

    return make


# A library that is let go takes its operators along.
LIBRARIES: list[Any] = []
FEATURES = (8, 8, 16, 32, 64, 8)
FLAT = [[1, 2, 2], [2, 2, 2]]
KERNELS, STRIDES = [3, 3, 3, 3], [1, 2, 2, 2]
SMALL = {"depth": 3, "initial_features": 8}
IMAGE, VOLUME = (1, 1, 64, 64), (1, 1, 16, 32, 32)
NNUNET, MONAI = "dynamic-network-architectures", "monai"
SMP = "segmentation-models-pytorch"
WOLNY, TORCH_EM = "pytorch3dunet", "torch-em"


def _dyn(ndim: int, kernels: Any, strides: Any, ups: Any, **more: Any) -> Make:
    filters = [8, 16, 32, 64][: len(strides)]
    return monai("DynUNet", ndim, 1, 2, kernels, strides, ups, filters=filters, **more)


def _wolny(name: str, kind: str, shape: tuple[int, ...], order: str) -> Case:
    make = pytorch_3dunet(kind, layer_order=order)
    hints = {"layer_order": order}
    return Case(f"{kind}, {name}", WOLNY, make, shape, hints=hints, asks_logits=True)


def _smp(name: str, encoder: str, said: str = "", **kwargs: Any) -> Case:
    title = f"{name}, {encoder}{said}"
    shape = (1, kwargs.get("in_channels", 1), 64, 64)
    linear = kwargs.get("decoder_interpolation") == "bilinear"
    choices = {"upsampling": "linear"} if linear else {}
    return Case(title, SMP, smp(name, encoder, **kwargs), shape, choices)


CASES = (
    _smp("Unet", "resnet18"),
    _smp("Unet", "resnet50", in_channels=3),
    _smp(
        "Unet",
        "resnet34",
        ", depth 4",
        encoder_depth=4,
        decoder_channels=(64, 32, 16, 8),
    ),
    _smp("Unet", "resnext50_32x4d", in_channels=3),
    _smp("Unet", "resnet18", ", no norm in the decoder", decoder_use_norm=False),
    _smp("Unet", "resnet18", ", interpolation", decoder_interpolation="bilinear"),
    _smp("Unet", "resnet18", ", two outputs", aux_params={"classes": 2}),
    _smp("UnetPlusPlus", "resnet18"),
    _smp("UnetPlusPlus", "resnet34"),
    _smp("Linknet", "resnet18"),
    Case("UNet", MONAI, monai("UNet", 2, 1, 2, (4, 8, 16, 32), (2, 2, 2)), IMAGE),
    Case(
        "UNet, residual units",
        MONAI,
        monai("UNet", 2, 1, 2, (4, 8, 16, 32), (2, 2, 2), num_res_units=2),
        IMAGE,
    ),
    Case(
        "UNet 3-D, residual units, batch norm",
        MONAI,
        monai("UNet", 3, 1, 2, (4, 8, 16), (2, 2), num_res_units=1, norm="batch"),
        VOLUME,
    ),
    Case("BasicUNet", MONAI, monai("BasicUNet", 2, 1, 2, FEATURES), IMAGE),
    Case(
        "BasicUNet 3-D, batch norm",
        MONAI,
        monai("BasicUNet", 3, 1, 2, (4, 4, 8, 8, 16, 4), norm="batch"),
        (1, 1, 32, 32, 32),
    ),
    Case(
        "BasicUNet, interpolation",
        MONAI,
        monai("BasicUNet", 2, 1, 2, FEATURES, upsample="nontrainable"),
        IMAGE,
    ),
    Case(
        "BasicUNetPlusPlus",
        MONAI,
        monai("BasicUNetPlusPlus", 2, 1, 2, features=FEATURES),
        IMAGE,
    ),
    Case(
        "BasicUNetPlusPlus, batch norm",
        MONAI,
        monai("BasicUNetPlusPlus", 2, 1, 2, features=FEATURES, norm="batch"),
        IMAGE,
    ),
    Case(
        "AttentionUnet",
        MONAI,
        monai("AttentionUnet", 2, 1, 2, (4, 8, 16), (2, 2)),
        IMAGE,
    ),
    Case(
        "AttentionUnet 3-D",
        MONAI,
        monai("AttentionUnet", 3, 1, 2, (4, 8, 16), (2, 2)),
        VOLUME,
    ),
    Case("VNet", MONAI, monai("VNet", 2, 1, 2), IMAGE, {"activation": "elu"}),
    Case("VNet, PReLU", MONAI, monai("VNet", 2, 2, 2, act="prelu"), (1, 2, 64, 64)),
    Case("SegResNet", MONAI, monai("SegResNet", 2, 8, 1, 2), IMAGE),
    Case("SegResNet 3-D", MONAI, monai("SegResNet", 3, 8, 1, 2), VOLUME),
    Case(
        "SegResNet, batch norm",
        MONAI,
        monai("SegResNet", 2, 8, 1, 2, norm="batch"),
        IMAGE,
        {"activation": "relu"},
    ),
    Case("DynUNet", MONAI, _dyn(2, KERNELS, STRIDES, [2, 2, 2]), IMAGE),
    Case(
        "DynUNet, residual, deep supervision",
        MONAI,
        _dyn(2, KERNELS, STRIDES, [2, 2, 2], res_block=True, deep_supervision=True),
        IMAGE,
    ),
    Case(
        "DynUNet 3-D, anisotropic",
        MONAI,
        _dyn(3, [[1, 3, 3], 3, 3], [1, [1, 2, 2], 2], [[1, 2, 2], 2], trans_bias=True),
        VOLUME,
    ),
    Case("UNet2d", TORCH_EM, torch_em("UNet2d", 1, 2, **SMALL), IMAGE),
    Case(
        "UNet2d, no norm", TORCH_EM, torch_em("UNet2d", 1, 2, norm=None, **SMALL), IMAGE
    ),
    Case(
        "UNet2d, group norm",
        TORCH_EM,
        torch_em("UNet2d", 1, 2, norm="GroupNorm", **SMALL),
        IMAGE,
    ),
    Case(
        "UNet2d, batch norm",
        TORCH_EM,
        torch_em("UNet2d", 1, 2, norm="BatchNorm", **SMALL),
        IMAGE,
    ),
    Case(
        "UNet3d",
        TORCH_EM,
        torch_em("UNet3d", 1, 2, depth=2, initial_features=8),
        VOLUME,
    ),
    Case(
        "AnisotropicUNet",
        TORCH_EM,
        torch_em("AnisotropicUNet", 1, 2, FLAT, initial_features=8),
        VOLUME,
        {"factors": "1x2x2,2x2x2"},
    ),
    Case(
        "AnisotropicUNet, anisotropic kernels",
        TORCH_EM,
        torch_em(
            "AnisotropicUNet", 1, 2, FLAT, initial_features=8, anisotropic_kernel=True
        ),
        VOLUME,
    ),
    _wolny("default", "UNet3D", VOLUME, "gcr"),
    _wolny("batch norm", "UNet3D", VOLUME, "bcr"),
    _wolny("leaky", "UNet2D", IMAGE, "gcl"),
    _wolny("default", "ResidualUNet3D", VOLUME, "gcr"),
    _wolny("ELU", "ResidualUNet2D", IMAGE, "gce"),
    Case("PlainConvUNet", NNUNET, nnunet("PlainConvUNet", 2, 3, STRIDES), IMAGE),
    Case(
        "PlainConvUNet, deep supervision",
        NNUNET,
        nnunet("PlainConvUNet", 2, 3, STRIDES, deep_supervision=True),
        IMAGE,
    ),
    Case(
        "PlainConvUNet 3-D, anisotropic",
        NNUNET,
        nnunet(
            "PlainConvUNet",
            3,
            [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
            [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
        ),
        VOLUME,
    ),
    Case(
        "ResidualEncoderUNet",
        NNUNET,
        nnunet("ResidualEncoderUNet", 2, 3, STRIDES),
        IMAGE,
    ),
)
