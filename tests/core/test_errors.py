"""What the binding refuses, sentence by sentence, and that it refuses before anything is written."""

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from fastlm import _core

F = np.float32


def f(*shape: int) -> np.ndarray:
    return np.zeros(shape, F)


def i64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def i32(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def sizes(*values: int) -> np.ndarray:
    return np.array(values, np.uintp)


def starts(count: int) -> np.ndarray:
    return np.zeros(count, np.uint8)


RATE = _core.Rate(lr=0.1)
SHAPES: dict[str, Callable[[], object]] = {
    "out has shape (2, 3), expected (1, 3)": lambda: _core.gather(f(2, 3), f(4, 3), i64(0)),
    "dout has shape (2, 2), expected (2, 3)": lambda: _core.scatter_add(f(4, 3), f(2, 2), i64(0, 1)),
    "row has 3 elements, expected 2": lambda: _core.position_rows(
        i64(0, 0, 0), i64(0), i32(0, 0), None, sizes(1, 1), 3, 5
    ),
    "size adds up to 3 rows, expected 2": lambda: _core.position_rows(
        i64(0, 0), i64(0, 0), i32(0, 0), None, sizes(2, 1), 3, 5
    ),
    "starts has 3 elements, expected 2": lambda: _core.position_rows(
        i64(0, 0), i64(0), i32(0, 0), starts(3), sizes(1, 1), 3, 5
    ),
    "size[0] = 2 is more than the 1 sequences before it": lambda: _core.prefix_sum(
        f(3, 2), f(1, 2), f(4, 2), None, i64(0, 0, 0), None, sizes(2, 1)
    ),
    "size[1] = 2 is more than the 1 sequences before it": lambda: _core.suffix_sum(
        f(4, 2), f(2, 2), f(3, 2), i64(0, 0, 0), None, sizes(1, 2)
    ),
    "out has shape (2, 3), expected (1, 2)": lambda: _core.prefix_sum(
        f(2, 3), f(1, 2), f(4, 2), None, i64(0), None, sizes(1)
    ),
    "carry has shape (1, 3), expected (1, 2)": lambda: _core.prefix_sum(
        f(1, 2), f(1, 3), f(4, 2), None, i64(0), None, sizes(1)
    ),
    "bias has 3 elements, expected 2": lambda: _core.prefix_sum(
        f(1, 2), f(1, 2), f(4, 2), f(3), i64(0), None, sizes(1)
    ),
    "dout has shape (1, 3), expected (1, 2)": lambda: _core.suffix_sum(
        f(4, 2), f(1, 2), f(1, 3), i64(0), None, sizes(1)
    ),
    "running has shape (1, 3), expected (1, 2)": lambda: _core.suffix_sum(
        f(4, 2), f(1, 3), f(1, 2), i64(0), None, sizes(1)
    ),
    "out has shape (1, 2, 5), expected (1, 3, 5)": lambda: _core.decayed_sum(
        f(1, 2, 5), f(1, 3, 5), f(1, 5), f(3), None, sizes(1)
    ),
    "carry has shape (1, 3, 4), expected (1, 3, 5)": lambda: _core.decayed_sum(
        f(1, 3, 5), f(1, 3, 4), f(1, 5), f(3), None, sizes(1)
    ),
    "dout has shape (2, 3, 5), expected (1, 3, 5)": lambda: _core.decayed_sum_back(
        f(1, 5), f(1, 3, 5), f(2, 3, 5), f(3), None, sizes(1)
    ),
    "running has shape (1, 2, 5), expected (1, 3, 5)": lambda: _core.decayed_sum_back(
        f(1, 5), f(1, 2, 5), f(1, 3, 5), f(3), None, sizes(1)
    ),
    "out has shape (1, 0), expected at least one column": lambda: _core.last_ids(
        np.zeros((1, 0), np.int64), np.zeros((1, 0), np.int64), i32(0), None, sizes(1)
    ),
    "out has shape (2, 3), expected (1, 3) ": lambda: _core.last_ids(
        np.zeros((2, 3), np.int64), np.zeros((1, 2), np.int64), i32(0), None, sizes(1)
    ),
    "carry has shape (1, 3), expected (1, 2) ": lambda: _core.last_ids(
        np.zeros((1, 3), np.int64), np.zeros((1, 3), np.int64), i32(0), None, sizes(1)
    ),
    "out has shape (1, 2), expected (2, 2)": lambda: _core.softmax(f(1, 2), f(2, 2)),
    "out has shape (2, 1), expected (2, 2)": lambda: _core.log_softmax(f(2, 1), f(2, 2)),
    "loss has 1 elements, expected 2": lambda: _core.cross_entropy(np.zeros(1), f(2, 3), i32(0, 0)),
    "target has 1 elements, expected 2": lambda: _core.softmax_cross_entropy(f(2, 3), np.zeros(2), i32(0), 1),
    "loss has 3 elements, expected 2": lambda: _core.softmax_squared(f(2, 3), np.zeros(3), i32(0, 0), 1),
    "x has 2 elements, expected 3": lambda: _core.add(f(3), f(2)),
    "x has 5 elements, expected 3": lambda: _core.add_sum_squares(f(3), f(5)),
    "a has 2 elements, expected 3": lambda: _core.multiply(f(3), f(2), f(3)),
    "b has 2 elements, expected 3": lambda: _core.multiply_add(f(3), f(3), f(2)),
    "dout has 2 elements, expected 3": lambda: _core.tanh_back(f(3), f(2), f(3)),
    "out has 2 elements, expected 3": lambda: _core.relu_back(f(3), f(3), f(2)),
    "bias has 2 elements, expected 3": lambda: _core.add_bias(f(1, 3), f(2)),
    "dbias has 2 elements, expected 3": lambda: _core.sum_rows(f(2), f(1, 3)),
    "x has 1 elements, expected 3": lambda: _core.dropout(f(3), f(1), 0.5, 0, 0),
    "keep = 0 is outside (0, 1]": lambda: _core.dropout(f(3), f(3), 0, 0, 0),
    "keep = 1.5 is outside (0, 1]": lambda: _core.dropout(f(3), f(3), 1.5, 0, 0),
    "keep = nan is outside (0, 1]": lambda: _core.dropout(f(3), f(3), float("nan"), 0, 0),
    "c has shape (1, 3), expected (1, 2)": lambda: _core.lstm_gates(f(1, 2), f(1, 3), f(1, 8), None, None),
    "gates has shape (1, 2), expected (1, 8)": lambda: _core.lstm_gates(
        f(1, 2), f(1, 2), f(1, 2), None, None
    ),
    "recurrent has shape (2, 8), expected (1, 8)": lambda: _core.lstm_gates(
        f(1, 2), f(1, 2), f(1, 8), f(2, 8), None
    ),
    "c_prev has shape (1, 1), expected (1, 2)": lambda: _core.lstm_gates(
        f(1, 2), f(1, 2), f(1, 8), None, f(1, 1)
    ),
    "g has 2 elements, expected 3": lambda: _core.sgd(f(3), f(2), RATE),
    "v has 2 elements, expected 3": lambda: _core.momentum(f(3), f(2), f(3), RATE),
    "a has 2 elements, expected 3 ": lambda: _core.adagrad(f(3), f(2), f(3), RATE),
    "m has 2 elements, expected 3": lambda: _core.adamw(f(3), f(2), f(3), f(3), RATE),
    "v has 4 elements, expected 3": lambda: _core.adamw(f(3), f(3), f(4), f(3), RATE),
    "p has 1 dimensions, expected 2": lambda: _core.sgd_rows(f(3), f(3), i64(0), RATE),
    "x has shape (2, 2), expected (2, 3)": lambda: _core.add_rows(f(2, 3), f(2, 2), i64(0)),
    "out has dtype float64, expected float32": lambda: _core.add(np.zeros(3), f(3)),
    "out does not begin at a multiple of 4 bytes in memory":
        lambda: _core.add(np.zeros(13, np.uint8)[1:].view(F), f(3)),
    "x has dtype int32, expected float32": lambda: _core.tanh(f(3), i32(1, 2, 3)),
}
OUTSIDE: dict[str, Callable[[], object]] = {
    "ids[17] = 70 is outside the vocabulary of 65": lambda: _core.check_ids(i32(*range(17), 70, 99), 65),
    "ids[1] = -1 is outside the vocabulary of 65": lambda: _core.check_ids(i32(64, -1), 65),
    "ids[0] = 0 is outside the vocabulary of 0": lambda: _core.check_ids(i32(0), 0),
    "ids[1] = 5 is outside the vocabulary of 5": lambda: _core.position_rows(
        i64(0, 0), i64(0), i32(4, 5), None, sizes(1, 1), 3, 5
    ),
    "row[1] = 4 is outside the table of 4 rows": lambda: _core.gather(f(2, 3), f(4, 3), i64(3, 4)),
    "row[0] = -2 is outside the table of 4 rows": lambda: _core.gather(f(1, 3), f(4, 3), i64(-2)),
    "row[0] = 9 is outside the table of 4 rows": lambda: _core.scatter_add(f(4, 3), f(1, 3), i64(9)),
    "row[0] = 5 is outside the table of 4 rows": lambda: _core.prefix_sum(
        f(1, 2), f(1, 2), f(4, 2), None, i64(5), None, sizes(1)
    ),
    "row[0] = 6 is outside the table of 4 rows": lambda: _core.suffix_sum(
        f(4, 2), f(1, 2), f(1, 2), i64(6), None, sizes(1)
    ),
    "target[1] = 3 is outside the vocabulary of 3": lambda: _core.cross_entropy(
        np.zeros(2), f(2, 3), i32(2, 3)
    ),
    "target[0] = -2 is outside the vocabulary of 3": lambda: _core.softmax_cross_entropy(
        f(2, 3), np.zeros(2), i32(-2, 0), 1
    ),
    "target[0] = 70 is outside the vocabulary of 3": lambda: _core.softmax_squared(
        f(1, 3), np.zeros(1), i32(70), 1
    ),
    "rows[1] = 2 is outside the table of 2 rows": lambda: _core.sgd_rows(f(2, 3), f(2, 3), i64(0, 2), RATE),
    "rows[0] = -1 is outside the table of 2 rows": lambda: _core.sum_squares_rows(f(2, 3), i64(-1)),
    "rows[0] = 2 is outside the table of 2 rows": lambda: _core.add_rows(f(2, 3), f(2, 3), i64(2)),
}


def attention(columns: int = 12, past: tuple[int, ...] = (2, 1, 8), length: tuple[int, ...] = (1, 0),
              first: tuple[int, ...] = (0, 0, 0), offset: tuple[int, ...] = (0, 2, 3)) -> _core.Attention:
    """Two lanes of two rows and one, two heads of two."""
    return _core.Attention(f(3, columns), f(*past), f(2), i64(*length), i64(*first), i64(*offset))


SHAPES |= {
    "moments has shape (2, 1), expected (2, 2)": lambda: _core.layer_norm(f(2, 3), f(2, 1), f(2, 3), f(3), f(3)),
    "gain has 2 elements, expected 3": lambda: _core.layer_norm(f(2, 3), f(2, 2), f(2, 3), f(2), f(3)),
    "dgain has 2 elements, expected 3": lambda: _core.layer_norm_back(
        f(2, 3), f(2), f(3), f(2, 3), f(2, 3), f(2, 2), f(3)
    ),
    "dx has shape (2, 2), expected (2, 3)": lambda: _core.layer_norm_back(
        f(2, 2), f(3), f(3), f(2, 3), f(2, 3), f(2, 2), f(3)
    ),
    "slope has shape (1, 3), expected (2, 3)": lambda: _core.gelu(f(2, 3), f(1, 3), f(2, 3), f(3)),
    "slope has shape (1, 3), expected (2, 3) ": lambda: _core.multiply_sum(f(2, 3), f(3), f(1, 3)),
    "x has shape (1, 3), expected (2, 3)": lambda: _core.residual(f(2, 3), f(1, 3), f(3)),
    "kept has 1 elements, expected 2": lambda: _core.attention_spans(
        i64(0, 0), i64(0), i64(0, 0), None, sizes(2), 0
    ),
    "qkv has 13 columns, expected a multiple of 3 for each of 2 heads": lambda: attention(13),
    "past has shape (2, 1, 4), expected (2, 1, 8)": lambda: attention(past=(2, 1, 4)),
    "length[1] = 2 is outside the past of 1": lambda: attention(length=(1, 2)),
    "first has 2 elements, expected 3": lambda: attention(first=(0, 0)),
    "first[2] = 3, expected 0 to 2": lambda: attention(first=(0, 0, 3)),
    "first[2] = 0, expected 1 to 2": lambda: attention(first=(1, 0, 0)),
    "offset goes to 2, expected 0 to 3": lambda: attention(offset=(0, 1, 2)),
    "offset[1] = 4 is beyond the 3 rows": lambda: attention(offset=(0, 4, 3)),
    "step 1 has 2 rows, expected at most the 1 before it": lambda: attention(offset=(0, 1, 3)),
    "log_sum has shape (3, 1), expected (3, 2)": lambda: attention().forward(f(3, 4), f(3, 1), f(1)),
    "scratch has 1 elements, expected 10048": lambda: attention().forward(f(3, 4), f(3, 2), f(1)),
    "dqkv has shape (3, 4), expected (3, 12)": lambda: attention().backward(
        f(3, 4), f(1), f(3, 4), f(3, 4), f(3, 2)
    ),
    "after has shape (1, 2, 8), expected (2, 2, 8)": lambda: attention().carry(f(1, 2, 8), i64(0, 0)),
    "kept[1] = 3 is more than after holds or the sequence has": lambda: attention().carry(f(2, 4, 8), i64(3, 3)),
}

HALF = np.array([2**63, 2**63], np.uintp)      # the sum does not fit 64 bits
SHAPES |= {
    "size[0] = 9223372036854775808 is more than the 0 rows there are": lambda: _core.lstm_forward(
        f(0, 16), f(0, 16), f(1, 0, 64), f(0, 16), f(0, 16), f(1, 16, 64), f(1, 0, 64), None, None, HALF
    ),
    "size[0] = 9223372036854775808 is more than the 0 rows there are ": lambda: _core.gru_forward(
        f(0, 16), f(1, 0, 48), f(1, 0, 48), f(0, 16), f(1, 16, 48), f(16), f(1, 0, 48), None, None, HALF
    ),
}


@pytest.mark.parametrize("message", SHAPES)
def test_what_does_not_fit_is_refused(message: str) -> None:
    with pytest.raises(ValueError) as caught:
        SHAPES[message]()
    assert str(caught.value) == message.strip()


@pytest.mark.parametrize("message", OUTSIDE)
def test_ids_and_rows_outside_their_table_are_refused(message: str) -> None:
    with pytest.raises(IndexError) as caught:
        OUTSIDE[message]()
    assert str(caught.value) == message


def test_good_ids_pass() -> None:
    """The last id of a vocabulary, and no ids at all, raise nothing."""
    assert _core.check_ids(i32(0, 64, 3), 65) is None
    assert _core.check_ids(i32(), 0) is None


def test_nothing_is_written_before_the_check() -> None:
    table, dout = np.ones((4, 3), F), np.ones((3, 3), F)
    with pytest.raises(IndexError):
        _core.scatter_add(table, dout, i64(0, 1, 4))
    assert (table == 1).all()


def test_arrays_that_cannot_be_used_in_place_are_refused() -> None:
    strided, frozen = f(6)[::2], f(3)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="not C-contiguous"):
        _core.add(strided, f(3))
    with pytest.raises(ValueError, match="not C-contiguous"):
        _core.softmax(f(2, 3), f(2, 6)[:, ::2])
    with pytest.raises(ValueError, match="read-only"):
        _core.add(frozen, f(3))
    with pytest.raises(ValueError, match="read-only"):
        _core.softmax(frozen.reshape(1, 3), f(1, 3))
    _core.add(f(3), frozen)
    with pytest.raises(ValueError, match="dtype mismatch"):
        _core.softmax(f(1, 3), np.zeros((1, 3)))
    with pytest.raises(TypeError):
        _core.softmax(None, f(1, 3))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _core.add(f(3), None)  # type: ignore[arg-type]


def test_instruction_sets_by_name() -> None:
    assert _core.available_isas()[0] == "portable"
    assert _core.isa() in _core.available_isas()
    before = _core.isa()
    with pytest.raises(RuntimeError, match="^FASTLM_ISA = sse9 is not one of portable, avx2, avx512$"):
        _core.use_isa("sse9")
    assert _core.isa() == before


@pytest.mark.parametrize("name", ["", *_core.available_isas()])
def test_the_environment_forces_an_instruction_set(name: str) -> None:
    wanted = name or _core.available_isas()[-1]
    code = f"from fastlm import _core; assert _core.isa() == {wanted!r}"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"FASTLM_ISA": name})


def test_an_unknown_instruction_set_in_the_environment_is_refused() -> None:
    environment = os.environ | {"FASTLM_ISA": "neon9"}
    code = "from fastlm import _core"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert done.stderr.endswith("RuntimeError: FASTLM_ISA = neon9 is not one of portable, avx2, avx512\n")


def test_no_object_is_made_without_its_arguments() -> None:
    """Its methods would read arrays that it never got."""
    for kind in (_core.Matrix, _core.Attention, _core.WordTable, _core.Cache, _core.Rate, _core.Factors,
                 _core.NGramBuilder, _core.NGramSegment, _core.MergedRuns, _core.NGramTrie):
        with pytest.raises(TypeError):
            kind.__new__(kind)
    for kind in (_core.NGrams, _core.FactoredNGrams):
        grams = kind.__new__(kind)
        with pytest.raises(ValueError, match="^these n-grams have no tables, since they were not made by their class$"):
            grams.log_probabilities(f(1, 0), i32(-1))
    with pytest.raises(ValueError, match="these n-grams have no tables"):
        grams.read_factors(i32(0), np.zeros((1, 1), np.int32), np.zeros((1, 3), np.int64), i32(0), None, sizes(1))


def test_an_object_keeps_what_it_was_made_of() -> None:
    matrix = _core.Matrix(f(2, 3))
    matrix.__init__(f(9, 9))  # type: ignore[misc]
    assert matrix.shape == (2, 3)
