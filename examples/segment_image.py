"""Segment an image and look at the result: labels, probabilities, provenance.

    python examples/segment_image.py [IMAGE] [OUT.tif]

Without an image a simulated one is taken.
"""

import sys

import napari_unet as nu
from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation
from napari_unet.io.images import read_image
from napari_unet.io.write import write_labels

if len(sys.argv) > 1:
    source = read_image(sys.argv[1])
    image, axes, pixel_size = source.data, source.axes, source.pixel_size
else:
    image, _ = simulate(Simulation(shape=(192, 192), n_cells=20))
    axes, pixel_size = "YX", {}

model = nu.load_model("nuclei")
seg = nu.segment(image, model, axes=axes, pixel_size=pixel_size)

print(f"{seg.labels.max()} objects, labels {seg.labels.shape} {seg.labels.dtype}")
print(f"probabilities {seg.probabilities.shape} of {', '.join(seg.channels)}")
for note in seg.notes:
    print(note)
if len(sys.argv) > 2:
    write_labels(sys.argv[2], seg.labels, axes=seg.axes, pixel_size=pixel_size)
