"""Loading by mapping: what is shared, what is checked when, and what a loaded model may be put through."""

import copy
import io
import multiprocessing
import os
import pickle
import time
from pathlib import Path

import numpy as np
import pytest

import fastlm
from fastlm import models
from fastlm.files import modelfile, trust
from fastlm.models.initial import are_checked, in_file, lie_in_file
from fastlm.models.precision import round_weights
from fastlm.training import Trainer

WORDS = ["the", "cat", "sat", "on", "\n", "mat", "<unk>"]
TEXT = "the cat sat on the mat"


def language_model(kind: str) -> fastlm.LanguageModel:
    """A small language model of a kind: n-grams are counted, weights are float32 or rounded."""
    ids = [[0, 1, 2, 3, 0, 5, 4, 0, 1, 3, 2]]
    model = {
        "lstm": lambda: models.LSTM(7, hidden=16, seed=1),
        "rounded": lambda: models.LSTM(7, hidden=16, seed=1),
        "int8": lambda: models.LSTM(7, hidden=16, seed=1).quantized(),
        "kneser-ney": lambda: models.KneserNey(7, order=3).fit(ids),
        "mixture": lambda: models.Mixture(7, [models.KneserNey(7, order=3).fit(ids),
                                              models.Factored(7, [2, 1]).fit(ids), models.GRU(7, hidden=16)]),
    }[kind]()
    if kind == "rounded":
        round_weights(model)
    return fastlm.LanguageModel(fastlm.Vocabulary(WORDS, counts=[5, 1, 2, 3, 4, 1, 0]), model, card={"text": "by hand"})


KINDS = ["lstm", "rounded", "int8", "kneser-ney", "mixture"]


@pytest.fixture(params=KINDS)
def lm(request):
    return language_model(request.param)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "my.fastlm"


def settled(path: Path) -> Path:
    """The file, once it is old enough for a record that it was verified."""
    while time.time_ns() - path.stat().st_ctime_ns <= trust.OURS_SETTLED:
        time.sleep(0.002)
    return path


def figures(lm: fastlm.LanguageModel) -> bytes:
    return lm.score(TEXT).per_token.tobytes() + lm.predict_all(TEXT, k=None).tobytes()


# Sources


def test_bytes_and_file_objects_hold_what_a_file_holds(lm, path, tmp_path):
    lm.save(path)
    content, buffer = path.read_bytes(), io.BytesIO(b"before")
    buffer.seek(0, os.SEEK_END)
    lm.save(buffer)
    assert buffer.getvalue() == b"before" + content and lm.to_bytes() == content
    with open(tmp_path / "written", "wb") as file:
        lm.save(file)
    assert (tmp_path / "written").read_bytes() == content
    buffer.seek(6)
    with open(path, "rb") as file:
        sources = [path, str(path), content, bytearray(content), memoryview(content), buffer, file]
        for source in sources:
            twin = fastlm.load(source)
            assert twin.digest() == lm.digest() and twin.card == lm.card and figures(twin) == figures(lm)
            assert twin.to_bytes() == content


def test_bytes_may_be_changed_after_they_were_loaded(lm):
    content = bytearray(lm.to_bytes())
    twin = fastlm.load(content)
    content[:] = bytes(len(content))
    assert figures(twin) == figures(lm)


@pytest.mark.parametrize(("source", "error", "sentence"), [
    (3, TypeError, "a int was given; the name of a model file, bytes or a file object was expected"),
    (None, TypeError, "a NoneType was given; the name of a model file, bytes or a file object was expected"),
    (io.StringIO("text"), TypeError, "the file object gave a str; one that is open for reading bytes was expected"),
    (b"", modelfile.ModelFileError, "the bytes object is not a model file: it is 0 bytes long, expected at least 8"),
    (bytearray(b"a text of some length"), modelfile.ModelFileError,
     "the bytearray object is not a model file: it looks like text"),
    (io.BytesIO(b"x"), modelfile.ModelFileError,
     "the file object 'BytesIO' is not a model file: it is 1 bytes long, expected at least 8"),
])
def test_other_sources_are_refused_in_a_sentence(source, error, sentence):
    with pytest.raises(error) as caught:
        fastlm.load(source)
    assert str(caught.value) == sentence


def test_an_open_file_is_named(tmp_path):
    (tmp_path / "a.txt").write_text("the first line\n")
    with open(tmp_path / "a.txt", "rb") as file, pytest.raises(modelfile.ModelFileError) as caught:
        fastlm.load(file)
    assert str(caught.value).startswith("the file object '") and str(caught.value).endswith("it looks like text")


def test_a_damaged_source_is_named(path):
    content = bytearray(language_model("lstm").to_bytes())
    content[-1] ^= 1
    with pytest.raises(modelfile.ModelFileError, match=r"^the bytearray object is damaged: its SHA-256 is "):
        fastlm.load(content)


# What is checked when


def watched(monkeypatch) -> list[str]:
    """The names of the files whose every byte is checked from now on."""
    names, check = [], modelfile.Contents.check

    def counted(contents):
        names.append(contents.name)
        check(contents)
    monkeypatch.setattr(modelfile.Contents, "check", counted)
    return names


def test_every_byte_is_checked_once(lm, path, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lm.save(path)
    settled(path)
    checked = watched(monkeypatch)
    loaded = [fastlm.load(path) for _ in range(3)]
    assert checked == [str(path)]
    assert [figures(twin) for twin in loaded] == [figures(lm)] * 3
    fastlm.load(path, verify=True)
    assert len(checked) == 2
    fastlm.load(path, verify=False)
    assert len(checked) == 2
    os.utime(path)                                     # which changes the time of the inode
    fastlm.load(path)
    assert len(checked) == 3
    fastlm.load(path.read_bytes())
    fastlm.load(path.read_bytes())
    assert len(checked) == 5 and checked[-1] == "the bytes object"


def test_a_file_that_was_damaged_after_it_was_verified_is_refused(lm, path, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lm.save(path)
    fastlm.load(settled(path))
    held = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 0x40
    with open(path, "r+b") as file:
        file.write(content)
    os.utime(path, ns=(held.st_atime_ns, held.st_mtime_ns))
    with pytest.raises(modelfile.ModelFileError, match=r"is damaged: its SHA-256 is "):
        fastlm.load(path)


def hostile(path: Path) -> None:
    """A model file whose digest is right, and whose contexts lie far outside of the tables."""
    language_model("kneser-ney").save(path)
    tensors, metadata = modelfile.load(path)
    blocks = tensors["model/blocks"].copy()
    blocks[1] = 2**62
    modelfile.save(path, tensors | {"model/blocks": blocks}, metadata)


def test_a_hostile_file_is_refused_by_default_and_every_time(path, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    hostile(path)
    settled(path)
    for _ in range(2):
        with pytest.raises(modelfile.ModelFileError, match="is damaged: its blocks are not those of n-grams, at 0"):
            fastlm.load(path)
    with pytest.raises(modelfile.ModelFileError, match="its blocks"):
        fastlm.load(path.read_bytes())
    assert not (tmp_path / "cache").exists()
    assert len(fastlm.load(path, verify=False).vocabulary) == 7       # which is on the caller


def test_what_lies_in_a_file_is_said_to_models_only_while_they_are_loaded():
    assert (lie_in_file(), are_checked()) == (False, False)
    with in_file(False):
        assert (lie_in_file(), are_checked()) == (True, False)
        with in_file(True):
            assert (lie_in_file(), are_checked()) == (True, True)
        assert (lie_in_file(), are_checked()) == (True, False)
    assert (lie_in_file(), are_checked()) == (False, False)


# What a loaded model may be put through


def test_training_a_loaded_model_leaves_its_file_and_its_twin_alone(path):
    for kind in ("lstm", "rounded"):
        lm = language_model(kind)
        lm.save(path)
        content, before = path.read_bytes(), figures(lm)
        first, second = fastlm.load(path), fastlm.load(path)
        corpus = fastlm.Corpus.read([TEXT * 9], first.vocabulary)
        for model in (first.model, lm.model):
            Trainer(model, seed=1, threads=1).fit(corpus, epochs=3)
        assert first.digest() == lm.digest() != second.digest()
        assert figures(first) == figures(lm) != before == figures(second)
        assert path.read_bytes() == content


def test_a_file_that_is_replaced_stays_as_it_was_for_who_uses_it(lm, path):
    lm.save(path)
    twin = fastlm.load(path)
    models_before = figures(lm)
    twin.save(path)
    language_model("lstm").save(path)
    assert figures(twin) == models_before
    path.unlink()
    assert figures(twin) == models_before and twin.digest() == lm.digest()


def test_a_model_is_saved_over_the_file_that_it_lies_in(lm, path):
    lm.save(path)
    twin = fastlm.load(path)
    twin.save(path)
    assert fastlm.load(path).digest() == twin.digest() == lm.digest()


def scored(lm: fastlm.LanguageModel) -> bytes:
    return figures(lm)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_a_loaded_model(method, path):
    lm = language_model("mixture")
    lm.save(path)
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.map_async(scored, [fastlm.load(path)]).get(120) == [figures(lm)]


def test_copies_of_a_loaded_model_are_the_same(lm, path):
    lm.save(path)
    for verify in (True, False):
        twin = fastlm.load(path, verify=verify)
        for other in (pickle.loads(pickle.dumps(twin)), copy.deepcopy(twin), copy.copy(twin)):
            assert other.digest() == lm.digest() and figures(other) == figures(lm)


def test_a_mapped_model_takes_no_memory_before_it_is_used(path):
    """Weights in a file are used where they lie where that is possible; nothing of them is read before."""
    lm = fastlm.LanguageModel(fastlm.Vocabulary(WORDS), models.LSTM(7, hidden=64))
    for rounds in (False, True):
        if rounds:
            round_weights(lm.model)
        lm.save(path)
        twin = fastlm.load(path)
        for name, parameter in twin.model.parameters.items():
            stored = parameter._stored
            assert stored is not None and not stored.flags.owndata
            assert parameter.shape == lm.model.parameters[name].shape
            value = parameter.value
            assert value.dtype == np.float32 and value.flags.writeable and value.ctypes.data % 64 == 0
            in_place = stored.dtype == np.float32 and stored.ctypes.data % 64 == 0
            assert np.shares_memory(value, stored) == in_place and parameter.value is value
            assert in_place == (not rounds and name not in ("bias0", "output_bias"))


def test_a_spelling_of_words_without_their_spacing_is_refused(path):
    lm = fastlm.train(["the cat sat\non the mat\n"] * 9, unit="word", model="kneser-ney")
    lm.save(path)
    tensors, metadata = modelfile.load(path)
    kept = {name: array for name, array in tensors.items() if not name.startswith("spacing/")}
    assert len(kept) < len(tensors)
    modelfile.save(path, kept, metadata)
    with pytest.raises(modelfile.ModelFileError, match="is damaged: it spells unknown words and has no spacing"):
        fastlm.load(path)
