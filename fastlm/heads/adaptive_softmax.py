"""The adaptive softmax, which predicts frequent words directly and rare ones by their cluster. Grave et al. 2017."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from fastlm import _core
from fastlm.autodiff.matmul import product
from fastlm.autodiff.tape import Parameter, Variable, active, empty, record, variable
from fastlm.heads.base import UNSEEN, Head, blocks, likeliest
from fastlm.heads.blocks import Gradients, Softmax, Weights, open_gradients

Array = np.ndarray
_ROWS = 4096   # read at once in long texts; their logits are computed in blocks


class AdaptiveSoftmax(Head):
    """p(w) = head(w) for the first cutoffs[0] words, else head(cluster of w) * tail(w).

    The head is a softmax over the frequent words and one entry for each cluster. Each tail is a softmax over the words
    of its cluster, in training computed only for the rows whose target is among them. Ids are expected in descending
    order of their counts; cluster i holds the ids from cutoffs[i] to the next cut-off. With `widths` tail i reads x P_i
    of the width widths[i], else x itself. With `embedding` (V, D) its rows are the weights of the head, and of the
    tails where there are no widths.
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
        of_clusters = parameter("clusters", draw((width, clusters)))
        self.head = Softmax([Weights(shared, slice(0, self.first), tied), Weights(of_clusters, slice(None), False)],
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
        counts = mass + UNSEEN * np.diff(self.edges)
        self.cluster_bias.value[:] = np.log(counts / (frequencies.sum() + UNSEEN * self.vocab_size))

    def loss(self, x: Any, targets: Array, scale: float = 1.0, kind: str = "cross_entropy") -> float:
        self.check_loss(kind)
        tape = active()
        if tape is None or not tape.record:
            return float(self.nats(x, targets).sum())
        x = variable(x)
        dx = x.overwritable_grad()
        gradients = self._open_gradients()
        x_gradient = (x.grad_buffer(), False) if dx is None else (dx, True)
        head_targets, members = self._split_targets(targets)
        kernel = _core.softmax_cross_entropy
        total = self.head.loss_and_gradients(kernel, x.value, head_targets, scale, x_gradient, gradients)
        for index, (rows, tail_targets) in enumerate(members):
            inner, x_rows = self._tail_inputs(index, x.value, rows)
            d_inner = empty(inner.shape)
            tail = self.tails[index]
            total += tail.loss_and_gradients(kernel, inner, tail_targets, scale, (d_inner, True), gradients)
            _core.scatter_add(x_gradient[0], self._tail_inputs_backward(index, d_inner, x_rows, gradients), rows)
        return total

    def nats(self, x: Any, targets: Array) -> Array:
        x = variable(x).value
        head_targets, members = self._split_targets(targets)
        nll = self.head.nats(x, head_targets)
        for index, (rows, tail_targets) in enumerate(members):
            if len(rows):
                nll[rows] += self.tails[index].nats(self._tail_inputs(index, x, rows)[0], tail_targets)
        return nll

    def logits(self, x: Any) -> Variable:
        """Return log p itself (N, V), whose softmax is p."""
        x = variable(x)
        out = Variable(empty((len(x.value), self.vocab_size)), may_overwrite=True)
        head = self._log_softmax(self.head, x.value)
        out.value[:, :self.first] = head[:, :self.first]
        inputs, tails = [], []
        every = np.arange(len(x.value))
        for index, tail in enumerate(self.tails):
            inputs.append(self._tail_inputs(index, x.value, every))
            tails.append(self._log_softmax(tail, inputs[-1][0]))
            np.add(tails[-1], head[:, self.first + index, None], out=out.value[:, self._span(index)])

        def back(gradient: Array) -> None:
            gradients = self._open_gradients()
            d_head = empty(head.shape)
            d_head[:, :self.first] = gradient[:, :self.first]
            for index, (tail, (inner, x_rows)) in enumerate(zip(self.tails, inputs, strict=True)):
                part = gradient[:, self._span(index)]
                d_head[:, self.first + index] = part.sum(axis=1)
                d_tail = _log_softmax_backward(tails[index], np.ascontiguousarray(part))
                d_inner = empty(inner.shape)
                tail.backward(d_tail, inner, (d_inner, True), gradients, True)
                _core.add(x.grad_buffer(), self._tail_inputs_backward(index, d_inner, x_rows, gradients))
            self.head.backward(_log_softmax_backward(head, d_head), x.value, (x.grad_buffer(), False), gradients, True)
        return record(out, back)

    def top(self, x: Array, k: int) -> tuple[Array, Array]:
        """Return what `Head.top` does; a tail is computed only for rows whose cluster may hold one of the k words."""
        x, k = variable(x).value, min(k, self.vocab_size)
        ids, values = np.empty((len(x), k), np.int32), np.empty((len(x), k), np.float32)
        for rows in blocks(len(x), self.vocab_size):
            ids[rows], values[rows] = self._top_of_block(x[rows], k)
        return ids, values

    def _top_of_block(self, x: Array, k: int) -> tuple[Array, Array]:
        head = self._log_softmax(self.head, x)
        ids = np.full((len(x), k), self.vocab_size, np.int32)
        values = np.full((len(x), k), -np.inf, np.float32)
        from_head = min(k, self.first)
        ids[:, :from_head], values[:, :from_head] = likeliest(head[:, :self.first], k)
        for index, tail in enumerate(self.tails):
            cluster_logp = head[:, self.first + index]   # no word of the cluster is more probable than all of them
            rows = np.flatnonzero(cluster_logp >= values[:, -1])
            if len(rows):
                logp = self._log_softmax(tail, self._tail_inputs(index, x, rows)[0])
                logp += cluster_logp[rows, None]
                tail_ids, tail_values = likeliest(logp, k)
                all_ids = np.concatenate([ids[rows], tail_ids + np.int32(self.edges[index])], axis=1)
                all_values = np.concatenate([values[rows], tail_values], axis=1)
                order = np.lexsort((all_ids, -all_values))[:, :k]
                ids[rows] = np.take_along_axis(all_ids, order, 1)
                values[rows] = np.take_along_axis(all_values, order, 1)
        return ids, values

    def rows_together(self, vocab_size: int) -> int:
        return _ROWS

    def _open_gradients(self) -> Gradients:
        """Return the gradients as `open_gradients` does, zeros where nothing will be written.

        These are the rows of an embedding that the head does not use where the tails have weights of their own.
        """
        gradients = open_gradients(self.parameters.values())
        weights = self.head.weights[0].parameter
        if self.projections[0] is not None and gradients[weights.name][1]:
            gradients[weights.name][0][self.first if self.head.weights[0].transpose else len(weights.value):] = 0
        return gradients

    def _split_targets(self, targets: Array) -> tuple[Array, list[tuple[Array, Array]]]:
        """Return the targets of the head (N,) int32, and for each tail the rows int64 it predicts and their targets."""
        cluster = np.searchsorted(self.edges, targets, side="right")
        head_targets = np.where(cluster == 0, targets, self.first - 1 + cluster).astype(np.int32)
        members = [np.flatnonzero(cluster == 1 + index) for index in range(len(self.tails))]
        firsts = self.edges[:-1].astype(np.int32)
        return head_targets, [(rows, targets[rows] - first) for rows, first in zip(members, firsts, strict=True)]

    def _span(self, index: int) -> slice:
        return slice(int(self.edges[index]), int(self.edges[index + 1]))

    def _tail_inputs(self, index: int, x: Array, rows: Array) -> tuple[Array, Array]:
        """Return the input of a tail (n, width of the tail) at some rows (n,) of x, and these rows of x (n, D)."""
        x_rows = empty((len(rows), x.shape[1]))
        _core.gather(x_rows, x, rows)
        projection = self.projections[index]
        if projection is None:
            return x_rows, x_rows
        inner = empty((len(rows), projection.value.shape[1]))
        projection.multiply(inner, x_rows)
        return inner, x_rows

    def _tail_inputs_backward(self, index: int, d_inner: Array, x_rows: Array, gradients: Gradients) -> Array:
        """Return the gradient of the rows of x from that of the tail's input; add the gradient of the projection."""
        projection = self.projections[index]
        if projection is None:
            return d_inner
        buffer, fresh = gradients[projection.name]
        product(buffer, x_rows.T, d_inner, not fresh)
        out = empty(x_rows.shape)
        projection.multiply(out, d_inner, transposed=True)
        return out

    @staticmethod
    def _log_softmax(softmax: Softmax, x: Array) -> Array:
        out = empty((len(x), softmax.classes))
        softmax.write_logits(out, x)
        _core.log_softmax(out, out)
        return out


def _log_softmax_backward(log_p: Array, gradient: Array) -> Array:
    """Return the gradient of logits from the gradient g of their log-softmax: g - p * sum(g), written over g."""
    p = np.exp(log_p)
    p *= gradient.sum(axis=1, keepdims=True)
    gradient -= p
    return gradient
