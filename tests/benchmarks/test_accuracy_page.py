"""The page on accuracy says what its rows say, and nothing that was typed by hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def page(load_script: Callable[[str], ModuleType]) -> ModuleType:
    """The script that writes sections, imported as it is when run."""
    return load_script("evidence_page")


def row(page: ModuleType, name: str, value: float) -> dict[str, object]:
    """A row in which every score that the page names is `value`."""
    scores = dict.fromkeys(page.HEADINGS, value)
    text = page.READINGS.read_text()
    scores |= {score: value for _, score in page.PLACEHOLDER.findall(text)}
    facts = {"images": 7, "minutes": 2.5, "steps": 1200, "threads": 2}
    said = {"processor": "a processor", "curve": [0.1, 0.2], "validated_by": "seg"}
    return {"method": page.ROWS[name].method, **facts, **said, **scores}


def test_every_row_has_its_place_and_its_reading(page: ModuleType) -> None:
    sections = page.sections()
    names = [name for section in sections for name in section["rows"]]
    assert sorted(names) == sorted(page.ROWS)
    for section in sections:
        assert set(section["readings"]) == set(section["rows"])


def test_readings_hold_no_score_typed_by_hand(page: ModuleType) -> None:
    for section in page.sections():
        for text in (section["about"], *section["readings"].values()):
            bare = page.PLACEHOLDER.sub("", text).replace("AP@0.5", "")
            assert not re.search(r"\b[01]?\.\d", bare.replace("2.19", "")), text


def test_what_is_not_measured_is_said(page: ModuleType) -> None:
    text = "\n".join(page.page({}))
    assert text.count("| not measured yet |") == len(page.ROWS)
    assert not page.PLACEHOLDER.search(text)
    assert "reached" not in text


def test_a_reading_waits_for_the_rows_that_it_names(page: ModuleType) -> None:
    rows = {"dic": row(page, "dic", 0.8)}
    assert page.filled("{dic:seg} and\n{n2dl:seg}", rows) == ""
    assert page.filled("{dic:seg} of\n{dic:ap@0.5}", rows) == "0.800 of 0.800"
    with pytest.raises(KeyError, match="no such"):
        page.filled("{dic:no such}", rows)


@pytest.mark.parametrize(("value", "n_reached"), [(0.01, 3), (0.8, 10), (0.95, 15)])
def test_all_measured(page: ModuleType, value: float, n_reached: int) -> None:
    rows = {name: row(page, name, value) for name in page.ROWS}
    text = "\n".join(page.page(rows))
    assert "not measured yet" not in text
    assert not page.PLACEHOLDER.search(text)
    n_aims = sum(len(section["reach"]) for section in page.sections())
    assert text.count(": reached, ") == n_reached
    assert text.count(": **missed**, ") == n_aims - n_reached
    assert text.count(f"{value:.3f}") > len(rows)
