"""What a command says: progress and remarks on stderr, results on stdout."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from napari_unet.pipeline import Segmentation

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def progress_bar() -> Progress:
    """Return a progress bar that leaves no trace when it is done, nor in a log."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        redirect_stdout=False,
        disable=not err.is_terminal,
    )


def say(text: str) -> None:
    """Print a result to stdout, and past a progress bar on the same terminal."""
    both = out.is_terminal and err.is_terminal
    (err if both else out).print(text, markup=False)


def follow(
    job: Generator[Any, None, Segmentation], bar: Progress, name: str
) -> Segmentation:
    """Run a job to its end and show its tiles; notes are printed as they come."""
    from napari_unet.core.events import Note, Started, TileDone

    task = bar.add_task(name, total=None)
    try:
        while True:
            event = next(job)
            if isinstance(event, Started):
                bar.update(task, total=event.n_tiles)
            elif isinstance(event, TileDone):
                bar.update(task, completed=event.n_done)
            elif isinstance(event, Note):
                bar.console.print(f"{name}: {event.text}", markup=False)
    except StopIteration as stop:
        result: Segmentation = stop.value
        return result
    finally:
        job.close()
        bar.remove_task(task)
