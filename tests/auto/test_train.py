"""fastlm.train: what it makes of its arguments and of the time."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import fastlm
from fastlm.auto.build import build
from fastlm.auto.policy import Policy
from fastlm.models import (
    GRU,
    LSTM,
    SRU,
    DecayedBag,
    Factored,
    FeedForward,
    KneserNey,
    Mixture,
    PositionalOneHot,
    Transformer,
)
from fastlm.training.progress import ProgressLine

EVERYTHING = Policy(negligible_weight=0.0)   # keeps the parts that have no weight
LINES = ["a b c d e f g h i j\n" * 10 + "rare words here\n"]


def test_words_seen_once_become_unknown_where_they_are_few():
    vocabulary, corpus = fastlm.Corpus.build(LINES, fold=True)
    assert "rare" not in vocabulary and "a" in vocabulary
    assert vocabulary.counts[vocabulary.unknown] == 3 and corpus.unknown == 3
    assert vocabulary.counts.sum() == len(corpus.ids)
    assert (np.bincount(corpus.ids, minlength=len(vocabulary)) == vocabulary.counts).all()
    assert vocabulary.decode(corpus.ids[-4:]) == "<unk> <unk> <unk>\n"
    assert (np.diff(vocabulary.counts) <= 0).all()


@pytest.mark.parametrize("text", ["I am a machine learning researcher", "a a a <unk> b\n" * 9 + "rare\n"])
def test_words_seen_once_stay_where_they_are_many_or_the_text_has_its_own_unknowns(text):
    assert fastlm.Corpus.build([text], fold=True)[0] == fastlm.Corpus.build([text])[0]


def test_min_count_one_keeps_every_word():
    assert "rare" in fastlm.train(LINES, "word", epochs=1, min_count=1, threads=1).vocabulary


@pytest.mark.parametrize(("name", "kind"), [
    ("auto", Mixture), ("mixture", Mixture), ("lstm", LSTM), ("gru", GRU), ("sru", SRU),
    ("feed-forward", FeedForward), ("decayed-bag", DecayedBag),
    ("positional-onehot", PositionalOneHot), ("transformer", Transformer)])
@pytest.mark.parametrize("unit", ["word", "char", "byte"])
def test_every_model_trains_on_every_unit_from_the_same_call(name, kind, unit):
    lm = fastlm.train(["to be or not to be\n" * 4], unit=unit, model=name, epochs=2, threads=1)
    assert isinstance(lm.model, kind) and lm.model.vocab_size == len(lm.vocabulary)
    assert abs(sum(p for _, p in lm.next_tokens("to", k=300)) - 1) < 1e-5


@pytest.mark.parametrize("unit", ["word", "char", "byte"])
def test_an_ngram_model_is_counted_and_needs_no_budget(unit):
    lm = fastlm.train(["to be or not to be\n" * 200], unit=unit, model="kneser-ney", threads=2)
    order = 5 if unit == "word" else 8
    assert isinstance(lm.model, KneserNey) and lm.model.order == order and lm.model.boundary is None
    assert lm.card["held_out"] == 0 and lm.card["trained_on"] == lm.card["tokens"]
    assert abs(sum(p for _, p in lm.next_tokens("to", k=300)) - 1) < 1e-5
    assert lm.perplexity(["to be or not to be\n" * 9]) < 1.5
    assert len(lm.history) == 0 and lm.plan is None
    assert lm.history.ended.startswith(f"counted {lm.model.ngrams.nodes:,} n-grams of up to {order} tokens in ")


@pytest.mark.parametrize(("unit", "order", "window", "context", "width"), [
    ("word", 5, 1024, 5, 64), ("char", 8, 8192, 10, 32), ("byte", 8, 8192, 10, 32)])
def test_the_unit_decides_whatever_the_size_of_the_vocabulary(unit, order, window, context, width):
    """600 characters are still characters, and three words are words."""
    several = "".join(chr(0x4E00 + index) for index in range(600))
    vocabulary = fastlm.Vocabulary.build(["a b a" if unit == "word" else several], unit)
    assert (len(vocabulary) > 512) == (unit == "char")
    assert build("kneser-ney", vocabulary, Policy()).order == order
    network = build("lstm", vocabulary, Policy())
    assert network.options["width"] == (48 if unit == "word" else 64)
    assert network.options["tied"] == (unit == "word")
    assert build("feed-forward", vocabulary, Policy()).options["context"] == context
    assert build("feed-forward", vocabulary, Policy()).options["width"] == width
    many = "".join(np.random.default_rng(1).choice(list(several), 4000))
    lm = fastlm.train(["a b a\n" * 700 if unit == "word" else many], unit, model="mixture", epochs=0.05, threads=1)
    assert lm.model.parts[0].order == order and lm.adaptive.window == window
    assert (lm.model.residual is not None) == (unit != "word")


def test_one_architecture_is_built_by_name():
    with pytest.raises(ValueError, match=r"^name = 'mixture'; the name of one architecture was expected$"):
        build("mixture", fastlm.Vocabulary(["a", "b"]), Policy())


def test_an_ngram_model_of_held_out_text_and_of_any_order():
    lm = fastlm.train(["to be or not to be\n" * 20], "word", valid=["to be\n"], model="kneser-ney", order=2, threads=1)
    assert lm.model.order == 2
    assert lm.history[-1]["valid"] == pytest.approx(lm.evaluate(["to be\n"]).nats_per_token)
    assert lm.history[-1]["loss"] == pytest.approx(lm.evaluate(["to be or not to be\n" * 20]).nats_per_token)
    own = fastlm.train(["a b\n" * 1000], "word", model=lambda size: KneserNey(size, 3))
    assert own.model.order == 3 and own.card["held_out"] == 0


def random_text(seed, words=6000):
    """Words that follow each other by rules that change, so that neither counts nor a network know it all."""
    rng = np.random.default_rng(seed)
    out, word = [], 0
    for _ in range(words):
        word = int((3 * word + rng.integers(0, 4)) % 40)
        out.append(f"w{word}")
        if rng.random() < 0.1:
            out.append("\n")
    return " ".join(out)


def test_a_mixture_of_counts_and_a_network():
    text, other = random_text(1), random_text(2, 3000)
    lm = fastlm.train([text], "word", model="mixture", epochs=2, threads=2, order=3, policy=EVERYTHING)
    counts, *factored, network = lm.model.parts
    assert [type(part) for part in factored] == [Factored, Factored]
    assert isinstance(lm.model, Mixture) and isinstance(counts, KneserNey) and isinstance(network, LSTM)
    assert counts.order == 3 and lm.model.weights.sum() == pytest.approx(1) and lm.card["held_out"] > 0
    alone = [fastlm.LanguageModel(lm.vocabulary, part).perplexity([other]) for part in lm.model.parts]
    assert lm.perplexity([other]) < 1.01 * min(alone) < max(alone)   # no worse than the better part, whichever it is
    # the weights are fitted before the n-grams count the held-out text as well
    everything = fastlm.train([text], "word", model="kneser-ney", order=3)
    np.testing.assert_array_equal(counts.tables["grams"], everything.model.tables["grams"])
    assert f"mixed by weights of {lm.model.weights[0]:.2f}, " in lm.history.ended
    again = fastlm.train([text], "word", plan=lm.plan, threads=1)
    assert again.digest() == lm.digest() and again.plan == lm.plan


def test_a_mixture_goes_on_from_its_checkpoint(tmp_path):
    def again(**length):
        return fastlm.train([random_text(5)], "word", model="mixture", threads=1, checkpoint=tmp_path / "run", **length)
    first = again(budget=1.0)
    assert again(budget=1.0).digest() == first.digest()   # the run is over: there is nothing left to do
    (tmp_path / "run").unlink()
    assert again(epochs=1).digest() == again(epochs=1).digest()


def test_a_mixture_goes_on_with_the_ngrams_it_had_time_for(tmp_path):
    def again(**options):
        return fastlm.train([random_text(5)], "word", model="mixture", threads=1, checkpoint=tmp_path / "run",
                            budget=1.0,
                            **options)
    words = replace(Policy().words, factored_seconds=(1e9, 1e9))
    first = again(policy=Policy(words=words))            # no time for n-grams of factors
    second = again()                                     # there would be, by now
    assert len(first.model.parts) == len(second.model.parts) == 2 and second.digest() == first.digest()
    assert second.card["chosen"] == "as in the checkpoint: KneserNey, LSTM"


def test_a_mixture_does_not_go_on_from_a_network(tmp_path):
    fastlm.train([random_text(5)], "word", model="decayed-bag", epochs=0.1, threads=1, checkpoint=tmp_path / "run")
    with pytest.raises(ValueError, match=r"run is a checkpoint of <DecayedBag\(.*>; one of n-grams and networks"):
        fastlm.train([random_text(5)], "word", epochs=0.1, threads=1, checkpoint=tmp_path / "run")


def test_of_a_longer_text_stretches_are_left_out_and_a_plan_does_it_again():
    text = random_text(7) * 3
    lm = fastlm.train([text], "char", epochs=0.2, threads=1)
    assert lm.model.residual is not None and (lm.plan.folds, lm.plan.fitted_folds) == (8, 8)
    again = fastlm.train([text], "char", plan=lm.plan, threads=2)
    assert again.digest() == lm.digest() and again.plan == lm.plan


def test_networks_that_look_back_are_trained_kept_and_trained_again(tmp_path):
    usual = Policy()
    narrow = replace(EVERYTHING, words=replace(usual.words, lookback_from=1, lookback_correcting_from=10**6),
                     characters=replace(usual.characters, lookback_from=10**6, lookback_correcting_from=1))
    for unit, window in (("char", 512), ("word", 100)):
        lm = fastlm.train([random_text(8)], unit, epochs=0.2, threads=1, policy=narrow)
        assert lm.model.parts[-1].options["lookback"] == {"width": 32, "window": window}
        lm.save(tmp_path / "lm.fastlm")
        assert fastlm.load(tmp_path / "lm.fastlm").digest() == lm.digest()
        assert fastlm.train([random_text(8)], unit, plan=lm.plan, threads=2).digest() == lm.digest()


def test_how_much_to_adapt_is_chosen_on_the_held_out_text():
    """Every document has a word of its own, three in ten of its words."""
    rng = np.random.default_rng(4)

    def document():
        own = rng.integers(0, 40)
        return " ".join(f"w{own if rng.random() < 0.3 else rng.integers(0, 40)}" for _ in range(120)) + "\n"
    lm = fastlm.train([document() for _ in range(60)], "word", model="mixture", epochs=1, threads=1)
    other = [document() for _ in range(20)]
    chosen, static = lm.evaluate(other, adapt=True).nats, lm.evaluate(other).nats
    assert lm.adaptive.model is lm.model and lm.adaptive.weights.max() > 0.1
    lm.adaptive = None
    assert chosen < lm.evaluate(other, adapt=True).nats and chosen < 0.99 * static


def test_a_mixture_says_that_its_text_was_counted_in_part():
    in_part = replace(EVERYTHING, counting_bytes=105_000.0)
    lm = fastlm.train([random_text(6)], "char", epochs=0.1, threads=1, policy=in_part)
    assert lm.model.residual is None                    # it would meet what was not counted
    assert " tokens that occur once were left out, to stay within 0.000105 GB" in lm.history.ended


def test_a_mixture_does_not_count_what_judges_it():
    lm = fastlm.train([random_text(3)], "word", model="mixture", budget=1.0, valid=[random_text(4, 500)], threads=2)
    everything = fastlm.train([random_text(3)], "word", model="kneser-ney")
    np.testing.assert_array_equal(lm.model.parts[0].tables["grams"], everything.model.tables["grams"])
    tiny = fastlm.train(["a b a\n"], "word", model="mixture", epochs=1)   # too little to hold anything out
    assert tiny.model.weights.tolist() == [0.25] * 4 and tiny.card["held_out"] == 0


@pytest.mark.parametrize("options, message", [
    ({"epochs": 2}, "epochs = 2 was given; a kneser-ney model is counted in one pass"),
    ({"checkpoint": "x"}, "checkpoint = 'x' was given; a kneser-ney model is counted in one pass"),
    ({"order": 200}, "order = 200; a whole number of 1 to 127 tokens was expected"),
    ({"model": "lstm", "order": 3}, "order = 3 was given; only the models auto, mixture and kneser-ney have one"),
])
def test_what_an_ngram_model_cannot_take(options, message):
    with pytest.raises(ValueError) as caught:
        fastlm.train(["a b a b"], **{"unit": "word", "model": "kneser-ney", **options})
    assert str(caught.value) == message


def test_a_model_of_the_users_choice():
    lm = fastlm.train(["x y z\n" * 5], "word", model=lambda size: FeedForward(size, context=2, hidden=7), epochs=1)
    assert lm.model.options["hidden"] == 7
    with pytest.raises(ValueError, match=r"model = 'gpt'; one of auto, lstm, .* was expected"):
        fastlm.train(["x y z\n"], "word", model="gpt")
    with pytest.raises(ValueError, match=r"model = 3; one of auto, lstm, .* was expected"):
        fastlm.train(["x y z\n"], "word", model=3)
    with pytest.raises(ValueError, match=r"the model is for 3 ids and the text has \d+"):
        fastlm.train(["x y z\n"], "word", model=FeedForward(3), epochs=1)


@pytest.mark.parametrize("name, options", [("kneser-ney", {}), ("feed-forward", {"epochs": 2})])
def test_a_model_of_another_language_model_stays_as_it_is(name: str, options: dict[str, Any]) -> None:
    """Vocabularies of the same size: what is trained is a copy, which counts anew or goes on from the same weights."""
    old = fastlm.train(["the cat sat on the mat\n" * 30], "word", model=name, **options)
    digest, nats = old.digest(), old.score("the cat sat on the mat").nats
    new = fastlm.train(["the zebra ran to the river\n" * 30], "word", model=old.model, **options)
    assert len(new.vocabulary) == len(old.vocabulary) and new.model is not old.model
    assert old.digest() == digest and old.score("the cat sat on the mat").nats == nats
    assert new.perplexity(["the zebra ran to the river\n"]) < 4 and new.digest() != digest


def test_a_twentieth_is_held_out_of_a_longer_text_and_nothing_of_a_short_one():
    short = fastlm.train(["a b\n" * 300], "word", epochs=1, threads=1)
    assert short.card["held_out"] == 0 and short.card["trained_on"] == 900
    longer = fastlm.train(["a b\n" * 1000], "word", epochs=1, threads=1)
    assert longer.card["held_out"] == 150 and longer.card["trained_on"] == 2850
    assert longer.history[-1]["valid"] is not None


def test_a_budget_ends_annealed_and_records_its_plan():
    lm = fastlm.train(["a b c\n" * 50], "word", model="lstm", budget=1.5, threads=1)
    rates = lm.plan.rates
    assert len(rates) == lm.plan.steps > 10 and rates[-1] < 0.1 * rates.max()
    again = fastlm.train(["a b c\n" * 50], "word", plan=lm.plan, threads=2)
    assert again.digest() == lm.digest()


def test_the_softmax_by_the_size_of_the_vocabulary_and_by_name():
    def output(name, size, softmax="auto", rising=False):
        counts = np.arange(size) if rising else np.arange(size, 0, -1)
        vocabulary = fastlm.Vocabulary([f"w{id}" for id in range(size)], counts=counts)
        return build(name, vocabulary, Policy(), softmax=softmax).options.get("output")
    assert output("lstm", 2000) is None and output("lstm", 5000, rising=True) is None
    assert output("lstm", 5000, "full") is None and output("lstm", 9, "adaptive") is None
    for name in ("lstm", "gru", "sru", "feed-forward", "decayed-bag"):
        assert output(name, 2001) == {"name": "sampled", "samples": 1024}
        assert output(name, 5000, "adaptive")["name"] == "adaptive"
    assert output("lstm", 9, "sampled")["samples"] == 9


@pytest.mark.parametrize("options, message", [
    ({"softmax": "hierarchical"}, "softmax = 'hierarchical'; one of auto, full, adaptive, sampled was expected"),
    ({"softmax": "sampled", "unit": "byte"},
     "softmax = 'sampled' needs ids in the order of their counts; these are not"),
    ({"softmax": "full", "model": "kneser-ney"}, "softmax = 'full' was given; only the models auto, lstm, gru, sru, "
                                                 "feed-forward, decayed-bag, transformer and mixture have a choice "
                                                 "of it by name"),
    ({"softmax": "full", "model": FeedForward}, "softmax = 'full' was given; only the models auto, lstm, gru, sru, "
                                                "feed-forward, decayed-bag, transformer and mixture have a choice "
                                                "of it by name"),
])
def test_what_softmax_cannot_be(options, message):
    with pytest.raises(ValueError) as caught:
        fastlm.train(["to be or not to be\n" * 9], **{"unit": "word", "epochs": 1, **options})
    assert str(caught.value) == message


def lines(seed: int, count: int) -> str:
    rng = np.random.default_rng(seed)
    return "".join(" ".join(f"w{(7 * i + int(rng.integers(0, 3))) % 30}" for i in range(int(rng.integers(3, 9)))) + "\n"
                   for _ in range(count))


def test_auto_says_what_it_chose():
    said = []

    class Line(ProgressLine):
        def __init__(self):
            pass

        def say(self, sentence):
            said.append(sentence)

        def __call__(self, figures):
            pass
    short = fastlm.train(["to be or not to be\n"], "word", budget=30, threads=1, progress=Line())
    assert isinstance(short.model, KneserNey)
    assert said == [short.card["chosen"]] == [
        "n-grams alone: 7 tokens are too few to hold some out and weigh a network by them"]
    hurried = fastlm.train([lines(1, 900)], "word", budget=0.002, threads=1)
    assert isinstance(hurried.model, KneserNey) and 0 < hurried.card["held_out"] < 0.03 * hurried.card["tokens"]
    assert hurried.card["chosen"] == "n-grams alone: what is left of 0.002 s is too short for a network"
    whole = fastlm.train([lines(1, 900)], "word", model="kneser-ney")   # there was no time to count what was held out
    assert hurried.model.ngrams.nodes < whole.model.ngrams.nodes
    whole = fastlm.train([lines(1, 900)], "char", model="kneser-ney")
    both = fastlm.train([lines(1, 900)], "char", budget=3, threads=2)
    np.testing.assert_array_equal(both.model.parts[0].tables["grams"], whole.model.tables["grams"])
    assert both.model.residual is not None   # how many networks and how wide depends on the machine's speed
    assert re.fullmatch(r"n-grams and (an LSTM|[2-8] LSTMs) of \d+ units(| with dropout 0\.\d+), "
                        r"which will read [\d,]+ tokens about [\d.]+ times", both.card["chosen"])
    words = fastlm.train([lines(1, 900)], "word", epochs=1, min_count=1, threads=1, policy=EVERYTHING)
    assert words.model.residual is None and words.card["chosen"].endswith(" tokens about 0 times")


def test_enough_passes_end_a_run_before_its_budget():
    lm = fastlm.train([lines(2, 500)], "word", budget=600, threads=2)
    assert lm.plan.rates[-1] < 0.02 * max(lm.plan.rates)
    read = lm.history[-1]["tokens"] / lm.card["trained_on"]
    assert 0.95 * 60 < read <= 1.02 * 60


@pytest.mark.parametrize("unit", ["word", "char", "byte"])
@pytest.mark.parametrize(("text", "context", "following"), [
    ("the only line there is\n", "the only ", "line"), ("again " * 3000, "again again ", "again"),
    ("abcdeabcdeabcdeabcde", "abcdeabcdeabcdeabcde", "a"), ("x", "x", None), ("\n" * 5000, "\n\n", "\n")])
def test_any_text_will_do(unit, text, context, following):
    lm = fastlm.train([text], unit, budget=2.5, threads=2)
    assert lm.model.vocab_size == len(lm.vocabulary) and "chosen" in lm.card
    first, share = lm.next_tokens(context, k=1)[0]
    assert sum(p for _, p in lm.next_tokens(context, k=300)) == pytest.approx(1, abs=1e-4)
    if following is not None and (unit != "word" or following not in "a"):
        assert first == (following if unit == "word" else following[0]) and share > 0.4
    assert np.isfinite(lm.perplexity([text]))
    assert isinstance("".join(lm.generate(context, max_tokens=9, seed=1)), str)


def test_a_plan_holds_out_as_much_as_the_run_it_repeats():
    """Of a network by itself too, where the text is so long that less than a twentieth is held out."""
    lm = fastlm.train([lines(3, 900)], "word", model="decayed-bag", epochs=0.2, threads=1,
                      policy=Policy(held_out_enough=100))
    assert 80 < lm.card["held_out"] < 130
    again = fastlm.train([lines(3, 900)], "word", plan=lm.plan, threads=1)
    assert again.card == lm.card and again.digest() == lm.digest()


def test_few_tokens_and_much_time():
    """A stretch has two tokens or more, however many stretches a long run would like."""
    lm = fastlm.train(["a b a b\n"], "word", model="mixture", budget=60, threads=1, policy=Policy(most_passes=2.0))
    assert lm.plan.batch_size == 2 and lm.card["trained_on"] == 5
