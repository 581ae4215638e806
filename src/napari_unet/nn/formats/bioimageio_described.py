"""What a bioimage.io description says, in plain values, whatever its version."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_unet.processing_settings import ProcessingStep

MICROMETRES = {
    "meter": 1e6,
    "centimeter": 1e4,
    "millimeter": 1e3,
    "micrometer": 1.0,
    "nanometer": 1e-3,
    "picometer": 1e-6,
    "angstrom": 1e-4,
    "inch": 25400.0,
}


@dataclass(frozen=True)
class AxisDescribed:
    """One axis of a tensor.

    Parameters
    ----------
    letter
        ``b``, ``c``, ``z``, ``y``, ``x``, ``t`` or ``i``.
    names
        Of the channels, where the description gives them.
    micrometres
        Per pixel, where it is known.
    """

    letter: str
    names: tuple[str, ...] = ()
    micrometres: float | None = None


@dataclass(frozen=True)
class TensorDescribed:
    """An input or an output.

    Parameters
    ----------
    name
        Its id.
    axes
        In order.
    steps
        Before the network, or after it.
    test
        The test tensor's file; None if there is none.
    """

    name: str
    axes: tuple[AxisDescribed, ...]
    steps: tuple[ProcessingStep, ...]
    test: Path | None = None

    @property
    def letters(self) -> str:
        """The axes' letters, in order."""
        return "".join(axis.letter for axis in self.axes)

    @property
    def spatial(self) -> tuple[AxisDescribed, ...]:
        """The spatial axes, Z first."""
        found = {axis.letter: axis for axis in self.axes}
        return tuple(found[letter] for letter in "zyx" if letter in found)


@dataclass(frozen=True)
class WeightsDescribed:
    """One kind of weights.

    Parameters
    ----------
    kind
        ``"pytorch_state_dict"``, ``"torchscript"`` or ``"onnx"``.
    path
        The file, whose hash has been compared.
    source
        Python file with the architecture; None if there is none.
    factory
        What in it makes the network.
    arguments
        Of the factory.
    """

    kind: str
    path: Path
    source: Path | None = None
    factory: str = ""
    arguments: Any = None


@dataclass(frozen=True)
class Tolerance:
    """How far off an output may be: |a - b| <= absolute + relative |b|, b described.

    Parameters
    ----------
    relative, absolute
        As above.
    per_million
        Elements of a million that may be farther off.
    """

    relative: float = 1e-3
    absolute: float = 1e-3
    per_million: float = 100.0


@dataclass(frozen=True)
class Described:
    """A description.

    Parameters
    ----------
    folder
        Where its files are.
    name, description
        Its own.
    authors, licence, cite
        Credits; `cite` holds DOIs.
    inputs, outputs
        Tensors.
    weights
        Kinds of weights that can be read here, the safest first.
    tolerance
        Of the first output.
    recipe
        Of this package, where it wrote the description; else None.
    """

    folder: Path
    name: str
    description: str
    authors: tuple[str, ...]
    licence: str
    cite: tuple[str, ...]
    inputs: tuple[TensorDescribed, ...]
    outputs: tuple[TensorDescribed, ...]
    weights: tuple[WeightsDescribed, ...]
    tolerance: Tolerance = Tolerance()
    recipe: Any = None
