"""The model file: its bytes by hand, what is refused in which words, and that no damage goes unnoticed."""

import hashlib
import json
import os
import pickle
import re
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fastlm.files import header
from fastlm.files.modelfile import ModelFileError, check_writable, load, save

GOLDEN = Path(__file__).parents[1] / "golden"
ZEROS = "0" * 64

# Two floats and no more metadata, by hand: the header's 179 characters and 5 spaces are 184 = 0xb8 bytes, so that the
# data begin at byte 192 = 3 * 64; 1 and -2 in float32 are 3f800000 and c0000000. TINY_DIGEST is what sha256sum says
# with zeros for @.
TINY = (b"\xb8\0\0\0\0\0\0\0"
        b'{"__metadata__":{"format":"fastlm","version":"2","sha256":"@"},'
        b'"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}     '
        b"\0\0\x80\x3f\0\0\0\xc0")
TINY_DIGEST = b"a4049f775b0637a913756831cf40a781adc4d35d5c6111966c53905a24c2a005"


def everything(version="2"):
    """One tensor of every dtype of a version, with empty, scalar and odd shapes, and metadata that need escapes."""
    tensors = {
        "weight": np.array([[1.5, -2.25, 3e-38], [0.0, -0.0, 1e-45]], np.float32),
        "double": np.array(1 / 3),
        "ids": np.array([-1, 0, 2**31 - 1], np.int32),
        "counts": np.array([[[2**63 - 1]], [[-2**63]]]),
        "blob": np.frombuffer(b"the quick \xff\x00", np.uint8),
        "empty": np.zeros((3, 0, 2), np.float32),
        "größe": np.ones((1, 1), np.float64),
    }
    if version == "2":
        tensors |= {
            "half": np.array([[65504, -6e-8, -0.0]], np.float16),
            "word": np.array([0, 2**64 - 1], np.uint64), "offsets": np.array([2**32 - 1], np.uint32),
            "code": np.array([0, 65535, 1], np.uint16), "signed": np.array([[-32768], [32767]], np.int16),
            "rounded": np.array([[-128, 127, 0]], np.int8), "line": np.arange(64, dtype=np.uint8),
        }
    card = '{"sha256":"0", "text": "ein \\ Wort\n"}'
    metadata = {"unit": "word", "card": card, "": "", "zwölf": "\U0001f600"}
    return tensors, metadata


def forge(entries, data=b"", digest=None, line=None, **metadata):
    """The bytes of a file with any header at all and a right digest: what someone who means harm would write.

    entries: the tensors' entries as a dict, or the text of the whole header with @ for the digest. line: what the
    data begin at a multiple of.
    """
    if isinstance(entries, dict):
        own = {"format": "fastlm", "version": "2", "sha256": "@"} | metadata
        entries = json.dumps({"__metadata__": own} | entries, separators=(",", ":"))
    header = entries if isinstance(entries, bytes) else entries.encode()
    blank = header.replace(b"@", ZEROS.encode())
    blank += b" " * (-(8 + len(blank)) % (64 if line is None else line))
    start = struct.pack("<Q", len(blank))
    digest = digest or hashlib.sha256(start + blank + data).hexdigest()
    header = header.replace(b"@", digest.encode())
    return start + header + b" " * (len(blank) - len(header)) + data


def tensor(dtype="F32", shape=(2,), begin=0, end=8):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "my.fastlm"


def refuses(path, content, sentence):
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as raised:
        load(path)
    assert str(raised.value) == f"{path} {sentence}"


def same(first, second):
    assert list(first) == list(second)
    for name, array in first.items():
        assert array.dtype == second[name].dtype
        assert array.shape == second[name].shape
        assert array.tobytes() == second[name].tobytes()


# What is written


def test_the_bytes_of_a_tiny_file_by_hand(path):
    save(path, {"a": np.array([1, -2], np.float32)}, {})
    assert path.read_bytes() == TINY.replace(b"@", TINY_DIGEST)


def test_every_dtype_shape_and_string_comes_back(path):
    tensors, metadata = everything()
    save(path, tensors, metadata)
    found, card = load(str(path))
    same(dict(sorted(tensors.items())), dict(sorted(found.items())))
    assert card == metadata


def test_signed_bytes_come_back(path):
    save(path, {"rounded": np.array([[-128, 127, 0]], np.int8)}, {})
    assert b'"dtype":"I8","shape":[1,3],"data_offsets":[0,3]' in path.read_bytes()
    found = load(path)[0]["rounded"]
    assert found.dtype == np.int8 and found.tolist() == [[-128, 127, 0]]


def test_whole_lines_come_first_then_larger_items_so_that_each_tensor_is_aligned(path):
    tensors, metadata = everything()
    save(path, tensors, metadata)
    found, _ = load(path)
    assert list(found) == ["empty", "line", "counts", "double", "größe", "word", "ids", "offsets", "weight", "code",
                           "half", "signed", "blob", "rounded"]
    start = path.read_bytes().index(bytes(range(64)))
    assert start % 64 == 0 and int.from_bytes(path.read_bytes()[:8], "little") + 8 == start


def test_the_same_content_gives_the_same_bytes_whatever_the_order(path):
    tensors, metadata = everything()
    save(path, tensors, metadata)
    first = path.read_bytes()
    save(path, dict(reversed(tensors.items())), dict(reversed(metadata.items())))
    assert path.read_bytes() == first


def test_golden_files_load_for_ever_and_those_of_format_2_are_written_the_same(path):
    for version in "12":
        tensors, metadata = everything(version)
        golden = GOLDEN / f"version{version}.fastlm"
        found, card = load(golden)
        same(dict(sorted(tensors.items())), dict(sorted(found.items())))
        assert card == metadata
    save(path, tensors, metadata)
    assert path.read_bytes() == golden.read_bytes()
    found, card = load(GOLDEN / "tiny.fastlm")
    assert (found["a"].tolist(), card) == ([1.0, -2.0], {})


def test_nothing_at_all_is_a_file_too(path):
    save(path, {}, {})
    assert load(path) == ({}, {})


@pytest.mark.parametrize("array", [
    np.arange(24, dtype=np.float32).reshape(4, 6).T,
    np.arange(24, dtype=np.float64)[::-3],
    np.broadcast_to(np.int32(7), (2, 3)),
])
def test_any_layout_in_memory_is_written_in_c_order(path, array):
    save(path, {"x": array}, {})
    found = load(path)[0]["x"]
    assert found.flags.c_contiguous
    assert found.flags.writeable
    np.testing.assert_array_equal(found, array, strict=True)


def test_the_safetensors_library_reads_the_same(path):
    library = pytest.importorskip("safetensors.numpy", reason="the safetensors library is not installed")
    tensors, metadata = everything()
    save(path, tensors, metadata)
    found = library.load_file(path)
    same(dict(sorted(tensors.items())), dict(sorted(found.items())))


# What save refuses, with the old file intact

AN_ARRAY = "expected an array of float16 to 64, int8 to 64 or uint8 to 64"
STRINGS = "expected strings under names other than format, version, sha256"

@pytest.mark.parametrize("tensors, metadata, sentence", [
    ({"w": np.zeros(2, np.complex64)}, {}, f"tensor 'w' is complex64, {AN_ARRAY}"),
    ({"w": np.zeros(2, bool)}, {}, f"tensor 'w' is bool, {AN_ARRAY}"),
    ({"w": np.array(["a"], object)}, {}, f"tensor 'w' is object, {AN_ARRAY}"),
    ({"w": np.arange(6, dtype=">f4")}, {}, f"tensor 'w' is >f4, {AN_ARRAY}"),
    ({"w": [1.0]}, {}, f"tensor 'w' is list, {AN_ARRAY}"),
    ({"w": np.array([[0, 1], [np.nan, 3]])}, {}, "tensor 'w' has nan at index 2, expected finite numbers"),
    ({"w": np.array([1, np.inf, np.nan], np.float32)}, {},
     "tensor 'w' has inf at index 1, expected finite numbers"),
    ({"w": np.array([0, -np.inf], np.float16)}, {},
     "tensor 'w' has -inf at index 1, expected finite numbers"),
    ({3: np.zeros(2)}, {}, "tensor name 3 cannot be kept, expected a string other than '__metadata__'"),
    ({"__metadata__": np.zeros(2)}, {},
     "tensor name '__metadata__' cannot be kept, expected a string other than '__metadata__'"),
    ({}, {"n": 3}, f"metadata 'n': 3 cannot be kept, {STRINGS}"),
    ({}, {"sha256": "0"}, f"metadata 'sha256': '0' cannot be kept, {STRINGS}"),
    ({}, {"format": "x"}, f"metadata 'format': 'x' cannot be kept, {STRINGS}"),
    ({}, {5: "x"}, f"metadata 5: 'x' cannot be kept, {STRINGS}"),
    ({}, {"text": "a\ud800"}, "the names and strings of a model file cannot be written as UTF-8: '\\ud800'"),
    ({}, {str(n): "" for n in range(200_000)},
     "the model file has 400010 bytes of structure in its header, expected at most 262144"),
])
def test_save_refuses_in_one_sentence_and_keeps_the_old_file(path, tensors, metadata, sentence):
    path.write_bytes(b"old")
    with pytest.raises(ValueError) as raised:
        save(path, tensors, metadata)
    assert str(raised.value) == sentence
    assert [(child.name, child.read_bytes()) for child in path.parent.iterdir()] == [(path.name, b"old")]


def test_save_refuses_a_header_that_load_would_refuse(path, monkeypatch):
    monkeypatch.setattr(header, "MAX_HEADER", 184)
    save(path, {}, {"a": "b" * 37})
    assert load(path) == ({}, {"a": "b" * 37})
    with pytest.raises(ValueError, match="^the model file has a header of 248 bytes, expected at most 184$"):
        save(path, {}, {"a": "b" * 62})
    assert load(path) == ({}, {"a": "b" * 37})


def test_a_failing_write_keeps_the_old_file(path, monkeypatch):
    save(path, {}, {"which": "old"})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=f"^{path} cannot be written: No space left on device$"):
        save(path, {"w": np.zeros(10_000)}, {"which": "new"})
    assert load(path) == ({}, {"which": "old"})
    assert os.listdir(path.parent) == [path.name]


def test_the_path_is_tried_before_training(tmp_path):
    path = tmp_path / "absent" / "my.fastlm"
    for attempt in (lambda: check_writable(path), lambda: save(path, {}, {})):
        with pytest.raises(OSError, match=f"^{path} cannot be written: {path.parent} is not a folder$"):
            attempt()


# Damage: all of it is noticed


def small(path):
    tensors = {"w": np.array([[1.5, -2]], np.float32), "ids": np.array([3, 4, 5], np.uint8)}
    save(path, tensors, {"unit": "word"})
    return path.read_bytes()


def test_every_flipped_bit_is_noticed(path):
    whole = small(path)
    assert len(whole) < 400
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(ModelFileError, match=f"^{path} "):
            load(path)


def test_every_truncation_and_every_appended_byte_is_noticed(path):
    whole = small(path)
    cut = [whole[:length] for length in range(len(whole))]
    for damaged in cut + [whole + bytes([end]) for end in range(256)]:
        path.write_bytes(damaged)
        with pytest.raises(ModelFileError, match=f"^{path} "):
            load(path)


def test_random_damage_of_several_bytes_is_noticed(path):
    whole = small(path)
    random = np.random.default_rng(7)
    for _ in range(500):
        damaged = bytearray(whole)
        begin = int(random.integers(len(whole)))
        piece = random.bytes(int(random.integers(2, 65)))
        damaged[begin:begin + len(piece)] = piece
        path.write_bytes(damaged)
        with pytest.raises(ModelFileError, match=f"^{path} "):
            load(path)


def test_the_digest_tells_damage_from_the_rest(path):
    whole = bytearray(TINY.replace(b"@", TINY_DIGEST))
    whole[-1] ^= 0x80
    blank = bytes(whole).replace(TINY_DIGEST, ZEROS.encode())
    refuses(path, bytes(whole), f"is damaged: its SHA-256 is {hashlib.sha256(blank).hexdigest()}, "
                                f"expected {TINY_DIGEST.decode()}")


# Foreign files


@pytest.mark.parametrize("content, sentence", [
    (b"", "is not a model file: it is 0 bytes long, expected at least 8"),
    (b"\x08\0\0\0\0\0\0", "is not a model file: it is 7 bytes long, expected at least 8"),
    (b"The first line of a text\n", "is not a model file: it looks like text"),
    (b'{"a": [1, 2]}', "is not a model file: it looks like text"),
    (pickle.dumps({"w": list(range(99))}), "is not a model file: it looks like a Python pickle"),
    (b"\x1f\x8b\x08\0\0\0\0\0\0\xff", "is not a model file: it looks like a gzip file"),
    (b"\x93NUMPY\x01\0v\0{'descr'", "is not a model file: it looks like a NumPy array file"),
    (b"GGUF\x03\0\0\0\0\0\0\0", "is not a model file: it looks like a GGUF file"),
    (b"\0" * 16, "is cut short or not a model file: its header would take 0 bytes, "
                 "expected a multiple of 8 up to 8"),
    (b"\xff" * 16, "is cut short or not a model file: its header would take "
                   "18446744073709551615 bytes, expected a multiple of 8 up to 8"),
    (b"\x09" + b"\0" * 7 + b"{}" + b" " * 7,
     "is cut short or not a model file: its header would take 9 bytes, "
     "expected a multiple of 8 up to 9"),
    (b"\x08" + b"\0" * 7 + b" {}     ", "is not a model file: its header starts with b' ', expected b'{'"),
    (b"\x08" + b"\0" * 7 + b"{}      ",
     "is a safetensors file of something else: its metadata lack the format 'fastlm'"),
])
def test_foreign_files_are_named(path, content, sentence):
    refuses(path, content, sentence)


def test_a_zip_archive(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"x" * 100)
    refuses(path, path.read_bytes(), "is not a model file: it looks like a zip archive")


def test_folders_pipes_and_absent_files(tmp_path):
    with pytest.raises(ModelFileError, match=f"^{tmp_path} is a folder, expected a model file$"):
        load(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="pipe is a device or a pipe, expected a model file$"):
        load(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "absent")


def test_a_newer_format_asks_for_a_newer_fastlm(path):
    refuses(path, forge({}, version="3"),
            "has format version '3', expected '1' or '2': a newer fastlm wrote it or it is damaged")


def test_format_1_has_fewer_dtypes_and_begins_its_data_anywhere(path):
    path.write_bytes(forge({"a": tensor()}, struct.pack("<2f", 1, -2), line=8, version="1", note="x"))
    assert load(path)[0]["a"].tolist() == [1, -2]
    unaligned = {"b": tensor("U8", [1], 0, 1), "a": tensor("F32", [1], 1, 5)}
    path.write_bytes(forge(unaligned, b"\7\0\0\x80\x3f", version="1"))
    assert [array.tolist() for array in load(path)[0].values()] == [[7], [1]]
    refuses(path, forge({"a": tensor("U16", [4])}, bytes(8), version="1"),
            "has dtype 'U16' for tensor 'a', expected one of F64, I64, F32, I32, I8, U8")


def test_format_2_is_aligned(path):
    refuses(path, forge({}, line=8, note="of some byte"), "has data that begin at byte 160, expected a multiple of 64")
    refuses(path, forge({"b": tensor("U8", [1], 0, 1), "a": tensor("F32", [1], 1, 5)}, bytes(5)),
            "has tensor 'a' at byte 1 of its data, expected a multiple of 4")


def test_a_header_beyond_the_limit_is_not_read(path):
    size = header.MAX_HEADER + 8
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", size))
        file.truncate(8 + size)
    with pytest.raises(ModelFileError, match=f"would take {size} bytes, expected .* up to {size - 8}$"):
        load(path)


# Hostile files: the digest is right


def test_forged_files_are_read_when_nothing_is_wrong_with_them(path):
    path.write_bytes(forge({"a": tensor()}, struct.pack("<2f", 1, -2)))
    assert path.read_bytes() == TINY.replace(b"@", TINY_DIGEST)
    entries = {"b": tensor("U8", [], 0, 1), "a": tensor("I8", (2, 0, 5), 1, 1)}
    path.write_bytes(forge(entries, b"\x07", note="x"))
    found, card = load(path)
    assert (found["b"][()], found["a"].shape, card) == (7, (2, 0, 5), {"note": "x"})


KNOWN = "F64, I64, F32, I32, I8, U8, U64, U32, F16, U16, I16"
HOLES = "tensors follow each other without holes or overlaps"


@pytest.mark.parametrize("entries, data, sentence", [
    ({"a": tensor()}, 7, "is cut short: tensor 'a' ends at byte 8 of its data, expected at most 7"),
    ({"a": tensor()}, 9, "has 9 bytes of data, expected 8: its tensors take no more"),
    ({}, 1, "has 1 bytes of data, expected 0: its tensors take no more"),
    ({"a": tensor(begin=4, end=12)}, 12,
     f"has data_offsets [4, 12] for tensor 'a', expected [0, 8]: {HOLES}"),
    ({"a": tensor(), "b": tensor(begin=4, end=12)}, 12,
     f"has data_offsets [4, 12] for tensor 'b', expected [8, 16]: {HOLES}"),
    ({"a": tensor(), "b": tensor(begin=12, end=20)}, 20,
     f"has data_offsets [12, 20] for tensor 'b', expected [8, 16]: {HOLES}"),
    ({"a": tensor(end=4)}, 8, f"has data_offsets [0, 4] for tensor 'a', expected [0, 8]: {HOLES}"),
    ({"a": tensor(begin=8, end=0)}, 8, f"has data_offsets [8, 0] for tensor 'a', expected [0, 8]: {HOLES}"),
    ({"a": tensor(begin=-8, end=0)}, 8,
     "has data_offsets [-8, 0] for tensor 'a', expected two whole numbers"),
    ({"a": tensor(begin=0.0)}, 8, "has data_offsets [0.0, 8] for tensor 'a', expected two whole numbers"),
    ({"a": tensor(begin=False)}, 8, "has data_offsets [False, 8] for tensor 'a', expected two whole numbers"),
    ({"a": tensor() | {"data_offsets": [0, 8, 8]}}, 8,
     "has data_offsets [0, 8, 8] for tensor 'a', expected two whole numbers"),
    ({"a": tensor() | {"data_offsets": "08"}}, 8,
     "has data_offsets '08' for tensor 'a', expected two whole numbers"),
    ({"a": tensor(shape=[-2])}, 8, "has shape [-2] for tensor 'a', expected at most 32 whole numbers"),
    ({"a": tensor(shape=[2.0])}, 8, "has shape [2.0] for tensor 'a', expected at most 32 whole numbers"),
    ({"a": tensor(shape=[True, 2])}, 8,
     "has shape [True, 2] for tensor 'a', expected at most 32 whole numbers"),
    ({"a": tensor() | {"shape": None}}, 8,
     "has shape None for tensor 'a', expected at most 32 whole numbers"),
    ({"a": tensor(shape=[1] * 33, end=4)}, 4,
     "has shape [1, 1, 1, 1, 1, 1, ...] for tensor 'a', expected at most 32 whole numbers"),
    ({"a": tensor(shape=[2**31, 2**31, 2])}, 8,
     "has shape [2147483648, 2147483648, 2] for tensor 'a', expected fewer than 2^63 bytes"),
    ({"a": tensor(shape=[2**62 + 2])}, 8,
     "has shape [4611686018427387906] for tensor 'a', expected fewer than 2^63 bytes"),
    ({"a": tensor(shape=[2**32, 2**32, 0], end=0)}, 0,
     "has shape [4294967296, 4294967296, 0] for tensor 'a', expected fewer than 2^63 bytes"),
    ({"a": tensor("BF16")}, 8, f"has dtype 'BF16' for tensor 'a', expected one of {KNOWN}"),
    ({"a": tensor(["F32"])}, 8, f"has dtype ['F32'] for tensor 'a', expected one of {KNOWN}"),
    ({"a": tensor() | {"more": 1}}, 8, None),
    ({"a": {"dtype": "F32", "shape": [2]}}, 8,
     "has {'dtype': 'F32', 'shape': [2]} for tensor 'a', expected dtype, shape and data_offsets"),
    ({"a": [0, 8]}, 8, "has [0, 8] for tensor 'a', expected dtype, shape and data_offsets"),
])
def test_hostile_tensors(path, entries, data, sentence):
    if sentence is None:
        path.write_bytes(forge(entries, bytes(data)))
        with pytest.raises(ModelFileError, match="for tensor 'a', expected dtype, shape and data_offsets$"):
            load(path)
    else:
        refuses(path, forge(entries, bytes(data)), sentence)


OWN = '{"__metadata__":{"format":"fastlm","version":"2","sha256":"@"'


@pytest.mark.parametrize("header, sentence", [
    (OWN + '},"a":1,"a":2}', "has the name 'a' twice in its header, expected once"),
    (OWN + ',"format":"fastlm"}}', "has the name 'format' twice in its header, expected once"),
    (OWN + ',"n":3}}', "has 3 as metadata 'n', expected a string"),
    (OWN + ',"n":null}}', "has None as metadata 'n', expected a string"),
    (OWN + ',"n":NaN}}', "has NaN in its header, expected finite numbers"),
    (OWN + ',"n":1e999}}', "has inf as metadata 'n', expected a string"),
    (OWN.replace('"fastlm"', '"pt"') + "}}",
     "is a safetensors file of something else: its metadata lack the format 'fastlm'"),
    ('{"__metadata__":[]}', "is a safetensors file of something else: its metadata lack the format 'fastlm'"),
    ('{"a":{}}', "is a safetensors file of something else: its metadata lack the format 'fastlm'"),
    (OWN.replace('"2"', "2") + "}}", "has 2 as metadata 'version', expected a string"),
    (OWN.replace('"version":"2",', "") + "}}",
     "has format version None, expected '1' or '2': a newer fastlm wrote it or it is damaged"),
    (OWN.replace(',"sha256":"@"', "") + "}}", "has the digest None, expected 64 hexadecimal digits"),
    (OWN.replace("@", "F" * 64) + "}}",
     f"has the digest '{'F' * 12}...{'F' * 13}', expected 64 hexadecimal digits"),
    (OWN.replace('"sha256"', '"sha25\\u0036"') + "}}", "has 0 digests in its header, expected 1"),
    (OWN.replace('"sha256":', '"sha256": ') + "}}", "has 0 digests in its header, expected 1"),
    ('{"a":' + "[" * 200_000, "has a header nested too deeply, expected two levels"),
    ("{" + '"a":{' * 40_000, "has a header nested too deeply, expected two levels"),
    ("{" + "[]," * 100_000, "has 300001 bytes of structure in its header, expected at most 262144"),
])
def test_hostile_headers(path, header, sentence):
    refuses(path, forge(header), sentence)


@pytest.mark.parametrize("header", [
    b'{"a', b"{]", b"{}{}", OWN.encode() + b',"n":"\xff"}}', OWN.encode() + b',"n":"\xed\xa0\x80"}}',
    OWN.encode() + b',"n":"\\ud800"}}', OWN.encode() + b',"n":"\0"}}',
    OWN.encode() + b',"n":' + b"9" * 5000 + b"}}",
    b'{"' + b'\\"' * 100_000, b'{"' + b"\\" * 100_001, b"{}\xef\xbb\xbf",
])
def test_headers_that_are_not_utf8_json(path, header):
    path.write_bytes(forge(header))
    with pytest.raises(ModelFileError, match=f"^{path} has a header that is not UTF-8 JSON: ") as raised:
        load(path)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("dtype, code", [("F16", "<e"), ("F32", "<f"), ("F64", "<d")])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_floats_that_are_not_finite(path, dtype, code, value):
    count = 2 * (1 << 18) + 3
    for index in (0, 1 << 18, count - 1):
        data = bytearray(count * struct.calcsize(code))
        struct.pack_into(code, data, index * struct.calcsize(code), value)
        refuses(path, forge({"w": tensor(dtype, [count], 0, len(data))}, bytes(data)),
                f"has {value} at index {index} of tensor 'w', expected finite numbers")


def test_a_hostile_name_is_shortened_in_the_sentence(path):
    path.write_bytes(forge({"n" * 100_000: tensor("X" * 100_000)}, bytes(8)))
    with pytest.raises(ModelFileError, match=re.escape("has dtype 'XXXXXXXXXXXX...")) as raised:
        load(path)
    assert len(str(raised.value)) < 300


# Memory


def peak(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_loading_and_saving_take_no_more_memory_than_the_file(path):
    arrays = {name: np.ones((1000, 1000), np.float32) for name in "abc"}
    assert peak(lambda: save(path, arrays, {})) < 2 << 20
    size = path.stat().st_size
    assert size > 12_000_000
    assert peak(lambda: load(path)) < 1 << 20               # it is mapped
    content = path.read_bytes()
    assert peak(lambda: load(content)) < 1 << 20
    changeable = bytearray(content)
    assert size < peak(lambda: load(changeable)) < 1.1 * size


@pytest.mark.parametrize("content", [
    forge({"a": tensor("F64", [2**59 - 1], 0, 8 * (2**59 - 1))}),
    forge({"a": tensor("U8", [2**40], 0, 2**40)}, bytes(100)),
    struct.pack("<Q", 1 << 25) + bytes(100),
    forge('{"a":' + "[" * 4000),
    forge("{" + ",".join(f'"{n}":0' for n in range(500)) + "}"),
    forge('{"a":[' + "[]," * 1300 + "0]}"),
])
def test_a_small_hostile_file_takes_little_memory(path, content):
    path.write_bytes(content)

    def attempt():
        with pytest.raises(ModelFileError):
            load(path)

    attempt()
    assert len(content) < 4200
    assert peak(attempt) < 2 << 20
