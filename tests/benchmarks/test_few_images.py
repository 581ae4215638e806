"""The table of few images: means over draws, and a verdict that is computed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest


@pytest.fixture(scope="module")
def few(load_script: Callable[[str], ModuleType]) -> ModuleType:
    """The script, imported as it is when run."""
    return load_script("few_images")


def write(folder: Path, few: ModuleType, name: str, value: float, **facts: object):
    """Write a row as `measure` does; `name`: images, draw, method, minutes, threads."""
    images, draw, index, minutes, threads = name.split("_")
    row = {
        "images": int(images),
        "draw": int(draw),
        "method": list(few.NAMES)[int(index)],
        "minutes": float(minutes),
        "threads": int(threads),
        "processor": "P",
    }
    scores = dict.fromkeys(few.SCORES, value)
    (folder / f"{name}.json").write_text(json.dumps({**row, **facts, **scores}))


def test_means_spread_and_verdict(few: ModuleType, tmp_path: Path) -> None:
    for draw, value in enumerate((0.5, 0.6, 0.85)):
        write(tmp_path, few, f"16_{draw}_0_10_2", value, steps=100 * draw)
    write(tmp_path, few, "16_2_3_10_2", 0.9, steps=7)
    write(tmp_path, few, "5_0_0_10_2", 0.4)
    write(tmp_path, few, "5_0_2_10_2", 0.3)
    text = few.tables(tmp_path)
    assert text[0] == "10 minutes each on 2 threads of P; means over the draws:"
    assert (
        "| 16 | ours | 0.650 | 0.500 to 0.850 (3) | 0.650 | 0.650 | 0.650 | 100 |"
        in text
    )
    (ahead,) = [line for line in text if line.startswith("- 5 images, 1 draw(s)")]
    assert "ahead (0.400 against 0.300) in AP@0.5" in ahead
    (behind,) = [line for line in text if line.startswith("- 16 images")]
    assert "the best of 1 other(s), StarDist" in behind
    both = "**behind** (0.850 against 0.900) in"
    assert behind.count(both) == 2, "the draw that both have"
    assert "Not measured: two-class, w0 = 0, MONAI" in behind


def test_budgets_are_not_mixed(few: ModuleType, tmp_path: Path) -> None:
    write(tmp_path, few, "16_0_0_10_2", 0.5)
    write(tmp_path, few, "16_1_0_10_1", 0.1)
    write(tmp_path, few, "16_2_0_10_2", 0.2)
    write(tmp_path, few, "16_2_0_0.3_2", 0.9)
    text = "\n".join(few.tables(tmp_path))
    one = text.index("10 minutes each on one thread of P;")
    assert text.index("10 minutes each on 2 threads of P;") < one
    means = few.means(few.rows(tmp_path))
    assert means == {"few-16-ours": dict.fromkeys(few.SCORES, pytest.approx(0.35))}
    write(tmp_path, few, "5_0_0_20_1", 0.7)  # as long in all
    assert list(few.means(few.rows(tmp_path))) == ["few-5-ours"]


def test_nothing_measured(few: ModuleType, tmp_path: Path) -> None:
    assert few.tables(tmp_path) == []
    assert few.means([]) == {}


def test_draws_come_round_and_are_the_same_for_all(
    few: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(few, "read", lambda folder: list(range(20)))
    arguments = SimpleNamespace(
        data=Path(), images="5,0", draws=3, minutes=10.0, stardist=None
    )
    found = dict(few.tasks(arguments))
    assert list(found) == ["5_0", "0_0", "5_1", "5_2"]
    assert found["0_0"].images == list(range(20))
    drawn = [tuple(found[f"5_{draw}"].images) for draw in range(3)]
    assert len(set(drawn)) == 3
    assert all(len(set(images)) == 5 for images in drawn)
    assert dict(few.tasks(arguments))["5_2"].images == list(drawn[2])
