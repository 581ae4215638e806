"""An independent builder of U-Nets, in many styles of wiring and of naming."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
UP = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORM = {
    ("batch", 2): nn.BatchNorm2d,
    ("batch", 3): nn.BatchNorm3d,
    ("instance", 2): nn.InstanceNorm2d,
    ("instance", 3): nn.InstanceNorm3d,
}


@dataclass(frozen=True)
class Style:
    """How a network is built and how its parts are called."""

    ndim: int = 2
    n_in: int = 1
    n_out: int = 2
    widths: tuple[int, ...] = (4, 8, 16)
    n_convs: int = 2
    kernel: int = 3
    norm: str = "batch"
    bias: bool = True
    up: str = "transposed"  # nearest, linear: alone; narrow: with a 1x1 convolution
    up_first: bool = False
    add: bool = False
    residual: bool = False
    late_norm: bool = False
    slope: float = 0.0
    average: bool = False
    naming: int = 0
    decoder_first: bool = False
    reversed_levels: bool = False


class Stage(nn.Module):
    """A few convolutions, with a projection beside them if they are residual."""

    def __init__(self, style: Style, n_in: int, n_out: int) -> None:
        super().__init__()
        self.style = style
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        for number in range(style.n_convs):
            source = n_in if number == 0 else n_out
            pad = style.kernel // 2
            conv = CONV[style.ndim](
                source, n_out, style.kernel, padding=pad, bias=style.bias
            )
            parts[f"conv{number + 1}"] = conv
            if style.norm != "none":
                kwargs = {"affine": True} if style.norm == "instance" else {}
                norm = NORM[style.norm, style.ndim](n_out, **kwargs)
                parts[f"norm{number + 1}"] = norm
        if style.naming == 1:
            self.block = numbered(parts, style)
        else:
            for name, part in parts.items():
                self.add_module(name, part)
        self.parts = list(parts.values())
        if style.residual:
            self.shortcut = CONV[style.ndim](n_in, n_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        start, per = x, len(self.parts) // self.style.n_convs
        for number in range(self.style.n_convs):
            last = number == self.style.n_convs - 1
            conv, *norms = self.parts[number * per : (number + 1) * per]
            x = conv(x)
            if self.style.late_norm:
                x = self.active(x)
            for norm in norms:
                x = norm(x)
            if last and self.style.residual:
                x = x + self.shortcut(start)
            if not self.style.late_norm or (last and self.style.residual):
                x = self.active(x)
        return x

    def active(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(x, self.style.slope)


def numbered(parts: OrderedDict[str, nn.Module], style: Style) -> nn.Sequential:
    """Number the parts as a Sequential with its activations would."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    position = 0
    for name, part in parts.items():
        late = style.late_norm and name.startswith("norm")
        position += int(late)
        layers[str(position)] = part
        position += 1
        ends = name.startswith("norm") or style.norm == "none"
        position += int(ends and not style.late_norm)
    return nn.Sequential(layers)


class Net(nn.Module):
    """A U-Net in one of the styles."""

    def __init__(self, style: Style) -> None:
        super().__init__()
        self.style = style
        widths = style.widths
        firsts = (style.n_in, *widths[:-1])
        down = [Stage(style, a, b) for a, b in zip(firsts, widths, strict=True)]
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.ups = [self.make_up(deep, wide) for deep, wide in pairs]
        merged = [
            wide if style.add else self.up_width(d, wide) + wide for d, wide in pairs
        ]
        up = [Stage(style, n, wide) for n, (_, wide) in zip(merged, pairs, strict=True)]
        head = CONV[style.ndim](widths[0], style.n_out, 1)
        self.down, self.up_stages, self.head_layer = down, up, [head]
        self.register(down, up, head)

    def up_width(self, deep: int, wide: int) -> int:
        return deep if self.style.up in {"nearest", "linear"} else wide

    def make_up(self, deep: int, wide: int) -> nn.Module:
        ndim = self.style.ndim
        if self.style.up == "transposed":
            return UP[ndim](deep, wide, 2, stride=2)
        return CONV[ndim](deep, wide, 1) if self.style.up == "narrow" else nn.Identity()

    def register(self, down: list[Stage], up: list[Stage], head: nn.Module) -> None:
        names = [
            ("encoder", "decoder", "upsample", "head"),
            ("down_path", "up_path", "grow", "last"),
            ("a", "c", "b", "z"),
        ][self.style.naming % 3]
        named = [(names[0], dict(enumerate(down)))]
        late = [
            (names[2], dict(enumerate(self.ups))),
            (names[1], dict(enumerate(up))),
        ]
        if self.style.reversed_levels:
            late = [
                (name, {len(part) - 1 - n: m for n, m in part.items()})
                for name, part in late
            ]
            late = [(name, dict(sorted(part.items()))) for name, part in late]
        order = [*late, *named] if self.style.decoder_first else [*named, *late]
        for name, part in order:
            self.add_module(name, nn.ModuleDict({str(n): m for n, m in part.items()}))
        self.add_module(names[3], head)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        pool = functional.avg_pool2d if self.style.average else functional.max_pool2d
        if self.style.ndim == 3:
            pool = (
                functional.avg_pool3d if self.style.average else functional.max_pool3d
            )
        for stage in self.down[:-1]:
            x = stage(x)
            skips.append(x)
            x = pool(x, 2)
        x = self.down[-1](x)
        for grow, stage in zip(self.ups, self.up_stages, strict=True):
            x, skip = self.enlarged(grow, x), skips.pop()
            if self.style.add:
                x = x + skip
            else:
                x = torch.cat([x, skip] if self.style.up_first else [skip, x], 1)
            x = stage(x)
        result: Tensor = self.head_layer[0](x)
        return result

    def enlarged(self, layer: nn.Module, x: Tensor) -> Tensor:
        if self.style.up == "transposed":
            result: Tensor = layer(x)
            return result
        mode = {2: "bilinear", 3: "trilinear"}[self.style.ndim]
        if self.style.up == "nearest":
            return functional.interpolate(layer(x), scale_factor=2, mode="nearest")
        grown = functional.interpolate(x, scale_factor=2, mode=mode)
        found: Tensor = layer(grown)
        return found


def remembering(style: Style, seed: int = 0) -> Net:
    """Return a network whose batch norms have seen a few images of blobs."""
    torch.manual_seed(seed)
    network = Net(style).train()
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            module.momentum = None  # type: ignore[assignment]
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.3)
    side = 32 if style.ndim == 2 else 16
    with torch.no_grad():
        for _ in range(3):
            coarse = torch.rand((4, style.n_in, *(5,) * style.ndim))
            mode = {2: "bilinear", 3: "trilinear"}[style.ndim]
            size = (side,) * style.ndim
            blobs = functional.interpolate(coarse, size, mode=mode)
            network(blobs + 0.1 * torch.rand_like(blobs))
    return network.eval().requires_grad_(False)
