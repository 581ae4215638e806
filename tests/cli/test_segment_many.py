"""Folders through the shell: outputs, bad images among good ones, resume, cancel."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from napari_unet.cli import batch
from napari_unet.cli.report import SUMMARY
from napari_unet.io.write import write_image
from napari_unet.nn import predict

JOURNAL = ".napari-unet-journal.jsonl"


def contents(folder):
    """Bytes and time of change of every visible file, but for the run's summary."""
    paths = [p for p in folder.iterdir() if p.name[0] != "." and p.name != SUMMARY]
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in paths}


def done(said):
    """Names of the images that were segmented, in their order."""
    return [line.split(":")[0] for line in said.out.splitlines() if " -> " in line]


def summary_of(folder):
    """Rows of the table over all images: name, state, objects, and why not."""
    with (folder / SUMMARY).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(float(row["seconds"]) >= 0 for row in rows)
    return [
        (Path(row["image"]).name, row["state"], row["objects"], row["problem"])
        for row in rows
    ]


def test_labels_picture_and_table_for_each(run, folder, listing, hidden_files):
    out = folder.parent / "out"
    said = run("segment", folder, "-o", out)
    assert said.status == 0
    endings = (".tif", "_objects.csv", "_overlay.png")
    assert listing(out) == [f"{name}{ending}" for name in "abc" for ending in endings]
    assert hidden_files(out) == [JOURNAL]
    assert done(said) == ["a.tif", "b.tif", "c.tif"]
    assert said.err == ""


def test_a_table_says_what_became_of_each(run, folder, labels_of):
    (folder / "b.tif").write_bytes(b"II*\0 this is not the rest of a TIFF")
    out = folder.parent / "out"
    given = ("segment", folder, "-o", out, "--no-overlay", "--no-objects")
    said = run(*given)
    counts = {name: str(labels_of(out / f"{name}.tif").max()) for name in "ac"}
    rows = summary_of(out)
    assert [row[:3] for row in rows] == [
        ("a.tif", "done", counts["a"]),
        ("b.tif", "failed", ""),
        ("c.tif", "done", counts["c"]),
    ]
    assert rows[1][3].startswith("b.tif is damaged")
    head, values = said.out.splitlines()[-2:]
    assert head.split()[:5] == ["images", "done", "failed", "objects", "seconds"]
    total = sum(map(int, counts.values()))
    assert values.split()[:4] == ["3", "2", "1", str(total)]
    # A resumed run counts what was done before, and tries again what was not.
    write_image(folder / "b.tif", np.zeros((64, 64), np.uint8), axes="YX")
    assert run(*given, "--resume").status == 0
    assert summary_of(out) == [rows[0], ("b.tif", "done", "0", ""), rows[2]]


def test_a_strangers_summary_is_not_replaced(run, folder):
    out = folder.parent / "out"
    out.mkdir()
    (out / SUMMARY).write_text("mine")
    said = run("segment", folder, "-o", out, "--resume")
    assert said.line.startswith(f"{out / SUMMARY} exists already.")
    assert (out / SUMMARY).read_text() == "mine"


def test_the_labels_are_those_of_one_file_alone(run, folder, labels_of):
    out = folder.parent / "out"
    run("segment", folder, "-o", out, "--no-overlay", "--no-objects")
    for name in "abc":
        single = folder.parent / f"{name}.tif"
        run("segment", folder / f"{name}.tif", "-o", single)
        assert np.array_equal(labels_of(out / f"{name}.tif"), labels_of(single))


def test_several_files_lead_to_a_folder(run, folder, listing):
    out = folder.parent / "out"
    run("segment", folder / "c.tif", folder / "a.tif", "-o", out, "--no-overlay")
    assert listing(out) == ["a.tif", "a_objects.csv", "c.tif", "c_objects.csv"]


def test_a_bad_image_costs_only_itself(run, folder, listing):
    (folder / "b.tif").write_bytes(b"II*\0 this is not the rest of a TIFF")
    (folder / "d.png").write_text("no picture")
    write_image(folder / "e.tif", np.zeros((2, 9, 9), np.uint8), axes="CYX")
    out = folder.parent / "out"
    said = run("segment", folder, "-o", out, "--no-overlay", "--no-objects")
    assert said.status == 1
    assert listing(out) == ["a.tif", "c.tif"]
    lines = said.err.splitlines()
    assert lines[-1] == (
        "napari-unet: 3 of 5 images could not be segmented. The reasons stand above; "
        "the others are done."
    )
    assert any(line.startswith("b.tif: b.tif is damaged") for line in lines)
    assert any(line.startswith("d.png: d.png is not a PNG or JPEG") for line in lines)
    assert any(line.startswith("e.tif: The model takes 1 channel") for line in lines)


def test_an_unforeseen_error_costs_only_its_image(run, folder, listing, monkeypatch):
    whole = batch.segment_source

    def break_on_b(source, request, bar):
        if source.name == "b":
            raise ZeroDivisionError("in the middle of the night")
        return whole(source, request, bar)

    monkeypatch.setattr(batch, "segment_source", break_on_b)
    out = folder.parent / "out"
    said = run("segment", folder, "-o", out, "--no-overlay", "--no-objects")
    assert said.status == 1
    assert listing(out) == ["a.tif", "c.tif"]
    assert "b.tif: Something unforeseen happened (ZeroDivisionError: in the" in said.err
    assert "Traceback" not in said.err


def interrupt_at(monkeypatch, name):
    """Let Ctrl-C arrive while the network is at work on an image."""
    whole = batch.segment_source

    def stop(source, request, bar):
        if source.name == name:
            monkeypatch.setattr(predict.Predictor, "__call__", _interrupted)
        return whole(source, request, bar)

    def _interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(batch, "segment_source", stop)


def test_an_interrupt_keeps_what_is_done_and_resume_goes_on(
    run, folder, listing, labels_of
):
    out, whole = folder.parent / "out", folder.parent / "whole"
    run("segment", folder, "-o", whole)
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, "b")
        said = run("segment", folder, "-o", out)
    assert said.status == 130
    assert said.err.splitlines()[-1] == (
        "napari-unet: Cancelled: 1 of 3 images are done and stay; repeat the command "
        "with --resume to go on."
    )
    assert listing(out) == ["a.tif", "a_objects.csv", "a_overlay.png"]
    before = contents(out)
    refused = run("segment", folder, "-o", out)
    assert refused.line.endswith(
        "exists already. Choose another name, or give --overwrite."
    )
    said = run("segment", folder, "-o", out, "--resume")
    assert said.status == 0
    assert done(said) == ["b.tif", "c.tif"]
    after = contents(out)
    assert {name: after[name] for name in before} == before
    for name in contents(whole):
        assert (out / name).exists()
        if name.endswith(".tif"):
            assert np.array_equal(labels_of(out / name), labels_of(whole / name))


def test_what_was_written_before_a_kill_is_replaced(run, folder, listing, monkeypatch):
    """A kill between picture and labels leaves a begun image, and half a file."""
    out = folder.parent / "out"
    written = batch.write_outputs

    def killed(paths, source, *rest, **more):
        if source.name != "b":
            return written(paths, source, *rest, **more)
        paths["overlay"].write_text("picture of the first try")
        (out / ".0123456789ab.part.tif").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(batch, "write_outputs", killed)
    assert run("segment", folder, "-o", out).status == 130
    monkeypatch.setattr(batch, "write_outputs", written)
    assert run("segment", folder, "-o", out, "--resume").status == 0
    assert "b.tif" in listing(out)
    assert (out / "b_overlay.png").read_bytes().startswith(b"\x89PNG")
    assert not (out / ".0123456789ab.part.tif").exists()


def test_a_finished_run_is_resumed_by_doing_nothing(run, folder):
    out = folder.parent / "out"
    run("segment", folder, "-o", out)
    before = contents(out)
    said = run("segment", folder, "-o", out, "--resume", "--device", "cpu")
    assert (said.status, said.out, said.err) == (0, "", "")
    assert contents(out) == before


def test_resume_does_again_what_has_changed(run, folder, make_cells):
    out = folder.parent / "out"
    run("segment", folder, "-o", out, "--no-overlay", "--no-objects")
    before = contents(out)
    write_image(folder / "a.tif", make_cells(7)[0][::-1], axes="YX")
    (out / "c.tif").unlink()
    said = run("segment", folder, "-o", out, "--resume", "--no-overlay", "--no-objects")
    assert done(said) == ["a.tif", "c.tif"]
    after = contents(out)
    assert after["b.tif"] == before["b.tif"]
    assert after["a.tif"] != before["a.tif"]


def test_resume_with_other_settings_is_refused_naming_them(run, folder):
    out = folder.parent / "out"
    run("segment", folder, "-o", out, "--no-overlay", "--no-objects")
    given = ("segment", folder, "-o", out, "--resume", "--no-overlay", "--no-objects")
    said = run(*given, "--seed-threshold", "0.5", "--tile", "32")
    assert said.line == (
        f"{out} was begun with seed threshold 0.65 instead of 0.5, tile [] instead of "
        "[32]. Repeat the settings to resume. Start afresh with --overwrite, or choose "
        "another name."
    ).replace("0.65", str(default_seed_threshold()))
    # The default given by hand is no other setting.
    same = ("--seed-threshold", default_seed_threshold())
    assert run(*given, *same).status == 0


def default_seed_threshold():
    import napari_unet as nu

    return nu.load_model("nuclei").recipe.separation.seed_threshold


def test_resume_without_a_journal_starts_afresh_beside_other_files(
    run, folder, listing
):
    out = folder.parent / "out"
    assert run("segment", folder, "-o", out, "--resume").status == 0
    assert "a.tif" in listing(out)
    other = folder.parent / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    assert run("segment", folder, "-o", other, "--resume").status == 0
    assert (other / "notes.txt").read_text() == "mine"


def test_resume_without_a_journal_never_replaces_a_file(run, folder, listing):
    out = folder.parent / "out"
    out.mkdir()
    (out / "c_overlay.png").write_text("mine")
    said = run("segment", folder, "-o", out, "--resume")
    assert said.line.startswith(f"{out / 'c_overlay.png'} exists already.")
    assert listing(out) == ["c_overlay.png"]
    assert run("segment", folder, "-o", out, "--overwrite").status == 0
    assert (out / "c_overlay.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_is_not_empty_is_refused(run, folder, listing):
    out = folder.parent / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    said = run("segment", folder, "-o", out)
    assert said.line == (
        f"The folder {out} is not empty. Choose another one, or give --overwrite, or "
        "--resume to go on."
    )
    assert listing(out) == ["notes.txt"]


@pytest.mark.parametrize(
    "damage",
    ["{", "", "[]\n", "no JSON\n", '{"napari_unet_journal": 99, "request": {}}\n'],
)
def test_a_damaged_journal_is_told(run, folder, damage):
    out = folder.parent / "out"
    out.mkdir()
    (out / JOURNAL).write_text(damage)
    said = run("segment", folder, "-o", out, "--resume")
    assert said.line == (
        f"The journal {out / JOURNAL} is damaged. Start afresh with --overwrite, or "
        "choose another name."
    )


def test_a_journal_that_was_cut_off_costs_its_last_line(run, folder, listing):
    out = folder.parent / "out"
    run("segment", folder, "-o", out, "--no-overlay", "--no-objects")
    lines = (out / JOURNAL).read_text().splitlines(keepends=True)
    assert len(lines) == 7  # the request, and each image begun and done
    assert json.loads(lines[1])["done"] is False
    (out / JOURNAL).write_text("".join(lines[:6]) + lines[6][:9])
    before = contents(out)
    said = run("segment", folder, "-o", out, "--resume", "--no-overlay", "--no-objects")
    assert done(said) == ["c.tif"]
    assert contents(out)["b.tif"] == before["b.tif"]


def test_one_file_resumes_too(run, image, labels_of, hidden_files):
    out = image.parent / "labels.tif"
    given = ("segment", image, "-o", out, "--overlay")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict.Predictor, "__call__", _stop)
        said = run(*given)
    assert (said.status, said.line) == (
        130,
        "Cancelled; nothing that was complete is lost.",
    )
    assert run(*given, "--resume").status == 0
    assert hidden_files(image.parent) == []
    before = labels_of(out)
    said = run(*given, "--resume")
    assert said.out == f"cells.tif: done already -> {out}\n"
    said = run(*given, "--resume", "--min-size", "30")
    assert said.line.startswith(f"{out} was made with min size 15 instead of 30.")
    assert np.array_equal(labels_of(out), before)


def _stop(*_, **__):
    raise KeyboardInterrupt


def test_one_file_that_was_killed_between_its_outputs(
    run, image, hidden_files, monkeypatch
):
    out = image.parent / "labels.tif"
    written = batch.write_outputs

    def killed(paths, *_, **__):
        paths["overlay"].write_text("picture of the first try")
        raise KeyboardInterrupt

    monkeypatch.setattr(batch, "write_outputs", killed)
    assert run("segment", image, "-o", out, "--overlay").status == 130
    assert len(hidden_files(image.parent)) == 1
    monkeypatch.setattr(batch, "write_outputs", written)
    said = run("segment", image, "-o", out, "--overlay")
    assert said.line.endswith(
        "_overlay.png exists already. Choose another name, or give --overwrite."
    )
    assert run("segment", image, "-o", out, "--overlay", "--resume").status == 0
    assert hidden_files(image.parent) == []


def test_a_stopped_run_does_not_bind_the_next(run, image, hidden_files, monkeypatch):
    """Its journal, of other settings, is gone once a run starts afresh."""
    out = image.parent / "labels.tif"
    written = batch.write_outputs
    monkeypatch.setattr(batch, "write_outputs", _stop)
    assert run("segment", image, "-o", out, "--min-size", 9).status == 130
    assert run("segment", image, "-o", out).status == 130
    monkeypatch.setattr(batch, "write_outputs", written)
    assert run("segment", image, "-o", out, "--resume").status == 0
    assert hidden_files(image.parent) == []


def test_one_file_never_replaces_a_strangers_file_on_resume(run, image):
    out = image.parent / "labels.tif"
    out.write_text("mine")
    said = run("segment", image, "-o", out, "--resume")
    assert said.line.startswith(f"{out} exists already.")
    assert out.read_text() == "mine"


def test_the_layouts_of_the_field_are_recognised(run, folder, tmp_path, listing):
    bowl = tmp_path / "bowl"
    for name in "ab":
        (bowl / name / "images").mkdir(parents=True)
        (bowl / name / "masks").mkdir()
        (folder / f"{name}.tif").rename(bowl / name / "images" / f"{name}.tif")
        write_image(bowl / name / "masks" / "m.tif", np.zeros((9, 9)), axes="YX")
    run("segment", bowl, "-o", tmp_path / "out", "--no-overlay", "--no-objects")
    assert listing(tmp_path / "out") == ["a.tif", "b.tif"]
    ctc = tmp_path / "ctc"
    (ctc / "01").mkdir(parents=True)
    (ctc / "01_GT" / "SEG").mkdir(parents=True)
    (folder / "c.tif").rename(ctc / "01" / "t000.tif")
    write_image(ctc / "01_GT/SEG/man_seg000.tif", np.zeros((9, 9)), axes="YX")
    run("segment", ctc, "-o", tmp_path / "frames", "--no-overlay", "--no-objects")
    assert listing(tmp_path / "frames") == ["t000.tif"]
    (ctc / "02").mkdir()
    write_image(ctc / "02" / "t000.tif", np.zeros((9, 9)), axes="YX")
    said = run("segment", ctc, "-o", tmp_path / "both")
    assert said.line == (
        f"{ctc} holds the sequences 01, 02 of the Cell Tracking Challenge, whose "
        f"frames have the same names. Name one of them, such as {ctc / '01'}."
    )
