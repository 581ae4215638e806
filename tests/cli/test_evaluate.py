"""Scores through the shell, against a brute force over all pairs of objects."""

from __future__ import annotations

import csv
import itertools
import json

import numpy as np
import pytest
from PIL import Image

from napari_unet.io.write import write_image, write_labels


def iou_table(prediction, truth):
    """IoU of every pair, dense and slow."""
    rows = [i for i in np.unique(truth) if i > 0]
    cols = [i for i in np.unique(prediction) if i > 0]
    table = np.zeros((len(rows), len(cols)))
    for (r, i), (c, j) in itertools.product(enumerate(rows), enumerate(cols)):
        a, b = truth == i, prediction == j
        table[r, c] = (a & b).sum() / (a | b).sum()
    return table


def brute_force(pairs, threshold=0.5):
    """Pooled TP/(TP+FP+FN); above one half no object can have two partners."""
    tp = n = m = 0
    for prediction, truth in pairs:
        table = iou_table(prediction, truth)
        tp += int((table > threshold).sum())
        n, m = n + table.shape[0], m + table.shape[1]
    return tp / (n + m - tp)


@pytest.fixture
def scenes(make_cells):
    """Pairs of predicted and true labels: shifted, thinned, and one empty."""
    pairs = {}
    for seed, name in enumerate("abc"):
        truth = make_cells(seed)[1].astype(np.int32)
        prediction = np.roll(truth, seed + 1, axis=0)
        prediction[prediction == 2] = 0
        pairs[name] = prediction, truth
    pairs["d"] = np.zeros((9, 9), np.int32), np.zeros((9, 9), np.int32)
    return pairs


@pytest.fixture
def folders(tmp_path, scenes):
    for side in (0, 1):
        folder = tmp_path / ("found", "true")[side]
        folder.mkdir()
        for name, pair in scenes.items():
            write_labels(folder / f"{name}.tif", pair[side], axes="YX")
    return tmp_path / "found", tmp_path / "true"


def test_scores_of_folders_equal_a_brute_force(run, folders, scenes):
    said = run("evaluate", *folders, "--json")
    assert (said.status, said.err) == (0, "")
    scores = json.loads(said.out)
    for threshold in (0.55, 0.75):
        wanted = brute_force(scenes.values(), threshold)
        assert 0.1 < wanted < 1
        assert scores[f"ap@{threshold}"] == pytest.approx(wanted)
    assert scores["n_images"] == 4


def test_the_printed_table(run, folders, scenes):
    said = run("evaluate", *folders)
    wanted = brute_force(scenes.values(), 0.75)
    line = next(x for x in said.out.splitlines() if x.startswith("AP at IoU 0.75"))
    assert float(line.split()[-1]) == pytest.approx(wanted, abs=5e-5)
    assert said.out.splitlines()[-1].startswith("4 image(s), ")


def test_the_table_of_objects(run, folders, scenes, tmp_path):
    run("evaluate", *folders, "--csv", tmp_path / "objects.csv")
    with (tmp_path / "objects.csv").open() as file:
        rows = list(csv.DictReader(file))
    for side, index in (("truth", 1), ("prediction", 0)):
        found = {(r["image"], int(r["id"])) for r in rows if r["side"] == side}
        assert found == {
            (f"{name}.tif", int(i))
            for name, pair in scenes.items()
            for i in np.unique(pair[index])
            if i
        }
    missed = {r["image"] for r in rows if r["kind"] == "missed" and r["id"] == "2"}
    assert missed == {"a.tif", "b.tif", "c.tif"}


def test_pictures_and_tables_beside_the_labels_are_no_predictions(run, folders):
    found, _ = folders
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(found / "a_overlay.png")
    (found / "a_objects.csv").write_text("label\n1\n")
    before = run("evaluate", *folders, "--json")
    assert before.status == 0
    assert json.loads(before.out)["n_images"] == 4


def test_files_without_a_partner_are_named(run, folders):
    found, true = folders
    (true / "d.tif").unlink()
    said = run("evaluate", *folders)
    assert said.err == f"{found / 'd.tif'} has no partner and is left out.\n"
    assert said.out.splitlines()[-1].startswith("3 image(s), ")


def test_two_files_of_any_name(run, folders, scenes):
    found, true = folders
    (found / "a.tif").rename(found / "other.tif")
    said = run("evaluate", found / "other.tif", true / "a.tif", "--json")
    wanted = brute_force([scenes["a"]], 0.55)
    assert json.loads(said.out)["ap@0.55"] == pytest.approx(wanted)


def test_pixels_without_annotation_do_not_count(run, tmp_path, make_cells):
    truth = make_cells()[1].astype(np.int32)
    prediction = truth.copy()
    prediction[:20] = 99
    truth[:20] = -1
    for value, flags in ((-1, ()), (77, ("--ignore", 77))):
        truth[:20] = value
        write_labels(tmp_path / "truth.tif", truth, axes="YX")
        write_labels(tmp_path / "found.tif", prediction, axes="YX")
        files = (tmp_path / "found.tif", tmp_path / "truth.tif")
        scores = json.loads(run("evaluate", *files, "--json", *flags).out)
        assert (scores["ap@0.95"], scores["dice"]) == (1.0, 1.0)
        (tmp_path / "truth.tif").unlink()


def test_frames_are_scored_one_by_one(run, tmp_path, make_cells):
    truth = np.stack([make_cells(seed)[1] for seed in (0, 1)]).astype(np.int32)
    prediction = np.roll(truth, 2, axis=1)
    write_labels(tmp_path / "truth.tif", truth, axes="TYX")
    write_labels(tmp_path / "found.tif", prediction, axes="TYX")
    files = (tmp_path / "found.tif", tmp_path / "truth.tif")
    scores = json.loads(run("evaluate", *files, "--json").out)
    wanted = brute_force(zip(prediction, truth, strict=True), 0.75)
    assert scores["ap@0.75"] == pytest.approx(wanted)
    assert scores["n_images"] == 2


def test_slices_that_are_not_linked_are_scored_one_by_one(run, tmp_path, make_cells):
    stack = np.stack([make_cells(seed)[0] for seed in (0, 1)])
    true = np.stack([make_cells(seed)[1] for seed in (0, 1)]).astype(np.int32)
    write_image(tmp_path / "stack.tif", stack, axes="ZYX")
    write_labels(tmp_path / "truth.tif", true, axes="ZYX")
    alone, linked = tmp_path / "alone.tif", tmp_path / "linked.tif"
    run("segment", tmp_path / "stack.tif", "-o", alone)
    run("segment", tmp_path / "stack.tif", "-o", linked, "--link", "Z")
    said = run("evaluate", alone, tmp_path / "truth.tif", "--json")
    assert "each slice is scored on its own" in said.err
    assert json.loads(said.out)["n_images"] == 2
    said = run("evaluate", linked, tmp_path / "truth.tif", "--json")
    assert (said.err, json.loads(said.out)["n_images"]) == ("", 1)


def test_truth_of_the_cell_tracking_challenge(run, folders, tmp_path, scenes):
    found, _ = folders
    seg = tmp_path / "01_GT" / "SEG"
    seg.mkdir(parents=True)
    for frame, name in enumerate("abc"):
        (found / f"{name}.tif").rename(found / f"mask{frame:03}.tif")
        write_labels(seg / f"man_seg{frame:03}.tif", scenes[name][1], axes="YX")
    wanted = brute_force([scenes[name] for name in "abc"], 0.55)
    for truth in (seg, seg.parent):
        said = run("evaluate", found, truth, "--json")
        assert json.loads(said.out)["ap@0.55"] == pytest.approx(wanted)
        assert said.err == f"{found / 'd.tif'} has no partner and is left out.\n"


def test_truth_of_the_data_science_bowl(run, folders, tmp_path, scenes):
    found, _ = folders
    bowl = tmp_path / "bowl"
    for name in "abc":
        truth = scenes[name][1]
        (bowl / name / "images").mkdir(parents=True)
        (bowl / name / "masks").mkdir()
        write_image(bowl / name / "images" / f"{name}.png.tif", truth, axes="YX")
        for label in np.unique(truth)[1:]:
            mask = np.uint8(255) * (truth == label)
            Image.fromarray(mask).save(bowl / name / "masks" / f"m{label}.png")
    said = run("evaluate", found, bowl, "--json")
    wanted = brute_force([scenes[name] for name in "abc"], 0.55)
    assert json.loads(said.out)["ap@0.55"] == pytest.approx(wanted)


def test_classes(run, tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, (20, 20)).astype(np.uint8)
    found = np.where(rng.random((20, 20)) < 0.7, truth, 0).astype(np.uint8)
    truth[0] = 255
    Image.fromarray(truth).save(tmp_path / "truth.png")
    Image.fromarray(found).save(tmp_path / "found.png")
    files = (tmp_path / "found.png", tmp_path / "truth.png")
    scores = json.loads(run("evaluate", *files, "--classes", 3).out)
    a, b = found[1:], truth[1:]
    assert scores["pixel_accuracy"] == pytest.approx((a == b).mean())
    for label in range(3):
        both = ((a == label) & (b == label)).sum()
        either = ((a == label) | (b == label)).sum()
        assert scores["iou"][str(label)] == pytest.approx(both / either)


def test_refusals(run, tmp_path, folders):
    found, true = folders
    assert "does not exist" in run("evaluate", found, tmp_path / "no").line
    assert "does not exist" in run("evaluate", tmp_path / "no", true).line
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no images" in run("evaluate", empty, true).line
    write_labels(tmp_path / "small.tif", np.ones((5, 5), np.int32), axes="YX")
    said = run("evaluate", found / "a.tif", tmp_path / "small.tif")
    assert said.line == (
        f"{found / 'a.tif'} has the shape (96, 96), but its truth "
        f"{tmp_path / 'small.tif'} has (5, 5). Compare label images of the same pixels."
    )
    write_image(tmp_path / "p.tif", np.full((96, 96), 0.5), axes="YX")
    said = run("evaluate", tmp_path / "p.tif", true / "a.tif")
    assert "p.tif holds fractions or NaN" in said.line
    colour = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    Image.fromarray(colour).save(tmp_path / "colour.png")
    said = run("evaluate", tmp_path / "colour.png", true / "a.tif")
    assert "is a colour picture, not labels" in said.line
    write_labels(tmp_path / "minus.tif", np.full((96, 96), -1), axes="YX")
    said = run("evaluate", tmp_path / "minus.tif", true / "a.tif")
    assert "holds negative labels" in said.line
    (tmp_path / "o.csv").write_text("mine")
    said = run("evaluate", found, true, "--csv", tmp_path / "o.csv")
    assert "exists already" in said.line
