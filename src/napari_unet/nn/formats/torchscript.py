"""TorchScript: a network with its own code, run only with the user's word."""

from __future__ import annotations

import warnings
from typing import Any, Self

import torch
from torch import Tensor

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.files import RegularFile
from napari_unet.nn.formats.opaque import OpaqueNetwork, find_form, first_tensor
from napari_unet.nn.weight_files import COPY_AGAIN, DAMAGED, first_line


class ScriptNetwork(OpaqueNetwork):
    """A TorchScript module behind the interface of any other network.

    Parameters
    ----------
    script
        In eval mode, on the CPU.
    """

    def __init__(self, script: Any) -> None:
        super().__init__()
        self.script = script
        kernels = [p for p in script.state_dict().values() if p.ndim in (4, 5)]
        self.width = max((k.shape[0] for k in kernels[:2]), default=64)
        self.form = find_form(
            self.forward,
            ndims=sorted({k.ndim - 2 for k in kernels}) or (2, 3),
            channels=(*(k.shape[1] for k in kernels[:1]), 1, 3, 2, 4),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Run the script on (N, C, ...); of several outputs the first counts."""
        return first_tensor(self.script(x))

    @classmethod
    def load(cls, file: RegularFile) -> Self:
        """Load and compile the code in `file`, which the user trusts.

        Raises
        ------
        CheckpointError
            If torch cannot load it, or it is no network from image to image.
        """
        try:
            with file.open() as raw, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # deprecated, and without successor
                script = torch.jit.load(raw, map_location="cpu")  # type: ignore[no-untyped-call]
        except DAMAGED as error:
            raise CheckpointError(
                f"{file.name} is damaged or no TorchScript ({first_line(error)}).",
                COPY_AGAIN,
            ) from None
        for parameter in script.parameters():
            parameter.requires_grad_(False)
        return cls(script.eval()).eval()
