"""Other encodings than UTF-8: read where they are named, and named where they are not."""

import gzip
import io
from pathlib import Path
from typing import Any

import pytest

import fastlm
from fastlm.text.sources.guess import likely_encoding
from tests.text.sources.helpers import refused, texts

TEXT = "the café, “naïve”\nthe Straße\n"
BOM = b"\xef\xbb\xbf"

SAMPLES = {
    "cp1252": ["the café, “naïve” – Straße 5 €\n", "señor", "Él dijo que sí.", "£5"],
    "shift_jis": ["これは日本語の文章です。カタカナもあります。", "今日は天気がいいから、散歩しましょう。\nabc テスト"],
    "euc_jp": ["これは日本語の文章です。カタカナもあります。", "今日は天気がいいから、散歩しましょう。"],
    "gb18030": ["我们在学习中文，他们也在学习。这是一个很好的例子，不是吗？", "北京今天的天气很好。\nabc 你好"],
    "big5": ["我們在學習中文，他們也在學習。這是一個很好的例子，不是嗎？"],
    "euc_kr": ["나는 한국어를 공부하고 있습니다. 오늘은 날씨가 좋습니다.", "안녕하세요, 세계!"],
    "cp1251": ["Привет, как дела? Это русский текст для проверки.", "Мы читаем книгу."],
    "koi8_r": ["Привет, как дела? Это русский текст для проверки.", "Мы читаем книгу."],
    "utf-16-le": ["the cat sat", "да, the cat sat on it"],
    "utf-16-be": ["the cat sat"],
    "utf-16": ["the cat", "我们在学习中文"],
    "utf-32": ["the cat", "да"],
}


@pytest.mark.parametrize(("encoding", "text"), [(name, text) for name, all in SAMPLES.items() for text in all])
def test_likely_encodings(encoding: str, text: str) -> None:
    assert likely_encoding(text.encode(encoding)) == encoding
    assert likely_encoding(text.encode(encoding) * 3000) == encoding  # the sample ends anywhere


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\x80\x81\xfe\xff" * 9,
        bytes(range(256)),
        b"\0" * 20,
        b"a\0b c",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0",
    ],
)
def test_bytes_that_look_like_nothing(data: bytes) -> None:
    assert likely_encoding(data) is None


@pytest.mark.parametrize("encoding", SAMPLES)
@pytest.mark.parametrize("documents", ["file", "line"])
def test_the_message_names_the_option_that_reads_the_file(encoding: str, documents: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(SAMPLES[encoding][0].encode(encoding))
    for unit in ("word", "char", "piece"):
        with pytest.raises(
            ValueError,
            match=f'it looks like {encoding}, which encoding="{encoding}" '
            rf"\(--encoding {encoding}\) reads; ",
        ):
            texts(path, documents=documents, unit=unit)
    assert "".join(texts(path, documents=documents, encoding=encoding)) == SAMPLES[encoding][0]


def test_the_whole_message(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"ab\ncaf\xe9 \n")
    refused(
        ValueError,
        f'{path}: byte 0xE9 at offset 6 is not UTF-8; it looks like cp1252, which encoding="cp1252" '
        '(--encoding cp1252) reads; unit="byte" reads any bytes',
        path,
    )
    path.write_bytes("ab".encode("utf-16"))
    refused(
        ValueError,
        f'{path}: NUL at offset 3; it looks like utf-16, which encoding="utf-16" (--encoding utf-16) '
        'reads; only unit="byte" reads those',
        path,
    )
    path.write_bytes(b"a\xff\x81\x8d\x90")
    refused(ValueError, f'{path}: byte 0xFF at offset 1 is not UTF-8; unit="byte" reads any bytes', path)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "UTF8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
def test_every_path_takes_an_encoding(encoding: str, tmp_path: Path) -> None:
    path, packed = tmp_path / "a.txt", tmp_path / "a.gz"
    path.write_bytes(TEXT.encode(encoding))
    packed.write_bytes(gzip.compress(TEXT.encode(encoding)))
    with path.open("rb") as file:
        for source in (path, str(path), [path], packed, io.BytesIO(path.read_bytes()), file):
            assert texts(source, encoding=encoding) == [TEXT]
    assert texts(path, encoding=encoding, documents="line") == TEXT.splitlines(keepends=True)
    vocabulary, corpus = fastlm.Corpus.build(path, encoding=encoding)
    assert "café," in vocabulary and corpus.bytes == len(TEXT.encode())
    assert fastlm.Vocabulary.build(path, encoding=encoding) == vocabulary
    assert fastlm.Corpus.read(path, vocabulary, encoding=encoding).ids.tolist() == corpus.ids.tolist()
    lm = fastlm.train(path, "word", model="kneser-ney", encoding=encoding, valid=path, min_count=1)
    assert lm.perplexity(path, encoding=encoding) == lm.perplexity([TEXT])
    assert lm.fit_adapt(path, encoding=encoding) is lm
    (tmp_path / "t.csv").write_bytes('n,text\n1,"the café"\n'.encode(encoding))
    (tmp_path / "t.jsonl").write_bytes('{"n": 1, "text": "the café"}\n'.encode(encoding))
    assert (
        texts(tmp_path / "t.csv", encoding=encoding) == texts(tmp_path / "t.jsonl", encoding=encoding) == ["the café"]
    )


@pytest.mark.parametrize("unit", ["word", "char", "piece"])
def test_a_byte_order_mark_is_no_text(unit: str, tmp_path: Path) -> None:
    marked, plain = tmp_path / "a.txt", tmp_path / "b.txt"
    marked.write_bytes(BOM + b"The cat sat\nThe dog sat\n" * 3)
    plain.write_bytes(b"The cat sat\n" + marked.read_bytes()[len(BOM) + 12 :])
    packed = tmp_path / "a.gz"
    packed.write_bytes(gzip.compress(marked.read_bytes()))
    wanted = fastlm.Vocabulary.build(plain, unit)
    strings = [marked.read_text(encoding="utf-8")]
    with marked.open("rb") as file, marked.open(encoding="utf-8") as text:
        for source in (marked, packed, [marked], file, text, strings, iter(strings)):
            assert fastlm.Vocabulary.build(source, unit) == wanted
    assert texts(marked, documents="line", unit=unit)[0] == "The cat sat\n"
    (tmp_path / "c.csv").write_bytes(BOM + b"text,n\nthe cat,1\n")
    (tmp_path / "c.jsonl").write_bytes(BOM + b'{"text": "the cat"}\n')
    assert texts(tmp_path / "c.csv", text_key="text") == texts(tmp_path / "c.jsonl", text_key="text") == ["the cat"]
    lm = fastlm.train(plain, unit, model="kneser-ney", min_count=None)
    assert lm.perplexity(marked) == lm.perplexity(plain)
    assert lm.score("\ufeffThe cat").nats == lm.score("The cat").nats
    assert lm.next_tokens("\ufeffThe") == lm.next_tokens("The")


def test_bytes_keep_the_mark(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(BOM + b"a")
    assert texts(tmp_path / "a", unit="byte") == ["\ufeffa"]
    assert texts(tmp_path / "a", unit="byte", encoding="utf-8") == ["a"]


@pytest.mark.parametrize(
    ("errors", "found"), [("replace", "caf\ufffd b"), ("ignore", "caf b"), ("backslashreplace", r"caf\xe9 b")]
)
def test_errors(errors: str, found: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"caf\xe9 b")
    for unit in ("word", "char", "piece"):
        assert (
            texts(path, errors=errors, unit=unit) == texts(path, errors=errors, encoding="utf-8", unit=unit) == [found]
        )
    lm = fastlm.train(path, "char", model="kneser-ney", errors=errors)
    assert lm.perplexity(path, errors=errors) > 0


def test_errors_of_a_named_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 70_000 + b"\x81 end")
    refused(
        ValueError,
        f'{path}: byte 0x81 at offset 70000 is not cp1252; errors="replace" reads U+FFFD in its place, '
        'and errors="ignore" leaves it out',
        path,
        encoding="cp1252",
    )
    path.write_bytes(b"a\0b\0")
    refused(
        ValueError,
        f'{path} is not utf-16: UTF-16 stream does not start with BOM; encoding="utf-16-le" or "utf-16-be" reads it '
        "without one",
        path,
        encoding="utf-16",
    )
    path.write_bytes(b"a\0b")
    refused(
        ValueError,
        f'{path}: byte 0x62 at offset 2 is not utf-16-le; errors="replace" reads U+FFFD in its place, and '
        'errors="ignore" leaves it out',
        path,
        encoding="utf-16-le",
    )
    path.write_bytes(b"a\xff")
    refused(
        ValueError,
        f'{path}: U+DCFF came of the errors handler; only unit="byte" reads half a surrogate pair',
        path,
        errors="surrogateescape",
    )
    from fastlm.text.sources.documents import read_documents

    for unit in ("byte", "piece"):
        for documents in ("file", "line"):
            assert list(read_documents(path, documents, unit, errors="surrogateescape")) == [(str(path), b"a\xff")]
    lm = fastlm.train(path, "piece", model="kneser-ney", errors="surrogateescape")
    assert lm.perplexity(path, errors="surrogateescape") == lm.perplexity([b"a\xff"])


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (
            {"encoding": "utf8x"},
            ValueError,
            "encoding = 'utf8x'; expected the name of an encoding, such as 'utf-8', 'utf-16' or 'cp1252'",
        ),
        (
            {"encoding": "rot13"},
            ValueError,
            "encoding = 'rot13'; expected the name of an encoding, such as 'utf-8', 'utf-16' or 'cp1252'",
        ),
        (
            {"errors": "lenient"},
            ValueError,
            "errors = 'lenient'; expected 'strict', 'replace', 'ignore' or another handler of decoding errors",
        ),
        (
            {"normalize": "NFX"},
            ValueError,
            "normalize = 'NFX'; expected one of 'auto', 'none', 'NFC', 'NFD', 'NFKC', 'NFKD'",
        ),
        (
            {"format": "xml"},
            ValueError,
            "format = 'xml'; expected one of 'auto', 'text', 'jsonl', 'json', 'csv', 'tsv', 'parquet', 'arrow'",
        ),
        ({"text_key": 3}, TypeError, "text_key is a int; expected the name of a column"),
        (
            {"encodng": "utf-8"},
            TypeError,
            "'encodng' is no option of reading; expected text_key, format, encoding, errors, normalize or memory",
        ),
    ],
)
def test_options_that_do_not_exist(options: dict[str, Any], kind: type[Exception], message: str) -> None:
    refused(kind, message, ["a"], **options)
