"""What is trained in the time there is."""

import re

import numpy as np
import pytest

import fastlm
from fastlm.auto.size import NARROWEST, PASSES, SIZES, Choice, choose, dropout, lookback, measure_speed, own_share, pace
from fastlm.models import KneserNey, Mixture
from fastlm.training.progress import ProgressLine


def test_a_network_is_as_wide_as_what_it_will_read_allows() -> None:
    """Of characters 4 H (H + 64) weights, seven tokens each: 256 units want 2.3 million, 320 units 3.4 million."""
    assert choose(65, 10**6, lambda hidden: 3.4e6) == Choice(288, 0.03, 3.4)
    assert choose(65, 10**6, lambda hidden: 3.5e6).hidden == 320
    assert choose(10_000, 10**6, lambda hidden: 15 * 8 * 160**2).hidden == 160   # words: 8 H^2, fifteen each
    assert choose(65, 10**6, lambda hidden: 1e12 / hidden**2).hidden == 384       # 6.78 million read, 4.82 wanted


def test_a_network_is_no_wider_than_the_text_can_teach_and_read_no_oftener() -> None:
    few = choose(65, 20_000, lambda hidden: 1e9)
    assert few.hidden == 64 and few.passes == PASSES and few.dropout == 0.4   # 96 units have 61,440 weights, not 40,000
    assert choose(65, 100, lambda hidden: 1e9).hidden == SIZES[0] == NARROWEST.hidden


def test_an_embedding_leaves_memory() -> None:
    """Of 200,000 words 96 units are held six times in 24 * 200,000 * 96 = 461 million bytes, 128 in 614 million."""
    assert choose(200_000, 10**7, lambda hidden: 1e12 / hidden**2).hidden == 96
    assert choose(10_000, 10**7, lambda hidden: 1e12 / hidden**2).hidden > 200


def test_too_short_a_time_is_for_ngrams_alone() -> None:
    assert choose(65, 10**6, lambda hidden: 99_000) is None
    assert choose(65, 10**6, lambda hidden: 101_000) == Choice(48, 0.0, pytest.approx(0.101))


@pytest.mark.parametrize(("small", "passes", "wanted"), [
    (True, 0, 0), (True, 2, 0), (True, 4, 0.05), (True, 9, 0.17), (True, 40, 0.4), (True, 99, 0.4),
    (False, 4, 0.05), (False, 9, 0.2), (False, 26, 0.4), (False, 60, 0.5)])
def test_dropout_by_passes(small, passes, wanted) -> None:
    assert dropout(small, passes) == pytest.approx(wanted, abs=0.006)


def test_the_networks_own_share_of_the_loss() -> None:
    """Of characters 96 units have 61,440 weights: read once by as many tokens 0.1, four times 0.6."""
    assert own_share(65, 61_440, Choice(96, 0.0, 1.0)) == own_share(65, 10**7, Choice(96, 0.0, 3.0)) == 0.1
    assert own_share(65, 61_440, Choice(96, 0.0, 4.0)) == own_share(65, 61_440, Choice(96, 0.0, 9.0)) == 0.6
    assert own_share(65, 122_880, Choice(96, 0.0, 5.0)) == 0.35


def test_pace_by_hand() -> None:
    """1e9 multiply-adds a second for ten seconds, two thirds of them used at 165 units."""
    hidden = 150 * np.log(3)
    characters = 3 * hidden * (4 * hidden + 2 * 50) + 1.2e5
    assert pace(50, 10.0, 1e9)(hidden) == pytest.approx(10e9 * 2 / 3 / characters)
    assert pace(1000, 10.0, 1e9)(hidden) == pytest.approx(10e9 * 2 / 3 / (3 * hidden * (8 * hidden + 1000)))
    assert pace(10**5, 10.0, 1e9)(hidden) == pytest.approx(10e9 * 2 / 3 / (3 * hidden * (8 * hidden + 1024)))


def test_wide_networks_beside_ngrams_look_back_by_hand() -> None:
    """Of 65 characters 224 units cost 3 * 224 * (896 + 130) + 1.2e5 = 809,472 multiply-adds, and looking back 500,000;
    of words 128 cost 3 * 128 * (1024 + 1024) = 786,432, and looking back 250,000."""
    assert lookback(65, 192) is None and lookback(10_000, 96) is None
    assert lookback(65, 224) == {"width": 32, "window": 512}
    assert lookback(10_000, 128) == {"width": 32, "window": 100}
    for size, narrow, wide, more in ((65, 192, 224, 809_472 / 1_309_472), (10_000, 96, 128, 786_432 / 1_036_432)):
        alone, beside = pace(size, 10.0, 1e9), pace(size, 10.0, 1e9, beside=True)
        assert beside(narrow) == alone(narrow)
        assert beside(wide) == pytest.approx(more * alone(wide))


def test_the_machine_has_a_speed() -> None:
    assert 1e7 < measure_speed(1, 0.003) < 1e13


def lines(seed: int, count: int) -> str:
    rng = np.random.default_rng(seed)
    return "".join(" ".join(f"w{(7 * i + int(rng.integers(0, 3))) % 30}" for i in range(int(rng.integers(3, 9)))) + "\n"
                   for _ in range(count))


def test_auto_says_what_it_chose() -> None:
    said = []

    class Line(ProgressLine):
        def __init__(self):
            pass

        def say(self, sentence):
            said.append(sentence)

        def __call__(self, figures):
            pass
    short = fastlm.train(["to be or not to be\n"], budget=30, threads=1, progress=Line())
    assert isinstance(short.model, KneserNey)
    assert said == [short.card["chosen"]] == [
        "n-grams alone: 7 tokens are too few to hold some out and weigh a network by them"]
    hurried = fastlm.train([lines(1, 900)], budget=0.002, threads=1)
    assert isinstance(hurried.model, KneserNey) and hurried.card["held_out"] > 0
    assert hurried.card["chosen"] == "n-grams alone: what is left of 0.002 s is too short for a network"
    whole = fastlm.train([lines(1, 900)], model="kneser-ney")   # there was no time to count what was held out
    assert len(hurried.model.tables["logp"]) < len(whole.model.tables["logp"])
    both = fastlm.train([lines(1, 900)], budget=3, threads=2)
    np.testing.assert_array_equal(both.model.parts[0].tables["logp"], whole.model.tables["logp"])
    assert both.model.residual is not None   # how many networks and how wide depends on the machine's speed
    assert re.fullmatch(r"n-grams and (an LSTM|[2-8] LSTMs) of \d+ units(| with dropout 0\.\d+), "
                        r"which will read [\d,]+ tokens about \d+ times", both.card["chosen"])
    words = fastlm.train([" ".join(f"w{i}" for i in range(520)) * 2], epochs=1, min_count=1, threads=1)
    assert type(words.model) is Mixture and words.model.residual is None
    assert words.card["chosen"].endswith(" tokens about 0 times")


def test_enough_passes_end_a_run_before_its_budget() -> None:
    lm = fastlm.train([lines(2, 500)], budget=600, threads=2)
    assert lm.history[-1]["seconds"] < 60 and lm.plan.rates[-1] < 0.02 * max(lm.plan.rates)
    read = lm.history[-1]["tokens"] / lm.card["trained_on"]
    assert 0.95 * PASSES < read <= 1.02 * PASSES


@pytest.mark.parametrize("unit", ["word", "char", "byte"])
@pytest.mark.parametrize(("text", "context", "following"), [
    ("the only line there is\n", "the only ", "line"), ("again " * 3000, "again again ", "again"),
    ("abcdeabcdeabcdeabcde", "abcdeabcdeabcdeabcde", "a"), ("x", "x", None), ("\n" * 5000, "\n\n", "\n")])
def test_any_text_will_do(unit, text, context, following) -> None:
    lm = fastlm.train([text], unit, budget=2.5, threads=2)
    assert lm.model.vocab_size == len(lm.vocabulary) and "chosen" in lm.card
    first, share = lm.next_tokens(context, k=1)[0]
    assert sum(p for _, p in lm.next_tokens(context, k=300)) == pytest.approx(1, abs=1e-4)
    if following is not None and (unit != "word" or following not in "a"):
        assert first == (following if unit == "word" else following[0]) and share > 0.4
    assert np.isfinite(lm.perplexity([text]))
    assert isinstance("".join(lm.generate(context, max_tokens=9, seed=1)), str)
