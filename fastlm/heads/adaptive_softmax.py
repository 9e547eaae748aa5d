"""The adaptive softmax: frequent words at once, rare ones through their cluster. Grave et al. 2017."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from fastlm import _core
from fastlm.autodiff.matmul import product
from fastlm.autodiff.tape import Parameter, Variable, active, empty, record, variable
from fastlm.heads.base import Head, blocks, likeliest
from fastlm.heads.blocks import Gradients, Softmax, Weights, open_gradients

Array = np.ndarray
_ROWS = 4096


class AdaptiveSoftmax(Head):
    """p(w) = head(w) for the first cutoffs[0] words, else head(cluster of w) * tail(w).

    The head is a softmax over the frequent words and one entry a cluster; each tail one over its cluster's words,
    computed for the rows alone whose target is there. Ids are expected in order of their counts; cluster i holds the
    ids from cutoffs[i] to the next. With `widths` tail i reads x P_i of that width, else x itself. With `embedding`
    (V, D) the head, and tails without widths, use its rows as their weights.
    """

    losses = ("cross_entropy",)

    def __init__(self, parameter: Callable[[str, Array], Parameter], draw: Callable[[tuple[int, ...]], Array],
                 vocab_size: int, width: int, cutoffs: list[int], widths: list[int] | None = None,
                 embedding: Parameter | None = None) -> None:
        edges = [0, *cutoffs, vocab_size]
        if len(edges) < 3 or any(not isinstance(edge, int) for edge in cutoffs) or any(np.diff(edges) < 1):
            raise ValueError(f"cutoffs = {cutoffs}; whole numbers that rise from above 0 to below the {vocab_size} ids "
                             "were expected")
        if widths is not None and (len(widths) != len(cutoffs) or any(
                not isinstance(size, int) or not 1 <= size <= width for size in widths)):
            raise ValueError(f"widths = {widths}; one from 1 to {width} for each of {len(cutoffs)} clusters was "
                             "expected")
        self.edges, self.vocab_size, self.first = np.array(edges[1:]), vocab_size, cutoffs[0]
        clusters, self.width = len(cutoffs), width
        if embedding is None:
            shared = parameter("output", draw((width, vocab_size if widths is None else self.first)))
        else:
            shared = embedding
        tied = embedding is not None
        self.bias = parameter("output_bias", np.zeros(vocab_size, np.float32))
        self.cluster_bias = parameter("cluster_bias", np.zeros(clusters, np.float32))
        own = parameter("clusters", draw((width, clusters)))
        self.head = Softmax([Weights(shared, slice(0, self.first), tied), Weights(own, slice(None), False)],
                            [(self.bias, slice(0, self.first)), (self.cluster_bias, slice(None))])
        self.projections: list[Parameter | None] = []
        self.tails: list[Softmax] = []
        for index, (a, b) in enumerate(pairwise(edges[1:])):
            if widths is None:
                self.projections.append(None)
                weights = Weights(shared, slice(a, b), tied)
            else:
                self.projections.append(parameter(f"projection_to_tail{index}", draw((width, widths[index]))))
                weights = Weights(parameter(f"tail{index}", draw((widths[index], b - a))), slice(None), False)
            self.tails.append(Softmax([weights], [(self.bias, slice(a, b))]))
        parts = [part.parameter for softmax in (self.head, *self.tails) for part in softmax.weights]
        self.parameters = {p.name: p for p in (*parts, self.bias, self.cluster_bias, *self.projections) if p}

    def initialise(self, frequencies: Array) -> None:
        mass = np.array([frequencies[a:b].sum() for a, b in pairwise(self.edges)])
        counts = mass + 0.1 * np.diff(self.edges)
        self.cluster_bias.value[:] = np.log(counts / (frequencies.sum() + 0.1 * self.vocab_size))

    def loss(self, x: Any, targets: Array, scale: float = 1.0, kind: str = "cross_entropy") -> float:
        self.check_loss(kind)
        tape = active()
        if tape is None or not tape.record:
            return float(self.nats(x, targets).sum())
        x = variable(x)
        dx = x.overwritable_grad()
        opened = self._open()
        into = (x.grad_buffer(), False) if dx is None else (dx, True)
        in_head, members = self._clusters(targets)
        kernel = _core.softmax_cross_entropy
        total = self.head.descend(kernel, x.value, in_head, scale, into, opened)
        for index, (rows, inside) in enumerate(members):
            inner, own = self._inputs(index, x.value, rows)
            d_inner = empty(inner.shape)
            total += self.tails[index].descend(kernel, inner, inside, scale, (d_inner, True), opened)
            _core.scatter_add(into[0], self._inputs_back(index, d_inner, own, opened), rows)
        return total

    def nats(self, x: Any, targets: Array) -> Array:
        x = variable(x).value
        in_head, members = self._clusters(targets)
        out = self.head.nats(x, in_head)
        for index, (rows, inside) in enumerate(members):
            if len(rows):
                out[rows] += self.tails[index].nats(self._inputs(index, x, rows)[0], inside)
        return out

    def logits(self, x: Any) -> Variable:
        """log p itself (N, V): its softmax is p."""
        x = variable(x)
        out = Variable(empty((len(x.value), self.vocab_size)), may_overwrite=True)
        head = self._log_softmax(self.head, x.value)
        out.value[:, :self.first] = head[:, :self.first]
        inputs, tails = [], []
        every = np.arange(len(x.value))
        for index, tail in enumerate(self.tails):
            inputs.append(self._inputs(index, x.value, every))
            tails.append(self._log_softmax(tail, inputs[-1][0]))
            np.add(tails[-1], head[:, self.first + index, None], out=out.value[:, self._span(index)])

        def back(gradient: Array) -> None:
            opened = self._open()
            d_head = empty(head.shape)
            d_head[:, :self.first] = gradient[:, :self.first]
            for index, (tail, (inner, own)) in enumerate(zip(self.tails, inputs, strict=True)):
                part = gradient[:, self._span(index)]
                d_head[:, self.first + index] = part.sum(axis=1)
                d_tail = _log_softmax_back(tails[index], np.ascontiguousarray(part))
                d_inner = empty(inner.shape)
                tail.back(d_tail, inner, (d_inner, True), opened, True)
                _core.add(x.grad_buffer(), self._inputs_back(index, d_inner, own, opened))
            self.head.back(_log_softmax_back(head, d_head), x.value, (x.grad_buffer(), False), opened, True)
        return record(out, back)

    def top(self, x: Array, k: int) -> tuple[Array, Array]:
        """As everywhere; a cluster is opened for the rows alone where it is likelier than the k-th word so far."""
        x, k = variable(x).value, min(k, self.vocab_size)
        ids, values = np.empty((len(x), k), np.int32), np.empty((len(x), k), np.float32)
        for rows in blocks(len(x), self.vocab_size):
            ids[rows], values[rows] = self._top(x[rows], k)
        return ids, values

    def _top(self, x: Array, k: int) -> tuple[Array, Array]:
        head = self._log_softmax(self.head, x)
        ids = np.full((len(x), k), self.vocab_size, np.int32)
        values = np.full((len(x), k), -np.inf, np.float32)
        some = min(k, self.first)
        ids[:, :some], values[:, :some] = likeliest(head[:, :self.first], k)
        for index, tail in enumerate(self.tails):
            bound = head[:, self.first + index]
            rows = np.flatnonzero(bound >= values[:, -1])
            if len(rows):
                inside = self._log_softmax(tail, self._inputs(index, x, rows)[0])
                inside += bound[rows, None]
                more, theirs = likeliest(inside, k)
                both = np.concatenate([ids[rows], more + np.int32(self.edges[index])], axis=1)
                of_both = np.concatenate([values[rows], theirs], axis=1)
                order = np.lexsort((both, -of_both))[:, :k]
                ids[rows], values[rows] = np.take_along_axis(both, order, 1), np.take_along_axis(of_both, order, 1)
        return ids, values

    def rows_together(self, vocab_size: int) -> int:
        return _ROWS

    def _open(self) -> Gradients:
        """The gradients, where what nobody will write is zero: an embedding's rows that the tails do not use."""
        opened = open_gradients(self.parameters.values())
        weights = self.head.weights[0].parameter
        if self.projections[0] is not None and opened[weights.name][1]:
            opened[weights.name][0][self.first if self.head.weights[0].transpose else len(weights.value):] = 0
        return opened

    def _clusters(self, targets: Array) -> tuple[Array, list[tuple[Array, Array]]]:
        """What the head is to say (N,) int32, and per cluster the rows int64 with a target in it and which it is."""
        cluster = np.searchsorted(self.edges, targets, side="right")
        in_head = np.where(cluster == 0, targets, self.first - 1 + cluster).astype(np.int32)
        members = [np.flatnonzero(cluster == 1 + index) for index in range(len(self.tails))]
        firsts = self.edges[:-1].astype(np.int32)
        return in_head, [(rows, targets[rows] - first) for rows, first in zip(members, firsts, strict=True)]

    def _span(self, index: int) -> slice:
        return slice(int(self.edges[index]), int(self.edges[index + 1]))

    def _inputs(self, index: int, x: Array, rows: Array) -> tuple[Array, Array]:
        """What a tail reads of some rows, and those rows of x."""
        own = empty((len(rows), x.shape[1]))
        _core.gather(own, x, rows)
        projection = self.projections[index]
        if projection is None:
            return own, own
        inner = empty((len(rows), projection.value.shape[1]))
        projection.multiply(inner, own)
        return inner, own

    def _inputs_back(self, index: int, d_inner: Array, own: Array, opened: Gradients) -> Array:
        """The gradient of those rows of x; the projection's is added."""
        projection = self.projections[index]
        if projection is None:
            return d_inner
        buffer, fresh = opened[projection.name]
        product(buffer, own.T, d_inner, not fresh)
        out = empty(own.shape)
        projection.multiply(out, d_inner, transposed=True)
        return out

    @staticmethod
    def _log_softmax(softmax: Softmax, x: Array) -> Array:
        out = empty((len(x), softmax.classes))
        softmax.write_logits(out, x)
        _core.log_softmax(out, out)
        return out


def _log_softmax_back(log_p: Array, gradient: Array) -> Array:
    """The gradient of logits from that of their log-softmax: g - p * sum(g), written over g."""
    p = np.exp(log_p)
    p *= gradient.sum(axis=1, keepdims=True)
    gradient -= p
    return gradient


