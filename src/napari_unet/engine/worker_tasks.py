"""Tasks: what a worker does. Importing this loads neither torch nor numba.

The same functions run on the local worker, on another machine and on a cluster: they
take plain values, and keep no state but the networks that were used last.
"""

from __future__ import annotations

import functools
import hashlib
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.run_lengths import RunLengths, encode
from napari_unet.errors import CheckpointError
from napari_unet.pipeline.model_card import ModelCard, card_of
from napari_unet.settings import Prediction, Separation

if TYPE_CHECKING:
    from napari_unet.nn.checkpoint import Model
    from napari_unet.nn.predict import Predictor

Array = npt.NDArray[Any]
Colours = npt.NDArray[np.uint8]
Choices = tuple[tuple[str, str], ...]

# Time of writing and size of a file.
Version = tuple[int, int]
_VERSIONS: dict[tuple[str, str], Version] = {}

# Networks kept, so that going back and forth between two costs nothing.
N_KEPT = 3


@dataclass(frozen=True)
class NetworkUse:
    """Which network, and how it is run.

    Parameters
    ----------
    source
        Bundled name, or path on the worker's machine.
    prediction
        Precision, averaging and storage.
    device
        As in `Options`.
    sha256
        Of the file that the caller's card describes; empty: as the file is now.
    trust, choices
        As in `load_model`.
    """

    source: str
    prediction: Prediction
    device: str
    sha256: str = ""
    trust: bool = False
    choices: Choices = ()

    @classmethod
    def of(cls, card: ModelCard, prediction: Prediction, device: str) -> NetworkUse:
        """Return the use of the model that a card describes."""
        return cls(
            card.source,
            prediction,
            device,
            sha256=card.sha256,
            trust=card.trust,
            choices=card.choices,
        )


@dataclass(frozen=True)
class Sight:
    """What is looked at, and how.

    Parameters
    ----------
    box
        Part of the sample.
    channels, separation, semantic
        As in `separate`.
    n_colours
        Colours to choose from.
    """

    box: tuple[slice, ...]
    channels: tuple[str, ...]
    separation: Separation
    semantic: bool = False
    n_colours: int = 12


@dataclass(frozen=True, eq=False)
class Looked:
    """Labels, int32, and the colour of each."""

    labels: RunLengths
    colours: Colours


def describe(source: str, *, trust: bool = False, choices: Choices = ()) -> ModelCard:
    """Load a model and return its card."""
    model = load(source, trust=trust, choices=choices)
    return card_of(model, source, trust=trust, choices=choices)


def describe_trusted(source: str, sha256: str) -> ModelCard:
    """Load a model that runs its own code, if it is still the file that was shown."""
    from napari_unet.nn.formats.inspecting import inspect_model

    if inspect_model(source).sha256 != sha256:
        raise _another(source)
    return describe(source, trust=True)


def check_device(name: str) -> None:
    """Raise `DeviceError` if this machine has no device of that name."""
    from napari_unet.nn.device import choose_device

    choose_device(name)


def warm_up(use: NetworkUse) -> None:
    """Do once what only the first call pays for: kernels, graphs, compilation."""
    predictor, model = _predictor(use), _model(use)
    recipe = model.recipe
    shape = tuple(axis.accepted_size(1) for axis in model.geometry)
    pixels = np.zeros((recipe.architecture.in_channels, *shape), np.float32)
    _device_thread().submit(predictor.probabilities, pixels).result()
    if recipe.task == "instances":
        stored = np.zeros((len(recipe.channels), *(8,) * len(shape)), np.uint16)
        stored[:, ..., 2:4] = stored[:, ..., 5:7] = 65535
        sight = Sight((slice(0, 8),) * len(shape), recipe.channels, Separation())
        look(stored.astype(use.prediction.stored), None, sight)


def device_facts(device: str) -> dict[str, Any]:
    """Return what of device and torch an answer may depend on."""
    from napari_unet.nn.device import choose_device
    from napari_unet.pipeline.local import device_facts as facts

    return facts(choose_device(device))


def predict_tile(use: NetworkUse, pixels: Array, crop: tuple[slice, ...]) -> Array:
    """Return stored probabilities (C, ...) of the cropped part of one tile.

    Raises
    ------
    DeviceFullError
        If the tile does not fit in memory.
    """
    return _on_device(use, lambda predictor: predictor(pixels, crop))


def predict_whole(use: NetworkUse, pixels: Array) -> Array:
    """Return float32 probabilities (C, ...) of all of one tile, for blending."""
    return _on_device(
        use, lambda predictor: predictor.probabilities(pixels).cpu().numpy()
    )


def separate(
    stored: Array,
    channels: tuple[str, ...],
    separation: Separation,
    *,
    semantic: bool = False,
) -> RunLengths:
    """Return the labels, int32, of one sample's probabilities (C, [Z,] Y, X)."""
    return encode(_separate(stored, channels, separation, semantic))


def colour(labels: RunLengths, before: RunLengths | None, n_colours: int) -> Colours:
    """Return a colour for each label; see `napari_unet.core.object_colours`."""
    from napari_unet.core.object_colours import next_colours

    shown = None if before is None else before.decode()
    return next_colours(labels.decode(), shown, n_colours=n_colours)


def look(stored: Array, before: Looked | None, sight: Sight) -> Looked:
    """Return labels and colours of a part of one sample.

    Parameters
    ----------
    stored
        Its probabilities (C, [Z,] Y, X).
    before
        What was seen of the same part: objects keep their colours.
    sight
        What is looked at; objects are provisional where its box cuts them.
    """
    from napari_unet.core.object_colours import next_colours

    part = stored[(slice(None), *sight.box)]
    labels = _separate(part, sight.channels, sight.separation, sight.semantic)
    shown = None if before is None else before.labels.decode(before.colours)
    colours = next_colours(labels, shown, n_colours=sight.n_colours)
    return Looked(encode(labels), colours)


def _separate(
    stored: Array, channels: tuple[str, ...], separation: Separation, semantic: bool
) -> npt.NDArray[np.int32]:
    from napari_unet.pipeline.separating import separate_sample

    # What arrived over the wire may be read-only, which the kernels would take as
    # another type and compile for again.
    stored = np.require(stored, requirements=["C", "W"])
    return separate_sample(stored, channels, separation, semantic=semantic)


def keep_file(name: str, data: bytes) -> str:
    """Keep a checkpoint that was sent to another machine; return its path there."""
    digest = hashlib.sha256(data).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"napari-unet-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / Path(name).name
    path.write_bytes(data)
    return str(path)


def _on_device(use: NetworkUse, work: Any) -> Array:
    """Run `work` with the predictor on the one thread that computes tiles."""
    from napari_unet.nn.device import is_out_of_memory, release_memory
    from napari_unet.pipeline.local import full_memory

    predictor = _predictor(use)

    def fits() -> Array | None:
        """Work, and return None if memory was full: an error would keep it so."""
        try:
            result: Array = work(predictor)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None
        return result

    for _ in range(2):
        found = _device_thread().submit(fits).result()
        if found is not None:
            return found
        release_memory(predictor.device)
    raise full_memory(predictor.device)


@functools.cache
def _device_thread() -> ThreadPoolExecutor:
    """One thread for all tiles, with as many of torch's threads as the main one has."""
    import torch

    n_threads = torch.get_num_threads()
    return ThreadPoolExecutor(1, "tile", lambda: torch.set_num_threads(n_threads))


def _predictor(use: NetworkUse) -> Predictor:
    from napari_unet.nn.device import choose_device

    return _model(use).predictor(use.prediction, choose_device(use.device))


def _model(use: NetworkUse) -> Model:
    """Return the model that the caller knows, also if its file is another by now.

    A training may write it anew while tiles are computed, which must not mix.
    """
    return load_same(use.source, use.sha256, trust=use.trust, choices=use.choices)


def load_same(
    source: str, sha256: str, *, trust: bool = False, choices: Choices = ()
) -> Model:
    """Return the model with this hash; any, if the hash is empty.

    Raises
    ------
    CheckpointError
        If the file is another by now, and the model is not kept.
    """
    version = _VERSIONS.get((source, sha256))
    if version:
        model = _load_version(source, version, trust, choices)
    else:
        model = load(source, trust=trust, choices=choices)
    if sha256 not in ("", model.sha256):
        raise _another(source)
    return model


def _another(source: str) -> CheckpointError:
    return CheckpointError(
        f"The file {Path(source).name} is another than the model that was chosen.",
        "Choose another model and then this one again, so that it is read anew.",
    )


def load(source: str, *, trust: bool = False, choices: Choices = ()) -> Model:
    """Return a model, which is kept; it is read again when its file has changed."""
    path = Path(source)
    found = path.stat() if path.exists() else None
    version = (found.st_mtime_ns, found.st_size) if found else None
    model = _load_version(source, version, trust, choices)
    if version is not None:
        _VERSIONS[source, model.sha256] = version
    return model


@functools.lru_cache(maxsize=N_KEPT)
def _load_version(
    source: str, version: Version | None, trust: bool, choices: Choices
) -> Model:
    from napari_unet.nn.checkpoint import load_model

    del version
    return load_model(source, trust=trust, choices=dict(choices))
