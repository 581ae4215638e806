"""What a pickle would execute: the names that it would import, data apart."""

from __future__ import annotations

from napari_unet.nn.formats.contents import Code
from napari_unet.nn.formats.limits import LARGEST_SOURCE
from napari_unet.nn.formats.pickle_machine import Unpickled
from napari_unet.nn.formats.pickle_values import RULES
from napari_unet.nn.formats.tensor_refs import DTYPES, STORAGES

KIND = "pickled name"
SOURCE = "pickled source"
MOST_NAMES = 200
# Names without which nearly no checkpoint is written; they describe data.
DATA = {
    *RULES,
    *(f"torch.{name}" for name in (*DTYPES, *STORAGES)),
    *(f"torch.storage.{name}" for name in STORAGES),
    "torch._utils._rebuild_qtensor",
    "torch._utils._rebuild_sparse_tensor",
    "torch.serialization._get_layout",
}


def named_code(content: Unpickled) -> tuple[Code, ...]:
    """Return the functions and classes that a pickle names, and sources within.

    None of them was imported; a program that unpickles the file would do so, and call
    them.
    """
    sources = tuple(
        Code(SOURCE, name, len(text), text[:LARGEST_SOURCE])
        for name, text in content.sources
    )
    names = [name for name in content.named if name not in DATA]
    shown = tuple(Code(KIND, _printable(name)) for name in names[:MOST_NAMES])
    rest = len(names) - MOST_NAMES
    more = (Code(KIND, f"and {rest} more"),) if rest > 0 else ()
    return (*sources, *shown, *more)


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name[:200])
