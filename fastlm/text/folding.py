"""Rare words read as unknown ones, so that unknown words are predicted sensibly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastlm.text.corpus import Corpus
from fastlm.text.vocabulary import Vocabulary


def fold_singletons(vocabulary: Vocabulary, corpus: Corpus) -> tuple[Vocabulary, Corpus]:
    """Turn words seen once into ``<unk>``, where that leaves at least nine tenths of the text as it is.

    Returns the vocabulary and the corpus unchanged for characters and bytes, and where the text holds ``<unk>`` itself.
    """
    unknown = vocabulary.unknown
    if vocabulary.unit != "word" or unknown is None or vocabulary.counts[unknown] > 0:
        return vocabulary, corpus
    once = vocabulary.counts == 1
    if vocabulary.end_of_line is not None:
        once[vocabulary.end_of_line] = False
    if not once.any() or once.sum() > 0.1 * len(corpus.ids):
        return vocabulary, corpus
    counts = vocabulary.counts.copy()
    counts[unknown] = once.sum()
    keep = np.flatnonzero(~once)
    keep = keep[np.argsort(-counts[keep], kind="stable")]
    new_id = np.empty(len(vocabulary), np.int32)
    new_id[keep] = np.arange(len(keep))
    new_id[once] = new_id[unknown]
    tokens = [vocabulary.token(int(i)) for i in keep]
    unknown_at = np.flatnonzero(once[corpus.ids])
    left_out = dict(corpus.left_out) | dict.fromkeys((vocabulary.token(int(i)) for i in np.flatnonzero(once)), 1)
    return (Vocabulary(tokens, "word", counts[keep], vocabulary.normalize),
            replace(corpus, ids=new_id[corpus.ids], unknown_at=unknown_at, left_out=left_out))
