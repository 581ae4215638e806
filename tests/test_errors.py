"""Errors: both sentences survive a process border, and napari cannot swallow them."""

from __future__ import annotations

import inspect
import pickle
from concurrent.futures import Future

import pytest

from napari_unet import errors
from napari_unet.errors import UNetError

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, BaseException)
]


def test_each_is_described():
    assert UNetError in KINDS
    assert all(kind.__doc__ for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_one_base_and_no_runtime_error(kind):
    assert issubclass(kind, UNetError)
    assert not issubclass(kind, RuntimeError)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("remedy", ["Do this.", ""])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_keeps_both_sentences(kind, remedy, protocol):
    error = kind("This happened.", remedy)
    copy = pickle.loads(pickle.dumps(error, protocol))
    assert type(copy) is kind
    assert (copy.problem, copy.remedy) == ("This happened.", remedy)
    assert str(copy) == str(error)


def test_the_text_is_both_sentences():
    assert str(UNetError("This happened.", "Do this.")) == "This happened. Do this."
    assert str(UNetError("This happened.")) == "This happened."


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_future_gives_the_error_back(kind):
    future = Future()
    future.set_exception(kind("This happened.", "Do this."))
    with pytest.raises(kind, match=r"^This happened\. Do this\.$"):
        future.result()
