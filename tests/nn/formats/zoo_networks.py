"""Networks of the zoo that are no plain U-Net: UNet++, and those on a ResNet."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from zoo_parts import Named


class PlusPlus(nn.Module):
    """UNet++ with `depth` poolings."""

    def __init__(self, widths: Sequence[int] = (4, 8, 12, 16)) -> None:
        super().__init__()
        self.depth = len(widths) - 1
        for j in range(self.depth + 1):
            for i in range(self.depth + 1 - j):
                n_in = (
                    j * widths[i] + widths[i + 1] if j else (widths[i - 1] if i else 1)
                )
                self.add_module(f"conv{i}_{j}", Named(n_in, widths[i]))
        self.final = nn.Conv2d(widths[0], 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        found: dict[tuple[int, int], Tensor] = {}
        for i in range(self.depth + 1):
            source = x if i == 0 else functional.max_pool2d(found[i - 1, 0], 2)
            found[i, 0] = self.get_submodule(f"conv{i}_0")(source)
            for j in range(1, i + 1):
                k = i - j
                up = functional.interpolate(
                    found[k + 1, j - 1],
                    scale_factor=2,
                    mode="bilinear",
                    align_corners=True,
                )
                row = [found[k, m] for m in range(j)]
                found[k, j] = self.get_submodule(f"conv{k}_{j}")(
                    torch.cat([*row, up], 1)
                )
        result: Tensor = self.final(found[0, self.depth])
        return result


class Basic(nn.Module):
    """The block of a small ResNet."""

    def __init__(self, n_in: int, n_out: int, stride: int, deep: bool = False) -> None:
        super().__init__()
        mid = n_out // 2 if deep else n_out
        sizes = (
            [(n_in, mid, 1, 1), (mid, mid, 3, stride), (mid, n_out, 1, 1)]
            if deep
            else [(n_in, n_out, 3, stride), (n_out, n_out, 3, 1)]
        )
        self.n = len(sizes)
        for number, (a, b, k, s) in enumerate(sizes, start=1):
            self.add_module(f"conv{number}", nn.Conv2d(a, b, k, s, k // 2, bias=False))
            self.add_module(f"bn{number}", nn.BatchNorm2d(b))
        if stride > 1 or n_in != n_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for number in range(1, self.n + 1):
            y = self.get_submodule(f"bn{number}")(
                self.get_submodule(f"conv{number}")(y)
            )
            y = y.relu() if number < self.n else y
        start = self.downsample(x) if "downsample" in self._modules else x
        result: Tensor = (y + start).relu()
        return result


class Encoder(nn.Module):
    """A small ResNet; gives the values of all resolutions."""

    def __init__(self, widths: Sequence[int], deep: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        for n, (a, b) in enumerate(itertools.pairwise(widths), start=1):
            stride = 1 if n == 1 else 2
            blocks = nn.Sequential(Basic(a, b, stride, deep), Basic(b, b, 1, deep))
            self.add_module(f"layer{n}", blocks)

    def forward(self, x: Tensor) -> list[Tensor]:
        found = [self.bn1(self.conv1(x)).relu()]
        x = functional.max_pool2d(found[0], 3, 2, 1)
        for n in range(1, 5):
            x = self.get_submodule(f"layer{n}")(x)
            found.append(x)
        return found


class OnResNet(nn.Module):
    """A U-Net or LinkNet whose encoder is a ResNet."""

    def __init__(self, *, link: bool = False, deep: bool = False) -> None:
        super().__init__()
        widths = [4, 4, 8, 12, 16]
        self.link = link
        self.encoder = Encoder(widths, deep)
        blocks = []
        for n, skip in enumerate([12, 8, 4, 4, 0]):
            n_in = 16 if n == 0 else ([12, 8, 4, 4] if link else [12, 8, 6, 4])[n - 1]
            block = nn.Module()
            if link:
                n_out, mid = skip or 6, max(1, n_in // 4)
                block.block = nn.Sequential(
                    self.unit(n_in, mid, 1),
                    nn.Sequential(
                        nn.ConvTranspose2d(mid, mid, 4, 2, 1, bias=False),
                        nn.BatchNorm2d(mid),
                        nn.ReLU(),
                    ),
                    self.unit(mid, n_out, 1),
                )
            else:
                n_out = [12, 8, 6, 4, 4][n]
                block.conv1 = self.unit(n_in + skip, n_out, 3)
                block.conv2 = self.unit(n_out, n_out, 3)
            blocks.append(block)
        self.decoder = nn.Module()
        self.decoder.blocks = nn.ModuleList(blocks)
        k = 1 if link else 3
        self.segmentation_head = nn.Sequential(nn.Conv2d(n_out, 2, k, padding=k // 2))

    @staticmethod
    def unit(a: int, b: int, k: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(a, b, k, padding=k // 2, bias=False), nn.BatchNorm2d(b), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        x, *skips = self.encoder(x)[::-1]
        for n, block in enumerate(self.decoder.blocks):  # type: ignore[arg-type]
            if self.link:
                x = block.block(x)
                x = x + skips[n] if n < 4 else x
                continue
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = torch.cat([x, skips[n]], 1) if n < 4 else x
            x = block.conv2(block.conv1(x))
        result: Tensor = self.segmentation_head(x)
        return result
