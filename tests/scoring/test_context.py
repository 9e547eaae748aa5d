"""The figures of a text after a context: log p(context text) - log p(context)."""

from typing import Any

import numpy as np
import pytest

import fastlm
from fastlm.scoring.context import last_document

TEXT = "where are you going\nwhere are they\nhow are you\n"


def test_the_next_word_by_the_state() -> None:
    lm = fastlm.train([TEXT * 20], model="kneser-ney", min_count=1, documents="line")
    state = lm.start()
    state.read("where are")
    log_p = state.log_probabilities()[lm.vocabulary.id("you")]
    state.step("you")
    end = state.log_probabilities()[lm.vocabulary.end_of_line]
    score = lm.score("you", context="where are")
    assert score.per_token == pytest.approx([-log_p, -end]) and (score.tokens, score.words, score.bytes) == (2, 2, 3)


@pytest.mark.parametrize("unit", ["word", "char", "byte", "piece"])
@pytest.mark.parametrize("model", ["kneser-ney", "lstm"])
@pytest.mark.parametrize(("context", "text"), [
    ("where are", " you going\n"), ("where are ", "you zebra"), ("whe", "re are you"), ("zebras", " are\nyou"),
    ("where are you going\nhow", " are"), ("\u00e9", "\u6f22 you"), ("where are they\n", "how"), ("w", "here")])
def test_it_is_the_difference_of_two_texts(unit: Any, model: Any, context: str, text: str) -> None:
    options: dict[str, Any] = {} if model == "kneser-ney" else {"epochs": 1, "seed": 3}
    lm = fastlm.train([TEXT * 30], unit, model=model, documents="file", **options)
    if unit == "word" and context in ("whe", "w"):
        pytest.skip("words are apart")
    gap = "" if unit != "word" or context[-1].isspace() or text[0].isspace() else " "
    joined, before = lm.score(context + gap + text), lm.score(context)
    after = lm.score(text, context=context)
    assert after.bytes == joined.bytes - before.bytes - len(gap) == len(text.encode())
    # Of words the context by itself has an end of line, and of all a white space at its end.
    ids = lm.vocabulary.read(context)
    nats = before.nats if len(ids) == before.tokens else before.per_token[:len(ids)].sum()
    assert after.nats == pytest.approx(joined.nats - nats, rel=1e-5, abs=1e-4)
    assert after.unknown == joined.unknown - before.unknown
    assert after.spelling_nats == pytest.approx(joined.spelling_nats - before.spelling_nats, abs=0.1)


@pytest.mark.parametrize("unit", ["word", "char", "byte", "piece"])
@pytest.mark.parametrize("documents", ["file", "line"])
def test_a_text_that_goes_on(unit: Any, documents: Any) -> None:
    """Of "where are you", the tokens without what ends a line or a document; with and without a context."""
    lm = fastlm.train([TEXT * 30], unit, documents=documents, model="kneser-ney")
    for context, text in (("", "where are you"), ("where", " are you"), ("how", " are zebras")):
        whole, joined = lm.score(context + text), lm.vocabulary.read(context + text)
        before = lm.vocabulary.read(context)
        score = lm.score(text, context=context, end=False)
        assert score.tokens == len(joined) - len(before) and score.bytes == len(text)
        assert score.per_token == pytest.approx(whole.per_token[len(before): len(joined)], rel=1e-5, abs=1e-6)
        assert score.unknown == whole.unknown
    assert lm.score("where are", end=False).nats + lm.score(" you", context="where are", end=False).nats == \
        pytest.approx(lm.score("where are you", end=False).nats)


def test_pieces_that_span_the_seam() -> None:
    lm = fastlm.train([TEXT * 50], "piece", model="kneser-ney")
    assert len(lm.vocabulary.read("where")) < len(lm.vocabulary.read("wh")) + len(lm.vocabulary.read("ere"))
    after = lm.score("ere are you", context="wh").nats
    assert after == pytest.approx(lm.score("where are you").nats - lm.score("wh").per_token[:len(
        lm.vocabulary.read("wh"))].sum(), abs=1e-6)


def test_only_the_last_document_of_a_context_counts() -> None:
    assert last_document("a\nb", "line") == "b" and last_document("a\n", "line") == ""
    assert last_document("a\nb\n \nc\nd", "blank-line") == "c\nd" and last_document("a\nb", "file") == "a\nb"
    lm = fastlm.train([TEXT * 20], model="kneser-ney", documents="line")
    assert lm.score("are", context="zebra\nhow") == lm.score("are", context="how") != lm.score("are")
    assert lm.score("how are", context="zebra\n").per_token == pytest.approx(lm.score("how are").per_token)


def test_it_goes_on_over_the_ends_of_documents() -> None:
    lm = fastlm.train([TEXT * 20], model="kneser-ney", documents="line")
    score = lm.score("you\nhow are you\n", context="where are")
    assert score.nats == pytest.approx(lm.score("you", context="where are").nats + lm.score("how are you").nats)


def test_bytes_and_adapting() -> None:
    lm = fastlm.train([TEXT * 20], "byte", model="kneser-ney")
    assert lm.score(b" you\xff", context=b"where are").nats > lm.score(b" you", context="where are").nats
    adapted = lm.score("zebra", context="zebra zebra zebra ", adapt=True).nats
    assert adapted < lm.score("zebra", context="zebra zebra zebra ").nats


def test_no_threads_change_it() -> None:
    lm = fastlm.train([TEXT * 20], "char", model="kneser-ney")
    long = TEXT * 40
    one, two = (lm.score(long, threads, context="how").per_token for threads in (1, 2))
    assert np.array_equal(one, two)
