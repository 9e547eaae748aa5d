"""The names of the module `kenlm` over fastlm: what it documents, and the module itself where it is installed."""

import copy
import math
import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastlm
import fastlm.compat.kenlm as kenlm
from fastlm import arpa

ARPA = """\\data\\
ngram 1=6
ngram 2=5
ngram 3=2

\\1-grams:
-1.5\t<unk>
-99\t<s>\t-0.4
-0.8\t</s>
-0.9\ta\t-0.3
-1.0\tb\t-0.2
-1.1\tc

\\2-grams:
-0.3\t<s> a\t-0.1
-0.5\ta b\t-0.25
-0.6\tb c
-0.7\tb </s>
-0.2\tc </s>

\\3-grams:
-0.15\t<s> a b
-0.05\ta b c

\\end\\
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kenlm") / "test.arpa"
    path.write_text(ARPA)
    return path


def test_scores_by_hand(path: Path) -> None:
    model = kenlm.Model(str(path))
    assert model.order == 3 and repr(model) == "<Model from test.arpa>" and isinstance(model.path, bytes)
    # <s> a; <s> a b; a b c; c </s> after backing off from "b c", which has no backoff.
    assert model.score("a b c") == pytest.approx(-0.3 - 0.15 - 0.05 - 0.2)
    assert list(model.full_scores("a b c")) == [(pytest.approx(-0.3), 2, False), (pytest.approx(-0.15), 3, False),
                                                (pytest.approx(-0.05), 3, False), (pytest.approx(-0.2), 2, False)]
    # "zzz": from <s>; then </s> without a context.
    assert list(model.full_scores("zzz")) == [(pytest.approx(-0.4 - 1.5), 1, True), (pytest.approx(-0.8), 1, False)]
    assert model.score("b", bos=False) == pytest.approx(-1.0 - 0.7)
    assert model.score("b", bos=False, eos=False) == pytest.approx(-1.0)
    assert model.score("a b", eos=False) == pytest.approx(-0.45)
    assert model.score("") == pytest.approx(-0.4 - 0.8) and model.score(b" a\tb\x0bc\n") == model.score("a b c")
    assert model.perplexity("a b c") == pytest.approx(10 ** (0.7 / 4))


def test_the_states_of_the_documentation(path: Path) -> None:
    model = kenlm.LanguageModel(path)
    state, other = kenlm.State(), kenlm.State()
    model.BeginSentenceWrite(state)
    total = model.BaseScore(state, "a", other)
    total += model.BaseScore(other, "b", state)
    assert total == pytest.approx(model.score("a b", eos=False))
    full = model.BaseFullScore(state, "</s>", other)
    assert total + full.log_prob == pytest.approx(model.score("a b")) and full.ngram_length == 2 and not full.oov
    assert repr(full) == f"FullScoreReturn({full.log_prob!r}, 2, False)"
    assert model.BaseFullScore(state, "zzz", other).oov


def test_states_are_values(path: Path) -> None:
    model = kenlm.Model(path)
    begin, null, a, b = (kenlm.State() for _ in range(4))
    model.BeginSentenceWrite(begin)
    model.NullContextWrite(null)
    model.BaseScore(begin, "a", a)
    model.BaseScore(a, "b", b)
    assert null == kenlm.State() != begin and len({begin, null, a, b}) == 4
    assert copy.copy(a) == copy.deepcopy(a) == pickle.loads(pickle.dumps(a)) == a and hash(copy.copy(a)) == hash(a)
    states = sorted([b, a, begin, null])
    assert all(x <= y and y >= x and not y < x for x, y in pairwise(states)) and not a > a
    before = copy.copy(a)
    model.BaseScore(a, "b", b)
    assert a == before


def test_which_words_there_are(path: Path) -> None:
    model = kenlm.Model(path)
    assert [word in model for word in ("a", b"b", "<s>", "</s>", "zzz", "<unk>", "")] == [
        True, True, True, True, False, False, False]
    with pytest.raises(TypeError, match="Cannot convert <class 'int'> to string"):
        assert 3 in model
    config = kenlm.Config()
    config.load_method = kenlm.LoadMethod.LAZY
    config.arpa_complain, config.show_progress = kenlm.ARPALoadComplain.NONE, False
    assert kenlm.Model(path, config).score("a") == model.score("a")
    assert pickle.loads(pickle.dumps(model)).score("a b") == model.score("a b")


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Cannot read model '.*none.arpa' \\("):
        kenlm.Model(str(tmp_path / "none.arpa"))
    (tmp_path / "foreign").write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\0" + bytes(99))
    with pytest.raises(OSError, match="Cannot read model"):
        kenlm.Model(tmp_path / "foreign")


@pytest.mark.parametrize("unit", ["word", "char", "byte", "piece"])
@pytest.mark.parametrize("options", [{"model": "kneser-ney"}, {"model": "mixture", "epochs": 1},
                                     {"model": "lstm", "epochs": 1}])
def test_models_of_fastlm(unit: Any, options: dict[str, Any], tmp_path: Path) -> None:
    lm = fastlm.train(["the cat sat on the mat\nthe dog sat\n" * 40], unit, documents="line", **options)
    lm.save(tmp_path / "m.fastlm")
    model = kenlm.Model(tmp_path / "m.fastlm")
    for sentence in ("the cat sat", "the dog", "sat"):
        assert model.score(sentence) == pytest.approx(-lm.score(sentence).nats / math.log(10), rel=1e-4)
        assert model.score(sentence) == pytest.approx(sum(p for p, _, _ in model.full_scores(sentence)))
        assert model.score(sentence, eos=False) > model.score(sentence)
    assert kenlm.Model(lm).score("the cat") == model.score("the cat")
    assert (model.order > 0) == (options["model"] != "lstm")
    assert "cat" in model and ("zebra" in model) == (unit in ("byte", "piece"))


def test_it_agrees_with_the_module_token_by_token(tmp_path: Path) -> None:
    real = pytest.importorskip("kenlm", reason="KenLM's Python module is not installed")
    rng = np.random.default_rng(5)
    words = [f"w{n}" for n in range(40)]
    p = 1 / np.arange(1, 41)
    text = "".join(" ".join(rng.choice(words, int(rng.integers(1, 12)), p=p / p.sum())) + "\n" for _ in range(3000))
    lm = fastlm.train([text], documents="line", model="kneser-ney", order=4, min_count=2)
    arpa.save(lm, tmp_path / "m.arpa")
    ours, theirs = kenlm.Model(str(tmp_path / "m.arpa")), real.Model(str(tmp_path / "m.arpa"))
    assert ours.order == theirs.order == 4
    for line in [*text.splitlines()[:300], "zzz w1 w2 zzz", ""]:
        for bos in (True, False):
            for eos in (True, False):
                found, wanted = list(ours.full_scores(line, bos, eos)), list(theirs.full_scores(line, bos, eos))
                assert [row[1:] for row in found] == [row[1:] for row in wanted]
                np.testing.assert_allclose([row[0] for row in found], [row[0] for row in wanted], atol=2e-5)
                assert ours.score(line, bos, eos) == pytest.approx(theirs.score(line, bos, eos), abs=1e-4)
        assert ours.perplexity(line) == pytest.approx(theirs.perplexity(line), rel=1e-4)
