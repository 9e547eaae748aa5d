"""A vocabulary and a model together: what a user asks of them, and gets back from a file."""

import json
import pickle

import numpy as np
import pytest

import fastlm
from fastlm.files import modelfile
from fastlm.models import LSTM, FeedForward, PositionalOneHot
from tests.cases import model_of

TEXT = {"word": "the cat saw the dog\nthe dog saw\n", "char": "the cat sÆw the dog\nthe dog",
        "byte": "the cât\nsaw\x00"}
every_unit = pytest.mark.parametrize("unit", list(TEXT))


def language_model(unit: str, name: str = "LSTM") -> fastlm.LanguageModel:
    source = [TEXT[unit].encode() if unit == "byte" else TEXT[unit]]
    vocabulary = fastlm.Vocabulary.build(source, unit=unit)
    return fastlm.LanguageModel(vocabulary, model_of(name, len(vocabulary)))


@pytest.fixture(scope="module")
def trained() -> fastlm.LanguageModel:
    return fastlm.train(["the cat sat on the mat\nthe dog lay on the rug\n" * 60], epochs=15, min_count=1, seed=1,
                        model=lambda v: LSTM(v, hidden=16), optimizer=fastlm.optim.AdamW(lr=0.05), threads=1)


def whole_text(lm: fastlm.LanguageModel, text: str) -> np.ndarray:
    """The ids that a score counts: words end in an end of line."""
    ids = lm.vocabulary.encode(text)
    if lm.vocabulary.unit == "word" and ids[-1] != lm.boundary:
        ids = np.append(ids, lm.boundary)
    return ids


@every_unit
@pytest.mark.parametrize("name", ["LSTM", "PositionalOneHot", "a user's own"])
def test_the_score_of_a_text_is_the_sum_over_its_steps(unit: str, name: str) -> None:
    lm = language_model(unit, name)
    text = {"word": "the dog saw zebras", "char": "sÆw z", "byte": "saw \xff"}[unit]
    score = lm.score(text)
    state, nats = lm.start(), []
    logp = state.log_probabilities()
    for token in whole_text(lm, text):
        nats.append(-float(logp[token]))
        logp = state.step(int(token))
    np.testing.assert_allclose(score.per_token, nats, rtol=0, atol=2e-5)
    assert score.nats == pytest.approx(sum(nats), rel=1e-5) and score.tokens == len(nats)
    assert score.unknown == {"word": 1, "char": 1, "byte": 0}[unit]
    # what is scored is the text as it is read, and a word text is read with the end of its last line
    assert score.bytes in (len(text.encode()), len(text.encode()) + (unit == "word"))
    assert score.perplexity == pytest.approx(np.exp(sum(nats) / len(nats)), rel=1e-5)
    assert lm.perplexity(iter([text])) == pytest.approx(score.perplexity)
    assert lm.score(text, threads=3).per_token.tobytes() == lm.score(text, threads=1).per_token.tobytes()


@every_unit
def test_predict_all_is_step_by_step(unit: str) -> None:
    lm = language_model(unit)
    text = TEXT[unit][:17]
    whole, top = lm.predict_all(text, k=None), lm.predict_all(text, k=3)
    ids = lm.vocabulary.encode(text)
    assert whole.shape == (len(ids), len(lm.vocabulary)) and whole.dtype == np.float32 and len(top) == len(ids)
    np.testing.assert_allclose(whole.sum(axis=1), 1, atol=1e-5)
    state = lm.start()
    for token, row, best in zip(ids, whole, top, strict=True):
        p = np.exp(state.step(int(token)))
        np.testing.assert_allclose(row, p, rtol=0, atol=1e-6)
        assert [probability for _, probability in best] == sorted(np.sort(row)[-3:].tolist(), reverse=True)
        assert [text for text, _ in best] == [lm.vocabulary.token(int(i)) for i in np.argsort(-row, kind="stable")[:3]]
    assert lm.predict_all("") == [] and lm.predict_all("", k=None).shape == (0, len(lm.vocabulary))


@every_unit
def test_next_tokens_are_the_last_of_predict_all(unit: str) -> None:
    lm = language_model(unit)
    context = TEXT[unit][:11]
    found = lm.next_tokens(context, k=4)
    for (token, p), (wanted, q) in zip(found, lm.predict_all(context, k=4)[-1], strict=True):
        assert token == wanted and p == pytest.approx(q, abs=1e-6)
    everything = lm.next_tokens("", k=10_000)
    assert len(everything) == len(lm.vocabulary)
    assert sum(p for _, p in everything) == pytest.approx(1, abs=1e-5)


@every_unit
def test_states_fork_compare_and_pickle(unit: str) -> None:
    lm = language_model(unit)
    state = lm.start()
    assert state == lm.start() and state.tokens == 0
    first, second = lm.vocabulary.encode(TEXT[unit])[:2]
    state.step(int(first))
    twin = state.copy()
    assert twin == state != lm.start() and twin.tokens == 1
    assert not np.shares_memory(twin.logits, state.logits)
    assert not any(np.shares_memory(array, state.state[name]) for name, array in twin.state.arrays.items())
    logp = state.step(int(second))
    assert twin != state and twin.tokens == 1
    assert twin.step(int(second)).tobytes() == logp.tobytes() and twin == state
    revived = pickle.loads(pickle.dumps(state))
    assert revived == state and revived.tokens == 2
    assert revived.step(int(first)).tobytes() == state.step(int(first)).tobytes()
    with pytest.raises(TypeError, match="unhashable"):
        hash(state)


def test_reading_a_text_is_stepping_through_it() -> None:
    lm = language_model("char")
    text = TEXT["char"] * 20                 # longer than what is read at a time
    read, stepped = lm.start(), lm.start()
    logp = read.read(text)
    for token in text:
        wanted = stepped.step(token)
    np.testing.assert_allclose(logp, wanted, rtol=0, atol=1e-5)
    assert read.tokens == stepped.tokens == len(text)
    assert read.read("").tobytes() == logp.tobytes()


def test_words_are_stepped_through_by_their_text() -> None:
    lm = language_model("word")
    by_text, by_id, unknown = lm.start(), lm.start(), lm.start()
    assert by_text.step("cat").tobytes() == by_id.step(lm.vocabulary.id("cat")).tobytes()
    assert unknown.step("zebra").tobytes() == lm.start().step("<unk>").tobytes()
    assert by_text.step("\n").shape == (len(lm.vocabulary),)


@every_unit
def test_generation_is_decided_by_its_seed(unit: str) -> None:
    lm = language_model(unit)
    prompt = TEXT[unit][:8]
    one, again, other = ("".join(lm.generate(prompt, max_tokens=40, seed=seed)) for seed in (1, 1, 2))
    assert one == again != other
    assert "<unk>" not in one
    assert list(lm.generate(prompt, max_tokens=0)) == []


def test_pieces_join_to_what_was_drawn(trained: fastlm.LanguageModel) -> None:
    pieces = list(trained.generate("the", max_tokens=30, temperature=0.5, seed=3))
    assert len(pieces) == 30 and pieces[0].startswith(" ")
    text = "the" + "".join(pieces)
    assert len(trained.vocabulary.encode(text)) == 31
    assert "  " not in text and " \n" not in text and "\n " not in text
    assert trained.vocabulary.decode(trained.vocabulary.encode(text)) == text
    for prompt in ("", "the ", "the\n"):
        assert not next(trained.generate(prompt, max_tokens=1, seed=3)).startswith(" ")


def test_bytes_are_yielded_as_whole_characters() -> None:
    lm = fastlm.train(["éü€" * 40], unit="byte", epochs=60, threads=1, optimizer=fastlm.optim.AdamW(lr=0.03),
                      model=lambda v: FeedForward(v, context=3, width=16, hidden=32))
    pieces = list(lm.generate("éü€", max_tokens=21, temperature=0))
    assert pieces == ["é", "ü", "€"] * 3


def test_what_was_learnt_is_predicted(trained: fastlm.LanguageModel) -> None:
    assert trained.next_tokens("the dog lay on the", k=1)[0][0] == "rug"
    assert trained.next_tokens("the cat sat on the", k=1)[0][0] == "mat"
    assert trained.score("the cat sat on the mat").perplexity < 1.5 < trained.score("mat the on").perplexity
    assert "".join(trained.generate("the cat", max_tokens=4, temperature=0)) == " sat on the mat"


@every_unit
def test_saved_and_loaded_it_is_the_same(unit: str, tmp_path) -> None:
    path = tmp_path / "my.fastlm"
    source = [TEXT[unit].encode() * 9 if unit == "byte" else TEXT[unit] * 9]
    lm = fastlm.train(source, unit=unit, epochs=2, threads=1, model=lambda v: LSTM(v, hidden=5, layers=2, dropout=0.1))
    lm.save(path)
    twin = fastlm.load(path)
    assert twin.digest() == lm.digest() and twin.vocabulary == lm.vocabulary
    assert twin.model.config() == lm.model.config() and repr(twin) == repr(lm)
    assert twin.plan == lm.plan and twin.card == lm.card
    assert (twin.history.records, twin.history.ended) == (lm.history.records, lm.history.ended)
    text = TEXT[unit][:9]
    assert twin.predict_all(text, k=None).tobytes() == lm.predict_all(text, k=None).tobytes()
    assert "".join(twin.generate(text, seed=4)) == "".join(lm.generate(text, seed=4))
    assert pickle.loads(pickle.dumps(lm)).digest() == lm.digest()
    first = path.read_bytes()
    twin.save(path)
    assert path.read_bytes() == first
    twin.model.parameters["output_bias"].value[0] += 1     # loaded weights can be trained further
    assert twin.digest() != lm.digest()


def test_a_dictionary_with_gaps_is_kept(tmp_path) -> None:
    vocabulary = fastlm.Vocabulary({25: "I", 7: "am", 100: "a", 2: "machine"})
    lm = fastlm.LanguageModel(vocabulary, PositionalOneHot(101, 2))
    lm.save(tmp_path / "gaps.fastlm")
    twin = fastlm.load(tmp_path / "gaps.fastlm")
    assert twin.vocabulary == vocabulary and twin.boundary == 0
    drawn = "".join(twin.generate("I am", max_tokens=50, temperature=3.0, top_k=0, seed=0)).split()
    assert len(drawn) == 50 and set(drawn) == {"I", "am", "a", "machine"}   # never an id that no token has


def forged(path, change) -> None:
    """A model file with something in it changed, and its digest right."""
    lm = language_model("word", "LSTM")
    lm.save(path)
    tensors, metadata = modelfile.load(path)
    tensors, metadata = {name: array.copy() for name, array in tensors.items()}, dict(metadata)
    change(tensors, metadata)
    modelfile.save(path, tensors, {name: text for name, text in metadata.items()
                                   if name not in ("format", "version", "sha256")})


def configured(**options):
    def change(tensors, metadata) -> None:
        metadata["config"] = json.dumps(json.loads(metadata["config"]) | options)
    return change


@pytest.mark.parametrize("change, message", [
    (lambda t, m: m.update(kind="checkpoint"), "holds a checkpoint; a model was expected"),
    (lambda t, m: m.pop("kind"), "holds a foreign file; a model was expected"),
    (lambda t, m: m.pop("config"), "is damaged: 'config'"),
    (lambda t, m: m.update(unit="syllable"), "is damaged: "),
    (lambda t, m: m.update(config="[1]"), "is damaged: its configuration is [1]; one for 6 ids was expected"),
    (lambda t, m: m.update(config="{"), "is damaged: "),
    (configured(name="GPT"), "is damaged: model 'GPT' is not known here; "),
    (configured(vocab_size=8), "; one for 6 ids was expected"),
    (configured(hidden=10**9), "is damaged: an array of shape (3, 4000000000) would take 48,000,000,000 bytes; "),
    (configured(hidden=7), "is damaged: parameter "),
    (configured(depth=2), "is damaged: LSTM cannot be built from "),
    (lambda t, m: t.pop("model/output"), "is damaged: parameter output is nothing; shape (5, 6) was expected"),
    (lambda t, m: t.update({"model/more": np.zeros(3, np.float32)}), "it holds parameters ['more'] of no use"),
    (lambda t, m: t.pop("vocabulary/tokens"), "is damaged: 'tokens'"),
    (lambda t, m: m.update(history="{}x"), "is damaged: "),
])
def test_files_that_are_no_model(change, message: str, tmp_path) -> None:
    path = tmp_path / "forged.fastlm"
    forged(path, change)
    with pytest.raises(modelfile.ModelFileError) as caught:
        fastlm.load(path)
    assert message in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


ERRORS = [
    (lambda lm: fastlm.LanguageModel(lm.vocabulary, PositionalOneHot(5, 2)), ValueError,
     "the vocabulary has 6 ids and the model 5; equal numbers were expected"),
    (lambda lm: lm.score(""), ValueError, "the text is empty; at least one token was expected"),
    (lambda lm: lm.score(["a list"]), TypeError, "a list was given; score reads one text, evaluate any source"),
    (lambda lm: lm.next_tokens("the", k=0), ValueError, "k = 0; at least 1 was expected"),
    (lambda lm: lm.predict_all("the", k=-1), ValueError, "k = -1; at least 1 was expected"),
    (lambda lm: lm.generate("the", max_tokens=-1), ValueError, "max_tokens = -1; at least 0 was expected"),
    (lambda lm: lm.generate("the", temperature=-1), ValueError,
     "temperature = -1; a number of at least 0 was expected"),
    (lambda lm: lm.start().step("the cat"), ValueError,
     "'the cat' is 2 tokens; step reads one, read() any number"),
    (lambda lm: lm.start().step(""), ValueError, "'' is 0 tokens; step reads one, read() any number"),
    (lambda lm: lm.start().step(70), IndexError, "ids[0] = 70 is outside the vocabulary of 6"),
    (lambda lm: lm.start().step(-1), IndexError, "ids[0] = -1 is outside the vocabulary of 6"),
    (lambda lm: lm.start().read_ids(np.array([1, 6])), IndexError, "ids[1] = 6 is outside the vocabulary of 6"),
    (lambda lm: lm.evaluate(iter([])), ValueError, "the corpus is empty: there is no token in it"),
]


@pytest.mark.parametrize("call, kind, message", ERRORS, ids=[message[:40] for _, _, message in ERRORS])
def test_errors(call, kind, message: str) -> None:
    with pytest.raises(kind) as caught:
        call(language_model("word"))
    assert str(caught.value) == message


def test_a_state_is_left_alone_by_what_is_refused() -> None:
    state = language_model("word").start()
    state.step("the")
    twin = state.copy()
    for wrong in ("the cat", 70):
        with pytest.raises((ValueError, IndexError)):
            state.step(wrong)
    assert state == twin and state.tokens == 1


@every_unit
def test_each_document_of_many_has_its_own_score(unit: str) -> None:
    lm = language_model(unit)
    texts = ["the dog saw", "saw", "", "dog\nthe"]
    each = list(lm.score_each(texts))
    assert [score.tokens for score in each] == [lm.score(text).tokens if text else 0 for text in texts]
    np.testing.assert_allclose([score.nats for score in each],
                               [lm.score(text).nats if text else 0 for text in texts], rtol=1e-5)
    whole = lm.evaluate(texts, per_token=True)
    assert whole.nats == pytest.approx(sum(score.nats for score in each)) and len(whole.per_token) == whole.tokens
    assert lm.evaluate(texts).per_token is None
