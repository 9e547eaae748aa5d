"""Interpolated modified Kneser-Ney written from its equations, in exact fractions or in floats, over plain tuples."""

from bisect import bisect_right
from collections import Counter

import numpy as np


def events(documents, order, boundary=None):
    """The n-gram that ends in every predicted token: it and up to order - 1 tokens of its context."""
    out = []
    for document in documents:
        first = 0
        for i in range(1, len(document)):
            if document[i - 1] == boundary:
                first = i - 1
            out.append(tuple(document[max(first, i - order + 1): i + 1]))
    return out


def adjusted_counts(events, order):
    """a of every n-gram: how often one of `order` tokens, or one that begins a context, is met; of the others, and of
    those too, how many different n-grams a token longer they end."""
    counts = Counter(events)
    for length in range(order, 1, -1):
        counts.update([gram[1:] for gram in counts if len(gram) == length])
    return counts


def discounts(counts, order, number=float):
    """[(0, D1, D2, D3+)] of the n-grams of 1, 2, ... tokens."""
    out = []
    for length in range(1, order + 1):
        t = Counter(a for gram, a in counts.items() if len(gram) == length)
        d = None
        if all(t[k] for k in (1, 2, 3)):
            y = number(t[1]) / (t[1] + 2 * t[2])
            d = (0, *(k - (k + 1) * y * t[k + 1] / t[k] for k in (1, 2, 3)))
        if d is None or not all(0 < d[k] <= k for k in (1, 2, 3)):
            d = (0, number(1) / 2, number(1), number(3) / 2)
        out.append(d)
    return out


class KneserNey:
    """p(w|h) of a text; `without` is an event left out of the counts, though not of the discounts."""

    def __init__(self, documents, order, vocab_size, boundary=None, number=float, without=None, met=None, whole=None):
        """met: the events, in place of documents. whole: n-grams of more tokens that occur once are left out."""
        self.order, self.vocab_size, self.number = order, vocab_size, number
        met = events(documents, order, boundary) if met is None else met
        self.discounts = discounts(adjusted_counts(met, order), order, number)
        if without is not None:
            met.remove(without)
        occurrences = Counter(event[first:] for event in met for first in range(len(event)))
        self.left_out = {gram for gram, n in occurrences.items() if whole is not None and n == 1 and len(gram) > whole}
        self.successors = {}
        for gram, a in adjusted_counts(met, order).items():
            self.successors.setdefault(gram[:-1], {})[gram[-1]] = a

    def p(self, word, context):
        """The probability of `word` after the tokens of `context`, of which the last order - 1 count."""
        context = tuple(context)[max(0, len(context) - self.order + 1):]
        shorter = self.p(word, context[1:]) if context else self.number(1) / self.vocab_size
        after = self.successors.get(context)
        if not after:
            return shorter
        total = sum(after.values())
        taken = {w: a if (*context, w) in self.left_out else self.discounts[len(context)][min(3, a)]
                 for w, a in after.items()}
        return (after.get(word, 0) - taken.get(word, 0) + sum(taken.values()) * shorter) / total


def ngram(tables, vocab_size, node):
    """The tokens of a node of the tables."""
    tokens = []
    while node >= 0:
        tokens.insert(0, int(tables["word"][node]))
        node = -1 if node < vocab_size else bisect_right(tables["child"], node) - 1
    return tokens


def kneser_ney(model, p, ids, steps, starts, state):
    """Log-probabilities of the model of tests/cases.py, fitted to `model.text`; a state says what was read before."""
    text = [list(map(int, document)) for document in model.text]
    form = KneserNey(text, model.order, model.vocab_size, model.boundary)
    tables = model.unpacked()
    contexts = np.flatnonzero(np.diff(tables["child"]) > 0)
    past = [ngram(tables, model.vocab_size, int(contexts[node]) if node >= 0 else -1) for node in state["context"]]
    out = np.zeros((len(ids), model.vocab_size))
    for rows, sequences in steps:
        for row, s in zip(rows, sequences, strict=True):
            past[s] = [] if starts[row] or ids[row] == model.boundary else past[s]
            past[s] = [*past[s], int(ids[row])]
            out[row] = np.log([form.p(word, past[s]) for word in range(model.vocab_size)])
    return out


def factors_of(history, factors, letters):
    """The factors of a context, the least telling first, as plain values."""
    words = [()]
    for token in history:
        if letters and letters[token]:
            words[0] = (*words[0], letters[token])
        elif words[0]:
            words.insert(0, ())
    words += [(), ()]
    spelt = {"word": words[0], "word-1": words[1], "word-2": words[2]}
    return tuple(spelt[f] if f in spelt else history[-f] if f <= len(history) else None for f in reversed(factors))


def factored_form(documents, factors, vocab_size, letters=None, number=float):
    """KneserNey of the same equations over factors: p(word, factors_of(...))."""
    met = [(*factors_of(document[:i], factors, letters), document[i]) for document in documents
           for i in range(1, len(document))]
    return KneserNey(None, len(factors) + 1, vocab_size, number=number, met=met)


def factored(model, p, ids, steps, starts, state):
    """Log-probabilities of the model of tests/cases.py, fitted to `model.text`; `model.histories` has its states."""
    text = [list(map(int, document)) for document in model.text]
    letters = model.options["letters"]
    form = factored_form(text, model.factors, model.vocab_size, letters)
    past = [model.histories.get((a.tobytes(), b.tobytes()), [])
            for a, b in zip(state["ids"], state["spelt"], strict=True)]
    out = np.zeros((len(ids), model.vocab_size))
    for rows, sequences in steps:
        for row, s in zip(rows, sequences, strict=True):
            past[s] = [*([] if starts[row] else past[s]), int(ids[row])]
            context = factors_of(past[s], model.factors, letters)
            out[row] = np.log([form.p(word, context) for word in range(model.vocab_size)])
    return out
