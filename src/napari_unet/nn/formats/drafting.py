"""Drafting: a wiring and the answers to what shapes cannot tell become a graph."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from napari_unet.errors import CheckpointError, SettingsError
from napari_unet.graph_settings import (
    Activation,
    AnyStep,
    Convolution,
    Graph,
    Merge,
    Norm,
    Pad,
    Pool,
    Resize,
)
from napari_unet.nn.formats.elements import Element
from napari_unet.nn.formats.moves import Move, Wiring
from napari_unet.nn.formats.units import Unit, Units, Way, norm_size

Factors = tuple[int, ...]


def draft(
    units: Units, wiring: Wiring, answers: Mapping[str, str], family: str = ""
) -> Graph:
    """Return the graph of `wiring` under `answers`.

    Raises
    ------
    CheckpointError
        If an answer does not fit the tensors.
    """
    drafter = _Drafter(units, wiring, answers)
    try:
        return Graph(
            ndim=2 if units.ndim == 2 else 3,
            in_channels=drafter.n_image,
            steps=tuple(drafter.run()),
            family=family,
        )
    except (ValueError, SettingsError) as error:
        told = ", ".join(f"{key} {value}" for key, value in answers.items())
        raise CheckpointError(
            f"The tensors cannot be run with {told}.", "Choose other assumptions."
        ) from error


def pool_factors(
    units: Units, wiring: Wiring, answers: Mapping[str, str]
) -> list[Factors]:
    """Return how much each pooling shrinks, per axis, as the up-sampling says."""
    factors: list[Factors] = []
    levels: list[int] = []
    guess = (2,) * units.ndim
    for position, move in enumerate(wiring.moves):
        if move.kind == "pool":
            levels.append(len(factors))
            factors.append(_flat_axes(units, wiring.moves[position + 1], guess))
        elif move.kind == "up" and move.element is not None:
            kernel = units.units[move.element.members[0]].kernel
            factors[levels.pop()] = tuple(1 if k == 1 else 2 for k in kernel)
        elif move.kind == "grow":
            levels.pop()
    return _told(factors, answers.get("factors", ""), units.ndim)


def _told(factors: list[Factors], told: str, ndim: int) -> list[Factors]:
    """Return the factors that were given, such as ``1x2x2,2x2x2``, if any were."""
    if not told:
        return factors
    try:
        given = [tuple(int(n) for n in level.split("x")) for level in told.split(",")]
    except ValueError:
        given = []
    if len(given) != len(factors) or any(len(level) != ndim for level in given):
        raise CheckpointError(
            f"{told} does not give {len(factors)} poolings of {ndim} axes.",
            "Write them as in 1x2x2,2x2x2, the finest first.",
        )
    return given


def _flat_axes(units: Units, move: Move, guess: Factors) -> Factors:
    """Return a factor of 1 along axes on which the next kernel has one pixel."""
    if move.element is None:
        return guess
    kernel = units.units[move.element.members[0]].kernel
    flat = tuple(1 if k == 1 else 2 for k in kernel)
    return flat if len(set(kernel)) > 1 else guess


@dataclass
class _Drafter:
    """Writes down steps; `value` is the number of the last one."""

    units: Units
    wiring: Wiring
    answers: Mapping[str, str]
    steps: list[AnyStep] = field(default_factory=list)
    value: int = 0
    skips: list[tuple[int, Factors]] = field(default_factory=list)

    @property
    def n_image(self) -> int:
        first = self.wiring.moves[0].element
        return first.n_in if first is not None else 1

    def run(self) -> Sequence[AnyStep]:
        factors = pool_factors(self.units, self.wiring, self.answers)
        stride: Factors | None = None
        due = -1
        grown: Factors = ()
        depth = 0
        for position, move in enumerate(self.wiring.moves):
            if move.kind == "pool":
                self.skips.append((self.value, factors[depth]))
                stride = self._pool(factors[depth], position)
                depth += 1
            elif move.kind == "grow":
                due, grown = self.skips.pop()
                self._grow(grown)
            elif move.kind == "up":
                due, grown = self.skips.pop()
                self._up(move, grown)
            elif move.element is not None:
                if move.merge:
                    self._merge(due, move.merge)
                last = position == len(self.wiring.moves) - 1
                self._element(move, stride, last)
                stride = None
        self._finish()
        return self.steps

    def add(self, step: AnyStep) -> int:
        self.steps.append(step)
        self.value = len(self.steps)
        return self.value

    # -- moves ------------------------------------------------------------------

    def _pool(self, factor: Factors, position: int) -> Factors | None:
        """Pool, or return the stride that the next convolution has."""
        following = self.wiring.moves[position + 1].element
        unit = self.units.units[following.members[0]] if following else None
        even = unit is not None and max(unit.kernel) % 2 == 0
        if even or self.answers["pooling"] == "strided":
            return factor
        kind = self.answers["pooling"]
        self.add(
            Pool(
                inputs=(self.value,),
                kernel=factor,
                kind="max" if kind == "max" else "average",
            )
        )
        return None

    def _grow(self, factor: Factors) -> None:
        how = self.answers.get("upsampling", "linear")
        self.add(
            Resize(
                inputs=(self.value,),
                factor=tuple(float(f) for f in factor),
                mode="nearest" if how == "nearest" else "linear",
                align_corners=how == "linear_corners",
            )
        )

    def _up(self, move: Move, factor: Factors) -> None:
        element = move.element
        if element is None:
            return
        unit = self.units.units[element.members[0]]
        padding = tuple(
            (k - f + 1) // 2 for k, f in zip(unit.kernel, factor, strict=True)
        )
        extra = tuple(
            f - k + 2 * p for k, f, p in zip(unit.kernel, factor, padding, strict=True)
        )
        stretched = self.answers.get("stretch") == "yes" and any(extra)
        self.add(
            Convolution(
                inputs=(self.value,),
                name=unit.path,
                out=element.n_out,
                kernel=unit.kernel,
                stride=factor,
                padding=padding,
                bias=unit.bias,
                transposed=True,
                output_padding=None if stretched or not any(extra) else extra,
            )
        )
        if stretched:
            ones = tuple(int(e > 0) for e in extra)
            none = (0,) * len(ones)
            self.add(
                Pad(inputs=(self.value,), before=ones, after=none, mode="replicate")
            )
        self._after(unit, active=self.answers.get("up_activation") == "yes")

    def _merge(self, skip: int, kind: str) -> None:
        if self.answers["padding"] == "valid":
            up = self.value
            skip = self.add(Merge(inputs=(skip, up), kind="crop"))
            self.value = up
        first = self.answers.get("concatenation", "skip_first") == "skip_first"
        inputs = (skip, self.value) if first else (self.value, skip)
        concatenates = kind == "concatenate"
        self.add(Merge(inputs=inputs, kind="concatenate" if concatenates else "add"))

    def _element(self, move: Move, stride: Factors | None, last: bool) -> None:
        element = move.element
        if element is None:
            return
        start = self.value
        final = len(element.members) - 1
        after_sum = self.answers.get("sum", "before_activation") == "before_activation"
        for number, (member, way) in enumerate(
            zip(element.members, element.ways, strict=True)
        ):
            ends = number == final
            active = not (ends and (last or (element.residual and after_sum)))
            if move.kind == "widen":
                active = self.answers.get("up_activation") == "yes"
            at = stride if number == 0 else None
            if element.led and number == 0:
                self._convolve(self.units.units[member], way, at)
                start, stride = self.value, None
                continue
            self._unit(self.units.units[member], way, at, active)
        if element.residual:
            self._shortcut(element, start, stride)
            if after_sum and not last:
                self._activate(self.units.units[element.members[-1]])

    def _shortcut(self, element: Element, start: int, stride: Factors | None) -> None:
        end = self.value
        self.value = start
        pooled = element.shortcut is None or self.answers.get("shortcut") == "pooled"
        if stride and pooled:
            self.add(Pool(inputs=(self.value,), kernel=stride, kind="average"))
            stride = None
        if element.shortcut is not None:
            unit = self.units.units[element.shortcut]
            way = next(w for w in unit.ways if w.n_out == element.n_out)
            self._unit(unit, way, stride, active=False)
        self.add(Merge(inputs=(end, self.value), kind="add"))

    def _finish(self) -> None:
        if self.answers.get("output") == "half":
            factor = (0.5,) * self.units.ndim
            self.add(Resize(inputs=(self.value,), factor=factor, mode="nearest"))

    # -- layers -----------------------------------------------------------------

    def _unit(self, unit: Unit, way: Way, stride: Factors | None, active: bool) -> None:
        """Write a convolution with its norm and activation, in the order answered."""
        order = self.answers.get("order", "convolution_norm_activation")
        for part in order.split("_"):
            if part == "convolution":
                self._convolve(unit, way, stride)
            elif part == "norm":
                self._norm(unit)
            elif active or order.endswith("convolution"):
                self._activate(unit)

    def _convolve(self, unit: Unit, way: Way, stride: Factors | None) -> None:
        ones = (1,) * len(unit.kernel)
        same = self.answers["padding"] != "valid"
        padding = tuple((k - 1) // 2 if same else 0 for k in unit.kernel)
        self.add(
            Convolution(
                inputs=(self.value,),
                name=unit.path,
                out=way.n_out,
                kernel=unit.kernel,
                stride=stride or ones,
                padding=padding,
                groups=way.groups,
                bias=unit.bias,
                padding_mode="reflect"
                if self.answers["padding"] == "reflect"
                else "zeros",
            )
        )

    def _after(self, unit: Unit, active: bool) -> None:
        """Write the norm and activation of an up-sampling."""
        if unit.norm is not None or active:
            self._norm(unit)
        if active:
            self._activate(unit)

    def _norm(self, unit: Unit) -> None:
        kind = self.answers.get("norm", "none")
        if unit.norm is None:
            hidden = kind == "instance_hidden" and not unit.pointwise
            if hidden:
                self.add(Norm(inputs=(self.value,), kind="instance", affine=False))
            return
        shapes = unit.norm.shapes
        tracked = "running_mean" in shapes
        given = {
            "inputs": (self.value,),
            "name": unit.norm.path,
            "affine": "weight" in shapes,
            "tracked": tracked,
        }
        if kind.startswith("group"):
            size = norm_size(unit.norm)
            groups = int(re.sub(r"\D", "", kind))
            if size < groups:
                groups = size if kind.startswith("groups") else 1
            groups = groups if size % groups == 0 else 1
            self.add(Norm.parse({**given, "kind": "group", "groups": groups}))
        else:
            kinds = "instance" if kind == "instance" else "batch"
            self.add(Norm.parse({**given, "kind": kinds}))

    def _activate(self, unit: Unit) -> None:
        if unit.activation is not None:
            size = norm_size(unit.activation)
            self.add(
                Activation(
                    inputs=(self.value,),
                    name=unit.activation.path,
                    kind="prelu",
                    parameters=size,
                )
            )
            return
        kind, _, slope = self.answers["activation"].rpartition("_")
        if kind in {"leaky_relu"}:
            step = {"kind": kind, "slope": float(slope)}
        elif self.answers["activation"] == "elu":
            step = {"kind": "elu", "slope": 1.0}
        elif self.answers["activation"] == "none":
            return
        else:
            step = {"kind": self.answers["activation"]}
        self.add(Activation.parse({"inputs": (self.value,), **step}))
