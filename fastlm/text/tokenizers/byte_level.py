"""The tokenizer.json of byte-level pieces, as GPT-2 has them: read without any package, and written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any, BinaryIO, NoReturn

import numpy as np

from fastlm.files.atomic import replace
from fastlm.text.sources.reading import FORMS
from fastlm.text.tokenizers.packages import as_bytes, bytes_of, letters_of

Array = np.ndarray
# Patterns of pre-tokenizers that cut as our own kernels do, by the name of the rule: `pieces.CUTTINGS`.
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# Our own rule, csrc/segments.c, but for its limit of 64 bytes: punctuation beyond ASCII, which is no letter there, and
# the pattern of apostrophes after letters, letters, digits, marks and white space.
_MARKS = (r"\u00A0-\u00A9\u00AB-\u00B4\u00B6-\u00B9\u00BB-\u00BF\u060C\u060D\u061B\u061F\u066A-\u066D\u0964\u0965"
          r"\u2000-\u200B\u200E-\u206F\u3000-\u3004\u3008-\u3020\uFF01-\uFF0F\uFF1A-\uFF20"
          r"\uFF3B-\uFF40\uFF5B-\uFF65")
_LETTER = rf"[^\u0000-@\[-`{{-\u007F{_MARKS}]"
_MARK = rf"[\u0000-\u0008\u000E-\u001F!-/:-@\[-`{{-\u007F{_MARKS}]"
OWN = (rf"(?<=[^\u0000-@\[-`{{-\u007F])['\u2019]{_LETTER}+| ?{_LETTER}+| ?[0-9]{{1,3}}| ?{_MARK}+"
       r"|[\t-\r ](?:[\t-\r]| (?![^\t-\r ]))*")
PATTERNS = {GPT2: "gpt2", GPT2.removesuffix(r"|\s+") + r"|\s": "gpt2", OWN: "fastlm"}
# Names of the token that ends a document, the most frequent ones first.
ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "<end>")


class NotByteLevel(ValueError):
    """Says, in a sentence, why a tokenizer is none that our own kernels apply."""


@dataclass(frozen=True, eq=False)
class ByteLevel:
    """What a tokenizer.json says: ``tokens``, by its ids, None for special ones and gaps; ``merges`` (M, 3) int32, in
    their order; ``cutting``, the rule for segments; ``normalize``; ``end``, the id that ends a document, or None."""

    tokens: list[str | None]
    merges: Array
    cutting: str
    normalize: str | None
    end: int | None


def parse(settings: Any) -> ByteLevel:
    """Return what the JSON of a tokenizer.json says. Raises NotByteLevel for one that our kernels do not apply."""
    if not isinstance(settings, dict) or not isinstance(settings.get("model"), dict):
        raise NotByteLevel("there is no model in it")
    model = settings["model"]
    if model.get("type", "BPE") != "BPE" or not isinstance(model.get("vocab"), dict):
        raise NotByteLevel(f"its model is {model.get('type')!r}; 'BPE' was expected")
    for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges"):
        if model.get(name):
            raise NotByteLevel(f"its {name} is {model[name]!r}; none was expected")
    special = _special(settings.get("added_tokens") or ())
    ids: Mapping[str, Any] = model["vocab"]
    for token, id in ids.items():
        if type(id) is not int or not 0 <= id < 2 * len(ids) + 1024:
            raise NotByteLevel(f"the id of {token!r} is {id!r}; whole numbers without large gaps were expected")
    tokens: list[str | None] = [None] * (max([*ids.values(), *special.values()], default=-1) + 1)
    for token, id in ids.items():
        if token not in special:
            if bytes_of(token) is None or tokens[id] is not None:
                raise NotByteLevel(f"the token {token!r} is not written in letters of bytes, or shares its id {id}")
            tokens[id] = as_bytes(token)
    missing = {bytes([value]) for value in range(256)} - {bytes_of(token) for token in ids}
    if missing:
        raise NotByteLevel(f"the byte 0x{min(missing)[0]:02X} has no token; every byte was expected to have one")
    end = next((special[name] for name in ENDS if name in special), None)
    return ByteLevel(tokens, _merges(model.get("merges"), ids), _cutting(settings.get("pre_tokenizer")),
                     _form(settings.get("normalizer")), end)


def written(names: list[bytes], merges: Array, cutting: str, normalize: str | None, end: int | None) -> str:
    """Return a tokenizer.json by which `tokenizers` cuts texts as pieces do, and has the same ids.

    names: the bytes of every piece, by their ids; merges (M, 3), cutting, normalize, end: as in `ByteLevel`. Of the
    segments of cutting "fastlm" the limit of 64 bytes is left out, which no pattern can say.
    """
    vocab = {ENDS[0] if id == end else letters_of(name): id for id, name in enumerate(names)}
    added = [] if end is None else [{"id": end, "content": ENDS[0], "single_word": False, "lstrip": False,
                                     "rstrip": False, "normalized": False, "special": True}]
    letters = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": cutting == "gpt2"}
    split = {"type": "Split", "pattern": {"Regex": OWN}, "behavior": "Isolated", "invert": False}
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
             "vocab": vocab, "merges": [f"{letters_of(names[left])} {letters_of(names[right])}"
                                        for left, right, _ in merges.tolist()]}
    return json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": None if normalize is None else {"type": normalize},
        "pre_tokenizer": letters if cutting == "gpt2" else {"type": "Sequence", "pretokenizers": [split, letters]},
        "post_processor": None, "decoder": letters, "model": model}, ensure_ascii=False, indent=1)


def write_pieces(path: str | PathLike[str], vocabulary: Any) -> None:
    """Write a `Vocabulary` of pieces as a tokenizer.json. Raises ValueError for another unit, and OSError."""
    if vocabulary.unit != "piece":
        raise ValueError(f"the vocabulary is of unit {vocabulary.unit!r}; pieces were expected for a tokenizer.json")
    names = [(token or "").encode("utf-8", "surrogateescape") for token in vocabulary.tokens]
    cutting = "fastlm" if vocabulary.origin is None else vocabulary.origin.cutting
    text = written(names, vocabulary.merges, cutting, vocabulary.normalize, vocabulary.end_of_document)

    def write(file: BinaryIO) -> None:
        file.write(text.encode())
    replace(path, write)


def _special(added: Any) -> dict[str, int]:
    """Return the added tokens; refuse those that are cut out of texts like others."""
    out = {}
    for entry in added:
        if not isinstance(entry, dict) or type(entry.get("id")) is not int or not 0 <= entry["id"] < 1 << 24:
            _refuse("added_tokens", entry)
        if not entry.get("special"):
            raise NotByteLevel(f"{entry.get('content')!r} is an added token that texts are cut at; only special tokens "
                               "were expected")
        out[str(entry.get("content"))] = entry["id"]
    return out


def _merges(found: Any, ids: Mapping[str, int]) -> Array:
    if not isinstance(found, list):
        _refuse("merges", found)
    rows = np.empty((len(found), 3), np.int32)
    for n, pair in enumerate(found):
        try:
            left, right = pair.split(" ") if isinstance(pair, str) else pair   # the older and the newer form
            rows[n] = ids[left], ids[right], ids[left + right]
        except (KeyError, TypeError, ValueError):
            _refuse("merges", pair)
    return rows


def _cutting(found: Any) -> str:
    """Return the rule for segments of a pre-tokenizer."""
    if isinstance(found, dict) and found.get("type") == "ByteLevel":
        if found.get("use_regex", True) and not found.get("add_prefix_space", True):
            return "gpt2"
        _refuse("pre_tokenizer", found)
    parts = found.get("pretokenizers") if isinstance(found, dict) and found.get("type") == "Sequence" else None
    if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(part, dict) for part in parts):
        _refuse("pre_tokenizer", found)
    split, letters = parts
    pattern = split.get("pattern")
    rule = PATTERNS.get(pattern.get("Regex", "")) if isinstance(pattern, dict) else None
    isolated = split.get("type") == "Split" and split.get("behavior") == "Isolated" and not split.get("invert")
    plain = letters.get("type") == "ByteLevel" and not letters.get("use_regex", True) and \
        not letters.get("add_prefix_space", True)
    if rule is None or not isolated or not plain:
        _refuse("pre_tokenizer", found)
    return rule


def _form(found: Any) -> str | None:
    """Return the normalisation form of a normalizer, None for none."""
    if isinstance(found, dict) and found.get("type") == "Sequence" and isinstance(found.get("normalizers"), list):
        if not found["normalizers"]:
            return None
        found = found["normalizers"][0] if len(found["normalizers"]) == 1 else found
    if found is None:
        return None
    if not isinstance(found, dict) or found.get("type") not in FORMS:
        _refuse("normalizer", found)
    return str(found["type"])


def _refuse(name: str, found: Any) -> NoReturn:
    raise NotByteLevel(f"its {name}, {json.dumps(found, default=str)[:200]}, is none that fastlm applies by itself")
