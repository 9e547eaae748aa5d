"""Models of a size: what n-grams may take, and that files have at most the bytes that were asked for."""

from dataclasses import replace

import numpy as np
import pytest

import fastlm
from fastlm.auto.policy import Policy
from fastlm.auto.shrink import ngram_bytes, within
from fastlm.auto.size import NetworkSize
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
    assert 0 < ngram_bytes(ngram_models(lm.model)) <= allowed < ngram_bytes(ngram_models(whole.model))
    assert len(lm.to_bytes()) <= 2.1 * len(TEXT) and whole.plan.ngram_bytes == 0
    again = fastlm.train([TEXT], plan=lm.plan, threads=1)     # whatever the policy is by now
    assert again.digest() == lm.digest() and again.plan == lm.plan


def test_networks_are_narrower_where_they_would_take_most_of_the_bytes() -> None:
    vocabulary = fastlm.Vocabulary.build([TEXT])
    size = NetworkSize(hidden=512, networks=3, dropout=0.1, passes=2.0)
    assert within(size, vocabulary, 10**9, Policy()) == size
    small = within(size, vocabulary, 1_000_000, Policy())
    assert small.networks == 1 and small.hidden < 512
    assert within(size, vocabulary, 1000, Policy()) is None


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
