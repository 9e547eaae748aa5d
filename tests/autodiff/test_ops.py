"""The tape's bookkeeping and the primitives' values, worked out by hand."""

import threading

import numpy as np
import pytest

from fastlm import autodiff, recurrence
from fastlm.autodiff import Parameter, Tape
from fastlm.batch import Batch


def parameter(name: str, *rows) -> Parameter:
    return Parameter(name, np.array(rows, np.float32))


def test_values_by_hand() -> None:
    x = np.array([[1.0, -2.0], [0.0, 3.0]], np.float32)
    w = np.array([[1.0, 0.0, 2.0], [3.0, 1.0, 0.0]], np.float32)
    assert autodiff.gather(x, [1, -1, 0]).value.tolist() == [[0, 3], [0, 0], [1, -2]]
    assert autodiff.matmul(x, w).value.tolist() == [[-5, -2, 2], [9, 3, 0]]
    assert autodiff.matmul(x, x, transpose=True).value.tolist() == [[5, -6], [-6, 9]]
    assert autodiff.linear(x, w, np.array([1.0, 2, 3])).value.tolist() == [[-4, 0, 5], [10, 5, 3]]
    assert autodiff.add_bias(x, np.array([1.0, 2])).value.tolist() == [[2, 0], [1, 5]]
    assert autodiff.add(x, x).value.tolist() == [[2, -4], [0, 6]]
    assert autodiff.multiply(x, x).value.tolist() == [[1, 4], [0, 9]]
    assert autodiff.relu(x).value.tolist() == [[1, 0], [0, 3]]
    np.testing.assert_allclose(autodiff.tanh(x).value, np.tanh(x), rtol=3e-7)
    np.testing.assert_allclose(autodiff.sigmoid(x).value, 1 / (1 + np.exp(-x)), rtol=3e-7)
    assert autodiff.concatenate([x, x[:, :1]]).value.tolist() == [[1, -2, 1], [0, 3, 0]]
    assert autodiff.reshape(x, (1, 4)).value.tolist() == [[1, -2, 0, 3]]
    assert x.tolist() == [[1, -2], [0, 3]]   # nothing was changed on the way


def test_losses_by_hand() -> None:
    logits = np.log(np.array([[1.0, 3.0], [1.0, 1.0], [9.0, 1.0]], np.float32))
    targets = np.array([1, 0, -1], np.int32)
    assert autodiff.cross_entropy(logits, targets) == pytest.approx(np.log(4 / 3) + np.log(2), rel=1e-6)
    assert autodiff.squared_error(logits, targets) == pytest.approx(2 / 16 + 2 / 4, rel=1e-6)


def test_gradients_by_hand() -> None:
    table = parameter("table", [0.0, np.log(3)], [5.0, 5.0])
    with Tape() as tape:
        autodiff.cross_entropy(autodiff.gather(table, [0, 0]), np.array([0, 1], np.int32), scale=0.5)
        tape.backward()
        leaf = tape.leaf(table)
        np.testing.assert_allclose(leaf.gradient, [[0.5 * (0.25 - 1 + 0.25), 0.5 * (0.75 + 0.75 - 1)], [0, 0]],
                                   rtol=1e-6)
        assert leaf.touched().tolist() == [0]


def test_losses_leave_logits_that_are_not_theirs() -> None:
    logits = parameter("logits", [1.0, 2.0])
    target = np.array([0], np.int32)
    with Tape() as tape:
        first = autodiff.cross_entropy(logits, target)
        second = autodiff.cross_entropy(logits, target)
        tape.backward()
        assert first == second and logits.value.tolist() == [[1, 2]]
        wanted = 2 / (1 + np.exp(-1))
        np.testing.assert_allclose(tape.leaf(logits).gradient[0], [-wanted, wanted], rtol=1e-6)


def test_outside_a_tape_primitives_only_compute() -> None:
    weight = parameter("weight", [1.0, 2.0])
    out = autodiff.tanh(weight)
    assert out.gradient is None and weight.value.tolist() == [[1, 2]]
    with Tape(record=False) as tape:
        autodiff.cross_entropy(autodiff.tanh(weight), np.array([0], np.int32))
        tape.backward()
        assert tape.leaves == {} and tape.backward_steps == []


def test_gradients_are_added_for_every_use() -> None:
    weight = parameter("weight", [1.0, 2.0])
    with Tape() as tape:
        for scale in (1, 10, 100):
            out = autodiff.add(weight, np.zeros((1, 2), np.float32))
            out.grad_buffer()[:] = scale
        tape.backward()
        assert tape.leaf(weight).gradient.tolist() == [[111, 111]]


def test_branches_that_lead_nowhere_cost_nothing() -> None:
    weight = parameter("weight", [1.0, 2.0])
    with Tape() as tape:
        autodiff.tanh(weight)
        tape.backward()
        assert tape.leaf(weight).touched().tolist() == []


def test_touched_rows_of_a_table() -> None:
    table = Parameter("table", np.zeros((5, 2), np.float32))

    def touched(tape: Tape, rows: list[int], dense: bool = False) -> np.ndarray | None:
        with tape:
            autodiff.gather(table, rows).grad_buffer()[:] = 1
            if dense:
                autodiff.tanh(table).grad_buffer()[:] = 1
            tape.backward()
            return tape.leaf(table).touched()
    tape = Tape()
    assert touched(tape, [3, -1, 1, 3]).tolist() == [1, 3]
    assert tape.leaf(table).gradient[:, 0].tolist() == [0, 1, 0, 2, 0]
    assert touched(tape, [4]).tolist() == [1, 3, 4]      # until it is spent, a gradient adds up
    assert touched(tape, [0], dense=True) is None
    assert tape.leaf(table).gradient[:, 0].tolist() == [2, 2, 1, 3, 2]
    tape.leaf(table).mark("stale")
    assert touched(tape, [2]).tolist() == [2]
    assert tape.leaf(table).gradient[:, 0].tolist() == [0, 0, 1, 0, 0]


def test_tapes_do_not_nest_and_end_with_an_error() -> None:
    with pytest.raises(RuntimeError, match="a tape is already recording in this thread; tapes do not nest"), \
            Tape(), Tape():
        pass
    with pytest.raises(ZeroDivisionError), Tape():
        raise ZeroDivisionError
    with Tape():
        pass   # the one before has ended


def test_each_thread_has_its_own_tape() -> None:
    seen: list[object] = []
    with Tape():
        def enter() -> None:
            with Tape() as inner:
                seen.append(inner)
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
    assert len(seen) == 1


def test_buffers_are_lent_again_and_lie_on_cache_lines() -> None:
    tape = Tape()
    with tape:
        first = tape.lend((3, 5))
        other = tape.lend((3, 5))
        assert not np.shares_memory(first, other) and first.ctypes.data % 64 == 0
    with tape:
        assert np.shares_memory(tape.lend((5, 3)), other) or np.shares_memory(tape.lend((5, 3)), first)


def test_dropout_needs_a_recording_tape_with_a_seed() -> None:
    x = parameter("x", np.ones(2000))
    for make in (lambda: Tape(record=False), Tape):
        with make() as tape:
            tape.seed = 0 if tape.record else 7
            assert (autodiff.dropout(x, 0.5).value == 1).all()
    assert (autodiff.dropout(x, 0.5).value == 1).all()

    def draw(seed: int, uses: int = 1) -> list[np.ndarray]:
        with Tape() as tape:
            tape.seed = seed
            return [autodiff.dropout(x, 0.25).value.copy() for _ in range(uses)]
    mask, second = draw(7, 2)
    np.testing.assert_allclose(np.unique(mask), [0, 4 / 3], rtol=1e-6)
    assert 1400 < (mask != 0).sum() < 1600
    assert (draw(7)[0] == mask).all() and (draw(8)[0] != mask).any()
    assert (second != mask).any()             # two uses of one pass draw two masks


def test_decayed_sum_by_hand() -> None:
    x = np.array([[1.0], [2.0], [4.0]], np.float32)
    out, carry = recurrence.decayed_sum(x, np.array([0.0, 0.5], np.float32), Batch.of([[0, 0, 0]]),
                                        np.full((1, 2, 1), 8, np.float32))
    assert out.value.tolist() == [[1, 5], [2, 4.5], [4, 6.25]]
    assert carry.tolist() == [[[4], [6.25]]]


def test_last_ids_by_hand() -> None:
    batch = Batch.rectangle(np.array([[4], [5], [6]]), np.array([[0], [0], [1]]))
    rows, carry = recurrence.last_ids(batch, 3, np.array([[9, -1]]))
    assert rows.tolist() == [[4, 9, -1], [5, 4, 9], [6, -1, -1]] and carry.tolist() == [[6, -1]]


def test_prefix_sum_by_hand() -> None:
    table = np.arange(6, dtype=np.float32).reshape(6, 1)   # two positions, three words
    out, carry, position = recurrence.prefix_sum(table, np.array([100.0]), Batch.of([[2, 1, 0]]), 2,
                                                 np.zeros((1, 1), np.float32), np.zeros(1, np.int64))
    assert out.value.tolist() == [[102], [106], [106]]
    assert carry.tolist() == [[6]]
    assert position.tolist() == [3]


@pytest.mark.parametrize("recording", [True, False])
def test_a_spent_value_cannot_be_read(recording: bool) -> None:
    """Their buffers hold something else by then: a wrong number would be the alternative."""
    x = np.ones((3, 8), np.float32)
    message = "^this value was consumed by the loss or the primitive that read it; read it before$"
    with Tape(record=recording):
        logits = autodiff.add(x, x)
        autodiff.cross_entropy(logits, np.array([0, 1, 2], np.int32))
        if recording:
            with pytest.raises(RuntimeError, match=message):
                autodiff.squared_error(logits, np.array([0, 1, 2], np.int32))
        else:
            assert (logits.value == 2).all()


ERRORS = [
    (lambda: autodiff.gather(np.zeros((65, 2), np.float32), [3, 70]), IndexError,
     "row[1] = 70 is outside the table of 65 rows"),
    (lambda: autodiff.cross_entropy(np.zeros((1, 65), np.float32), np.array([70], np.int32)), IndexError,
     "target[0] = 70 is outside the vocabulary of 65"),
]


@pytest.mark.parametrize("call, kind, message", ERRORS, ids=[message[:30] for _, _, message in ERRORS])
def test_errors(call, kind, message) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


@pytest.mark.parametrize("rows", [1, 8, 9, 40])
@pytest.mark.parametrize("transpose", [False, True])
def test_a_product_that_does_not_fit_is_refused(rows: int, transpose: bool) -> None:
    weight = np.zeros((3, 5) if transpose else (5, 3), np.float32)
    with pytest.raises(ValueError) as caught:
        autodiff.matmul(np.zeros((rows, 4), np.float32), weight, transpose)
    assert str(caught.value) == f"x has shape ({rows}, 4), expected ({rows}, 5)"
