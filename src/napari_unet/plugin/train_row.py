"""Train row: Train, Stop in order, or stop at once; Resume where that is possible."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QWidget

from napari_unet.core.training_events import StepDone
from napari_unet.plugin.progress_row import ProgressRow, duration

PARTS = 1000
PAUSE = 0.1  # seconds of training


class TrainRow(ProgressRow):
    """The progress row of a training; `resume` besides `run` and `cancel`."""

    resume = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        self.again = QPushButton("Resume")
        self.again.setToolTip(
            "Go on with the training of this model file that was interrupted."
        )
        self.again.setVisible(False)
        super().__init__(parent)
        self._shown = 0.0
        self.bar.setToolTip("Part of the time that is used.")
        layout = self.layout()
        if layout is not None:
            layout.addWidget(self.again)
        self.again.clicked.connect(self.resume)

    def show_idle(self) -> None:
        """Turn the button to Train."""
        super().show_idle()
        self.button.setText("Train")
        self.button.setToolTip("Learn from the annotated images.")

    def show_running(self, text: str) -> None:
        """Turn the button to Stop."""
        super().show_running(text)
        self.again.setVisible(False)
        self.button.setText("Stop")
        self.button.setToolTip(
            "End in order: the best model is scored once more and tuned."
        )

    def show_stopping(self) -> None:
        """Turn the button to the last resort."""
        self.button.setText("Stop at once")
        self.button.setToolTip("End now; the best model stays, Resume goes on.")
        self.say("Stopping: the best model is scored once more and tuned…")

    def show_step(self, event: StepDone, score: str) -> None:
        """Show how far a training is, and its score; ten times a second at most."""
        if event.seconds - self._shown < PAUSE and event.seconds > self._shown:
            return
        self._shown = event.seconds
        self.bar.setRange(0, PARTS)
        self.bar.setValue(round(event.progress * PARTS))
        left = ""
        if event.progress > 0.01:
            seconds = event.seconds * (1 / event.progress - 1)
            left = f" · {duration(seconds)} left"
        self.say(f"step {event.step} · loss {event.losses['total']:.3f}{score}{left}")
