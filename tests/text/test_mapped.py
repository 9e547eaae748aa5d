"""A vocabulary in a file is the vocabulary, and makes nothing before it is asked for."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastlm.text.mapped import MappedVocabulary
from fastlm.text.vocabulary import Vocabulary

TEXT = "the cat sat\non the mät, the cät 7\nthe\vcat a\fb"
VOCABULARIES = {
    "words": lambda: Vocabulary.build([TEXT]),
    "words without <unk>": lambda: Vocabulary(["the", "cat", "\n"], counts=[3, 1, 2]),
    "words without lines": lambda: Vocabulary(["<unk>", "the", "cat"]),
    "tabs in words": lambda: Vocabulary(["the\vcat", "cat", "<unk>", "a\fb"]),
    "gaps": lambda: Vocabulary({25: "I", 7: "am", 3: "<unk>"}),
    "characters": lambda: Vocabulary.build([TEXT], "char", normalize="NFC"),
    "documents of characters": lambda: Vocabulary.build([TEXT, "more"], "char"),
    "bytes": lambda: Vocabulary.build([TEXT], "byte"),
    "pieces": lambda: Vocabulary.build([TEXT * 9, "more"], "piece", max_size=262),
    "an end with another's name": lambda: Vocabulary([*"the ca", "<unk>"], "char", end_of_document=6),
    "five letters": lambda: Vocabulary(["other", "<unk>", "words", "<unk", "unk>", "\n", "a"]),
}


@pytest.fixture(params=VOCABULARIES)
def whole(request):
    return VOCABULARIES[request.param]()


def mapped(whole):
    return MappedVocabulary(whole.tensors(), whole.unit, whole.normalize)


def readable(whole):
    """A text that the vocabulary can read."""
    return TEXT if whole.unknown is not None or whole.unit in ("byte", "piece") else "the cat the cat"


def test_everything_is_the_same(whole):
    text = readable(whole)
    for ask in (len, lambda v: v.unit, lambda v: v.normalize, lambda v: v.unknown, lambda v: v.end_of_line,
                lambda v: v.end_of_document, lambda v: v.boundary, lambda v: v.encode(text).tolist(),
                lambda v: v.tabs_inside,
                lambda v: v.decode(v.encode(text)), lambda v: v.letters(), lambda v: v.tokens, repr,
                lambda v: [v.name(id) for id in range(len(v))], lambda v: ["cat" in v, "t" in v, "zebra" in v],
                lambda v: v.counts.tolist(), lambda v: None if v.merges is None else v.merges.tolist(),
                lambda v: {name: array.tolist() for name, array in v.tensors().items()}):
        assert ask(mapped(whole)) == ask(whole)
    assert mapped(whole) == whole and whole == mapped(whole)
    for id in range(len(whole)):
        if whole.tokens[id] is not None and id != whole.end_of_document:
            assert mapped(whole).id(whole.tokens[id]) == id and mapped(whole).token(id) == whole.token(id)


def test_strings_are_made_when_they_are_asked_for(whole):
    small = mapped(whole)
    assert (len(small), small.boundary, small.unknown) == (len(whole), whole.boundary, whole.unknown)
    assert [small.name(id) for id in range(len(whole))] == whole.tokens
    if whole.unit == "word":
        small.encode(readable(whole))
    assert small.tabs_inside == whole.tabs_inside
    assert vars(small).keys().isdisjoint({"tokens", "_ids"})
    assert small.tokens is small.tokens and small.name(0) is small.tokens[0]


def test_arrays_lie_where_they_were(whole):
    tensors = {name: array.copy() for name, array in whole.tensors().items()}
    small = MappedVocabulary(tensors, whole.unit, whole.normalize)
    for name, array in small.tensors().items():
        if name != "end_of_document":
            assert np.shares_memory(array, tensors[name]) or not array.size
    assert not small.counts.flags.writeable and tensors["counts"].flags.writeable


def test_copies(whole):
    small = mapped(whole)
    twin = pickle.loads(pickle.dumps(small))
    assert type(twin) is Vocabulary and twin == whole and twin.normalize == whole.normalize
    assert copy.deepcopy(small) is small and copy.copy(small) == whole


def test_threads_ask_at_once(whole):
    text = readable(whole)
    for _ in range(5):
        small = mapped(whole)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _, v=small: (v.tokens, v.encode(text).tolist()), range(16)))
        assert found == [(whole.tokens, whole.encode(text).tolist())] * 16


def test_other_names_are_missing():
    small = mapped(Vocabulary(["a"]))
    with pytest.raises(AttributeError, match=r"^'MappedVocabulary' object has no attribute 'spelling'$"):
        _ = small.spelling
    with pytest.raises(ValueError, match=r"^token 0, 'b', is not in the vocabulary|'b'"):
        small.encode("b")
