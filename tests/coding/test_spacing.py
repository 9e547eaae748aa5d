"""White space between words: codes by hand, gaps by the definition, and probabilities that sum to one."""

import re
from itertools import product

import numpy as np
import pytest

from fastlm import _core
from fastlm.coding.spacing import (
    KINDS,
    GapCounter,
    Gaps,
    Spacing,
    gap_of_code,
    is_between_words,
    spelt_nats,
    spelt_row,
    spelt_rows,
)

START, BLANK, LINE, LINE_STOP, LINE_OPEN, WORD, STOP, OPEN = range(8)
TO_LINE, TO_WORD, TO_END = range(3)


def gaps_of(documents: list[bytes], newline: bool = True) -> list[tuple[int, int, bytes, bytes]]:
    """(what stands before, what follows, the gap, the token) of all gaps."""
    text, ends = b"".join(documents), np.cumsum([len(document) for document in documents]).astype(np.uintp)
    out = []
    for gaps in Gaps.read(text, ends, newline):
        for code, kind, start, begin, end in zip(gaps.code.tolist(), gaps.kind.tolist(), gaps.start.tolist(),
                                                 gaps.begin.tolist(), gaps.end.tolist(), strict=True):
            assert _core.gap_code(text[start:begin]) == code
            out.append((*divmod(kind, 3), text[start:begin], text[begin:end]))
    return out


def test_gaps_by_hand() -> None:
    assert gaps_of([b" if x:\n\tdo  it.\r\n\n"]) == [
        (START, TO_WORD, b" ", b"if"), (WORD, TO_WORD, b" ", b"x:"), (OPEN, TO_LINE, b"", b"\n"),
        (LINE_OPEN, TO_WORD, b"\t", b"do"), (WORD, TO_WORD, b"  ", b"it."), (STOP, TO_LINE, b"\r", b"\n"),
        (LINE_STOP, TO_LINE, b"", b"\n"), (BLANK, TO_END, b"", b"")]
    assert gaps_of([b"", b"a ", b"\n", b" "]) == [
        (START, TO_END, b"", b""),
        (START, TO_WORD, b"", b"a"), (WORD, TO_LINE, b" ", b""), (LINE, TO_END, b"", b""),
        (START, TO_LINE, b"", b"\n"), (BLANK, TO_END, b"", b""),
        (START, TO_LINE, b" ", b""), (BLANK, TO_END, b"", b"")]
    assert gaps_of([b"a\n b"], newline=False) == [
        (START, TO_WORD, b"", b"a"), (WORD, TO_WORD, b"\n ", b"b"), (WORD, TO_END, b"", b"")]


def test_the_gap_before_is_of_the_same_sort_and_the_same_document() -> None:
    text = b" a  b\n\tc d\n e"
    (gaps,) = Gaps.read(text + b"x y", np.array([len(text), len(text) + 3], np.uintp), True)
    none, code = _core.GAP_NONE, _core.gap_code
    assert gaps.before.tolist() == [
        none, none, none, code(b" "), code(b"  "), code(b""), code(b"\t"), code(b""), none, none, none, none, none]


def test_codes_by_hand() -> None:
    assert _core.gap_code(b"") == 0
    assert _core.gap_code(b"   ") == 1 << 13 | 3
    assert _core.gap_code(b"\n\t\t ") == (3 << 13 | 1) | (2 << 13 | 2) << 16 | (1 << 13 | 1) << 32
    irregular = 2**64 - 1
    assert _core.gap_code(b" \t \t ") == irregular == _core.gap_code(b" " * 8192)
    for gap in (b"", b" ", b"\r", b"\t \t\v", b"\n\n\f", b" " * 8191):
        assert gap_of_code(_core.gap_code(gap)) == gap
    for number in (irregular, none := _core.GAP_NONE, 1, 7 << 13 | 1, 1 << 13, 1 << 29):
        with pytest.raises(ValueError, match=f"^{number:#x} is no code of a gap$"):
            gap_of_code(number)
    assert none != irregular


def test_the_spacing_of_prose_costs_next_to_nothing() -> None:
    prose = b"the cat sat on the mat.\nand the dog lay on the rug.\n" * 200
    spacing = Spacing.count([prose])
    (gaps,) = Gaps.read(prose[:5200], np.array([5200], np.uintp), True)
    assert spacing.nats(gaps, prose[:5200]).sum() / len(gaps.code) < 0.001
    untrained = Spacing.usual().nats(gaps, prose[:5200]).sum() / len(gaps.code)
    assert 0.003 < untrained < 0.01
    odd = prose[:5200].replace(b"dog", b" dog")
    (gaps,) = Gaps.read(odd, np.array([len(odd)], np.uintp), True)
    assert spacing.nats(gaps, odd).sum() > 100 * 5


def test_code_knows_the_indentation_of_the_line_before() -> None:
    block = b"if a:\n    b = 1\n    c = 2\n    d = 3\ne = 4\n"
    spacing = Spacing.count([block * 50])
    (gaps,) = Gaps.read(block * 50, np.array([len(block) * 50], np.uintp), True)
    rows = spacing.table[gaps.kind, spacing.symbols(gaps.before), spacing.symbols(gaps.code)]
    opens = gaps.kind == 3 * LINE_OPEN + TO_WORD
    assert opens.sum() == 50 and (rows[opens][1:] > 0.98).all()


@pytest.mark.parametrize("spacing", [
    Spacing.usual(), Spacing.count([b"a b\n", b"  c  d.  e\n  f\n\n", b"\tg\th\n"] * 3)])
def test_all_gaps_together_have_probability_one(spacing: Spacing) -> None:
    """The listed ones by the table; those that are spelt by their bytes, longer ones by what is left."""
    np.testing.assert_allclose(spacing.table.sum(-1, dtype=float), 1, rtol=0, atol=1e-6)
    assert spacing.table.shape == (KINDS, len(spacing.codes) + 2, len(spacing.codes) + 1) and (spacing.table > 0).all()
    p = sum(np.exp(-spelt_nats(bytes(gap))) for n in range(5) for gap in product(b" \t\n\v\f\r", repeat=n))
    left = 6 / 7 * (1 - 0.1) ** 4     # the first of seven is the end; then the end has a tenth
    assert p + left == pytest.approx(1, abs=1e-6)


def test_spelling_a_gap_is_the_product_of_its_rows() -> None:
    for gap in (b"", b" ", b"   \t\r\n", b"\v\v\f"):
        rows = list(spelt_rows(gap))
        assert len(rows) == len(gap) + 1 and rows[-1][1] == 6
        assert sum(-np.log(row[symbol]) for row, symbol in rows) == pytest.approx(spelt_nats(gap), abs=1e-5)
        assert all(row.sum() == pytest.approx(1) for row, _ in rows)
    assert spelt_row(None).tolist() == pytest.approx([1 / 7] * 7)


def test_gaps_between_words_are_those_of_words() -> None:
    assert [kind for kind in range(KINDS) if is_between_words(kind)] == [3 * WORD + 1, 3 * STOP + 1, 3 * OPEN + 1]


def test_a_sample_of_a_long_text_counts_parts_of_it() -> None:
    text = b"".join(b"w%d  x\n" % n for n in range(20_000))
    counter = GapCounter(first=20_000, share=0.1, part=5000)
    counter.sample(text)
    counted = int(counter.spacing().counts.sum())
    assert 0.1 < counted / (4 * 20_000) < 0.3
    few = GapCounter(first=20_000, share=0.1, part=5000, most=25_000)
    few.sample(text)
    few.sample(text)
    assert 0.08 < int(few.spacing().counts.sum()) / (4 * 20_000) < 0.13
    whole = GapCounter(first=1 << 20)
    whole.sample(text)
    assert whole.spacing().counts.sum() == 20_000 * 3 + 1
    assert whole.spacing().listed == counter.spacing().listed == [b"", b" ", b"  "]


def test_keys_and_counts_are_those_of_a_dictionary() -> None:
    """Of a text with hundreds of different gaps, in documents that are counted together."""
    rng = np.random.default_rng(0)
    texts = [b"".join(b"w" + b" \t"[n % 2: n % 2 + 1] * int(rng.integers(1, 300)) + b"v.\n" for n in range(200))
             for _ in range(20)] * 2
    spacing = Spacing.count([*texts, b"", b"a\n"])
    wanted: dict[tuple[int, ...], int] = {}
    for text in [*texts, b"", b"a\n"]:
        for gaps in Gaps.read(text, np.array([len(text)], np.uintp), True):
            for key in zip(gaps.kind.tolist(), spacing.symbols(gaps.before).tolist(),
                           spacing.symbols(gaps.code).tolist(), strict=True):
                wanted[key] = wanted.get(key, 0) + 1
    found = {tuple(key): count for key, count in zip(spacing.keys.tolist(), spacing.counts.tolist(), strict=True)}
    assert len(spacing.codes) == 62 and found == wanted


def test_gaps_that_occur_once_or_are_irregular_are_spelt() -> None:
    texts = [b"a  b   c   d" + b" \t" * 4 + b"e" + b" \t" * 4 + b"f\n"]
    spacing = Spacing.count(texts)
    assert spacing.listed == [b"", b" ", b"   "]
    (gaps,) = Gaps.read(texts[0], np.array([len(texts[0])], np.uintp), True)
    assert spacing.symbols(gaps.code).tolist() == [1, 0, 3, 3, 0, 0, 1, 1]


def test_tables_that_nobody_checked() -> None:
    codes, keys, counts = np.array([0, 8193], np.uint64), np.array([[0, 1, 2]], np.int32), np.array([3])
    assert Spacing(codes, keys, counts).listed == [b"", b" "]
    many = np.arange(63, dtype=np.uint64)
    for wrong in [(codes[:0], keys, counts), (codes[::-1], keys, counts), (many, keys, counts),
                  (codes, keys + 24, counts), (codes, keys - 1, counts), (codes, keys[:, :2], counts),
                  (codes, keys, counts * 0),
                  (codes, keys, counts.repeat(2)), (codes + np.uint64(1), keys, counts)]:
        with pytest.raises(ValueError, match=r"gap"):
            Spacing(*wrong)


def test_words_are_counted_as_they_are_split() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        text = bytes(rng.choice(list(b"ab \t\n\r\xc3"), int(rng.integers(0, 40))))
        whole = len(re.findall(rb"[^ \t\n\v\f\r]+|\n", text))
        assert _core.count_words(text) == (whole, bool(text) and not text[-1:].isspace())
        cut = int(rng.integers(0, len(text) + 1))
        first, inside = _core.count_words(text[:cut])
        assert first + _core.count_words(text[cut:], inside)[0] == whole


def test_the_ends_of_documents_are_checked() -> None:
    for ends in ([4], [2, 1]):
        with pytest.raises(ValueError, match=r"^ends\[\d\] = \d, expected \d to 3$"):
            _core.GapReader(b"abc", np.array(ends, np.uintp), True)
    reader = _core.GapReader(b"", np.array([], np.uintp), True)
    arrays = [np.empty(1, dtype) for dtype in (np.uint64, np.uint64, np.uint8, np.uintp, np.uintp, np.uintp)]
    assert reader.read(*arrays) == 0
    with pytest.raises(ValueError, match=r"^kind has 2 elements, expected 1$"):
        reader.read(*arrays[:2], np.empty(2, np.uint8), *arrays[3:])
