"""How often the contexts of a text occur again."""

import numpy as np
import pytest

from fastlm.models.ngram.repeats import repeats
from fastlm.text.corpus import Corpus


def counted(documents, length: int) -> float:
    """The share of the places whose next tokens, within the document, stand at another place too."""
    windows = [tuple(document[i: i + length]) for document in documents for i in range(len(document))]
    whole = [window for window in windows if len(window) == length]
    return sum(whole.count(window) > 1 for window in whole) / max(1, len(windows))


def test_by_hand() -> None:
    """Of a b c a b d the places 0 and 3 begin the same two tokens, and no place the same three."""
    assert repeats(Corpus.from_ids([[0, 1, 2, 0, 1, 3]]), [1, 2, 3], 6) == [4 / 6, 2 / 6, 0]
    assert repeats(Corpus.from_ids([[7]]), [1, 9], 6) == [0, 0]
    assert repeats(Corpus.from_ids([[7], [7, 7]]), [1, 2], 3) == [1, 0]    # 7 7 does not go on in the next document
    assert repeats(Corpus.from_ids([[0] * 10]), [8, 9], 10) == [0.3, 0.2]


@pytest.mark.parametrize("vocab_size", [1, 2, 30])
def test_all_places_against_windows(vocab_size: int) -> None:
    rng = np.random.default_rng(vocab_size)
    documents = [rng.integers(vocab_size, size=int(n)).tolist() for n in rng.integers(1, 90, 7)]
    corpus = Corpus.from_ids(documents)
    for chunk in (1 << 20, 64, 1):
        assert repeats(corpus, [1, 2, 5, 9, 100], len(corpus), chunk) == pytest.approx(
            [counted(documents, length) for length in (1, 2, 5, 9, 100)])


def test_a_sample_tells_about_all() -> None:
    """Half of the text is copied from the other half, ten tokens at a time."""
    rng = np.random.default_rng(0)
    first = rng.integers(60, size=40_000).astype(np.int32)
    copied = np.concatenate([first[at: at + 10] for at in rng.integers(39_000, size=4_000)])
    corpus = Corpus.from_ids([np.concatenate([first, copied])])
    all_places, sample = (repeats(corpus, [8, 9, 10], places) for places in (80_000, 8_000))
    assert sample == pytest.approx(all_places, abs=0.03) and all_places[0] > all_places[2] > 0.1
