from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from napari_unet.errors import DeviceError
from napari_unet.nn import device as devices
from napari_unet.nn.checkpoint import Model
from napari_unet.nn.device import (
    choose_device,
    is_available,
    is_out_of_memory,
    release_memory,
)
from napari_unet.nn.kernels import exact_arithmetic, training_kernels
from napari_unet.pipeline import segment
from napari_unet.settings import Tiling

CPU = torch.device("cpu")
onednn: Any = torch.backends.mkldnn


# -- which one -------------------------------------------------------------------


def test_auto_takes_the_first_kind_that_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for present, wanted in [
        ({"cuda", "xpu"}, "cuda"),
        ({"mps"}, "mps"),
        ({"xpu"}, "xpu"),
        (set(), "cpu"),
    ]:
        monkeypatch.setattr(
            devices, "n_devices", lambda kind, p=present: int(kind in p)
        )
        assert choose_device().type == wanted
        assert choose_device("auto").type == wanted


def test_the_cpu_is_always_there() -> None:
    assert choose_device("cpu") == CPU
    assert is_available("cpu")


def test_devices_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "n_devices", {"cuda": 2, "cpu": 1}.get)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    assert choose_device("cuda") == torch.device("cuda")
    with pytest.raises(DeviceError, match="no device 'cuda:2'"):
        choose_device("cuda:2")


@pytest.mark.parametrize(
    "name",
    ["gpu", "", "cpu:1", "cuda:99", "cuda:-1", "cuda:", "meta", "mkldnn", "hpu", "0"],
)
def test_other_devices_are_refused(name: str) -> None:
    with pytest.raises(DeviceError, match=f"There is no device '{name}'") as refusal:
        choose_device(name)
    assert "doctor" in refusal.value.remedy


# -- arithmetic ------------------------------------------------------------------


def read(get: Callable[[], object]) -> object:
    try:
        return get()
    except RuntimeError as error:  # torch refuses where its two ways were mixed
        return type(error)


def arithmetic() -> list[object]:
    """Return all that torch has to say on inexact kernels."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    return [
        read(get)
        for get in (
            torch.get_float32_matmul_precision,
            lambda: matmul.allow_tf32,
            lambda: cudnn.allow_tf32,
            lambda: cudnn.benchmark,
            lambda: cudnn.deterministic,
            lambda: matmul.fp32_precision,
            lambda: cudnn.conv.fp32_precision,
            lambda: cudnn.rnn.fp32_precision,
            lambda: onednn.conv.fp32_precision,
            lambda: onednn.matmul.fp32_precision,
            torch.is_inference_mode_enabled,
            lambda: torch.is_autocast_enabled("cpu"),
        )
    ]


def by_kind(value: str) -> None:
    torch.backends.cuda.matmul.fp32_precision = value
    torch.backends.cudnn.conv.fp32_precision = value


USERS: dict[str, Callable[[], object]] = {
    "default": lambda: None,
    "tf32": lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "benchmark": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "by kind": lambda: by_kind("tf32"),
    "bfloat16": lambda: setattr(onednn.conv, "fp32_precision", "bf16"),
}


@pytest.fixture
def restored() -> Iterator[None]:
    """Undo what a test's user has set."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    kinds = matmul, cudnn.conv, cudnn.rnn, onednn.conv, onednn.matmul
    before = [kind.fp32_precision for kind in kinds]
    benchmark = cudnn.benchmark
    yield
    cudnn.benchmark = benchmark
    torch.set_float32_matmul_precision("highest")
    for kind, value in zip(kinds, before, strict=True):
        kind.fp32_precision = value


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("user", USERS)
def test_inside_all_is_exact_and_afterwards_as_before(user: str) -> None:
    USERS[user]()
    before = arithmetic()
    with exact_arithmetic(CPU, "float32"):
        assert arithmetic() == [
            *("highest", False, False, False, True),
            *("ieee",) * 5,
            *(True, False),
        ]
    assert arithmetic() == before


def leave_by_an_error() -> None:
    with exact_arithmetic(CPU, "float32"):
        raise KeyError


def test_an_error_restores_too() -> None:
    before = arithmetic()
    with pytest.raises(KeyError):
        leave_by_an_error()
    assert arithmetic() == before


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("repeatable", [True, False])
def test_a_training_step_beside_a_tile_changes_nothing_for_it(
    repeatable: bool,
) -> None:
    cudnn = torch.backends.cudnn
    before = arithmetic()
    with exact_arithmetic(CPU, "float32"):
        exact = arithmetic()
        with training_kernels(repeatable=repeatable):
            assert arithmetic() == exact
        assert arithmetic() == exact
    assert arithmetic() == before
    with training_kernels(repeatable=repeatable):
        assert (cudnn.benchmark, cudnn.deterministic) == (not repeatable, repeatable)
        with exact_arithmetic(CPU, "float32"):
            assert arithmetic() == exact
        assert (cudnn.benchmark, cudnn.deterministic) == (not repeatable, repeatable)
    assert arithmetic() == before


@pytest.mark.usefixtures("restored")
def test_the_last_thread_to_leave_restores() -> None:
    """Two tiles overlap in time: the first to leave must not undo the other's."""
    torch.backends.cudnn.benchmark = True
    inside, leave, left = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        with exact_arithmetic(CPU, "float32"):
            inside.set()
            leave.wait(10)
        left.set()

    thread = threading.Thread(target=work)
    with exact_arithmetic(CPU, "float32"):
        thread.start()
        inside.wait(10)
    assert torch.backends.cudnn.benchmark is False
    leave.set()
    assert left.wait(10)
    thread.join()
    assert torch.backends.cudnn.benchmark is True


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_precision_is_that_of_the_products(precision: str) -> None:
    convolution = torch.nn.Conv2d(1, 1, 3)
    with exact_arithmetic(CPU, precision):
        found = convolution(torch.zeros(1, 1, 4, 4)).dtype
    assert found == getattr(torch, precision)
    assert convolution(torch.zeros(1, 1, 4, 4)).dtype == torch.float32


# -- memory ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (MemoryError(), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            True,
        ),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("shape mismatch"), False),
        (ValueError("CUDA error: out of memory"), False),
        (OSError(12, "Cannot allocate memory"), False),
    ],
)
def test_memory_is_blamed_for_nothing_else(error: Exception, full: bool) -> None:
    assert is_out_of_memory(error) == full


def test_a_real_refusal_of_the_allocator_is_recognised() -> None:
    with pytest.raises(RuntimeError) as refusal:
        torch.empty(2**50, dtype=torch.uint8)
    assert is_out_of_memory(refusal.value)


def test_releasing_memory_of_the_cpu_does_nothing() -> None:
    release_memory(CPU)


# -- CUDA ------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_what_the_cpu_gives(make_model: Callable[..., Model]) -> None:
    model = make_model(
        depth=3,
        base_channels=8,
        recipe={
            "channels": ("background", "interior", "boundary"),
            "task": "instances",
        },
    )
    image = np.random.default_rng(0).random((300, 260)).astype(np.float32)
    found = {
        (device, tile): segment(
            image, model, axes="YX", device=device, tiling=Tiling(tile=tile)
        )
        for device in ("cpu", "cuda")
        for tile in (64, 512)
    }
    tiled, whole = (found["cuda", tile].probabilities for tile in (64, 512))
    # Both are rounded to 1/65535: half a step each, beside the 1e-5 of the arithmetic.
    assert np.abs(tiled.astype(int) - whole.astype(int)).max() <= 2
    there, here = (found[device, 512].probabilities for device in ("cuda", "cpu"))
    assert np.abs(there.astype(int) - here.astype(int)).max() <= 2
    differ = (found["cuda", 512].labels > 0) != (found["cpu", 512].labels > 0)
    assert differ.mean() < 1e-4
