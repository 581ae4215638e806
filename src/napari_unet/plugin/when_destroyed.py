"""When destroyed: what must be done once Qt has destroyed an object.

A function connected to `destroyed` is called with the object, of which nothing is left.
Python's collector works in any thread; then the call would come later, with an address
that may be anybody's by then, and crash. A slot of an object that lives on takes none.
"""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QCoreApplication, QObject, Slot


class _Watch(QObject):
    """Does one thing, once; kept by the application until then."""

    def __init__(self, do: Callable[[], object]) -> None:
        super().__init__(QCoreApplication.instance())
        self._do = do

    @Slot()  # type: ignore[untyped-decorator]
    def tell(self) -> None:
        """Do it."""
        self._do()
        self.deleteLater()


def when_destroyed(watched: QObject, do: Callable[[], object]) -> None:
    """Call `do` in the window's thread when `watched` is destroyed.

    Parameters
    ----------
    watched
        Whoever destroys it, and in whichever thread.
    do
        Must not hold `watched`, if Python is to collect it.
    """
    watched.destroyed.connect(_Watch(do).tell)
