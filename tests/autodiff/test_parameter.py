"""Parameters whose value lies in a file until it is first used."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastlm.autodiff import Parameter
from fastlm.autodiff.matmul import aligned


def lying(stored):
    parameter = Parameter("weight", np.zeros(stored.shape), decay=False)
    parameter.lie_in(stored)
    return parameter


def at_line(values):
    """The values at a multiple of 64 bytes."""
    out = aligned((len(values),))
    out[:] = values
    return out


def test_float16_becomes_float32_when_it_is_used():
    stored = np.array([[1.5, -0.0, 6e-8], [65504, 2.0, 3.0]], np.float16)
    parameter = lying(stored)
    assert parameter.shape == (2, 3) and parameter.trainable and not parameter.decay
    value = parameter.value
    assert value.dtype == np.float32 and value.ctypes.data % 64 == 0 and parameter.value is value
    np.testing.assert_array_equal(value, stored.astype(np.float32))
    assert np.signbit(value[0, 1])
    value[0, 0] = 7
    assert stored[0, 0] == 1.5 and parameter.tensors()[""] is value


def test_float32_is_used_where_it_lies_only_where_that_does_no_harm():
    stored = at_line([1, 2, 3])
    assert lying(stored).value is stored
    read_only = at_line([1, 2, 3])
    read_only.setflags(write=False)
    for other in (at_line([1, 2, 3, 4])[1:], read_only):
        value = lying(other).value
        assert not np.shares_memory(value, other) and value.ctypes.data % 64 == 0 and value.flags.writeable
        np.testing.assert_array_equal(value, other)


def test_a_value_may_be_set_before_it_was_used():
    parameter = lying(np.ones(3, np.float16))
    parameter.value = np.zeros(3, np.float32)
    assert parameter.value.tolist() == [0, 0, 0]
    nothing = lying(np.zeros((0, 3), np.float16))
    assert nothing.value.shape == nothing.shape == (0, 3)


@pytest.mark.parametrize("twin", [lambda p: pickle.loads(pickle.dumps(p)), copy.deepcopy, copy.copy])
def test_copies_hold_the_value(twin):
    for used in (False, True):
        parameter = lying(np.array([1.5, 2.5], np.float16))
        if used:
            parameter.value[0] = 9
        other = twin(parameter)
        assert (other.name, other.decay, other.value.tolist()) == ("weight", False, [9.0 if used else 1.5, 2.5])
        assert other.value.dtype == np.float32


def test_threads_that_use_it_at_once_find_the_same():
    for _ in range(20):
        parameter = lying(np.arange(1000, dtype=np.float16))
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _, p=parameter: p.value, range(16)))
        assert all((value == np.arange(1000)).all() for value in found)
        assert parameter.value is found[-1]


def test_other_names_are_missing():
    parameter = lying(np.zeros(1, np.float16))
    with pytest.raises(AttributeError, match="gradient"):
        _ = parameter.gradient
    assert parameter.shape == (1,)
