"""The laws of a prefix model, over the list of all of them and a user's own."""

import pickle

import numpy as np
import pytest

from fastlm import _core, models
from fastlm.batch import Batch, State
from fastlm.models.base import PrefixModel
from tests import oracle
from tests.cases import ALL_MODELS, NETWORKS, GatedBag, model_of, random_case, random_state

VOCABULARY = 11
CLOSE = {"rtol": 0, "atol": 1e-5}
every_model = pytest.mark.parametrize("name", ALL_MODELS)
every_network = pytest.mark.parametrize("name", NETWORKS)


def ragged(rng: np.random.Generator, *lengths: int) -> list[np.ndarray]:
    return [rng.integers(0, VOCABULARY, n) for n in lengths]


def assert_states_close(left: State, right: State) -> None:
    assert left.arrays.keys() == right.arrays.keys() and len(left) == len(right)
    for name in left.arrays:
        np.testing.assert_allclose(left[name], right[name], **CLOSE)


@every_model
def test_forward_is_the_equations(name: str) -> None:
    model, form = model_of(name, VOCABULARY), ALL_MODELS[name][1]
    for seed in range(20):
        rng = np.random.default_rng(seed)
        case = random_case(rng, VOCABULARY, longest=9)
        state = random_state(model, case.batch.sequences, rng)
        before = state.copy()
        logits, _ = model.logits(case.batch, state)
        values = {key: parameter.value.astype(float) for key, parameter in model.parameters.items()}
        wanted = form(model, values, case.ids, case.steps, case.starts, before.arrays)
        assert logits.value.shape == (len(case.batch), VOCABULARY)
        np.testing.assert_allclose(logits.value, wanted, rtol=0, atol=2e-5)
        assert state == before   # a model never changes the state it is given


@every_model
def test_splitting_a_batch_anywhere_changes_nothing(name: str) -> None:
    model = model_of(name, VOCABULARY)
    rng = np.random.default_rng(1)
    sequences = ragged(rng, 5, 0, 9, 1, 3)
    state = random_state(model, len(sequences), rng)
    whole = Batch.of(sequences)
    logits, after = model.logits(whole, state)
    rows = whole.unpack(logits.value)
    for cut in range(10):
        first, second = Batch.of([ids[:cut] for ids in sequences]), Batch.of([ids[cut:] for ids in sequences])
        logits1, between = model.logits(first, state)
        logits2, end = model.logits(second, between)
        for wanted, left, right in zip(rows, first.unpack(logits1.value), second.unpack(logits2.value), strict=True):
            np.testing.assert_allclose(np.concatenate([left, right]), wanted, **CLOSE)
        assert_states_close(end, after)


@every_model
def test_splitting_lanes_with_documents_that_start_inside(name: str) -> None:
    model = model_of(name, VOCABULARY)
    rng = np.random.default_rng(2)
    ids, starts = rng.integers(0, VOCABULARY, (8, 3)), (rng.random((8, 3)) < 0.3).astype(np.uint8)
    state = random_state(model, 3, rng)
    logits, after = model.logits(Batch.rectangle(ids, starts), state)
    for cut in range(1, 8):
        left, between = model.logits(Batch.rectangle(ids[:cut], starts[:cut]), state)
        right, end = model.logits(Batch.rectangle(ids[cut:], starts[cut:]), between)
        np.testing.assert_allclose(np.concatenate([left.value, right.value]), logits.value, **CLOSE)
        assert_states_close(end, after)


@every_model
def test_a_document_that_starts_forgets_what_was_before(name: str) -> None:
    model = model_of(name, VOCABULARY)
    ids = np.arange(6)[:, None]
    starts = np.zeros((6, 1), np.uint8)
    starts[2] = 1
    logits, after = model.logits(Batch.rectangle(ids, starts), random_state(model, 1, np.random.default_rng(3)))
    alone, alone_after = model.logits(Batch.rectangle(ids[2:]))
    np.testing.assert_allclose(logits.value[2:], alone.value, **CLOSE)
    assert_states_close(after, alone_after)


@every_model
def test_stacked_steps_equal_forward(name: str) -> None:
    model = model_of(name, VOCABULARY)
    ids = np.random.default_rng(4).integers(0, VOCABULARY, (7, 3))
    logits, after = model.logits(Batch.rectangle(ids))
    state, rows = model.start(3), []
    for column in ids:
        row, state = model.step(state, column)
        rows.append(row)
    np.testing.assert_allclose(np.concatenate(rows), logits.value, **CLOSE)
    assert_states_close(state, after)
    one, _ = model.step(model.start(), 5)
    np.testing.assert_allclose(one, model.logits(Batch.of([[5]]))[0].value, **CLOSE)


@every_model
def test_later_tokens_change_nothing_before(name: str) -> None:
    model = model_of(name, VOCABULARY)
    rng = np.random.default_rng(5)
    ids = rng.integers(0, VOCABULARY, (8, 3))
    logits = model.logits(Batch.rectangle(ids))[0].value.reshape(8, 3, -1).copy()
    for cut in range(1, 8):
        other = ids.copy()
        other[cut:] = (other[cut:] + 1 + rng.integers(0, VOCABULARY - 1, other[cut:].shape)) % VOCABULARY
        changed = model.logits(Batch.rectangle(other))[0].value.reshape(8, 3, -1)
        assert changed[:cut].tobytes() == logits[:cut].tobytes()
        if name != "PositionalOneHot" or cut < 4:   # it considers the first T = 4 tokens and no more
            assert (changed[cut] != logits[cut]).any(axis=1).all()


@every_model
def test_a_ragged_batch_is_its_sequences_one_by_one(name: str) -> None:
    model = model_of(name, VOCABULARY)
    rng = np.random.default_rng(6)
    sequences = ragged(rng, 1, 7, 0, 4, 0, 1, 9)
    state = random_state(model, len(sequences), rng)
    batch = Batch.of(sequences)
    logits, after = model.logits(batch, state)
    for index, (ids, rows) in enumerate(zip(sequences, batch.unpack(logits.value), strict=True)):
        assert rows.shape == (len(ids), VOCABULARY)
        alone, alone_after = model.logits(Batch.of([ids]), state.select([index]))
        np.testing.assert_allclose(rows, alone.value, **CLOSE)
        assert_states_close(after.select([index]), alone_after)
        if not len(ids):
            assert after.select([index]) == state.select([index])


@every_model
def test_a_batch_of_empty_sequences_is_nothing(name: str) -> None:
    model = model_of(name, VOCABULARY)
    state = random_state(model, 2, np.random.default_rng(7))
    logits, after = model.logits(Batch.of([[], []]), state)
    assert logits.value.shape == (0, VOCABULARY)
    assert after == state
    assert model.log_probabilities([]).shape == (0, VOCABULARY)


@every_model
def test_probabilities_sum_to_one(name: str) -> None:
    model = model_of(name, VOCABULARY)
    ids = np.random.default_rng(8).integers(0, VOCABULARY, 20)
    logp = model.log_probabilities(ids)
    assert logp.shape == (20, VOCABULARY) and logp.dtype == np.float32
    assert np.abs(np.exp(logp.astype(float)).sum(1) - 1).max() <= 1e-5
    logits = model.logits(Batch.of([ids]))[0].value.astype(float)
    np.testing.assert_allclose(logp, oracle.log_softmax(logits), rtol=0, atol=1e-5)


@every_network
def test_huge_logits_stay_finite(name: str) -> None:
    model = model_of(name, VOCABULARY)
    bias = model.parameters["output_bias"].value
    bias[:] = 0
    bias[0], bias[1] = 1e4, -1e4
    logp = model.log_probabilities([1, 2, 3])
    assert np.isfinite(logp).all()
    assert np.abs(np.exp(logp.astype(float)).sum(1) - 1).max() <= 1e-5
    assert (logp[:, 1] < -1.9e4).all()
    logits = np.ascontiguousarray(model.logits(Batch.of([[1, 2, 3]]))[0].value)
    loss = np.empty(3)
    _core.softmax_cross_entropy(logits, loss, np.array([0, 1, 2], np.int32), 1.0)
    assert np.isfinite(logits).all() and np.isfinite(loss).all()
    assert loss[0] < 1e-6 and loss[1] > 1.9e4


@every_network
def test_a_seed_gives_the_same_bytes(name: str) -> None:
    def fresh(**seed: int) -> dict[str, np.ndarray]:
        config = ALL_MODELS[name][0](VOCABULARY).config() | seed
        return {key: p.value for key, p in PrefixModel.build(config).parameters.items()}
    one, again, other = fresh(seed=5), fresh(seed=5), fresh(seed=6)
    assert all(one[key].tobytes() == again[key].tobytes() for key in one)
    if name != "PositionalOneHot":   # which starts at zeros
        assert any(one[key].tobytes() != other[key].tobytes() for key in one)
    model = model_of(name, VOCABULARY)
    ids = np.arange(9)
    assert model.log_probabilities(ids).tobytes() == model.log_probabilities(ids).tobytes()


@every_model
def test_predicting_only_reads_the_model(name: str) -> None:
    model = model_of(name, VOCABULARY)
    before = {key: parameter.value.tobytes() for key, parameter in model.parameters.items()}
    for parameter in model.parameters.values():
        parameter.value.setflags(write=False)
    state = model.start(2)
    twin = state.copy()
    logits, _ = model.step(state, np.array([1, 2]))
    kept = logits.copy()
    model.step(state, np.array([3, 4]))
    assert state == twin                  # step leaves the state it was given alone
    assert (logits == kept).all()         # and what it returned before
    assert before == {key: parameter.value.tobytes() for key, parameter in model.parameters.items()}


@every_model
def test_states_are_plain_data(name: str) -> None:
    model = model_of(name, VOCABULARY)
    rng = np.random.default_rng(9)
    state = random_state(model, 3, rng)
    twin = state.copy()
    assert twin == state and twin is not state
    _, moved = model.step(twin, np.array([1, 2, 3]))
    assert twin == state
    if any(array.size for array in state.arrays.values()):
        assert moved != state
    for array in twin.arrays.values():
        if array.size:
            array.reshape(-1)[-1] += 1
            assert twin != state          # an independent twin: the original is not what changed
    assert pickle.loads(pickle.dumps(state)) == state
    picked = state.select([2, 0, 2])
    assert len(picked) == 3 and picked.select([0]) == picked.select([2]) == state.select([2])
    assert State.stack([state.select([0]), state.select([1, 2])]) == state
    assert state != state.select([0, 1]) and state != "a state"
    with pytest.raises(TypeError, match="unhashable"):
        hash(state)


@every_model
def test_stacked_states_step_as_they_would_alone(name: str) -> None:
    model = model_of(name, VOCABULARY)
    histories = [[1, 2, 3], [4], [5, 6, 7, 8, 9]]
    states = [model.logits(Batch.of([ids]))[1] for ids in histories]
    rows, after = model.step(State.stack(states), np.array([7, 8, 9]))
    for index, (state, token) in enumerate(zip(states, (7, 8, 9), strict=True)):
        alone, alone_after = model.step(state, token)
        np.testing.assert_allclose(rows[index: index + 1], alone, **CLOSE)
        assert_states_close(after.select([index]), alone_after)


@every_model
def test_config_builds_the_architecture_again(name: str) -> None:
    model = ALL_MODELS[name][0](VOCABULARY)
    twin = PrefixModel.build(model.config())
    assert type(twin) is type(model) and twin.config() == model.config()
    assert {key: p.value.shape for key, p in twin.parameters.items()} == \
        {key: p.value.shape for key, p in model.parameters.items()}
    assert {key: p.decay for key, p in model.parameters.items()} == \
        {key: p.value.ndim > 1 for key, p in model.parameters.items()}


@every_network
def test_initialise_sets_the_bias_to_the_unigram(name: str) -> None:
    model = ALL_MODELS[name][0](3)
    model.initialise(np.array([6.0, 3.0, 0.0]))
    np.testing.assert_allclose(np.exp(model.parameters["output_bias"].value), [6.1 / 9.3, 3.1 / 9.3, 0.1 / 9.3],
                               rtol=1e-6)


def test_positions_beyond_the_length_add_nothing() -> None:
    model = models.PositionalOneHot(5, max_length=2)
    model.parameters["table"].value[:] = np.random.default_rng(0).normal(size=(10, 5))
    rows = model.logits(Batch.of([[3, 1, 4, 0]]))[0].value
    table = model.parameters["table"].value
    np.testing.assert_allclose(rows[0], table[3], rtol=1e-6)
    np.testing.assert_allclose(rows[1], table[3] + table[5 + 1], rtol=1e-6)
    assert (rows[2] == rows[1]).all() and (rows[3] == rows[1]).all()


def test_a_window_bounds_the_state_and_its_layers_what_is_seen() -> None:
    """Two layers of a window of 3 see 2 + 2 tokens back, and keep 2 entries each."""
    model = model_of("Transformer of a window, tied", VOCABULARY)
    deep = models.Transformer(VOCABULARY, width=6, heads=2, layers=2, window=3)
    for network, sees in ((model, 2), (deep, 4)):
        ids = np.arange(10) % VOCABULARY
        logits, after = network.logits(Batch.of([ids]))
        assert {name: array.shape[:2] for name, array in after.arrays.items() if name != "length"} == \
            {f"past{layer}": (1, 2) for layer in range(network.layers)}
        rows = logits.value.copy()
        other = ids.copy()
        other[0] += 1
        changed = (network.logits(Batch.of([other]))[0].value != rows).any(axis=1)
        assert changed.tolist() == [True] * (sees + 1) + [False] * (9 - sees)


ERRORS = [
    (lambda: models.PositionalOneHot(0, 3), ValueError,
     "vocab_size = 0; a whole number of at least 1 was expected"),
    (lambda: models.LSTM(2.5), ValueError, "vocab_size = 2.5; a whole number of at least 1 was expected"),
    (lambda: models.PositionalOneHot(5, 0), ValueError,
     "max_length = 0; a length T of at least 1 was expected"),
    (lambda: models.DecayedBag(5, rates=(0.5, 1.0)), ValueError, "rate 1.0 is outside [0, 1)"),
    (lambda: models.FeedForward(5, context=0), ValueError, "context = 0; at least 1 token was expected"),
    (lambda: models.LSTM(5, layers=0), ValueError, "layers = 0; at least 1 was expected"),
    (lambda: models.LSTM(5, hidden=3, width=4, tied=True), ValueError,
     "width = 4 and hidden = 3; tied embeddings need them equal"),
    (lambda: models.Transformer(5, heads=0), ValueError, "heads = 0; at least 1 was expected"),
    (lambda: models.Transformer(5, width=6, heads=4), ValueError,
     "width = 6 and heads = 4; a width that the heads divide was expected"),
    (lambda: models.Transformer(5, window=0), ValueError,
     "window = 0; at least 1 token was expected, or None for all"),
    (lambda: models.GRU(5, layers=0), ValueError, "layers = 0; at least 1 was expected"),
    (lambda: models.GRU(5, hidden=3, width=4, tied=True), ValueError,
     "width = 4 and hidden = 3; tied embeddings need them equal"),
    (lambda: models.SRU(5, layers=0), ValueError, "layers = 0; at least 1 was expected"),
    (lambda: models.LSTM(5, ngrams={"order": [2]}), ValueError,
     "ngrams has ['order']; orders, buckets and width were expected"),
    (lambda: models.GRU(5, ngrams={"orders": [2, 2]}), ValueError,
     "orders = [2, 2]; rising numbers of tokens from 1 on were expected"),
    (lambda: models.SRU(5, ngrams={"orders": []}), ValueError,
     "orders = []; rising numbers of tokens from 1 on were expected"),
    (lambda: models.FeedForward(5, ngrams={"orders": [0, 2]}), ValueError,
     "orders = [0, 2]; rising numbers of tokens from 1 on were expected"),
    (lambda: models.DecayedBag(5, ngrams={"buckets": 0}), ValueError, "buckets = 0; at least 1 was expected"),
    (lambda: models.LSTM(5, ngrams={"width": 0}), ValueError, "width = 0; at least 1 was expected"),
    (lambda: GatedBag(5).parameter("mix", np.zeros(3)), ValueError,
     "parameter 'mix' is there already; every name may be used once"),
    (lambda: PrefixModel.build({"name": "LSTM", "vocab_size": 5, "depth": 2}), ValueError,
     "LSTM cannot be built from {'vocab_size': 5, 'depth': 2}: "),
    (lambda: PrefixModel.build({"name": "GPT", "vocab_size": 5}), ValueError,
     "model 'GPT' is not known here; a class of that name must be imported first, or one of "),
    (lambda: PrefixModel(5).logits(Batch.of([[1]])), NotImplementedError, "PrefixModel has no forward"),
    (lambda: GatedBag(5).step(GatedBag(5).start(2), 1), ValueError,
     "1 ids were given for 2 sequences; one a sequence was expected"),
    (lambda: GatedBag(65).step(GatedBag(65).start(), 70), IndexError, "ids[0] = 70 is outside the vocabulary of 65"),
    (lambda: GatedBag(65).log_probabilities([3, 64, -1]), IndexError, "ids[2] = -1 is outside the vocabulary of 65"),
    (lambda: GatedBag(65).log_probabilities([0.5]), TypeError,
     "ids of dtype float64 were given; whole numbers were expected"),
    (lambda: GatedBag(65).log_probabilities(np.array([2**32], np.int64)), IndexError,
     "ids[0] = 4294967296 is outside the vocabulary of 65"),
]


@pytest.mark.parametrize("call, kind, message", ERRORS, ids=[message[:40] for _, _, message in ERRORS])
def test_errors(call, kind, message) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_repr_counts_parameters() -> None:
    assert repr(models.PositionalOneHot(5, 3)) == \
        "<PositionalOneHot(vocab_size=5, max_length=3, seed=0), 80 parameters>"
