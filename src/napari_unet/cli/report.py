"""Report: what became of each image of a run over many, in a table at its end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from napari_unet.cli.console import out
from napari_unet.io.tables import write_table

SUMMARY = "summary.csv"


@dataclass(frozen=True)
class Outcome:
    """What became of one image.

    Parameters
    ----------
    image
        Its file.
    summary
        What was found, in words.
    problem
        Why it could not be segmented; empty if it was.
    n_objects
        What was found; None for classes.
    seconds
        What it took, reading and writing included.
    is_new
        Whether it was done now, and not by a run that this one goes on with.
    """

    image: Path
    summary: str = ""
    problem: str = ""
    n_objects: int | None = None
    seconds: float = 0.0
    is_new: bool = True


class Report:
    """The outcomes of a run.

    Parameters
    ----------
    folder
        Of the results; the table is `SUMMARY` in it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / SUMMARY
        self.outcomes: list[Outcome] = []

    @property
    def n_failed(self) -> int:
        """Images that could not be segmented."""
        return sum(bool(found.problem) for found in self.outcomes)

    @property
    def n_done(self) -> int:
        """Images that were."""
        return len(self.outcomes) - self.n_failed

    def finish(self) -> None:
        """Write and show the table, unless nothing was done."""
        if any(found.is_new for found in self.outcomes):
            self._write()
            self._show()

    def _write(self) -> None:
        rows = sorted(self.outcomes, key=lambda found: found.image.name)
        columns = {
            "image": [str(found.image) for found in rows],
            "state": ["failed" if found.problem else "done" for found in rows],
            "objects": [_text(found.n_objects) for found in rows],
            "seconds": [f"{found.seconds:.2f}" for found in rows],
            "problem": [found.problem for found in rows],
        }
        write_table(self.path, columns)

    def _show(self) -> None:
        table = Table(box=None, pad_edge=False)
        shown = {
            "images": len(self.outcomes),
            "done": self.n_done,
            "failed": self.n_failed,
            "objects": sum(found.n_objects or 0 for found in self.outcomes),
            "seconds": f"{sum(found.seconds for found in self.outcomes):.1f}",
        }
        for name in (*shown, "one row an image"):
            table.add_column(name, justify="right")
        table.add_row(*map(str, shown.values()), SUMMARY)
        out.print(table)


def _text(number: int | None) -> str:
    return "" if number is None else str(number)
