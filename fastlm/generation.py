"""Sampling from a prefix model: one step of the model for each token drawn."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

import numpy as np

from fastlm import _core
from fastlm.batch import State
from fastlm.models.base import PrefixModel
from fastlm.text.tokens import RAW_UNITS, TOKENIZER
from fastlm.text.vocabulary import Vocabulary

Array = np.ndarray
_CONTEXT = 4     # tokens before a new one by which a tokenizer tells how that is written, a blank before it for example
_CHARACTER = 8   # tokens that a character may take at most; after more, what is no character is written as U+FFFD


def sample_ids(model: PrefixModel, state: State, logits: Array, temperature: float = 1.0, top_k: int = 0,
               top_p: float = 1.0, seed: int | None = None, banned: Array | None = None, end: int | None = None,
               boundary: int | None = None, held: Held | None = None) -> Iterator[int]:
    """Return an endless iterator of ids drawn from softmax(logits / temperature), each read before the next is drawn.

    state: that of one sequence, which is not changed; logits (V,): what the model predicts there. temperature 0 always
    takes the most likely id. top_k: only the top_k most likely ids are drawn, 0 for all; top_p: of these only the
    smallest set of most likely ids with this probability. banned (n,): ids that are never drawn. end: the id after
    which a new document begins, with nothing read but `boundary`; None for none. held: what is drawn must first go on
    with. The same seed gives the same ids; None for others each time. Raises ValueError, at once, for a number outside
    its range.
    """
    if not temperature >= 0:
        raise ValueError(f"temperature = {temperature}; a number of at least 0 was expected")
    if top_k < 0:
        raise ValueError(f"top_k = {top_k}; 0 for all, or a whole number of at least 1, was expected")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p = {top_p} is outside (0, 1]")
    return _draw(model, state, logits, temperature, top_k, top_p, np.random.default_rng(seed), banned, end, boundary,
                 held)


def _draw(model: PrefixModel, state: State, logits: Array, temperature: float, top_k: int, top_p: float,
          rng: np.random.Generator, banned: Array | None, end: int | None, boundary: int | None,
          held: Held | None) -> Iterator[int]:
    stepper = model.stepper(state)
    p, order = np.empty(len(logits), np.float64), np.empty(len(logits), np.int32)
    allowed, banned = np.array(logits, np.float32), np.zeros(0, np.int64) if banned is None else banned
    top_k = min(top_k, len(logits))
    while True:
        allowed[banned] = -np.inf
        if held is not None:
            held.hold(allowed)
        drawn = int(_core.sample(allowed, temperature, top_k, top_p, rng.random(), p, order))
        if held is not None:
            held.drawn(drawn)
        yield drawn
        if drawn == end:
            stepper = model.stepper(model.start(1))
        allowed = stepper.step(drawn if drawn != end or boundary is None else boundary)[0]


class Held:
    """The last segment of a prompt in pieces, which is taken back and drawn anew, since the text may stop within a
    word.

    ``ids``: the prompt without it; ``rest``: its bytes that are not drawn yet. Pieces that begin with the rest, or that
    the rest begins with, may be drawn. "Token healing", as it is known for completing code.
    """

    def __init__(self, vocabulary: Vocabulary, ids: Array) -> None:
        """Take the last segment back from the ids (n,) of a prompt, of which there is at least one."""
        self.names = [(token or "").encode("utf-8", "surrogateescape") for token in vocabulary.tokens]
        if vocabulary.end_of_document is not None:
            self.names[vocabulary.end_of_document] = b""
        table = _core.WordTable(np.zeros(0, np.uint8), np.zeros(1, np.int64))
        text = b"".join(self.names[i] for i in ids.tolist())
        segments = np.empty(len(text) + 1, np.int32)
        _, written = table.learn_segments(text, 0, segments)
        _, ends = table.arrays()
        last = int(segments[written - 1])
        wanted = int(ends[last + 1] - ends[last])
        taken = 0
        while len(ids) and wanted > 0:
            wanted -= len(self.names[int(ids[-1])])
            ids, taken = ids[:-1], taken + len(self.names[int(ids[-1])])
        self.ids, self.rest = ids, text[len(text) - taken:]

    def hold(self, logits: Array) -> None:
        """Make the pieces that do not fit the rest impossible."""
        if self.rest:
            fits = [bool(name) and (name.startswith(self.rest) or self.rest.startswith(name)) for name in self.names]
            logits[~np.array(fits)] = -np.inf

    def drawn(self, id: int) -> None:
        """Take what was drawn from the rest."""
        self.rest = self.rest[len(self.names[id]):]


def texts_of(vocabulary: Vocabulary, ids: Iterator[int], count: int, prompt: str, held: int = 0) -> Iterator[str]:
    """Yield the text of the first `count` ids, whole characters at a time; where a document ends a line ends too.

    prompt: the text before, after which a space stands before a first word. held: bytes at the end of the prompt that
    are drawn again; pieces of nothing else do not count.
    """
    if vocabulary.unit == TOKENIZER:
        yield from _decoded(vocabulary, ids, count, prompt)
        return
    apart = bool(prompt) and not prompt[-1].isspace()
    line_ended = False
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while count > 0:
        i = next(ids)
        token = vocabulary.tokens[i] or ""
        count -= held < len(token.encode("utf-8", "surrogateescape")) or not held
        if i == vocabulary.end_of_document:
            piece = decoder.decode(b"", True)
            piece += "" if line_ended and not piece else "\n"
        elif vocabulary.unit in RAW_UNITS:
            raw = token.encode("utf-8", "surrogateescape")
            piece = decoder.decode(raw[held:])
            held = max(0, held - len(raw))
        elif vocabulary.unit == "word" and token != "\n":
            piece, apart = (" " if apart else "") + token, True
        else:
            piece, apart = token, False
        if piece:
            line_ended = piece.endswith("\n")
            yield piece


def _decoded(vocabulary: Vocabulary, ids: Iterator[int], count: int, prompt: str) -> Iterator[str]:
    """Yield the text of ids as the user's tokenizer decodes them, each after the few before it."""
    known = vocabulary.read(prompt).tolist()[-_CONTEXT:] if prompt else []
    new: list[int] = []
    line_ended = False
    for _, i in zip(range(count), ids, strict=False):
        if i == vocabulary.end_of_document:
            if not line_ended:
                yield "\n"
            known, new, line_ended = [], [], True
            continue
        new.append(i)
        before, text = vocabulary.decode(known), vocabulary.decode(known + new)
        if text.endswith("\ufffd") and len(new) < _CHARACTER:
            continue
        known, new = (known + new)[-_CONTEXT:], []
        if text[len(before):]:
            line_ended = text.endswith("\n")
            yield text[len(before):]
