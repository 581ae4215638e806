"""Errors that a user can act on: one sentence on what happened, one on what to do.

None of them derives from ``RuntimeError``: napari's generator workers swallow those.
"""

from __future__ import annotations


class UNetError(Exception):
    """Base of all errors that this package raises for a user to read.

    Parameters
    ----------
    problem
        What happened, one sentence.
    remedy
        What to do about it, one sentence.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem} {remedy}".strip())

    def __reduce__(self) -> tuple[type[UNetError], tuple[str, str]]:
        """Keep both sentences when the error crosses a process border."""
        return type(self), (self.problem, self.remedy)


class AxesError(UNetError):
    """Axes, channels or shapes that do not fit together."""


class ChannelsError(AxesError):
    """Channels of an image that are not those that a model takes."""


class CheckpointError(UNetError):
    """A checkpoint that is damaged, foreign, newer, or does not fit its network."""


class UntrustedError(CheckpointError):
    """A checkpoint that would have to run its own code, which nobody has allowed."""


class ImageFileError(UNetError):
    """A file or folder that cannot be read, or must not be written."""


class SettingsError(UNetError):
    """A setting outside its range, or settings that contradict each other."""


class DeviceError(UNetError):
    """A device that is not there, or has run out of memory."""


class DeviceFullError(DeviceError):
    """One tile alone does not fit the device's memory; a smaller one may."""


class WorkerError(UNetError):
    """The worker process could not be started, has ended, or cannot be reached."""
