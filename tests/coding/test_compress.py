"""The arithmetic coder: every text comes back byte by byte, and takes the bits that the score promises."""

import io
import re
from typing import Any

import numpy as np
import pytest

import fastlm
from fastlm import _core, compress, decompress
from fastlm.coding.compress import HEADER_BYTES, compress_file, decompress_file

LINES = ["the cat sat on the mat.", "the dog lay  on the rug.", "if x:", "\tdo  it", "    and more", "",
         "caf\u00e9 \u6f22"]
TEXT = "\n".join(f"{line} {n % 7}" if line else "" for n in range(30) for line in LINES) + "\n"
UNITS = {"word": {"unit": "word"}, "few words": {"unit": "word", "max_size": 8},
         "all words": {"unit": "word", "min_count": 1}, "char": {"unit": "char"},
         "few characters": {"unit": "char", "max_size": 12}, "byte": {"unit": "byte"}, "piece": {"unit": "piece"},
         "ended characters": {"unit": "char", "ended": True}, "ended bytes": {"unit": "byte", "ended": True},
         "ended pieces": {"unit": "piece", "ended": True}}
ODD = ["", "a", "\n", " ", "\t\t", "the cat", "the cat sat on the mat.\n", "the\tcat\r\nsat \n\n\n x", "a\n   ", " a ",
       "\n\n", "<unk> <unk>\n", "zebras \u6f22\u5b57 \U0001f600 quickly\n", "a" * 3000, " \t" * 500, "x\n" * 40]
NO_UTF8 = [b"zz \xff\xfe \0 qq\n", b"\0", b"\xc3", bytes(range(256))]


def bits(lm: Any, text: bytes, documents: str) -> float:
    given = iter([text if lm.vocabulary.unit in ("byte", "piece") else text.decode()])
    return float(lm.evaluate(given, documents=documents).total_nats / np.log(2))


@pytest.fixture(scope="module", params=UNITS)
def lm(request: pytest.FixtureRequest) -> Any:
    options = dict(UNITS[request.param])
    texts = [TEXT[:2000], TEXT[2000:]] if options.pop("ended", False) else [TEXT]
    return fastlm.train(texts, model="kneser-ney", **options)


@pytest.mark.parametrize("documents", ["file", "line"])
def test_the_length_is_what_the_score_says(lm: Any, documents: str) -> None:
    """Of the training text's kind, and of odd texts after one another; a whole number of bytes takes up to two more."""
    for text in (TEXT, "".join(ODD)):
        coded = compress(lm, text, documents)
        wanted = bits(lm, text.encode(), documents)
        assert 8 * (len(coded) - HEADER_BYTES) == pytest.approx(wanted, rel=0.001, abs=16)
        assert decompress(lm, coded) == text.encode()


@pytest.mark.parametrize("documents", ["file", "line"])
def test_every_odd_text_comes_back(lm: Any, documents: str) -> None:
    for text in ODD:
        coded = compress(lm, text, documents)
        assert decompress(lm, coded) == text.encode(), text
        if text:
            wanted = bits(lm, text.encode(), documents)
            assert 8 * (len(coded) - HEADER_BYTES) == pytest.approx(wanted, rel=0.001, abs=16), text


def test_a_byte_order_mark_and_characters_in_two_code_points_come_back(lm: Any) -> None:
    """Reading a text leaves the mark out and normalises; compressing keeps what is there."""
    for text in ("\ufeffthe cat", "cafe\u0301"):
        assert decompress(lm, compress(lm, text)) == text.encode()


def test_other_units_take_any_bytes_and_characters_say_why_not(lm: Any) -> None:
    for text in NO_UTF8:
        if lm.vocabulary.unit == "char" and text != b"\0":
            start = min(n for n in range(len(text)) if text[n] > 127)
            message = f"byte 0x{text[start]:02X} at offset {start} is not UTF-8, which a model of characters needs; "
            message = re.escape(message + "models of words, pieces and bytes take any bytes")
            with pytest.raises(ValueError, match=f"^{message}$"):
                compress(lm, text)
        else:
            assert decompress(lm, compress(lm, text)) == text


@pytest.mark.parametrize("options", [
    {"model": "lstm", "epochs": 1, "unit": "word"}, {"model": "mixture", "epochs": 1, "unit": "char"},
    {"model": "transformer", "epochs": 1, "unit": "byte"}], ids=lambda options: options["unit"])
def test_networks_and_mixtures_code_too(options: dict[str, Any]) -> None:
    lm = fastlm.train([TEXT * 2], seed=1, **options)
    for model in (lm, lm.quantized()):
        coded = compress(model, TEXT[:900])
        assert decompress(model, coded) == TEXT[:900].encode()
        wanted = bits(model, TEXT[:900].encode(), "file")
        assert 8 * (len(coded) - HEADER_BYTES) == pytest.approx(wanted, rel=0.001, abs=16)


def test_adapting_takes_fewer_bits(lm: Any) -> None:
    text = "zebras run quickly over the hills of 1984\n" * 12
    plain, adapting = compress(lm, text), compress(lm, text, adapt=True)
    assert len(adapting) < len(plain) and decompress(lm, adapting) == text.encode()


def test_a_model_trained_on_lines_reads_lines() -> None:
    lm = fastlm.train([TEXT], model="kneser-ney", documents="line")
    assert compress(lm, TEXT) == compress(lm, TEXT, "line") != compress(lm, TEXT, "file")


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 50])
def test_a_text_that_comes_in_parts(piece: int, lm: Any) -> None:
    text = "the cat  sat \n\n  on\tthe caf\u00e9 \u6f22\U0001f600\n \n" * 3 + "  "
    whole = compress(lm, text)
    coded, again = io.BytesIO(), io.BytesIO()
    compress_file(lm, io.BytesIO(text.encode()), coded, at_once=piece)
    parts = coded.getvalue()
    decompress_file(lm, io.BytesIO(parts), again, at_once=65)
    if lm.vocabulary.unit != "piece":   # pieces are other ones where a word is cut in two, as in no text with blanks
        assert parts == whole
    assert again.getvalue() == text.encode() == decompress(lm, whole) == decompress(lm, parts)


def test_the_coded_text_is_refused_where_it_is_not_sound() -> None:
    lm = fastlm.train([TEXT], model="kneser-ney")
    coded = bytearray(compress(lm, TEXT))

    def refused(data: bytes, message: str, model: Any = lm) -> None:
        with pytest.raises(ValueError, match=message):
            decompress(model, data)
    refused(b"", r"^it begins with b''; a text that fastlm compressed begins with b'fastlmz1'$")
    refused(bytes(coded[:40]), "^the compressed text is damaged: its header is not whole$")
    refused(bytes(coded[:-5]), "^the compressed text is damaged: 5 of its bytes are missing$")
    for at in (9, 50, HEADER_BYTES - 1):
        broken = coded.copy()
        broken[at] ^= 4
        refused(bytes(broken), "^the compressed text is damaged: its header is not whole$")
    for at in range(HEADER_BYTES, len(coded), 7):
        broken = coded.copy()
        broken[at] ^= 64
        refused(bytes(broken), "^the compressed text is damaged: ")
    other = fastlm.LanguageModel(lm.vocabulary, lm.model)      # the same model, which spells otherwise
    refused(bytes(coded), "^it was compressed by the model [0-9a-f]{12} and this one is [0-9a-f]{12}; the same", other)
    with pytest.raises(ValueError, match=r"^documents = 'page'; 'file' or 'line' was expected, or None$"):
        compress(lm, "a", documents="page")


def test_damage_names_the_instruction_set_where_it_was_another(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = fastlm.train([TEXT], model="kneser-ney")
    coded = bytearray(compress(lm, TEXT))
    coded[-20] ^= 255
    monkeypatch.setattr(_core, "isa", lambda: "future")
    with pytest.raises(ValueError, match=r"^the compressed text is damaged, or was compressed where FASTLM_ISA=\w+ and "
                                         "not future: "):
        decompress(lm, bytes(coded))


def test_a_word_that_the_model_cannot_say() -> None:
    lm = fastlm.LanguageModel(fastlm.Vocabulary(["a", "\n"]), fastlm.models.KneserNey(2, order=2))
    assert decompress(lm, compress(lm, "a\ta a\n")) == b"a\ta a\n"
    with pytest.raises(ValueError, match="^the token 'b' is not in the vocabulary, nor is <unk>$"):
        compress(lm, "a b")


def test_newlines_that_are_no_token() -> None:
    lm = fastlm.LanguageModel(fastlm.Vocabulary(["a", "<unk>"]), fastlm.models.KneserNey(2, order=2))
    for text in ("a\n b\n\n", "a", "\n \n", "a a\na"):
        assert decompress(lm, compress(lm, text)) == text.encode() == decompress(lm, compress(lm, text, "line"))


def test_a_file_is_written_where_it_stands() -> None:
    lm = fastlm.train([TEXT], model="kneser-ney")
    out = io.BytesIO(b"before")
    out.seek(0, io.SEEK_END)
    compress_file(lm, io.BytesIO(b"the cat"), out)
    assert out.getvalue()[:6] == b"before" and decompress(lm, out.getvalue()[6:]) == b"the cat"


def test_symbols_come_back_whatever_their_probabilities() -> None:
    """Also ones that float32 rounds to 0, and long runs in which a carry may reach far back."""
    rng = np.random.default_rng(0)
    for trial in range(150):
        V, n = int(rng.integers(1, 200)), int(rng.integers(0, 200))
        rows, symbols = [], []
        for _ in range(n):
            logits = rng.normal(size=V) * rng.choice([0.1, 3, 30])
            p = np.exp(logits - logits.max())
            rows.append((p / p.sum()).astype(np.float32))
            symbols.append(int(rng.choice(V, p=p / p.sum())) if trial % 3 else int(rng.integers(V)))
        encoder = _core.RangeEncoder()
        for p, symbol in zip(rows, symbols, strict=True):
            encoder.encode(p, symbol)
        coded = encoder.finish()
        decoder = _core.RangeDecoder(coded)
        assert [decoder.decode(p) for p in rows] == symbols
        wanted = -sum(np.log2(max(float(p[symbol]), 2**-30)) for p, symbol in zip(rows, symbols, strict=True))
        assert 8 * len(coded) <= 1.002 * wanted + 16
    for sure in (1 - 1e-7, 1e-7):
        p, symbols = np.array([1 - sure, sure], np.float32), (rng.random(3000) < 0.999).astype(int).tolist()
        encoder = _core.RangeEncoder()
        for symbol in symbols:
            encoder.encode(p, symbol)
        decoder = _core.RangeDecoder(encoder.finish())
        assert [decoder.decode(p) for _ in symbols] == symbols


def test_the_coder_by_hand() -> None:
    """Eight symbols of probability 1/2 are a byte; a sure one takes nothing; no probability is no reason to fail."""
    half = np.array([0.5, 0.5], np.float32)
    encoder = _core.RangeEncoder()
    for bit in (1, 0, 1, 0, 0, 1, 1, 0):
        encoder.encode(half, bit)
    assert len(encoder.finish()) <= 2
    encoder = _core.RangeEncoder()
    assert encoder.finish() == b""
    for p in ([1.0], [np.nan, 2.0, -1.0, np.inf]):
        row = np.array(p, np.float32)
        encoder = _core.RangeEncoder()
        encoder.encode(row, len(row) - 1)
        assert _core.RangeDecoder(encoder.finish()).decode(row) == len(row) - 1
    with pytest.raises(IndexError, match="^symbol = 2 is outside the 2 symbols$"):
        encoder.encode(half, 2)
    decoder = _core.RangeDecoder(b"")
    with pytest.raises(ValueError, match="^p has 0 elements, expected at least 1$"):
        decoder.decode(half[:0])
    with pytest.raises(ValueError, match="^more bytes come after the end was read; they are expected before$"):
        decoder.feed(b"x")
