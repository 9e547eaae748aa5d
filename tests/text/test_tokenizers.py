"""Tokenizers that users bring: objects of packages and their own, kept in the model file or given again."""

import io
import json
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

import fastlm
from fastlm import Corpus, Vocabulary
from fastlm.files import modelfile
from fastlm.generation.texts import texts_of
from fastlm.text.tokenizers import packages
from fastlm.text.tokenizers import tokenizer as module
from fastlm.text.tokenizers.given import given_unit
from fastlm.text.tokenizers.origin import Origin
from fastlm.text.tokenizers.tokenizer import Tokenizer

TEXT = "The cat sat on the mat, and the dog's bed lay on the rug.\nI am 25 cats; na\u00efve \u732b \U0001f600\n" * 20


class Letters:
    """A tokenizer of a user: every character is an id, so that "a" is 97."""

    def encode(self, text):
        return [ord(letter) for letter in text]

    def decode(self, ids):
        return "".join(map(chr, ids))


class Halves(Letters):
    """The same with a size and an unknown token."""

    vocab_size, unk_token_id = 128, 1

    def encode(self, text):
        return np.array([ord(letter) if letter.isascii() else 1 for letter in text])


def hugging_face(lower=False):
    """One that our own kernels do not apply, since every digit stands by itself."""
    library = pytest.importorskip("tokenizers", reason="the package tokenizers is not installed")
    tokenizer = library.Tokenizer(library.models.BPE())
    tokenizer.pre_tokenizer = library.pre_tokenizers.Sequence([
        library.pre_tokenizers.Digits(individual_digits=True),
        library.pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = library.decoders.ByteLevel()
    if lower:
        tokenizer.normalizer = library.normalizers.Lowercase()
    trainer = library.trainers.BpeTrainer(vocab_size=300, show_progress=False, special_tokens=["<|endoftext|>"],
                                          initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([TEXT], trainer)
    return tokenizer


def word_pieces():
    library = pytest.importorskip("tokenizers", reason="the package tokenizers is not installed")
    tokenizer = library.Tokenizer(library.models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = library.pre_tokenizers.Whitespace()
    tokenizer.decoder = library.decoders.WordPiece()
    trainer = library.trainers.WordPieceTrainer(vocab_size=100, show_progress=False, special_tokens=["[UNK]"])
    tokenizer.train_from_iterator([TEXT], trainer)
    return tokenizer


def sentence_piece():
    library = pytest.importorskip("sentencepiece", reason="the package sentencepiece is not installed")
    written = io.BytesIO()
    library.SentencePieceTrainer.train(sentence_iterator=iter(TEXT.splitlines()), model_writer=written, vocab_size=60,
                                       minloglevel=2, hard_vocab_limit=False)
    return library.SentencePieceProcessor(model_proto=written.getvalue())


def tik_token():
    library = pytest.importorskip("tiktoken", reason="the package tiktoken is not installed")
    ranks = {bytes([value]): value for value in range(256)} | {b"th": 256, b"the": 257, b" the": 258, b"at": 259}
    return library.Encoding("mine", pat_str=r" ?\p{L}+| ?\p{N}+|[^\s\p{L}\p{N}]+|\s+", mergeable_ranks=ranks,
                            special_tokens={"<|end|>": 300})


EVERY = {"tokenizers": hugging_face, "word pieces": word_pieces, "sentencepiece": sentence_piece,
         "tiktoken": tik_token, "own": Letters, "own with a size": Halves}


def counted(unit, texts=(TEXT,), **options):
    return fastlm.train(list(texts), unit=unit, model="kneser-ney", threads=1, **options)


def own_ids(tokenizer, text):
    """What the tokenizer itself says, by its own way of calling it."""
    if hasattr(tokenizer, "encode_ordinary"):
        return tokenizer.encode_ordinary(text)
    found = tokenizer.encode(text)
    return list(getattr(found, "ids", found))


def test_characters_on_paper():
    vocabulary, corpus = Corpus.build(["abba a"], unit=Letters())
    assert vocabulary.tokens == ["a", "b", " "] and vocabulary.counts.tolist() == [3, 2, 1]
    assert corpus.ids.tolist() == [0, 1, 1, 0, 2, 0] and corpus.unknown == 0 and corpus.boundary is None
    assert vocabulary.origin.own_ids.tolist() == [97, 98, 32]
    assert vocabulary.encode("ba").tolist() == [1, 0] and vocabulary.decode([1, 0, 2]) == "ba "
    assert Vocabulary.build(["abba a"], unit=Letters()) == vocabulary
    assert repr(vocabulary) == "Vocabulary(3 tokens, unit='tokenizer')"
    with pytest.raises(ValueError, match="the tokenizer gives the id 99, which it did not have when the model was"):
        vocabulary.encode("abc")


def test_documents_end_where_there_are_several():
    vocabulary, corpus = Corpus.build(["aab", "", "a"], unit=Letters())
    assert vocabulary.tokens == ["a", "<end>", "b"] and vocabulary.end_of_document == 1
    assert vocabulary.counts.tolist() == [3, 2, 1] and vocabulary.origin.own_ids.tolist() == [97, -1, 98]
    assert corpus.ids.tolist() == [0, 0, 2, 1, 0, 1] and corpus.offsets.tolist() == [0, 4, 4, 6]
    assert vocabulary.decode(corpus.ids) == "aaba"
    assert Corpus.read(["aab", "", "a"], vocabulary).ids.tolist() == corpus.ids.tolist()


def test_what_a_tokenizer_cannot_write_is_unknown():
    vocabulary, corpus = Corpus.build(["a\u00e9a"], unit=Halves())
    assert len(vocabulary) == 128 and vocabulary.token(0) == "a" and vocabulary.unknown == 1
    assert corpus.ids.tolist() == [0, 1, 0] and corpus.unknown_at.tolist() == [1]
    read = Corpus.read(["\u00e9a"], vocabulary)
    assert read.ids.tolist() == [1, 0] and read.unknown_at.tolist() == [0]
    assert vocabulary.id("b") == 1 + 1 + ord("b") - 2   # nothing else was counted: the others in the tokenizer's order


@pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)
def test_ids_are_those_of_the_tokenizer_in_another_order(make):
    tokenizer = make()
    vocabulary, corpus = Corpus.build([TEXT], unit=tokenizer)
    assert vocabulary.unit == "tokenizer" and (np.diff(vocabulary.counts) <= 0).all()
    assert vocabulary.origin.own_ids[corpus.ids].tolist() == own_ids(tokenizer, TEXT)
    assert vocabulary.counts.tolist() == np.bincount(corpus.ids, minlength=len(vocabulary)).tolist()
    for text in ("the cat", "x", "", "dogs\n\n  and 2,500 cats"):
        if not isinstance(tokenizer, Letters):
            assert vocabulary.origin.own_ids[vocabulary.encode(text)].tolist() == own_ids(tokenizer, text)
            keep = {"skip_special_tokens": False} if hasattr(tokenizer, "to_str") else {}
            assert vocabulary.decode(vocabulary.encode(text)) == tokenizer.decode(own_ids(tokenizer, text), **keep)


@pytest.mark.parametrize("make", [EVERY[name] for name in EVERY if not name.startswith("own")],
                         ids=[name for name in EVERY if not name.startswith("own")])
def test_the_file_keeps_the_tokenizer(make, tmp_path):
    lm = counted(make(), [TEXT, TEXT])
    lm.save(tmp_path / "m.fastlm")
    loaded = fastlm.load(tmp_path / "m.fastlm")
    assert loaded.vocabulary == lm.vocabulary and loaded.digest() == lm.digest()
    assert loaded.vocabulary.encode(TEXT).tolist() == lm.vocabulary.encode(TEXT).tolist()
    assert loaded.score(TEXT).nats == lm.score(TEXT).nats > 0
    assert "".join(loaded.generate("The cat", 30, seed=1)) == "".join(lm.generate("The cat", 30, seed=1))
    assert pickle.loads(pickle.dumps(lm.vocabulary)) == lm.vocabulary
    assert loaded.next_tokens("the", 3) == lm.next_tokens("the", 3)


def test_code_of_a_user_is_given_again(tmp_path):
    lm = counted(Letters())
    lm.save(tmp_path / "m.fastlm")
    loaded = fastlm.load(tmp_path / "m.fastlm")
    ids = lm.vocabulary.encode("the cat")
    state, twin = lm.start(), loaded.start()
    assert np.array_equal(state.read_ids(ids), twin.read_ids(ids))
    assert state.next_tokens(3) == twin.next_tokens(3)
    for call in (loaded.score, loaded.vocabulary.encode, loaded.vocabulary.read):
        with pytest.raises(ValueError, match=r"give it to fastlm\.load\(path, tokenizer=\.\.\.\), or read and predict"):
            call("the cat")
    again = fastlm.load(tmp_path / "m.fastlm", tokenizer=Letters())
    assert again.score(TEXT) == lm.score(TEXT)
    assert pickle.loads(pickle.dumps(again.vocabulary)).encode("cat").tolist() == lm.vocabulary.encode("cat").tolist()


def test_only_the_same_tokenizer_is_taken_again(tmp_path):
    class Shifted(Halves):
        def decode(self, ids):
            return "".join(chr(id + 1) for id in ids)

    lm = counted(Halves())
    lm.save(tmp_path / "m.fastlm")
    assert fastlm.load(tmp_path / "m.fastlm", tokenizer=Halves()).score(TEXT).nats == lm.score(TEXT).nats
    with pytest.raises(ValueError, match="this tokenizer has '!' for its id 32; ' ' was expected, as when the model"):
        fastlm.load(tmp_path / "m.fastlm", tokenizer=Shifted())
    with pytest.raises(TypeError, match="unit is a int; the name of a unit, the path of a tokenizer.json or of "):
        fastlm.load(tmp_path / "m.fastlm", tokenizer=7)
    counted("char").save(tmp_path / "c.fastlm")
    with pytest.raises(ValueError, match="tokenizer is a Letters; the model's unit is 'char', which needs none"):
        fastlm.load(tmp_path / "c.fastlm", tokenizer=Letters())


# figures ----------------------------------------------------------------------------------------------------------


def test_bits_per_byte_are_of_exactly_the_text_or_nan():
    score = counted(hugging_face()).score(TEXT)
    assert score.bits_per_byte == pytest.approx(score.nats / np.log(2) / len(TEXT.encode())) and score.unknown == 0
    for lossy in (hugging_face(lower=True), sentence_piece(), word_pieces()):
        score = counted(lossy).score(TEXT)
        assert np.isnan(score.bits_per_byte) and np.isnan(score.perplexity_per_word) and score.perplexity > 1
    assert not np.isnan(counted(hugging_face(lower=True)).score("the cat\n").bits_per_byte)   # nothing is lost here
    score = counted(Halves()).score("a \u00e9\n")
    assert score.unknown == 1 and np.isnan(score.bits_per_byte) and score.nats > 0


def test_special_tokens_at_the_ends_are_not_added():
    library = pytest.importorskip("tokenizers", reason="the package tokenizers is not installed")
    tokenizer = hugging_face()
    plain = tokenizer.encode("the cat").ids
    tokenizer.post_processor = library.processors.TemplateProcessing(
        single="<|endoftext|> $A <|endoftext|>", special_tokens=[("<|endoftext|>", 0)])
    assert len(tokenizer.encode("the cat").ids) == len(plain) + 2
    vocabulary = Vocabulary.build([TEXT], unit=tokenizer)
    assert vocabulary.origin.own_ids[vocabulary.encode("the cat")].tolist() == plain


def test_truncation_and_padding_of_a_tokenizer_do_not_cut_texts():
    tokenizer = hugging_face()
    wanted = tokenizer.encode(TEXT).ids
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=8)
    vocabulary, corpus = Corpus.build([TEXT], unit=tokenizer)
    assert vocabulary.origin.own_ids[corpus.ids].tolist() == wanted
    assert len(tokenizer.encode(TEXT).ids) == 8   # the user's object is left as it is


def test_a_generated_character_of_several_tokens_is_whole():
    vocabulary = Vocabulary.build([TEXT], unit=hugging_face())
    text = "The \U0001f680 cat \u732b\u732c"
    ids = vocabulary.encode(text).tolist()
    parts = list(texts_of(vocabulary, iter(ids), len(ids), ""))
    assert "".join(parts) == text and len(parts) < len(ids) and " \U0001f680" in parts


def test_documents_end_lines_of_what_is_generated():
    vocabulary = Vocabulary.build(["a\n", "b"], unit=Letters())
    ids = [vocabulary.id("a"), vocabulary.end_of_document, vocabulary.id("b"), vocabulary.id("\n"),
           vocabulary.end_of_document, vocabulary.id("a")]
    assert "".join(texts_of(vocabulary, iter(ids), len(ids), "")) == "a\nb\na"


def test_a_first_generated_word_keeps_its_blank():
    lm = counted(sentence_piece())
    text = "".join(lm.generate("the", 1, temperature=0.0))
    assert text == lm.next_tokens("the", 1)[0][0]


def test_long_texts_are_handed_over_in_parts():
    class Heard(Letters):
        def __init__(self):
            self.given = []

        def encode(self, text):
            self.given.append(text)
            return super().encode(text)
    heard = Heard()
    assert Tokenizer.of(heard).ids("The cat\nsat on", together=6).tolist() == [ord(one) for one in "The cat\nsat on"]
    assert heard.given[-2:] == ["The cat\n", "sat on"]
    long = "The cat\nsat on" * 500_000
    assert len(Tokenizer.of(heard).ids(long)) == len(long) and "".join(heard.given[-2:]) == long


def test_the_parts_of_a_long_text_are_the_text():
    assert list(module.parts("The cat\n\n sat\non the\nmat", 6)) == ["The cat\n\n sat\n", "on the\n", "mat"]
    assert list(module.parts("")) == [] and list(module.parts("ab")) == ["ab"]


# transformers, told by its attributes ------------------------------------------------------------------------------


def test_fast_tokenizers_of_transformers_are_their_backend():
    backend = hugging_face()
    fast = SimpleNamespace(backend_tokenizer=backend, encode=None, decode=None)
    assert Vocabulary.build([TEXT], unit=fast) == Vocabulary.build([TEXT], unit=backend)


def test_slow_tokenizers_of_transformers_are_asked_for_the_text_alone():
    asked = []

    class Slow(Letters):
        unk_token_id = None

        def convert_ids_to_tokens(self, ids):
            raise AssertionError

        def __len__(self):
            return 300

        def encode(self, text, add_special_tokens=True):
            asked.append(add_special_tokens)
            return super().encode(text)

        def decode(self, ids, skip_special_tokens=True, clean_up_tokenization_spaces=True):
            assert not skip_special_tokens and not clean_up_tokenization_spaces
            return super().decode(ids)
    vocabulary, _ = Corpus.build(["aab"], unit=Slow())
    assert len(vocabulary) == 300 and vocabulary.tokens[:2] == ["a", "b"] and asked == [False]


# what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit, kind, message", [
    (7, TypeError, "unit is a int; the name of a unit, the path of a tokenizer.json or of a .model of sentencepiece, "
                   "or a tokenizer with encode and decode was expected"),
    ("words", ValueError, "unit = 'words'; expected one of ('auto', )?'word', 'char', 'byte', 'piece'"),
    ("tokenizer", ValueError, "unit = 'tokenizer'; expected one of ('auto', )?'word', 'char', 'byte', 'piece'"),
])
def test_units_that_are_none(unit, kind, message):
    with pytest.raises(kind, match=message):
        Corpus.build([TEXT], unit=unit)
    with pytest.raises(kind, match=message):
        fastlm.train([TEXT], unit=unit, model="kneser-ney")


@pytest.mark.parametrize("found, kind, message", [
    ([[1, 2]], TypeError, r"encode returned int64 \(1, 2\); one row of integers was expected"),
    (["a"], TypeError, r"encode returned <U1 \(1,\); one row of integers was expected"),
    ([1.5], TypeError, r"encode returned float64 \(1,\); one row of integers was expected"),
    ([-1], ValueError, "encode returned ids from -1 to -1; 0 to 16777215 were expected"),
    ([1, 2**24], ValueError, "encode returned ids from 1 to 16777216; 0 to 16777215 were expected"),
])
def test_ids_that_are_none(found, kind, message):
    with pytest.raises(kind, match=message):
        Corpus.build(["a"], unit=SimpleNamespace(encode=lambda text: found, decode=str))


def test_a_tokenizer_fixes_its_vocabulary():
    for limit in ({"min_count": 2}, {"max_size": 99}):
        with pytest.raises(ValueError, match="a tokenizer that is given fixes its vocabulary"):
            Corpus.build([TEXT], unit=Letters(), **limit)


def test_text_that_no_string_holds_is_refused():
    vocabulary = Vocabulary.build(["a b"], unit=Letters())
    with pytest.raises(ValueError, match="U\\+DC80 at position 1 is half a surrogate pair"):
        vocabulary.encode("a\udc80")
    with pytest.raises(TypeError, match='the text is a bytes; expected str for unit="tokenizer"'):
        vocabulary.encode(b"a")


# files that nobody has checked -------------------------------------------------------------------------------------


def changed(lm, path, **tensors):
    lm.save(path)
    arrays, metadata = modelfile.load(path)
    arrays |= {f"vocabulary/{name}": array for name, array in tensors.items()}
    modelfile.save(path, arrays, {name: metadata[name] for name in metadata})
    return path


def raw(text):
    return np.frombuffer(text, np.uint8)


@pytest.mark.parametrize("tensors, message", [
    ({"tokenizer_kind": raw(b"pickle")}, "the tokenizer is one of 'pickle'; one of tokenizers, sentencepiece, "),
    ({"own_ids": np.zeros(2, np.int64)}, r"own_ids is int64 \(2,\); one dimension of int32 was expected"),
    ({"own_ids": np.zeros(2, np.int32)}, "own_ids has an id twice, or one below -1"),
    ({"own_ids": np.arange(2, dtype=np.int32)}, "the tokenizer has 2 ids for 262 tokens; as many were expected"),
    ({"tokenizer": np.zeros(3, np.int32)}, "the tokenizer is int32; uint8 was expected"),
    ({"unknown": np.array([999])}, "unknown = 999 is outside the 262 ids"),
    ({"unknown": np.array([0.5])}, r"unknown is float64 \(1,\); one int64 was expected"),
])
def test_hostile_files_are_refused(tensors, message, tmp_path):
    path = changed(counted(tik_token(), [TEXT, "x"]), tmp_path / "m.fastlm", **tensors)
    with pytest.raises(modelfile.ModelFileError, match=message):
        fastlm.load(path)


def test_a_rule_of_cutting_that_is_none_is_refused(tmp_path):
    lm = counted(in_file(tmp_path, on_paper()))
    path = changed(lm, tmp_path / "m.fastlm", cutting=raw(b"letters"))
    with pytest.raises(modelfile.ModelFileError, match="cutting = 'letters'; expected one of 'fastlm', 'gpt2'"):
        fastlm.load(path)


def test_a_tokenizer_of_too_many_bytes_is_refused(monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    with pytest.raises(ValueError, match="the tokenizer takes 11 bytes; 10 at most were expected"):
        Tokenizer("tiktoken", b"x" * 11)


@pytest.mark.parametrize("make, junk", [(hugging_face, b"{"), (sentence_piece, b"\xff\x00junk"),
                                        (tik_token, b'{"name": 3}')], ids=["tokenizers", "sentencepiece", "tiktoken"])
def test_only_the_package_looks_at_what_the_file_keeps(make, junk, tmp_path):
    path = changed(counted(make()), tmp_path / "m.fastlm", tokenizer=raw(junk))
    loaded = fastlm.load(path)
    kind = loaded.vocabulary.origin.tokenizer.kind
    with pytest.raises(ValueError, match=rf"^{kind} \d.* refuses the tokenizer of this model: "):
        loaded.score("the cat")


def test_without_the_package_the_model_loads_and_predicts_ids(tmp_path, monkeypatch):
    import sys
    lm = counted(tik_token())
    lm.save(tmp_path / "m.fastlm")
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    loaded = fastlm.load(tmp_path / "m.fastlm")
    assert loaded.start().next_tokens(1)[0][0] in lm.vocabulary
    with pytest.raises(ValueError, match=r'texts of this model are read by tiktoken: pip install "fastlm\[tiktoken\]"'):
        loaded.score("the cat")


def test_origins_and_kinds_compare():
    one = Origin(np.array([1, -1], np.int32), Tokenizer("own", b""), 0)
    assert one == Origin(np.array([1, -1], np.int32), Tokenizer("own", b""), 0)
    assert one != Origin(np.array([2, -1], np.int32), Tokenizer("own", b""), 0) and one != 3
    with pytest.raises(ValueError, match="a tokenizer is missing for unit='tokenizer'"):
        Vocabulary(["a", "b"], unit="tokenizer")
    with pytest.raises(ValueError, match="a tokenizer is given for unit='char'"):
        Vocabulary(["a", "b"], unit="char", origin=one)


def test_importing_fastlm_imports_none_of_them():
    import subprocess
    import sys
    code = ("import sys; from fastlm import Vocabulary, load; print(sorted({'tokenizers', 'sentencepiece', 'tiktoken', "
            "'transformers'} & set(sys.modules)))")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_letters_of_bytes_on_paper():
    assert packages.bytes_of("\u0120the") == b" the" and packages.bytes_of("\u010a") == b"\n"
    assert packages.as_bytes("\u00c3\u00a9") == "\u00e9" and packages.as_bytes("\u00c3") == "\udcc3"
    assert len(packages.letters_of_bytes()) == 256 == len(set(packages.letters_of_bytes().values()))
    assert packages.plain("<0xZZ>") == "<0xZZ>" and packages.plain("\u2581\u2581a") == "  a"
    assert json.dumps(packages.as_bytes("\u2581a")) == '"\\u2581a"'


def test_compressing_needs_a_unit_of_ours():
    from fastlm.coding.compress import compress
    with pytest.raises(ValueError, match="the model reads texts by a tokenizer that may change them; one of"):
        compress(counted(Letters()), "the cat")


# tokenizer.json ----------------------------------------------------------------------------------------------------


def gpt2_like(text=TEXT, size=320, **options):
    library = pytest.importorskip("tokenizers", reason="the package tokenizers is not installed")
    tokenizer = library.Tokenizer(library.models.BPE())
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(vocab_size=size, show_progress=False, special_tokens=["<|endoftext|>"],
                                          initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(), **options)
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def on_paper(merges=("t h", "th e", "\u0120 the"), **changes):
    """The JSON of 256 bytes, each at its place, and of some merges after them."""
    letters = [packages.letters_of(bytes([value])) for value in range(256)]
    tokens = letters + [merge.replace(" ", "") for merge in merges]
    return {"model": {"type": "BPE", "vocab": {token: id for id, token in enumerate(tokens)}, "merges": list(merges)},
            "added_tokens": [{"id": 300, "content": "<|endoftext|>", "special": True}], "normalizer": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False}} | changes


def in_file(tmp_path, settings):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    return str(path)


def test_a_file_on_paper(tmp_path):
    path = in_file(tmp_path, on_paper())
    vocabulary = Vocabulary.from_tokenizer_json(path)
    assert vocabulary.unit == "piece" and len(vocabulary) == 259 and vocabulary.normalize is None
    assert vocabulary.encode("the the a").tolist() == [257, 258, 32, 97]
    assert vocabulary.encode("'s thee").tolist() == [39, 115, 258, 101]
    assert vocabulary.decode([258, 257]) == " thethe" and vocabulary.tokens[258] == " the"
    vocabulary, corpus = Corpus.build(["the the", " the"], unit=path)
    assert vocabulary.tokens[:3] == [" the", "<end>", "the"] and vocabulary.counts[:4].tolist() == [2, 2, 1, 0]
    assert vocabulary.tokenizer_ids[:4].tolist() == [258, 300, 257, 0] and vocabulary.end_of_document == 1
    assert corpus.ids.tolist() == [2, 0, 1, 0, 1]
    assert Vocabulary.build(["the the", " the"], unit=path) == vocabulary
    assert Vocabulary.build(["a"]).tokenizer_ids is None


def scripts():
    """Code points to draw from: of ASCII, white space and apostrophes, scripts, and any."""
    return [range(0x20, 0x7F), [9, 10, 11, 13, 32, 32, 0xA0, 0x85, 0x2028, 0x3000, 39, 0x2019, 0xAB, 115, 116, 108],
            range(0xA0, 0x250), range(0x370, 0x700), range(0x900, 0xE80), range(0x2000, 0x2070), range(0x3000, 0x3100),
            range(0x4E00, 0x4F00), range(0xAC00, 0xAC80), range(0xFF00, 0xFFEF), range(0x1F300, 0x1F700),
            [code for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000]]


def drawn(count, longest):
    rng, pools = np.random.default_rng(0), [list(pool) for pool in scripts()]
    for _ in range(count):
        some = [pool[rng.integers(len(pool))] for pool in (pools[n] for n in rng.integers(len(pools), size=8))]
        yield "".join(map(chr, rng.choice(some, rng.integers(1, longest))))


def test_gpt2_is_cut_as_by_the_package(tmp_path):
    many = TEXT + "".join(drawn(300, 40)) + "abababab" * 40 + "\u732b\u732c" * 50
    tokenizer = gpt2_like(many, 1500)
    path = str(tmp_path / "tokenizer.json")
    tokenizer.save(path)
    vocabulary = Vocabulary.from_tokenizer_json(path)
    ids = vocabulary.tokenizer_ids
    for text in [many, *drawn(3000, 60), "ab" * 700, "\u732b\u732c\u732b" * 300, " " * 300, "\n" * 99 + "x", ""]:
        assert ids[vocabulary.encode(text)].tolist() == tokenizer.encode(text, add_special_tokens=False).ids, text
        assert vocabulary.decode(vocabulary.encode(text)) == text


def test_objects_of_such_files_are_pieces_and_need_no_package(tmp_path, monkeypatch):
    import sys
    lm = counted(gpt2_like(), [TEXT, TEXT])
    assert lm.vocabulary.unit == "piece" and lm.vocabulary.origin.tokenizer is None
    lm.save(tmp_path / "m.fastlm")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    loaded = fastlm.load(tmp_path / "m.fastlm")
    assert loaded.vocabulary == lm.vocabulary and loaded.score(TEXT) == lm.score(TEXT)
    assert loaded.score(TEXT).bits_per_byte > 0
    assert loaded.vocabulary.encode("x 'll\n\n y").tolist() == lm.vocabulary.encode("x 'll\n\n y").tolist()
    assert pickle.loads(pickle.dumps(loaded.vocabulary)).encode(TEXT).tolist() == lm.vocabulary.encode(TEXT).tolist()


def test_pieces_are_written_as_the_package_reads_them(tmp_path):
    library = pytest.importorskip("tokenizers", reason="the package tokenizers is not installed")
    vocabulary = Vocabulary.build([TEXT, "".join(drawn(300, 40)), "it\u2019s 'quoted' \u201cso\u201d"], unit="piece",
                                  max_size=700, normalize="none")
    path = tmp_path / "tokenizer.json"
    vocabulary.to_tokenizer_json(path)
    tokenizer = library.Tokenizer.from_file(str(path))
    assert tokenizer.token_to_id("<|endoftext|>") == vocabulary.end_of_document is not None
    for text in [TEXT, *drawn(3000, 40), "dogs'' 's '\u2019s\u2019x 1234567 \v\f \n", ""]:
        if max((len(part) for part, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)), default=0) <= 64:
            assert tokenizer.encode(text).ids == vocabulary.encode(text).tolist(), text
            assert tokenizer.decode(vocabulary.encode(text).tolist()) == text
    assert len(tokenizer.encode("a" * 100).ids) <= len(vocabulary.encode("a" * 100))   # which is cut after 64 bytes


@pytest.mark.parametrize("form, gpt2", [(None, False), ("NFC", False), ("NFKD", True)])
def test_what_is_written_is_read_again(form, gpt2, tmp_path):
    path, copy = tmp_path / "tokenizer.json", tmp_path / "copy.json"
    if gpt2:
        unit = in_file(tmp_path, on_paper(normalizer={"type": "Sequence", "normalizers": [{"type": form}]}))
        vocabulary = Vocabulary.build([TEXT, "x"], unit=unit)
    else:
        vocabulary = Vocabulary.build([TEXT, "x"], unit="piece", max_size=300, normalize=form or "none")
    assert vocabulary.normalize == form
    vocabulary.to_tokenizer_json(path)
    again = Vocabulary.from_tokenizer_json(path)
    again.to_tokenizer_json(copy)
    assert again.normalize == form and again.origin.cutting == ("gpt2" if gpt2 else "fastlm")
    assert again.tokenizer_ids[again.encode(TEXT)].tolist() == vocabulary.encode(TEXT).tolist()
    assert len(again) == len(vocabulary) - 1   # the end of a document is no piece


def test_other_units_are_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"the vocabulary is of unit 'word'; pieces were expected for a tokenizer"):
        Vocabulary(["a"]).to_tokenizer_json(tmp_path / "x.json")
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize("change, reason", [
    ({"pre_tokenizer": None}, "its pre_tokenizer, null, is none that fastlm applies by itself"),
    ({"pre_tokenizer": {"type": "ByteLevel"}}, 'its pre_tokenizer, {"type": "ByteLevel"}, is none that fastlm'),
    ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits"}, {"type": "ByteLevel"}]}},
     "its pre_tokenizer, "),
    ({"normalizer": {"type": "Lowercase"}}, 'its normalizer, {"type": "Lowercase"}, is none that'),
    ({"model": on_paper()["model"] | {"dropout": 0.1}}, "its dropout is 0.1; none was expected"),
    ({"model": on_paper()["model"] | {"ignore_merges": True}}, "its ignore_merges is True; none was expected"),
    ({"model": on_paper()["model"] | {"type": "Unigram"}}, "its model is 'Unigram'; 'BPE' was expected"),
    ({"model": on_paper()["model"] | {"merges": ["q z"]}}, "its merges, "),
    ({"model": on_paper()["model"] | {"vocab": {"a": 0}}}, "the byte 0x00 has no token; every byte was expected"),
    ({"model": on_paper()["model"] | {"vocab": {"a": 10**9}}}, "the id of 'a' is 1000000000; whole numbers without"),
    ({"added_tokens": [{"id": 300, "content": "  ", "special": False}]}, "'  ' is an added token that texts are cut"),
    ({"added_tokens": [{"id": -1}]}, "its added_tokens, "),
    ({"model": 3}, "there is no model in it"),
])
def test_other_files_need_the_package(change, reason, tmp_path, monkeypatch):
    import sys
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ValueError) as caught:
        Vocabulary.from_tokenizer_json(in_file(tmp_path, on_paper(**change)))
    assert str(caught.value).startswith(str(tmp_path / "tokenizer.json") + " is applied by tokenizers, pip install")
    assert f'pip install "fastlm[tokenizers]", since {reason}' in str(caught.value)


def test_files_of_other_rules_are_applied_by_the_package(tmp_path):
    tokenizer = hugging_face()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    said = []
    assert given_unit(str(tmp_path / "tokenizer.json"), said.append).unit == "tokenizer"
    assert len(said) == 1 and "tokenizer.json is applied by the package tokenizers: its pre_tokenizer, " in said[0]
    vocabulary = Vocabulary.build([TEXT], unit=tmp_path / "tokenizer.json")
    assert vocabulary.tokenizer_ids[vocabulary.encode("25 cats")].tolist() == tokenizer.encode("25 cats").ids


@pytest.mark.parametrize("content, reason", [
    ("{", "is no tokenizer.json: Expecting property name enclosed in double quotes"),
    ("\xff", "is no tokenizer.json: 'utf-8' codec can't decode byte 0xff"),
    ("[" * 100000, "is no tokenizer.json: "),
])
def test_files_that_are_none(content, reason, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=reason):
        Vocabulary.from_tokenizer_json(path)
    with pytest.raises(FileNotFoundError):
        fastlm.train([TEXT], unit=str(tmp_path / "none.json"), model="kneser-ney")


def test_a_model_of_sentencepiece_is_taken_by_its_path(tmp_path):
    from fastlm.cli import main
    processor = sentence_piece()
    path, model = tmp_path / "m.model", tmp_path / "m.fastlm"
    path.write_bytes(processor.serialized_model_proto())
    for unit in (path, str(path)):
        lm = counted(unit)
        assert lm.vocabulary.unit == "tokenizer" and lm.vocabulary == counted(processor).vocabulary
        assert lm.vocabulary.tokenizer_ids[lm.vocabulary.encode("the cat")].tolist() == processor.encode("the cat")
    (tmp_path / "my.txt").write_text(TEXT, encoding="utf-8")
    command = ["train", str(tmp_path / "my.txt"), "-o", str(model), "--model", "kneser-ney", "--quiet", "--unit"]
    assert main([*command, str(path)]) == 0
    path.unlink()   # the model's own file keeps it
    assert fastlm.load(model).score("the cat").nats == lm.score("the cat").nats


@pytest.mark.parametrize("content, reason", [
    (b"", "m.model is empty; a .model of sentencepiece was expected"),
    (b"\n\x03abc", "m.model is no .model of sentencepiece: INTERNAL: "),
    (b'{"model": {}}', "m.model is no .model of sentencepiece: INTERNAL: "),
])
def test_other_files_are_no_model_of_sentencepiece(content, reason, tmp_path):
    pytest.importorskip("sentencepiece", reason="the package sentencepiece is not installed")
    (tmp_path / "m.model").write_bytes(content)
    with pytest.raises(ValueError, match=f"^{tmp_path}/{reason}[^\n]*$"):
        given_unit(tmp_path / "m.model")


def test_a_model_of_sentencepiece_needs_the_package(tmp_path, monkeypatch):
    import sys
    (tmp_path / "m.model").write_bytes(b"\n")
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(ValueError) as caught:
        fastlm.train([TEXT], unit=str(tmp_path / "m.model"), model="kneser-ney")
    assert str(caught.value) == (f'{tmp_path}/m.model is applied by sentencepiece: pip install "fastlm[sentencepiece]"')
    with pytest.raises(FileNotFoundError):
        fastlm.train([TEXT], unit="none.model", model="kneser-ney")


def test_the_command_line_takes_a_file(tmp_path):
    from fastlm.cli import main
    (tmp_path / "my.txt").write_text(TEXT, encoding="utf-8")
    path, model = in_file(tmp_path, on_paper()), str(tmp_path / "m.fastlm")
    command = ["train", str(tmp_path / "my.txt"), "-o", model, "--model", "kneser-ney", "--quiet", "--unit"]
    assert main([*command, path]) == 0
    lm = fastlm.load(model)
    assert lm.vocabulary.unit == "piece" and " the" in lm.vocabulary and lm.vocabulary.origin.cutting == "gpt2"
    assert main([*command, "line"]) == 2


def test_the_table_of_letters_is_that_of_unicode():
    """Where this Python knows the version of the table all of it, else the characters that both know."""
    import importlib.util
    import unicodedata
    from pathlib import Path
    root = Path(__file__).parents[2] / "csrc"
    spec = importlib.util.spec_from_file_location("unicode_tables", root / "unicode.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    text = (root / "unicode.inc").read_text(encoding="utf-8")
    if f"Unicode {script.unicodedata.unidata_version}:" in text:
        assert script.written() == text
    import re
    rows = [tuple(int(x, 0) for x in row) for row in re.findall(r"\{(0x\w+), (0x\w+), ([01])\}", text)]
    kinds = np.zeros(0x110000, np.uint8)
    for first, last, number in rows:
        kinds[first: last + 1] = 1 + number
    assert rows == sorted(rows)
    for code in range(0x110000):
        category = unicodedata.category(chr(code))
        if category != "Cn":
            assert kinds[code] == {"L": 1, "N": 2}.get(category[0], 0), hex(code)
