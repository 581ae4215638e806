"""A module's source by the names that it defines at its top level."""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

PACKAGE = "napari_unet"


@dataclass(frozen=True)
class Index:
    """What the names at the top level of a module are.

    Parameters
    ----------
    lines
        Of the source.
    nodes
        Definitions and assignments.
    ours
        Imported from this package: (module, name there).
    imports
        Imported from elsewhere: the line that does so.
    """

    lines: list[str]
    nodes: dict[str, ast.stmt]
    ours: dict[str, tuple[str, str]]
    imports: dict[str, str]


@functools.cache
def index_module(module: ModuleType) -> Index:
    """Parse a module's source."""
    text = inspect.getsource(module)
    index = Index(text.splitlines(), {}, {}, {})
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


def _index_from(node: ast.ImportFrom, index: Index) -> None:
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


def names(node: ast.stmt, *, without: tuple[str, ...] = ()) -> list[str]:
    """Return the names that a definition needs when it runs, in order.

    Parameters
    ----------
    node
        The definition.
    without
        Methods to leave out.
    """
    hints = {id(n) for hint in _hints(node) for n in ast.walk(hint)}
    left_out = {id(n) for m in _left_out(node, without) for n in ast.walk(m)}
    return _ordered(
        n for n in ast.walk(node) if id(n) not in hints and id(n) not in left_out
    )


def annotation_names(node: ast.stmt) -> list[str]:
    """Return the names in a definition's hints, which are not evaluated."""
    return _ordered(n for hint in _hints(node) for n in ast.walk(hint))


def methods(node: ast.stmt) -> list[ast.FunctionDef]:
    """Return the properties of a class: what it computes from its fields."""
    body = node.body if isinstance(node, ast.ClassDef) else []
    functions = [m for m in body if isinstance(m, ast.FunctionDef)]
    return [m for m in functions if any(_is_property(d) for d in m.decorator_list)]


def segment(lines: list[str], node: ast.stmt, *, without: tuple[str, ...] = ()) -> str:
    """Return a definition as it stands, with its decorators, without some methods."""
    gone = {
        number
        for method in _left_out(node, without)
        for number in range(_first(method), (method.end_lineno or 0) + 2)
    }
    last = node.end_lineno or node.lineno
    kept = (n for n in range(_first(node), last + 1) if n not in gone)
    return "\n".join(lines[n - 1] for n in kept)


def _left_out(node: ast.stmt, without: tuple[str, ...]) -> list[ast.FunctionDef]:
    body = node.body if isinstance(node, ast.ClassDef) else []
    return [m for m in body if isinstance(m, ast.FunctionDef) and m.name in without]


def _first(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _is_property(decorator: ast.expr) -> bool:
    return ast.unparse(decorator) in ("property", "functools.cached_property")


def _hints(node: ast.stmt) -> Iterator[ast.expr]:
    for n in ast.walk(node):
        if isinstance(n, (ast.AnnAssign, ast.arg)) and n.annotation is not None:
            yield n.annotation
        elif isinstance(n, ast.FunctionDef) and n.returns is not None:
            yield n.returns


def _ordered(nodes: Iterator[ast.AST]) -> list[str]:
    found = [n for n in nodes if isinstance(n, ast.Name)]
    found.sort(key=lambda n: (n.lineno, n.col_offset))
    return list(dict.fromkeys(n.id for n in found))
