"""Heads, the output layers of models, behind one contract: from rows to the probabilities of the next token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastlm.autodiff.tape import Parameter
from fastlm.heads.adaptive_softmax import AdaptiveSoftmax
from fastlm.heads.base import LOSSES, Head
from fastlm.heads.full import FullSoftmax
from fastlm.heads.sampled import SampledSoftmax

__all__ = ["LOSSES", "AdaptiveSoftmax", "FullSoftmax", "Head", "SampledSoftmax", "build"]


def build(options: dict[str, Any] | None, parameter: Callable[[str, np.ndarray], Parameter],
          draw: Callable[[tuple[int, ...]], np.ndarray], vocab_size: int, width: int,
          embedding: Parameter | None = None) -> Head:
    """Return the head that a model's argument `output` describes.

    options: None for the full softmax, {"name": "adaptive", "cutoffs": [...], "widths": [...] or None} or
    {"name": "sampled", "samples": ...}. parameter: registers an array under a name; draw: returns initial weights of a
    shape. width: of the rows that the head reads. embedding (V, width): given where it is to be the output weights too.
    Raises ValueError for other names and for options that do not fit.

    >>> build(None, Parameter, np.zeros, vocab_size=7, width=3).top(np.zeros((1, 3)), 2)[0]
    array([[0, 1]], dtype=int32)
    """
    chosen = {"name": "full"} if options is None else dict(options)
    name = chosen.pop("name", None)
    try:
        if name == "adaptive":
            return AdaptiveSoftmax(parameter, draw, vocab_size, width, embedding=embedding, **chosen)
        if name in ("full", "sampled"):
            by_rows = embedding is not None or name == "sampled"
            shape = (vocab_size, width) if by_rows else (width, vocab_size)
            weight = embedding if embedding is not None else parameter("output", draw(shape))
            bias = parameter("output_bias", np.zeros(vocab_size, np.float32))
            if name == "full":
                return FullSoftmax(weight, bias, by_rows, **chosen)
            return SampledSoftmax(weight, bias, **chosen)
    except TypeError as error:
        raise ValueError(f"the output layer {name} cannot be built from {chosen}: {error}") from None
    raise ValueError(f"output layer {name!r}; one of full, adaptive, sampled was expected")
