"""The demonstration compares two ways to the same predictions."""

import numpy as np
import pytest

import fastlm
from fastlm.demo import by_prefix_state, by_reading_anew, compare_times

TEXT = "the cat sat on the mat and the dog lay on the rug\n" * 60


@pytest.mark.parametrize("model", ["auto", "kneser-ney", "lstm"])
def test_both_ways_predict_the_same(model: str) -> None:
    lm = fastlm.train([TEXT], model=model, **({} if model == "kneser-ney" else {"epochs": 1}))
    ids = lm.vocabulary.encode("the dog sat on the cat\nand lay")
    state = [row.copy() for row in by_prefix_state(lm, ids)]
    anew = [row - np.logaddexp.reduce(row.astype(np.float64)) for row in by_reading_anew(lm, ids)]
    assert len(state) == len(anew) == len(ids)
    np.testing.assert_allclose(state, anew, atol=1e-4)
    assert len({round(float(row.max()), 4) for row in state}) > 2   # predictions that differ from prefix to prefix


def test_the_sentence_counts_the_prefixes() -> None:
    lm = fastlm.train([TEXT], model="kneser-ney")
    assert compare_times(lm, TEXT, 9).startswith("All 9 prefixes of a text: ")
