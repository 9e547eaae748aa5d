"""Models that learn from what they have just read, beyond the laws that every model keeps."""

import json

import numpy as np
import pytest

import fastlm
from fastlm import _core
from fastlm.files import modelfile
from fastlm.models import LSTM, CacheModel, KneserNey, Mixture
from fastlm.scoring.documents import score_together

UNIFORM = KneserNey(4)     # of no text: every token has 1/4


def of(lowest: int, highest: int, window: int = 10, memory: float = np.inf) -> CacheModel:
    """A uniform model over 4 ids, with a cache that trusts each order by half."""
    model = CacheModel(4, UNIFORM, window=window, decay=memory, lowest=lowest, highest=highest)
    model.weights[:] = 0.5
    return model


def after(model: CacheModel, ids: list[int]) -> np.ndarray:
    return np.exp(model.log_probabilities(ids)[-1])


def test_unigrams_by_hand() -> None:
    """Read 1, 1, 2: a half of 1/4, and a half of 0, 2/3, 1/3, 0; of the last two alone 0, 1/2, 1/2, 0; at a memory of
    1 / log 2 an age halves a count: 1/4 + 1/2 of 1 and 1 of 2."""
    np.testing.assert_allclose(after(of(0, 0), [1, 1, 2]), [1 / 8, 11 / 24, 7 / 24, 1 / 8], rtol=1e-6)
    np.testing.assert_allclose(after(of(0, 0, window=2), [1, 1, 2]), [1 / 8, 3 / 8, 3 / 8, 1 / 8], rtol=1e-6)
    np.testing.assert_allclose(after(of(0, 0, memory=1 / np.log(2)), [1, 1, 2]), [1 / 8, 19 / 56, 23 / 56, 1 / 8],
                               rtol=1e-6)


def test_contexts_by_hand() -> None:
    """0 was followed by 1, 1 and 2, and by 1 where 3 stood before it. A context that was not met changes nothing."""
    text = [3, 0, 1, 0, 1, 0, 2, 3, 0]
    np.testing.assert_allclose(after(of(1, 1), text), [1 / 8, 11 / 24, 7 / 24, 1 / 8], rtol=1e-6)
    np.testing.assert_allclose(after(of(1, 2), text), [1 / 16, 35 / 48, 7 / 48, 1 / 16], rtol=1e-6)
    np.testing.assert_allclose(after(of(1, 2), [*text, 3, 3, 2]), [1 / 8, 1 / 8, 1 / 8, 5 / 8], rtol=1e-6)
    np.testing.assert_allclose(after(of(1, 2), [0]), [1 / 4] * 4, rtol=1e-6)


def test_weights_are_those_of_the_size() -> None:
    """Two occurrences have size log2(2) + 1 + 3 = 5, one has 4; what lies beyond the table has its last."""
    model = of(0, 0)
    model.weights[0, 4:6] = 0.25, 0.75
    np.testing.assert_allclose(after(model, [1]), [3 / 16, 7 / 16, 3 / 16, 3 / 16], rtol=1e-6)
    np.testing.assert_allclose(after(model, [1, 1]), [1 / 16, 13 / 16, 1 / 16, 1 / 16], rtol=1e-6)


def test_fit_by_hand() -> None:
    """Of three tokens the cache alone is ever right, then the model alone; ten more are one in twenty the cache's."""
    inputs = np.array([1, 1, 1, 1], np.int32)
    never = 800.0
    model = CacheModel(4, UNIFORM, window=1, decay=1e9, lowest=0, highest=0)
    model.fit(inputs, np.array([1, 1, 1, -1], np.int32), nats=np.array([never, never, never, 0]))
    assert model.weights[0, 4] == pytest.approx(3.5 / 13)
    assert model.weights[0, 5] == pytest.approx(0.5 / 10)
    model.fit(inputs, np.array([2, 2, 2, -1], np.int32), nats=np.zeros(4))
    assert model.weights[0, 4] == pytest.approx(0.5 / 13)


def repetitive(rng: np.random.Generator, tokens: int) -> np.ndarray:
    """A text whose topic, three tokens of eleven, changes now and then."""
    topics = rng.integers(0, 11, (tokens // 50 + 1, 3))
    out = topics[np.arange(tokens) // 50, rng.integers(0, 3, tokens)]
    return np.where(rng.random(tokens) < 0.2, rng.integers(0, 11, tokens), out).astype(np.int32)


def test_fitted_weights_beat_others() -> None:
    text = repetitive(np.random.default_rng(1), 6000)
    model = CacheModel(11, KneserNey(11, order=2).fit([text[:2000]]), window=50, decay=40.0, lowest=0, highest=2)
    inputs, targets = text[2000:-1], text[2001:]
    static = model.model.score(inputs, targets).mean()
    model.fit(inputs, targets)
    best = model.score(inputs, targets).mean()
    assert best < static - 0.1
    rng, weights = np.random.default_rng(2), model.weights.copy()
    for _ in range(30):
        model.weights = np.clip(weights * np.exp(0.2 * rng.normal(size=weights.shape)), 1e-6, 1 - 1e-6)
        assert model.score(inputs, targets).mean() > best - 2e-4      # the weights are drawn a little to one in twenty


@pytest.mark.parametrize("inner", [KneserNey(11, order=3), LSTM(11, hidden=4, width=3),
                                   Mixture(11, [KneserNey(11, order=2), LSTM(11, hidden=3)])])
def test_a_document_scored_whole_is_its_rows(inner) -> None:
    """`score` counts for the targets alone, rows hold all words of the cache; both read the same numbers."""
    text = repetitive(np.random.default_rng(3), 700)
    model = CacheModel(11, inner, window=64, decay=30.0, lowest=0, highest=3)
    model.weights = np.random.default_rng(4).uniform(0.05, 0.5, model.weights.shape)
    targets = text[1:].copy()
    targets[5] = -1
    whole = model.score(text[:-1], targets)
    assert whole[5] == 0
    np.testing.assert_allclose(score_together(model, [text[:-1]], [targets])[0], whole, rtol=0, atol=1e-5)
    assert model.scores_directly(text[:-1], targets) and not model.scores_directly(text[:50], targets[:50])


def trained(unit: str = "word"):
    lm = fastlm.train(["a b a b c d\nb a d c\n" * 9], unit=unit, model="kneser-ney")
    return lm, "c c c a\nc c c a\n" * 40


def test_it_learns_only_where_asked(tmp_path) -> None:
    lm, text = trained()
    plain, digest = lm.score(text), lm.digest()
    assert lm.score(text, adapt=True).nats < 0.9 * plain.nats
    before = lm.score(text, adapt=True)
    lm.fit_adapt([text])
    assert lm.score(text, adapt=True).nats < before.nats
    assert lm.score(text).nats == plain.nats and lm.digest() == digest
    assert lm.evaluate([text], adapt=True).nats == lm.score(text, adapt=True).nats
    assert lm.perplexity([text], adapt=True) == lm.score(text, adapt=True).perplexity
    lm.save(tmp_path / "it.fastlm")
    again = fastlm.load(tmp_path / "it.fastlm")
    assert again.score(text).nats == plain.nats
    assert again.score(text, adapt=True).nats == lm.score(text, adapt=True).nats
    lm.adapting().save(tmp_path / "always.fastlm")        # a model that always adapts is a model
    assert fastlm.load(tmp_path / "always.fastlm").score(text).nats == lm.score(text, adapt=True).nats


def test_prefix_states_and_generation() -> None:
    lm, text = trained()
    lm.fit_adapt([text])
    state = lm.start(adapt=True)
    per_token = [-state.log_probabilities()[i] for i in lm.vocabulary.encode(text)[:1]]
    for i, following in zip(lm.vocabulary.encode(text), lm.vocabulary.encode(text)[1:], strict=False):
        per_token.append(-state.step(int(i))[following])
    np.testing.assert_allclose(per_token, lm.score(text, adapt=True).per_token, rtol=0, atol=1e-4)
    drawn = "".join(lm.generate(text, 30, seed=1, adapt=True))
    assert drawn == "".join(lm.generate(text, 30, seed=1, adapt=True))
    assert drawn.count("c") > "".join(lm.generate(text, 30, seed=1)).count("c")


def test_quantized_models_keep_the_weights() -> None:
    vocabulary = fastlm.Vocabulary(["\n", *"abcde", "<unk>"], unit="char")
    lm = fastlm.LanguageModel(vocabulary, LSTM(7, hidden=3))
    lm.fit_adapt(["abcabcabc" * 40])
    small = lm.quantized()
    assert (small.adaptive.weights == lm.adaptive.weights).all() and small.adaptive.model is small.model
    assert lm.adapting().quantized().score("abcab").nats == small.score("abcab", adapt=True).nats


@pytest.mark.parametrize(("unit", "choices"), [
    ("char", {"window": 8192, "decay": 2000.0, "lowest": 1, "highest": 8}),
    ("word", {"window": 1024, "decay": 150.0, "lowest": 0, "highest": 2})])
def test_the_cache_by_the_unit(unit, choices) -> None:
    vocabulary = fastlm.Vocabulary(["\n", "a", "<unk>"], unit=unit)
    model = fastlm.LanguageModel(vocabulary, KneserNey(3)).adapting().model
    assert model.choices() == choices
    assert model.choices_in_file() == {"memory" if name == "decay" else name: value for name, value in choices.items()}


def damaged(change, tmp_path) -> str:
    lm, text = trained("char")
    lm.fit_adapt([text]).save(tmp_path / "it.fastlm")
    tensors, metadata = modelfile.load(tmp_path / "it.fastlm")
    change(tensors, metadata)
    modelfile.save(tmp_path / "it.fastlm", tensors, metadata)
    with pytest.raises(modelfile.ModelFileError) as caught:
        fastlm.load(tmp_path / "it.fastlm")
    return str(caught.value)


def test_files_are_checked(tmp_path) -> None:
    for bad in (np.full((9, 16), 1.5), np.full((8, 16), 0.5), np.full((9, 16), 0.5, np.float32)):
        assert "its weights are not (9, 16) numbers between 0 and 1" in \
            damaged(lambda tensors, _, bad=bad: tensors.update({"adaptive/weights": bad}), tmp_path)
    assert "window = 1073741824; 1 to 1048576 tokens were expected" in damaged(
        lambda _, metadata: metadata.update(adaptive=json.dumps({"window": 1 << 30})), tmp_path)
    assert "damaged" in damaged(lambda tensors, _: tensors.pop("adaptive/weights"), tmp_path)


IDS = np.zeros(3, np.int32)
CACHE = _core.Cache(4, np.exp(-np.arange(5.0)), 0, 1)
MESSAGES = {
    "<KneserNey(vocab_size=4, order=5, boundary=None), 4 n-grams> is for 4 ids; one for 7 was expected":
        lambda: CacheModel(7, UNIFORM),
    "window = 0; 1 to 1048576 tokens were expected": lambda: CacheModel(4, UNIFORM, window=0),
    "decay = 0.0; a number of tokens above 0 was expected": lambda: CacheModel(4, UNIFORM, decay=0.0),
    "decay = nan; a number of tokens above 0 was expected": lambda: CacheModel(4, UNIFORM, decay=np.nan),
    "contexts of 9 to 2 tokens were asked for; 0 to 31, the lowest first, were expected":
        lambda: CacheModel(4, UNIFORM, lowest=9),
    "contexts of -1 to 2 tokens were asked for; 0 to 31, the lowest first, were expected":
        lambda: CacheModel(4, UNIFORM, lowest=-1),
    "contexts of 0 to 32 tokens were asked for; 0 to 31, the lowest first, were expected":
        lambda: CacheModel(4, UNIFORM, highest=32),
    "orders = 33, expected 1 to 32": lambda: _core.Cache(4, np.ones(5), 0, 33),
    "orders = 2, expected 3 to 32": lambda: _core.Cache(4, np.ones(5), 2, 2),
    "decay has 0 elements, expected 1 to 2^31 - 1": lambda: _core.Cache(4, np.ones(0), 0, 1),
    "decay[2] = 1.5, expected 0 to 1": lambda: _core.Cache(4, np.array([1, 0, 1.5, -1]), 0, 1),
    "decay[1] = -0.5, expected 0 to 1": lambda: _core.Cache(4, np.array([1, -0.5]), 0, 1),
    "decay[0] = nan, expected 0 to 1": lambda: _core.Cache(4, np.array([np.nan]), 0, 1),
    "a CacheModel is not trained by itself; train the model in it, then fit its weights":
        lambda: fastlm.Trainer(of(0, 0)).fit([[1, 2, 3]], epochs=1),
    "first = 4 is beyond the 3 tokens":
        lambda: CACHE.counts(np.zeros((0, 1)), np.zeros((0, 1)), IDS, None, IDS[:0], 4),
    "total has shape (2, 1), expected (3, 1)":
        lambda: CACHE.counts(np.zeros((2, 1)), np.zeros((3, 1)), IDS, None, IDS, 0),
    "word has shape (3, 5), expected (3, 4)":
        lambda: CACHE.rows(np.zeros((3, 5), np.int32), np.zeros((3, 4), np.float32), np.zeros(3, np.float32),
                           np.zeros((1, 16)), IDS, None, 0),
    "starts has 2 elements, expected 3":
        lambda: CACHE.counts(np.zeros((3, 1)), np.zeros((3, 1)), IDS, np.zeros(2, np.uint8), IDS, 0),
}


@pytest.mark.parametrize("message", MESSAGES)
def test_messages(message: str) -> None:
    with pytest.raises(ValueError) as caught:
        MESSAGES[message]()
    assert str(caught.value) == message
