"""U-Nets on a ResNet, as segmentation-models-pytorch calls their tensors.

The encoder is torchvision's ResNet (basic blocks, bottlenecks, grouped ones) without
its classifier; the decoders are those of `Unet`, `UnetPlusPlus` and `Linknet`.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from napari_unet.graph_settings import Graph
from napari_unet.nn.formats.sketch import Sketch

HALF = (2, 2)
# The image-level output reads the encoder alone; the mask does without.
UNUSED = ("encoder.layer", "encoder.fc.", "classification_head.")
STAGES = ("layer1", "layer2", "layer3", "layer4")


def unet(tensors: Mapping[str, Tensor], answers: Mapping[str, str]) -> Graph:
    """Return the graph of `Unet`: enlarged, joined to the skip, convolved."""
    sketch, mode = _started(tensors), answers["upsampling"]
    n_blocks = _count(sketch, "decoder.blocks.{}.conv1.0")
    x, *skips = _encoded(sketch, n_blocks)[::-1]
    for number in range(n_blocks):
        x = _grown(sketch, str(number), mode, x, *skips[number : number + 1])
    return _finished(sketch, x)


def unet_plus_plus(tensors: Mapping[str, Tensor], answers: Mapping[str, str]) -> Graph:
    """Return the graph of `UnetPlusPlus`: the block (i, j) reads (i, j-1) and a row."""
    sketch, mode = _started(tensors), answers["upsampling"]
    last = _count(sketch, "decoder.blocks.x_0_{}.conv1.0") - 1
    features = _encoded(sketch, last + 1)[::-1]
    done: dict[tuple[int, int], int] = {}
    for distance in range(last):
        for i in range(last - distance):
            j = i + distance
            source = features[i] if distance == 0 else done[i, j - 1]
            row = [done[k, j] for k in range(i + 1, j + 1)]
            skips = *row, features[j + 1]
            done[i, j] = _grown(sketch, f"x_{i}_{j}", mode, source, *skips)
    return _finished(sketch, _grown(sketch, f"x_0_{last}", mode, done[0, last - 1]))


def linknet(tensors: Mapping[str, Tensor], answers: Mapping[str, str]) -> Graph:
    """Return the graph of `Linknet`: narrowed, enlarged, widened, added to the skip."""
    del answers
    sketch = _started(tensors)
    n_blocks = _count(sketch, "decoder.blocks.{}.block.0.0")
    x, *skips = _encoded(sketch, n_blocks)[::-1]
    for number in range(n_blocks):
        path = f"decoder.blocks.{number}.block"
        x = _unit(sketch, x, f"{path}.0.0", f"{path}.0.1")
        x = sketch.norm(sketch.transposed(x, f"{path}.1.0", HALF), f"{path}.1.1")
        x = sketch.activation(x, "relu")
        x = _unit(sketch, x, f"{path}.2.0", f"{path}.2.1")
        if number < len(skips):
            x = sketch.add(x, skips[number])
    return _finished(sketch, x)


def _started(tensors: Mapping[str, Tensor]) -> Sketch:
    """Return an empty sketch; refuse by name what is not rebuilt."""
    if any(".attention" in key for key in tensors):
        raise ValueError("its decoder has squeeze-and-excitation")
    if any(key.startswith("decoder.center.") for key in tensors):
        raise ValueError("its decoder has a center, as MAnet's or a VGG's has")
    return Sketch(tensors, 2)


def _encoded(sketch: Sketch, depth: int) -> list[int]:
    """Add the encoder; return its values at 1/2, 1/4 ... of the image's size."""
    if not sketch.has("encoder.conv1") or not sketch.has("encoder.layer1.0.conv1"):
        raise ValueError("its encoder is no ResNet of torchvision")
    x = _unit(sketch, 0, "encoder.conv1", "encoder.bn1", stride=HALF)
    found = [x]
    for number, name in enumerate(STAGES[: depth - 1]):
        if number == 0:
            x = sketch.max_pool(x, (3, 3), HALF, (1, 1))
        for block in range(_count(sketch, f"encoder.{name}.{{}}.conv1")):
            stride = HALF if block == 0 and number > 0 else (1, 1)
            x = _block(sketch, x, f"encoder.{name}.{block}", stride)
        found.append(x)
    return found


def _block(sketch: Sketch, value: int, path: str, stride: tuple[int, ...]) -> int:
    """Add a residual block; of a bottleneck, the middle convolution has the stride."""
    deep = sketch.has(f"{path}.conv3")
    first = () if deep else stride
    x = _unit(sketch, value, f"{path}.conv1", f"{path}.bn1", stride=first)
    last = 3 if deep else 2
    if deep:
        wide, narrow = (sketch.tensors[f"{path}.conv{n}.weight"] for n in (1, 2))
        groups = wide.shape[0] // narrow.shape[1]
        x = sketch.convolution(x, f"{path}.conv2", stride, groups)
        x = sketch.activation(sketch.norm(x, f"{path}.bn2"), "relu")
    x = sketch.norm(sketch.convolution(x, f"{path}.conv{last}"), f"{path}.bn{last}")
    if sketch.has(f"{path}.downsample.0"):
        value = sketch.convolution(value, f"{path}.downsample.0", stride)
        value = sketch.norm(value, f"{path}.downsample.1")
    return sketch.activation(sketch.add(x, value), "relu")


def _unit(
    sketch: Sketch, value: int, path: str, norm: str, stride: tuple[int, ...] = ()
) -> int:
    value = sketch.norm(sketch.convolution(value, path, stride), norm)
    return sketch.activation(value, "relu")


def _grown(sketch: Sketch, block: str, mode: str, value: int, *skips: int) -> int:
    """Add a block of `Unet` and its kin: enlarge, join, convolve twice."""
    path = f"decoder.blocks.{block}"
    value = sketch.resize(value, HALF, mode)
    if skips:
        value = sketch.concatenate(value, *skips)
    for name in ("conv1", "conv2"):
        value = _unit(sketch, value, f"{path}.{name}.0", f"{path}.{name}.1")
    return value


def _finished(sketch: Sketch, value: int) -> Graph:
    """Add the output; refuse if something is left that this network does not have."""
    sketch.convolution(value, "segmentation_head.0")
    # An encoder that is used in part is stored whole.
    sketch.refuse_unused(allowed=UNUSED)
    n_in = sketch.tensors["encoder.conv1.weight"].shape[1]
    return sketch.graph(n_in, "segmentation-models-pytorch")


def _count(sketch: Sketch, pattern: str) -> int:
    number = 0
    while sketch.has(pattern.format(number)):
        number += 1
    return number
