"""Write a table into docs/bioimageio.md: models that went to bioimage.io and back.

Each is exported, which runs bioimageio.core's test in a fresh process, and opened again.

    python scripts/round_trip.py
"""

from __future__ import annotations

import sys
import tempfile
from importlib import metadata
from pathlib import Path

import torch

import napari_unet as nu
from napari_unet.nn.checkpoint import Model

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "nn" / "formats"))
import zoo  # noqa: E402
from zoo_training import save, train  # noqa: E402

PAGE = ROOT / "docs" / "bioimageio.md"
TITLE = "## Out and in again\n"
HEAD = """
*Written by `scripts/round_trip.py`.* Exported, tested by bioimageio.core {core} in a fresh
process, opened again; the largest difference of the logits on another image. The networks
from elsewhere were read off their tensors first.

| model | tests passed | difference |
|---|---|---|
"""
CREDITS = nu.Credits(authors=("Ada Lovelace",), licence="CC-BY-4.0")
ELSEWHERE = ("lists of pairs", "residual", "U-Net on a ResNet")
SIDE = 160


def lines(folder: Path) -> list[str]:
    """Return a table line for each model."""
    found = [line("nuclei, bundled", nu.load_model("nuclei"), folder)]
    for animal in zoo.ZOO:
        if animal.name in ELSEWHERE:
            torch.manual_seed(0)
            path = folder / "theirs.pth"
            save(train(animal.make(), 12), animal.save, path)
            model = nu.load_model(path, choices=animal.choices)
            found.append(line(f"from elsewhere: {animal.name}", model, folder))
    return found


def line(name: str, model: Model, folder: Path) -> str:
    """Export `model`, open it again, and return its table line."""
    done = nu.export_model(model, folder / "out.zip", credits=CREDITS, overwrite=True)
    again = nu.load_model(done.path)
    torch.manual_seed(0)
    x = torch.rand(1, model.recipe.architecture.in_channels, SIDE, SIDE)
    with torch.no_grad():
        difference = float((again.network(x) - model.network(x)).abs().max())
    print(name, *done.tests, *done.warnings, sep="\n  ")
    return f"| {name} | {len(done.tests)} | {difference:.1e} |\n"


def main() -> None:
    """Replace the section, or add it at the end."""
    with tempfile.TemporaryDirectory() as folder:
        table = "".join(lines(Path(folder)))
    head = HEAD.format(core=metadata.version("bioimageio.core"))
    before, _, _ = PAGE.read_text(encoding="utf-8").partition(TITLE)
    PAGE.write_text(f"{before.rstrip()}\n\n{TITLE}{head}{table}", encoding="utf-8")
    print(f"{PAGE} written")


if __name__ == "__main__":
    main()
