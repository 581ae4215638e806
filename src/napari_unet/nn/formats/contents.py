"""What is in a checkpoint: listed at once, read when asked for, never executed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from napari_unet.nn.formats.files import RegularFile

# Any, because a model is built on what is defined here.
Make = Callable[[Mapping[str, str]], Any]
Settle = Callable[[Make, Mapping[str, str]], Any]


@dataclass(frozen=True)
class TensorInfo:
    """A tensor of the network, as listed in the file.

    Parameters
    ----------
    name
        As the network calls it.
    shape
        Sizes.
    dtype
        Such as ``"float32"``.
    n_bytes
        Of its values.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    n_bytes: int


@dataclass(frozen=True)
class Code:
    """Code in a checkpoint, or a name of code that a pickle would import.

    Parameters
    ----------
    kind
        ``"pickled name"``, ``"pickled source"``, ``"TorchScript"``, ``"Python"``.
    name
        Dotted name, or the name of the file in the checkpoint.
    n_bytes
        Length of the source.
    text
        The source, cut off if it is very long; empty for a mere name.
    """

    kind: str
    name: str
    n_bytes: int = 0
    text: str = ""


@dataclass(frozen=True, eq=False)
class Contents:
    """A checkpoint, opened.

    Parameters
    ----------
    file
        Where the weights are.
    format
        Such as ``"safetensors"`` or ``"PyTorch"``.
    listed
        The network's tensors, in the file's order.
    read
        Reads them all.
    hints
        What lies beside them, as plain data: ``"metadata"`` (of the file itself),
        ``"modules"`` (names of all modules of the network, in order), ``"layers"``
        (their classes and attributes), ``"ordered"`` (False if the order of the
        tensors says nothing), ``"plans"`` and ``"dataset"`` of nnU-Net,
        ``"hyper_parameters"`` and whatever else the trainer stored.
    recipe
        JSON of this package's recipe; None in a foreign file.
    code
        What could be executed. None of it was.
    notes
        What was chosen or left out on the way, one sentence each.
    network
        Makes the network that the file itself describes (ONNX, and TorchScript if it
        is trusted); None for files of weights.
    needs_trust
        What would have to be executed to run the network as it is; empty: nothing.
    settle
        Settles what the weights leave open by what lies beside them: takes a function
        from choices to the model that they give, and the user's choices; None: nothing.
    """

    file: RegularFile
    format: str
    listed: tuple[TensorInfo, ...]
    read: Callable[[], dict[str, Tensor]]
    hints: Mapping[str, Any] = field(default_factory=dict)
    recipe: str | None = None
    code: tuple[Code, ...] = ()
    notes: tuple[str, ...] = ()
    network: Callable[[], nn.Module] | None = None
    needs_trust: str = ""
    settle: Settle | None = None

    @property
    def path(self) -> Path:
        """Of the file of the weights."""
        return self.file.path

    @property
    def n_bytes(self) -> int:
        """Size of that file."""
        return self.file.size

    @functools.cached_property
    def sha256(self) -> str:
        """Digest of that file."""
        return self.file.sha256()

    @functools.cached_property
    def tensors(self) -> dict[str, Tensor]:
        """The network's tensors, read on first use."""
        return self.read()
