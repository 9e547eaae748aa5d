"""Surprisal, rank, entropy and place of every token, and of words, by the definitions."""

from typing import Any

import numpy as np
import pytest

import fastlm
from fastlm.models import KneserNey

TEXT = "the cat sat on the mat. the dog sat on the log.\n"


def trained(unit: Any, **options: Any) -> fastlm.LanguageModel:
    return fastlm.train([TEXT * 30], unit, **({"model": "kneser-ney"} | options))


@pytest.mark.parametrize("options", [{}, {"model": "lstm", "epochs": 1}, {"model": "mixture", "epochs": 1}])
@pytest.mark.parametrize("unit", ["word", "char", "byte", "piece"])
def test_every_figure_is_the_definition(unit: Any, options: dict[str, Any]) -> None:
    lm = trained(unit, **options)
    text = "the dog sat on a zebra.\nthe m\u00e9"
    tokens, score = lm.token_scores(text), lm.score(text)
    assert len(tokens) == score.tokens
    ids = lm.vocabulary.read(text)
    log_p = lm.model.log_probabilities([lm.boundary, *ids])
    np.testing.assert_allclose([token.nats for token in tokens], score.per_token, rtol=1e-4, atol=1e-5)
    for n, (token, id) in enumerate(zip(tokens, ids.tolist(), strict=False)):
        row = log_p[n].astype(float)
        assert token.token == lm.vocabulary.tokens[id]
        assert token.rank == pytest.approx((row >= row[id]).sum(), abs=2)      # but for rounding
        assert token.entropy == pytest.approx(-(np.exp(row) * row).sum(), rel=1e-3)
        assert token.bits == token.nats / np.log(2) and token.probability == pytest.approx(np.exp(-token.nats))
        assert token.unknown == (id == lm.vocabulary.unknown) == (token.spelling_nats > 0)


@pytest.mark.parametrize("unit", ["word", "char", "byte", "piece"])
@pytest.mark.parametrize("documents", ["file", "line", "blank-line"])
@pytest.mark.parametrize("text", ["the  cat\tsat", " the cat.\n\nthe dog\n", "m\u00e9 \u6f22\u6f22 x", "\n",
                                  "a\n \nb\n"])
def test_places_are_of_the_text(unit: Any, documents: Any, text: str) -> None:
    lm = trained(unit, documents=documents)
    if documents == "blank-line" and not text.strip():
        with pytest.raises(ValueError, match="there is no document in the text"):
            lm.token_scores(text)
        return
    tokens = lm.token_scores(text)
    assert tokens.text == text and len(tokens) == lm.score(text).tokens
    at = 0
    for token in tokens:
        assert text[token.start:token.end] == token.text and at <= token.start <= token.end
        assert not text[at:token.start].strip()            # nothing but white space is no token
        at = token.end
        if token.text.strip() and not token.unknown and unit in ("word", "char"):
            assert token.text == token.token
    assert not text[at:].strip()


def test_the_order_that_matched_by_hand() -> None:
    """Of "a b", twice, and "c", order 3: "b" has been seen after "a", and "c" has not."""
    lm = fastlm.train(["a b\na b\nc\n"], model=lambda size: KneserNey(size, order=3), min_count=1, documents="line")
    assert [token.order for token in lm.token_scores("a b")] == [2, 3, 3]
    assert [token.order for token in lm.token_scores("a c b")] == [2, 1, 1, 2]
    assert [token.order for token in trained("char", model="lstm", epochs=1).token_scores("the")] == [0, 0, 0]


def test_the_order_is_that_of_the_longest_ngram_in_the_tables() -> None:
    lm = trained("char")
    counted = (TEXT * 30)
    for n, token in enumerate(lm.token_scores("the cat sat on a log.")):
        before = ("\n" + "the cat sat on a log.")[:n + 2]
        longest = max(k for k in range(1, min(lm.model.order, len(before)) + 1) if before[-k:] in "\n" + counted)
        assert token.order == longest or (token.order >= 1 and lm.model.order < 2)


def test_words_sum_their_tokens() -> None:
    text = "the dog  sat on the mat."
    for unit in ("char", "byte", "piece"):
        tokens = trained(unit).token_scores(text)
        words = tokens.words("before")
        assert [word.text for word in words] == text.split() and [text[w.start:w.end] for w in words] == text.split()
        assert sum(word.nats for word in words) == pytest.approx(
            sum(token.nats for token in tokens if token.start < len(text)))
    tokens = trained("word").token_scores(text)
    assert [word.nats for word in tokens.words()] == pytest.approx([token.nats for token in tokens][:-1])


def test_the_surprisal_of_a_word_says_that_it_ends() -> None:
    """After "the " of characters: p(d o g) and then any blank or end; the words that may follow sum to one."""
    lm = fastlm.train(["the do the dog the dogs \n" * 60], "char", model="kneser-ney", documents="line")
    p = {word: np.exp(-lm.token_scores(f"the {word} ").words()[1].nats) for word in ("do", "dog", "dogs", "the")}
    log_p = lm.model.log_probabilities([lm.boundary, *lm.vocabulary.read("the dog")]).astype(float)
    ends = [id for id, token in enumerate(lm.vocabulary.tokens) if token and token.isspace()]
    ids = lm.vocabulary.read("the dog")
    by_hand = np.exp(log_p[np.arange(4, 7), ids[4:7]].sum()) * np.exp(log_p[7, ends]).sum()
    assert p["dog"] == pytest.approx(by_hand, rel=1e-4)
    assert 0.9 < sum(p.values()) <= 1.0001


def test_pieces_and_characters_mean_the_same_by_the_end_of_a_word() -> None:
    """A blank that a piece begins with belongs to the word before: " cat" costs nothing for its blank."""
    lm = fastlm.train(["the cat sat on the mat. the dog sat on the log.\n" * 60], "piece", model="kneser-ney")
    tokens = lm.token_scores("the cat sat")
    first = next(token for token in tokens if token.text.startswith(" c"))
    assert first.text == " cat"
    blank = tokens.blank[1]
    assert tokens.words()[1].nats == pytest.approx(first.nats - blank + tokens.blank[2], rel=1e-6)
    opens = [id for id, token in enumerate(lm.vocabulary.tokens) if (token and token[0].isspace())
             or id == lm.vocabulary.end_of_document]
    log_p = lm.model.log_probabilities([lm.boundary, *lm.vocabulary.read("the")])[-1].astype(float)
    assert blank == pytest.approx(-np.log(np.exp(log_p[opens]).sum()), rel=1e-4, abs=1e-6)


def test_tables_and_messages() -> None:
    lm = trained("word")
    tokens = lm.token_scores("the zebra sat")
    assert list(tokens.to_dict()["text"]) == ["the", "zebra", "sat", ""] and len(tokens[1:3]) == 2
    assert str(tokens.words()).splitlines()[1].endswith("bits  'zebra'") and tokens.words()[1].unknown
    assert tokens[1].spelling_nats == pytest.approx(lm.spelling.nats(["zebra"]))
    with pytest.raises(ValueError, match="blanks = 'both'; one of after, before was expected$"):
        tokens.words("both")
    with pytest.raises(ValueError, match="the text is empty"):
        lm.token_scores("")
    frame = pytest.importorskip("pandas") and tokens.words().to_pandas()
    assert frame["text"].tolist() == ["the", "zebra", "sat"] and "bits" in frame


def test_adapting_and_normal_forms() -> None:
    lm = trained("char")
    assert lm.token_scores("e\u0301 the").text == "\u00e9 the"
    again = "zebra zebra zebra"
    adapted = lm.token_scores(again, adapt=True)
    assert sum(token.nats for token in adapted) < sum(token.nats for token in lm.token_scores(again))
    assert adapted[3].order >= 1
