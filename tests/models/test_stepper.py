"""Steppers: the same predictions as forward, in buffers of their own, and nothing stale."""

import tracemalloc

import numpy as np
import pytest

import fastlm
from fastlm import models
from fastlm.batch import Batch
from fastlm.models.base import Stepper
from fastlm.models.recurrent import RecurrentStepper
from tests import oracle
from tests.cases import ALL_MODELS, model_of, random_state

V = 11
every_model = pytest.mark.parametrize("name", ALL_MODELS)


@every_model
@pytest.mark.parametrize("sequences", [1, 3, 11, 25])
def test_steps_are_the_rows_of_forward(name: str, sequences: int) -> None:
    model = model_of(name, V)
    rng = np.random.default_rng(1)
    start = random_state(model, sequences, rng)
    before, ids = start.copy(), rng.integers(0, V, (6, sequences))
    logits, after = model.logits(Batch.rectangle(ids), start)
    stepper = model.stepper(start)
    rows = np.concatenate([stepper.step(column).copy() for column in ids])
    np.testing.assert_allclose(rows, logits.value, rtol=0, atol=1e-5)
    for key in after.arrays:
        np.testing.assert_allclose(stepper.state[key], after[key], rtol=0, atol=1e-5)
    assert start == before
    reached = stepper.state
    kept = reached.copy()
    stepper.step(ids[0])
    assert reached == kept          # later steps change no state that was given out


@every_model
def test_what_a_stepper_refuses_leaves_it_as_it_was(name: str) -> None:
    model = model_of(name, V)
    stepper = model.stepper(model.start(2))
    stepper.step([1, 2])
    before = stepper.state.copy()
    for ids, error, message in [
        ([1, V], IndexError, f"ids[1] = {V} is outside the vocabulary of {V}"),
        ([-1, 0], IndexError, f"ids[0] = -1 is outside the vocabulary of {V}"),
        (3, ValueError, "1 ids were given for 2 sequences; one a sequence was expected"),
        ([0.5, 1], TypeError, "ids of dtype float64 were given; whole numbers were expected"),
        ([True, False], TypeError, "ids of dtype bool were given; whole numbers were expected"),
        (np.array([2**40, 1]), IndexError, f"ids[0] = {2**40} is outside the vocabulary of {V}"),
        (np.array([0, 2**63], np.uint64), IndexError, f"ids[1] = {2**63} is outside the vocabulary of {V}"),
    ]:
        for call in (stepper.step, stepper.advance, lambda ids: model.step(before, ids)):
            with pytest.raises(error) as caught:
                call(ids)
            assert str(caught.value) == message
    assert stepper.state == before
    alone = model.stepper(model.start())
    for wrong in (V, -1):
        with pytest.raises(IndexError, match=rf"^ids\[0\] = {wrong} is outside the vocabulary of {V}$"):
            alone.step(wrong)


@pytest.mark.parametrize("name", [name for name in ALL_MODELS if model_of(name, V).parameters])
def test_weights_changed_in_place_are_seen(name: str) -> None:
    model = model_of(name, V)
    stepper = model.stepper(random_state(model, 1, np.random.default_rng(2)))
    stepper.step(3)
    between = stepper.state.copy()
    stale, _ = model.step(between, 4)
    for parameter in model.parameters.values():
        parameter.value *= 0.5
    wanted = model.logits(Batch.of([[4]]), between)[0].value
    assert np.abs(wanted - stale).max() > 0.01
    np.testing.assert_allclose(stepper.step(4), wanted, rtol=0, atol=1e-5)
    np.testing.assert_allclose(model.step(between, 4)[0], wanted, rtol=0, atol=1e-5)


class Louder(models.LSTM):
    """Changes the features, so that the LSTM's own way of stepping would be wrong."""

    def forward(self, batch, state=None):
        x, state = super().forward(batch, state)
        x.value *= 2
        return x, state


class LouderGRU(models.GRU):
    """The same of a GRU."""

    def forward(self, batch, state=None):
        x, state = super().forward(batch, state)
        x.value *= 2
        return x, state


def test_who_steps_how() -> None:
    assert type(models.LSTM(V, hidden=3).stepper(models.LSTM(V, hidden=3).start(70))) is RecurrentStepper
    assert type(models.GRU(V, hidden=3).stepper(models.GRU(V, hidden=3).start(70))) is RecurrentStepper
    for model in (Louder(V, hidden=3), LouderGRU(V, hidden=3)):
        stepper = model.stepper(model.start())
        assert type(stepper) is Stepper
        wanted = model.logits(Batch.of([[5]]))[0].value
        np.testing.assert_allclose(stepper.step(5), wanted, rtol=0, atol=1e-6)
        np.testing.assert_allclose(model.step(model.start(), 5)[0], wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("in_bytes", [False, True])
@pytest.mark.parametrize("kind", [models.LSTM, models.GRU])
def test_a_step_in_the_steady_state_allocates_nothing_large(kind: type, in_bytes: bool) -> None:
    """Of 17,000 logits, 6 KB of gates or more and 2 KB of state, nothing is made anew."""
    model = kind(17_000, hidden=512, width=32)
    model = model.quantized() if in_bytes else model
    stepper = model.stepper(model.start())
    stepper.step(1)
    tracemalloc.start()
    for token in range(20):
        stepper.step(token)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2048
    assert stepper.step(3) is stepper.step(3)


def lm_of(model: models.PrefixModel, unit: str = "word") -> fastlm.LanguageModel:
    tokens = ["\n", *(f"w{i}" if unit == "word" else chr(97 + i) for i in range(V - 2)), "<unk>"]
    return fastlm.LanguageModel(fastlm.Vocabulary(tokens, unit), model)


@every_model
def test_a_prefix_state_into_an_array_of_the_users(name: str) -> None:
    lm = lm_of(model_of(name, V))
    state, twin, third = lm.start(), lm.start(), lm.start()
    out = np.empty(V, np.float32)
    for token in ("w3", 5, "unheard-of", np.int64(2)):
        logp = state.step(token)
        assert twin.step(token, out) is out
        np.testing.assert_array_equal(out, logp)
        third.advance(token)
        assert third == state and third.tokens == state.tokens
        best, wanted = third.next_tokens(3), lm.top(logp, 3)
        assert [name for name, _ in best] == [name for name, _ in wanted]
        assert [p for _, p in best] == pytest.approx([p for _, p in wanted])
        np.testing.assert_allclose(oracle.log_softmax(state.logits[None].astype(float))[0], logp, rtol=0, atol=1e-6)
    with pytest.raises(TypeError, match="float"):
        state.step(2.0)
    with pytest.raises(ValueError, match=r"^k = 0; at least 1 was expected$"):
        third.next_tokens(0)


@pytest.mark.parametrize("vocabulary", [
    fastlm.Vocabulary(["\n", "a", "b", "<unk>"]), fastlm.Vocabulary(["\n", "a", "é", "<unk>"], "char"),
    fastlm.Vocabulary.build(["x"], unit="byte")], ids=lambda vocabulary: vocabulary.unit)
def test_a_token_by_its_text_is_what_encode_makes_of_it(vocabulary: fastlm.Vocabulary) -> None:
    lm = fastlm.LanguageModel(vocabulary, models.LSTM(len(vocabulary), hidden=3))
    state = lm.start()
    for text in ["a", "\n", "b", "é", "ab", " a ", "<unk>", "", "zz", "\x7f"]:
        ids = vocabulary.encode(text)
        if len(ids) == 1:
            wanted = lm.model.step(state.state, int(ids[0]))[0][0]
            state.step(text)
            np.testing.assert_allclose(state.logits, wanted, atol=1e-6)
        else:
            with pytest.raises(ValueError, match=rf"is {len(ids)} tokens; step reads one"):
                state.step(text)
