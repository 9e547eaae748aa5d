"""How unknown tokens are spelt: every string has a probability, and all together sum to one."""

import io
from itertools import product
from typing import Any

import numpy as np
import pytest

import fastlm
from fastlm.coding.meter import TextMeter
from fastlm.coding.spelling import Spelling, escape_of, evenly, thinned
from fastlm.coding.symbols import nats_of_symbols, symbols_at, symbols_of
from fastlm.models import KneserNey
from fastlm.text.blocks import read_blocks
from fastlm.text.vocabulary import Vocabulary


def test_strings_of_a_tiny_alphabet_sum_to_one() -> None:
    """All strings of one to four of two bytes, one by one; and what is left to longer ones and to other bytes."""
    spelling = Spelling.learn({"a": 30, "ab": 20, "ba": 9, "b": 8, "aab": 7, "abba": 2}, order=3)
    p = sum(np.exp(-spelling.nats([bytes(word)])) for n in range(1, 5) for word in product(b"ab", repeat=n))

    def left(prefix: list[int]) -> float:
        """The probability of all that begins with a prefix and is not in the sum."""
        row = np.exp(spelling.model.log_probabilities([256, *prefix])[-1].astype(float))
        so_far = float(np.exp(-nats_of_symbols(spelling.model, np.array(prefix, np.int32)).sum())) if prefix else 1.0
        other = so_far * (1 - row[[97, 98, 256]].sum())
        if len(prefix) == 4:
            return so_far * (1 - row[256])
        return other + left([*prefix, 97]) + left([*prefix, 98])
    assert p + left([]) / (1 - spelling.known.share) == pytest.approx(1, abs=1e-5)
    assert 0.9 < p < 1


def test_words_are_spelt_each_by_itself() -> None:
    spelling = Spelling.learn({"cat": 3, "cot": 2, "dog": 1})
    words = ["dog", "", "tac", "\u6f22", "\udcff"]
    assert spelling.nats(words) == pytest.approx(sum(spelling.nats([word]) for word in words))
    model = spelling.model
    rows = model.log_probabilities([256, *b"dog"])
    nats = -rows[np.arange(4), [*b"dog", 256]].sum() + np.log1p(-spelling.known.share)
    assert spelling.nats(["dog"]) == pytest.approx(nats, abs=1e-5)


def test_what_has_been_seen_is_likelier() -> None:
    spelling = Spelling.learn({"cat": 5, "cart": 5, "car": 1})
    assert spelling.nats(["cat"]) < spelling.nats(["car"]) < spelling.nats(["rac"]) < spelling.nats(["xyz"]) < 50


def test_nothing_to_learn_from_is_uniform() -> None:
    assert Spelling.learn({}).nats(["ab"]) == pytest.approx(3 * np.log(257) + np.log(256 / 257), rel=1e-6)


def test_a_written_unk_costs_next_to_nothing_where_all_unknown_words_are_written_so() -> None:
    text = "the <unk> sat on the mat\nthe dog <unk> on the <unk>\n" * 200
    lm = fastlm.train([text], model="kneser-ney")
    score = lm.evaluate([text])
    assert score.unknown == 0 and score.spelling_nats / (3 * 200) < 0.03
    other = lm.evaluate([text.replace("<unk>", "zebra")])
    assert other.unknown == 600 and other.spelling_nats / 600 > 5 and other.nats == score.nats


@pytest.mark.parametrize("options", [{}, {"min_count": 2}, {"max_size": 4}])
def test_train_learns_how_the_words_are_spelt_that_it_leaves_out(options: dict[str, Any]) -> None:
    words = [f"{'un' * (n % 3)}{chr(97 + n % 26)}{chr(97 + n // 26)}ing" for n in range(90)]
    text = " ".join(f"the cat {word} sat on the mat and so it went on and on and on\n" for word in words)
    lm = fastlm.train([text], model="kneser-ney", **options)
    untrained = Spelling.of_vocabulary(lm.vocabulary)
    assert "unacing" not in lm.vocabulary.tokens
    assert lm.spelling.nats(["ununzzing"]) < untrained.nats(["ununzzing"]) - 2


def test_the_chance_of_an_unknown_token_by_hand() -> None:
    """Four tokens, one of them seen once; then one that has been seen, and bytes, which are all known."""
    assert escape_of(Vocabulary(["a", "<unk>", "b"], counts=[3, 0, 1])) == 0.25
    assert escape_of(Vocabulary(["a", "<unk>", "b"], counts=[4, 0, 4])) == 0.125
    assert escape_of(Vocabulary(["a", "<unk>"], counts=[1, 0])) == 0.5
    assert escape_of(Vocabulary(["a", "<unk>", "b"], counts=[3, 2, 1])) == 0
    assert escape_of(Vocabulary(["a", "<unk>"])) == 0 == escape_of(Vocabulary.build(["ab"], "byte"))
    spelling = Spelling(Spelling.learn({"x": 1}).model, escape=0.25)
    nats, unknown = np.log([2.0, 8.0, 4.0]), np.array([False, True, False])
    by_hand = -np.log([0.75 / 2, 0.25 + 0.75 / 8, 0.75 / 4]).sum()
    assert nats.sum() + spelling.escape_nats(unknown, nats).sum() == pytest.approx(by_hand)
    assert Spelling.learn({"x": 1}).escape_nats(unknown, nats).tolist() == [0, 0, 0]
    assert spelling.escape_nats(unknown[:0], nats[:0]).tolist() == []


def test_counts_are_thinned_in_proportion() -> None:
    assert thinned([("ab", 4), ("c", 1)], 100) == [(b"ab", 4), (b"c", 1)]
    many = [(f"w{n:04}", 5) for n in range(1000)]
    few = thinned(many, 3000)
    assert 450 <= sum(count for _, count in few) <= 550 and few[0][0] <= b"w0001" and few[-1][0] >= b"w0998"
    assert evenly("abcd", 2) == ["a", "c"] and evenly("ab", 5) == ["a", "b"] and evenly("ab", 0) == []


def test_symbols_by_hand() -> None:
    assert symbols_of([]).tolist() == [] and symbols_of([b"", b"a"]).tolist() == [256, 97, 256]
    assert symbols_at(b"ab  c", np.array([], np.uintp), np.array([], np.uintp)).tolist() == []
    assert symbols_at(b"ab  c", np.array([0, 4], np.uintp), np.array([2, 5], np.uintp)).tolist() == [
        97, 98, 256, 99, 256]


def test_it_is_kept_with_the_model(tmp_path: Any) -> None:
    text = "the cat  sat on the mat\n" * 40 + "\tone two three\n"
    lm = fastlm.train([text], model="kneser-ney")
    lm.save(tmp_path / "m")
    twin = fastlm.load(tmp_path / "m")
    assert twin.digest() == lm.digest() and twin.spelling.digest == lm.spelling.digest
    assert twin.score("a zebra\tsat") == lm.score("a zebra\tsat")
    for other in (lm.adapting(), lm):
        assert other.spelling.digest == lm.spelling.digest
    bare = fastlm.LanguageModel(lm.vocabulary, lm.model)
    bare.save(tmp_path / "bare")
    assert fastlm.load(tmp_path / "bare").score("a zebra").total_nats == bare.score("a zebra").total_nats


def test_tables_that_nobody_checked() -> None:
    spelling = Spelling.learn({"cat": 3}, spacing=None)
    tensors = spelling.tensors()
    assert Spelling.from_tensors(tensors).digest == spelling.digest
    for name, wrong in [("spelling/order", np.array([0], np.int32)), ("spelling/order", np.array([], np.int32)),
                        ("spelling/escape", np.array([0.9])), ("spelling/escape", np.array([])),
                        ("spelling/unigrams", tensors["spelling/unigrams"] - 1),
                        ("spelling/grams", tensors["spelling/grams"][:-1]), ("spelling/foreign", np.zeros(1))]:
        with pytest.raises(ValueError):
            Spelling.from_tensors(tensors | {name: wrong})
    with pytest.raises(ValueError, match="257 symbols, 256 their boundary, were expected$"):
        Spelling(KneserNey(257, order=2))


@pytest.mark.parametrize("together", [1, 1 << 16])
def test_the_meter_adds_up_documents(together: int) -> None:
    lm = fastlm.train(["the cat sat\non  the mat\n" * 20], model="kneser-ney")
    texts = ["the cat", "a zebra  sat\n", "", "\n", "on\tthe\r\n mat", "q q q\n"]
    meters = [TextMeter(lm.vocabulary, lm.spelling, together) for _ in texts]
    for meter, text in zip(meters, texts, strict=True):
        assert list(read_blocks(iter([text, "x"]), lm.vocabulary, meter=meter))
    together_ = TextMeter(lm.vocabulary, lm.spelling, together)
    assert list(read_blocks(iter([part for text in texts for part in (text, "x")]), lm.vocabulary, meter=together_))
    assert together_.words == sum(meter.words for meter in meters) == 3 + 4 + 0 + 1 + 5 + 4 + 2 * 6
    assert together_.spelling_nats == pytest.approx(sum(meter.spelling_nats for meter in meters))
    assert together_.spacing_nats == pytest.approx(sum(meter.spacing_nats for meter in meters))


@pytest.mark.parametrize("unit", ["word", "char", "byte"])
@pytest.mark.parametrize("piece", [3, 1000])
def test_a_document_in_parts_has_the_figures_of_the_whole(unit: str, piece: int, monkeypatch) -> None:
    """Blocks that end within documents, which are read a few bytes at a time."""
    monkeypatch.setattr("fastlm.text.sources.streams.PIECE", piece)
    lm = fastlm.train(["the cat sat\non  the mat\n" * 20], unit, model="kneser-ney")
    text = b"the cat\n a zebra  sat\n\n on\tthe\r\n mat q q \xc3\xa9 the"
    whole = list(read_blocks(iter([text.decode()]), lm.vocabulary, meter=TextMeter(lm.vocabulary, lm.spelling)))
    for tokens in (1, 5, 1000):
        meter = TextMeter(lm.vocabulary, lm.spelling, together=20)
        parts = list(read_blocks(io.BytesIO(text), lm.vocabulary, "file", meter, tokens))
        assert len(whole) == 1 and sum(len(part.ids) for part in parts) == len(whole[0].ids)
        np.testing.assert_allclose(sum(part.figures for part in parts), whole[0].figures, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("unit", ["word", "char", "byte"])
def test_every_line_has_its_own_figures(unit: str) -> None:
    lm = fastlm.train(["the cat sat\non  the mat\n" * 20], unit, model="kneser-ney")
    lines = ["the cat\n", " a z\u00e9bra  sat\n", "\n", "\n", "on\tthe\r\n", " mat q q"]
    (block,) = read_blocks(iter(["".join(lines)]), lm.vocabulary, "line", TextMeter(lm.vocabulary, lm.spelling))
    for line, figures in zip(lines, block.figures.T, strict=True):
        (alone,) = read_blocks(iter([line]), lm.vocabulary, "line", TextMeter(lm.vocabulary, lm.spelling))
        np.testing.assert_allclose(figures, alone.figures[:, 0], rtol=1e-9, atol=1e-12)
    assert block.figures[2].tolist() == [3, 4, 1, 1, 3, 4]


def test_unknown_characters_are_spelt() -> None:
    lm = fastlm.train(["the cat sat\n" * 40], unit="char", model="kneser-ney")
    plain, odd = lm.score("the cat\n"), lm.score("the c\u6f22t\n")
    assert plain.spelling_nats < 0.1 and odd.unknown == 1 and odd.spelling_nats > 3 * np.log(100)
    assert lm.evaluate(iter(["caf\u00e9"]), documents="line").spelling_nats > 5
