"""Time per augmented patch against time per step: training must not wait for patches.

A step learns from 4 patches of 256 x 256 with the default network on
this device; patches are made by threads meanwhile. The mean over many patches of the
default preset counts, since most patches are varied in a few ways only; a patch varied
in all ways is timed as well. Linear interpolation of the image stands beside cubic, to
show what cubic costs.

Run on idle cores: ``python benchmarks/bench_augment.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from napari_unet.core.augment import Sample, apply_patch, plan_patch
from napari_unet.core.border_weights import border_weights
from napari_unet.core.patches import PatchSampler, draw_patch
from napari_unet.core.simulate import simulate
from napari_unet.core.simulate_settings import Simulation
from napari_unet.core.targets import carve_gap, distance_target, three_class
from napari_unet.core.warp import resample
from napari_unet.io.training_data import from_arrays
from napari_unet.nn.batches import collate
from napari_unet.nn.device import choose_device
from napari_unet.nn.optimisation import choose_precision
from napari_unet.nn.preparation import prepare
from napari_unet.nn.step import take_step
from napari_unet.nn.training_setup import make_samples, make_state
from napari_unet.training_settings import Augmentation, Training

FLAT = ((512, 512), (256, 256))
DEEP = ((64, 256, 256), (32, 96, 96))
BATCH = 4
MOST_SHARE = 0.05
"""Part of a step that making its patches may take, on one thread."""


def make_sample(shape: tuple[int, ...]) -> Sample:
    """A simulated image with the heaviest targets: three classes and distance."""
    image, labels = simulate(Simulation(shape=shape))
    low, high = np.percentile(image, (1, 99.8))
    return Sample(
        ((image - low) / (high - low)).astype(np.float32)[None],
        three_class(labels),
        border_weights(carve_gap(labels)),
        distance=distance_target(labels),
    )


def always() -> Augmentation:
    """The default ranges, every patch varied in all ways."""
    names = [n for n in Augmentation.model_fields if n.endswith("_probability")]
    return Augmentation().replace(**dict.fromkeys(names, 1.0))


def mean_ms(job: Callable[[int], object], n: int) -> float:
    """Milliseconds per call, after one that compiles."""
    job(0)
    start = time.perf_counter()
    for index in range(n):
        job(index)
    return (time.perf_counter() - start) / n * 1e3


def time_shape(shapes: tuple[tuple[int, ...], tuple[int, ...]], n: int) -> list[float]:
    """Milliseconds: default patch, patch with all, image alone cubic and linear."""
    sample = make_sample(shapes[0])
    sampler = PatchSampler.build([sample], shapes[1])

    def draw(augmentation: Augmentation) -> Callable[[int], object]:
        return lambda index: draw_patch(
            [sample], sampler, index=index, augmentation=augmentation
        )

    plan = plan_patch(
        sampler.rng(0),
        sample.image.shape,
        shapes[1],
        centre=sampler.place(0).centre,
        augmentation=always(),
    )
    apply_patch(plan, sample)
    return [
        mean_ms(draw(Augmentation()), n),
        mean_ms(draw(always()), max(1, n // 4)),
        mean_ms(lambda _: resample(sample.image, plan.warp, "cubic"), max(1, n // 4)),
        mean_ms(lambda _: resample(sample.image, plan.warp, "linear"), max(1, n // 4)),
    ]


def measure() -> dict[str, float]:
    """Milliseconds per patch in 2-D (256 x 256) and 3-D (32 x 96 x 96)."""
    found = {}
    for name, shapes, n in (("2d", FLAT, 200), ("3d", DEEP, 40)):
        kinds = ("default", "all", "image_cubic", "image_linear")
        for kind, ms in zip(kinds, time_shape(shapes, n), strict=True):
            found[f"{name}_{kind}_ms"] = ms
    return found


def measure_step(n: int = 5) -> dict[str, float]:
    """Milliseconds of a step and of its patches, and the second as part of the first."""
    device = choose_device()
    images = [simulate(Simulation(shape=FLAT[0], random_seed=i)) for i in range(2)]
    training = Training(steps=1, patch=FLAT[1], batch=BATCH)
    prepared = prepare(from_arrays(images), training)
    precision = choose_precision("auto", device)
    state = make_state(prepared.start, device, precision)
    patches, _ = make_samples(prepared.images, prepared.start, prepared.split, device)
    batch = collate([patches(i) for i in range(BATCH)], device)

    def step(_: int) -> None:
        take_step(
            state,
            batch,
            prepared.start.objective,
            training,
            precision=precision,
            rate=1e-3,
        )

    step_ms, patch_ms = mean_ms(step, n), mean_ms(patches, 100)
    return {
        "step_ms": step_ms,
        "patch_ms": patch_ms,
        "share": BATCH * patch_ms / step_ms,
    }


def main() -> None:
    """Print the times."""
    step = measure_step()
    print(f"a step of {BATCH} patches:           {step['step_ms']:6.0f} ms")
    print(f"a patch of it, one thread:      {step['patch_ms']:6.2f} ms")
    print(f"{BATCH} patches, part of the step:   {step['share']:6.1%}")
    print(f"                                {MOST_SHARE:6.1%} to stay below")
    found = measure()
    print(f"default preset, 256 x 256:      {found['2d_default_ms']:6.2f} ms a patch")
    print(f"varied in all ways, 256 x 256:  {found['2d_all_ms']:6.2f} ms")
    print(f"default preset, 32 x 96 x 96:   {found['3d_default_ms']:6.2f} ms")
    print(f"varied in all ways:             {found['3d_all_ms']:6.2f} ms")
    for name in ("2d", "3d"):
        print(
            f"image alone, {name}:        cubic {found[f'{name}_image_cubic_ms']:6.2f}"
            f" ms, linear {found[f'{name}_image_linear_ms']:6.2f} ms"
        )


if __name__ == "__main__":
    main()
