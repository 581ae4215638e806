"""Which sizes a graph takes along one axis, and what comes out; plain arithmetic."""

from __future__ import annotations

from napari_unet.graph_settings import (
    AnyStep,
    Convolution,
    Graph,
    Merge,
    Norm,
    Pad,
    Pool,
    Resize,
)


def propagate(graph: Graph, size: int, axis: int) -> int | None:
    """Return the output size along `axis`, or None if the network refuses `size`.

    A size is refused if a stride would drop pixels, if values of two sizes meet, or
    if nothing is left: what a tile would be without that is not the whole image's.
    """
    sizes = [size]
    for step in graph.steps:
        found = _size_out(step, [sizes[value] for value in step.inputs], axis)
        if found is None or found < 1:
            return None
        sizes.append(found)
    return sizes[-1]


def _size_out(step: AnyStep, given: list[int], axis: int) -> int | None:
    size: int | None = given[0]
    if isinstance(step, Convolution):
        size = _convolved(step, given[0], axis)
    elif isinstance(step, Pool):
        size = _pooled(step, given[0], axis)
    elif isinstance(step, Pad):
        size = given[0] + step.before[axis] + step.after[axis]
    elif isinstance(step, Resize):
        resized = given[0] * step.factor[axis]
        size = round(resized) if abs(resized - round(resized)) < 1e-9 else None
    elif isinstance(step, Norm) and step.kind != "group" and not step.tracked:
        size = given[0] if given[0] >= 2 else None  # one pixel has no statistics
    elif isinstance(step, Merge):
        size = _merged(step, given)
    return size


def _convolved(step: Convolution, size: int, axis: int) -> int | None:
    stride, padding = step.stride[axis], step.padding[axis]
    reach = step.dilation * (step.kernel[axis] - 1)
    if step.transposed:
        extra = step.output_padding[axis] if step.output_padding else 0
        return (size - 1) * stride - 2 * padding + reach + extra + 1
    if step.padding_mode == "reflect" and padding >= size:
        return None
    if size % stride:
        return None
    return (size + 2 * padding - reach - 1) // stride + 1


def _pooled(step: Pool, size: int, axis: int) -> int | None:
    kernel = step.kernel[axis]
    stride = step.stride[axis] if step.stride else kernel
    padding = step.padding[axis] if step.padding else 0
    if size % stride:
        return None
    return (size + 2 * padding - kernel) // stride + 1


def _merged(step: Merge, given: list[int]) -> int | None:
    if step.kind == "crop":
        return given[1] if given[0] >= given[1] else None
    return given[0] if len(set(given)) == 1 else None
