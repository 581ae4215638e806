"""Fuzzer: mutates good checkpoints of every container, and holds each load to account.

    python scripts/fuzz_checkpoints.py --mutations 10000

A mutated file must be refused in one line, or load to exactly the tensors that it now
holds, as an independent reading finds them (Python's own unpickler over harmless
stand-ins, safetensors, onnx). A crash, a hang, another kind of error, a file opened for
writing, a process started or a name imported by a pickle counts as a failure. Workers
run under a limit of memory; one that dies or hangs is found out by its parent.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import pickle
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from napari_unet.errors import UNetError
from napari_unet.nn.checkpoint import load_model, save_model
from napari_unet.nn.formats.containers import open_checkpoint
from napari_unet.nn.unet import UNet
from napari_unet.settings import Architecture, Recipe

MEMORY = 2 * 2**30
SECONDS = 20
BATCH = 500
MARKER = "executed"
FORBIDDEN = {
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.system",
    "pickle.find_class",
    "socket.connect",
    "subprocess.Popen",
}


class Attack:
    """Leaves a marker when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, (f"touch {self.marker}",)


# -- good files ------------------------------------------------------------------------


def make_seeds(folder: Path) -> dict[str, bytes]:
    """Return one good file of each container, by name."""
    torch.manual_seed(0)
    arch = Architecture(base_channels=1, depth=1)
    network = UNet(arch).eval()
    state = network.state_dict()
    recipe = Recipe(architecture=arch, channels=("background", "interior", "boundary"))
    save_model(folder / "own.safetensors", network, recipe)
    prefixed = {f"module.{name}": tensor for name, tensor in state.items()}
    lightning = {
        "state_dict": {f"model.{name}": tensor for name, tensor in state.items()},
        "hyper_parameters": {"evil": Attack(folder / MARKER), "args": {"depth": 1}},
        "optimizer_states": [torch.optim.Adam(network.parameters()).state_dict()],
    }
    seeds = {
        "own.safetensors": (folder / "own.safetensors").read_bytes(),
        "foreign.safetensors": save_safetensors(prefixed, {"format": "pt"}),
        "zip.pt": _saved(state),
        "zip.ckpt": _saved(lightning),
        "legacy.pth": _saved(lightning, _use_new_zipfile_serialization=False),
        "protocol4.pt": _saved(lightning, pickle_protocol=4),
        "module.pt": _saved({"model": _layers(network)}),
        "script.pt": _scripted(_layers(network)),
    }
    onnx = _onnx(_layers(network))
    return {**seeds, "net.onnx": onnx} if onnx else seeds


def _layers(network: UNet) -> nn.Module:
    return nn.Sequential(network.encoder[0], network.head)


def _saved(value: object, **how: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **how)
    return buffer.getvalue()


def _scripted(network: nn.Module) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(network), buffer)
    return buffer.getvalue()


def _onnx(network: nn.Module) -> bytes | None:
    from importlib.util import find_spec

    if not find_spec("onnx") or not find_spec("onnxruntime"):
        return None
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = torch.zeros(1, 1, 8, 8)
        torch.onnx.export(network, (image,), buffer, dynamo=False)
    return buffer.getvalue()


# -- mutations -------------------------------------------------------------------------

NUMBERS = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0xFFFF,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63,
    2**64 - 1,
)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Return a changed copy; of zip files half the time one record, sealed anew."""
    if data[:4] == b"PK\x03\x04" and rng.random() < 0.5:
        return _in_record(data, rng)
    if data[8:9] == b"{" and rng.random() < 0.5:
        length = struct.unpack("<Q", data[:8])[0]
        header = _bytes(data[8 : 8 + length], rng)
        return struct.pack("<Q", len(header)) + header + data[8 + length :]
    return _bytes(data, rng)


def _bytes(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        rng.choice(MUTATIONS)(changed, rng)
    return bytes(changed)


def _in_record(data: bytes, rng: random.Random) -> bytes:
    """Change a record, mostly the pickle, and write valid checksums around it."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    pickles = [name for name in records if name.endswith(".pkl")]
    name = rng.choice(pickles if rng.random() < 0.8 else list(records))
    records[name] = _bytes(records[name], rng)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for record, content in records.items():
            archive.writestr(record, content)
    return out.getvalue()


def _flip(data: bytearray, rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set(data: bytearray, rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.randrange(256)


def _number(data: bytearray, rng: random.Random) -> None:
    width = rng.choice((1, 2, 4, 8))
    value = (rng.choice(NUMBERS) % 256**width).to_bytes(width, "little")
    place = rng.randrange(len(data) + 1)
    data[place : place + width] = value


def _cut(data: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(data) + 1)
    del data[place : place + rng.choice((1, 2, 8, 64, 4096))]


def _insert(data: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(data) + 1)
    data[place:place] = rng.randbytes(rng.choice((1, 2, 8, 64)))


def _repeat(data: bytearray, rng: random.Random) -> None:
    start, place = (rng.randrange(len(data) + 1) for _ in range(2))
    data[place:place] = data[start : start + rng.choice((1, 8, 64, 512))]


def _truncate(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data) + 1) :]


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip,
    _flip,
    _set,
    _set,
    _number,
    _number,
    _cut,
    _insert,
    _repeat,
    _truncate,
)


# -- the independent reading -----------------------------------------------------------


class Stand:
    """Stands for any class or function that a pickle names, and does nothing."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __call__(self, *_: object, **__: object) -> Stand:
        """Return itself."""
        return self

    def __setstate__(self, state: object) -> None:
        self.state = state

    def append(self, _: object) -> None:
        """Take an item, and forget it."""

    def __setitem__(self, *_: object) -> None:
        pass


class Reference(pickle.Unpickler):
    """Python's own unpickler, which may rebuild tensors and nothing else."""

    NAMES = (
        ("collections", "OrderedDict"),
        ("torch._utils", "_rebuild_tensor_v2"),
        ("torch._utils", "_rebuild_parameter"),
    )

    def __init__(self, data: io.BytesIO, storages: Callable[..., Any]) -> None:
        super().__init__(data)
        self.storages = storages

    def find_class(self, module: str, name: str) -> Any:
        """Return what may be called, or a stand-in."""
        if (module, name) in self.NAMES:
            return super().find_class(module, name)
        if module == "torch" and name.endswith("Storage"):
            return name
        return type(name, (Stand,), {})

    def persistent_load(self, pid: Any) -> Any:
        """Return a storage."""
        return self.storages(*pid[1:5])


def reference_tensors(data: bytes) -> list[Tensor]:
    """Return all tensors in a file, read by other means than the package's.

    Raises
    ------
    Exception
        If these means refuse the file.
    """
    if data[8:9] == b"{":
        return list(load_safetensors(data).values())
    if data[:4] == b"PK\x03\x04":
        return _tensors_of_zip(data)
    if data[:2] == b"\x80\x02":
        loaded = _Legacy(data).load()
        return list(_tensors_in(loaded))
    import onnx

    model = onnx.ModelProto.FromString(data)
    arrays = map(onnx.numpy_helper.to_array, model.graph.initializer)
    return [torch.from_numpy(array.copy()) for array in arrays]


def _tensors_of_zip(data: bytes) -> list[Tensor]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("data.pkl"))
        root = name.removesuffix("data.pkl")

        def storages(kind: str, key: str, _: str, n_values: int) -> Any:
            return _storage(kind, archive.read(f"{root}data/{key}"), n_values)

        content = Reference(io.BytesIO(archive.read(name)), storages).load()
    return list(_tensors_in(content))


class _Legacy:
    """The old format: storages are found after the pickle that refers to them."""

    def __init__(self, data: bytes) -> None:
        self.file = io.BytesIO(data)

    def load(self) -> Any:
        for _ in range(3):
            Reference(self.file, lambda *_: None).load()
        start = self.file.tell()
        kinds: dict[str, str] = {}

        def note(kind: str, key: str, _: str, n_values: int) -> Any:
            kinds[key] = kind
            return _storage(kind, bytes(0), 0)

        class Rough(Reference):
            NAMES = (("collections", "OrderedDict"),)

        Rough(self.file, note).load()
        keys = Reference(self.file, lambda *_: None).load()
        records = {}
        for key in keys:
            (n_values,) = struct.unpack("<q", self.file.read(8))
            size = n_values * _dtype(kinds[key]).itemsize
            records[key] = self.file.read(size)
        self.file.seek(start)

        def storages(kind: str, key: str, _: str, n_values: int) -> Any:
            return _storage(kind, records[key], n_values)

        return Reference(self.file, storages).load()


def _dtype(kind: str) -> torch.dtype:
    found: torch.dtype = getattr(torch, kind).dtype
    return found


def _storage(kind: str, data: bytes, n_values: int) -> Any:
    dtype = _dtype(kind)
    size = n_values * dtype.itemsize
    tensor = torch.frombuffer(bytearray(data[:size]) or bytearray(8), dtype=dtype)
    return torch.storage.TypedStorage(
        wrap_storage=tensor.untyped_storage(), dtype=dtype, _internal=True
    )


def _tensors_in(value: Any) -> Iterator[Tensor]:
    seen: set[int] = set()
    todo = collections.deque([value])
    while todo:
        item = todo.popleft()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Tensor):
            yield item.detach()
        elif isinstance(item, dict):
            todo.extend(item.values())
        elif isinstance(item, (list, tuple)):
            todo.extend(item)
        elif isinstance(item, Stand):
            todo.append(vars(item))


def key_of(tensor: Tensor) -> tuple[Any, ...]:
    """Return all that makes a tensor equal to another, bit for bit."""
    flat = torch.empty(tensor.numel(), dtype=tensor.dtype)
    flat.copy_(tensor.detach().reshape(-1))
    return (
        tuple(tensor.shape),
        str(tensor.dtype),
        bytes(flat.view(torch.uint8).tolist()),
    )


# -- one mutation ----------------------------------------------------------------------


class Watch:
    """Remembers what must not happen while the package opens a file."""

    def __init__(self) -> None:
        self.on, self.seen = False, ""
        sys.addaudithook(self.hear)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take note of an event."""
        if not self.on:
            return
        if event in FORBIDDEN:
            self.seen = f"{event} {arguments[:2]}"
        elif event == "open" and set(str(arguments[1])) & set("wax+"):
            self.seen = f"opened for writing: {arguments[0]}"


def judge(path: Path, data: bytes, original: set[Any], watch: Watch) -> str:
    """Open a mutated file and return the outcome; ``"FAILED ..."`` if it is a bug."""
    path.write_bytes(data)
    watch.on, watch.seen = True, ""
    signal.alarm(SECONDS)
    try:
        outcome, said, tensors, model = _opened(path)
    except BaseException as error:  # noqa: BLE001 - that is what is looked for
        return f"FAILED with {type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
        watch.on = False
    if watch.seen:
        return f"FAILED: {watch.seen}"
    if "\n" in said or len(said) > 600:
        return f"FAILED: its message is no single line: {said[:80]!r}"
    if model is not None and not _same_network(model, tensors):
        return "FAILED: the network does not hold the weights of the file"
    return (
        outcome if outcome == "refused" else _compared(outcome, tensors, data, original)
    )


def _opened(path: Path) -> tuple[str, str, dict[str, Tensor], Any]:
    """Return how far it came, what was said, the tensors and the model."""
    tensors: dict[str, Tensor] = {}
    outcome = "refused"
    try:
        tensors = open_checkpoint(path).tensors
        outcome = "weights read"
        return "loaded", "", tensors, load_model(path)
    except UNetError as error:
        return outcome, str(error), tensors, None


def _compared(
    outcome: str, tensors: dict[str, Tensor], data: bytes, original: set[Any]
) -> str:
    """Hold the tensors against the good file's, and against what this file holds."""
    found = {key_of(tensor) for tensor in tensors.values()}
    if found <= original:
        return f"{outcome}, unchanged"
    try:
        wanted = {key_of(tensor) for tensor in reference_tensors(data)}
    except Exception as error:  # noqa: BLE001 - the reference may refuse in any way
        return f"FAILED: the reference refuses it ({type(error).__name__}: {error})"
    same = found <= wanted
    return f"{outcome}, as mutated" if same else "FAILED: other tensors than the file's"


def _same_network(model: Any, tensors: dict[str, Tensor]) -> bool:
    """Return whether the network holds the tensors that were read, bit for bit.

    What it does not hold, the report must list, of a reading that is not verified.
    """
    state = model.network.state_dict()
    if not state:
        return True  # an ONNX session
    missing = tensors.keys() - state.keys()
    told = (
        {line.split(" ")[0] for line in model.report.unused} if model.report else set()
    )
    if missing and (model.report.verified or not missing <= told):
        return False
    return all(
        name in tensors and torch.equal(mine, tensors[name].to(mine.dtype))
        for name, mine in state.items()
    )


def work(folder: Path, first: int, count: int, only: str) -> None:
    """Judge mutations `first` to `first + count`; print one line of JSON for each."""
    import resource

    torch.set_num_threads(1)
    seeds = make_seeds(folder)
    known = {
        name: {key_of(t) for t in reference_tensors(d)} for name, d in seeds.items()
    }
    for name, data in seeds.items():  # imports happen here, and good files load
        (folder / name).write_bytes(data)
        open_checkpoint(folder / name).read()
    watch = Watch()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    names = [name for name in sorted(seeds) if only in name]
    for number in range(first, first + count):
        rng = random.Random(number)
        name = names[number % len(names)]
        data = mutate(seeds[name], rng)
        path = folder / f"{number}{Path(name).suffix}"
        outcome = judge(path, data, known[name], watch)
        if not outcome.startswith("FAILED"):
            path.unlink()
        line = {"number": number, "seed": name, "outcome": outcome}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    if (folder / MARKER).exists():
        sys.stdout.write(json.dumps({"outcome": "FAILED: code was executed"}) + "\n")


# -- all of them -----------------------------------------------------------------------


def fuzz(folder: Path, count: int, first: int, only: str) -> collections.Counter[Any]:
    """Run workers until `count` mutations are judged; return the number of outcomes."""
    counts: collections.Counter[Any] = collections.Counter()
    done, end = first, first + count
    while done < end:
        command = [sys.executable, __file__, "--worker", str(folder), "--first"]
        command += [str(done), "--mutations", str(min(BATCH, end - done))]
        command += ["--only", only]
        limit = 120 + 2 * SECONDS + BATCH
        try:
            ran = subprocess.run(
                command, capture_output=True, text=True, timeout=limit, check=False
            )
            lines, died = ran.stdout, ran.returncode and f"status {ran.returncode}"
            trouble = ran.stderr[-500:]
        except subprocess.TimeoutExpired as error:
            lines, died, trouble = (error.stdout or b"").decode(), "a hang", ""
        # Libraries may print, too, and the last line of a worker that died be cut.
        whole = (x for x in lines.splitlines() if x[:1] == "{" and x[-1:] == "}")
        judged = [json.loads(line) for line in whole]
        for line in judged:
            counts[line.get("seed"), line["outcome"]] += 1
            if line["outcome"].startswith("FAILED"):
                print(line, flush=True)
        done += sum("number" in line for line in judged)
        if died:
            counts[None, f"FAILED: a worker ended with {died}"] += 1
            print(f"mutation {done}: {died} {trouble}", flush=True)
            done += 1
    return counts


def main() -> None:
    """Parse the command line, fuzz, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--only", default="", help="part of the names of the files")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(given.worker, given.first, given.mutations, given.only)
        return
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        counts = fuzz(Path(folder), given.mutations, given.first, given.only)
    for seed in sorted({seed for seed, _ in counts}, key=str):
        rows = {outcome: n for (s, outcome), n in counts.items() if s == seed}
        print(f"{seed or 'workers':<20}", dict(sorted(rows.items())))
    failed = sum(n for (_, out), n in counts.items() if out.startswith("FAILED"))
    seconds = time.monotonic() - started
    print(f"{sum(counts.values())} mutations, {failed} failures, {seconds:.0f} s")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
