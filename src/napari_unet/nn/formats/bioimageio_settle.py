"""The last word on a packaged model: its own test tensors.

What shapes cannot tell is settled by them: of the networks that the weights allow, that
one is taken that gives the described output within its tolerance; if none does, none.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import Tensor, nn

from napari_unet.errors import AxesError, CheckpointError, UntrustedError
from napari_unet.nn.formats.bioimageio_compare import Comparison, compare, load_tensor
from napari_unet.nn.formats.bioimageio_described import Described
from napari_unet.nn.formats.bioimageio_recipe import described_recipe, refusal
from napari_unet.nn.formats.opaque import (
    Form,
    OpaqueNetwork,
    assume_opaque_recipe,
)

if TYPE_CHECKING:
    from napari_unet.nn.model import Model

Make = Callable[[Mapping[str, str]], "Model"]
MOST_TRIED = 12


class Unrunnable(OpaqueNetwork):
    """The place of a network that does not take one image."""

    def __init__(self, form: Form, why: str) -> None:
        super().__init__()
        self.form, self.why = form, why

    def forward(self, x: Tensor) -> Tensor:
        """Refuse, with the reason."""
        raise AxesError(self.why, "Choose a model that takes one image.")


@dataclass(frozen=True)
class Settler:
    """Settles what a description's weights leave open.

    Parameters
    ----------
    described
        The description.
    own
        Whether this package wrote it: then nothing is open.
    run
        Makes the network with the package's own code; None if that is not allowed.
    needs_trust
        What code that is; empty if there is none.
    """

    described: Described
    own: bool
    run: Callable[[], nn.Module] | None
    needs_trust: str

    def __call__(self, make: Make, choices: Mapping[str, str]) -> Model:
        """Return the model that agrees with the description.

        Parameters
        ----------
        make
            Choices -> the model that the weights then give.
        choices
            The user's.
        """
        if len(self.described.inputs) > 1:
            return _unrunnable(self.described)
        choices = {**self._halved(), **choices}
        first = self._first(make, choices)
        if isinstance(first, CheckpointError):
            return self._by_its_code(first)
        found = compare(first, self.described)
        if isinstance(found, str) or found.agrees:
            return _noted(first, _said(found))
        for model, how in self._others(make, choices, first):
            other = compare(model, self.described)
            if not isinstance(other, str) and other.agrees:
                return _noted(model, f"{_said(other)} That settled {how}.")
        return self._by_its_code(_disagrees(found))

    def _halved(self) -> dict[str, str]:
        """Return the choice that follows from an output of half the input's size."""
        source, output = self.described.inputs[0], self.described.outputs[0]
        if self.own or source.test is None or output.test is None:
            return {}
        sizes = [load_tensor(tensor).shape[2:] for tensor in (source, output)]
        halved = sizes[0] == tuple(2 * n for n in sizes[1])
        return {"output": "half"} if halved else {}

    def _first(self, make: Make, choices: Mapping[str, str]) -> Model | CheckpointError:
        try:
            return self._described(make(choices))
        except CheckpointError as error:
            return error

    def _described(self, model: Model) -> Model:
        if self.own:
            return model
        return replace(model, recipe=described_recipe(model.recipe, self.described))

    def _others(
        self, make: Make, choices: Mapping[str, str], first: Model
    ) -> Iterator[tuple[Model, str]]:
        """Yield the other networks that the weights allow, the likeliest first."""
        if self.own:
            return
        yield from self._other_activations(first, "")
        report = first.report
        questions = {
            question: options
            for question, options in (report.alternatives if report else {}).items()
            if question not in choices
        }
        answers = sorted(
            itertools.product(*questions.values()),
            key=lambda options: sum(option.loss for option in options),
        )
        for options in answers[1:MOST_TRIED]:
            given = {q: o.value for q, o in zip(questions, options, strict=True)}
            model = self._first(make, {**choices, **given})
            if not isinstance(model, CheckpointError):
                how = ", ".join(f"{q} = {value}" for q, value in given.items())
                yield model, how
                yield from self._other_activations(model, f"{how}, ")

    def _other_activations(self, model: Model, how: str) -> Iterator[tuple[Model, str]]:
        """Yield the model with an activation that its own code may have at the end."""
        if model.recipe.activation == "none":
            for name in ("sigmoid", "softmax"):
                recipe = model.recipe.replace(activation=name)
                yield replace(model, recipe=recipe), f"{how}a final {name}"

    def _by_its_code(self, error: CheckpointError) -> Model:
        """Return the network that the package's code makes, or raise `error`."""
        from napari_unet.nn.model import Model

        if self.run is None:
            if not self.needs_trust:
                raise CheckpointError(error.problem, error.remedy)
            remedy = f"If you trust {self.needs_trust}: trust=True, --trust."
            raise UntrustedError(error.problem, remedy)
        network = self.run()
        assert isinstance(network, OpaqueNetwork)  # noqa: S101 - by construction
        name = self.described.name
        recipe, _ = assume_opaque_recipe(network.form, "Python", name)
        model = self._described(Model(network, recipe))
        found = compare(model, self.described)
        if isinstance(found, Comparison) and not found.agrees:
            raise _disagrees(found)
        return _noted(model, f"Its own code is run. {_said(found)}")


def _said(found: Comparison | str) -> str:
    if isinstance(found, str):
        return f"Not compared with the described output: {found}."
    return (
        "The described output was reproduced (largest difference "
        f"{found.largest:.1e}, allowed {found.allowed:.1e})."
    )


def _disagrees(found: Comparison) -> CheckpointError:
    return CheckpointError(
        "The network that was rebuilt from the weights does not give the described "
        f"output (largest difference {found.largest:.1e}, of {found.allowed:.1e}).",
        "Answer its open questions with choices, or report the file.",
    )


def _noted(model: Model, note: str) -> Model:
    return replace(model, notes=(*model.notes, note))


def _unrunnable(described: Described) -> Model:
    """Return a model of several inputs: it can be looked at, and says why no more."""
    from napari_unet.nn.model import Model

    source, output = described.inputs[0], described.outputs[0]
    counts = [
        max(1, *(len(axis.names) for axis in tensor.axes))
        for tensor in (source, output)
    ]
    form = Form(max(2, len(source.spatial)), counts[0], counts[1], False)
    why = refusal(described)
    recipe, _ = assume_opaque_recipe(form, "Python", described.name)
    recipe = described_recipe(recipe, described)
    return Model(Unrunnable(form, why), recipe, notes=(why,))
