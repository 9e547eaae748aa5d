"""The vectors of tokens, by the definition of the cosine and in the format of word2vec."""

from pathlib import Path

import numpy as np
import pytest

import fastlm

TEXT = "the cat sat on the mat\nthe dog sat on the log\n" * 40


@pytest.fixture(scope="module")
def lm() -> fastlm.LanguageModel:
    return fastlm.train([TEXT], model="mixture", epochs=2, min_count=1, seed=1)


def test_the_most_similar_tokens_by_the_cosine(lm: fastlm.LanguageModel) -> None:
    x, id = lm.vectors.astype(float), lm.vocabulary.id("cat")
    cosine = x @ x[id] / (np.linalg.norm(x, axis=1) * np.linalg.norm(x[id]))
    found = lm.most_similar("cat", k=3)
    best = [n for n in np.argsort(-cosine) if n != id][:3]
    assert [token for token, _ in found] == [lm.vocabulary.tokens[n] for n in best]
    assert [value for _, value in found] == pytest.approx(cosine[best], abs=1e-5)
    assert len(lm.most_similar("cat", k=999)) == len(lm.vocabulary) - 1
    assert lm.vectors.shape[0] == len(lm.vocabulary)
    with pytest.raises(ValueError):
        lm.vectors[0, 0] = 1


def test_they_are_written_for_gensim(lm: fastlm.LanguageModel, tmp_path: Path) -> None:
    lm.save_vectors(tmp_path / "v.txt")
    head, *lines = (tmp_path / "v.txt").read_text().splitlines()
    assert head.split() == [str(len(lines)), str(lm.vectors.shape[1])]
    rows = {line.split(" ")[0]: np.array(line.split(" ")[1:], float) for line in lines}
    assert rows.keys() == set(lm.vocabulary.tokens) - {"\n"}
    np.testing.assert_allclose(rows["cat"], lm.vectors[lm.vocabulary.id("cat")], rtol=1e-5)


def test_what_has_no_vectors(lm: fastlm.LanguageModel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no network with an embedding"):
        fastlm.train([TEXT], model="kneser-ney").most_similar("cat")
    with pytest.raises(ValueError, match="'zebra' is not among the"):
        lm.most_similar("zebra")
    with pytest.raises(ValueError, match="k = 0; at least 1 was expected"):
        lm.most_similar("cat", k=0)
    with pytest.raises(ValueError, match="' ' holds white space"):
        fastlm.train([TEXT], "char", model="lstm", epochs=1).save_vectors(tmp_path / "v.txt")
