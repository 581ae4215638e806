"""Train on cells that are painted in a part of an image, and segment all of it.

python examples/train_in_napari.py mine.safetensors
"""

import sys

import napari

from napari_unet.plugin.commands import open_segment, open_train

OUT = sys.argv[1] if len(sys.argv) > 1 else "mine.safetensors"
STEPS = int(sys.argv[2]) if len(sys.argv) > 2 else 0  # 0: by time

viewer = napari.Viewer()
_, painted = viewer.open_sample("napari-unet-cells", "touching_nuclei")
painted.data[256:] = -1  # not annotated: counts nowhere

segment, train = open_segment(), open_train()
small = train.value().network.replace(depth=3, base_channels=8)
choice = train.value().replace(minutes=1.0, steps=STEPS, network=small, out=OUT)


def use(report):
    print(f"{report.steps} steps: {report.recipe.scores['validation']}")
    segment.run()  # the new model is chosen already


def count(segmentation):
    print(f"{segmentation.labels.max()} cells with {segment.value().model}")
    viewer.close()


train.finished.connect(use)
train.failed.connect(print)
segment.finished.connect(count)
train.set_value(choice)
train.run()
napari.run()
