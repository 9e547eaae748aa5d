"""Text as blocks of ids: the same ids as a corpus has, whatever the blocks are cut by."""

import io

import numpy as np
import pytest

from fastlm import Corpus, Vocabulary
from fastlm.text.blocks import read_blocks
from fastlm.text.sources import streams

UNITS = ("word", "char", "byte", "piece")
TEXTS = ["a b  c\n\nd\n", "", "e", " \n", "a\tb zz\r\nc", "\n\n\nend"]


def join(blocks) -> tuple[list[int], list[int], list[int], list[int]]:
    """Return the ids, offsets, places of unknown tokens and bytes of documents that all blocks have together."""
    ids, offsets, unknown, sizes, opened = [], [0], [], [], False
    for block in blocks:
        assert block.goes_on == opened and block.offsets[0] == 0 and block.offsets[-1] == len(block.ids)
        if opened:
            offsets.pop()
            sizes[-1] += int(block.bytes[0])
        offsets += (block.offsets[1:] + len(ids)).tolist()
        sizes += block.bytes[opened:].tolist()
        unknown += (block.unknown_at + len(ids)).tolist()
        ids += block.ids.tolist()
        opened = block.unended
    assert not opened
    return ids, offsets, unknown, sizes


@pytest.mark.parametrize("documents", ["file", "line", "blank-line"])
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("newline", [True, False])
@pytest.mark.parametrize("tokens", [1, 3, 1000])
def test_blocks_have_the_ids_of_a_corpus(documents: str, unit: str, newline: bool, tokens: int) -> None:
    known = ["a", "b", "<unk>"] + (["\n"] if newline else [])
    raw = unit in ("byte", "piece")   # of several documents if newline, so that one more token ends them
    vocabulary = Vocabulary.build(["x", "y"][: 1 + newline], unit) if raw else Vocabulary(known, unit)
    corpus = Corpus.read(TEXTS, vocabulary, documents)
    ids, offsets, unknown, sizes = join(read_blocks(TEXTS, vocabulary, documents, tokens=tokens))
    assert ids == corpus.ids.tolist() and offsets == corpus.offsets.tolist()
    assert unknown == corpus.unknown_at.tolist() and sum(sizes) == corpus.bytes


def test_two_lines_on_paper() -> None:
    (block,) = read_blocks(["a\nb b"], Vocabulary(["a", "b", "\n"]), "line")
    assert block.ids.tolist() == [0, 2, 1, 1, 2] and block.offsets.tolist() == [0, 2, 5]
    assert block.bytes.tolist() == [2, 3] and not block.goes_on and not block.unended


@pytest.mark.parametrize("unit", UNITS)
def test_a_long_document_goes_on_in_the_next_block(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is read 16 bytes at a time."""
    monkeypatch.setattr(streams, "PIECE", 16)
    text = ("the   dog saw\n\n the cat é\n" * 9).encode() + b"end"
    vocabulary = Vocabulary.build([text.decode()], unit)
    corpus = Corpus.read(io.BytesIO(text), vocabulary)
    blocks = list(read_blocks(io.BytesIO(text), vocabulary, tokens=1))
    assert len(blocks) > 9 and [block.goes_on for block in blocks] == [False] + [True] * (len(blocks) - 1)
    ids, offsets, unknown, sizes = join(blocks)
    assert ids == corpus.ids.tolist() and offsets == [0, len(ids)] and not unknown and sizes == [len(text)]


def test_an_empty_source_has_no_tokens() -> None:
    vocabulary = Vocabulary(["a", "\n"])
    assert join(read_blocks([], vocabulary)) == ([], [0], [], [])
    assert join(read_blocks([""], vocabulary)) == ([], [0, 0], [], [0])


def test_a_token_that_is_not_there() -> None:
    with pytest.raises(ValueError) as caught:
        list(read_blocks(["a", "a b"], Vocabulary(["a"])))
    assert str(caught.value) == "documents[1]: token 1, 'b', is not in the vocabulary, nor is <unk>"


def test_ids_are_int32_and_unknown_places_int64() -> None:
    (block,) = read_blocks(["a b"], Vocabulary(["a", "<unk>"]))
    assert block.ids.dtype == np.int32 and block.unknown_at.tolist() == [1] and block.unknown_at.dtype == np.int64
