"""Which n-grams of characters are longer than usual."""

from dataclasses import replace

import numpy as np

import fastlm
from fastlm import Corpus
from fastlm.auto.longer import better, longer_ngrams
from fastlm.auto.policy import Policy, UnitPolicy
from fastlm.auto.request import Text
from fastlm.auto.timetable import Timetable
from fastlm.models import KneserNey, Mixture
from tests.auto.test_blend import asked
from tests.auto.test_timetable import Turned


def repeated(tokens: int = 400, period: int = 40) -> Corpus:
    """Return ids below 30 that come again after so many."""
    return Corpus.from_ids([np.resize(np.random.default_rng(0).integers(30, size=period), tokens).astype(np.int32)])


def order_of_longer(corpus: Corpus, counting: float = 1.0, budget: float | None = None, models: int = 3,
                    held_out: bool = True, order: int | None = None, unit: str = "char", **policy) -> int | None:
    """Return the order of the n-grams that are counted in place of order 8, memory being short; None for none."""
    text = Text(corpus, corpus if held_out else None, None, len(corpus), len(corpus), 0.1)
    request = asked(Policy(**{"cross_fitted_bytes": 1e3} | policy), budget=budget, order=order, unit=unit)
    model = KneserNey(30, order or 8).fit(corpus)
    found = longer_ngrams([model] * models, counting, text, request, Timetable(budget, Turned()))
    return found and found.order


def test_n_grams_that_no_network_corrects_are_longer() -> None:
    """Of 400 tokens the n-grams of order 8 are 40, ten tokens for each; three tables of them take 36,000 bytes."""
    assert order_of_longer(repeated()) == 12
    assert order_of_longer(repeated(), characters=replace(UnitPolicy.usual("char"), uncorrected_order=9)) == 9
    assert order_of_longer(repeated(), order=8) is None and order_of_longer(repeated(), held_out=False) is None
    assert order_of_longer(repeated(), unit="word") is None
    assert order_of_longer(repeated(), large_text=399) is None and order_of_longer(repeated(), large_text=400) == 12
    # where the table fits into memory, networks correct
    assert order_of_longer(repeated(), cross_fitted_bytes=36_000) is None
    assert order_of_longer(repeated(), cross_fitted_bytes=35_999) == 12


def test_longer_n_grams_need_a_text_that_repeats_itself_and_time() -> None:
    assert order_of_longer(repeated(period=400)) is None          # 393 n-grams of 400 tokens
    assert order_of_longer(repeated(), uncorrected_repeats=9.9) == 12
    assert order_of_longer(repeated(), uncorrected_repeats=10.1) is None
    # 2.7 times the two seconds that the usual ones took
    assert order_of_longer(repeated(), 2.0, budget=5.5) == 12 and order_of_longer(repeated(), 2.0, budget=5.3) is None
    assert order_of_longer(repeated(), 2.0, budget=5.3, uncorrected_seconds=2.6) == 12


def test_of_longer_and_usual_n_grams_the_better_are_kept() -> None:
    """A text in which what follows depends on nine tokens, and one in which it depends on a single one."""
    rng = np.random.default_rng(0)
    far = np.concatenate([np.concatenate([[20 + first], np.arange(9), [20 + first]]) for first in
                          rng.integers(10, size=300)])
    near = np.cumsum(rng.choice([1, 2, 3], size=3000)) % 30
    for ids, order in ((far, 12), (near, 8)):
        train, held_out = Corpus.from_ids([ids[:2500].astype(np.int32)]), Corpus.from_ids([ids[2500:].astype(np.int32)])
        text = Text(train, held_out, None, len(ids), len(ids), 0.2)
        usual = KneserNey(30, 8).fit(train)
        assert better(usual, KneserNey(30, 12), text, asked(), 500).order == order


def test_a_plan_repeats_longer_n_grams() -> None:
    """Where a run that is repeated has the memory to correct n-grams, it still does what was done."""
    rng = np.random.default_rng(1)
    sentences = ["".join(chr(0x4E00 + id) for id in rng.integers(60, size=17)) for _ in range(12)]
    text = "\n".join(sentences[int(which)] for which in rng.integers(12, size=200))
    lm = fastlm.train([text], "char", epochs=1, threads=1, policy=Policy(cross_fitted_bytes=1e4))
    assert isinstance(lm.model, Mixture) and [type(part) for part in lm.model.parts[:1]] == [KneserNey]
    assert lm.model.parts[0].options["order"] == 12 and lm.model.residual is None and lm.plan is not None
    again = fastlm.train([text], "char", plan=lm.plan, threads=2)
    assert again.digest() == lm.digest()
    assert fastlm.train([text], "char", epochs=1, order=8, threads=1).digest() != lm.digest()
