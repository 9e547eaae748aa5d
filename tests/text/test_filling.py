"""Many short texts are scanned together, and nothing but the time tells."""

from typing import Any

import numpy as np
import pytest

import fastlm
from fastlm.coding.meter import TextMeter
from fastlm.text.blocks import read_blocks
from fastlm.text.corpus import Corpus
from fastlm.text.sources.containers import texts
from fastlm.text.sources.documents import read_parts
from fastlm.text.vocabulary import Vocabulary

SHORT = ["the cat", "a b\n", " \t", "x", "\n", "", "two\nlines", "caf\u00e9 zebra", "\ufeffthe", "the\r\n",
         "y" * 5000, "b"] * 3


def read_all(listed: list[str], lm: fastlm.LanguageModel, documents: str) -> tuple[np.ndarray, ...]:
    """Return the ids; and of documents that are not empty how many tokens and bytes they have, and their figures."""
    (block,) = read_blocks(texts(listed), lm.vocabulary, documents, TextMeter(lm.vocabulary, lm.spelling))
    some = block.bytes > 0
    return block.ids, np.diff(block.offsets)[some], block.bytes[some], block.figures[:, some]


@pytest.mark.parametrize("documents", ["file", "line"])
@pytest.mark.parametrize("unit", ["word", "char"])
def test_short_texts_together_are_those_one_by_one(documents: Any, unit: Any) -> None:
    lm = fastlm.train(["the cat a b x\n" * 30], unit, model="kneser-ney", documents=documents)
    alone = [read_all([text], lm, documents) for text in SHORT if text]
    for n, found in enumerate(read_all(SHORT, lm, documents)):
        np.testing.assert_allclose(found, np.concatenate([part[n] for part in alone], axis=-1), rtol=1e-9, atol=1e-12)


def test_they_come_in_one_part() -> None:
    (part,) = read_parts(texts(["a b", "c\n", "d"]), "file", "word")
    assert (part.text, part.names, part.sizes) == (b"a bc\nd", ("documents[0]", "documents[1]", "documents[2]"),
                                                   (3, 2, 1))
    assert len(list(read_parts(texts(["a b", "c\nd", "e"]), "file", "word"))) == 3
    assert len(list(read_parts(texts(["a b"] * 3), "file", "char"))) == 3
    assert len(list(read_parts(texts(["a" * 4000] * 40), "file", "word"))) == 3


def test_the_text_of_a_token_that_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match=r"^documents\[2\]: token 1, 'zebra', is not in the vocabulary, nor is <unk>$"):
        Corpus.read(["a b", "b", "a zebra", "b"], Vocabulary(["a", "b", "\n"]))


def test_a_vocabulary_without_ends_of_lines() -> None:
    vocabulary = Vocabulary(["a", "b"])
    corpus = Corpus.read(["a b", "b", "a\n"], vocabulary)
    assert corpus.ids.tolist() == [0, 1, 1, 0] and corpus.offsets.tolist() == [0, 2, 3, 4]
