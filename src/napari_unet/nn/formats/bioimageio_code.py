"""The network that a package's own Python file makes: run only with the user's word."""

from __future__ import annotations

import importlib.util
from typing import Any

from torch import Tensor, nn

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.bioimageio_described import WeightsDescribed
from napari_unet.nn.formats.contents import Contents
from napari_unet.nn.formats.files import shown_name
from napari_unet.nn.formats.opaque import OpaqueNetwork, find_form, first_tensor
from napari_unet.nn.weight_files import first_line


class SourceNetwork(OpaqueNetwork):
    """A network made by foreign code, behind the interface of any other.

    Parameters
    ----------
    network
        With its weights, in eval mode, on the CPU.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        kernels = [p for p in network.state_dict().values() if p.ndim in (4, 5)]
        self.form = find_form(
            self.forward,
            ndims=sorted({k.ndim - 2 for k in kernels}) or (2, 3),
            channels=(*(k.shape[1] for k in kernels[:1]), 1, 3, 2, 4),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Run on (N, C, ...); of several outputs the first counts."""
        return first_tensor(self.network(x)).detach()


def source_network(weights: WeightsDescribed, contents: Contents) -> SourceNetwork:
    """Run the architecture file, which the user trusts, and load the weights strictly.

    Raises
    ------
    CheckpointError
        If the code fails, or makes no network that the weights fit.
    """
    assert weights.source is not None  # noqa: S101  (asked only where there is one)
    name = shown_name(weights.source)
    try:
        spec = importlib.util.spec_from_file_location("packaged", weights.source)
        assert spec is not None  # noqa: S101  (a path that ends in .py)
        assert spec.loader is not None  # noqa: S101
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        network: Any = getattr(module, weights.factory)(**weights.arguments)
        network.load_state_dict(contents.tensors, strict=True)
    except Exception as error:  # noqa: BLE001  (foreign code may raise anything)
        raise CheckpointError(
            f"The code in {name} fails ({first_line(error)}).",
            "Install what it needs, or ask its authors.",
        ) from None
    return SourceNetwork(network.eval().requires_grad_(False)).eval()
