"""One Python file that rebuilds a network with torch alone, out of our own source.

The file is put together from the definitions that the network's class needs, wherever
in this package they stand, so that it can never be out of step with them. Settings
become named tuples, our errors become `ValueError`s.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from napari_unet.errors import CheckpointError, UNetError
from napari_unet.settings import Settings

PACKAGE = "napari_unet"
HEADER = '''"""{title}

Written by napari-unet-cells from its own source; it needs torch and nothing else.
SPDX-License-Identifier: BSD-3-Clause
"""

from __future__ import annotations

'''
SETTINGS = '''class {name}(NamedTuple):
    """{doc}"""

{fields}

    @classmethod
    def of(cls, arguments):
        """Return settings in which lists have become tuples."""
        return cls(**{{name: _frozen(value) for name, value in arguments.items()}})

    def replace(self, **changes):
        """Return a copy with `changes`."""
        return self._replace(**changes)


def _frozen(value):
    return tuple(map(_frozen, value)) if isinstance(value, (list, tuple)) else value'''
ERROR = '''class {name}(ValueError):
    """{doc}"""'''
FACTORY = '''def {factory}(**arguments):
    """Return the network for plain numbers, texts and lists."""
    return {network}({settings}.of(arguments))'''


def self_contained_source(network: type, settings: type[Settings], factory: str) -> str:
    """Return the source of a module whose `factory(**arguments)` makes the network.

    Parameters
    ----------
    network
        A class of this package that takes one instance of `settings`.
    settings
        Its arguments; each has a default.
    factory
        Name of the function that takes the settings' fields as keywords.

    Raises
    ------
    CheckpointError
        If the class needs something that is neither torch nor the standard library.
    """
    bundle = _Bundle()
    bundle.visit(importlib.import_module(network.__module__), network.__name__)
    imports = sorted(bundle.imports, key=lambda line: (line.startswith("from"), line))
    made = FACTORY.format(
        factory=factory, network=network.__name__, settings=settings.__name__
    )
    title = f"{network.__name__}: {_first_line(network)}"
    head = HEADER.format(title=title) + "\n".join(imports)
    return "\n\n\n".join([head, *bundle.definitions, made]) + "\n"


@dataclass
class _Bundle:
    """Definitions in the order in which they must stand, and the imports they need."""

    definitions: list[str] = field(default_factory=list)
    imports: set[str] = field(default_factory=set)
    homes: dict[str, str] = field(default_factory=dict)

    def visit(self, module: ModuleType, name: str) -> None:
        """Add what `name` means in `module`, after all that it needs."""
        index = _index(module)
        if name in index.ours:
            home, original = index.ours[name]
            self.visit(importlib.import_module(home), original)
        elif name in index.imports:
            self._add_import(index.imports[name])
        elif name in index.nodes and self._is_new(name, module.__name__):
            self.definitions.append(self._definition(module, name))

    def _definition(self, module: ModuleType, name: str) -> str:
        value = getattr(module, name, None)
        if inspect.isclass(value) and issubclass(value, Settings):
            self._add_import("from typing import NamedTuple")
            return _settings_stub(value)
        if inspect.isclass(value) and issubclass(value, UNetError):
            return ERROR.format(name=name, doc=_first_line(value))
        index = _index(module)
        node = index.nodes[name]
        for used in _names(node):
            self.visit(module, used)
        return _segment(index.lines, node)

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
        self.imports.add(line)


@dataclass(frozen=True)
class _Index:
    """What the names at the top level of a module are."""

    lines: list[str]
    nodes: dict[str, ast.stmt]
    ours: dict[str, tuple[str, str]]
    imports: dict[str, str]


@functools.cache
def _index(module: ModuleType) -> _Index:
    text = inspect.getsource(module)
    index = _Index(text.splitlines(), {}, {}, {})
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom):
            _index_from(node, index)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.partition(".")[0]
                index.imports[bound] = f"import {ast.unparse(alias)}"
        else:
            index.nodes.update((name, node) for name in _bound(node))
    return index


def _index_from(node: ast.ImportFrom, index: _Index) -> None:
    for alias in node.names:
        bound = alias.asname or alias.name
        if str(node.module).partition(".")[0] == PACKAGE:
            index.ours[bound] = str(node.module), alias.name
        elif node.module != "__future__":
            line = f"from {node.module} import {ast.unparse(alias)}"
            index.imports[bound] = line


def _bound(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement at the top level defines."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (t.id for t in node.targets if isinstance(t, ast.Name))
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id


def _names(node: ast.stmt) -> list[str]:
    """Return the names that occur in a definition, in the order of the source."""
    found = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
    found.sort(key=lambda n: (n.lineno, n.col_offset))
    return list(dict.fromkeys(n.id for n in found))


def _segment(lines: list[str], node: ast.stmt) -> str:
    """Return a definition as it stands, with its decorators."""
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(d.lineno for d in decorators)])
    return "\n".join(lines[first - 1 : node.end_lineno])


def _settings_stub(settings: type[Settings]) -> str:
    fields = "\n".join(
        f"    {name}: {_annotation(default)} = {default!r}"
        for name, default in _defaults(settings).items()
    )
    doc = _first_line(settings).replace("napari_unet.nn.unet.", "")
    return SETTINGS.format(name=settings.__name__, doc=doc, fields=fields)


def _defaults(settings: type[Settings]) -> dict[str, Any]:
    return {
        name: field_info.get_default(call_default_factory=True)
        for name, field_info in settings.model_fields.items()
    }


def _annotation(default: object) -> str:
    return "object" if default is None else type(default).__name__


def _first_line(what: type) -> str:
    return inspect.cleandoc(what.__doc__ or what.__name__).splitlines()[0]
