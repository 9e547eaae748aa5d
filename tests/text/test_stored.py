"""Ids that lie in a temporary file: everything that is done with those in memory, and nothing that stays behind."""

import errno
import mmap
import os
import tempfile

import numpy as np
import pytest

import fastlm
from fastlm.models import KneserNey
from fastlm.text import stored
from fastlm.text.corpus import Corpus
from fastlm.text.scan import IdBuffer
from fastlm.training.batches import read_and_predict


@pytest.fixture
def few(monkeypatch, tmp_path):
    """Arrays of more than 8 ids lie in a file, and 3 are looked at together."""
    monkeypatch.setattr("fastlm.text.stored.IN_MEMORY", 8)
    monkeypatch.setattr("fastlm.text.stored.PART", 3)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def lies_in_file(array: np.ndarray) -> bool:
    while isinstance(array, np.ndarray | memoryview):
        array = array.base if isinstance(array, np.ndarray) else array.obj
    return isinstance(array, mmap.mmap)


def test_a_buffer_grows_into_a_file(few) -> None:
    buffer, wanted = IdBuffer(4), np.concatenate([np.arange(n % 7) for n in range(200)])
    for n in range(200):
        buffer.append(np.arange(n % 7))
    assert len(buffer.ids) == buffer.size == len(wanted) and buffer.ends_in(2, 5)
    before = buffer.ids
    ids = buffer.take()
    assert lies_in_file(ids) and buffer.size == 0 and os.listdir(few) == []
    assert ids.dtype == np.int32 and ids.tolist() == before.tolist() == wanted.tolist()
    view = stored.released(ids[5:90][3:])           # what was written is still there
    assert view.tolist() == wanted[8:90].tolist() and ids.flags.writeable
    buffer.append(np.arange(20))
    assert buffer.finish().tolist() == list(range(20)) and ids.tolist() == wanted.tolist()


@pytest.mark.parametrize("n", [0, 1, 2, 8, 9, 30])
def test_copies_are_those_of_numpy(few, n: int) -> None:
    ids, rng = np.arange(n, dtype=np.int32) + 5, np.random.default_rng(n)
    for at in ([], [n], [0, n], sorted(rng.integers(n + 1, size=7).tolist())):
        out = stored.inserted(ids, np.array(at, np.int64), 3)
        assert out.dtype == np.int32 and out.tolist() == np.insert(ids, at, 3).tolist()
        assert lies_in_file(out) == (len(out) > 8)
    mask = rng.random(n) < 0.6
    assert stored.selected(ids, mask).tolist() == ids[mask].tolist()
    assert stored.preceding(ids)[1:].tolist() == ids[:-1].tolist() and len(stored.preceding(ids)) == n
    assert stored.following(ids)[:-1].tolist() == ids[1:].tolist() and len(stored.following(ids)) == n
    assert stored.occurrences(ids, 40).tolist() == np.bincount(ids, minlength=40).tolist()
    assert [part.tolist() for _, part in stored.parts(ids)] == [ids[a: a + 3].tolist() for a in range(0, n, 3)]


def test_a_text_in_a_file_is_trained_on_like_one_in_memory(monkeypatch) -> None:
    rng = np.random.default_rng(3)
    texts = [" ".join(f"w{n}" for n in rng.zipf(1.4, 90) % 60) + ".\n" for _ in range(12)]
    models = []
    for in_memory in (1 << 20, 100):
        monkeypatch.setattr("fastlm.text.stored.IN_MEMORY", in_memory)
        for unit in ("word", "char", "piece"):
            models.append(fastlm.train((text for text in texts), unit, model="lstm", epochs=0.1, threads=1))
            corpus = Corpus.build(texts, unit)[1]
            assert lies_in_file(corpus.ids) == (in_memory == 100)
            assert all(lies_in_file(a) == (in_memory == 100) for a in read_and_predict(corpus)[:2])
    for one, other in zip(models[:3], models[3:], strict=True):
        weights, others = one.model.parameters, other.model.parameters
        assert all(weights[name].value.tobytes() == others[name].value.tobytes() for name in weights)
        assert one.vocabulary == other.vocabulary


def test_ids_outside_the_vocabulary_are_named_in_long_texts(monkeypatch) -> None:
    monkeypatch.setattr("fastlm.models.base.PART", 4)
    model = KneserNey(9)
    ids = np.arange(9, dtype=np.int32)
    assert model.check(ids) is ids
    ids[7] = 11
    with pytest.raises(IndexError, match=r"^ids\[7\] = 11 is outside the vocabulary of 9$"):
        model.check(ids)


def test_a_full_disk_is_said_before_anything_is_lost(few, monkeypatch) -> None:
    def full(*arguments: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError) as caught:
        stored.id_array(1000)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.strerror == ("No space left on device: 4,000 bytes were to be written in the folder for "
                                     f"temporary files, {few}; TMPDIR names another")
