"""The likeliest next words: by sums over the whole tree of spellings, and by hand."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import fastlm
from fastlm.generation.words import _head

TEXT = "I love you\nI love yams\nI love the sun, and you\nI love yodel's\n"


def trained(unit: Any, **options: Any) -> fastlm.LanguageModel:
    return fastlm.train([TEXT * 20], unit, **({"model": "kneser-ney", "min_count": 1, "documents": "line"} | options))


@pytest.mark.parametrize("unit", ["word", "char", "byte", "piece"])
def test_a_word_begun_is_completed(unit: Any) -> None:
    lm = trained(unit)
    found = lm.next_words("I love", prefix="y", k=3)
    assert {word for word, _ in found} == {"you", "yams", "yodel's"}
    assert found == sorted(found, key=lambda word: -word[1]) and sum(p for _, p in found) == pytest.approx(1, abs=0.2)
    assert dict(lm.next_words("I love ", prefix="y", k=3)) == pytest.approx(dict(found))
    assert lm.next_words("I", k=1)[0][0] == "love" and lm.next_words("I lo", k=1) != []
    assert {word for word, _ in lm.next_words("", "I", 1)} == {"I"}
    assert lm.next_words("I love", prefix="yodel's", k=2)[0][0] == "yodel's"


def exact(lm: fastlm.LanguageModel, state: Any, begun: bytes, p: float, out: dict[bytes, float], longest: int) -> None:
    """Add to out the probabilities of all words of at most so many bytes that begin so, path by path."""
    names = [b"" if id in (lm.vocabulary.unknown, lm.vocabulary.end_of_document)
             else (token or "").encode("utf-8", "surrogateescape") for id, token in enumerate(lm.vocabulary.tokens)]
    row = np.exp(state.log_probabilities().astype(float))
    for id, name in enumerate(names):
        head = _head(name)
        if len(head) < len(name) or not name:
            if begun + head:
                out[begun + head] = out.get(begun + head, 0.0) + p * row[id]
        elif len(begun + head) < longest and p * row[id] > 1e-4:
            after = state.copy()
            after.advance(id)
            exact(lm, after, begun + head, p * row[id], out, longest)


@pytest.mark.parametrize("unit", ["char", "byte", "piece"])
@pytest.mark.parametrize("options", [{}, {"model": "lstm", "epochs": 2}])
def test_probabilities_are_those_of_the_tree(unit: Any, options: dict[str, Any]) -> None:
    names = "anna likes\nann\nbob's car\nbo, too\ncarl\n" * 30
    lm = fastlm.train([names], unit, **({"model": "kneser-ney", "documents": "line"} | options))
    out = dict[bytes, float]()
    exact(lm, lm.start(), b"", 1.0, out, 9)
    best = sorted(out.items(), key=lambda item: -item[1])
    found = dict(lm.next_words("", k=3))
    for word, p in found.items():
        assert p == pytest.approx(out[word.encode()], rel=0.05, abs=2e-3)
    assert best[0][0].decode() in found
    assert all(a >= b for a, b in pairwise(found.values()))


def test_words_by_the_vocabulary() -> None:
    lm = trained("word")
    state = lm.start()
    state.read("I love")
    p = np.exp(state.log_probabilities().astype(float))
    fit = [id for id, token in enumerate(lm.vocabulary.tokens) if token.startswith("y")]
    found = lm.next_words("I love", "y", 2)
    assert found[0] == (lm.vocabulary.tokens[max(fit, key=p.__getitem__)], pytest.approx(p[fit].max() / p[fit].sum()))
    assert lm.next_words("I love", "zzz") == []
    assert all(word not in ("\n", "<unk>") for word, _ in lm.next_words("I love", k=99))


@pytest.mark.parametrize("unit", ["word", "char", "byte", "piece"])
def test_contexts_that_grow_are_read_once(unit: Any) -> None:
    lm, fresh = trained(unit), trained(unit)
    typed = "I love the sun, and you"
    for n in range(len(typed) + 1):
        context = typed[:n]
        anew = fastlm.LanguageModel(fresh.vocabulary, fresh.model)
        assert lm.next_words(context, k=2) == anew.next_words(context, k=2)
    assert lm.next_words("I", k=1) == fresh.next_words("I", k=1)            # and when it is deleted again


def test_copies_have_read_nothing() -> None:
    lm = trained("char")
    before, size = lm.next_words("I love", k=3), len(pickle.dumps(trained("char")))
    for twin in (pickle.loads(pickle.dumps(lm)), copy.deepcopy(lm), copy.copy(lm)):
        assert twin.next_words("I love", k=3) == before
    assert abs(len(pickle.dumps(lm)) - size) < 100


def test_threads_do_not_disturb_one_another() -> None:
    lm = trained("char")
    contexts = ["I love", "I", "I love the", "I love the sun, and"] * 8
    alone = [trained("char").next_words(context, k=2) for context in contexts[:4]] * 8
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda context: lm.next_words(context, k=2), contexts)) == alone


def test_next_tokens_with_a_prefix() -> None:
    lm = trained("word")
    every = dict(lm.next_tokens("I love", 99))
    best = sorted(((w, p) for w, p in every.items() if w.startswith("y")), key=lambda item: -item[1])[:2]
    found = lm.next_tokens("I love", 2, prefix="y")
    assert [word for word, _ in found] == [word for word, _ in best] and dict(found) == pytest.approx(dict(best))
    assert lm.next_tokens("I love", 2, prefix="q") == []


@pytest.mark.parametrize("unit", ["word", "char", "byte", "piece"])
def test_continuations(unit: Any) -> None:
    lm = trained(unit)
    found = lm.complete("I lo", n=2, words=2)
    assert len(found) == 2 and found[0][0].startswith("ve ") and found[0][1] >= found[1][1]
    assert {text for text, _ in lm.complete("I love", n=4, words=2)} >= {" you", " yams"}
    ((word, p),) = lm.complete("I ", n=1, words=1)
    assert word == "love" and p == pytest.approx(1, abs=0.1)


def test_messages() -> None:
    lm = trained("char")
    with pytest.raises(ValueError, match="k = 0; at least 1 was expected$"):
        lm.next_words("I", k=0)
    with pytest.raises(ValueError, match="n = 1, words = 0; at least 1 each was expected$"):
        lm.complete("I", n=1, words=0)


def test_the_beginnings_of_words_by_hand() -> None:
    assert _head(b"don't,") == b"don't" and _head(b" the") == b"" and _head(b"a-b_c1") == b"a-b_c1"
    assert _head("e\u0301x!".encode()) == "e\u0301x".encode() and _head(b"\xc3") == b"\xc3" and _head(b"") == b""
