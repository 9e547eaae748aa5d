"""Measure one more token: steps of an LSTM-256 beside eager PyTorch's, and beside the time to read its weights.

Goals: a step of a character LSTM-256 of one document takes at most 1/5 of PyTorch's, Python included; nothing large is
allocated. One thread each, under `inference_mode`; PyTorch both as `nn.LSTM` on a sequence of one and as `nn.LSTMCell`,
whose faster one counts. The floor is the bytes of the weights over the speed at which BLAS's dot product reads as many.
int8 steps round the weights and are checked to 5 % of the largest logit.
"""

from __future__ import annotations

import resource
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

import fastlm
from benchmarks.harness import (
    Options,
    Rival,
    Table,
    duration,
    interleave,
    one_thread,
    times,
    torch_or_skip,
    validate,
    verdict,
)
from fastlm.models import LSTM, PrefixModel

VOCAB_SIZE, HIDDEN, WIDTH, WORDS, BEST = 65, 256, 64, 10_000, 5


def run(options: Options) -> None:
    """Print the tables."""
    torch = torch_or_skip()
    chars, words = LSTM(VOCAB_SIZE, hidden=HIDDEN, width=WIDTH, seed=1), LSTM(WORDS, hidden=HIDDEN, seed=1)
    with one_thread():
        _one_document(torch, chars)
        _batches(torch, chars)
        _best_of_words(torch, words)
        _prefix_states(chars)


def _one_document(torch: Any, model: LSTM) -> None:
    ids = np.random.default_rng(1).integers(0, VOCAB_SIZE, 50)
    small = model.quantized()
    rivals = {"fastlm stepper": Rival(lambda: _by_stepper(model, ids)),
              "fastlm model.step": Rival(lambda: _by_step(model, ids)), **_torch_rivals(torch, model, ids[:, None])}
    validate("step", rivals, 1e-5)
    rivals["fastlm stepper, int8"] = Rival(lambda: _by_stepper(small, ids))
    validate("step in int8", {label: rivals[label] for label in ("fastlm stepper", "fastlm stepper, int8")}, 0.05)
    floors = {label: _weights_read(size) for label, size in (("float32", 4), ("int8", 1))}
    rivals |= {f"the weights read, {label}": Rival(read) for label, read in floors.items()}
    median = interleave(rivals, 6.0)
    best = min(value for label, value in median.items() if label.startswith("PyTorch")) / len(ids)
    table = Table(f"one step of LSTM-{HIDDEN}, V = {VOCAB_SIZE}", "time", "of PyTorch's", "large arrays a step",
                  "page faults in 1,000 steps", "goal")
    for label, value in median.items():
        each = value if label.startswith("the weights") else value / len(ids)
        goal = verdict([("≤ 1/5 of PyTorch's", best / each, 5.0)]) if label.startswith("fastlm") else ""
        stepped = {"fastlm stepper": model, "fastlm stepper, int8": small}.get(label)
        cells = _allocations(stepped) if stepped else ("", "")
        table.add(label, duration(each), times(each / best), *cells, goal)
    table.print()


def _batches(torch: Any, model: LSTM) -> None:
    """Measure steps of several documents at once."""
    table = Table("documents at once", "fastlm", "fastlm, int8", "PyTorch", "PyTorch / fastlm")
    small = model.quantized()
    for sequences in (1, 8, 64):
        ids = np.random.default_rng(2).integers(0, VOCAB_SIZE, (20, sequences))
        rivals = {"fastlm": Rival(lambda ids=ids: _by_stepper(model, ids)), **_torch_rivals(torch, model, ids)}
        validate(f"{sequences} documents", rivals, 1e-5)
        median = interleave(rivals | {"int8": Rival(lambda ids=ids: _by_stepper(small, ids))}, 3.0)
        best = min(value for label, value in median.items() if label.startswith("PyTorch"))
        table.add(str(sequences), *(duration(value / len(ids)) for value in (median["fastlm"], median["int8"], best)),
                  times(best / median["fastlm"]))
    table.print()


def _best_of_words(torch: Any, model: LSTM) -> None:
    """Measure a step and the likeliest words after it."""
    ids = np.random.default_rng(3).integers(0, WORDS, 10)
    embedding, cell, output = _torch_cell(torch, model)
    adaptive = LSTM(WORDS, hidden=HIDDEN, seed=1, output={"name": "adaptive", "cutoffs": [1000, 4000]})

    def ours(model: PrefixModel) -> tuple[np.ndarray, np.ndarray]:
        stepper = model.stepper(model.start())
        best = [model.head.top(stepper.advance(token), BEST) for token in ids.tolist()]
        return np.concatenate([words for words, _ in best]), np.concatenate([logp for _, logp in best])

    def theirs() -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            state, best = None, []
            for token in ids.tolist():
                state = cell(embedding(torch.tensor([token])), state)
                best.append(torch.log_softmax(output(state[0]), -1).topk(BEST))
            return (torch.cat([words for _, words in best]).numpy(), torch.cat([logp for logp, _ in best]).numpy())
    rivals: dict[str, Rival] = {"fastlm": Rival(lambda: ours(model)), "PyTorch nn.LSTMCell, topk": Rival(theirs)}
    validate("likeliest words", rivals, 1e-5)
    small = model.quantized()
    rivals |= {"fastlm, int8": Rival(lambda: ours(small)), "fastlm, adaptive softmax": Rival(lambda: ours(adaptive))}
    median = interleave(rivals, 3.0)
    table = Table(f"a step and the best {BEST} of {WORDS:,} words", "time", "of PyTorch's")
    for label, value in median.items():
        table.add(label, duration(value / len(ids)), times(value / median["PyTorch nn.LSTMCell, topk"]))
    table.print()


def _prefix_states(model: LSTM) -> None:
    """Measure what users call: characters read by their text, and text generated."""
    tokens = ["\n", *(chr(32 + i) for i in range(VOCAB_SIZE - 2)), "<unk>"]
    lm = fastlm.LanguageModel(fastlm.Vocabulary(tokens, "char"), model)
    table = Table("what users call", "float32", "int8", "characters a second")
    text, row = "To be, or not to be, that is the question:".upper(), np.empty(VOCAB_SIZE, np.float32)

    def read(lm: fastlm.LanguageModel) -> np.ndarray:
        state = lm.start()
        for token in text:
            state.step(token, row)
        return row

    def generate(lm: fastlm.LanguageModel) -> str:
        return "".join(lm.generate("TO BE", max_tokens=len(text), seed=1))
    small = lm.quantized()
    for label, call in (("PrefixState.step and log p of all characters", read), ("generate, top 40", generate)):
        median = interleave({"float32": Rival(lambda call=call: call(lm)),
                             "int8": Rival(lambda call=call: call(small))}, 2.0)
        table.add(label, *(duration(value / len(text)) for value in median.values()),
                  ", ".join(f"{len(text) / value:,.0f}" for value in median.values()))
    table.print()


def _by_stepper(model: PrefixModel, ids: np.ndarray) -> np.ndarray:
    stepper = model.stepper(model.start(1 if ids.ndim == 1 else ids.shape[1]))
    return np.array([stepper.step(token).copy() for token in (ids.tolist() if ids.ndim == 1 else ids)])


def _by_step(model: PrefixModel, ids: np.ndarray) -> np.ndarray:
    state, rows = model.start(), []
    for token in ids.tolist():
        logits, state = model.step(state, token)
        rows.append(logits)
    return np.array(rows)


def _torch_cell(torch: Any, model: LSTM) -> tuple[Any, Any, Any]:
    from benchmarks.rivals.torch_models import TorchLSTM
    module = TorchLSTM(model).eval()
    cell = torch.nn.LSTMCell(module.lstm.input_size, HIDDEN)
    cell.load_state_dict({name: module.lstm.state_dict()[f"{name}_l0"]
                          for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")})
    return module.embedding, cell, module.output


def _torch_rivals(torch: Any, model: LSTM, ids: np.ndarray) -> dict[str, Rival]:
    """Return rivals that turn ids (T, S) into logits (T, S, V) step by step: by nn.LSTM and by nn.LSTMCell."""
    from benchmarks.rivals.torch_models import TorchLSTM
    module = TorchLSTM(model).eval()
    embedding, cell, output = _torch_cell(torch, model)

    def whole() -> np.ndarray:
        with torch.inference_mode():
            state, rows = None, []
            for tokens in ids:
                logits, state = module(torch.from_numpy(tokens[None]), state)
                rows.append(logits[0].numpy())
            return np.array(rows)

    def by_cell() -> np.ndarray:
        with torch.inference_mode():
            state, rows = None, []
            for tokens in ids:
                state = cell(embedding(torch.from_numpy(tokens)), state)
                rows.append(output(state[0]).numpy())
            return np.array(rows)
    return {"PyTorch nn.LSTM": Rival(whole), "PyTorch nn.LSTMCell": Rival(by_cell)}


def _weights_read(size: int) -> Callable[[], float]:
    """Return a dot product over as many bytes as a step reads of its weights, `size` bytes each."""
    count = (WIDTH + HIDDEN) * 4 * HIDDEN + HIDDEN * VOCAB_SIZE
    left, right = np.ones((2, count * size // 8), np.float32)
    return lambda: float(np.dot(left, right))


def _allocations(model: LSTM) -> tuple[str, str]:
    """Return the most memory that Python and NumPy take during steps, and the page faults in 1,000 of them."""
    stepper = model.stepper(model.start())
    stepper.step(0)
    tracemalloc.start()
    for token in range(20):
        stepper.step(token)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for token in range(1000):
        stepper.step(token % VOCAB_SIZE)
    return f"none ({peak} bytes in all)" if peak < 4096 else f"{peak} bytes", str(
        resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
