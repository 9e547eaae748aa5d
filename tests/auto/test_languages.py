"""Every language trains, is scored and is generated in every unit."""

import math
import warnings

import pytest

import fastlm
from fastlm.text.tokens import UNITS
from tests.text.languages import LANGUAGES, UNSPACED, text_of


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_in_every_unit(language: str, unit: str) -> None:
    text, other = text_of(language), text_of(language, 130)[len(text_of(language)):]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if unit == "word" and language in UNSPACED else "error")
        lm = fastlm.train([text], unit, epochs=1, threads=1)
    figures = lm.evaluate([other])
    assert 0 < figures.bits_per_byte < 8 and math.isfinite(figures.perplexity)
    assert isinstance("".join(lm.generate(text[:9], 20, seed=1)), str)
    if unit != "word":
        assert lm.vocabulary.decode(lm.vocabulary.encode(text)) == text


def test_words_of_a_text_without_spaces_are_warned_of_once() -> None:
    with pytest.warns(UserWarning, match="^the text has few spaces between words") as caught:
        fastlm.train([text_of("chinese")], "word", model="kneser-ney", threads=1)
    assert len(caught) == 1 and caught[0].filename == __file__


def test_where_progress_is_shown_the_sentence_stands_there(tmp_path, capsys) -> None:
    (tmp_path / "thai.txt").write_text(text_of("thai"), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fastlm.train(tmp_path / "thai.txt", "word", model="kneser-ney", threads=1, progress=True)
    assert "the text has few spaces between words" in capsys.readouterr().err
