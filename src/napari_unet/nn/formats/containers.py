"""Containers: from a path to what is in the file, by what the file begins with.

One row a format: how it is recognised, and what opens it. Kinds of file that are often
given by mistake are told by name.
"""

from __future__ import annotations

from pathlib import Path

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.archives import ZIP_MAGIC
from napari_unet.nn.formats.bioimageio_open import (
    described_inside,
    find_description,
    open_package,
    open_package_zip,
)
from napari_unet.nn.formats.contents import Contents
from napari_unet.nn.formats.files import RegularFile
from napari_unet.nn.formats.nnunet_folder import is_nnunet_folder, open_nnunet_folder
from napari_unet.nn.formats.onnx_file import open_onnx
from napari_unet.nn.formats.safetensors_file import is_safetensors, open_safetensors
from napari_unet.nn.formats.torch_legacy import LEGACY_MAGIC, open_torch_legacy
from napari_unet.nn.formats.torch_zip import open_torch_zip

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".onnx", ".pkl")
HEAD = 512
# What a file that begins so is, and what to do.
MISTAKES = (
    (
        b"version https://git-lfs",
        "a Git LFS pointer, not the file",
        "Run git lfs pull.",
    ),
    (b"<!DOCTYPE", "a web page", "Download the file itself."),
    (b"<!doctype", "a web page", "Download the file itself."),
    (b"<html", "a web page", "Download the file itself."),
    (b"\x89HDF\r\n", "an HDF5 file (Keras, Caffe)", "Convert it to ONNX first."),
    (b"\x1f\x8b", "packed with gzip", "Unpack it first."),
    (b"7z\xbc\xaf", "a 7z archive", "Unpack it first."),
    (b"Rar!", "a RAR archive", "Unpack it first."),
    (b"\x93NUMPY", "a NumPy array", "Give the network's checkpoint."),
    (b"II*\0", "a TIFF image", "Give the network's checkpoint."),
    (b"MM\0*", "a TIFF image", "Give the network's checkpoint."),
    (b"\x89PNG", "a PNG image", "Give the network's checkpoint."),
)


def open_checkpoint(
    path: str | Path,
    *,
    trust: bool = False,
    weights: str | None = None,
    fold: str | None = None,
) -> Contents:
    """Open a checkpoint and list what is in it; nothing in it is executed.

    Parameters
    ----------
    path
        A file of weights, of ONNX or TorchScript, a model folder of nnU-Net, or a
        bioimage.io package: its folder, its zip or its description.
    trust
        Whether code in the file may be executed when its network is asked for.
    weights
        Which set of weights, where a file holds several; None: chosen, and said.
    fold
        Which fold of an nnU-Net folder; None: the first.

    Raises
    ------
    CheckpointError
        If it cannot be read, is damaged, made to do harm, or no checkpoint.
    """
    description = find_description(Path(path))
    if description is not None:
        return open_package(description, trust=trust, weights=weights)
    if Path(path).is_dir():
        return _open_nnunet(Path(path), fold=fold, weights=weights)
    file = RegularFile(path)
    head = file.head(HEAD)
    if head.startswith(ZIP_MAGIC):
        return _open_zip(file, trust=trust, weights=weights)
    if head.startswith(LEGACY_MAGIC):
        return open_torch_legacy(file, weights=weights)
    if file.path.suffix.lower() == ".onnx":
        return open_onnx(file)
    if is_safetensors(head):
        return open_safetensors(file, weights=weights)
    raise _unknown(file, head)


def _open_nnunet(folder: Path, *, fold: str | None, weights: str | None) -> Contents:
    if is_nnunet_folder(folder):
        return open_nnunet_folder(folder, fold=fold, weights=weights)
    raise CheckpointError(
        f"{folder} is a folder of no known kind.",
        "Give a checkpoint, a bioimage.io package or a model folder of nnU-Net.",
    )


def _open_zip(file: RegularFile, *, trust: bool, weights: str | None) -> Contents:
    record = described_inside(file)
    if record is not None:
        return open_package_zip(file, record, trust=trust, weights=weights)
    return open_torch_zip(file, trust=trust, weights=weights)


def _unknown(file: RegularFile, head: bytes) -> CheckpointError:
    if not head:
        return CheckpointError(f"{file.name} is empty.", "Copy or download it again.")
    for magic, kind, remedy in MISTAKES:
        if head.startswith(magic):
            return CheckpointError(f"{file.name} is {kind}.", remedy)
    if head[:1] == b"\x80" or head[257:262] == b"ustar":
        return CheckpointError(
            f"{file.name} is a bare pickle, which only its own program can read.",
            "Save it with torch.save(network.state_dict(), path).",
        )
    return CheckpointError(
        f"{file.name} is not a checkpoint of a known kind, or is damaged.",
        f"Give a file that ends in {', '.join(SUFFIXES)}.",
    )
