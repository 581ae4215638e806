"""Blueprints: the ways to run the convolutions of a file that names no known wiring."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Mapping

from torch import Tensor

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.deciding import Blueprint
from napari_unet.nn.formats.drafting import draft
from napari_unet.nn.formats.gates import is_psi, take_gates
from napari_unet.nn.formats.moves import Wiring
from napari_unet.nn.formats.questions import ask, heads_of
from napari_unet.nn.formats.units import NOT_OURS, Unit, Units, collect_units
from napari_unet.nn.formats.wiring import find_wirings

# Cost of a wiring for each convolution, beyond which it is no plausible one.
MOST_COST = 0.8
# What names tell to be none of the networks that can be rebuilt.
SMP = "a decoder of segmentation-models-pytorch other than Unet and Linknet"
EXCITED = (
    r"(^|[._])(c?se|scse|squeeze|excit\w*|cbam|eca|aspp|(channel|spatial)_?att\w*)"
    r"(_?(block|layer|module))?\d*[._]"
)
REFUSED = {
    r"(^|[._])R?RCNN|rcnn|recurrent": "recurrent convolutions, as R2U-Net has",
    r"^segmentation_head\.": SMP,
    r"(^|\.)layer[234]\.0\.downsample\.0\.": "a ResNet as encoder, of another build",
    r"^(in_tr|down_tr\d+)\.": "sums that leave no trace, as a V-Net has",
    EXCITED: "squeeze-and-excitation or another attention over channels",
}


def search_blueprints(
    tensors: Mapping[str, Tensor], name: str, family: str
) -> list[Blueprint]:
    """Return the wirings of a state dict that fit, the most plausible first.

    Parameters
    ----------
    tensors
        A state dict, in the order of its file.
    name
        Of the file, for messages.
    family
        What the graph says that it is.

    Raises
    ------
    CheckpointError
        If the convolutions are not those of a U-Net.
    """
    _refuse_named(tensors, name)
    units = take_gates(collect_units(tensors, name))
    _refuse_excitation(units, name)
    return [
        Blueprint(
            questions=ask(units, wiring, tensors),
            draft=functools.partial(draft, units, wiring, family=family),
            cost=wiring.cost,
            complete=not wiring.unused,
            recognised=_recognised(units, wiring),
        )
        for wiring in _wire(units, name)
    ]


def _refuse_named(tensors: Mapping[str, Tensor], name: str) -> None:
    for pattern, what in REFUSED.items():
        found = next((key for key in tensors if re.search(pattern, key)), None)
        if found is not None:
            raise CheckpointError(f"{name} has {what} ({found}).", NOT_OURS)


def _refuse_excitation(units: Units, name: str) -> None:
    """Refuse two bare pointwise convolutions that narrow and widen again."""
    if all(unit.norm is None for unit in units.units):
        return
    for narrow, wide in itertools.pairwise(units.units):
        beside = narrow.module.parent == wide.module.parent
        bare = narrow.norm is None and wide.norm is None
        sides = narrow.ways[0].n_in, narrow.ways[0].n_out
        back = wide.ways[0].n_in, wide.ways[0].n_out
        small = narrow.pointwise and wide.pointwise and 2 * sides[1] <= sides[0]
        if beside and bare and small and back == sides[::-1]:
            raise CheckpointError(
                f"{name} has squeeze-and-excitation ({narrow.path}).", NOT_OURS
            )


def _wire(units: Units, name: str) -> list[Wiring]:
    found = find_wirings(units.units)
    gates = [unit.path for unit in units.units if _is_gate(unit)]
    if gates and (not found or found[0].unused):
        raise CheckpointError(
            f"{name} has attention gates ({gates[0]}), which cannot be rebuilt.",
            NOT_OURS,
        )
    if not found:
        raise CheckpointError(
            f"The convolutions in {name} cannot be joined to a U-Net: no order of "
            "them fits their channels.",
            NOT_OURS,
        )
    if found[0].cost > MOST_COST * len(units.units):
        raise CheckpointError(
            f"The convolutions in {name} can only be joined to a U-Net against their "
            "names and order; something between them may leave no trace, such as a "
            "shuffling of pixels.",
            NOT_OURS,
        )
    heads = heads_of(units, found[0])
    spare = [units.units[n] for n in found[0].unused]
    homeless = [unit for unit in spare if not _may_be_left(unit, heads)]
    if homeless:
        raise CheckpointError(
            f"{name} holds {homeless[0].path}, which has no place in a U-Net of the "
            "others.",
            NOT_OURS,
        )
    return found


def _may_be_left(unit: Unit, heads: tuple[str, ...]) -> bool:
    """Whether a convolution can be an output of its own."""
    return unit.path in heads or (unit.norm is None and unit.pointwise)


def _is_gate(unit: Unit) -> bool:
    """One value a pixel, normalised: the weight that an attention gate gives."""
    named = re.search(r"psi|attention|(^|[._])(gate|att)", unit.path.lower())
    return (is_psi(unit) and unit.norm is not None) or named is not None


def _recognised(units: Units, wiring: Wiring) -> tuple[str, ...]:
    elements = [move.element for move in wiring.moves if move.element is not None]
    kinds = {"up": "transposed convolutions", "grow": "interpolation"}
    ups = {kinds[move.kind] for move in wiring.moves if move.kind in kinds}
    merges = {move.merge for move in wiring.moves if move.merge}
    widths = [elements[0].n_in]
    for move in wiring.moves:
        if move.kind in {"pool", "grow", "up"}:
            continue
        if move.element is not None and move.element.n_out != widths[-1]:
            widths.append(move.element.n_out)
    blocks = sum(element.residual for element in elements)
    normed = sum(unit.norm is not None for unit in units.units)
    up, merge = " and ".join(sorted(ups)), " and ".join(sorted(merges))
    layers = f"{len(units.units)} convolutions, {normed} norms"
    return (
        f"depth {wiring.depth}, channels {', '.join(str(width) for width in widths)}",
        f"{layers}, up-sampling by {up}, skips: {merge}",
        *([f"{blocks} residual blocks"] if blocks else []),
        *([f"{len(units.gates)} attention gates"] if units.gates else []),
    )
