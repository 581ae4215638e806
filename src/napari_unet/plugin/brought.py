"""Brought: separation and contrast that a model brings, or that a script chose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qtpy.QtWidgets import QCheckBox

    from napari_unet.pipeline.model_card import ModelCard
    from napari_unet.plugin.segment_choice import SegmentChoice
    from napari_unet.plugin.tuning_panel import TuningPanel

FIELDS = {"separation", "invert"}


class Brought:
    """Shows what a model was tuned to, but for what was chosen in its place.

    Parameters
    ----------
    tuning, invert
        Where it is shown.
    """

    def __init__(self, tuning: TuningPanel, invert: QCheckBox) -> None:
        self._tuning, self._invert = tuning, invert
        # A model that is still being read, and what was chosen for it.
        self._pending: tuple[str, dict[str, Any]] = ("", {})
        self._last: tuple[Any, ...] = ()

    def choose(
        self, choice: SegmentChoice, before: SegmentChoice, card: ModelCard | None
    ) -> None:
        """Show what is given in a choice, and the model's own for what is not.

        Parameters
        ----------
        choice
            What a script chose.
        before
            What was shown; what is as it was is not given.
        card
            Of its model; None: it is still being read.
        """
        given = {n: getattr(choice, n) for n in FIELDS & choice.model_fields_set}
        new = {n: x for n, x in given.items() if x != getattr(before, n)}
        own = {"separation": self._tuning.own, "invert": False}
        self._pending = ("", {})
        if card is None:
            self._pending = (choice.model, new)
        else:
            own["invert"] = card.recipe.normalization.invert
        # Sizes that are as they were may have followed another diameter by now.
        self._show({n: x for n, x in own.items() if n not in given} | new)

    def bring(self, card: ModelCard, source: str, *, is_final: bool) -> None:
        """Show a model's own, but for what was chosen for it.

        One that is only read again, elsewhere or on another device, changes nothing.

        Parameters
        ----------
        card, source
            Of the model that was read.
        is_final
            Whether it is not about to be read again, with answers.
        """
        chosen_for, given = self._pending
        last, self._last = self._last, (source, card.sha256, card.choices)
        if self._last == last and chosen_for != source:
            return
        self._invert.setChecked(card.recipe.normalization.invert)
        self._tuning.set_own(card.recipe.separation)
        if chosen_for == source:
            blocked = self._tuning.blockSignals(True)
            self._show(given)
            self._tuning.blockSignals(blocked)
        if is_final:
            self._pending = ("", {})

    def _show(self, given: dict[str, Any]) -> None:
        if "invert" in given:
            self._invert.setChecked(given["invert"])
        if "separation" in given:
            self._tuning.set_value(given["separation"])
