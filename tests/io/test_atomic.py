from __future__ import annotations

from pathlib import Path

import pytest

from napari_unet.errors import ImageFileError
from napari_unet.io.atomic import replacing


def test_the_file_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "a.tif"
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        assert temporary.suffix == ".tif"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def write_half(target: Path, failure: type[BaseException]) -> None:
    with replacing(target) as temporary:
        temporary.write_text("half")
        raise failure


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_a_failure_keeps_the_old_file(
    tmp_path: Path, failure: type[BaseException]
) -> None:
    target = tmp_path / "a.tif"
    target.write_text("old")
    with pytest.raises(failure):
        write_half(target, failure)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_errors_of_the_disk_are_explained(tmp_path: Path) -> None:
    with (
        pytest.raises(ImageFileError, match=r"a\.tif could not be written \(No space"),
        replacing(tmp_path / "a.tif"),
    ):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_folders_that_are_missing_or_in_the_way_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ImageFileError, match=r"no does not exist\. Create it"),
        replacing(tmp_path / "no" / "a.tif"),
    ):
        pass
    with (
        pytest.raises(ImageFileError, match="is a folder"),
        replacing(tmp_path),
    ):
        pass
