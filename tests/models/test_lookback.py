"""Columns that come a row later, and rows led to what followed where the document was in a like place before."""

import numpy as np
import pytest

from fastlm import attention
from fastlm.autodiff import Parameter, Tape, Variable
from fastlm.batch import Batch, State
from fastlm.models import GRU, LSTM, PrefixModel
from fastlm.models.lookback import Lookback
from tests.cases import randomise

F = np.float32


def test_columns_one_row_later_by_hand() -> None:
    """Two sequences of three and two rows, packed a0 b0 a1 b1 a2; the second begins a document at its second row."""
    batch = Batch(np.zeros(5, np.int32), np.array([2, 2, 1], np.uintp), 2, np.array([0, 0, 0, 1, 0], np.uint8))
    values = np.array([[1, 10], [2, 20], [3, 30], [4, 40], [5, 50]], F)
    with Tape():
        x = Variable(values.copy())
        out, carry = attention.one_later(x, slice(1, 2), batch, np.array([[7], [8]], F))
        assert out.value.tolist() == [[1, 7], [2, 8], [3, 10], [4, 0], [5, 30]]
        assert carry.tolist() == [[50], [40]]
    gradient = np.array([[1, 100], [2, 200], [3, 300], [4, 400], [5, 500]], F)
    with Tape() as tape:
        x = Variable(values.copy())
        out, _ = attention.one_later(x, slice(1, 2), batch, np.array([[7], [8]], F))
        out.gradient = gradient
        tape.backward()
    # a0 went to a1; b0 to where a document begins, that is nowhere; a1 to a2; b1 and a2 beyond the batch
    assert x.gradient.tolist() == [[1, 300], [2, 0], [3, 500], [4, 0], [5, 0]]


def test_all_sequences_of_one_length_by_hand() -> None:
    batch = Batch.rectangle(np.zeros((3, 2), np.int32))
    with Tape() as tape:
        x = Variable(np.arange(6, dtype=F)[:, None])
        out, carry = attention.one_later(x, slice(0, 1), batch, np.array([[7], [8]], F))
        assert out.value[:, 0].tolist() == [7, 8, 0, 1, 2, 3] and carry[:, 0].tolist() == [4, 5]
        out.gradient = np.array([[1], [2], [3], [4], [5], [6]], F)
        tape.backward()
    assert x.gradient[:, 0].tolist() == [3, 4, 5, 6, 0, 0]


def test_a_row_is_led_to_what_followed_its_like() -> None:
    """a b c a with Q = K = 10 I, V = M = I: at the second a, the key before b is a, so b is added, and nearly alone."""
    lookback = Lookback({"width": 3, "window": 4}, lambda name, values: Parameter(name, values), 3,
                        np.random.default_rng(0))
    one = np.eye(3, dtype=F)
    lookback.qkv.value[:], lookback.mix.value[:] = np.concatenate([10 * one, 10 * one, one], axis=1), one
    batch = Batch.of([[0, 0, 0, 0]])
    x = one[[0, 1, 2, 0]]
    after: dict[str, np.ndarray] = {}
    found = lookback.added_to(Variable(x.copy()), batch, State(1, **lookback.start(1)), after).value - x
    np.testing.assert_allclose(found[3], [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(found[0], [1, 0, 0], atol=1e-6)   # only itself to be seen
    assert after["length"].tolist() == [3] and after["past"].shape == (1, 3, 6)
    np.testing.assert_allclose(after["key"], [[10, 0, 0]])
    # the window of 4 leaves the next row three earlier ones: of b c a, the key before c is b
    again = lookback.added_to(Variable(one[[1]]), Batch.of([[0]]), State(1, **after), {}).value - one[[1]]
    np.testing.assert_allclose(again, [[0, 0, 1]], atol=1e-6)


@pytest.mark.parametrize("model", [LSTM, GRU])
@pytest.mark.parametrize("options, message", [
    ({"width": 0}, r"^lookback width = 0; a whole number from 1 to 2\^31 - 1 was expected$"),
    ({"width": 2.5}, r"^lookback width = 2\.5; a whole number from 1 to 2\^31 - 1 was expected$"),
    ({"window": 1 << 31}, r"^lookback window = 2147483648; a whole number from 1 to 2\^31 - 1 was expected$"),
    (True, r"^lookback = True; a dictionary of width and window was expected$"),
    ({"heads": 2}, r"^lookback has \['heads'\]; width and window were expected$"),
])
def test_options_that_are_none(model, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        model(9, hidden=4, lookback=options)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("window", [1, 3, 8, 50])
@pytest.mark.parametrize("model", [LSTM, GRU])
def test_a_stepper_reads_what_a_batch_does(model, window) -> None:
    """Four sequences, one longer than most windows and one empty; more tokens than twice the longest window and the
    room a stepper begins with, so that the room grows and its entries move to the front; a copy midway."""
    rng = np.random.default_rng(window)
    lm = model(9, hidden=6, width=5, layers=2, lookback={"width": 3, "window": window})
    randomise(lm, rng)
    histories = [rng.integers(0, 9, length) for length in (11, 2, 0, 5)]
    ids = rng.integers(0, 9, (190, 4)).astype(np.int32)
    _, start = lm.forward(Batch.of(histories))
    wanted = lm.forward(Batch.rectangle(ids), start)[0].value.reshape(190, 4, 6)
    stepper = lm.stepper(start)
    for t in range(190):
        np.testing.assert_allclose(stepper.advance(ids[t]), wanted[t], rtol=0, atol=1e-5)
        if t in (0, 1, 9, 60, 74, 75, 76, 110, 189):
            _, after = lm.forward(Batch.rectangle(ids[: t + 1]), start)
            for name, array in stepper.state.arrays.items():
                np.testing.assert_allclose(array, after[name], rtol=0, atol=1e-5, err_msg=name)
        if t == 9:
            stepper = lm.stepper(stepper.state)
    one = lm.stepper(start.select([0]))
    for t in range(190):
        one.step(int(ids[t, 0]))
    np.testing.assert_allclose(one.state["past"], after.select([0])["past"], rtol=0, atol=1e-5)


def test_what_lstm_and_gru_are_made_from_is_no_model_of_its_own() -> None:
    with pytest.raises(ValueError, match=r"^model 'Recurrent' is not known here; "):
        PrefixModel.build({"name": "Recurrent", "vocab_size": 5})


def test_a_wide_window_costs_no_more_than_what_was_read() -> None:
    stepper = LSTM(5, hidden=4, lookback={"window": 10**9}).stepper(LSTM(5, hidden=4, lookback={}).start())
    for token in (1, 2, 3):
        stepper.step(token)
    assert stepper.state["length"].tolist() == [3]
