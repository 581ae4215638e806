"""Segment the simulated nuclei in napari, by script: open, run, tune, save.

python examples/segment_in_napari.py labels.tif
"""

import sys

import napari
import tifffile

OUT = sys.argv[1] if len(sys.argv) > 1 else "labels.tif"

viewer = napari.Viewer()
viewer.open_sample("napari-unet-cells", "touching_nuclei")
_, widget = viewer.window.add_plugin_dock_widget("napari-unet-cells", "Segment")


def tune(segmentation):
    print(f"{segmentation.labels.max()} cells with the model's own thresholds")
    looser = widget.value().separation.replace(mask_threshold=0.4)
    widget.set_value(widget.value().replace(separation=looser))


def save():
    labels = widget.outputs.labels
    print(f"{labels.data.max()} cells with a lower threshold")
    tifffile.imwrite(OUT, labels.data)
    print(widget.copy_as_python())
    if "--stay" not in sys.argv:
        viewer.close()


widget.finished.connect(tune)
widget.tuned.connect(save)
widget.failed.connect(print)
widget.run()  # waits for the model by itself

napari.run()
