"""Card text: what is known of a model, in a few lines beneath its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_unet.pipeline.model_card import ModelCard

# Scores that say most, and how they are called.
SCORES = {
    "ap@0.5": "AP@0.5",
    "mean_ap_50_90": "mean AP",
    "mean_iou": "mean IoU",
    "mean_dice": "mean Dice",
}
MOST = 4


def card_text(card: ModelCard) -> str:
    """Return a few lines: what for, pixel size, trained on what, scores, licence."""
    recipe, arch = card.recipe, card.recipe.architecture
    limits = recipe.training.get("limits", "")
    lines = [" ".join(filter(None, (recipe.description, str(limits))))]
    facts = [f"{arch.ndim}-D, {_channels(arch.in_channels)}"]
    if recipe.pixel_size:
        sizes = " x ".join(f"{size:g}" for size in recipe.pixel_size)
        facts.append(f"{sizes} µm/px")
    if recipe.diameter:
        facts.append(f"objects of {recipe.diameter:.3g} px")
    if recipe.scale != 1:
        facts.append(f"scales images by {recipe.scale:.3g}")
    facts.append(f"{card.n_weights / 1e6:.1f} M weights")
    lines.append(" · ".join(facts))
    if data := recipe.training.get("data"):
        lines.append(f"Trained on: {data}")
    if scores := _scores(recipe.scores):
        lines.append(f"Scores: {', '.join(scores)}")
    if recipe.licence:
        lines.append(f"Licence: {recipe.licence}")
    if card.tile_dependent_layers:
        lines.append("Some layers depend on the tile: results are blended.")
    return "\n".join([*filter(None, lines), *_notes(card)])


def _scores(found: Mapping[str, Any]) -> list[str]:
    """Return the scores that say most, with what they were measured on."""
    texts: list[str] = []
    for place, value in found.items():
        of_place = value if isinstance(value, Mapping) else {place: value}
        numbers = {n: v for n, v in of_place.items() if isinstance(v, float)}
        told = [name for name in SCORES if name in numbers] or list(numbers)[:3]
        where = f" ({place})" if isinstance(value, Mapping) else ""
        texts += [
            f"{SCORES.get(name, name)} {numbers[name]:.3f}{where}" for name in told
        ]
    return texts[:MOST]


def _notes(card: ModelCard) -> list[str]:
    """Return the notes; of those on what is asked, only what was answered."""
    names = tuple(f"{question.name}: " for question in card.questions)
    notes = [note for note in card.notes if not (names and note.startswith(names))]
    given = ", ".join(f"{name} {answer}" for name, answer in card.choices)
    return [*notes, *[f"Your answers: {given}."] * bool(given)]


def _channels(n: int) -> str:
    return "1 channel" if n == 1 else f"{n} channels"
