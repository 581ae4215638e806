"""Evidence: batch norm remembers what it saw; candidates are run and compared with it.

Each norm is made to normalise by the batch, so that every layer sees what it saw in
training even if the image is none of its kind, and errors do not add up.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_unet.errors import UNetError
from napari_unet.graph_settings import Graph
from napari_unet.nn.building import empty_network
from napari_unet.nn.monotone import FIXED_NORMS

HOPELESS = 10.0
WORST = 3.0
SIDE = {2: 64, 3: 24}
N_IMAGES = 3


class Witness:
    """The running statistics of a file, asked about candidate graphs.

    Parameters
    ----------
    tensors
        The state dict.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = {
            key: value.float() if value.is_floating_point() else value
            for key, value in tensors.items()
        }
        spreads = [v for k, v in tensors.items() if k.endswith("running_var")]
        # As they begin, they remember nothing.
        self.silent = all(bool((spread == 1).all()) for spread in spreads)
        self.known: dict[str, float] = {}

    def loss(self, graph: Graph) -> float:
        """Return how far the batch's statistics are from the running ones, 0..`WORST`.

        The mean over layers and channels of the distance of the means in standard
        deviations, and of the logarithm of the ratio of the variances.
        """
        if self.silent:
            return 0.0
        key = graph.model_dump_json()
        if key not in self.known:
            self.known[key] = self._measure(graph)
        return self.known[key]

    def _measure(self, graph: Graph) -> float:
        network = empty_network(graph)
        wanted = network.state_dict()
        state = {k: self.tensors.get(k, torch.zeros(())) for k in wanted}
        network.load_state_dict(state, strict=True, assign=True)
        losses: list[Tensor] = []
        for module in network.modules():
            if isinstance(module, FIXED_NORMS) and module.track_running_stats:
                module.register_forward_hook(_Listener(losses))
        network.eval().requires_grad_(False)
        try:
            with torch.inference_mode():
                network(plausible_images(network, graph))
        except (UNetError, RuntimeError):
            return HOPELESS
        return float(torch.stack(losses).mean()) if losses else 0.0


class _Listener:
    """Compares a norm's input with its memory, and normalises by the batch."""

    def __init__(self, losses: list[Tensor]) -> None:
        self.losses = losses

    def __call__(
        self, norm: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
    ) -> Tensor:
        del output
        x = inputs[0]
        axes = [0, *range(2, x.ndim)]
        found, spread = x.mean(axes), x.var(axes, unbiased=False)
        mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        off = ((found - mean) / (variance + 1e-5).sqrt()).abs().clamp(max=WORST)
        ratio = ((spread + 1e-5) / (variance + 1e-5)).log().abs().clamp(max=WORST)
        self.losses.append((off + 0.25 * ratio).mean())
        return functional.batch_norm(
            x,
            None,
            None,
            norm.weight,  # type: ignore[arg-type]
            norm.bias,  # type: ignore[arg-type]
            training=True,
        )


def plausible_images(network: nn.Module, graph: Graph) -> Tensor:
    """Return a few images (N, C, ...) of blobs at several scales on noise, in 0..1."""
    generator = torch.Generator().manual_seed(0)
    size = SIDE[graph.ndim]
    nearest = getattr(network, "nearest_size")  # noqa: B009
    shape = tuple(int(nearest(size, axis)) for axis in range(graph.ndim))
    total = torch.zeros((N_IMAGES, graph.in_channels, *shape))
    for scale in (1, 2, 4, 8, 16):
        coarse = [max(2, n // scale) for n in shape]
        noise = torch.rand((N_IMAGES, graph.in_channels, *coarse), generator=generator)
        mode = "bilinear" if graph.ndim == 2 else "trilinear"
        total += scale * functional.interpolate(noise, shape, mode=mode)
    least, most = total.amin(), total.amax()
    return (total - least) / (most - least)
