"""fastlm.train: what it makes of its arguments."""

import numpy as np
import pytest

import fastlm
from fastlm.auto.blend import _folds
from fastlm.auto.build import build
from fastlm.auto.size import MOST, Choice
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
from fastlm.text.folding import fold_singletons

LINES = ["a b c d e f g h i j\n" * 10 + "rare words here\n"]


def test_words_seen_once_become_unknown_where_they_are_few():
    vocabulary, corpus = fold_singletons(*fastlm.Corpus.build(LINES))
    assert "rare" not in vocabulary and "a" in vocabulary
    assert vocabulary.counts[vocabulary.unknown] == 3 and corpus.unknown == 3
    assert vocabulary.counts.sum() == len(corpus.ids)
    assert (np.bincount(corpus.ids, minlength=len(vocabulary)) == vocabulary.counts).all()
    assert vocabulary.decode(corpus.ids[-4:]) == "<unk> <unk> <unk>\n"
    assert (np.diff(vocabulary.counts) <= 0).all()


@pytest.mark.parametrize("text", ["I am a machine learning researcher", "a a a <unk> b\n" * 9 + "rare\n"])
def test_words_seen_once_stay_where_they_are_many_or_the_text_has_its_own_unknowns(text):
    vocabulary, corpus = fastlm.Corpus.build([text])
    assert fold_singletons(vocabulary, corpus)[0] == vocabulary


def test_min_count_one_keeps_every_word():
    assert "rare" in fastlm.train(LINES, epochs=1, min_count=1, threads=1).vocabulary


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
    assert isinstance(lm.model, KneserNey) and lm.model.order == 8 and lm.model.boundary is None
    assert build("kneser-ney", 513).order == 5
    assert lm.card["held_out"] == 0 and lm.card["trained_on"] == lm.card["tokens"]
    assert abs(sum(p for _, p in lm.next_tokens("to", k=300)) - 1) < 1e-5
    assert lm.perplexity(["to be or not to be\n" * 9]) < 1.5
    assert len(lm.history) == 0 and lm.plan is None
    assert lm.history.ended.startswith(f"counted {len(lm.model.tables['word']):,} n-grams of up to 8 tokens in ")


def test_an_ngram_model_of_held_out_text_and_of_any_order():
    lm = fastlm.train(["to be or not to be\n" * 20], valid=["to be\n"], model="kneser-ney", order=2, threads=1)
    assert lm.model.order == 2
    assert lm.history[-1]["valid"] == pytest.approx(lm.evaluate(["to be\n"]).nats_per_token)
    assert lm.history[-1]["loss"] == pytest.approx(lm.evaluate(["to be or not to be\n" * 20]).nats_per_token)
    own = fastlm.train(["a b\n" * 1000], model=lambda size: KneserNey(size, 3))
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
    lm = fastlm.train([text], model="mixture", epochs=2, threads=2, order=3)
    counts, *factored, network = lm.model.parts
    assert [type(part) for part in factored] == [Factored, Factored]
    assert isinstance(lm.model, Mixture) and isinstance(counts, KneserNey) and isinstance(network, LSTM)
    assert counts.order == 3 and lm.model.weights.sum() == pytest.approx(1) and lm.card["held_out"] > 0
    alone = [fastlm.LanguageModel(lm.vocabulary, part).perplexity([other]) for part in lm.model.parts]
    assert lm.perplexity([other]) < 1.01 * min(alone) < max(alone)   # no worse than the better part, whichever it is
    # the weights are fitted before the n-grams count the held-out text as well
    everything = fastlm.train([text], model="kneser-ney", order=3)
    np.testing.assert_array_equal(counts.tables["logp"], everything.model.tables["logp"])
    assert f"mixed by weights of {lm.model.weights[0]:.2f}, " in lm.history.ended
    again = fastlm.train([text], plan=lm.plan, threads=1)
    assert again.digest() == lm.digest() and again.plan == lm.plan


def test_a_mixture_goes_on_from_its_checkpoint(tmp_path):
    def again(**length):
        return fastlm.train([random_text(5)], model="mixture", threads=1, checkpoint=tmp_path / "run", **length)
    first = again(budget=1.0)
    assert again(budget=1.0).digest() == first.digest()   # the run is over: there is nothing left to do
    (tmp_path / "run").unlink()
    assert again(epochs=1).digest() == again(epochs=1).digest()


def test_a_mixture_goes_on_with_the_ngrams_it_had_time_for(tmp_path, monkeypatch):
    def again():
        return fastlm.train([random_text(5)], model="mixture", threads=1, checkpoint=tmp_path / "run", budget=1.0)
    with monkeypatch.context() as patched:
        patched.setattr("fastlm.auto.blend._DEARER", 1e9)   # no time for n-grams of factors
        first = again()
    second = again()                                    # there would be, by now
    assert len(first.model.parts) == len(second.model.parts) == 2 and second.digest() == first.digest()
    assert second.card["chosen"] == "as in the checkpoint: KneserNey, LSTM"


def test_a_network_by_name_has_all_of_the_time(monkeypatch):
    asked = []

    def choose(size, tokens, read, most):
        asked.append(most)
        return Choice(48, 0.0, 1.0, most)
    monkeypatch.setattr("fastlm.auto.size.choose", choose)
    fastlm.train([random_text(5)], model="lstm", budget=0.5, threads=1)
    fastlm.train([random_text(5)], budget=1.5, threads=1)
    assert asked == [1, MOST]


def test_a_mixture_does_not_go_on_from_a_network(tmp_path):
    fastlm.train([random_text(5)], model="decayed-bag", epochs=0.1, threads=1, checkpoint=tmp_path / "run")
    with pytest.raises(ValueError, match=r"run is a checkpoint of <DecayedBag\(.*>; one of n-grams and networks"):
        fastlm.train([random_text(5)], epochs=0.1, threads=1, checkpoint=tmp_path / "run")


def test_of_a_longer_text_stretches_are_left_out_and_a_plan_does_it_again():
    text = random_text(7) * 3
    lm = fastlm.train([text], "char", epochs=0.2, threads=1)
    assert lm.model.residual is not None and (lm.plan.folds, lm.plan.fitted_folds) == (8, 8)
    again = fastlm.train([text], "char", plan=lm.plan, threads=2)
    assert again.digest() == lm.digest() and again.plan == lm.plan


def test_networks_that_look_back_are_trained_kept_and_trained_again(monkeypatch, tmp_path):
    monkeypatch.setattr("fastlm.auto.size._LOOKING_FROM", {True: 1, False: 1})   # narrow ones as well
    for unit in ("char", "word"):
        lm = fastlm.train([random_text(8)], unit, epochs=0.2, threads=1)
        assert lm.model.parts[-1].options["lookback"] == {"width": 32, "window": 512}
        lm.save(tmp_path / "lm.fastlm")
        assert fastlm.load(tmp_path / "lm.fastlm").digest() == lm.digest()
        assert fastlm.train([random_text(8)], unit, plan=lm.plan, threads=2).digest() == lm.digest()


def test_as_many_folds_as_there_is_time_and_memory_for(monkeypatch):
    """Two n-grams of 50 words over 10,000 tokens are a million bytes; a fold takes 0.7 of what counting took."""
    counts, corpus = [KneserNey(50), KneserNey(50)], fastlm.Corpus.from_ids([np.zeros(10_000, np.int32)])
    assert _folds(counts, corpus, None, 1.0) == (8, 8)
    assert _folds(counts, corpus, 10.0, 1.0) == (8, 7)
    assert _folds(counts, corpus, 1.0, 1.0) == _folds(counts, corpus, -9.0, 1.0) == (0, 0)
    for limit, wanted in ((1e6, (8, 8)), (4e5, (8, 3)), (5e4, (20, 1))):
        monkeypatch.setattr("fastlm.auto.blend._FOLDS_BYTES", limit)
        assert _folds(counts, corpus, 100.0, 1.0) == wanted
    assert _folds(counts, corpus, None, 1.0) == (0, 0)
    counts[0].note = "; counted in part"
    assert _folds(counts, corpus, 100.0, 1.0) == (0, 0)
    assert _folds([KneserNey(513)], corpus, 100.0, 1.0) == _folds(
        [KneserNey(50)], fastlm.Corpus.from_ids([np.zeros(1999, np.int32)]), 100.0, 1.0) == (0, 0)


def test_how_much_to_adapt_is_chosen_on_the_held_out_text():
    """Every document has a word of its own, three in ten of its words."""
    rng = np.random.default_rng(4)

    def document():
        own = rng.integers(0, 40)
        return " ".join(f"w{own if rng.random() < 0.3 else rng.integers(0, 40)}" for _ in range(120)) + "\n"
    lm = fastlm.train([document() for _ in range(60)], model="mixture", epochs=1, threads=1)
    other = [document() for _ in range(20)]
    chosen, static = lm.evaluate(other, adapt=True).nats, lm.evaluate(other).nats
    assert lm.adaptive.model is lm.model and lm.adaptive.weights[1].max() > 0.1
    lm.adaptive = None
    assert chosen < lm.evaluate(other, adapt=True).nats and chosen < 0.99 * static


def test_a_mixture_says_that_its_text_was_counted_in_part(monkeypatch):
    fit = KneserNey.fit
    monkeypatch.setattr(KneserNey, "fit", lambda self, text, threads=None: fit(self, text, threads, memory=48 * 3000))
    lm = fastlm.train([random_text(6)], epochs=1, threads=1)
    assert lm.model.residual is None and lm.model.networks == [3]   # no residual: it would meet what was not counted
    assert " tokens and order " in lm.history.ended and "to stay within" in lm.history.ended


def test_a_mixture_does_not_count_what_judges_it():
    lm = fastlm.train([random_text(3)], model="mixture", budget=1.0, valid=[random_text(4, 500)], threads=2)
    everything = fastlm.train([random_text(3)], model="kneser-ney")
    np.testing.assert_array_equal(lm.model.parts[0].tables["logp"], everything.model.tables["logp"])
    tiny = fastlm.train(["a b a\n"], model="mixture", epochs=1)   # too little to hold anything out
    assert tiny.model.weights.tolist() == [0.25] * 4 and tiny.card["held_out"] == 0


@pytest.mark.parametrize("options, message", [
    ({"epochs": 2}, "epochs = 2 was given; a kneser-ney model is counted in one pass"),
    ({"checkpoint": "x"}, "checkpoint = 'x' was given; a kneser-ney model is counted in one pass"),
    ({"order": 200}, "order = 200; a whole number of 1 to 127 tokens was expected"),
    ({"model": "lstm", "order": 3}, "order = 3 was given; only the models auto, mixture and kneser-ney have one"),
])
def test_what_an_ngram_model_cannot_take(options, message):
    with pytest.raises(ValueError) as caught:
        fastlm.train(["a b a b"], **{"model": "kneser-ney", **options})
    assert str(caught.value) == message


def test_a_model_of_the_users_choice():
    lm = fastlm.train(["x y z\n" * 5], model=lambda size: FeedForward(size, context=2, hidden=7), epochs=1)
    assert lm.model.options["hidden"] == 7
    with pytest.raises(ValueError, match=r"model = 'gpt'; one of auto, lstm, .* was expected"):
        fastlm.train(["x y z\n"], model="gpt")
    with pytest.raises(ValueError, match=r"model = 3; one of auto, lstm, .* was expected"):
        fastlm.train(["x y z\n"], model=3)
    with pytest.raises(ValueError, match=r"the model is for 3 ids and the text has \d+"):
        fastlm.train(["x y z\n"], model=FeedForward(3), epochs=1)


def test_a_twentieth_is_held_out_of_a_longer_text_and_nothing_of_a_short_one():
    short = fastlm.train(["a b\n" * 300], epochs=1, threads=1)
    assert short.card["held_out"] == 0 and short.card["trained_on"] == 900
    longer = fastlm.train(["a b\n" * 1000], epochs=1, threads=1)
    assert longer.card["held_out"] == 150 and longer.card["trained_on"] == 2850
    assert longer.history[-1]["valid"] is not None


def test_a_budget_ends_annealed_and_records_its_plan():
    lm = fastlm.train(["a b c\n" * 50], model="lstm", budget=1.5, threads=1)
    rates = lm.plan.rates
    assert len(rates) == lm.plan.steps > 10 and rates[-1] < 0.1 * rates.max()
    again = fastlm.train(["a b c\n" * 50], plan=lm.plan, threads=2)
    assert again.digest() == lm.digest()


def test_the_softmax_by_the_size_of_the_vocabulary_and_by_name():
    falling, rising = np.arange(5000, 0, -1), np.arange(5000)
    assert "output" not in build("lstm", 2000, counts=falling[:2000]).options
    assert "output" not in build("lstm", 5000, counts=rising).options
    assert "output" not in build("lstm", 5000, softmax="full", counts=falling).options
    sampled = {"name": "sampled", "samples": 1024}
    for name in ("lstm", "gru", "sru", "feed-forward", "decayed-bag"):
        assert build(name, 5000, counts=falling).options["output"] == sampled
        assert build(name, 5000, softmax="adaptive", counts=falling).options["output"]["name"] == "adaptive"
    assert build("lstm", 9, softmax="sampled", counts=falling[:9]).options["output"]["samples"] == 9
    assert "output" not in build("lstm", 9, softmax="adaptive", counts=falling[:9]).options


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
        fastlm.train(["to be or not to be\n" * 9], epochs=1, **options)
    assert str(caught.value) == message
