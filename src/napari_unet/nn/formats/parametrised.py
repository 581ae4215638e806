"""Parametrised weights: weight norm and spectral norm, written out as plain weights.

Both kinds of names are known: those of `torch.nn.utils.parametrizations`, and the older
ones of `torch.nn.utils.weight_norm` and `spectral_norm`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

NEW = "parametrizations.weight."


@dataclass(frozen=True)
class Kind:
    """The last names of a parametrised weight's tensors, the weight itself first."""

    name: str
    parts: tuple[str, ...]


WEIGHT_NORMS = (
    Kind("weight norm", ("weight_v", "weight_g")),
    Kind("weight norm", (f"{NEW}original1", f"{NEW}original0")),
)
SPECTRAL_NORMS = (
    Kind("spectral norm", ("weight_orig", "weight_u", "weight_v")),
    Kind("spectral norm", (f"{NEW}original", f"{NEW}0._u", f"{NEW}0._v")),
)


def plain_weights(
    tensors: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the tensors with plain weights, and what was written out.

    Parameters
    ----------
    tensors
        A state dict, in the order of its file.

    Returns
    -------
    dict
        In the same order; what does not fit is left as it is.
    tuple of str
        One line for each kind.
    """
    found = dict(tensors)
    counts: dict[str, int] = {}
    for kind in (*SPECTRAL_NORMS, *WEIGHT_NORMS):
        for key in [k for k in found if k.endswith(f".{kind.parts[0]}")]:
            path = key.removesuffix(kind.parts[0])
            parts = [found.get(path + part) for part in kind.parts]
            given = [part for part in parts if part is not None]
            if len(given) < len(parts) or f"{path}weight" in found:
                continue
            spectral = kind in SPECTRAL_NORMS
            weight = _unspectral(*given) if spectral else _unnormed(*given)
            if weight is not None:
                found = _replaced(found, path, kind.parts, weight)
                counts[kind.name] = counts.get(kind.name, 0) + 1
    lines = (f"{name} of {n} layers, as plain weights" for name, n in counts.items())
    return found, tuple(lines)


def _replaced(
    tensors: dict[str, Tensor], path: str, parts: tuple[str, ...], weight: Tensor
) -> dict[str, Tensor]:
    """Put the weight where the first of its parts was."""
    names = {path + part for part in parts}
    result: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        if key not in names:
            result[key] = tensor
        elif f"{path}weight" not in result:
            result[f"{path}weight"] = weight
    return result


def _unnormed(direction: Tensor, length: Tensor) -> Tensor | None:
    """Return ``g v / |v|``; the norm is over the axes on which g has one value."""
    v, g = direction.float(), length.float()
    if g.ndim not in {0, v.ndim} or g.numel() > v.numel():
        return None
    if any(n not in {1, m} for n, m in zip(g.shape, v.shape, strict=False)):
        return None
    axes = [axis for axis in range(v.ndim) if g.ndim == 0 or g.shape[axis] == 1]
    return v * (g / v.pow(2).sum(axes, keepdim=True).sqrt())


def _unspectral(weight: Tensor, left: Tensor, right: Tensor) -> Tensor | None:
    """Return the weight divided by its largest singular value.

    Its matrix has the output channels as rows: the first axis, or of a transposed
    convolution the second. Where both fit, the vectors stored with the weight tell:
    the true matrix gives the larger value.
    """
    w, u, v = weight.float(), left.float(), right.float()
    if u.ndim != 1 or v.ndim != 1 or w.ndim < 2:
        return None
    sigmas = []
    for axis in (0, 1):
        matrix = w.movedim(axis, 0).flatten(1)
        if matrix.shape == (len(u), len(v)):
            sigmas.append(torch.dot(u, torch.mv(matrix, v)))
    if not sigmas:
        return None
    return w / max(sigmas, key=lambda sigma: abs(float(sigma)))
