"""Models of a size: what n-grams may take, and that files have at most the bytes that were asked for."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import fastlm
from fastlm.auto.policy import Policy
from fastlm.auto.shrink import network_bytes, ngram_bytes, prune_counts, within
from fastlm.auto.size import NetworkSize
from fastlm.models import Factored, KneserNey
from fastlm.models.mixture.pruned import ngram_models
from fastlm.training.budget import parse_bytes


def text_of(lines: int, seed: int = 0) -> str:
    rng = np.random.default_rng(seed)
    out, state = [], 1
    for _ in range(lines):
        words = []
        for draw in rng.zipf(1.6, 12).tolist():
            state = (7 * state + draw) % 300
            words.append(f"w{state}")
        out.append(" ".join(words) + "\n")
    return "".join(out)


TEXT = text_of(1500)


def test_sizes_in_words() -> None:
    assert [parse_bytes(size) for size in ("20MB", "1.5GB", "800kB", "7", " 3 mb", 5)] \
        == [20_000_000, 1_500_000_000, 800_000, 7, 3_000_000, 5]
    for size in ("20MiB", "", "-1", "0", 0, True, 1.5, None):
        with pytest.raises(ValueError) as caught:
            parse_bytes(size)
        assert str(caught.value) == (f'max_bytes = {size!r}; bytes were expected, as a number or like "800kB", "20MB", '
                                     '"1.5GB"')


@pytest.mark.parametrize("model", ["kneser-ney", "auto", "mixture"])
@pytest.mark.parametrize("unit", ["word", "char"])
def test_a_model_has_at_most_the_bytes_that_were_asked_for(model, unit) -> None:
    options = {} if model == "kneser-ney" else {"epochs": 0.5} if model == "mixture" else {"budget": "6s"}
    lm = fastlm.train([TEXT], unit, model=model, threads=1, max_bytes="250kB", **options)
    assert 30_000 < len(lm.to_bytes()) <= 250_000
    loaded = fastlm.load(lm.to_bytes())
    assert loaded.digest() == lm.digest() and np.isfinite(loaded.perplexity([text_of(20, 1)]))


def test_by_default_a_model_is_pruned_to_some_times_its_text_and_repeated_so() -> None:
    small = replace(Policy(), bytes_for_byte=2.0, least_model_bytes=1)
    lm = fastlm.train([TEXT], "word", epochs=0.5, model="mixture", threads=1, policy=small)
    large = replace(small, bytes_for_byte=1e6)
    whole = fastlm.train([TEXT], "word", epochs=0.5, model="mixture", threads=1, policy=large)
    allowed = lm.plan.ngram_bytes
    assert 0 < ngram_bytes(ngram_models(lm.model)) < 1.03 * allowed < ngram_bytes(ngram_models(whole.model))
    # The spelling of words and the white space between them come to the bytes that the policy names.
    assert len(lm.to_bytes()) <= 2.4 * len(TEXT) and whole.plan.ngram_bytes == 0
    assert f"; n-grams pruned to {allowed:,} bytes" in lm.history.ended and "pruned" not in whole.history.ended
    again = fastlm.train([TEXT], plan=lm.plan, threads=1)     # whatever the policy is by now
    assert again.digest() == lm.digest() and again.plan == lm.plan


def test_networks_are_narrower_where_they_would_take_most_of_the_bytes() -> None:
    vocabulary = fastlm.Vocabulary.build([TEXT])
    size = NetworkSize(hidden=512, networks=3, dropout=0.1, passes=2.0)
    assert within(size, vocabulary, 10**9, Policy()) == size
    small = within(size, vocabulary, 1_000_000, Policy())
    assert small.networks == 1 and small.hidden < 512
    assert within(size, vocabulary, 1000, Policy()) is None


def counted(first: float = 1.0, second: float = 1.0) -> list:
    corpus = fastlm.Corpus.from_ids([np.random.default_rng(0).zipf(1.3, 30_000).clip(1, 90).tolist()])
    return [KneserNey(91, order=3).fit(corpus, 1, kept_share=first),
            Factored(91, [2, 3]).fit(corpus, 1, kept_share=second)]


def request_for(policy: Policy) -> SimpleNamespace:
    return SimpleNamespace(policy=policy, threads=1)


def test_n_grams_are_pruned_and_counted_again_each_to_the_share_that_it_kept() -> None:
    counts, request = counted(), request_for(Policy())
    before = [ngram_bytes([model]) for model in counts]
    assert prune_counts(counts, None, 2, request) is None and prune_counts(counts, sum(before), 2, request) is None
    kept = prune_counts(counts, sum(before) // 2, 1, request)
    after = [ngram_bytes([model]) for model in counts]
    assert kept == [now / then for now, then in zip(after, before, strict=True)] and sum(after) <= sum(before) // 2
    for model, share, size in zip(counted(*kept), kept, after, strict=True):
        assert share < 1 and 0.95 * size < ngram_bytes([model]) < 1.05 * size


def test_n_grams_that_no_network_corrects_keep_less() -> None:
    alike, others = counted(), counted()
    half = ngram_bytes(alike) // 2
    shares = [prune_counts(counts, half, corrected, request_for(Policy(uncorrected_weight=0.01)))
              for counts, corrected in ((alike, 2), (others, 1))]
    assert shares[1][1] < 0.5 * shares[0][1] and shares[1][0] > shares[0][0]


def test_the_bytes_of_networks_are_those_of_their_weights() -> None:
    lm = fastlm.train([TEXT], "word", epochs=0.5, model="lstm", threads=1)
    weights = sum(parameter.value.size for parameter in lm.model.parameters.values())
    size = NetworkSize(lm.model.row_width, 0.0, 1.0)
    assert 0.9 < network_bytes(size, lm.vocabulary, Policy(), corrects=False) / (2 * weights) < 1.1
    assert network_bytes(size, lm.vocabulary, Policy(), 32, False) \
        == 2 * network_bytes(size, lm.vocabulary, Policy(), 16, False)


def test_pruned_copies() -> None:
    lm = fastlm.train([TEXT], "word", epochs=0.5, model="mixture", threads=1, policy=Policy(least_model_bytes=10**9))
    size, held_out = len(lm.to_bytes()), text_of(200, 1)
    small = lm.pruned(size // 2, [held_out])
    assert size // 3 < len(small.to_bytes()) <= size // 2
    assert len(lm.to_bytes()) == size                                    # which stays as it was
    kept = lm.pruned(size // 2)
    assert (kept.model.weights == lm.model.weights).all() and not (small.model.weights == lm.model.weights).all()
    assert small.perplexity([held_out]) <= kept.perplexity([held_out]) < 1.2 * lm.perplexity([held_out])
    assert lm.pruned(10 * size).digest() == lm.digest()
    with pytest.raises(ValueError, match=r"^max_bytes = 1,000; all but the n-grams takes [\d,]+$"):
        lm.pruned(1000)
    network = fastlm.LanguageModel(lm.vocabulary, lm.model.parts[-1])
    with pytest.raises(ValueError, match="has no n-grams to prune$|all but the n-grams takes"):
        network.pruned(len(network.to_bytes()) - 1)


def test_the_verb_prune(tmp_path) -> None:
    from fastlm.cli import main
    lm = fastlm.train([TEXT], "word", model="kneser-ney")
    lm.save(tmp_path / "big.fastlm")
    big, small = str(tmp_path / "big.fastlm"), tmp_path / "small.fastlm"
    assert main(["prune", big, "-o", str(small), "--max-size", "60kB"]) == 0
    assert 40_000 < small.stat().st_size <= 60_000
    assert main(["prune", big, "-o", str(tmp_path / "other.fastlm"), "--max-size", "60 kilos"]) == 2
