"""The transformer language model: blocks of causal attention and an MLP, normalised before each."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlm import autodiff
from fastlm.autodiff import Variable, attention
from fastlm.batch import Batch, State
from fastlm.heads import build as build_head
from fastlm.models.base import PrefixModel, named
from fastlm.models.hashed_ngrams import HashedNGrams
from fastlm.models.initial import GPT2_SCALE
from fastlm.models.initial import normal as draw_normal

Array = np.ndarray
_ALIBI = 8   # the steepest slope is 2^(-8 / H), the flattest 2^-8 (Press et al. 2022)


class Transformer(PrefixModel):
    """Embedding -> `layers` blocks -> norm -> softmax, in the shape of GPT-2 (Radford et al. 2019).

        x += attention(norm(x) A + a) B + b;   x += gelu(norm(x) C + c) D + d

    Each of the `heads` has width / heads units; the MLP is `expansion` times as wide; `tied` uses the embedding as the
    output weights too. In every layer a token attends to the last `window` tokens, itself among them, or to all of its
    document where `window` is None. Positions enter by distance alone: head h of H lowers the score of a key by
    2^(-8(h+1)/H) for each token of distance (ALiBi, Press et al. 2022). So documents may have any length, and the state
    is the keys and values that later tokens may attend to. `ngrams`: hashed n-grams, multiplied to the width of x and
    added to it, see `hashed_ngrams.HashedNGrams`.

    >>> Transformer(vocab_size=5, width=16, heads=2).log_probabilities([4, 0]).shape
    (2, 5)
    """

    def __init__(self, vocab_size: int, width: int = 128, layers: int = 2, heads: int = 4, window: int | None = 256,
                 expansion: int = 4, tied: bool = False, dropout: float = 0.0, seed: int = 0,
                 output: dict[str, Any] | None = None, ngrams: dict[str, Any] | None = None) -> None:
        super().__init__(vocab_size, width=width, layers=layers, heads=heads, window=window, expansion=expansion,
                         tied=tied, dropout=dropout, seed=seed, **named(output=output, ngrams=ngrams))
        for name, value in (("layers", layers), ("heads", heads), ("expansion", expansion)):
            if value < 1:
                raise ValueError(f"{name} = {value}; at least 1 was expected")
        if width < 1 or width % heads:
            raise ValueError(f"width = {width} and heads = {heads}; a width that the heads divide was expected")
        if window is not None and window < 1:
            raise ValueError(f"window = {window}; at least 1 token was expected, or None for all")
        rng = np.random.default_rng(seed)

        def normal(shape: tuple[int, ...], scale: float = GPT2_SCALE) -> Array:
            return draw_normal(rng, shape, scale)
        self.width, self.layers, self.window, self.tied, self.dropout = width, layers, window, tied, dropout
        self.embedding = self.parameter("embedding", normal((vocab_size, width)))
        self.slopes = (2.0 ** (-_ALIBI * np.arange(1, heads + 1) / heads)).astype(np.float32)
        self.ngrams = HashedNGrams(ngrams, self.parameter)
        self.ngrams.project(self.parameter, normal, width)
        # As in GPT-2 a matrix whose result is added to x starts smaller the more of them there are.
        inner, last = expansion * width, GPT2_SCALE / np.sqrt(2 * layers)
        for layer in range(layers):
            self._register_norm(f"attention_norm{layer}")
            self._register_linear(f"qkv{layer}", normal((width, 3 * width)))
            self._register_linear(f"mix{layer}", normal((width, width), last))
            self._register_norm(f"mlp_norm{layer}")
            self._register_linear(f"expand{layer}", normal((width, inner)))
            self._register_linear(f"contract{layer}", normal((inner, width), last))
        self._register_norm("norm")
        self.head = build_head(output, self.parameter, normal, vocab_size, width,
                               self.embedding if tied else None)

    def _register_norm(self, name: str) -> None:
        self.parameter(name, np.ones(self.width))
        self.parameter(f"{name}_bias", np.zeros(self.width))

    def _register_linear(self, name: str, weight: Array) -> None:
        self.parameter(name, weight)
        self.parameter(f"{name}_bias", np.zeros(weight.shape[1]))

    def start(self, batch: int = 1) -> State:
        empty = {f"past{layer}": np.zeros((batch, 0, 2 * self.width), np.float32) for layer in range(self.layers)}
        return State(batch, length=np.zeros(batch, np.int64), **empty, **self.ngrams.start(batch))

    def forward(self, batch: Batch, state: State | None = None) -> tuple[Variable, State]:
        state = state or self.start(batch.sequences)
        spans = attention.Spans(batch, state["length"], self.window)
        after: dict[str, Array] = {}
        x = self.ngrams.add_to(autodiff.gather(self.embedding, batch.ids), batch, state, after)
        x = autodiff.dropout(x, self.dropout)
        for layer in range(self.layers):
            qkv = autodiff.linear(self._normalise(x, f"attention_norm{layer}"), *self._pair(f"qkv{layer}"))
            attended, after[f"past{layer}"] = attention.attention(qkv, self.slopes, spans, state[f"past{layer}"])
            x = self._add_branch(x, attended, f"mix{layer}")
            inner = attention.linear_gelu(self._normalise(x, f"mlp_norm{layer}"), *self._pair(f"expand{layer}"))
            x = self._add_branch(x, inner, f"contract{layer}")
        return self._normalise(x, "norm"), State(batch.sequences, length=spans.after, **after)

    def _pair(self, name: str) -> tuple[Any, Any]:
        return self.parameters[name], self.parameters[f"{name}_bias"]

    def _normalise(self, x: Variable, name: str) -> Variable:
        return attention.layer_norm(x, *self._pair(name))

    def _add_branch(self, x: Variable, branch: Variable, name: str) -> Variable:
        if self.dropout == 0:
            return attention.linear_residual(branch, *self._pair(name), x)
        return autodiff.add(x, autodiff.dropout(autodiff.linear(branch, *self._pair(name)), self.dropout))
