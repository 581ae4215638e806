"""Pairs in the layouts of the Cell Tracking Challenge and of nnU-Net.

Both encode meaning in file names: frames and slices in one, channels in the other.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from napari_unet.errors import ImageFileError
from napari_unet.io.names import stem
from napari_unet.io.nnunet_dataset import Dataset, read_dataset
from napari_unet.io.pairing_folders import some_images
from napari_unet.io.pairs import (
    Pair,
    Pairing,
    by_key,
    exact_key,
    folders_in,
    image_files,
)

_SEQUENCE = re.compile(r"\d{2,3}")
_FRAME = re.compile(r"t(\d{3,})")
_TRUTH = re.compile(r"man_seg(\d{3,})")
_SLICE = re.compile(r"man_seg_(\d{3,})_(\d{3,})")
_CHANNEL = re.compile(r"(.+)_(\d{4})")
_KINDS = {"GT": "gold truth", "ST": "silver truth"}

Truth = dict[int, tuple[tuple[Path, ...], tuple[int, ...]]]


def find_tracking_challenge(folder: Path) -> Pairing | None:
    """Recognise ``01/t000.tif`` with ``01_GT/SEG/man_seg000.tif``.

    `folder` holds sequences, or is one. Silver truth (``01_ST``) serves for frames
    without gold truth. Gold slices of a stack (``man_seg_000_012.tif``) leave the
    other slices unannotated.
    """
    if _is_sequence(folder):
        return _pair_sequences([folder], tuple(_KINDS))
    return _pair_sequences(folders_in(folder), tuple(_KINDS))


def pair_tracking_challenge(images: Path, labels: Path) -> Pairing | None:
    """Recognise a sequence and its truth, given as ``01`` and ``01_GT`` (or a SEG)."""
    truth = labels.parent if labels.name == "SEG" else labels
    kind = truth.name.removeprefix(f"{images.name}_")
    if kind not in _KINDS or truth.parent.resolve() != images.parent.resolve():
        return None
    return _pair_sequences([images], (kind,))


def _is_sequence(folder: Path) -> bool:
    """Whether a folder is named like a sequence and has truth beside it."""
    named = _SEQUENCE.fullmatch(folder.name) is not None
    return named and any(_truth_folder(folder, kind).is_dir() for kind in _KINDS)


def _truth_folder(sequence: Path, kind: str) -> Path:
    return sequence.with_name(f"{sequence.name}_{kind}") / "SEG"


def _pair_sequences(folders: list[Path], kinds: tuple[str, ...]) -> Pairing | None:
    sequences = [folder for folder in folders if _is_sequence(folder)]
    pairs: list[Pair] = []
    unpaired: list[Path] = []
    for sequence in sequences:
        found, rest = _pair_frames(sequence, kinds)
        pairs += found
        unpaired += rest
    if not pairs:
        return None
    reason = "frames tTTT lie beside their truth man_segTTT in SEG/."
    return Pairing("Cell Tracking Challenge", reason, tuple(pairs), tuple(unpaired))


def _pair_frames(
    sequence: Path, kinds: tuple[str, ...]
) -> tuple[list[Pair], list[Path]]:
    """Return the pairs of a sequence, and the frames without truth."""
    truths = {kind: frame_truths(_truth_folder(sequence, kind)) for kind in kinds}
    pairs, unpaired = [], []
    for path in image_files(sequence):
        named = _FRAME.fullmatch(stem(path))
        kind = next((k for k in kinds if named and int(named[1]) in truths[k]), "")
        if named is None or not kind:
            unpaired.append(path)
            continue
        files, slices = truths[kind][int(named[1])]
        pairs.append(_frame_pair(path, files, slices, kind=_KINDS[kind]))
    return pairs, unpaired


def _frame_pair(
    path: Path, files: tuple[Path, ...], slices: tuple[int, ...], *, kind: str
) -> Pair:
    group = path.parent.name
    number = stem(path).removeprefix("t")
    reason = f"{kind} of frame {number}"
    if slices:
        reason += f", {len(slices)} slice{'s' * (len(slices) > 1)} of the stack"
    return Pair(
        f"{group}_{stem(path)}",
        (path,),
        files,
        reason,
        parts="slices" if slices else "whole",
        slices=slices,
        group=group,
    )


def frame_truths(folder: Path) -> Truth:
    """Return files and slices by frame; slices are empty where a file is the frame.

    `folder` is a ``SEG`` of the Cell Tracking Challenge.
    """
    whole: dict[int, list[Path]] = defaultdict(list)
    slices: dict[int, dict[int, Path]] = defaultdict(dict)
    for path in image_files(folder) if folder.is_dir() else ():
        if match := _TRUTH.fullmatch(stem(path)):
            whole[int(match[1])].append(path)
        elif match := _SLICE.fullmatch(stem(path)):
            slices[int(match[1])][int(match[2])] = path
    for frame, paths in whole.items():
        if len(paths) > 1 or frame in slices:
            raise ImageFileError(
                f"{folder} holds more than one truth of frame {frame}.",
                "Keep either the whole frame or its slices, and one file of each.",
            )
    found: Truth = {frame: (tuple(paths), ()) for frame, paths in whole.items()}
    for frame, by_z in slices.items():
        found[frame] = (tuple(by_z[z] for z in sorted(by_z)), tuple(sorted(by_z)))
    return found


def find_nnunet(folder: Path) -> Pairing | None:
    """Recognise ``imagesTr/case_0000.tif`` with ``labelsTr/case.tif`` of nnU-Net v2."""
    images, labels = folder / "imagesTr", folder / "labelsTr"
    return pair_nnunet(images, labels) if images.is_dir() and labels.is_dir() else None


def pair_nnunet(images: Path, labels: Path) -> Pairing | None:
    """Recognise two folders whose images carry nnU-Net's channel number.

    ``dataset.json`` beside them names the classes, and the value that means "not
    annotated".

    Raises
    ------
    ImageFileError
        If cases differ in their channels, a case has two labels, or dataset.json
        cannot be read.
    """
    channels, others = _channels(some_images(images))
    every = some_images(labels)
    known = [path for path in every if exact_key(path) in channels]
    cases = by_key(known, exact_key, what="labels")
    paired = {case: files for case, files in channels.items() if case in cases}
    if not paired:
        return None
    _check_channels(paired, images)
    described = read_dataset(images.parent / "dataset.json")
    pairs = [
        _case_pair(files, cases[case], described) for case, files in paired.items()
    ]
    unpaired = [p for c, files in channels.items() if c not in cases for p in files]
    unpaired += [*others, *(path for path in every if path not in known)]
    reason = "images carry the channel as _0000 and are named like their labels."
    if described.ignore is not None:
        reason = f"{reason[:-1]}; dataset.json ignores the value {described.ignore}."
    return Pairing("nnU-Net", reason, tuple(pairs), tuple(unpaired))


def _channels(paths: list[Path]) -> tuple[dict[str, list[Path]], list[Path]]:
    """Return the channel files by case, and the files without a channel number."""
    cases: dict[str, list[Path]] = defaultdict(list)
    others: list[Path] = []
    for path in sorted(paths, key=exact_key):
        match = _CHANNEL.fullmatch(exact_key(path))
        (cases[match[1]] if match else others).append(path)
    return cases, others


def _check_channels(cases: dict[str, list[Path]], folder: Path) -> None:
    """Refuse a case with missing, doubled or more channels than the first case."""
    first = next(iter(cases))
    wanted = [f"{c:04d}" for c in range(len(cases[first]))]
    for case, files in cases.items():
        found = [exact_key(path)[-4:] for path in files]
        if found != wanted:
            raise ImageFileError(
                f"The case {case} in {folder} has the channels {', '.join(found)}, "
                f"but {', '.join(wanted)} were expected.",
                "Give every case the same channels, one file each, counted from 0000.",
            )


def _case_pair(files: list[Path], labels: Path, described: Dataset) -> Pair:
    reason = f"same case, {len(files)} channel{'s' * (len(files) > 1)}"
    return Pair(
        stem(labels),
        tuple(files),
        (labels,),
        reason,
        ignore_label=described.ignore,
        classes=described.classes,
    )
