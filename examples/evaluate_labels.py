"""Score labels against the truth, and list what went wrong with which object."""

import napari_unet as nu
from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation

scenes = [simulate(Simulation(shape=(192, 192), random_seed=s)) for s in range(3)]
model = nu.load_model("nuclei")
labels = [nu.segment(image, model, axes="YX").labels for image, _ in scenes]
scores = nu.evaluate(labels, [truth for _, truth in scenes])

for threshold, ap in zip(scores.thresholds, scores.ap, strict=True):
    print(f"AP at IoU {threshold}: {ap:.3f}")
print(f"SEG {scores.seg:.3f}, foreground Dice {scores.dice:.3f}")
for row in scores.objects:
    if row.kind != "matched":
        print(f"image {row.image}, {row.side} {row.id}: {row.kind}")
