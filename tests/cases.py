"""Every model and random batches of every shape, shared by the tests of laws, gradients and training."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastlm import autodiff, models, recurrence
from fastlm.batch import Batch, State
from fastlm.models.base import PrefixModel
from tests import ngram_oracle, oracle


class GatedBag(PrefixModel):
    """A user's own f: a decayed bag, gated by the last token, beside that token's embedding."""

    def __init__(self, vocab_size: int, width: int = 6, hidden: int = 5, seed: int = 0) -> None:
        super().__init__(vocab_size, width=width, hidden=hidden, seed=seed)
        rng = np.random.default_rng(seed)
        self.width, self.rates = width, np.array([0.5, 0.9], np.float32)
        self.embedding = self.parameter("embedding", rng.normal(size=(vocab_size, width)))
        self.mix = self.parameter("mix", rng.normal(size=(2 * width, hidden)) * 0.2)
        self.gate = self.parameter("gate", rng.normal(size=(width, hidden)) * 0.2)
        self.gate_bias = self.parameter("gate_bias", np.zeros(hidden))
        self.output = self.parameter("output", rng.normal(size=(hidden + width, vocab_size)) * 0.1)
        self.output_bias = self.parameter("output_bias", np.zeros(vocab_size))

    def start(self, batch: int = 1) -> State:
        return State(batch, bags=np.zeros((batch, 2, self.width), np.float32))

    def forward(self, batch: Batch, state: State | None = None) -> tuple[Any, State]:
        state = state or self.start(batch.sequences)
        x = autodiff.gather(self.embedding, batch.ids)
        bags, carry = recurrence.decayed_sum(x, self.rates, batch, state["bags"])
        gate = autodiff.sigmoid(autodiff.linear(x, self.gate, self.gate_bias))
        hidden = autodiff.relu(autodiff.concatenate([autodiff.multiply(gate, autodiff.matmul(bags, self.mix)), x]))
        return autodiff.linear(hidden, self.output, self.output_bias), State(batch.sequences, bags=carry)


def adaptive(vocab_size: int, widths: list[int] | None = None) -> dict[str, Any]:
    """An adaptive output layer of two clusters for any vocabulary of at least 3."""
    options = {"name": "adaptive", "cutoffs": [max(1, vocab_size // 3), max(2, 2 * vocab_size // 3)]}
    return options if widths is None else options | {"widths": widths}


def mixture(model, p, ids, steps, starts, state):
    """The log of the parts' weighted probabilities, each part by its own form."""
    forms = {models.KneserNey: ngram_oracle.kneser_ney, models.LSTM: oracle.lstm_model,
             models.DecayedBag: oracle.decayed_bag, models.Transformer: oracle.transformer}
    total = 0.0
    for index, (part, weight) in enumerate(zip(model.parts, model.weights, strict=True)):
        values = {name: parameter.value.astype(float) for name, parameter in part.parameters.items()}
        own = {name[2:]: array for name, array in state.items() if name.startswith(f"{index}/")}
        total = total + weight * np.exp(oracle.log_softmax(forms[type(part)](part, values, ids, steps, starts, own)))
    return np.log(total)


def adapted(model, p, ids, steps, starts, state):
    """The log of the inner model's probabilities, mixed order by order with what followed in the window."""
    inner = model.model
    form = ngram_oracle.kneser_ney if isinstance(inner, models.KneserNey) else oracle.lstm_model
    values = {name: parameter.value.astype(float) for name, parameter in inner.parameters.items()}
    own = {name.removeprefix("model/"): array for name, array in state.items() if name != "window"}
    out = np.exp(oracle.log_softmax(form(inner, values, ids, steps, starts, own)))
    past = [[int(i) for i in row if i >= 0] for row in state["window"]]
    for rows, sequences in steps:
        for row, s in zip(rows, sequences, strict=True):
            past[s] = [*([] if starts[row] else past[s]), int(ids[row])]
            text = past[s][-model.window:]
            last = len(text) - 1
            for m in range(model.lowest, model.highest + 1):
                a = np.zeros(model.vocab_size)
                for j in range(m, last + 1):
                    if text[j - m: j] == text[last + 1 - m: last + 1]:
                        a[text[j]] += np.exp(-(last - j) / model.decay)
                if a.sum() > 0:
                    size = min(15, max(0, int(np.floor(np.log2(a.sum()))) + 1 + 3))
                    out[row] = (1 - model.weights[m, size]) * out[row] + model.weights[m, size] * a / a.sum()
    return np.log(out)


def corrected(model, p, ids, steps, starts, state):
    """n-grams, networks, and the n-grams' log-probabilities scaled and moved by what each network's last rows say."""
    forms = {models.KneserNey: ngram_oracle.kneser_ney, models.LSTM: oracle.lstm_model}
    each, moved = [], []
    for index, part in enumerate(model.parts):
        own = {name[2:]: array for name, array in state.items() if name.startswith(f"{index}/")}
        values = {name: parameter.value.astype(float) for name, parameter in part.parameters.items()}
        each.append(oracle.log_softmax(forms[type(part)](part, values, ids, steps, starts, own)))
        if part.parameters:
            plain = values | {"output": np.eye(part.hidden), "output_bias": np.zeros(1)}
            rows = oracle.lstm_model(part, plain, ids, steps, starts, own)
            scale = rows @ p[f"scale{index}"] + p[f"scale_bias{index}"]
            moved.append(rows @ p[f"correction{index}"] + p[f"correction_bias{index}"]
                         + sum(scale[:, [k]] * each[k] for k in range(scale.shape[1])))
    each += [oracle.log_softmax(shift) for shift in moved]
    return np.log(sum(w * np.exp(x) for w, x in zip(model.weights, each, strict=True)))


NGRAMS = {"orders": [1, 2, 4], "buckets": 5, "width": 3}
# name -> (a model of the given vocabulary with widths that differ on every axis, its float64 form)
NETWORKS: dict[str, tuple[Any, Any]] = {
    "PositionalOneHot": (lambda v: models.PositionalOneHot(v, max_length=4), oracle.positional_onehot),
    "DecayedBag": (lambda v: models.DecayedBag(v, width=3, hidden=9, rates=(0.0, 0.5, 0.9)), oracle.decayed_bag),
    "FeedForward": (lambda v: models.FeedForward(v, context=3, width=5, hidden=9), oracle.feed_forward),
    "FeedForward of one token": (lambda v: models.FeedForward(v, context=1, width=5, hidden=3), oracle.feed_forward),
    "LSTM": (lambda v: models.LSTM(v, hidden=5, width=3), oracle.lstm_model),
    "LSTM of two layers": (lambda v: models.LSTM(v, hidden=3, width=5, layers=2), oracle.lstm_model),
    "LSTM tied": (lambda v: models.LSTM(v, hidden=5, tied=True), oracle.lstm_model),
    "LSTM, adaptive": (lambda v: models.LSTM(v, hidden=7, width=3, output=adaptive(v)), oracle.lstm_model),
    "LSTM tied, adaptive": (lambda v: models.LSTM(v, hidden=5, tied=True, output=adaptive(v)), oracle.lstm_model),
    "LSTM tied, adaptive with widths": (
        lambda v: models.LSTM(v, hidden=5, tied=True, output=adaptive(v, [3, 2])), oracle.lstm_model),
    "DecayedBag, adaptive with widths": (
        lambda v: models.DecayedBag(v, width=3, hidden=9, rates=(0.0, 0.5), output=adaptive(v, [4, 3])),
        oracle.decayed_bag),
    "FeedForward, sampled": (
        lambda v: models.FeedForward(v, context=2, width=5, hidden=7, output={"name": "sampled", "samples": 2}),
        oracle.feed_forward),
    "LSTM tied, sampled": (
        lambda v: models.LSTM(v, hidden=5, tied=True, output={"name": "sampled", "samples": 2}), oracle.lstm_model),
    "Transformer": (lambda v: models.Transformer(v, width=6, heads=2, expansion=3, window=None), oracle.transformer),
    "Transformer of a window, tied": (
        lambda v: models.Transformer(v, width=9, heads=3, layers=1, window=3, tied=True), oracle.transformer),
    "Transformer, sampled": (
        lambda v: models.Transformer(v, width=5, heads=1, layers=1, expansion=2, window=4,
                                     output={"name": "sampled", "samples": 2}), oracle.transformer),
    "GRU": (lambda v: models.GRU(v, hidden=5, width=3), oracle.gru_model),
    "GRU of two layers, tied": (lambda v: models.GRU(v, hidden=5, layers=2, tied=True), oracle.gru_model),
    "GRU, adaptive": (lambda v: models.GRU(v, hidden=7, width=3, output=adaptive(v)), oracle.gru_model),
    "SRU": (lambda v: models.SRU(v, hidden=5, layers=1, inner=7), oracle.sru_model),
    "SRU of two layers, tied": (lambda v: models.SRU(v, hidden=5, inner=9, tied=True), oracle.sru_model),
    "LSTM with n-grams": (lambda v: models.LSTM(v, hidden=5, width=3, ngrams=NGRAMS), oracle.lstm_model),
    "GRU with n-grams": (lambda v: models.GRU(v, hidden=5, width=3, ngrams=NGRAMS), oracle.gru_model),
    "LSTM that looks back": (
        lambda v: models.LSTM(v, hidden=5, width=3, lookback={"width": 3, "window": 4}), oracle.lstm_model),
    "LSTM that looks back, tied, sampled": (
        lambda v: models.LSTM(v, hidden=5, tied=True, lookback={"width": 7, "window": 2}, ngrams=NGRAMS,
                              output={"name": "sampled", "samples": 2}), oracle.lstm_model),
    "GRU of two layers that looks back": (
        lambda v: models.GRU(v, hidden=5, layers=2, width=3, lookback={"width": 2}), oracle.gru_model),
    "SRU with n-grams": (lambda v: models.SRU(v, hidden=5, layers=1, inner=7, ngrams=NGRAMS), oracle.sru_model),
    "Transformer with n-grams": (
        lambda v: models.Transformer(v, width=6, heads=2, layers=1, window=3, ngrams=NGRAMS), oracle.transformer),
    "FeedForward with n-grams": (lambda v: models.FeedForward(v, context=2, width=5, hidden=9, ngrams=NGRAMS),
                                 oracle.feed_forward),
    "DecayedBag with n-grams": (lambda v: models.DecayedBag(v, width=3, hidden=9, rates=(0.5,), ngrams=NGRAMS),
                                oracle.decayed_bag),
    "a user's own": (GatedBag, oracle.gated_bag),
}
ALL_MODELS = NETWORKS | {
    "KneserNey": (lambda v: models.KneserNey(v, order=3), ngram_oracle.kneser_ney),
    "KneserNey of lines": (lambda v: models.KneserNey(v, order=5, boundary=4), ngram_oracle.kneser_ney),
    "Factored": (lambda v: models.Factored(v, [1, 3]), ngram_oracle.factored),
    "Factored of letters": (
        lambda v: models.Factored(v, [1, "word", 2, "word-1", "word-2"], [i % 4 for i in range(v)]),
        ngram_oracle.factored),
    "Mixture": (lambda v: models.Mixture(v, [
        models.KneserNey(v, order=3), models.LSTM(v, hidden=5, width=3),
        models.DecayedBag(v, width=3, hidden=9, rates=(0.0, 0.5), output=adaptive(v, [4, 3]))]), mixture),
    "Mixture with a transformer": (lambda v: models.Mixture(v, [
        models.KneserNey(v, order=2), models.LSTM(v, hidden=5, width=3),
        models.Transformer(v, width=4, heads=2, layers=1, window=3)]), mixture),
    "Adaptive": (lambda v: models.CacheModel(v, models.KneserNey(v, order=3), window=5, decay=3.0, lowest=0, highest=2),
                 adapted),
    "Adaptive of a network": (
        lambda v: models.CacheModel(v, models.LSTM(v, hidden=5, width=3), window=20, decay=9.0, lowest=1, highest=3),
        adapted),
    "Corrected": (lambda v: models.Mixture(v, [
        models.KneserNey(v, order=3), models.LSTM(v, hidden=5, width=3)], residual=True), corrected),
    "Corrected, several": (lambda v: models.Mixture(v, [
        models.KneserNey(v, order=2), models.KneserNey(v, order=3),
        models.LSTM(v, hidden=5, width=3, lookback={"width": 2, "window": 3}),
        models.LSTM(v, hidden=7, width=2)], residual=True), corrected),
    "Ensemble": (lambda v: models.Mixture(v, [
        models.KneserNey(v, order=2), models.LSTM(v, hidden=5, width=3),
        models.DecayedBag(v, width=3, hidden=9, rates=(0.0, 0.5), output=adaptive(v, [4, 3]))]), mixture),
}


def model_of(name: str, vocab_size: int, seed: int = 0) -> PrefixModel:
    """The model with random, unequal parameters, none of them zero."""
    model = ALL_MODELS[name][0](vocab_size)
    randomise(model, np.random.default_rng(seed))
    return model


def randomise(model: PrefixModel, rng: np.random.Generator) -> None:
    """Random, unequal parameters, none of them zero; counts of a random text; unequal weights."""
    for parameter in model.parameters.values():
        parameter.value[:] = rng.normal(size=parameter.value.shape) * 0.6
    if isinstance(model, models.KneserNey | models.Factored):
        model.text = [rng.integers(0, model.vocab_size, 90), rng.integers(0, model.vocab_size, 50)]
        model.fit(model.text)
    if isinstance(model, models.Mixture):
        for part in model.parts:
            randomise(part, rng)
        model.weights = rng.dirichlet(np.ones(len(model.weights)))
    if isinstance(model, models.CacheModel):
        randomise(model.model, rng)
        model.weights = rng.uniform(0.1, 0.6, model.weights.shape)


def random_state(model: PrefixModel, sequences: int, rng: np.random.Generator) -> State:
    """A state such as some prefix may have left behind."""
    state, grown = model.start(sequences), []
    if isinstance(model, models.Factored):   # whose words cannot be told from a state
        histories = [rng.integers(0, model.vocab_size, rng.integers(0, 9)) for _ in range(sequences)]
        state = model.forward(Batch.of(histories))[1]
        model.histories = {(a.tobytes(), b.tobytes()): history.tolist() for a, b, history
                           in zip(state["ids"], state["spelt"], histories, strict=True)}
        return state
    for key, array in state.arrays.items():
        index, _, name = key.rpartition("/")
        owner = model.model if index == "model" else model.parts[int(index)] if index else model
        if name in ("ids", "ngram_ids", "window"):
            array[:] = rng.integers(0, model.vocab_size, array.shape)
            for row in array:   # documents that began a few tokens ago
                if name != "window":
                    row[int(rng.integers(0, array.shape[1] + 1)):] = -1
                else:
                    row[:int(rng.integers(0, array.shape[1] + 1))] = -1
        elif name == "context":
            array[:] = rng.integers(-1, owner.ngrams.contexts, array.shape)
        elif name == "position":
            array[:] = rng.integers(0, 7, array.shape)
        elif name == "length":
            window = getattr(owner, "lookback", owner).window
            array[:] = rng.integers(0, min(6, window or 6), array.shape)
        elif name.startswith("past"):
            grown.append((key, owner))
        else:
            array[:] = rng.normal(size=array.shape) * 0.5
    for key, owner in grown:
        length = state[key[:key.rindex("past")] + "length"]
        width = getattr(owner, "lookback", owner).width
        array = rng.normal(size=(sequences, int(length.max()), 2 * width)) * 0.5
        array[np.arange(array.shape[1]) >= length[:, None]] = 0
        state.arrays[key] = array.astype(np.float32)
    return state


@dataclass
class Case:
    """A packed batch, with what the oracle needs to know about it."""

    batch: Batch
    steps: list[tuple[np.ndarray, np.ndarray]]
    starts: np.ndarray
    targets: np.ndarray

    @property
    def ids(self) -> np.ndarray:
        return self.batch.ids


def random_case(rng: np.random.Generator, vocab_size: int, longest: int = 6) -> Case:
    """Ragged sequences with lengths 0 and 1 among them, or lanes with documents that start anywhere."""
    sequences = int(rng.integers(1, 5))
    if rng.random() < 0.5:
        lengths = rng.integers(0, longest + 1, sequences).tolist()
        lengths[0] = int(rng.integers(1, longest + 1))
        if sequences > 2:
            lengths[1:3] = [0, 1]
        rng.shuffle(lengths)
        batch = Batch.of([rng.integers(0, vocab_size, n) for n in lengths])
        starts = np.zeros(len(batch), np.uint8)
    else:
        steps = int(rng.integers(1, longest + 1))
        lengths = [steps] * sequences
        flags = (rng.random((steps, sequences)) < 0.25).astype(np.uint8)
        batch = Batch.rectangle(rng.integers(0, vocab_size, (steps, sequences)), flags)
        starts = flags.reshape(-1)
    targets = rng.integers(0, vocab_size, len(batch)).astype(np.int32)
    targets[1:][rng.random(len(batch) - 1) < 0.15] = -1
    return Case(batch, oracle.layout(lengths), starts, targets)
