"""Log-likelihood: every target once, whatever reads them."""

from itertools import pairwise

import numpy as np
import pytest

from fastlm.batch import State
from fastlm.heads import FullSoftmax, Head
from fastlm.models import LSTM, CacheModel, Factored, KneserNey, Mixture, PrefixModel
from fastlm.scoring.documents import (
    PART,
    _runs,
    score_blocks,
    score_documents,
    score_long,
    state_is_recent,
)
from fastlm.scoring.score import Score, by_document, total
from fastlm.text.blocks import Block
from fastlm.text.corpus import Corpus
from fastlm.workers import Workers
from tests.cases import ALL_MODELS, model_of

V, NOTHING = 11, np.zeros(0, np.int32)


def documents(count: int = 70, longest: int = 30) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, V, int(n)).astype(np.int32) for n in rng.integers(1, longest, count)]
    texts[3], texts[5] = texts[3][:1], texts[5][:2]
    return [ids[:-1] for ids in texts], [ids[1:] for ids in texts]


def score(model, inputs, targets, threads: int = 1, **sizes: int) -> list[np.ndarray]:
    offsets = np.cumsum([0, *map(len, inputs)])
    with Workers(threads) as workers:
        nats = score_documents(model, np.concatenate([*inputs, NOTHING]), np.concatenate([*targets, NOTHING]), offsets,
                               workers, **sizes)
    return [nats[first:last] for first, last in pairwise(offsets)]


@pytest.mark.parametrize("name", ALL_MODELS)
def test_scores_are_those_of_each_sequence_by_itself(name: str) -> None:
    model = model_of(name, V)
    inputs, targets = documents()
    together = score(model, inputs, targets)
    for ids, wanted, nats in zip(inputs, targets, together, strict=True):
        alone = -model.log_probabilities(ids)[np.arange(len(ids)), wanted]
        assert nats.dtype == np.float64 and nats.shape == wanted.shape
        np.testing.assert_allclose(nats, alone, rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", ALL_MODELS)
def test_long_sequences_are_read_in_parts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(name, V)
    inputs, targets = documents()
    whole = score(model, inputs, targets)
    for layer in (Head, FullSoftmax):
        monkeypatch.setattr(layer, "rows_together", lambda self, vocab_size: 7 * 32)   # seven tokens at a time
    for part, wanted in zip(score(model, inputs, targets), whole, strict=True):
        np.testing.assert_allclose(part, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ALL_MODELS)
@pytest.mark.parametrize("length", [0, 1, 23])
def test_a_model_scores_any_targets_of_one_sequence(name: str, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven tokens at a time where a model reads in parts; the targets are not the tokens that are read next."""
    model, rng = model_of(name, V), np.random.default_rng(1)
    ids, targets = (rng.integers(0, V, length).astype(np.int32) for _ in range(2))
    targets[1::5] = -1
    logp = model.log_probabilities(ids)
    for layer in (Head, FullSoftmax):
        monkeypatch.setattr(layer, "rows_together", lambda self, vocab_size: 7)
    nats = model.score(ids, targets)
    assert nats.dtype == np.float64 and nats.shape == (length,)
    np.testing.assert_allclose(nats, np.where(targets < 0, 0, -logp[np.arange(length), targets]), rtol=0, atol=2e-5)


def test_a_document_is_scored_the_same_beside_others_that_are_read_in_another_way() -> None:
    """A cache model scores long documents directly and reads short ones side by side."""
    rng = np.random.default_rng(2)
    texts = [rng.integers(0, V, length).astype(np.int32) for length in (401, 31, 301, 1, 12)]
    model = CacheModel(V, LSTM(V, hidden=3), window=20, decay=9.0)
    inputs, targets = [ids[:-1] for ids in texts], [ids[1:] for ids in texts]
    assert [model.scores_directly(*pair) for pair in zip(inputs, targets, strict=True)] == [True, False, True, False,
                                                                                           False]
    for ids, wanted, nats in zip(inputs, targets, score(model, inputs, targets), strict=True):
        logp = model.log_probabilities(ids)
        np.testing.assert_allclose(nats, -logp[np.arange(len(ids)), wanted], rtol=0, atol=2e-5)
        if model.scores_directly(ids, wanted):
            assert nats.tobytes() == score(model, [ids], [wanted])[0].tobytes()


@pytest.mark.parametrize("name", ["LSTM", "KneserNey", "CacheModel"])
def test_short_documents_are_joined_to_runs(name: str) -> None:
    """Documents of fewer than 20 tokens, in runs of 20 or more, between longer ones; empty ones among them."""
    model = CacheModel(V, LSTM(V, hidden=3), window=9) if name == "CacheModel" else model_of(name, V)
    inputs, targets = documents(90)
    inputs[40:40], targets[40:40] = [NOTHING] * 3, [NOTHING] * 3
    for ids, wanted, nats in zip(inputs, targets, score(model, inputs, targets, together=3, long=20), strict=True):
        alone = -model.log_probabilities(ids)[np.arange(len(ids)), wanted]
        np.testing.assert_allclose(nats, alone, rtol=0, atol=2e-5)


def counted(name: str, ids: np.ndarray) -> PrefixModel:
    corpus, letters = Corpus.from_ids([ids]), [1, 2, 3, -1, 0]
    models = {"KneserNey": KneserNey(5, order=4), "Factored": Factored(5, (1, "word", "word-1"), letters)}
    for model in models.values():
        model.fit(corpus)
    models["Mixture"] = Mixture(5, [KneserNey(5, order=3).fit(corpus), models["Factored"]])
    return models[name]


@pytest.mark.parametrize("name", ["KneserNey", "Factored", "Mixture"])
@pytest.mark.parametrize("last", [1, 4, 1000])
def test_a_very_long_document_is_scored_on_all_threads(name: str, last: int) -> None:
    """To the same bits, also where a guess is wrong: one token before a part does not decide its state."""
    rng = np.random.default_rng(3)
    ids = rng.choice(5, 30_000, p=[.3, .3, .2, .1, .1]).astype(np.int32)
    ids[9_000:15_000] = 0   # a word without an end, longer than what guesses are made from
    model = counted(name, ids[:5000])
    before = model.score_on(ids[:10], ids[1:11], None)[1]
    for state in (None, before):
        whole, after = model.score_on(ids[:-1], ids[1:], state)
        for threads in (1, 2, 5):
            with Workers(threads) as workers:
                nats, reached = score_long(model, ids[:-1], ids[1:], state, workers, part=4000, last=last)
            assert nats.tobytes() == whole.tobytes() and reached == after


@pytest.mark.parametrize("name", ["LSTM", "KneserNey", "CacheModel", "Transformer"])
@pytest.mark.parametrize("residual", [False, True])
def test_of_a_long_document_networks_predict_on_all_threads(name: str, residual: bool) -> None:
    """To the same bits, from any state; the last part is shorter than the others, and may be one token."""
    ids = np.random.default_rng(6).integers(0, V, 1500).astype(np.int32)
    model = CacheModel(V, LSTM(V, hidden=3), window=9) if name == "CacheModel" else model_of(name, V)
    if residual:
        model = Mixture(V, [KneserNey(V, order=3).fit(Corpus.from_ids([ids[:400]])), LSTM(V, hidden=5)], residual=True)
    model.rows_together = lambda: 41
    before = model.score_on(ids[:10], ids[1:11], None)[1]
    for state in (None, before):
        for length in (1499, 41 * 20 + 1, 1, 0):
            whole, after = model.score_on(ids[:length], ids[1: length + 1], state)
            for threads in (1, 2, 5):
                with Workers(threads) as workers:
                    nats, reached = score_long(model, ids[:length], ids[1: length + 1], state, workers, part=100)
                assert nats.tobytes() == whole.tobytes() and reached == after


def test_guesses_are_right_where_the_last_tokens_are_enough() -> None:
    """A model is asked for each part once, and for the tokens before it."""
    ids = np.random.default_rng(3).integers(0, 5, 30_000).astype(np.int32)
    lengths: list[int] = []

    class Watched(KneserNey):
        def score_on(self, inputs: np.ndarray, targets: np.ndarray, state: State | None = None):
            lengths.append(len(inputs))
            return super().score_on(inputs, targets, state)
    model = Watched(5, order=4).fit(Corpus.from_ids([ids]))
    part = model.rows_together()
    with Workers(2) as workers:
        score_long(model, ids[:-1], ids[1:], None, workers, part=part, last=3)
    parts = -(-(len(ids) - 1) // part)
    assert parts > 3 and sorted(lengths)[: parts - 1] == [3] * (parts - 1) and sum(lengths) == 29_999 + 3 * (parts - 1)


def test_states_of_networks_are_not_guessed() -> None:
    assert state_is_recent(Mixture(5, [KneserNey(5, 2), KneserNey(5, 3)]))
    assert not state_is_recent(LSTM(5, hidden=3)) and not state_is_recent(Mixture(5, [KneserNey(5, 2), LSTM(5, 3)]))
    assert not state_is_recent(CacheModel(5, KneserNey(5, 2)))


@pytest.mark.parametrize("name", ["KneserNey", "Mixture"])
def test_long_documents_of_any_number_of_threads_have_the_same_bits(name: str) -> None:
    ids = np.random.default_rng(4).integers(0, 5, 2 * PART + 5000).astype(np.int32)
    model = counted(name, ids[:5000])
    inputs, targets = [ids[:300], ids[:-1], ids[:9]], [ids[1:301], ids[1:], ids[1:10]]
    one, two = (score(model, inputs, targets, threads) for threads in (1, 2))
    for left, right in zip(one, two, strict=True):
        assert left.tobytes() == right.tobytes()
    np.testing.assert_allclose(one[1][:299], one[0][:299], rtol=1e-6)


def test_runs_are_of_whole_documents() -> None:
    runs = [(run.start, run.stop) for run in _runs(np.array([5, 5, 8, 9, 15, 15, 17, 40]), 10)]
    assert runs == [(5, 15), (15, 40)]
    assert _runs(np.array([3, 3]), 9) == _runs(np.array([3]), 9) == []


def test_the_number_of_threads_changes_no_bit() -> None:
    model = model_of("LSTM", V)
    inputs, targets = documents(200)
    one = np.concatenate(score(model, inputs, targets))
    for threads in (2, 3, 8):
        assert np.concatenate(score(model, inputs, targets, threads)).tobytes() == one.tobytes()


def test_empty_sequences_have_no_score() -> None:
    model = model_of("LSTM", V)
    assert [nats.tolist() for nats in score(model, [NOTHING, NOTHING], [NOTHING, NOTHING])] == [[], []]
    assert score(model, [], []) == []


def test_figures_by_hand() -> None:
    """Two targets of probability 1/2 and 1/8 in a text of three bytes."""
    figures = Score(nats=4 * np.log(2), tokens=2, unknown=1, bytes=3, per_token=np.log([2.0, 8.0]))
    assert figures.nats_per_token == pytest.approx(2 * np.log(2))
    assert figures.perplexity == pytest.approx(4)
    assert figures.bits_per_byte == pytest.approx(4 / 3)
    assert "per_token" not in repr(figures)
    nothing = Score(0.0, 0, 0, 0, np.zeros(0))
    assert np.isnan([nothing.nats_per_token, nothing.perplexity, nothing.bits_per_byte]).all()


@pytest.mark.parametrize("name", [*ALL_MODELS, "CacheModel"])
def test_blocks_have_the_scores_of_whole_documents(name: str) -> None:
    """Documents, empty ones among them, some of which go on in the block after, or over several blocks."""
    model = CacheModel(V, LSTM(V, hidden=3), window=9) if name == "CacheModel" else model_of(name, V)
    rng = np.random.default_rng(4)
    ids, offsets = rng.integers(0, V, 60).astype(np.int32), np.array([0, 7, 7, 9, 41, 41, 52, 60])
    inputs = np.concatenate([[2], ids[:-1]]).astype(np.int32)
    inputs[offsets[:-1][np.diff(offsets) > 0]] = 2
    with Workers(1) as workers:
        wanted = score_documents(model, inputs, ids, offsets, workers)
        for cuts in ([0, 60], [0, 3, 60], [0, 8, 20, 33, 45, 60], [0, 7, 41, 60], [0, 9, 52, 60]):
            found = list(score_blocks(model, cut(ids, offsets, cuts), 2, workers))
            np.testing.assert_allclose(np.concatenate([nats for _, nats in found]), wanted, rtol=0, atol=2e-5)
            each = list(by_document(found, no_escape))
            assert [score.tokens for score in each] == np.diff(offsets).tolist()
            np.testing.assert_allclose([score.nats for score in each],
                                       [wanted[a:b].sum() for a, b in pairwise(offsets)], rtol=0, atol=1e-3)
            assert [(score.unknown, score.bytes) for score in each] == [(size, 3 * size) for size in np.diff(offsets)]


def no_escape(block: Block, nats: np.ndarray) -> np.ndarray:
    return np.zeros(len(nats))


def cut(ids: np.ndarray, offsets: np.ndarray, cuts: list[int]) -> list[Block]:
    """Return documents as blocks that end at some places; every token is unknown and has three bytes."""
    blocks, opened = [], False
    for first, last in pairwise(cuts):
        inner = offsets[(offsets > first if first else offsets >= 0) & (offsets <= last)]
        goes_on = opened
        edges = ([] if first == 0 else [first]) + inner.tolist()
        opened = edges[-1] != last
        edges = np.array(edges + ([last] if opened else [])) - first
        blocks.append(Block(ids[first:last], edges, goes_on, opened, np.arange(last - first), 3 * np.diff(edges),
                            np.ones((3, len(edges) - 1))))
    return blocks


def test_the_figures_of_all_blocks() -> None:
    blocks = cut(np.zeros(4, np.int32), np.array([0, 2, 4]), [0, 3, 4])
    scored = [(block, np.full(len(block.ids), 0.5)) for block in blocks]
    found = total(scored, no_escape, False)
    assert found == Score(2.0, 4, 4, 12, None, 3.0, 3.0, 3, 2.0) and found.per_token is None
    assert total(scored, no_escape, True).per_token.tolist() == [0.5] * 4
    with pytest.raises(ValueError) as caught:
        total([], no_escape, False)
    assert str(caught.value) == "the corpus is empty: there is no token in it"
