from __future__ import annotations

from pathlib import Path

import pytest

from napari_unet.errors import ImageFileError
from napari_unet.io.atomic import check_writable, replacing


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


def test_what_can_be_written_is_known_before(tmp_path: Path) -> None:
    old = tmp_path / "old.tif"
    old.write_text("old")
    check_writable(old)
    check_writable(tmp_path / "new.tif")
    assert old.read_text() == "old"
    assert list(tmp_path.iterdir()) == [old]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="has no /proc")
def test_a_folder_that_takes_no_file_is_told_with_the_reason() -> None:
    # Not even the administrator, to whom every permission is given, may write there.
    with pytest.raises(
        ImageFileError, match=r"x\.tif cannot be written \(No such file"
    ):
        check_writable("/proc/x.tif")


def test_a_full_disk_is_told_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_bytes(path: Path, data: bytes) -> None:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(ImageFileError, match=r"written \(No space left on device\)"):
        check_writable(tmp_path / "x.tif")
    assert list(tmp_path.iterdir()) == []
