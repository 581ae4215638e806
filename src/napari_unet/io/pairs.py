"""Pairs of image and label files: what was found, and why it belongs together.

A wrong pair teaches a network nonsense without any error, so every pair carries its
reason, and whatever could be read in two ways is refused instead of guessed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_unet.errors import ImageFileError
from napari_unet.io.names import is_image, stem

LABEL_ENDING = re.compile(
    r"(?<=.)[_\-. ](cp_masks?|masks?|labels?|gt|ground_?truth|seg|instances"
    r"|annotations?)$",
    re.IGNORECASE,
)
_IMAGE_ENDING = re.compile(r"(?<=.)[_\-. ](img|image|raw)$", re.IGNORECASE)
_BEGINNING = re.compile(r"^(masks?|labels?|gt|seg|img|image|raw)[_\-. ]+(?=.)", re.I)
_RESULT_ENDING = re.compile(
    r"(?<=.)_(overlay|probabilities|flows|cp_output|pred|prediction|predictions)$",
    re.IGNORECASE,
)
_SHOWN = 20

Key = Callable[[Path], str]


@dataclass(frozen=True)
class Pair:
    """One annotated image.

    Parameters
    ----------
    name
        What it is called in messages.
    images
        One file, or one per channel.
    labels
        One file, or as `parts` says.
    reason
        Why they belong together.
    parts
        ``"whole"``: one label file of the image's size; ``"objects"``: one mask per
        object; ``"slices"``: one label file per annotated Z slice, see `slices`.
    slices
        Z of each label file, if they are slices.
    ignore_label
        Value in the files that means "not annotated"; None: only negative values.
    group
        Images of one group show the same cells, such as the frames of a series.
    classes
        Names of the classes by number, background first, where labels are classes and
        the data say; else empty.
    """

    name: str
    images: tuple[Path, ...]
    labels: tuple[Path, ...]
    reason: str
    parts: Literal["whole", "objects", "slices"] = "whole"
    slices: tuple[int, ...] = ()
    ignore_label: int | None = None
    group: str = ""
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pairing:
    """Pairs, the convention by which they were found, and what was left out.

    Parameters
    ----------
    convention
        Its name, such as Cellpose.
    reason
        How it was recognised, one sentence.
    pairs
        At least one.
    unpaired
        Images and labels without a partner; they are not used.
    """

    convention: str
    reason: str
    pairs: tuple[Pair, ...]
    unpaired: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.pairs)

    def __str__(self) -> str:
        return self.describe(most=_SHOWN)

    def describe(self, *, most: int | None = None) -> str:
        """Return one line on the convention, one a pair, and one on what is left out.

        Parameters
        ----------
        most
            Pairs that are shown; None: all.
        """
        files = [path for pair in self.pairs for path in (*pair.images, *pair.labels)]
        root = _common_folder([*files, *self.unpaired])
        count = f"{len(self)} pair" + "s" * (len(self) != 1)
        lines = [f"{self.convention}: {self.reason} {count} in {root}:"]
        lines += [_pair_line(pair, root) for pair in self.pairs[:most]]
        hidden = len(self) - len(self.pairs[:most])
        lines += [f"... and {hidden} more"] * (hidden > 0)
        if self.unpaired:
            lines.append(f"left out, without a partner: {shown(self.unpaired, root)}")
        return "\n".join(lines)


def _pair_line(pair: Pair, root: Path) -> str:
    images, labels = _files(pair.images, root), _files(pair.labels, root)
    return f"  {images} <- {labels} ({pair.reason})"


def _files(paths: Sequence[Path], root: Path) -> str:
    if len(paths) == 1:
        return relative(paths[0], root)
    if len({path.parent for path in paths}) == 1:
        folder = relative(paths[0].parent, root)
        return f"{folder}{os.sep}{paths[0].name} and {len(paths) - 1} more"
    return shown(paths, root)


def _common_folder(paths: Sequence[Path]) -> Path:
    try:
        return Path(os.path.commonpath([path.parent for path in paths]))
    except ValueError:  # relative and absolute, or two drives
        return Path()


def relative(path: Path, root: Path) -> str:
    """Return `path` below `root`, or all of it."""
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def shown(paths: Sequence[Path], root: Path, *, most: int = 5) -> str:
    """Return some paths in one line, and how many more there are."""
    names = ", ".join(relative(path, root) for path in paths[:most])
    more = len(paths) - most
    return f"{names} and {more} more" if more > 0 else names


def visible(folder: Path) -> list[Path]:
    """Return what is in a folder, by name, without hidden files."""
    return sorted(p for p in folder.iterdir() if not p.name.startswith("."))


def folders_in(folder: Path) -> list[Path]:
    """Return the visible folders in a folder."""
    return [path for path in visible(folder) if path.is_dir()]


def image_files(folder: Path) -> list[Path]:
    """Return images and labels directly in a folder, by name.

    Files that look like results of a prediction (``_overlay``, ``_probabilities``,
    ``_flows``, ``_pred``) and Cellpose's pickles (``_seg.npy``) are left out.
    """
    return [p for p in visible(folder) if is_image(p) and not _is_result(p)]


def _is_result(path: Path) -> bool:
    return bool(_RESULT_ENDING.search(stem(path))) or is_cellpose_pickle(path)


def is_cellpose_pickle(path: Path) -> bool:
    """Whether a file is named like Cellpose's ``_seg.npy``, which is never opened."""
    return path.name.lower().endswith("_seg.npy")


def looks_like_labels(path: Path) -> bool:
    """Whether a file's name ends like ``_masks``, ``_label`` or ``_gt``."""
    return bool(LABEL_ENDING.search(stem(path)))


def exact_key(path: Path) -> str:
    """Return the name of a file without suffixes, in one case."""
    return stem(path).casefold()


def ending_key(path: Path) -> str:
    """Return `exact_key` without endings such as ``_masks`` and ``_img``."""
    name = LABEL_ENDING.sub("", stem(path))
    return _IMAGE_ENDING.sub("", name).casefold()


def bare_key(path: Path) -> str:
    """Return `ending_key` also without beginnings such as ``mask_`` and ``img_``."""
    return _BEGINNING.sub("", ending_key(path))


def by_key(paths: Iterable[Path], key: Key, *, what: str) -> dict[str, Path]:
    """Return files by key; two files of one key are refused.

    Parameters
    ----------
    paths, key
        Files, and what they are called by.
    what
        ``"images"`` or ``"labels"``, for the message.
    """
    named: dict[str, Path] = {}
    for path in paths:
        if key(path) in named:
            raise ImageFileError(
                f"{named[key(path)]} and {path} could both be the {what} of "
                f"{key(path)!r}.",
                "Move one of them to another folder, so that it is clear which is "
                "meant.",
            )
        named[key(path)] = path
    return named


def match(
    images: Sequence[Path], labels: Sequence[Path]
) -> tuple[list[Pair], tuple[Path, ...]]:
    """Pair files by name: by equal names if that pairs a whole side, else by bare ones.

    Returns
    -------
    pairs
        Empty if no names match.
    unpaired
        Files of both sides without a partner.

    Raises
    ------
    ImageFileError
        If two files of one side have the same bare name.
    """
    left = {exact_key(path) for path in images}
    right = {exact_key(path) for path in labels}
    exact = left <= right or right <= left
    key, reason = (exact_key, "same name") if exact else (bare_key, "same bare name")
    named = by_key(images, key, what="images"), by_key(labels, key, what="labels")
    pairs = [
        Pair(stem(image), (image,), (named[1][name],), reason)
        for name, image in named[0].items()
        if name in named[1]
    ]
    both = named[0].keys() & named[1].keys()
    return pairs, tuple(p for p in (*images, *labels) if key(p) not in both)
