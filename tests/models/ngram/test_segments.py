"""Texts counted in segments: the bytes of a run, the same tables as at once, what is left out for want of memory."""

import errno
import os
import tempfile
from dataclasses import replace

import numpy as np
import pytest

import fastlm
from fastlm import _core
from fastlm.auto.policy import Policy
from fastlm.models import KneserNey
from fastlm.models.ngram.discounts import discounts_of
from fastlm.models.ngram.segments import Kept, SegmentCounter, kept_of, kept_within, less_than
from fastlm.models.ngram.spill import Spill
from fastlm.models.ngram.streams import stream, stream_parts
from fastlm.text.corpus import Corpus
from fastlm.workers import Workers
from tests import ngram_oracle

TASKS = 3


def corpus_of(documents, boundary=None) -> Corpus:
    return replace(Corpus.from_ids(documents), boundary=boundary)


def random_corpus(seed: int, vocab_size: int, boundary: int | None) -> Corpus:
    rng = np.random.default_rng([seed, vocab_size])
    sizes = rng.integers(1, 150 if seed % 2 else 12, int(rng.integers(1, 9)))
    return corpus_of([rng.zipf(1.3, size) % vocab_size for size in sizes], boundary)


def estimated(builder, left_out, order: int) -> list[np.ndarray]:
    """The counts and the tables of n-grams that are counted."""
    count, ends = builder.counted(True)
    discounts = [np.array(discounts_of(count[a:b], more))
                 for a, b, more in zip([0, *ends[1:-1]], ends[1:], left_out[1:], strict=True)]
    builder.unigrams(discounts[0])
    for level in range(2, order + 1):
        builder.longer(level)
        for task in range(builder.tasks):
            builder.estimate(task, level, discounts[level - 1])
    return [count, *builder.tables()]


def at_once(corpus: Corpus, vocab_size: int, order: int, stop: int, above: int | None) -> list[np.ndarray]:
    builder = _core.NGramBuilder(*stream(corpus), stop, order, vocab_size, 1)
    builder.sort(0)
    before = builder.level_sizes()
    if above is not None:
        builder.keep_repeated(0, above)
    left_out = before - builder.level_sizes()
    builder.allocate()
    for level in range(2, order + 1):
        builder.level(level)
        builder.number(0, level)
    return estimated(builder, left_out, order)


def in_segments(corpus: Corpus, vocab_size: int, order: int, stop: int, above: int | None, segments: int,
                threads: int, budget_bytes: float = float("inf")):
    with Workers(threads) as workers, Spill() as spill:
        most = -(-len(stream(corpus)[0]) // segments)
        counter = SegmentCounter(vocab_size, order, stop, most, TASKS, workers, spill)
        for ids, starts in stream_parts(corpus, 7):
            counter.add(ids, starts)
        trie, left_out, kept = counter.trie(above, budget_bytes)
        assert counter.segments > 1 or segments == 1 or counter.tokens < 2 * max(most, order) + order
    return trie, left_out, kept


def test_the_bytes_of_a_run_by_hand() -> None:
    """Bigrams of 0 300 | 0 300 0, of which the last token is the next segment's: shared, length (+128: some begin a
    document), repeated, tokens, count, begins. "300 0" is before "300" only once it has more tokens."""
    ids, starts = np.array([0, 300, 0, 300, 0], np.int32), np.array([1, 0, 1, 0, 0], np.uint8)
    segment, out = _core.NGramSegment(ids, starts, -1, 2, 301, 4, 1, None), np.empty(_core.RUN_RECORD, np.uint8)
    segment.sort(0)
    written, last = [], False
    while not last:
        size, last = segment.write(0, out)
        written += out[:size].tolist()
    of_300 = [300 % 128 + 128, 300 // 128]
    assert written == [0, 2 + 128, 0, 0, *of_300, 2, 2, 0, 1, 0, *of_300, 1, 1, 2, 0, 0, 1]
    assert segment.cuts.tolist() == [0, 301]


@pytest.mark.parametrize("order", [2, 3, 5, 9])
@pytest.mark.parametrize("vocab_size", [1, 2, 7, 300, 70_000])
def test_segments_give_the_bytes_of_the_whole(vocab_size: int, order: int) -> None:
    """Random texts, documents that begin and end within segments, boundaries, repeated contexts, threads."""
    for seed in range(6):
        boundary = None if seed % 3 else seed % vocab_size
        corpus, stop = random_corpus(seed, vocab_size, boundary), seed % vocab_size if seed % 2 else -1
        above = None if order < 3 or seed % 4 < 2 else 2 + seed % (order - 2)
        whole = at_once(corpus, vocab_size, order, stop, above)
        for segments, threads in ((1, 1), (3, 2), (8, 1)):
            trie, left_out, kept = in_segments(corpus, vocab_size, order, stop, above, segments, threads)
            assert kept == kept_of(order, above) and not kept.once
            parts = estimated(trie, left_out, order)
            assert all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(whole, parts, strict=True))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_model_of_a_text_too_long_is_the_same(threads: int) -> None:
    """80 bytes for each of 6,000 tokens do not fit; of their n-grams a part would: 3 segments."""
    text = np.tile(np.random.default_rng(5).integers(9, size=400), 15)
    whole = KneserNey(9, 4).fit([text])
    budget = 32.0 * 2000
    assert 80 * len(text) > budget > 24 * whole.ngrams.nodes
    parts = KneserNey(9, 4).fit([text], threads, budget_bytes=budget)
    assert parts.note == "" and parts.counted_whole and parts.order == 4
    assert all(whole.tables[name].tobytes() == parts.tables[name].tobytes() for name in whole.tables)


@pytest.mark.parametrize("order", [2, 3, 5])
@pytest.mark.parametrize("vocab_size", [3, 40])
def test_what_occurs_once_goes_to_shorter_contexts(vocab_size: int, order: int) -> None:
    """The discounts are those of all n-grams, and sums are one. Fit by the least memory that keeps the order."""
    for seed in range(8):
        corpus = random_corpus(seed, vocab_size, None)
        documents = [document.tolist() for document in corpus.documents()]
        for whole in range(1, order):
            model = KneserNey(vocab_size, order)
            sizes = sizes_of(corpus, vocab_size, order)
            budget = Kept(order, whole, True).memory(sizes, vocab_size)
            if Kept(order, whole + 1, True).memory(sizes, vocab_size) <= budget or 80 * len(corpus) <= budget:
                continue
            model.fit(corpus, budget_bytes=budget)
            assert model.note.startswith(f"; n-grams of more than {whole} tokens that occur once were left out, ")
            assert model.order == order and model.pruned and not model.counted_whole
            oracle = ngram_oracle.KneserNey(documents, order, vocab_size, whole=whole)
            probe = np.random.default_rng(seed).integers(vocab_size, size=25)
            for ids in (probe, corpus.ids[:25]):
                logp = model.log_probabilities(ids)
                np.testing.assert_allclose(np.exp(logp.astype(float)).sum(1), 1, rtol=0, atol=2e-5)
                for i in range(len(ids)):
                    wanted = [oracle.p(word, ids[: i + 1].tolist()) for word in range(vocab_size)]
                    np.testing.assert_allclose(np.exp(logp[i]), wanted, rtol=5e-5, atol=0)


def sizes_of(corpus: Corpus, vocab_size: int, order: int) -> np.ndarray:
    """How many n-grams of each length there are, occur once, and follow a context that does: (3, order + 1)."""
    grams = [{} for _ in range(order + 1)]
    for document in corpus.documents():
        for first in range(len(document)):
            for length in range(1, min(order, len(document) - first) + 1):
                gram = tuple(document[first: first + length].tolist())
                grams[length][gram] = grams[length].get(gram, 0) + 1
    out = np.zeros((3, order + 1), np.int64)
    for length in range(1, order + 1):
        once = [gram for gram, n in grams[length].items() if n == 1]
        out[:, length] = (len(grams[length]), len(once),
                          sum(length > 1 and grams[length - 1][gram[:-1]] == 1 for gram in once))
    return out


def test_what_is_kept_by_hand() -> None:
    """Of 10 words, 10, 100 and 200 n-grams of 1, 2 and 3 tokens, of which 5, 60 and 150 occur once."""
    sizes = np.array([[0, 10, 100, 200], [0, 5, 60, 150], [0, 0, 5, 60]])
    assert Kept(3, 3, False).sizes(sizes).tolist() == [0, 10, 100, 200]
    assert Kept(3, 2, False).sizes(sizes).tolist() == [0, 10, 100, 140]
    assert Kept(3, 2, True).sizes(sizes).tolist() == [0, 10, 100, 50]
    assert Kept(2, 1, True).sizes(sizes).tolist() == [0, 10, 40]
    # Building: 12 bytes for each of 310 n-grams, 12 more for 110 contexts, 8 for each of 110 on two levels; packing: 18
    # and 8.
    assert Kept(3, 3, False).memory(sizes, 10) == max(12 * 310 + 12 * 110 + 8 * 110, 18 * 310 + 8 * 110) == 6460


@pytest.mark.parametrize(("bytes_", "above", "kept"), [
    (6460, None, Kept(3, 3, False)), (6459, None, Kept(3, 2, True)), (1e9, 2, Kept(3, 2, False)),
    (100, None, Kept(2, 1, True))])
def test_the_longest_go_first(bytes_: float, above: int | None, kept: Kept) -> None:
    sizes = np.array([[0, 10, 100, 200], [0, 5, 60, 150], [0, 0, 5, 60]])
    assert kept_within(sizes, 10, 3, above, bytes_) == kept


def test_what_is_said_of_it() -> None:
    asked = kept_of(5, 3)
    assert asked == Kept(5, 3, False) and less_than(asked, asked, "x") == ""
    said = less_than(asked, Kept(5, 2, True), "why")
    assert said == "; n-grams of more than 2 tokens that occur once were left out, why"
    assert less_than(asked, Kept(4, 1, True), "why").endswith("; order 4 of 5, why")


def test_a_pruned_model_leaves_none_out_and_knows_it() -> None:
    rng = np.random.default_rng(2)
    model = KneserNey(50, 4).fit([rng.integers(50, size=3000)], budget_bytes=60_000, keep_counts=True)
    assert model.pruned
    with pytest.raises(ValueError, match="^n-grams that occur once were left out, to save memory; a model of all "
                                         "n-grams was expected$"):
        model.leave_one_out(np.zeros(1, np.int32), np.zeros(1, np.int32))


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_nothing_stays_behind(error, tmp_path, monkeypatch) -> None:
    """An interrupt while runs are merged; the folder is empty even before it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def interrupted(self: SegmentCounter, task: int) -> None:
        assert self._spill.size > 0 and os.listdir(tmp_path) == []
        raise error
    monkeypatch.setattr(SegmentCounter, "_merge", interrupted)
    model = KneserNey(50, 4)
    before = dict(model.tables)
    with pytest.raises(error):
        model.fit([np.random.default_rng(2).integers(50, size=3000)], budget_bytes=60_000)
    assert os.listdir(tmp_path) == [] and model.order == 4
    assert all(model.tables[name] is before[name] for name in before)


def test_a_spill_keeps_names_apart() -> None:
    with Spill() as spill:
        for number in (3, 4):
            for name in ((0, 0), (0, 1)):
                spill.append(name, np.full(number * 100_000, number + name[1], np.uint8))
        reader, parts, whole, left = spill.read((0, 1)), [], False, 0
        while not whole:
            data, whole = reader.more(left)
            left = min(len(data), 1000)            # asked for again
            parts.append(data if whole else data[:len(data) - left])
        assert np.concatenate(parts).tolist() == [4] * 300_000 + [5] * 400_000
        assert spill.read((7, 7)).more(0)[0].tolist() == [] and spill.size == 1_400_000


def test_a_full_disk_is_said() -> None:
    class Full:
        seek = staticmethod(lambda place: None)
        close = staticmethod(lambda: None)

        def write(self, data: memoryview) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")
    with Spill() as spill:
        spill._file.close()
        spill._file = Full()
        with pytest.raises(OSError, match="No space left on device: 3 bytes were to be written in the folder for "):
            spill.append((0, 0), np.zeros(3, np.uint8))


IDS, STARTS = np.array([0, 1, 2], np.int32), np.array([1, 0, 0], np.uint8)
CUTS = np.array([0, 3], np.uintp)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: _core.NGramSegment(IDS, STARTS[:2], -1, 2, 3, 3, 1, None), "starts has 2 elements, expected 3"),
    (lambda: _core.NGramSegment(IDS, STARTS, -1, 0, 3, 3, 1, None), "order = 0; 1 to 127 words were expected"),
    (lambda: _core.NGramSegment(IDS, STARTS, -1, 2, 3, 4, 1, None),
     "most = 4 of 3 tokens; 1 to all of fewer than 2^31 were expected"),
    (lambda: _core.NGramSegment(IDS, STARTS, -1, 2, 3, 3, 0, None), "tasks = 0, expected at least 1"),
    (lambda: _core.NGramSegment(IDS, STARTS, -1, 2, 3, 3, 2, CUTS), "cuts has 2 elements, expected 3"),
    (lambda: _core.NGramSegment(IDS, STARTS, -1, 2, 3, 3, 1, CUTS[::-1].copy()),
     "cuts = [3, 0] do not rise from 0 to 3"),
    (lambda: _core.NGramSegment(IDS, STARTS, -1, 2, 3, 3, 1, None).sort(1), "task = 1, expected less than 1"),
    (lambda: _core.NGramSegment(IDS, STARTS, -1, 2, 3, 3, 1, None).write(0, np.empty(9, np.uint8)),
     f"out has 9 bytes, expected at least {_core.RUN_RECORD}"),
    (lambda: _core.NGramSegment(IDS, STARTS, -1, 2, 3, 3, 1, None).write(0, np.empty(9999, np.uint8)),
     "write was called before sort"),
    (lambda: _core.MergedRuns(0), "k = 0, expected at least 1"),
    (lambda: _core.MergedRuns(2).give(2, np.empty(0, np.uint8), True), "number = 2, expected less than 2"),
    (lambda: _core.MergedRuns(2).left(2), "number = 2, expected less than 2"),
    (lambda: _core.MergedRuns(2).step(np.empty(9999, np.uint8)), "step was called before all runs were given"),
    (lambda: _core.NGramTrie(np.zeros((1, 3), np.uintp), CUTS, 1, 1, False, 3),
     "sizes has shape (1, 3), expected (1, 2)"),
    (lambda: _core.NGramTrie(np.zeros((1, 2), np.uintp), CUTS, 1, 1, False, 3),
     "order = 1; at least 2 words were expected"),
    (lambda: _core.NGramTrie(np.zeros((1, 3), np.uintp), CUTS, 2, 1, False, 3).again(),
     "again was called out of turn; the order of the steps is in the docstring of the class"),
    (lambda: _core.NGramTrie(np.zeros((1, 3), np.uintp), CUTS, 2, 1, False, 3).grow(1, np.empty(0, np.uint8), True),
     "task = 1, expected less than 1"),
])
def test_what_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


def test_ids_outside_the_vocabulary_are_refused() -> None:
    with pytest.raises(IndexError):
        _core.NGramSegment(IDS, STARTS, -1, 2, 2, 3, 1, None)
    with pytest.raises(IndexError):
        KneserNey(2, 3).fit([np.tile(IDS, 200)], budget_bytes=5000)


def test_a_trained_model_says_what_was_left_out(tmp_path) -> None:
    """A generator of texts that take more memory than counting may."""
    rng = np.random.default_rng(4)
    words = [" ".join(f"w{n}" for n in rng.zipf(1.4, 60) % 200) for _ in range(80)]
    policy = Policy(counting_bytes=100_000.0)
    lm = fastlm.train((text for text in words), "word", model="kneser-ney", policy=policy, documents="line")
    assert "that occur once were left out, to stay within 0.0001 GB" in lm.model.note
