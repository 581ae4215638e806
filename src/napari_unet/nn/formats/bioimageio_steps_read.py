"""Steps of a description, versions 0.4 and 0.5, as the steps of this package.

A step is refused by name where it cannot be done on tiles with numbers of the whole
image: rows normalised each by itself, a softmax along a row, code of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from napari_unet.errors import CheckpointError
from napari_unet.processing_settings import (
    Binarize,
    Clip,
    EnsureDtype,
    FixedZeroMeanUnitVariance,
    ProcessingStep,
    ScaleLinear,
    ScaleMeanVariance,
    ScaleRange,
    Sigmoid,
    Softmax,
    ZeroMeanUnitVariance,
)

LETTERS = {
    "batch": "b",
    "channel": "c",
    "time": "t",
    "index": "i",
}
SPATIAL = frozenset("zyx")

Kwargs = Mapping[str, Any]


class StepReader:
    """Reads the steps of one tensor.

    Parameters
    ----------
    letters
        Of the tensor's axes.
    unprocessed
        Whether a named reference tensor is the unprocessed image.
    """

    def __init__(self, letters: str, *, unprocessed: bool) -> None:
        self.letters, self.unprocessed = letters, unprocessed
        self.readers: dict[str, Callable[[Kwargs], ProcessingStep]] = {
            "binarize": self._binarize,
            "clip": self._clip,
            "ensure_dtype": lambda k: EnsureDtype(dtype=k["dtype"]),
            "fixed_zero_mean_unit_variance": self._fixed,
            "scale_linear": self._linear,
            "scale_mean_variance": self._matched,
            "scale_range": self._range,
            "sigmoid": lambda _: Sigmoid(),
            "softmax": self._softmax,
            "zero_mean_unit_variance": self._zero_mean,
        }

    def read(self, name: str, kwargs: Kwargs) -> ProcessingStep:
        """Return the step called `name`.

        Raises
        ------
        CheckpointError
            If it is not one that this package can do.
        """
        if name not in self.readers:
            raise CheckpointError(
                f"The description asks for the step {name}, which is not known here.",
                "Run the model with the software that it was made for.",
            )
        return self.readers[name](kwargs)

    def _binarize(self, kwargs: Kwargs) -> ProcessingStep:
        return Binarize(threshold=self._per_channel(kwargs, "threshold"))

    def _clip(self, kwargs: Kwargs) -> ProcessingStep:
        ends = ("min", "max", "min_percentile", "max_percentile")
        given = {end: kwargs.get(end) for end in ends}
        measured = any(given[end] is not None for end in ends[2:])
        return Clip.parse({**given, **(self._together(kwargs) if measured else {})})

    def _fixed(self, kwargs: Kwargs) -> ProcessingStep:
        return FixedZeroMeanUnitVariance(
            mean=self._per_channel(kwargs, "mean"), std=self._per_channel(kwargs, "std")
        )

    def _linear(self, kwargs: Kwargs) -> ProcessingStep:
        return ScaleLinear(
            gain=self._per_channel(kwargs, "gain"),
            offset=self._per_channel(kwargs, "offset"),
        )

    def _matched(self, kwargs: Kwargs) -> ProcessingStep:
        values = {"eps": kwargs["eps"], **self._together(kwargs)}
        return ScaleMeanVariance.parse(values)

    def _range(self, kwargs: Kwargs) -> ProcessingStep:
        names = ("min_percentile", "max_percentile", "eps")
        values = {name: kwargs[name] for name in names}
        named = kwargs.get("reference_tensor") is not None
        values["unprocessed"] = named and self.unprocessed
        return ScaleRange.parse({**values, **self._together(kwargs)})

    def _softmax(self, kwargs: Kwargs) -> ProcessingStep:
        self._check_channel(kwargs.get("axis", "channel"), "softmax")
        return Softmax()

    def _zero_mean(self, kwargs: Kwargs) -> ProcessingStep:
        if kwargs.get("mode") == "fixed":
            return self._fixed(kwargs)
        values = {"eps": kwargs["eps"], **self._together(kwargs)}
        return ZeroMeanUnitVariance.parse(values)

    def _together(self, kwargs: Kwargs) -> dict[str, bool]:
        """Return what is measured together, from the axes that are reduced."""
        axes, mode = kwargs.get("axes"), kwargs.get("mode")
        if axes is None:
            return {"per_channel": False, "joint_samples": mode != "per_sample"}
        letters = {LETTERS.get(str(axis), str(axis)) for axis in axes}
        apart = SPATIAL.intersection(self.letters) - letters
        if apart:
            raise CheckpointError(
                f"The description normalises along {', '.join(sorted(letters))} only: "
                f"each {min(apart)} by itself.",
                "Only steps that measure whole images can be done here.",
            )
        return {
            "per_channel": "c" in self.letters and "c" not in letters,
            "joint_samples": "b" in letters or mode == "per_dataset",
        }

    def _per_channel(self, kwargs: Kwargs, name: str) -> tuple[float, ...]:
        value = kwargs[name]
        if not isinstance(value, Sequence):
            return (float(value),)
        if len(value) > 1 and "axis" in kwargs:
            self._check_channel(kwargs["axis"], name)
        elif len(value) > 1:
            self._check_channel(self._left_over(kwargs), name)
        return tuple(float(number) for number in value)

    def _left_over(self, kwargs: Kwargs) -> str:
        """Return the axis that version 0.4 does not scale jointly."""
        jointly = {*(kwargs.get("axes") or ""), "b"}
        return "".join(letter for letter in self.letters if letter not in jointly)

    def _check_channel(self, axis: object, name: str) -> None:
        if LETTERS.get(str(axis), str(axis)) != "c":
            raise CheckpointError(
                f"The description asks for {name} along {axis}.",
                "Only numbers for each channel can be used here.",
            )
