"""Run every benchmark and write docs/benchmarks.md; run it on idle cores.

python benchmarks/write_docs.py [--repeats 5] [--sides 1024,2048,4096,8192]
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import sys
from pathlib import Path
from types import ModuleType

import numpy
import skimage
import torch

HERE = Path(__file__).parent
TARGET = HERE.parent / "docs" / "benchmarks.md"


def load(name: str) -> ModuleType:
    """Import a script of this folder by its path."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def processor() -> str:
    """Name of the processor, as far as the system tells."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.processor()


def has_bfloat16() -> bool:
    """Whether the processor computes in bfloat16 by itself."""
    path = Path("/proc/cpuinfo")
    return path.exists() and "avx512_bf16" in path.read_text()


def tiling(repeats: int) -> list[str]:
    """Tiled prediction."""
    lines = [
        "## Tiled prediction",
        "",
        "2048 x 2048 px, padded U-Net of depth 4 and base 16, random weights, float32,",
        f"median of {repeats} alternating runs. All but the rows called plain use the same prepared",
        "network (batch norm folded, channels last). The error is the largest difference of",
        "a softmax probability from the plain network on the whole image. To reach: below",
        "1.0x the whole image; faster than MONAI and bioimageio.core at a smaller error;",
        "bfloat16 twice as fast where the processor has it (avx512_bf16: "
        f"{'yes' if has_bfloat16() else 'not this one'}).",
        "",
        "| what | time | relative | error | error inside the border |",
        "|---|---|---|---|---|",
    ]
    for row in load("bench_tiling").measure(repeats=repeats):
        lines.append(
            "| {name} | {seconds:.2f} s | {ratio:.2f}x | {error:.1e} | "
            "{error_inside:.1e} |".format(**row)
        )
    lines += ["", "Ours is stored in uint16: half a step is 7.6e-06.", ""]
    return lines


def watershed() -> list[str]:
    """Seeded watershed."""
    lines = [
        "## Seeded watershed",
        "",
        "2048 x 2048 px, 5,000 cells, one thread, median; scikit-image on the same",
        "heights, seeds and mask. To reach: 5x in the case *cells*.",
        "",
        "| case | ours | scikit-image, float | | scikit-image, integer | | same label |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in load("bench_watershed").measure().items():
        lines.append(
            f"| {name} | {1e3 * row['seconds']:.0f} ms "
            f"| {1e3 * row['skimage_float']:.0f} ms | {row['speed_up_float']:.1f}x "
            f"| {1e3 * row['skimage_integer']:.0f} ms | {row['speed_up_integer']:.1f}x "
            f"| {100 * row['agreement']:.2f} % |"
        )
    return [*lines, ""]


def border_weights() -> list[str]:
    """Border weights."""
    row = load("bench_border_weights").measure()
    return [
        "## Border weights",
        "",
        f"2048 x 2048 px, {row['cells']} cells, one thread: {row['seconds']:.2f} s. The "
        "usual loop,",
        f"one distance transform a cell ({row['loop_seconds_per_cell']:.2f} s each, "
        "extrapolated):",
        f"{row['loop_seconds_extrapolated']:.0f} s, {row['speed_up']:.0f} times as long. "
        f"Largest difference {row['max_difference']:.1e}.",
        "To reach: 500 times, 1e-5.",
        "",
    ]


def memory(sides: tuple[int, ...]) -> list[str]:
    """Peak memory."""
    lines = [
        "## Memory of `nu.segment`",
        "",
        "Fresh processes, model `nuclei`, a memory-mapped uint16 image, default memory",
        "budget. The image is never read whole; the result (6 bytes of probabilities and",
        "4 of labels a pixel) is held in memory.",
        "",
        "| side | pixels | time | peak | result | tile | objects |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in load("bench_memory").measure(sides):
        lines.append(
            f"| {row['side']} | {row['side'] ** 2 / 2**20:.0f} Mi "
            f"| {row['seconds']:.1f} s | {row['peak_mib']:.0f} MiB "
            f"| {row['result_mib']:.0f} MiB | {row['tile'][0]} | {row['objects']} |"
        )
    return [*lines, ""]


def training() -> list[str]:
    """A training step and its patches."""
    module = load("bench_augment")
    step = module.measure_step()
    return [
        "## Training",
        "",
        f"A step of {module.BATCH} patches of 256 x 256 px, default network (depth 4, "
        "base 8): forward,",
        "backward, optimiser and average. Patches are augmented by other threads "
        "meanwhile.",
        f"To reach: patches take below {module.MOST_SHARE:.0%} of the step, on one "
        "thread.",
        "",
        "| step | one patch | patches / step |",
        "|---|---|---|",
        "| {step_ms:.0f} ms | {patch_ms:.1f} ms | {share:.1%} |".format(**step),
        "",
        "Reached." if step["share"] < module.MOST_SHARE else "**Missed.**",
        "",
    ]


def replaced(page: str, section: list[str]) -> str:
    """Return the page with a section, which begins with its heading, measured anew."""
    before, rest = page.split(f"{section[0]}\n", 1)
    after = rest[rest.find("\n## ") + 1 :]
    return before + "\n".join(section) + "\n" + after


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sides", default="1024,2048,4096,8192")
    parser.add_argument("--training", action="store_true", help="measure it alone")
    arguments = parser.parse_args()
    if arguments.training:
        TARGET.write_text(replaced(TARGET.read_text(), training()))
        return
    lines = [
        "# Benchmarks",
        "",
        "Written by `python benchmarks/write_docs.py`, which measures everything anew, on",
        f"{processor()}, {os.cpu_count()} cores; torch {torch.__version__}, NumPy "
        f"{numpy.__version__},",
        f"scikit-image {skimage.__version__}.",
        "",
        *tiling(arguments.repeats),
        *watershed(),
        *border_weights(),
        *training(),
        *memory(tuple(map(int, arguments.sides.split(",")))),
    ]
    TARGET.write_text("\n".join(lines).rstrip() + "\n")
    print(f"{TARGET} is written")


if __name__ == "__main__":
    main()
