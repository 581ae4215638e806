"""A row is trained once, scored on what counts, and drawn outside of the repository."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_unet.training_settings import Training

FOLDER = Path(__file__).parents[2] / "benchmarks"
SMALL = Training(steps=2, patch=(32,), depth=1, base_channels=2, batch=1)


@pytest.fixture(scope="module")
def evidence(load_script: Callable[[str], ModuleType]) -> ModuleType:
    """The script, imported as it is when run."""
    return load_script("evidence")


@pytest.fixture
def places(evidence: ModuleType, tmp_path: Path):
    """Three images of two cells each in train and test, one test image with gold."""
    rng = np.random.default_rng(0)
    lines = ["split,name,label_kind"]
    for part, index in [(part, i) for part in ("train", "test") for i in range(3)]:
        labels = np.zeros((48, 64), np.uint16)
        labels[8:24, 8:30], labels[26:40, 8 + index : 40] = 1, 2
        pixels = rng.normal(30, 5, labels.shape) + 90 * (labels > 0)
        for kind, array in (("images", pixels.astype(np.uint8)), ("labels", labels)):
            folder = tmp_path / "cells" / part / kind
            folder.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(folder / f"{part}{index}.tif", array)
        lines.append(f"{part},{part}{index},{'gold' if index == 1 else 'silver'}")
    (tmp_path / "cells" / "manifest.csv").write_text("\n".join(lines))
    (tmp_path / "runs").mkdir()
    return evidence.Places(tmp_path, tmp_path / "runs", tmp_path / "pictures")


def test_a_row(evidence: ModuleType, places) -> None:
    row = replace(evidence.ROWS["dic"], data="cells", training=SMALL)
    found = evidence.measure("dic", row, places)
    assert found["test_images"] == 1
    assert (found["images"], found["steps"], found["start"]) == (3, 2, "")
    assert len(found["curve"]) >= 1
    assert 0 <= found["seg"] <= 1
    json.dumps(found)
    (drawn,) = (places.pictures / "dic").iterdir()
    assert drawn.name == "test1.png"
    assert tuple(np.asarray(Image.open(drawn))[8, 9]) in (evidence.TRUE, evidence.FOUND)


def test_what_is_trained_is_not_trained_again(
    evidence: ModuleType, places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If scoring failed, the model is there; other settings are another training."""
    row = replace(evidence.ROWS["n2dl"], data="cells", training=SMALL)
    _, facts = evidence.trained("n2dl", row, places)
    monkeypatch.setattr(evidence, "read", lambda *_: pytest.fail("trains again"))
    assert evidence.trained("n2dl", row, places)[1] == facts
    other = replace(row, training=SMALL.replace(steps=3))
    with pytest.raises(pytest.fail.Exception, match="trains again"):
        evidence.trained("n2dl", other, places)


def test_a_row_is_measured_again_when_its_start_has_changed(
    evidence: ModuleType, tmp_path: Path
) -> None:
    row, record = evidence.ROWS["n2dl-abroad"], tmp_path / "row.json"
    assert not evidence.is_measured(record, row)
    record.write_text(json.dumps({"start": "another"}))
    assert not evidence.is_measured(record, row)
    record.write_text(json.dumps({"start": row.start().sha256[:12]}))
    assert evidence.is_measured(record, row)


def test_pictures_stay_outside(
    evidence: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    inside = str(FOLDER.parent / "docs" / "images")
    monkeypatch.setattr(sys, "argv", ["evidence.py", "data", "--pictures", inside])
    with pytest.raises(SystemExit):
        evidence.main()
    assert "outside" in capsys.readouterr().err
