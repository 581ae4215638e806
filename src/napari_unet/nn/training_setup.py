"""Setting up training: samples, patches, validation images, network and optimiser."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch

from napari_unet.core.split_parts import Split
from napari_unet.io.training_image import TrainingImage
from napari_unet.nn.batches import Patches, collate
from napari_unet.nn.losses import Batch
from napari_unet.nn.optimisation import make_optimizer
from napari_unet.nn.samples import (
    class_weights,
    normalise,
    prepare_samples,
    relative_spacing,
    take_parts,
)
from napari_unet.nn.training_plan import Start
from napari_unet.nn.training_state import TrainingState
from napari_unet.nn.validation import Validator
from napari_unet.training_settings import Augmentation

# Batches without augmentation on which the validation loss is measured.
VALIDATION_BATCHES = 2


def make_state(start: Start, device: torch.device, precision: str) -> TrainingState:
    """Return the network on `device`, a copy to average in, and the optimiser."""
    ndim = start.model.recipe.architecture.ndim
    layout = torch.channels_last if ndim == 2 else torch.channels_last_3d
    network = copy.deepcopy(start.model.network).to(device)
    network = network.to(memory_format=layout).train()  # type: ignore[call-overload]
    return TrainingState(
        network=network,
        average=copy.deepcopy(network).requires_grad_(False).eval(),
        optimizer=make_optimizer(network, start.training),
        scaler=torch.amp.GradScaler(device.type, enabled=precision == "float16"),
    )


def make_samples(
    images: Sequence[TrainingImage], start: Start, split: Split, device: torch.device
) -> tuple[Patches, Validator]:
    """Prepare all images once; return where patches and where scores come from."""
    objective, training = start.objective, start.training
    ready = normalise(images, training.normalization)
    trained = take_parts(ready, split.train, objective)
    kept = take_parts(ready, split.validation, objective)
    by_class = class_weights(trained, objective)
    patches = Patches.build(
        prepare_samples(trained, objective, by_class),
        [relative_spacing(image) for image in trained],
        start.patch,
        augmentation=training.augmentation,
        foreground=training.foreground,
        random_seed=training.random_seed,
    )
    for index in range(training.batch):
        patches(index)  # compiles what is not yet: no budget of time pays for that
    samples = prepare_samples(kept, objective, by_class)
    plain = Patches.build(
        samples,
        [relative_spacing(image) for image in kept],
        start.patch,
        augmentation=Augmentation.none(),
        foreground=training.foreground,
        random_seed=training.random_seed,
    )
    validator = Validator(
        model=start.model,
        objective=objective,
        names=[image.name for image in kept],
        samples=samples,
        patches=_fixed_batches(plain, training.batch, device),
        device=device,
    )
    return patches, validator


def _fixed_batches(patches: Patches, size: int, device: torch.device) -> list[Batch]:
    numbers = [range(b * size, (b + 1) * size) for b in range(VALIDATION_BATCHES)]
    return [collate([patches(i) for i in batch], device) for batch in numbers]
