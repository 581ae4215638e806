"""Scripts of benchmarks/, which lie outside of the package."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="session")
def load_script() -> Callable[[str], ModuleType]:
    """Import a script by name, as it is when run: its neighbours can be imported."""

    def load(name: str) -> ModuleType:
        with pytest.MonkeyPatch.context() as patched:
            patched.syspath_prepend(str(FOLDER))
            return importlib.import_module(name)

    return load
