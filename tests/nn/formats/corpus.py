"""A corpus of hostile and damaged checkpoints, and what must become of each.

Run as a script, it makes the corpus in a folder, opens every file in turn under a limit
of memory, and prints one line of JSON for each: the tests read them.
"""

from __future__ import annotations

import io
import json
import os
import struct
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MARKER = "executed"
KERNEL = struct.pack("<9f", *range(9))
GIB = 2**30


@dataclass(frozen=True)
class Case:
    """One file.

    Parameters
    ----------
    name
        Of the case, and of the file or folder.
    make
        Writes it under the given path.
    refused
        Part of the message it is refused with; None: its weights load, and nothing
        else happens.
    """

    name: str
    make: Callable[[Path], None]
    refused: str | None


CASES: list[Case] = []


def case(name: str, refused: str | None) -> Callable[[Callable[[Path], None]], None]:
    def add(make: Callable[[Path], None]) -> None:
        CASES.append(Case(name, make, refused))

    return add


# -- pickles, operation by operation ---------------------------------------------------


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def several(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + several(*arguments) + b"R"


def table(**items: bytes) -> bytes:
    return b"}(" + b"".join(text(k) + v for k, v in items.items()) + b"u"


def storage(key: str, n_values: int, kind: str = "FloatStorage") -> bytes:
    parts = text("storage"), named("torch", kind), text(key), text("cpu")
    return several(*parts, number(n_values)) + b"Q"


def tensor(
    shape: tuple[int, ...] = (1, 1, 3, 3),
    stride: tuple[int, ...] = (9, 9, 3, 1),
    *,
    offset: int = 0,
    n_values: int = 9,
    key: str = "0",
) -> bytes:
    return call(
        named("torch._utils", "_rebuild_tensor_v2"),
        storage(key, n_values),
        number(offset),
        several(*map(number, shape)),
        several(*map(number, stride)),
        b"\x89",
        call(named("collections", "OrderedDict")),
    )


def pickled(value: bytes) -> bytes:
    return b"\x80\x02" + value + b"."


def torch_zip(
    path: Path, value: bytes, records: dict[str, bytes] | None = None
) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickled(value))
        archive.writestr("a/byteorder", "little")
        for name, data in (records or {"data/0": KERNEL}).items():
            archive.writestr(f"a/{name}", data)
        archive.writestr("a/version", "3")


def attack(path: Path) -> bytes:
    """A call that would leave a marker beside the file."""
    marker = path.parent / MARKER
    return call(named("posix", "system"), text(f"touch {marker}"))


def plain_weights(**more: bytes) -> bytes:
    return table(state_dict=table(weight=tensor()), **more)


# -- code ------------------------------------------------------------------------------


@case("call_instead_of_weights.pt", "holds no weights")
def _(path: Path) -> None:
    torch_zip(path, attack(path))


@case("call_beside_weights.pt", None)
def _(path: Path) -> None:
    torch_zip(path, plain_weights(extra=attack(path)))


@case("eval_beside_weights.ckpt", None)
def _(path: Path) -> None:
    code = f"open({str(path.parent / MARKER)!r}, 'w')"
    torch_zip(path, plain_weights(extra=call(named("builtins", "eval"), text(code))))


@case("every_way_to_call.pt", None)
def _(path: Path) -> None:
    command = text(f"touch {path.parent / MARKER}")
    ways = {
        "instance": b"(" + command + b"iposix\nsystem\n",
        "object": b"(" + named("posix", "system") + command + b"o",
        "new": named("posix", "system") + several(command) + b"\x81",
        "keywords": named("posix", "system") + several(command) + b"}\x92",
        "state": call(named("builtins", "getattr"), command) + table(a=command) + b"b",
        "stacked": text("posix") + text("system") + b"\x93" + several(command) + b"R",
        "rebuilt": call(
            named("torch._tensor", "_rebuild_from_type_v2"),
            named("posix", "system"),
            named("torch", "Tensor"),
            several(command),
            b"N",
        ),
    }
    torch_zip(path, plain_weights(**ways))


@case("weights_made_by_a_call.pt", "holds no weights")
def _(path: Path) -> None:
    torch_zip(path, table(weight=call(named("numpy", "load"), text("x.npy"))))


@case("old_format.pt", "holds no weights")
def _(path: Path) -> None:
    magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
    parts = [magic, pickled(number(1001)), pickled(b"}"), pickled(attack(path))]
    path.write_bytes(b"".join([*parts, pickled(b"]")]))


@case("old_format_before_its_number.pt", "damaged")
def _(path: Path) -> None:
    magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
    path.write_bytes(magic + pickled(attack(path)) * 4)


@case("bare_pickle.pkl", "bare pickle")
def _(path: Path) -> None:
    path.write_bytes(pickled(attack(path)))


@case("extension_code.pt", "needs data from elsewhere")
def _(path: Path) -> None:
    torch_zip(path, plain_weights(extra=b"\x82\x01"))


# -- pickles without end ---------------------------------------------------------------


@case("nested_keys.pt", None)
def _(path: Path) -> None:
    # Hashing a tuple that holds another twice, 200 deep, would take for ever.
    deep = b")" + b"".join(b"2\x86" for _ in range(200))
    torch_zip(path, plain_weights(extra=b"}" + deep + b"Ns"))


@case("shared_lists.pt", None)
def _(path: Path) -> None:
    deep = b"]" + b"".join(b"q\x00](h\x00h\x00e" for _ in range(200))
    torch_zip(path, plain_weights(extra=deep))


@case("deep_lists.pt", None)
def _(path: Path) -> None:
    torch_zip(path, plain_weights(extra=b"]" * 60_000 + b"a" * 59_999))


@case("deep_calls.pt", None)
def _(path: Path) -> None:
    deep = b")" + b"\x85" * 30_000
    torch_zip(path, plain_weights(extra=named("a", "b") + deep + b"R"))


@case("deep_rebuilding.pt", "damaged")
def _(path: Path) -> None:
    rebuild = named("torch._tensor", "_rebuild_from_type_v2")
    inner = several(number(1))
    for _ in range(3000):
        inner = several(rebuild, b"N", inner, b"N")
    torch_zip(path, plain_weights(extra=rebuild + inner + b"R"))


@case("list_in_itself.pt", None)
def _(path: Path) -> None:
    torch_zip(path, plain_weights(extra=b"]q\x00h\x00a"))


@case("module_in_itself.pt", "holds no weights")
def _(path: Path) -> None:
    state = b"}(" + text("_modules") + b"}" + text("again") + b"h\x00s" + b"u"
    torch_zip(path, call(named("my", "Net")) + b"q\x00" + state + b"b")


@case("too_many_operations.pt", "far more data beside its weights")
def _(path: Path) -> None:
    torch_zip(path, plain_weights(extra=b"](" + b"N" * 2_100_000 + b"e"))


@case("long_integer.pt", "absurdly large")
def _(path: Path) -> None:
    data = b"\x01" * 4_000_000
    long = b"\x8b" + struct.pack("<i", len(data)) + data
    torch_zip(path, plain_weights(extra=long))


@case("text_longer_than_the_file.pt", "damaged")
def _(path: Path) -> None:
    torch_zip(path, plain_weights(extra=b"X\xff\xff\xff\xff"))


@case("empty_stack.pt", "damaged")
def _(path: Path) -> None:
    torch_zip(path, b"0000")


# -- tensors that are not there --------------------------------------------------------

ABSURD = {
    "huge_shape": {"shape": (2**40, 2**40, 3, 3)},
    "huge_product": {"shape": (2**31, 2**31, 1, 1), "stride": (0, 0, 0, 0)},
    "repeated_value": {"shape": (100_000, 1, 3, 3), "stride": (0, 0, 0, 0)},
    "negative_shape": {"shape": (-1, -9, 3, 3)},
    "huge_stride": {"stride": (9, 9, 2**60, 1)},
    "negative_stride": {"stride": (9, 9, -3, 1)},
    "offset_beyond": {"offset": 1},
    "negative_offset": {"offset": -1},
    "huge_offset": {"offset": 2**62},
    "long_storage": {"n_values": 2**50},
    "many_axes": {"shape": (1,) * 60 + (3, 3), "stride": (9,) * 60 + (3, 1)},
}


def _absurd(arguments: dict[str, object]) -> Callable[[Path], None]:
    return lambda path: torch_zip(path, table(weight=tensor(**arguments)))  # type: ignore[arg-type]


for _name, _arguments in ABSURD.items():
    _why = "bytes, not" if _name == "long_storage" else "reaches beyond"
    case(f"{_name}.pt", _why)(_absurd(_arguments))


@case("missing_storage.pt", "lacks")
def _(path: Path) -> None:
    torch_zip(path, table(weight=tensor(key="7")))


@case("storage_name_leads_out.pt", "lacks")
def _(path: Path) -> None:
    torch_zip(path, table(weight=tensor(key="../../../../etc/passwd")))


@case("one_storage_for_all.pt", "would hold")
def _(path: Path) -> None:
    n = 250_000
    one = tensor((1, 1, 500, 500), (n, n, 500, 1), n_values=n)
    many = table(**{f"w{i}": one for i in range(400)})
    torch_zip(path, many, {"data/0": bytes(4 * n)})


# -- zip files -------------------------------------------------------------------------


def _with_record(path: Path, info: zipfile.ZipInfo | str, data: bytes = b"x") -> None:
    torch_zip(path, plain_weights())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, data)


for _number, _slip in enumerate(["../out.txt", "/out.txt", "a/../../out", "C:/out"]):
    case(f"zip_slip_{_number}.pt", "leads out of its folder")(
        lambda path, slip=_slip: _with_record(path, slip)  # type: ignore[misc]
    )


@case("zip_link.pt", "is a link or a device")
def _(path: Path) -> None:
    info = zipfile.ZipInfo("a/link")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    _with_record(path, info, b"/etc/passwd")


@case("zip_twice.pt", "twice")
def _(path: Path) -> None:
    _with_record(path, "A/Data.pkl", pickled(attack(path)))


@case("zip_bomb.pt", "unpack to")
def _(path: Path) -> None:
    info = zipfile.ZipInfo("a/zeros")
    info.compress_type = zipfile.ZIP_DEFLATED
    _with_record(path, info, bytes(100 * 2**20))


def _edited(path: Path, offset: int, value: bytes) -> None:
    """Change the last entry of the directory of a zip file."""
    data = bytearray(path.read_bytes())
    start = data.rfind(b"PK\x01\x02")
    data[start + offset : start + offset + len(value)] = value
    path.write_bytes(data)


@case("zip_encrypted.pt", "is encrypted")
def _(path: Path) -> None:
    torch_zip(path, plain_weights())
    _edited(path, 8, b"\x01\x00")


@case("zip_unknown_method.pt", "packed in an unknown way")
def _(path: Path) -> None:
    torch_zip(path, plain_weights())
    _edited(path, 10, b"\x63\x00")


@case("zip_claims_too_much.pt", "unpack to")
def _(path: Path) -> None:
    torch_zip(path, plain_weights())
    _edited(path, 24, struct.pack("<I", 0xFFFFFFF0))


@case("zip_shared_bytes.pt", "share bytes")
def _(path: Path) -> None:
    torch_zip(path, plain_weights())
    _edited(path, 20, struct.pack("<I", 2**20))


@case("zip_many_records.pt", "directory is too long")
def _(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(45_000):
            archive.writestr(f"a/{index:0150}", b"")


@case("zip_of_something_else.pt", "no checkpoint")
def _(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


@case("wrong_checksum.pt", "damaged")
def _(path: Path) -> None:
    torch_zip(path, plain_weights())
    data = path.read_bytes()
    path.write_bytes(data.replace(KERNEL, KERNEL[:-1] + b"\x7f"))


@case("truncated.pt", "damaged")
def _(path: Path) -> None:
    torch_zip(path, plain_weights())
    path.write_bytes(path.read_bytes()[:-30])


# -- safetensors -----------------------------------------------------------------------


def safetensors(path: Path, header: object, data: bytes = KERNEL) -> None:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + data)


def entry(**changes: object) -> dict[str, object]:
    usual = {"dtype": "F32", "shape": [1, 1, 3, 3], "data_offsets": [0, 36]}
    return {"w": {**usual, **changes}}


SAFETENSORS = {
    "header_too_long": (b"{" + b" " * (9 * 2**20) + b"}", "claims a header"),
    "header_no_json": (b"{{{{", "damaged"),
    "header_nested": (b'{"a":' * 100_000, "damaged"),
    "shape_too_large": (entry(shape=[2**40, 2**40]), "damaged"),
    "shape_does_not_fit": (entry(shape=[1, 1, 3, 4]), "damaged"),
    "offsets_beyond": (entry(data_offsets=[0, 2**50]), "damaged"),
    "offsets_backwards": (entry(data_offsets=[36, 0]), "damaged"),
    "negative_shape": (entry(shape=[-1, -1, 3, 3]), "damaged"),
    "unknown_type": (entry(dtype="F1024"), "damaged"),
    "hole": (entry(data_offsets=[4, 40]), "damaged"),
    "nan_metadata": ({**entry(), "__metadata__": {"a": float("nan")}}, "damaged"),
}

for _name, (_header, _why) in SAFETENSORS.items():
    case(f"{_name}.safetensors", _why)(
        lambda path, header=_header: safetensors(path, header)  # type: ignore[misc]
    )


@case("header_beyond.safetensors", "header")
def _(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 2**63) + b'{"a":1}' + KERNEL)


@case("truncated.safetensors", "damaged")
def _(path: Path) -> None:
    safetensors(path, entry(), KERNEL[:-1])


@case("damaged_recipe.safetensors", "recipe")
def _(path: Path) -> None:
    recipe = {"napari_unet": '{"architecture": ' + "[" * 100_000}
    safetensors(path, {**entry(), "__metadata__": recipe})


@case("huge_network.safetensors", "lacks the tensor")
def _(path: Path) -> None:
    architecture = {"depth": 8, "base_channels": 4096, "ndim": 3}
    recipe = {"architecture": architecture, "channels": ["a", "b", "c"]}
    metadata = {"napari_unet": json.dumps(recipe)}
    safetensors(path, {**entry(), "__metadata__": metadata})


# -- files that are none ---------------------------------------------------------------


@case("pipe.pt", "no regular file")
def _(path: Path) -> None:
    os.mkfifo(path)


@case("device.pt", "no regular file")
def _(path: Path) -> None:
    path.symlink_to("/dev/zero")


@case("link_to_itself.pt", "cannot be read")
def _(path: Path) -> None:
    path.symlink_to(path)


@case("sparse.pt", "more than any U-Net")
def _(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(1024 * GIB)


MISTAKES = {
    "empty.pt": (b"", "is empty"),
    "page.pt": (b"<!DOCTYPE html><html>", "a web page"),
    "pointer.pt": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    "keras.pt": (b"\x89HDF\r\n\x1a\n", "HDF5"),
    "packed.pt": (b"\x1f\x8b\x08", "gzip"),
    "noise.pt": (bytes(range(256)), "not a checkpoint"),
}

for _name, (_data, _why) in MISTAKES.items():
    case(_name, _why)(lambda path, data=_data: path.write_bytes(data))  # type: ignore[misc]


# -- folders of nnU-Net ----------------------------------------------------------------


def nnunet(path: Path, plans: str = "{}") -> Path:
    fold = path / "fold_0"
    fold.mkdir(parents=True)
    (path / "plans.json").write_text(plans)
    return fold / "checkpoint_final.pth"


@case("nnunet_code", None)
def _(path: Path) -> None:
    weights = table(network_weights=table(weight=tensor()), logging=attack(path))
    torch_zip(nnunet(path), weights)


@case("nnunet_deep_plans", "plans.json is damaged")
def _(path: Path) -> None:
    torch_zip(nnunet(path, "[" * 200_000), plain_weights())


@case("nnunet_link", "leads out of")
def _(path: Path) -> None:
    nnunet(path).symlink_to("/etc/passwd")


@case("nnunet_empty", "holds no checkpoint_final.pth")
def _(path: Path) -> None:
    nnunet(path)


@case("folder_of_nothing", "folder of no known kind")
def _(path: Path) -> None:
    path.mkdir()


# -- ONNX ------------------------------------------------------------------------------


def onnx_model(
    path: Path, op: str = "Conv", *, domain: str = "", where: str = ""
) -> None:
    import onnx
    from onnx import TensorProto, helper

    weight = helper.make_tensor("w", TensorProto.FLOAT, [1, 1, 3, 3], KERNEL, raw=True)
    if where:
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=where)
    image = [1, 1, "y", "x"]
    graph = helper.make_graph(
        [helper.make_node(op, ["x", "w"], ["y"], domain=domain)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, image)],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(model, path)


ONNX = {
    "onnx_reads_elsewhere": ({"where": "../../../etc/passwd"}, "reads passwd"),
    "onnx_reads_root": ({"where": "/etc/passwd"}, "reads passwd"),
    "onnx_data_missing": ({"where": "nothing.bin"}, "cannot be read"),
    "onnx_loop": ({"op": "Loop"}, "holds a Loop"),
    "onnx_foreign_operator": ({"domain": "evil"}, "operators of evil"),
}


def _onnx(arguments: dict[str, str]) -> Callable[[Path], None]:
    return lambda path: onnx_model(path, **arguments)  # type: ignore[arg-type]


for _name, (_given, _why) in ONNX.items():
    case(f"{_name}.onnx", _why)(_onnx(_given))


@case("onnx_memory.onnx", "takes no image")
def _(path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    size = helper.make_tensor("size", TensorProto.INT64, [1], [2**33])
    image = [1, 1, "y", "x"]
    graph = helper.make_graph(
        [
            helper.make_node("ConstantOfShape", ["size"], ["many"]),
            helper.make_node("ReduceSum", ["many"], ["sum"], keepdims=0),
            helper.make_node("Add", ["x", "sum"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, image)],
        [size],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)


@case("onnx_noise.onnx", "damaged")
def _(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 10)


@case("onnx_huge_tensor.onnx", "damaged")
def _(path: Path) -> None:
    from onnx import ModelProto

    onnx_model(path)
    model = ModelProto.FromString(path.read_bytes())
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend([2**20, 2**30])
    path.write_bytes(model.SerializeToString())


# -- the run ---------------------------------------------------------------------------


def make_corpus(folder: Path) -> list[Case]:
    """Write all files; those of ONNX only if the package is there."""
    from importlib.util import find_spec

    cases = [c for c in CASES if find_spec("onnx") or not c.name.startswith("onnx")]
    for one in cases:
        one.make(folder / one.name)
    return cases


def main(folder: Path) -> None:
    """Open every file, with 1 GiB more than what the imports took."""
    import resource

    from napari_unet.errors import UNetError
    from napari_unet.nn.checkpoint import load_model
    from napari_unet.nn.formats.containers import open_checkpoint

    cases = make_corpus(folder)
    before = sorted(p.name for p in folder.rglob("*"))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + GIB
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for one in cases:
        started, said, weights = time.perf_counter(), io.StringIO(), 0
        try:
            weights = len(open_checkpoint(folder / one.name).tensors)
            load_model(folder / one.name)
        except UNetError as error:
            said.write(str(error))
        seconds = time.perf_counter() - started
        found = {"name": one.name, "said": said.getvalue(), "weights": weights}
        sys.stdout.write(json.dumps({**found, "seconds": seconds}) + "\n")
    after = sorted(p.name for p in folder.rglob("*"))
    sys.stdout.write(json.dumps({"written": [n for n in after if n not in before]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
