"""The tuned numbers that decide how many bytes a model may take."""

from __future__ import annotations

from dataclasses import dataclass

from fastlm.auto.unit_policy import tuned

PRUNING = "tried: Pruning n-grams"


@dataclass(frozen=True)
class SizePolicy:
    """The numbers of `Policy` that decide how many bytes a model may take; see `auto.shrink`."""

    bytes_for_byte: float = tuned(
        3.8, "bytes of the model for each byte of text", "n-grams that matter least are removed until the model is as "
        "small, 4 times the text with the spelling of words; see `max_bytes`", PRUNING)
    uncorrected_weight: float = tuned(
        0.1, "share of a nat", "n-grams that networks do not correct have little weight beside those that they do",
        PRUNING)
    least_model_bytes: int = tuned(
        1_000_000, "bytes", "a model that is smaller is not pruned", "assumption")
    least_ngram_share: float = tuned(
        0.3, "share of the bytes of a model", "n-grams get at least this, however large the networks beside them",
        "assumption")
    prune_from: float = tuned(
        10.0, "seconds of the budget", "in shorter runs there is no time to prune", "assumption")
    prune_likely: float = tuned(
        0.6, "share of the bytes of a model", "n-grams that take more before networks are known will have to be pruned",
        "assumption")
    prune_seconds: float = tuned(
        1.2, "seconds for each second of counting", "pruning takes time before networks are trained", PRUNING)
    network_bytes_share: float = tuned(
        0.5, "share of `max_bytes`", "networks as large as the time allows would leave n-grams too few", "assumption")
