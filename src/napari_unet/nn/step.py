"""One step of training: forward, loss, backward, optimiser, average."""

from __future__ import annotations

import math

import torch
from torch import nn

from napari_unet.nn.losses import Batch, Objective
from napari_unet.nn.optimisation import autocast, update_average
from napari_unet.nn.training_state import TrainingState
from napari_unet.training_settings import Training


def take_step(
    state: TrainingState,
    batch: Batch,
    objective: Objective,
    training: Training,
    *,
    precision: str,
    rate: float,
) -> dict[str, float] | None:
    """Learn from one batch.

    Parameters
    ----------
    state
        Its networks and optimiser change; its progress does not.
    batch
        Patches on the device of the network.
    objective
        The loss.
    training
        Settings of gradient and average.
    precision
        Arithmetic of the network; the loss is computed in float32.
    rate
        Learning rate.

    Returns
    -------
    dict or None
        Terms of the loss by name, and ``"total"``. None if loss or gradient is no
        number: nothing has changed then.
    """
    network, optimizer, scaler = state.network, state.optimizer, state.scaler
    with autocast(batch.image.device, precision):
        logits = network(batch.image)
    losses = objective(logits, batch)
    optimizer.zero_grad(set_to_none=True)
    scaler.scale(losses["total"]).backward()  # type: ignore[no-untyped-call]
    scaler.unscale_(optimizer)
    norm = nn.utils.clip_grad_norm_(network.parameters(), training.clip_gradient)
    # Read together, since each reading waits for the device.
    *values, size = torch.stack([*losses.values(), norm]).tolist()
    # A scaler leaves out a step whose gradient is too large for float16.
    checked = values if scaler.is_enabled() else [*values, size]
    if not all(map(math.isfinite, checked)):
        return None
    for group in optimizer.param_groups:
        group["lr"] = rate
    scaler.step(optimizer)
    scaler.update()
    step = state.progress.step + 1
    update_average(state.average, network, decay=training.ema, step=step)
    return dict(zip(losses, values, strict=True))
