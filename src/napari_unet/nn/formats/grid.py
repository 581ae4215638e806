"""UNet++ (Zhou et al. 2018): stages on a grid, joined with all before them in a row.

The stage (i, j) reads all stages (i, 0..j-1) and the one below, (i+1, j-1), enlarged.
Names hold the two numbers, such as ``conv0_1`` or ``X_01``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from torch import Tensor

from napari_unet.graph_settings import Graph, Merge, Pool
from napari_unet.nn.formats.layers import LayerWriter
from napari_unet.nn.formats.units import Unit, Way, collect_units

NUMBERED = re.compile(r"^[^\d.]*(\d)_?(\d)\.")

Place = tuple[int, int]


def unet_plus_plus(tensors: Mapping[str, Tensor], answers: Mapping[str, str]) -> Graph:
    """Return the graph of a UNet++; its last output is the finest, deepest one's.

    Raises
    ------
    ValueError
        If the stages do not fit together.
    """
    units = collect_units(tensors, "the file")
    nodes, heads = _places(units.units)
    norms = {"norm": "batch" if _tracked(units.units) else "instance"}
    known = {"padding": "same", "order": "convolution_norm_activation"}
    first = nodes[0, 0][0].ways[0].n_in
    grid = _Grid({**known, **norms, **answers}, [first], nodes)
    grid.run()
    grid.head(heads)
    return Graph(
        ndim=2 if units.ndim == 2 else 3,
        in_channels=first,
        steps=tuple(grid.steps),
        family="UNet++",
    )


def _places(units: Sequence[Unit]) -> tuple[dict[Place, list[Unit]], list[Unit]]:
    """Return the convolutions of each stage, and those outside."""
    nodes: dict[Place, list[Unit]] = defaultdict(list)
    heads = []
    for unit in units:
        found = NUMBERED.match(unit.path)
        if found is None:
            heads.append(unit)
        else:
            nodes[int(found[1]), int(found[2])].append(unit)
    depth = max(i for i, _ in nodes)
    wanted = {(i, j) for i in range(depth + 1) for j in range(depth + 1 - i)}
    if wanted != set(nodes) or not heads:
        raise ValueError("the stages do not fill a triangle")
    return nodes, heads


class _Grid(LayerWriter):
    """Writes down the stages, one diagonal after the other."""

    def __init__(
        self,
        answers: Mapping[str, str],
        channels: list[int],
        nodes: Mapping[Place, list[Unit]],
    ) -> None:
        super().__init__(answers, channels=channels)
        self.nodes = nodes
        self.done: dict[Place, int] = {}

    def run(self) -> None:
        depth = max(i for i, _ in self.nodes)
        for diagonal in range(depth + 1):
            for j in range(diagonal + 1):
                self._stage(diagonal - j, j)

    def head(self, heads: Sequence[Unit]) -> None:
        """Write the last output that fits the deepest stage of the finest row."""
        self.value = self.done[0, max(j for _, j in self.nodes)]
        n_in = self.channels[self.value]
        odd = [u.path for u in heads if u.norm is not None or not u.pointwise]
        fitting = [(u, w) for u in heads for w in u.ways if w.n_in == n_in]
        if odd or not fitting:
            raise ValueError(f"{odd[0]} has no place" if odd else "it has no output")
        self.unit(*fitting[-1], None, active=False)

    def _stage(self, i: int, j: int) -> None:
        units = self.nodes[i, j]
        ups = [unit for unit in units if max(unit.kernel) == 2]
        factor = (2,) * len(units[0].kernel)
        if j == 0 and i > 0:
            kind = self.answers.get("pooling", "max")
            self.value = self.done[i - 1, 0]
            self.add(
                Pool(
                    inputs=(self.value,),
                    kernel=factor,
                    kind="average" if kind == "average" else "max",
                )
            )
        elif j > 0:
            self.value = self.done[i + 1, j - 1]
            if ups:
                self.up(ups[0], self._way(ups[0], transposed=True).n_out, factor)
            else:
                self.grow(factor)
            before = tuple(self.done[i, k] for k in range(j))
            first = self.answers.get("concatenation", "skip_first") == "skip_first"
            up = (self.value,)
            inputs = before + up if first else up + before
            self.add(Merge(inputs=inputs, kind="concatenate"))
        for unit in units:
            if unit not in ups:
                self.unit(unit, self._way(unit), None, active=True)
        self.done[i, j] = self.value

    def _way(self, unit: Unit, *, transposed: bool = False) -> Way:
        n_in = self.channels[self.value]
        for way in unit.ways:
            if way.n_in == n_in and way.transposed == transposed:
                return way
        raise ValueError(f"{unit.path} does not take {n_in} channels")


def _tracked(units: Sequence[Unit]) -> bool:
    return any(unit.norm and "running_mean" in unit.norm.shapes for unit in units)
