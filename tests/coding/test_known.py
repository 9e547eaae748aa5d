"""Known tokens are never spelt after <unk>: what their spellings would have had goes to all others."""

from itertools import product
from typing import Any

import numpy as np
import pytest

import fastlm
from fastlm.coding.compress import HEADER_BYTES, compress, decompress
from fastlm.coding.known import KnownSpellings, Unknown
from fastlm.coding.spelling import Spelling
from fastlm.coding.symbols import END
from fastlm.models import KneserNey
from fastlm.text.vocabulary import Vocabulary

SPELT = {"a": 30, "ab": 20, "ba": 9, "b": 8, "aab": 7, "abba": 2}


def test_all_symbols_alike_by_hand() -> None:
    """The empty spelling has 1/257, "b" 1/257^2, "ab" 1/257^3; the second and the third are known."""
    spelling = Spelling.learn({}).beside(Vocabulary(["b", "<unk>", "ab"]))
    share = 1 / 257 + 1 / 257 ** 2 + 1 / 257 ** 3
    assert spelling.known.share == pytest.approx(share, rel=1e-6)
    assert spelling.nats(["c"]) == pytest.approx(2 * np.log(257) + np.log1p(-share), rel=1e-6)
    assert spelling.nats(["<unk>", "\n"]) == pytest.approx(8 * np.log(257) + 2 * np.log1p(-share), rel=1e-6)
    assert spelling.nats([]) == 0


def test_unknown_strings_sum_to_one() -> None:
    """All strings of one to four of two bytes but for those known, and what is left to longer ones and other bytes."""
    spelling = Spelling.learn(SPELT, order=3).beside(Vocabulary(["a", "<unk>", "ba", "z"]))
    strings = [bytes(word) for n in range(1, 5) for word in product(b"ab", repeat=n)]
    p = sum(np.exp(-spelling.nats([word])) for word in strings if word not in (b"a", b"ba"))
    known = spelling.known

    def left(prefix: list[int], so_far: float) -> float:
        """The probability, known strings left out, of all that begins with a prefix and is not in the sum."""
        row = np.exp(spelling.model.log_probabilities([END, *prefix])[-1].astype(float))
        other = so_far * (1 - row[[97, 98, END]].sum())
        if len(prefix) == 4:
            return so_far * (1 - row[END])
        return other + sum(left([*prefix, c], so_far * row[c]) for c in (97, 98))
    z = np.exp(spelling.model.log_probabilities([END, ord("z")])[[0, 1], [ord("z"), END]].sum())
    assert p + (left([], 1.0) - z) / (1 - known.share) == pytest.approx(1, abs=1e-5)


def test_rows_of_a_coder_are_the_definition() -> None:
    """Row by row beside sums over the known tokens that begin so; and their product is the probability of a string."""
    tokens = [b"a", b"ba", b"bab", b"babb", b"c", b"", b"\xc3\xa9"]
    model = Spelling.learn(SPELT, order=3).model
    known = KnownSpellings.of(tokens, model)
    p_of = {token: np.exp(model.log_probabilities([END, *token])[np.arange(len(token) + 1), [*token, END]].sum())
            for token in tokens}
    assert known.share == pytest.approx(sum(p_of.values()), rel=1e-5)
    for string in (b"babab", b"b", b"bb", b"zz", b"\xc3\xa8"):
        unknown, whole, so_far = Unknown(known), 1.0, 1.0
        for n in range(len(string) + 1):
            p = np.exp(model.log_probabilities([END, *string[:n]])[-1].astype(float))
            beside = np.array([sum(p_of[token] for token in tokens if token.startswith(string[:n] + bytes([c])))
                               for c in range(256)] + [p_of.get(string[:n], 0.0)])
            row = unknown.row(p)
            np.testing.assert_allclose(row, (so_far * p - beside) / (so_far * p - beside).sum(), rtol=1e-3, atol=5e-6)
            symbol = [*string, END][n]
            whole *= row[symbol]
            so_far *= p[symbol]
            unknown.advance(symbol, float(p[symbol]))
        alone = np.exp(model.log_probabilities([END, *string])[np.arange(len(string) + 1), [*string, END]].sum())
        assert whole == pytest.approx(alone / (1 - known.share), rel=1e-4)


def test_a_known_token_has_no_probability_left() -> None:
    known = KnownSpellings.of([b"ab"], KneserNey(END + 1, order=2, boundary=END))
    uniform, unknown = np.full(END + 1, 1 / (END + 1)), Unknown(known)
    for symbol in b"ab":
        unknown.advance(symbol, float(uniform[symbol]))
    assert unknown.row(uniform)[END] < 1e-6 and unknown.row(uniform).sum() == pytest.approx(1)


def test_all_that_a_model_can_spell_may_be_known() -> None:
    """No row is without a probability, whatever rounding leaves."""
    known = KnownSpellings(np.array([END], np.int32), np.array([0]), np.array([1.0]))
    row = Unknown(known).row(np.eye(1, END + 1, END)[0])
    assert known.share < 1 and row[END] == 1


@pytest.mark.parametrize("unit", ["word", "char"])
def test_the_coder_takes_what_the_score_says(unit: Any) -> None:
    words = [f"{'un' * (n % 3)}{chr(97 + n % 26)}{chr(97 + n // 26)}ing" for n in range(90)]
    lm = fastlm.train([" ".join(f"the cat {word} sat\n" for word in words)], unit, model="kneser-ney", min_count=2)
    text = "the ununzzing cat unacing sat \u6f22ing\n" * 20 if unit == "word" else "the c\u6f22t \u0416\n" * 30
    score, data = lm.score(text), compress(lm, text)
    assert decompress(lm, data) == text.encode()
    assert lm.spelling.known.share > 0.005 and score.unknown >= 40
    assert 8 * (len(data) - HEADER_BYTES) == pytest.approx(score.total_nats / np.log(2), rel=2e-3, abs=16)


def test_what_is_shared_is_computed_once() -> None:
    lm = fastlm.train(["the cat sat\n" * 20], model="kneser-ney")
    assert lm.adapting().spelling is lm.spelling
