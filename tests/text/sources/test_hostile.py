"""Bytes of any kind are read or refused with one sentence."""

import bz2
import gzip
import io
import json
import lzma
import random
import zipfile
from typing import Any

import pytest

from fastlm.text.sources.documents import read_documents
from fastlm.text.sources.lines import read_lines

NAMES = ["a.csv", "a.jsonl", "a.json", "a.txt", "a.tsv.gz", "a"]
OPTIONS: list[dict[str, Any]] = [
    {}, {"text_key": "text"}, {"encoding": "utf-16"}, {"encoding": "cp1252"}, {"errors": "ignore"},
    {"encoding": "shift_jis", "errors": "replace"}, {"format": "text"}, {"format": "csv"}, {"format": "json"},
    {"format": "jsonl"}, {"normalize": "NFD"},
]  # fmt: skip


class Named(io.BytesIO):
    """An open file with a name."""

    name = "a"


def seeds() -> list[bytes]:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", "the cat")
        archive.writestr("b.csv", "id,text\n1,the cat\n")
    lines = "".join(json.dumps({"id": n, "text": "the cat"}) + "\n" for n in range(3)).encode()
    table = b'id,text\n1,"the ""cat"""\n2,b c\n'
    return [
        out.getvalue(),
        lines,
        table,
        gzip.compress(lines),
        bz2.compress(table),
        lzma.compress(table),
        b'[{"text": "a b"}, {"text": null}]',
        "caf\u00e9 \ufeff".encode("utf-16"),
        b"\xef\xbb\xbfid\ttext\n1\tx y\n",
    ]


def mutated(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randrange(6)):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(4):
            case 0:
                out[at : at + 1] = rng.randbytes(1)
            case 1:
                out[at:at] = bytes(rng.choices(b'",\t\n\0{}[]: ab\xff\xe9\xef\xbb\xbf', k=rng.randrange(1, 8)))
            case 2:
                del out[at : at + rng.randrange(1, 20)]
            case _:
                out[at:at] = rng.choice(others)[: rng.randrange(60)]
    return bytes(out)


@pytest.mark.parametrize("seed", range(4))
def test_altered_files_are_read_or_refused(seed: int) -> None:
    rng, whole = random.Random(seed), seeds()
    refused = 0
    for _ in range(400):
        data, options, unit = mutated(rng.choice(whole), rng, whole), rng.choice(OPTIONS), rng.choice(["word", "piece"])
        for read in (read_documents, read_lines):
            file = Named(data)
            file.name = rng.choice(NAMES)
            try:
                found = list(read(file, unit=unit, **options))  # type: ignore[operator]
                assert all(isinstance(row, tuple) or row.text is not None or row.fault for row in found)
            except ValueError as error:
                refused += 1
                assert "\n" not in str(error) and len(str(error)) < 1000 and not isinstance(error, UnicodeError)
    assert 0 < refused < 800
