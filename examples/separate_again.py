"""Try other thresholds without running the network again.

The probabilities are kept; separating them takes milliseconds. The same works for the
probabilities of any other network: `nu.separate(probabilities, ..., channels=...)`.
"""

import napari_unet as nu
from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation

image, truth = simulate(Simulation(shape=(192, 192), n_cells=20, crowding=0.8))
seg = nu.segment(image, "nuclei", axes="YX")

for seed_threshold in (0.3, 0.5, 0.7, 0.9):
    labels = seg.separate(nu.Separation(seed_threshold=seed_threshold))
    print(f"seed_threshold {seed_threshold}: {labels.max()} objects")

# The same, from the bare probabilities.
again = nu.separate(seg.probabilities, seg.separation, channels=seg.channels)
print(f"equal to the labels of segment: {(again == seg.labels).all()}")
