"""How a blend spends its time, on a clock that a test turns."""

from dataclasses import replace
from math import inf
from types import SimpleNamespace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import fastlm
from fastlm import Corpus
from fastlm.auto import blend, design
from fastlm.auto import count as counter
from fastlm.auto.cross_fit import Folds
from fastlm.auto.policy import Policy
from fastlm.auto.request import Request, Text
from fastlm.auto.timetable import Timetable
from fastlm.models import KneserNey, Mixture
from fastlm.text.sources.reading import Reading
from fastlm.training import Plan
from fastlm.training.budget import Clock
from fastlm.training.interrupt import Interrupt
from tests.auto.test_timetable import Turned


class Ticking(Clock):
    """A clock on which a second passes whenever it is read."""

    def __init__(self) -> None:
        self.at = 0.0

    def seconds(self) -> float:
        self.at += 1
        return self.at


class Counted:
    """n-grams that take so many seconds to count, on a clock that is turned."""

    def __init__(self, clock: Turned, seconds: float) -> None:
        self.clock, self.takes, self.tokens, self.kept = clock, seconds, [], []
        self.tables = {"word": np.zeros(10, np.int32), "logp": np.zeros(90, np.float64)}
        self.ngrams = SimpleNamespace(nodes=10)
        self.parameters: dict = {}
        self.options: dict = {}

    def fit(self, corpus, threads, budget_bytes, kept_share=1.0):
        self.clock.at += self.takes
        self.tokens.append(len(corpus.ids))
        self.kept.append(kept_share)
        return self


def asked(policy: Policy | None = None, **changes) -> Request:
    usual = {"unit": "char", "tokenizer": None, "valid": None, "model": "auto", "budget": None, "seed": 0, "threads": 1,
             "epochs": None, "plan": None, "documents": "file", "min_count": None, "max_size": None, "order": None,
             "softmax": "auto", "precision": 32,
             "optimizer": None, "progress": None, "checkpoint": None, "checkpoint_every": 60.0,
             "interrupt": Interrupt(), "reading": Reading()}
    return Request(**usual | changes, policy=policy or Policy())


def cut(train: int = 90, held_out: int | None = 10, whole: bool = True) -> Text:
    def corpus(tokens: int) -> Corpus:
        return Corpus.from_ids([np.zeros(tokens, np.int32)])
    total = train + (held_out or 0)
    return Text(corpus(train), None if held_out is None else corpus(held_out), corpus(total) if whole else None, total,
                total, 0.1)


def count(budget: float | None, seconds: tuple[float, ...] = (2.0, 4.0, 1.0), recorded: bool = False,
          policy: Policy | None = None, text: Text | None = None) -> list[int]:
    """Return which of three models are counted, on a clock of which nothing else takes any."""
    clock = Turned()
    candidates = [Counted(clock, each) for each in seconds]
    request = asked(policy or POLICY, budget=budget)
    counts = counter.count(candidates, text or cut(), request, Timetable(budget, clock), recorded)
    assert all(model.tokens == [90] for model in counts)
    return [candidates.index(model) for model in counts]


# Characters: factored n-grams are expected to take twice as long as plain ones, and half as long; saving and weighing
# take no time.
POLICY = replace(Policy(saving_seconds=0.0, saving_speed=inf, gate_seconds=0.0), characters=replace(
    Policy().characters, factored_seconds=(2.0, 0.5)))


def test_n_grams_are_counted_while_there_is_time() -> None:
    """Two seconds for the first; the second is expected to take four, the third one."""
    assert count(7.0) == count(None) == count(9.9, recorded=True) == count(1.0, recorded=True) == [0, 1, 2]
    assert count(6.5) == [0, 1] and count(5.9) == [0, 2] and count(2.9) == [0]
    assert count(99.0, text=cut(held_out=None)) == [0] and count(None, text=cut(held_out=None)) == [0, 1, 2]
    assert count(None, policy=Policy(large_text=89)) == [0] and count(None, policy=Policy(large_text=90)) == [0, 1, 2]


def test_what_took_longer_than_expected_makes_the_next_seem_longer() -> None:
    """The second took eight seconds, twice what was expected; so the third will take two, not one."""
    assert count(12.0, (2.0, 8.0, 1.0)) == [0, 1, 2] and count(11.9, (2.0, 8.0, 1.0)) == [0, 1]
    assert count(7.0, (2.0, 0.1, 1.0)) == [0, 1, 2]      # never shorter


def test_what_must_follow_counting_has_its_time() -> None:
    """Weighing 2,000 tokens takes two seconds, saving half a second and 760 bytes of each model at 1,520 a second."""
    policy = replace(POLICY, gate_seconds=1e-3, weighed_tokens=2000, saving_seconds=0.5, saving_speed=1520.0)
    assert count(10.5, policy=policy) == [0, 1, 2] and count(8.99, policy=policy) == [0, 2]
    assert count(9.0, policy=policy) == [0, 1]


def test_without_networks_the_rest_of_the_time_counts_the_held_out_text() -> None:
    """Of two models with as many n-grams each takes half of six seconds; with five left there is time for one."""
    def again(left: float, whole: bool = True, budget: float | None = 10.0) -> list[list[int]]:
        clock = Turned(10.0 - left)
        counts = [Counted(clock, 3.0), Counted(clock, 3.0)]
        mixture = SimpleNamespace(parts=counts)
        counter.count_again_in_time(mixture, cut(whole=whole), 6.0, asked(budget=budget), Timetable(budget, clock),
                                    [0.5, 1.0])
        assert all(model.kept in ([], [share]) for model, share in zip(counts, (0.5, 1.0), strict=True))
        return [model.tokens for model in counts]
    assert again(6.0) == [[100], [100]] and again(5.0) == [[100], []] and again(2.9) == [[], []]
    assert again(9.0, whole=False) == again(9.0, budget=None) == [[], []]


def test_folds_are_made_for_a_network_that_will_have_time() -> None:
    """One fold of 0.7 times ten seconds leaves 2 of 9, in which the narrowest network reads 100,000 tokens or not."""
    vocabulary, text = fastlm.Vocabulary(list("abcde"), "char"), cut(80_000)

    def leaves(speed: float, budget: float | None = 9.0, model: str = "auto") -> bool:
        return design.leaves_time(Folds(8, 1, 7.0), speed, vocabulary, text, asked(budget=budget, model=model),
                                 Timetable(budget, Turned()))
    assert leaves(1e11) and not leaves(1e9) and not leaves(1e11, budget=6.9)
    assert leaves(0.0, budget=None) and leaves(0.0, model="mixture")    # which has a network in any case


def test_how_many_bytes_networks_are_expected_to_take() -> None:
    """16 bits a weight of the network that the time left would allow; none where there is too little of it."""
    vocabulary, text = fastlm.Vocabulary(list("abcde"), "char"), cut(80_000)

    def expected(budget: float | None, folds: Folds | None = None, speed: float = 1e11, **options) -> float:
        return design.expected_bytes(folds, speed, vocabulary, text, asked(budget=budget, **options),
                                     Timetable(budget, Turned()))
    narrow, corrects = 4 * (4 * 48 * (48 + 64) + 5 * (64 + 48)), 4 * (4 * 48 * (48 + 64) + 5 * (64 + 2 * 48))
    assert expected(0.01) == 0.0 and expected(0.01, model="mixture") == narrow
    fold = Folds(8, 1, 7.0)
    assert expected(7.01, fold) == 0.0 and expected(7.01, fold, model="mixture") == corrects
    assert expected(9.0) > expected(9.0, fold) > corrects
    assert expected(9.0) == 2 * expected(9.0, precision=16) > 2 * expected(9.0, precision=16, max_bytes=100_000) > 0


def test_the_whole_text_is_counted_where_a_tenth_of_the_time_is_enough() -> None:
    def again(counting: float, text: Text | None = None, budget: float | None = 100.0, **options) -> bool:
        return counter.is_counted_again(text or cut(), counting, asked(**options), Timetable(budget, Turned(), 0.985))
    assert again(9.85) and not again(9.86) and again(1e9, budget=None)
    assert not again(1.0, cut(held_out=None)) and not again(1.0, cut(whole=False))

    def recorded(recounted: bool) -> Plan:
        return Plan({}, {}, "", 0.0, "", 1, 1, 1, 0, recounted=recounted)
    assert again(1.0, budget=None, plan=recorded(True)) and not again(1.0, budget=None, plan=recorded(False))
    assert again(20.0, policy=Policy(recount_share=0.21))


def test_writing_takes_time_by_the_size_of_the_tables() -> None:
    """Of each model 40 + 720 bytes."""
    counts = [Counted(Turned(), 0.0), Counted(Turned(), 0.0)]
    request = asked(Policy(saving_seconds=0.5, saving_speed=1000.0))
    assert counter.saving_seconds(counts, request) == pytest.approx(0.5 + 1.52)


def test_how_many_tokens_are_weighed() -> None:
    def tokens(budget: float | None) -> int:
        return counter.weighed_tokens(asked(), Timetable(budget, Turned()))
    assert [tokens(0.3), tokens(1.0), tokens(2.5), tokens(60.0), tokens(None)] == [2000, 2000, 5000, 16384, 16384]


def test_a_sample_tells_how_long_weighing_takes() -> None:
    """A second passes while it is scored; four times as many tokens take four, a fifth of it is a margin; 2,000
    tokens weighed by a gate of a thousandth of a second each take two."""
    request = asked(Policy(gate_seconds=1e-3, fewest_weighed=7))

    def weighed(budget: float | None, networks: bool = True) -> tuple[int, float]:
        parts = [KneserNey(3), fastlm.models.LSTM(3, hidden=2)] if networks else [KneserNey(3)]
        timetable = Timetable(budget, Ticking())
        return blend.tokens_to_weigh(Mixture(3, parts), cut(held_out=300), request, timetable), timetable.reserved()
    assert weighed(1e3) == (16384, pytest.approx(1.2 * 4 + 16.384))
    assert weighed(None) == (16384, 0.0) and weighed(1e3, networks=False) == (16384, 0.0)
    # A second has passed of 12: 0.15 of the rest are enough for 1,276 tokens of 1.2 / 4,096 + 0.001 seconds each.
    assert weighed(12.0)[0] == 1276 and weighed(1.0) == (7, pytest.approx(7 * (1.2 / 500 + 1e-3)))


def test_n_grams_alone_and_why() -> None:
    vocabulary = fastlm.Vocabulary(list("abcde"), "char")

    def chosen(model: str = "auto", held_out: int | None = 10, budget: float | None = 30.0, at: float = 40.0,
               epochs: float | None = None) -> tuple[object, str]:
        return design.choose_networks(vocabulary, 90, cut(held_out=held_out), asked(model=model, epochs=epochs),
                                     Timetable(budget, Turned(at)), 1e9)
    assert chosen() == (None, "n-grams alone: what is left of 30 s is too short for a network")
    assert chosen(held_out=None) == (
        None, "n-grams alone: 90 tokens are too few to hold some out and weigh a network by them")
    size, sentence = chosen("mixture")
    assert size.hidden == 48 and sentence == (
        "n-grams and an LSTM of 48 units with dropout 0, which will read 90 tokens about 0 times")
    size, sentence = chosen(budget=None, epochs=2000.0)
    assert size.hidden == 48 and size.passes == 60.0 and sentence.endswith("dropout 0.4, which will read 90 tokens "
                                                                           "about 60 times")


@pytest.mark.parametrize(("budget", "reserved", "wanted", "passes"), [
    (100.0, 12.5, 12.5, 60.0), (10.0, 12.5, 5.0, 60.0), (None, 12.5, 12.5, 3.0)])
def test_training_leaves_time_to_what_follows_but_has_half_of_it(monkeypatch, budget, reserved, wanted, passes) -> None:
    told = {}

    def fit_network(network, text, request, timetable, batch_size, length, reserve, passes, loss):
        assert loss == "cross_entropy"
        told.update(batch_size=batch_size, length=length, reserve=reserve, passes=passes, tokens=len(text.train.ids))
        return "history", "plan"
    monkeypatch.setattr(blend, "fit_network", fit_network)
    timetable = Timetable(budget, Turned())
    timetable.reserve("saving", reserved)
    vocabulary, text = fastlm.Vocabulary(list("abcde"), "char"), cut(700, held_out=None)
    mixture = Mixture(5, [KneserNey(5), fastlm.models.LSTM(5, hidden=3)])
    request = asked(budget=budget, epochs=3.0 if budget is None else None)
    design = blend.Design(mixture, text.train, "")
    assert blend.train_networks(design, vocabulary, text, request, timetable) == ("history", "plan")
    batch_size = 32 if budget == 100.0 else 5   # long runs have wide batches, others a lane for every 128 tokens
    assert told == {"batch_size": batch_size, "length": 32, "reserve": wanted, "passes": passes, "tokens": 700}


def test_without_networks_there_is_nothing_to_train() -> None:
    design = blend.Design(Mixture(5, [KneserNey(5), KneserNey(5)]), cut().train, "")
    vocabulary, timetable = SimpleNamespace(unit="char"), Timetable(None, Turned())
    history, plan = blend.train_networks(design, vocabulary, cut(), asked(), timetable)
    assert plan is None and str(history) == "counted 10 n-grams"


def test_weights_are_the_same_whatever_the_blas_may_use() -> None:
    """Two threads of it would add the same products up in another order."""
    rng = np.random.default_rng(2)
    ids = (np.cumsum(rng.integers(1, 3, 9000)) * 7 % 11).astype(np.int32)
    held_out = Corpus.from_ids([ids[6000:]])
    found = []
    for threads in (1, 4):
        model = Mixture(11, [KneserNey(11, order=order).fit([ids[:6000]]) for order in (3, 1, 2)])
        text = Text(held_out, held_out, None, 9000, 9000, 0.5)
        with threadpool_limits(threads, user_api="blas"):
            blend.weigh(model, fastlm.Vocabulary(list("abcdefghijk"), "char"), text, 1 << 14,
                        asked(Policy(negligible_weight=0.0)), Timetable(None, Turned()))
        found.append((model.weights.tobytes(), model.gate.tobytes()))
        assert model.gate.any()
    assert found[0] == found[1]
