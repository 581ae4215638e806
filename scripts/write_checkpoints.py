"""Write docs/checkpoints.md: every family that is recognised, with its evidence.

Networks of the original packages are made here with random weights, read back from
their state dicts alone, and both are run on the same image. The pairs of inputs and
outputs in a folder of checkpoints are reproduced too. Packages that are not installed
leave their earlier lines, which are marked.

    python scripts/write_checkpoints.py --pairs FOLDER
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.families import FAMILIES
from napari_unet.nn.formats.reading import read_network

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "nn" / "formats"))
import zoo  # noqa: E402
from originals import CASES, Case, jittered  # noqa: E402

# Of learning, for each network of the zoo.
STEPS = 40
PAGE = ROOT / "docs" / "checkpoints.md"

HEAD = """# Checkpoints from elsewhere

*Written by `scripts/write_checkpoints.py`; do not edit.*

`nu.load_model` and `napari-unet inspect` read the architecture off the tensors of a
file; none of its code is run. What shapes cannot tell (padding, activation, order of
concatenation, ...) is answered, in this order, by your choice
(`load_model(..., choices={"padding": "valid"})`, `--assume padding=valid`), by what is
known of the family, and by evidence: the running statistics of batch norm against what
each candidate gives, the norms of neighbouring weights, and the numbering of layers. The
report names every assumption, its runner-up and the margin between them.

A family is **verified** when its output equals the original's on the same image;
otherwise it is recognised, but unverified. A file of a verified family with an option that
was never compared is reported as such. Where the running statistics do not fit, or there
are none, the report says that nothing confirms what was assumed: a *doubt*, which the
model's card in napari shows, too; *Answers…* beneath it takes the same choices.

## Against the original packages

Random weights; the largest difference of the logits, and the largest logit.

| network | family | package | difference | of |
|---|---|---|---|---|
"""

PAIRS = """
## Against shipped outputs

Inputs and outputs that came with the weights; the pairs are not part of this repository.

| checkpoint | family | answers given | difference | of |
|---|---|---|---|---|
"""

ZOO_HEAD = """
## Networks of no known family

Small networks in the many styles in which people write and save U-Nets, made for this
table (`tests/nn/formats/zoo.py`): each learns for a few steps, is saved, and is read
from its file alone. *Misfit* is how far its running statistics are from what the network
that was read makes of other images; a large one, or none, is told as a doubt.

| network | saved | answers given | outcome | misfit |
|---|---|---|---|---|
"""

FAMILIES_HEAD = """
## All families

| family | status | known without asking |
|---|---|---|
"""

TAIL = """
Files of no known family are read in the same way, without the last column: their wiring
is searched (encoder, bottleneck, decoder, skips, from channel counts and the order of
keys), and every open question is ranked by evidence. Norms with running statistics make
this reliable; in files without them, look at the margins. Statistics that fit no candidate
(of a training that hardly began) are not believed: what is usual is assumed, with a doubt.
What leaves no trace in tensors can be told: `epsilon=1e-3` of the norms,
`output=plus_input` (the result is added to the image), `pooling=max_3` (windows of 3 pixels,
2 apart), `factors=2x2,4x4`, `activation=leaky_relu_0.3`, `norm=group_12`.

Refused by name: squeeze-and-excitation, other attention over channels and fully connected
parts, recurrent convolutions, encoders of segmentation-models-pytorch other than ResNet,
attention gates of another build, 1-D networks, files of several networks, convolutions
that no U-Net can hold, and those that only fit one against their names and order, as where
pixels are shuffled. Each refusal says what to do: such networks run as they are, exported
as ONNX or TorchScript. Dilation, a residual sum without a projection and several runs of
one convolution leave no trace: they show themselves as a misfit at most.

[Safety](safety.md) counts the hostile files and the fuzzer's mutations;
[bioimage.io](bioimageio.md#out-and-in-again) shows what went out and came in again.
"""


@dataclass(frozen=True)
class Pair:
    """A checkpoint with an input and its output."""

    folder: str
    activation: str = ""
    choices: Mapping[str, str] | None = None


KNOWN_PAIRS = (
    Pair("giacomo_brain_mri_layers_bn", "sigmoid"),
    Pair("bioimageio_unet2d_fixed_shape"),
    Pair("bioimageio_unet2d_diff_output_shape", choices={"output": "half"}),
    Pair("bioimageio_unet2d_multi_tensor"),
)


def difference(network: nn.Module, read: nn.Module, case: Case) -> tuple[float, float]:
    """Return the largest difference of outputs, and the largest output."""
    torch.manual_seed(1)
    x = torch.randn(case.shape)
    with torch.no_grad():
        wanted = case.logits(network, x)
        return float((read(x) - wanted).abs().max()), float(wanted.abs().max())


def original_lines() -> Iterator[str]:
    """Yield a table line for each network of an original package that is there."""
    for case in CASES:
        try:
            network = jittered(case.make())
            version = metadata.version(case.package)
        except ImportError:
            print(f"{case.name}: {case.package} is not installed", file=sys.stderr)
            continue
        reading = read_network(
            network.state_dict(), case.name, choices=case.choices, hints=case.hints
        )
        found, most = difference(network, reading.network, case)
        yield (
            f"| {case.name} | {reading.report.family} | {case.package} {version} | "
            f"{found:.1e} | {most:.2g} |\n"
        )


def pair_lines(folder: Path) -> Iterator[str]:
    """Yield a table line for each pair in `folder`."""
    for pair in KNOWN_PAIRS:
        path = folder / pair.folder
        if not path.is_dir():
            continue
        file: Any = torch.load(
            path / "weights.pt", map_location="cpu", weights_only=True
        )
        tensors = file.get("state_dict", file)
        with np.load(path / "pair.npz") as arrays:
            images = [arrays[k] for k in sorted(arrays) if k.startswith("input")]
            outputs = [arrays[k] for k in sorted(arrays) if k.startswith("output")]
        reading = read_network(tensors, pair.folder, choices=pair.choices)
        result = reading.network(torch.from_numpy(np.concatenate(images, axis=1)))
        if pair.activation:
            result = getattr(result, pair.activation)()
        wanted = np.concatenate(outputs, axis=1)
        found = float(np.abs(result.numpy() - wanted).max())
        told = ", ".join(f"{k}={v}" for k, v in (pair.choices or {}).items()) or "none"
        yield (
            f"| {pair.folder} | {reading.report.family} | {told} | {found:.1e} | "
            f"{float(np.abs(wanted).max()):.2g} |\n"
        )


def zoo_lines() -> Iterator[str]:
    """Yield a table line for each network of the zoo."""
    with tempfile.TemporaryDirectory() as folder:
        for outcome in zoo.judged(Path(folder), STEPS):
            animal = outcome.animal
            told = ", ".join(f"{k}={v}" for k, v in animal.choices.items()) or "none"
            found = f"equal to {outcome.difference:.0e} of its largest value"
            if outcome.refusal:
                found = f"refused: {outcome.refusal}"
            elif outcome.difference > 1e-4:
                found = f"**wrong**, by {outcome.difference:.0e}"
            misfit = "none" if outcome.misfit is None else f"{outcome.misfit:.2f}"
            yield f"| {animal.name} | {animal.save} | {told} | {found} | {misfit} |\n"


def family_lines() -> Iterator[str]:
    """Yield a table line for each family."""
    for family in FAMILIES:
        status = "verified" if family.verified else "recognised, unverified"
        known = ", ".join(f"{k} {v}" for k, v in family.known.items())
        yield f"| {family.name} | {status} | {known} |\n"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=Path, help="folder of checkpoints with pairs")
    arguments = parser.parse_args()
    parts: list[Callable[[], Iterator[str]] | str] = [HEAD, original_lines]
    if arguments.pairs:
        parts += [PAIRS, lambda: pair_lines(arguments.pairs)]
    parts += [ZOO_HEAD, zoo_lines, FAMILIES_HEAD, family_lines, TAIL]
    try:
        text = "".join(p if isinstance(p, str) else "".join(p()) for p in parts)
    except CheckpointError as error:
        sys.exit(str(error))
    PAGE.write_text(text, encoding="utf-8")
    print(f"{PAGE} written")


if __name__ == "__main__":
    main()
