"""What a tuned number is written down with, and the numbers that differ between units of text."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any


def tuned(value: Any, unit: str, why: str, source: str) -> Any:
    """Return a field of `Policy` with its usual value, its unit, the reason for it and its source.

    source: "calibrate: NAME" where `python -m benchmarks calibrate` can measure the number again; "tried: HEADING"
    where its figures stand under a heading of docs/tried.md; or "assumption".
    """
    return field(default=value, metadata={"unit": unit, "why": why, "source": source})


def by_unit(words: Any, characters: Any, unit: str, why: str, source: str, pieces: Any = None) -> Any:
    """Return a field of `UnitPolicy` with one value for words, one for characters and one for pieces of words, None for
    that of words; the rest is as in `tuned`."""
    return field(metadata={"word": words, "char": characters, "piece": words if pieces is None else pieces,
                           "unit": unit, "why": why, "source": source})


NETWORKS = "tried: What a network learns beside the counts"
JOINED = "tried: How n-grams and networks of characters are joined"
SEVERAL = "tried: Cross-fitting, and several networks"
LOOKBACK = "tried: Looking back"
ADAPTING = "tried: Adapting"
PIECES = "tried: Pieces of words"
UNITS = "tried: Which unit suits a text"
CORRECTED = "tried: Correcting n-grams of large vocabularies"
ALPHABETS = "tried: Large alphabets"
ORDER = "tried: The order of n-grams"
LARGE = "tried: Large texts"
SPELLING = "tried: Spelling unknown words"


@dataclass(frozen=True)
class UnitPolicy:
    """The numbers that differ between words, characters and pieces of words; bytes are treated as characters."""

    order: int = by_unit(
        5, 8, "tokens", "longer n-grams know more of the context and are seen more rarely", "tried: N-grams", pieces=6)
    longer_orders: tuple[int, ...] = by_unit(
        (), (12, 16), "tokens", "of a text that repeats itself n-grams as long know more; see `longer_repeated`", ORDER)
    embedding_width: int | None = by_unit(
        None, 64, "units, None for those of the layer above", "a vector of few characters needs no more", "assumption")
    tied: bool = by_unit(
        True, False, "yes or no", "one table that embeds and predicts learns rare words from both sides", "assumption")
    tokens_per_weight: float = by_unit(
        15.0, 7.0, "tokens to read for each recurrent weight", "a wider network learns more from a token and takes "
        "longer over it", NETWORKS)
    dropout: tuple[tuple[float, float], ...] = by_unit(
        ((2, 0.0), (6, 0.1), (12, 0.3), (40, 0.5)), ((2, 0.0), (6, 0.1), (12, 0.25), (40, 0.4)),
        "(passes over the text, rate)", "a text that is read often is learnt by heart without it", NETWORKS)
    lookback_cost: float = by_unit(
        2.5e5, 5e5, "multiply-adds a token", "what attention to the past takes away from width", "calibrate: lookback")
    lookback_from: int = by_unit(
        128, 224, "units", "narrower networks learn more in the time that looking back takes", LOOKBACK)
    lookback_correcting_from: int = by_unit(
        48, 224, "units", "the same of networks that correct n-grams", LOOKBACK)
    lookback_window: int = by_unit(
        100, 512, "tokens", "a longer past holds more repetitions and takes longer to look through", LOOKBACK)
    batch_size: int = by_unit(
        16, 32, "stretches of text side by side", "many small steps learn more in minutes than few large ones, which "
        "are faster", NETWORKS)
    factored_seconds: tuple[float, ...] = by_unit(
        (1.6, 1.6), (2.9, 1.0), "seconds of each factored model for each second of counting plain n-grams", "whether "
        "there is time for one must be known before it is counted", "calibrate: factored n-grams")
    networks_correct: bool = by_unit(
        False, True, "yes or no", "a network that corrects n-grams learns only what they miss, but needs their "
        "probability of every token of the vocabulary", NETWORKS, pieces=True)
    sampled_networks_correct: bool = by_unit(
        True, True, "yes or no", "networks that are trained on drawn tokens ask n-grams for the probabilities of these "
        "alone", CORRECTED)
    correction_cost: float = by_unit(
        5e4, 1.2e5, "multiply-adds a token", "reading the n-grams' row of a token takes time from width",
        "calibrate: correction")
    shares_inputs: bool = by_unit(
        False, True, "yes or no", "where there are few characters, each one's embedding is multiplied once a batch and "
        "not at every place", "assumption")
    feed_forward_context: int = by_unit(
        5, 10, "tokens", "a longer context knows more and has more weights", "assumption")
    feed_forward_width: int = by_unit(
        64, 32, "units of an embedding", "few characters need narrower vectors", "assumption")
    cache_window: int = by_unit(
        1024, 8192, "tokens", "a longer past holds more repetitions and takes longer to look through", ADAPTING)
    cache_decay: float = by_unit(
        150.0, 2000.0, "tokens after which a count weighs 1/e", "an old token says less about the next one", ADAPTING)
    cache_lowest: int = by_unit(
        0, 1, "tokens of the shortest context looked up", "single characters repeat without saying much", ADAPTING)
    cache_highest: int = by_unit(
        2, 8, "tokens of the longest context looked up", "longer ones hardly ever repeat", ADAPTING)

    @classmethod
    def usual(cls, unit: str) -> UnitPolicy:
        """Return the numbers of "word", "char" or "piece"."""
        return cls(**{item.name: item.metadata[unit] for item in fields(cls)})
