"""Segment, correct what is false, and write a table of all cells.

python examples/evaluate_in_napari.py objects.csv
"""

import sys

import napari

from napari_unet.plugin.commands import open_evaluate, open_segment

viewer = napari.Viewer()
viewer.open_sample("napari-unet-cells", "touching_nuclei")


def evaluate(_):
    widget = open_evaluate()  # takes the new labels, and the layer called truth
    widget.scored.connect(correct)
    widget.measured.connect(save)
    widget.run()


def correct(findings):
    print(f"AP {findings.scores.ap[0]:.3f} at IoU 0.5, {findings.counts()}")
    labels = viewer.layers["nuclei [cells]"]
    for row in findings.errors():
        if row.kind == "false":  # scores follow; Ctrl+Z takes back one by one
            labels.data_setitem((labels.data == row.id).nonzero(), 0)
    if not findings.counts()["false"]:
        open_evaluate().measure()


def save(_):
    open_evaluate().save(sys.argv[1])
    viewer.close()


open_segment().finished.connect(evaluate)
open_segment().run()
napari.run()
