"""Whether a text has spaces between its words."""

from __future__ import annotations

import re

import numpy as np

from fastlm.text.letters import UNSPACED
from fastlm.text.vocabulary import Vocabulary

_LONG = 10     # characters; hardly a word of the scripts without spaces is as long, and hardly a sentence is shorter
_SHARE = 0.1   # of a text's characters in such sentences; a text of another language quotes fewer

_RUN = re.compile("[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in UNSPACED) + "]+")


def advice_on_spaces(vocabulary: Vocabulary) -> str:
    """Return a sentence where the words of a text are sentences of a script without spaces, such as Chinese; else "".

    A text whose words have been cut apart has no such words, nor have URLs, hexadecimal numbers or German compounds.
    vocabulary: of words, with their counts.

    >>> advice_on_spaces(Vocabulary(["\u6211" * 12, "a"], counts=[1, 9]))
    'the text has few spaces between words: 50 % of its words are seen once; unit="piece" or "char" suits it'
    """
    lengths = np.array([len(token or "") for token in vocabulary.tokens])
    sentences = [id for id in np.flatnonzero(lengths >= _LONG).tolist() if _is_sentence(vocabulary.tokens[id] or "")]
    characters = lengths * vocabulary.counts
    if not sentences or characters[sentences].sum() < _SHARE * characters.sum():
        return ""
    once = (vocabulary.counts == 1).sum() / max(1, (vocabulary.counts > 0).sum())
    return (f"the text has few spaces between words: {once:.0%} of its words are seen once; "
            'unit="piece" or "char" suits it').replace("%", " %")


def _is_sentence(token: str) -> bool:
    """Return whether half of the characters of a token or more are of a script without spaces."""
    return not token.isascii() and 2 * sum(map(len, _RUN.findall(token))) >= len(token)
