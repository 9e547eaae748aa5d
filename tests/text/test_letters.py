"""Which characters are parts of words, in every script."""

import unicodedata

import pytest

from fastlm.text.letters import is_mark, is_word_part, letters_of, piece_letters
from fastlm.text.vocabulary import Vocabulary

# One word of each script, whose marks must not end it.
WORDS = {
    "Arabic, with vowels": "مُدَرِّسَةٌ",
    "Hebrew, with points": "שָׁלוֹם",
    "Devanagari": "हिन्दी",
    "Bengali": "বাংলা",
    "Tamil": "தமிழ்",
    "Persian, with a joiner": "می\u200cخواهم",
    "French, decomposed": unicodedata.normalize("NFD", "déjà"),
    "Russian": "подъём",
    "English": "don't",
}


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
def test_a_mark_does_not_end_a_word(word: str) -> None:
    assert all(map(is_word_part, word))
    assert all(letters_of(sorted(set(word)), "char"))
    assert all(number > 0 for number in piece_letters(list(word.replace("'", "")), None))


def test_what_ends_a_word() -> None:
    for character in " \n-.,0_\u0966\u060c\u0964":   # an Indian digit, the Arabic comma, the full stop of Hindi
        assert not is_word_part(character) and not is_mark(character)
    for character in "漢かไทย\u0e35\u3099":         # scripts without spaces: their marks end words as their letters do
        assert not is_word_part(character)
    assert not is_mark("a") and not is_mark("^") and is_mark("\u0301")


def test_letters_of_a_vocabulary_count_marks() -> None:
    vocabulary = Vocabulary([" ", "\u0939", "\u093f", "\u200d", "A", "a"], unit="char")
    assert vocabulary.letters() == [0, 1, 2, 3, 4, 4]
