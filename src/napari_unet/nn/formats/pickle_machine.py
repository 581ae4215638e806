"""A pickle machine that calls nothing: from the bytes of a pickle to inert values.

Python's own unpickler imports what a pickle names and calls it, and torch's
restricted one still calls a list of functions. This machine only moves values about;
what they mean is settled in `pickle_values`. `pickletools`, of the standard library,
splits the bytes into operations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pickletools import genops
from typing import Any

import torch

from napari_unet.errors import CheckpointError
from napari_unet.nn.formats.bounded import Bounded, Reads, TooMuchError
from napari_unet.nn.formats.limits import LARGEST_INTEGER_BITS, MOST_OPERATIONS
from napari_unet.nn.formats.pickle_values import (
    Global,
    Inert,
    Table,
    as_key,
    make,
    make_storage,
)
from napari_unet.nn.formats.tensor_refs import StorageRef, TensorRef
from napari_unet.nn.weight_files import COPY_AGAIN, DAMAGED, SAVE_ALONE, first_line

PUSHES = {
    "BINBYTES",
    "BINBYTES8",
    "BINFLOAT",
    "BININT",
    "BININT1",
    "BININT2",
    "BINSTRING",
    "BINUNICODE",
    "BINUNICODE8",
    "BYTEARRAY8",
    "FLOAT",
    "INT",
    "LONG",
    "LONG1",
    "LONG4",
    "SHORT_BINBYTES",
    "SHORT_BINSTRING",
    "SHORT_BINUNICODE",
    "STRING",
    "UNICODE",
}
MAKES: dict[str, Callable[[], object]] = {
    "EMPTY_DICT": Table,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,  # never hashed: see `pickle_values.Key`
    "EMPTY_TUPLE": tuple,
    "NEWFALSE": lambda: False,
    "NEWTRUE": lambda: True,
    "NONE": lambda: None,
}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
IGNORED = {"FRAME", "PROTO"}


@dataclass
class Unpickled:
    """What a pickle holds.

    Parameters
    ----------
    value
        Plain data, `TensorRef`, `Global` and `Inert`.
    named
        Dotted names of all functions and classes it names, in order.
    sources
        Source code that came with a class: (name, text).
    storages
        Types of the storages it refers to, by key.
    """

    value: Any = None
    named: tuple[str, ...] = ()
    sources: tuple[tuple[str, str], ...] = ()
    storages: Mapping[str, torch.dtype] = field(default_factory=dict)


def unpickle(file: Reads, name: str) -> Unpickled:
    """Read one pickle from where `file` stands; nothing is imported or called.

    Parameters
    ----------
    file
        Read up to the pickle's end, not beyond.
    name
        Of the checkpoint, for messages.

    Raises
    ------
    CheckpointError
        If it is damaged, or longer than any checkpoint's.
    """
    machine = _Machine()
    bounded: Any = Bounded(file)
    try:
        for count, (operation, argument, _) in enumerate(genops(bounded)):
            if count > MOST_OPERATIONS:
                raise TooMuchError
            machine.step(operation.name, argument)
        value = machine.stack.pop()
    except TooMuchError:
        raise CheckpointError(
            f"{name} is damaged, or holds far more data beside its weights than any "
            "checkpoint.",
            SAVE_ALONE,
        ) from None
    except DAMAGED as error:
        problem = f"{name} is damaged or no PyTorch file ({first_line(error)})."
        raise CheckpointError(problem, COPY_AGAIN) from None
    named, sources = tuple(machine.named), tuple(machine.sources)
    return Unpickled(value, named, sources, machine.storages)


@dataclass
class _Machine:
    """Stack, marks and memo; a step for each operation."""

    stack: list[Any] = field(default_factory=list)
    marks: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    named: dict[str, None] = field(default_factory=dict)
    sources: list[tuple[str, str]] = field(default_factory=list)
    storages: dict[str, torch.dtype] = field(default_factory=dict)

    def step(self, name: str, argument: Any) -> None:
        if name in PUSHES:
            self.stack.append(_checked(argument))
        elif name in MAKES:
            self.stack.append(MAKES[name]())
        elif name in TUPLES:
            n = TUPLES[name]
            if len(self.stack) < n:
                raise ValueError("its stack is empty")
            self.stack[-n:] = [tuple(self.stack[-n:])]
        elif name not in IGNORED:
            STEPS[name](self, argument)

    # -- the stack ------------------------------------------------------------------

    def mark(self, _: Any) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def pop(self, _: Any) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.since_mark()

    def pop_mark(self, _: Any) -> None:
        self.since_mark()

    def duplicate(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def stop(self, _: Any) -> None:
        if self.marks or len(self.stack) != 1:
            raise ValueError("it ends too early")

    # -- containers -----------------------------------------------------------------

    def tuple_(self, _: Any) -> None:
        items = tuple(self.since_mark())
        self.stack.append(items)

    def list_(self, _: Any) -> None:
        items = self.since_mark()
        self.stack.append(items)

    def dict_(self, _: Any) -> None:
        items = self.since_mark()
        self.stack.append(Table())
        self._set(items)

    def append(self, _: Any) -> None:
        item = self.stack.pop()
        self._extend([item])

    def extend(self, _: Any) -> None:
        self._extend(self.since_mark())

    def _extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Inert):
            target.items.extend(items)
        elif type(target) is list:
            target.extend(items)
        else:
            raise ValueError(f"nothing can be appended to {type(target).__name__}")

    def set_item(self, _: Any) -> None:
        value = self.stack.pop()
        key = self.stack.pop()
        self._set([key, value])

    def set_items(self, _: Any) -> None:
        self._set(self.since_mark())

    def _set(self, items: list[Any]) -> None:
        target = self.stack[-1]
        table = target.pairs if isinstance(target, Inert) else target
        if not isinstance(table, Table) or len(items) % 2:
            raise ValueError(f"nothing can be set in {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            table[as_key(key)] = value

    # -- names and calls ------------------------------------------------------------

    def global_(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._name(module, name)

    def stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._name(module, name)

    def _name(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a name is no text")
        found = Global(module, name)
        self.named[found.path] = None
        self.stack.append(found)

    def reduce(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.stack.append(make(function, arguments))

    def new_with_keywords(self, _: Any) -> None:
        keywords = self.stack.pop()
        self.reduce(None)
        made = self.stack[-1]
        if isinstance(made, Inert) and isinstance(keywords, Table):
            made.pairs.update(keywords)

    def instance(self, argument: str) -> None:
        arguments = tuple(self.since_mark())
        self.global_(argument)
        self.stack.append(make(self.stack.pop(), arguments))

    def object_(self, _: Any) -> None:
        function, *arguments = self.since_mark()
        self.stack.append(make(function, tuple(arguments)))

    def build(self, _: Any) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, (Inert, Table)):
            target.state = state
        elif not isinstance(target, TensorRef):
            raise ValueError(f"{type(target).__name__} takes no state")

    def persistent(self, _: Any) -> None:
        pid = self.stack.pop()
        made = make_storage(pid)
        self.stack.append(made)
        if isinstance(made, StorageRef):
            self.storages[made.key] = made.dtype
        if isinstance(pid, tuple) and len(pid) == 4 and pid[0] == "module":
            kind, source = pid[1], pid[3]
            if isinstance(kind, Global) and isinstance(source, str):
                self.sources.append((kind.path, source))

    def refuse(self, _: Any) -> None:
        raise ValueError("it needs data from elsewhere")


STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "ADDITEMS": _Machine.extend,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.extend,
    "BINGET": _Machine.get,
    "BINPERSID": _Machine.persistent,
    "BINPUT": _Machine.put,
    "BUILD": _Machine.build,
    "DICT": _Machine.dict_,
    "DUP": _Machine.duplicate,
    "EXT1": _Machine.refuse,
    "EXT2": _Machine.refuse,
    "EXT4": _Machine.refuse,
    "FROZENSET": _Machine.tuple_,
    "GET": _Machine.get,
    "GLOBAL": _Machine.global_,
    "INST": _Machine.instance,
    "LIST": _Machine.list_,
    "LONG_BINGET": _Machine.get,
    "LONG_BINPUT": _Machine.put,
    "MARK": _Machine.mark,
    "MEMOIZE": _Machine.memoize,
    "NEWOBJ": _Machine.reduce,
    "NEWOBJ_EX": _Machine.new_with_keywords,
    "NEXT_BUFFER": _Machine.refuse,
    "OBJ": _Machine.object_,
    "PERSID": _Machine.refuse,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    "PUT": _Machine.put,
    "READONLY_BUFFER": _Machine.refuse,
    "REDUCE": _Machine.reduce,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "STACK_GLOBAL": _Machine.stack_global,
    "STOP": _Machine.stop,
    "TUPLE": _Machine.tuple_,
}


def _checked(value: object) -> object:
    if isinstance(value, int) and value.bit_length() > LARGEST_INTEGER_BITS:
        raise ValueError("an integer is absurdly large")
    return value
