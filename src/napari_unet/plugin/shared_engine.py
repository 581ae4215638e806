"""One engine for all widgets: started for the first, gone with the last."""

from __future__ import annotations

import threading
from typing import Any

from napari_unet.engine.client import Compute, Engine
from napari_unet.plugin.when_destroyed import when_destroyed

_lock = threading.Lock()
_users: dict[int, Engine] = {}
_widgets: dict[int, Any] = {}
_engines: dict[Compute, Engine] = {}


def borrow_engine(user: object, compute: Compute) -> Engine:
    """Return the engine for `compute`, kept until every user has returned it.

    The one that the user has had is given back; what runs on it holds it (`EngineJob`).
    """
    with _lock:
        held = _users.get(id(user))
        if held is not None and held.compute == compute:
            return held
    return_engine(user)
    with _lock:
        engine = _engines.setdefault(compute, Engine(compute))
        _users[id(user)] = engine
        return engine


def hold_engine(user: object, engine: Engine) -> Engine:
    """Keep the engine of another user too, until it is returned: work goes on there."""
    with _lock:
        if _users.get(id(user)) is engine:
            return engine
    return_engine(user)
    with _lock:
        _users[id(user)] = engine
        return engine


def return_engine(user: object) -> None:
    """Give an engine back; the last user's ends its worker, in the background."""
    with _lock:
        engine = _users.pop(id(user), None)
        if engine is None or engine in _users.values():
            return
        if _engines.get(engine.compute) is engine:
            _engines.pop(engine.compute)
    # Waiting for a process to end must not hold up the window that closes.
    threading.Thread(target=engine.close, name="close worker").start()


def keep_until_destroyed(widget: Any, user: object) -> None:
    """Hold a widget until Qt has destroyed it, then return its engine.

    Python's collector runs in any thread, and a widget that it finds in a cycle would
    be destroyed there, which crashes; so the last reference goes in the window's.
    """
    key = id(widget)
    _widgets[key] = widget

    def let_go() -> None:
        return_engine(user)
        _widgets.pop(key, None)

    when_destroyed(widget, let_go)
