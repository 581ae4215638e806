"""One Python file that rebuilds a network with torch alone, out of our own source.

The file is put together from the definitions that the network's class needs, wherever
in this package they stand, so that it can never be out of step with them. Settings
become plain records, our errors become `ValueError`s.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from dataclasses import dataclass, field, replace
from types import ModuleType

from napari_unet.errors import CheckpointError, UNetError
from napari_unet.nn.formats.source_index import (
    annotation_names,
    index_module,
    methods,
    names,
    segment,
)
from napari_unet.settings import Settings

HEADER = '''"""{title}

Written by napari-unet-cells from its own source; it needs torch and nothing else.
SPDX-License-Identifier: BSD-3-Clause
"""

from __future__ import annotations

'''
RECORD = '''class Record:
    """Plain named values; lists become tuples, and what has an `op` a record."""

    kinds = {}

    def __init_subclass__(cls):
        Record.kinds[vars(cls).get("op", cls.__name__)] = cls

    def __init__(self, **values):
        for name, value in values.items():
            setattr(self, name, _frozen(value))

    def replace(self, **changes):
        """Return a copy with `changes`."""
        return type(self)(**{**vars(self), **changes})


def _frozen(value):
    if isinstance(value, (list, tuple)):
        return tuple(_frozen(part) for part in value)
    return Record.kinds[value["op"]](**value) if isinstance(value, dict) else value'''
ERROR = '''class {name}(ValueError):
    """{doc}"""'''
FACTORY = '''def {factory}(**arguments):
    """Return the network for plain numbers, texts and lists."""
    return {network}({settings}(**arguments))'''
# Methods that only this package uses.
OURS_ALONE = ("along",)


def self_contained_source(network: type, settings: type[Settings], factory: str) -> str:
    """Return the source of a module whose `factory(**arguments)` makes the network.

    Parameters
    ----------
    network
        A class of this package that takes one instance of `settings`.
    settings
        Its arguments.
    factory
        Name of the function that takes the settings' fields as keywords.

    Raises
    ------
    CheckpointError
        If the class needs something that is neither torch nor the standard library.
    """
    bundle = _Bundle()
    bundle.visit(sys.modules[settings.__module__], settings.__name__)
    bundle.visit(sys.modules[network.__module__], network.__name__)
    imports = sorted(bundle.imports, key=lambda line: (line.startswith("from"), line))
    made = FACTORY.format(
        factory=factory, network=network.__name__, settings=settings.__name__
    )
    head = HEADER.format(title=_first_line(network)) + "\n".join(imports)
    return "\n\n\n".join([head, RECORD, *bundle.definitions, made]) + "\n"


@dataclass
class _Bundle:
    """Definitions in the order in which they must stand, and the imports they need."""

    definitions: tuple[str, ...] = ()
    imports: frozenset[str] = frozenset()
    homes: dict[str, str] = field(default_factory=dict)

    def visit(self, module: ModuleType, name: str) -> None:
        """Add what `name` means in `module`, after all that it needs."""
        index = index_module(module)
        if name in index.ours:
            home, original = index.ours[name]
            self.visit(importlib.import_module(home), original)
        elif name in index.imports:
            self._add_import(index.imports[name])
        elif name in index.nodes and self._is_new(name, module.__name__):
            definition = self._definition(module, name)
            self.definitions = (*self.definitions, definition)

    def _definition(self, module: ModuleType, name: str) -> str:
        value = getattr(module, name, None)
        if inspect.isclass(value) and issubclass(value, Settings):
            return self._record(module, value)
        if inspect.isclass(value) and issubclass(value, UNetError):
            return ERROR.format(name=name, doc=_first_line(value))
        index = index_module(module)
        node = index.nodes[name]
        for used in names(node, without=OURS_ALONE):
            self.visit(module, used)
        for hinted in annotation_names(node):
            self._try(module, hinted)
        return segment(index.lines, node, without=OURS_ALONE)

    def _try(self, module: ModuleType, name: str) -> None:
        """Add what only hints mention, if it can be; they are not evaluated."""
        before = replace(self, homes=dict(self.homes))
        try:
            self.visit(module, name)
        except CheckpointError:
            self.__dict__.update(before.__dict__)

    def _record(self, module: ModuleType, settings: type[Settings]) -> str:
        """Return the settings' fields and properties, without their validation."""
        base = settings.__mro__[1]
        if base is not Settings:
            self.visit(module, base.__name__)
        index = index_module(module)
        parts = [f'    """{_first_line(settings)}"""']
        defaults = "\n".join(
            f"    {name} = {info.get_default(call_default_factory=True)!r}"
            for name, info in settings.model_fields.items()
            if not info.is_required()
        )
        parts += [defaults] if defaults else []
        for method in methods(index.nodes[settings.__name__]):
            for used in names(method):
                self.visit(module, used)
            parts.append(segment(index.lines, method))
        head = "Record" if base is Settings else base.__name__
        return f"class {settings.__name__}({head}):\n" + "\n\n".join(parts)

    def _is_new(self, name: str, module: str) -> bool:
        """Refuse two things of one name: the file has but one level of names."""
        if name not in self.homes:
            self.homes[name] = module
            return True
        if self.homes[name] != module:
            raise CheckpointError(
                f"The network's source cannot be put into one file: {name} stands in "
                f"both {self.homes[name]} and {module}.",
                "Please report this; the checkpoint itself is not affected.",
            )
        return False

    def _add_import(self, line: str) -> None:
        root = line.split()[1].partition(".")[0]
        if root != "torch" and root not in sys.stdlib_module_names:
            raise CheckpointError(
                f"The network needs {root}, which a packaged network must not.",
                "Only networks made of plain torch layers can be exported.",
            )
        self.imports |= {line}


def _first_line(what: type) -> str:
    return inspect.cleandoc(what.__doc__ or what.__name__).splitlines()[0]
