"""The advice where words are asked for and the text has no spaces between them."""

import random
import uuid

import pytest

from fastlm.text.spaces import advice_on_spaces
from fastlm.text.vocabulary import Vocabulary
from tests.text.languages import LANGUAGES, UNSPACED, text_of


@pytest.mark.parametrize("language", LANGUAGES)
def test_of_every_language(language: str) -> None:
    advice = advice_on_spaces(Vocabulary.build([text_of(language)]))
    if language in UNSPACED:
        assert advice.startswith("the text has few spaces between words: ")
        assert advice.endswith(' % of its words are seen once; unit="piece" or "char" suits it')
    else:
        assert advice == ""


def test_long_words_that_are_no_sentences() -> None:
    draw = random.Random(0)
    logs = [f"GET http://example.com/{draw.getrandbits(256):064x}?q={uuid.UUID(int=draw.getrandbits(128))} 200"
            for _ in range(200)]
    hexadecimal = [f"{draw.getrandbits(512):0128x}" for _ in range(200)]
    compounds = ["Donaudampfschifffahrtsgesellschaftskapitän über Rindfleischetikettierungsüberwachungsaufgaben"] * 9
    for lines in (logs, hexadecimal, compounds):
        assert advice_on_spaces(Vocabulary.build(["\n".join(lines)])) == ""


def test_words_that_were_cut_apart_and_quotations() -> None:
    cut = "我 昨天 在 图书馆 里 看 了 一 本 很 有意思 的 书\n"
    assert advice_on_spaces(Vocabulary.build([cut * 20])) == ""
    quoted = "The sentence 我昨天在图书馆里看了一本很有意思的书 means that somebody read a book there.\n"
    assert advice_on_spaces(Vocabulary.build([quoted + "Nothing else in this text is Chinese at all.\n" * 9])) == ""


def test_by_hand() -> None:
    """A tenth of the characters stands in words of ten characters and more."""
    def advice(sentence: str, letters: int) -> str:
        return advice_on_spaces(Vocabulary([sentence, "a", "b"], counts=[1, letters, 0]))
    assert advice("我" * 10, 90) == ('the text has few spaces between words: 50 % of its words are seen once; '
                                     'unit="piece" or "char" suits it')
    assert advice("我" * 10, 91) == "" and advice("我" * 9, 1) == ""
    assert advice("我" * 5 + "abcde", 9) and not advice("我" * 5 + "abcdef", 9)
