"""Parts of the zoo: blocks, gates and networks, written in many styles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
UP = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
BATCH = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOL = {2: functional.max_pool2d, 3: functional.max_pool3d}
AVERAGE = {2: functional.avg_pool2d, 3: functional.avg_pool3d}

Make = Callable[[int, int], nn.Module]


# -- parts ------------------------------------------------------------------------


def convs(
    n_in: int,
    n_out: int,
    n: int = 2,
    *,
    ndim: int = 2,
    norm: Callable[[int], nn.Module] | None = nn.BatchNorm2d,
    act: Callable[[], nn.Module] = nn.ReLU,
    late: bool = False,
    dropout: bool = False,
    stride: int = 1,
    **how: Any,
) -> nn.Sequential:
    """A numbered sequence of convolutions with norms, activations and dropout."""
    layers: list[nn.Module] = []
    for number in range(n):
        given = {"kernel_size": 3, "padding": 1, "bias": norm is None, **how}
        step = stride if number == 0 else 1
        layers.append(
            CONV[ndim](n_in if number == 0 else n_out, n_out, stride=step, **given)
        )
        norms = [norm(n_out)] if norm is not None else []
        layers += [act(), *norms] if late else [*norms, act()]
        if dropout and number == 0:
            layers.append(nn.Dropout2d(0.1))
    return nn.Sequential(*layers)


class Residual(nn.Module):
    """Two convolutions beside a projection."""

    def __init__(self, n_in: int, n_out: int, norm: Any = nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1)
        self.norm1 = norm(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1)
        self.norm2 = norm(n_out)
        self.skip = nn.Conv2d(n_in, n_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(self.conv1(x)).relu()
        result: Tensor = (self.norm2(self.conv2(y)) + self.skip(x)).relu()
        return result


class Named(nn.Module):
    """Convolutions under names of their own: ``conv1``, ``bn1``, ``act``."""

    def __init__(self, n_in: int, n_out: int, n: int = 2, prelu: int = 0) -> None:
        super().__init__()
        self.n = n
        for number in range(1, n + 1):
            source = n_in if number == 1 else n_out
            conv = nn.Conv2d(source, n_out, 3, padding=1, bias=False)
            self.add_module(f"conv{number}", conv)
            self.add_module(f"bn{number}", nn.BatchNorm2d(n_out))
        self.act = nn.PReLU(prelu) if prelu else nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        for number in range(1, self.n + 1):
            x = self.get_submodule(f"conv{number}")(x)
            x = self.act(self.get_submodule(f"bn{number}")(x))
        return x


class Crossed(nn.Module):
    """A convolution along rows, and one along columns."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.rows = convs(n_in, n_out, 1, kernel_size=(1, 3), padding=(0, 1))
        self.columns = convs(n_out, n_out, 1, kernel_size=(3, 1), padding=(1, 0))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.columns(self.rows(x))
        return result


class OneNorm(nn.Module):
    """Two activated convolutions, and one norm after both."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1)
        self.batchnorm = nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.batchnorm(self.conv2(self.conv1(x).relu()).relu())
        return result


class Gate(nn.Module):
    """An attention gate."""

    def __init__(self, n_up: int, n_skip: int, n_mid: int) -> None:
        super().__init__()
        self.W_g = nn.Sequential(nn.Conv2d(n_up, n_mid, 1), nn.BatchNorm2d(n_mid))
        self.W_x = nn.Sequential(nn.Conv2d(n_skip, n_mid, 1), nn.BatchNorm2d(n_mid))
        self.psi = nn.Sequential(
            nn.Conv2d(n_mid, 1, 1), nn.BatchNorm2d(1), nn.Sigmoid()
        )

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        result: Tensor = skip * self.psi((self.W_g(up) + self.W_x(skip)).relu())
        return result


class Excited(nn.Module):
    """Convolutions, weighed by squeeze-and-excitation."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.body = convs(n_in, n_out)
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(n_out, n_out // 4, 1),
            nn.ReLU(),
            nn.Conv2d(n_out // 4, n_out, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        result: Tensor = x * self.weigh(x)
        return result


class Recurrent(nn.Module):
    """One convolution, run three times."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.Conv_1x1 = nn.Conv2d(n_in, n_out, 1)
        self.RCNN = nn.Sequential(convs(n_out, n_out, 1), convs(n_out, n_out, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = y = self.Conv_1x1(x)
        for unit in self.RCNN:
            y = unit(y + unit(y + unit(y)))
        return x + y


# -- a U-Net of parts under any names ----------------------------------------------


def add(root: nn.Module, path: str, module: nn.Module) -> None:
    """Register `module` at a dotted path."""
    *parents, leaf = path.split(".")
    for name in parents:
        if name not in root._modules:
            root.add_module(name, nn.Module())
        root = root.get_submodule(name)
    root.add_module(leaf, module)


@dataclass(frozen=True)
class Names:
    """Where parts are: ``{n}`` counts levels from the finest, ``{d}`` from below."""

    down: str
    deep: str
    grow: str
    stage: str
    head: str = "out"
    first: int = 0
    order: str = "down deep grow stage head"

    def path(self, kind: str, level: int, depth: int) -> str:
        """Return a path; `{n}` is the level, `{d}` counts from the coarsest."""
        text: str = getattr(self, kind)
        n, d = level + self.first, depth - 1 - level + self.first
        return text.format(n=n, d=d, even=2 * d, odd=2 * d + 1, on=depth + d)


@dataclass(frozen=True)
class Plan:
    """How a network is built."""

    names: Names
    widths: tuple[int, ...] = (6, 12, 24)
    ndim: int = 2
    n_in: int = 1
    n_out: int = 2
    block: Callable[..., nn.Module] = convs
    up: Callable[[int, int], nn.Module] | None = None
    narrows: bool = True
    mode: str = "linear"
    corners: bool | None = None
    pool: str = "max"
    factors: tuple[Any, ...] = ()
    merge: str = "skip_first"
    heads: int = 1
    deep_heads: bool = False
    gates: bool = False
    head_kernel: int = 1


class UNet(nn.Module):
    """Build and run a plan."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.depth = len(plan.widths) - 1
        self.parts: dict[str, list[tuple[str, nn.Module]]] = {}
        for level in range(self.depth):
            self.make_level(level)
        self.make_ends()
        for kind in (*plan.names.order.split(), "gate", "aux"):
            self.register(kind)
        self.paths = {k: [path for path, _ in v] for k, v in self.parts.items()}
        del self.parts

    def make_level(self, level: int) -> None:
        plan, names = self.plan, self.plan.names
        wide, deep = plan.widths[level], plan.widths[level + 1]
        name = partial(names.path, level=level, depth=self.depth)
        n_in = plan.widths[level - 1] if level else plan.n_in
        self.add("down", name("down"), self.block(n_in, wide, level > 0))
        if plan.pool == "own":
            shrink = CONV[plan.ndim](wide, wide, 3, stride=2, padding=1)
            self.add("shrink", f"shrink{level}", shrink)
        grown = deep
        if plan.up is not None:
            grown = wide if plan.narrows else deep
            self.add("grow", name("grow"), plan.up(deep, grown), first=True)
        merged = wide if plan.merge == "add" else wide + grown
        self.add("stage", name("stage"), plan.block(merged, wide), first=True)
        if plan.gates:
            gate = Gate(grown, wide, max(2, wide // 2))
            self.add("gate", f"Att{level + 2}", gate, first=True)

    def make_ends(self) -> None:
        plan, names = self.plan, self.plan.names
        deep = names.deep.format(n=self.depth + names.first)
        self.add("deep", deep, self.block(*plan.widths[-2:], True))
        conv, k = CONV[plan.ndim], plan.head_kernel
        for n in range(plan.heads):
            path = names.head + (str(n) if plan.heads > 1 else "")
            head = conv(plan.widths[0], plan.n_out - n, k, padding=k // 2)
            self.add("head", path, head)
        for n, width in enumerate(plan.widths[1:-1] if plan.deep_heads else ()):
            self.add("aux", f"aux{n}", conv(width, plan.n_out, 1))

    def block(self, n_in: int, n_out: int, below: bool) -> nn.Module:
        how = {"stride": 2} if below and self.plan.pool == "strided" else {}
        return self.plan.block(n_in, n_out, **how)

    def add(
        self, kind: str, path: str, module: nn.Module, *, first: bool = False
    ) -> None:
        found = self.parts.setdefault(kind, [])
        found.insert(0 if first else len(found), (path, module))

    def register(self, kind: str) -> None:
        """Put parts of a kind into the tree; "pairs": ups and stages in turn."""
        kinds = ["grow", "stage"] if kind == "pairs" else [kind]
        for together in zip(*(self.parts.get(k, []) for k in kinds), strict=True):
            for path, module in together:
                add(self, path, module)

    def run(self, kind: str, number: int, *values: Tensor) -> Tensor:
        result: Tensor = self.get_submodule(self.paths[kind][number])(*values)
        return result

    def forward(self, x: Tensor) -> Tensor:
        plan = self.plan
        factors = plan.factors or (2,) * self.depth
        skips, x = self.shrunk(x, factors)
        for number in range(self.depth):
            x = self.grown(x, number, factors[self.depth - 1 - number])
            skip = cropped(skips.pop(), x)
            if plan.gates:
                skip = self.run("gate", number, skip, x)
            if plan.merge == "add":
                x = x + skip
            else:
                x = torch.cat([x, skip] if plan.merge == "up_first" else [skip, x], 1)
            x = self.run("stage", number, x)
        return torch.cat([self.run("head", n, x) for n in range(plan.heads)], 1)

    def shrunk(self, x: Tensor, factors: Any) -> tuple[list[Tensor], Tensor]:
        """Return the skips, and what comes out at the bottom."""
        skips, late = [], self.plan.pool == "late"
        x = self.run("down", 0, x)
        for level in range(self.depth):
            skips.append(x)
            x = x if late else self.pooled(x, level, factors[level])
            last = level == self.depth - 1
            x = self.run("deep", 0, x) if last else self.run("down", level + 1, x)
            x = self.pooled(x, level, factors[level]) if late else x
        return skips, x

    def pooled(self, x: Tensor, level: int, factor: Any) -> Tensor:
        if self.plan.pool == "own":
            return self.run("shrink", level, x)
        if self.plan.pool == "strided":
            return x
        pool = AVERAGE if self.plan.pool == "average" else POOL
        return pool[self.plan.ndim](x, factor)

    def grown(self, x: Tensor, number: int, factor: Any) -> Tensor:
        if self.plan.up is not None:
            return self.run("grow", number, x)
        linear = {2: "bilinear", 3: "trilinear"}[self.plan.ndim]
        mode = linear if self.plan.mode == "linear" else self.plan.mode
        corners = self.plan.corners
        return functional.interpolate(
            x, scale_factor=factor, mode=mode, align_corners=corners
        )


class Added(UNet):
    """It learns what to add to the image."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


def cropped(skip: Tensor, like: Tensor) -> Tensor:
    """Cut the centre out of a skip."""
    for axis in range(2, skip.ndim):
        size = like.shape[axis]
        skip = skip.narrow(axis, (skip.shape[axis] - size) // 2, size)
    return skip
