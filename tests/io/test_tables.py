from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.errors import ImageFileError
from napari_unet.io.tables import read_table, write_table


def test_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_table(
        path,
        {
            "label": np.array([1, 2**40]),
            "area": np.array([1.0, 1 / 3]),
            "ok": np.array([True, False]),
            "name": np.array(["a,b", "µ"]),
        },
    )
    text = 'label,area,ok,name\n1,1,true,"a,b"\n1099511627776,0.333333,false,µ\n'
    assert path.read_bytes() == text.encode()


def test_what_was_written_is_read_with_its_types(tmp_path: Path) -> None:
    columns = {
        "label": np.array([1, 2]),
        "iou": np.array([0.5, np.nan]),
        "ok": np.array([True, False]),
        "name": np.array(["a", "b"]),
    }
    write_table(tmp_path / "t.csv", columns)
    found = read_table(tmp_path / "t.csv")
    assert list(found) == list(columns)
    for name, values in columns.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype.kind == values.dtype.kind


@given(
    ids=st.lists(st.integers(-(2**62), 2**62), max_size=20),
    value=st.floats(-1e30, 1e30),
)
@settings(deadline=None)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, ids: list[int], value: float
) -> None:
    path = tmp_path_factory.mktemp("t") / "t.csv"
    columns = {"id": np.array(ids, np.int64), "x": np.full(len(ids), value)}
    write_table(path, columns)
    found = read_table(path)
    np.testing.assert_array_equal(found["id"], columns["id"])
    np.testing.assert_allclose(found["x"], columns["x"], rtol=1e-5)


def test_an_empty_table_keeps_its_header(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", {"label": np.empty(0, int), "area": np.empty(0)})
    found = read_table(tmp_path / "t.csv")
    assert list(found) == ["label", "area"]
    assert all(len(column) == 0 for column in found.values())


def test_columns_of_different_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="differ in length"):
        write_table(tmp_path / "t.csv", {"a": [1], "b": [1, 2]})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"a,b\n1\n", b"a\n\xff\xfe\n"])
def test_files_that_are_no_tables_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ImageFileError, match="not a table"):
        read_table(tmp_path / "t.csv")


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="could not be read"):
        read_table(tmp_path / "t.csv")
