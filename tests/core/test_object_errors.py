"""Kinds of errors: hand-made objects, and the definitions applied one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_unet.core.metrics import evaluate

EXCHANGED = {
    "matched": "matched",
    "split": "merged",
    "merged": "split",
    "missed": "false",
    "false": "missed",
}

SHAPES = hnp.array_shapes(min_dims=1, max_dims=2, min_side=2, max_side=8)
PAIRS = SHAPES.flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.int32, shape, elements=st.integers(0, 5)).map(np.sort),
        hnp.arrays(np.int32, shape, elements=st.integers(0, 5)),
    )
)


def objects(labels, truth):
    rows = evaluate(np.array(labels), np.array(truth)).objects
    return {(row.side[0], row.id): (row.kind, row.partners) for row in rows}


def runs(*pairs):
    """Build a 1-D image from (id, length)."""
    return np.concatenate([np.full(length, label) for label, length in pairs])


@pytest.mark.parametrize(
    ("labels", "truth", "expected"),
    [
        pytest.param(
            runs((7, 8), (0, 12)),
            runs((1, 10), (0, 10)),
            {("t", 1): ("matched", (7,)), ("p", 7): ("matched", (1,))},
            id="matched",
        ),
        pytest.param(
            runs((0, 12), (7, 5)),
            runs((1, 10), (0, 7)),
            {("t", 1): ("missed", ()), ("p", 7): ("false", ())},
            id="missed and false",
        ),
        pytest.param(
            runs((7, 4), (0, 2), (8, 4)),
            runs((1, 10)),
            {
                ("t", 1): ("split", (7, 8)),
                ("p", 7): ("split", (1,)),
                ("p", 8): ("split", (1,)),
            },
            id="split",
        ),
        pytest.param(
            runs((7, 10)),
            runs((1, 4), (0, 2), (2, 4)),
            {
                ("t", 1): ("merged", (7,)),
                ("t", 2): ("merged", (7,)),
                ("p", 7): ("merged", (1, 2)),
            },
            id="merged",
        ),
        pytest.param(
            runs((7, 7), (8, 3)),
            runs((1, 10)),
            {
                ("t", 1): ("matched", (7,)),
                ("p", 7): ("matched", (1,)),
                ("p", 8): ("split", (1,)),
            },
            id="a surplus fragment beside a match",
        ),
        pytest.param(
            runs((7, 10)),
            runs((1, 7), (2, 3)),
            {
                ("t", 1): ("matched", (7,)),
                ("t", 2): ("merged", (7,)),
                ("p", 7): ("matched", (1,)),
            },
            id="swallowed beside a match",
        ),
        pytest.param(
            runs((7, 5), (8, 5)),
            runs((1, 10)),
            {
                ("t", 1): ("matched", (7,)),
                ("p", 7): ("matched", (1,)),
                ("p", 8): ("split", (1,)),
            },
            id="exact halves: the lower id is the match",
        ),
        pytest.param(
            runs((7, 3), (0, 17)),
            runs((1, 10), (0, 10)),
            {("t", 1): ("missed", ()), ("p", 7): ("false", ())},
            id="one small fragment is no split",
        ),
        pytest.param(
            runs((7, 4), (8, 4), (0, 2), (8, 4)),
            runs((1, 10), (0, 4)),
            {
                ("t", 1): ("missed", ()),
                ("p", 7): ("false", ()),
                ("p", 8): ("false", ()),
            },
            id="a half lies not mainly inside",
        ),
    ],
)
def test_hand_made_objects(labels, truth, expected):
    assert objects(labels, truth) == expected


def test_iou_and_area_of_a_row():
    rows = evaluate(runs((7, 3), (8, 4), (0, 3)), runs((1, 10))).objects
    assert [(row.iou, row.area) for row in rows] == [(0.4, 10), (0.3, 3), (0.4, 4)]


def mainly_in(image, label, other):
    """Return the object of `other` that holds more than half of an object, or 0."""
    inside = other[image == label].tolist()
    for holder in set(inside) - {0}:
        if 2 * inside.count(holder) > len(inside):
            return holder
    return 0


def kind_by_definition(image, label, other, matched):
    if label in matched:
        return "matched"
    ids = [i for i in np.unique(other).tolist() if i]
    if sum(mainly_in(other, i, image) == label for i in ids) >= 2:
        return "divided"
    holder = mainly_in(image, label, other)
    own = [i for i in np.unique(image).tolist() if i]
    if holder and sum(mainly_in(image, i, other) == holder for i in own) >= 2:
        return "shared"
    return "alone"


@settings(deadline=None, max_examples=200)
@given(PAIRS)
def test_kinds_follow_the_definitions(pair):
    labels, truth = pair
    scores = evaluate(labels, truth)
    names = {
        "truth": {"divided": "split", "shared": "merged", "alone": "missed"},
        "prediction": {"divided": "merged", "shared": "split", "alone": "false"},
    }
    for row in scores.objects:
        own, other = (truth, labels) if row.side == "truth" else (labels, truth)
        side = [r for r in scores.objects if r.side == row.side]
        matched = {r.id for r in side if r.kind == "matched"}
        kind = kind_by_definition(own, row.id, other, matched)
        assert row.kind == names[row.side].get(kind, kind)
        assert row.area == (own == row.id).sum()
    n_matched = sum(row.kind == "matched" for row in scores.objects)
    assert n_matched == 2 * scores.tp[0]
    ids = [row.id for row in scores.objects]
    assert ids == [i for a in (truth, labels) for i in np.unique(a).tolist() if i]


@settings(deadline=None, max_examples=200)
@given(PAIRS)
def test_kinds_of_partners_agree(pair):
    rows = evaluate(*pair).objects
    by_id = {(row.side, row.id): row for row in rows}
    allowed = {
        ("truth", "matched"): {"matched"},
        ("truth", "split"): {"split", "merged"},
        ("truth", "merged"): {"merged", "matched"},
        ("prediction", "matched"): {"matched"},
        ("prediction", "merged"): {"merged", "split"},
        ("prediction", "split"): {"split", "matched"},
    }
    for row in rows:
        other = "prediction" if row.side == "truth" else "truth"
        partners = [by_id[other, partner] for partner in row.partners]
        assert bool(partners) == (row.kind not in ("missed", "false"))
        for partner in partners:
            assert partner.kind in allowed[row.side, row.kind]
            if row.kind == "matched":
                assert partner.partners == (row.id,)
                assert partner.iou == row.iou >= 0.5


@settings(deadline=None)
@given(PAIRS)
def test_exchanging_the_sides_exchanges_the_names(pair):
    labels, truth = pair
    there, back = objects(labels, truth), objects(truth, labels)
    sides = {"t": "p", "p": "t"}
    assert back == {
        (sides[side], label): (EXCHANGED[kind], partners)
        for (side, label), (kind, partners) in there.items()
    }
