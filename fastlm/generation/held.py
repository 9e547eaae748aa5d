"""A prompt that may stop within a word, whose last segment is drawn anew."""

from __future__ import annotations

import numpy as np

from fastlm import _core
from fastlm.text.vocabulary import Vocabulary

Array = np.ndarray


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
