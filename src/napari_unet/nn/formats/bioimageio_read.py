"""A bioimage.io description, version 0.4 or 0.5, read with bioimageio.spec, offline.

The text is bounded and without references before the library sees it, nothing is
fetched, every file lies in the package, and every hash that is given is compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from napari_unet.errors import CheckpointError, SettingsError
from napari_unet.nn.formats.bioimageio_described import (
    MICROMETRES,
    AxisDescribed,
    Described,
    TensorDescribed,
    Tolerance,
    WeightsDescribed,
)
from napari_unet.nn.formats.bioimageio_extra import (
    CONFIG_KEY,
    require_bioimageio,
)
from napari_unet.nn.formats.bioimageio_steps_read import LETTERS, StepReader
from napari_unet.nn.formats.files import RegularFile, inside, shown_name
from napari_unet.nn.formats.limits import LARGEST_TEXT
from napari_unet.nn.weight_files import COPY_AGAIN, shortened

NAMES = ("rdf.yaml", "bioimageio.yaml")
# The safest first: tensors alone, a graph of operators, code.
KINDS = ("pytorch_state_dict", "onnx", "torchscript")
DOWNLOAD = "Download the whole package from bioimage.io."


def read_description(path: Path) -> Described:
    """Read a description and compare the hashes of the files that it names.

    Parameters
    ----------
    path
        The YAML file, in the package's folder.

    Raises
    ------
    CheckpointError
        If it is damaged, not a model, needs files from elsewhere, or asks for what
        cannot be done here.
    """
    require_bioimageio()
    content = _parse(RegularFile(path))
    found = _validated(content, path)
    files = _Files(path.parent)
    old = str(found.format_version).startswith("0.4")
    try:
        tensors = _old_tensors(found, files) if old else _new_tensors(found, files)
    except SettingsError as error:
        raise CheckpointError(error.problem, error.remedy) from None
    doi = (getattr(entry, "doi", None) for entry in found.cite)
    return Described(
        folder=path.parent,
        name=str(found.name),
        description=str(found.description or ""),
        authors=tuple(str(author.name) for author in found.authors),
        licence=str(found.license or ""),
        cite=tuple(str(d) for d in doi if d),
        inputs=tensors[0],
        outputs=tensors[1],
        weights=tuple(_weights(found.weights, files, old=old)),
        tolerance=_tolerance(found, old=old),
        recipe=(content.get("config") or {}).get(CONFIG_KEY),
    )


def _parse(file: RegularFile) -> dict[str, Any]:
    from ruyaml import YAML
    from ruyaml.error import YAMLError
    from ruyaml.events import AliasEvent

    if file.size > LARGEST_TEXT:
        raise CheckpointError(f"{file.name} is too long.", COPY_AGAIN)
    try:
        text = file.head(LARGEST_TEXT).decode("utf-8")
        if any(isinstance(event, AliasEvent) for event in YAML(typ="safe").parse(text)):
            raise CheckpointError(
                f"{file.name} refers to parts of itself.", "Write them out."
            )
        content = YAML(typ="safe").load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise CheckpointError(
            f"{file.name} is damaged ({shortened(said[0])}).", COPY_AGAIN
        ) from None
    if not isinstance(content, dict) or content.get("type") != "model":
        raise CheckpointError(
            f"{file.name} does not describe a model.", "Give a model's package."
        )
    return content


def _validated(content: dict[str, Any], path: Path) -> Any:
    """Return the library's own object for the description."""
    from bioimageio.spec import InvalidDescr, ValidationContext, build_description

    inputs = content.get("inputs")
    for tensor in inputs if isinstance(inputs, list) else []:
        # The library would fetch the other model.
        if isinstance(tensor, dict) and tensor.get("output_of"):
            raise CheckpointError(
                "The model takes the output of another model.",
                "Only models that take images can be run.",
            )
    context = ValidationContext(
        root=path.parent.resolve(),
        file_name=path.name,
        perform_io_checks=False,
        log_warnings=False,
    )
    try:
        with context:
            found = build_description(content, context=context)
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as e:
        raise _invalid(path, str(e)) from None
    if isinstance(found, InvalidDescr):
        raise _invalid(path, str(found.get_reason()))
    return found


def _invalid(path: Path, reason: str) -> CheckpointError:
    problem = shortened(" ".join(reason.split()))
    return CheckpointError(
        f"{shown_name(path)} is no valid description: {problem}.",
        "Correct it; bioimageio.core's `bioimageio test` shows all that is wrong.",
    )


class _Files:
    """The files of a package."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, source: Any, sha256: object = None) -> Path:
        """Return the path of a named file, with its hash compared."""
        name = str(getattr(source, "path", source))
        if "://" in str(source) or Path(name).is_absolute():
            raise CheckpointError(
                f"{shortened(str(source))} is not in the package.", DOWNLOAD
            )
        path = inside(self.folder, name)
        file = RegularFile(path)
        if sha256 is not None and file.sha256() != str(sha256):
            raise CheckpointError(
                f"{file.name} is not the file that was described: its hash differs.",
                DOWNLOAD,
            )
        return path


# -- tensors ------------------------------------------------------------------------

Both = tuple[tuple[TensorDescribed, ...], tuple[TensorDescribed, ...]]


def _new_tensors(found: Any, files: _Files) -> Both:
    def tensor(described: Any, procs: Iterable[Any]) -> TensorDescribed:
        axes = tuple(_new_axis(axis) for axis in described.axes)
        reader = StepReader("".join(a.letter for a in axes), unprocessed=True)
        test = described.test_tensor
        return TensorDescribed(
            name=str(described.id),
            axes=axes,
            steps=tuple(reader.read(p.id, _plain(p.kwargs)) for p in procs),
            test=None if test is None else files.path(test.source, test.sha256),
        )

    return (
        tuple(tensor(t, t.preprocessing) for t in found.inputs if not t.optional),
        tuple(tensor(t, t.postprocessing) for t in found.outputs),
    )


def _new_axis(axis: Any) -> AxisDescribed:
    letter = LETTERS.get(str(axis.type), str(axis.id))
    names = tuple(map(str, getattr(axis, "channel_names", ())))
    unit = MICROMETRES.get(str(getattr(axis, "unit", None)))
    return AxisDescribed(letter, names, axis.scale * unit if unit else None)


def _old_tensors(found: Any, files: _Files) -> Both:
    def tensor(described: Any, procs: Iterable[Any], test: Any) -> TensorDescribed:
        letters = str(described.axes)
        reader = StepReader(letters, unprocessed=True)
        cast = {"dtype": str(described.data_type)}
        steps = [reader.read(p.name, _plain(p.kwargs)) for p in procs]
        # What version 0.4 leaves unsaid: it starts from the described type, and the
        # network is given float32.
        if steps:
            steps.insert(0, reader.read("ensure_dtype", cast))
        return TensorDescribed(
            name=str(described.name),
            axes=tuple(AxisDescribed(letter) for letter in letters),
            steps=tuple(steps),
            test=files.path(test),
        )

    inputs = zip(found.inputs, found.test_inputs, strict=True)
    outputs = zip(found.outputs, found.test_outputs, strict=True)
    return (
        tuple(tensor(t, t.preprocessing, test) for t, test in inputs),
        tuple(tensor(t, t.postprocessing, test) for t, test in outputs),
    )


def _plain(kwargs: Any) -> dict[str, Any]:
    return {name: getattr(kwargs, name) for name in type(kwargs).model_fields}


# -- weights ------------------------------------------------------------------------


def _weights(weights: Any, files: _Files, *, old: bool) -> Iterable[WeightsDescribed]:
    entries = {kind: getattr(weights, kind, None) for kind in KINDS}
    present = {kind: entry for kind, entry in entries.items() if entry is not None}
    if not present:
        raise CheckpointError(
            "The package holds neither PyTorch nor ONNX weights.",
            "Only those can be run here.",
        )
    for kind, entry in present.items():
        path = files.path(entry.source, entry.sha256)
        if kind != "pytorch_state_dict":
            yield WeightsDescribed(kind, path)
        else:
            yield _state_dict(path, entry, files, old=old)


def _state_dict(
    path: Path, entry: Any, files: _Files, *, old: bool
) -> WeightsDescribed:
    architecture = entry.architecture
    source = getattr(architecture, "source_file" if old else "source", None)
    named = getattr(architecture, "callable_name" if old else "callable", "")
    sha256 = entry.architecture_sha256 if old else getattr(architecture, "sha256", None)
    return WeightsDescribed(
        kind="pytorch_state_dict",
        path=path,
        source=None if source is None else files.path(source, sha256),
        factory=str(named),
        arguments=dict(entry.kwargs if old else architecture.kwargs),
    )


def _tolerance(found: Any, *, old: bool) -> Tolerance:
    """Return what the description allows of its first output's state dict."""
    if old:
        return Tolerance(per_million=0.0)
    output = found.outputs[0].id
    for entry in found.config.bioimageio.reproducibility_tolerance:
        kinds, outputs = entry.weights_formats, entry.output_ids
        if (not kinds or KINDS[0] in kinds) and (not outputs or output in outputs):
            return Tolerance(
                entry.relative_tolerance,
                entry.absolute_tolerance,
                entry.mismatched_elements_per_million,
            )
    return Tolerance()
