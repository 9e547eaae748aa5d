"""Gradients of every primitive and every model against float64 central differences of the oracle.

The error of a tensor is max |tape - numeric| over max |numeric|. Each test prints the largest it has seen (`-s`).
"""

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastlm import autodiff, recurrence
from fastlm.autodiff import Parameter, Tape
from fastlm.autodiff.tape import active
from fastlm.batch import Batch
from fastlm.heads import SampledSoftmax
from tests import oracle
from tests.cases import NETWORKS, Case, model_of, random_case, random_state

CASES = 200
TOLERANCE = 1e-5
ENTRIES = 24       # checked of each tensor and case, always with the one of the largest gradient
STEP = 1e-5
WIDTHS = np.array([1, 3, 5, 7, 9])

Arrays = dict[str, np.ndarray]


def rng_of(name: str, case: int = 0) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(name.encode()), case])


def numeric(loss: Callable[[Arrays], np.ndarray], values: Arrays, name: str, entries: np.ndarray) -> np.ndarray:
    """Central differences of loss for some entries of one tensor, all of them in one call."""
    flat = np.repeat(values[name].reshape(1, -1), 2 * len(entries), axis=0)
    flat[np.arange(len(entries)), entries] += STEP
    flat[len(entries) + np.arange(len(entries)), entries] -= STEP
    up, down = np.split(loss(values | {name: flat.reshape((-1, *values[name].shape))}), 2)
    return (up - down) / (2 * STEP)


def compare(loss: Callable[[Arrays], np.ndarray], values: Arrays, gradients: Arrays,
            rng: np.random.Generator) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Per tensor, the tape's gradient and the numeric one at some entries."""
    out = {}
    for name, gradient in gradients.items():
        entries = rng.permutation(gradient.size)[:ENTRIES]
        if gradient.size > ENTRIES:
            entries[0] = np.abs(gradient).argmax()
        out[name] = gradient.reshape(-1)[entries], numeric(loss, values, name, entries)
    return out


def error(tape: np.ndarray, wanted: np.ndarray) -> float:
    """The relative error of a tensor, beyond one rounding of the numbers of size 1 whose difference it may be; where
    its gradient is nothing but rounding, whether the tape's is too."""
    scale = np.abs(wanted).max(initial=0)
    if scale < 1e-7:
        return 0.0 if np.abs(tape).max(initial=0) < 1e-6 else np.inf
    return float(max(0.0, np.abs(tape - wanted).max() - np.finfo(np.float32).eps) / scale)


def check(name: str, draw: Callable[[np.random.Generator], tuple[Any, Arrays, Arrays]]) -> None:
    """Runs the cases, and sees that a gradient of zeros in any one tensor would not have passed."""
    largest, caught = 0.0, {}
    for case in range(CASES):
        rng = rng_of(name, case)
        compared = compare(*draw(rng), rng)
        for tensor, (tape, wanted) in compared.items():
            found = error(tape, wanted)
            assert found <= TOLERANCE, f"case {case}, {tensor}: relative error {found:.2e}\n{tape}\n{wanted}"
            largest = max(largest, found)
            caught[tensor] = caught.get(tensor, 0) + (error(np.zeros_like(tape), wanted) > TOLERANCE)
    assert min(caught.values()) >= CASES // 4, f"cases in which a zeroed gradient is noticed: {caught}"
    print(f"\n{name}: largest relative error {largest:.1e} over {CASES} cases of {', '.join(caught)}")


# primitives ----------------------------------------------------------------------------------------------------------

def run_primitive(rng: np.random.Generator, values: Arrays, forward: Callable[[dict[str, Any]], Any],
                  form: Callable[[Arrays], np.ndarray]) -> tuple[Any, Arrays, Arrays]:
    """Loss sum(w * f(x)) + sum(u * x) of one primitive. Its inputs are parameters or results of other primitives,
    and some of them are used elsewhere too, before or after, so that gradients have to be added."""
    values = {name: value.astype(np.float32) for name, value in values.items()}
    parameters = {name: Parameter(name, value) for name, value in values.items()}
    asides = {}
    with Tape() as tape:
        inputs: dict[str, Any] = {}
        for name, parameter in parameters.items():
            inputs[name] = parameter
            if parameter.value.ndim == 2 and rng.random() < 0.5:
                inputs[name] = autodiff.add(parameter, np.zeros_like(parameter.value))
            if parameter.value.ndim == 2 and rng.random() < 0.3:
                asides[name] = autodiff.reshape(inputs[name], parameter.value.shape)
        out = forward(inputs)
        weight = rng.normal(size=out.value.shape).astype(np.float32)
        out.grad_buffer()[:] = weight
        for name, aside in asides.items():
            aside.grad_buffer()[:] = rng.normal(size=values[name].shape)
        added = {name: aside.gradient.astype(float).copy() for name, aside in asides.items()}
        with np.errstate(invalid="ignore"):   # BLAS may raise the flag over what fresh memory held; values are compared
            tape.backward()
        gradients = {name: tape.leaf(parameter).gradient.copy() for name, parameter in parameters.items()}

    def loss(x: Arrays) -> np.ndarray:
        total = (form(x) * weight.astype(float)).sum((-1, -2))
        for name, u in added.items():
            total = total + (x[name] * u).sum((-1, -2))
        return total
    return loss, {name: value.astype(float) for name, value in values.items()}, gradients


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape)


def widths(rng: np.random.Generator, count: int) -> list[int]:
    """Odd sizes that differ from axis to axis."""
    return rng.permutation(WIDTHS)[:count].tolist()


def gather(rng):
    n, r, d = widths(rng, 3)
    rows = rng.integers(-1, r, n)
    return run_primitive(rng, {"table": normal(rng, r, d)}, lambda x: autodiff.gather(x["table"], rows),
                         lambda x: oracle.gather(x["table"], rows))


def matmul(rng):
    n, d, h = widths(rng, 3)
    transpose = bool(rng.integers(2))
    values = {"x": normal(rng, n, d), "weight": normal(rng, *((h, d) if transpose else (d, h)))}
    return run_primitive(
        rng, values, lambda x: autodiff.matmul(x["x"], x["weight"], transpose),
        lambda x: x["x"] @ (oracle.transposed(x["weight"]) if transpose else x["weight"]))


def add_bias(rng):
    n, d = widths(rng, 2)
    return run_primitive(rng, {"x": normal(rng, n, d), "bias": normal(rng, d)},
                         lambda x: autodiff.add_bias(x["x"], x["bias"]), lambda x: oracle.add_bias(x["x"], x["bias"]))


def linear(rng):
    n, d, h = widths(rng, 3)
    transpose = bool(rng.integers(2))
    values = {"x": normal(rng, n, d), "weight": normal(rng, *((h, d) if transpose else (d, h))), "bias": normal(rng, h)}
    return run_primitive(
        rng, values, lambda x: autodiff.linear(x["x"], x["weight"], x["bias"], transpose),
        lambda x: oracle.linear(x["x"], oracle.transposed(x["weight"]) if transpose else x["weight"], x["bias"]))


def two_alike(operation, form):
    def draw(rng):
        shape = widths(rng, 2)
        return run_primitive(rng, {"a": normal(rng, *shape), "b": normal(rng, *shape)},
                             lambda x: operation(x["a"], x["b"]), lambda x: form(x["a"], x["b"]))
    return draw


def one(operation, form):
    def draw(rng):
        x = normal(rng, *widths(rng, 2))
        x += np.copysign(0.01, x)   # away from the kink of relu
        return run_primitive(rng, {"x": x}, lambda x: operation(x["x"]), lambda x: form(x["x"]))
    return draw


def squared(rng):
    """x * x: one input twice."""
    return one(lambda x: autodiff.multiply(x, x), lambda x: x * x)(rng)


def dropout(rng):
    rate, mask = float(rng.choice([0.1, 0.5, 0.75])), []
    seed = int(rng.integers(1, 1 << 40))

    def forward(x):
        active().seed = seed
        out = autodiff.dropout(x["x"], rate)
        mask.append((out.value != 0) / (1 - rate))
        return out
    return run_primitive(rng, {"x": normal(rng, *widths(rng, 2))}, forward, lambda x: x["x"] * mask[0])


def concatenate(rng):
    n, *sizes = widths(rng, 4)
    values = {f"part{i}": normal(rng, n, d) for i, d in enumerate(sizes)}
    return run_primitive(rng, values, lambda x: autodiff.concatenate(list(x.values())),
                         lambda x: oracle.concatenate([x[name] for name in values]))


def reshape(rng):
    a, b, c = widths(rng, 3)
    return run_primitive(rng, {"x": normal(rng, a * b, c)}, lambda x: autodiff.reshape(x["x"], (a, b * c)),
                         lambda x: oracle.reshape(x["x"], (a, b * c)))


def prefix_sum(rng):
    vocab, width, length = widths(rng, 3)
    case = random_case(rng, vocab)
    sequences = case.batch.sequences
    carry, position = normal(rng, sequences, width).astype(np.float32), rng.integers(0, 4, sequences)
    values = {"table": normal(rng, length * vocab, width), "bias": normal(rng, width)}
    return run_primitive(
        rng, values,
        lambda x: recurrence.prefix_sum(x["table"], x["bias"], case.batch, length, carry, position)[0],
        lambda x: oracle.prefix_sum(x["table"], x["bias"], case.ids, case.steps, case.starts, length, carry,
                                    position)[0])


def decayed_sum(rng):
    width, count = widths(rng, 2)
    case = random_case(rng, 3)
    rates = rng.random(count).astype(np.float32)
    carry = normal(rng, case.batch.sequences, count, width).astype(np.float32)
    return run_primitive(
        rng, {"x": normal(rng, len(case.batch), width)},
        lambda x: recurrence.decayed_sum(x["x"], rates, case.batch, carry)[0],
        lambda x: oracle.decayed_sum(x["x"], rates.astype(float), case.steps, case.starts, carry)[0])


def lstm(rng):
    width, inputs = widths(rng, 2)
    case = random_case(rng, 3)
    hidden, cell = (normal(rng, case.batch.sequences, width).astype(np.float32) for _ in range(2))
    rows = rng.integers(0, 3, len(case.batch)) if rng.random() < 0.5 else None   # of a dictionary, or one a token
    values = {"x": normal(rng, len(case.batch) if rows is None else 3, inputs),
              "weight": normal(rng, inputs, 4 * width) / inputs, "bias": normal(rng, 4 * width) / 2,
              "recurrent": normal(rng, width, 4 * width)}

    def form(x):
        gates = oracle.linear(x["x"], x["weight"], x["bias"])
        gates = gates if rows is None else gates[..., rows, :]
        return oracle.lstm(gates, x["recurrent"], case.steps, case.starts, hidden, cell)[0]
    return run_primitive(rng, values, lambda x: recurrence.lstm(
        x["x"], x["weight"], x["bias"], x["recurrent"], case.batch, hidden, cell, rows)[0], form)


def gru(rng):
    width, inputs = widths(rng, 2)
    case = random_case(rng, 3)
    hidden = normal(rng, case.batch.sequences, width).astype(np.float32)
    rows = rng.integers(0, 3, len(case.batch)) if rng.random() < 0.5 else None
    values = {"x": normal(rng, len(case.batch) if rows is None else 3, inputs),
              "weight": normal(rng, inputs, 3 * width) / inputs, "bias": normal(rng, 3 * width) / 2,
              "recurrent": normal(rng, width, 3 * width), "recurrent_bias": normal(rng, width) / 2}

    def form(x):
        gates = oracle.linear(x["x"], x["weight"], x["bias"])
        gates = gates if rows is None else gates[..., rows, :]
        return oracle.gru(gates, x["recurrent"], x["recurrent_bias"], case.steps, case.starts, hidden)[0]
    return run_primitive(rng, values, lambda x: recurrence.gru(
        x["x"], x["weight"], x["bias"], x["recurrent"], x["recurrent_bias"], case.batch, hidden, rows)[0], form)


def sru(rng):
    width, inputs = widths(rng, 2)
    case = random_case(rng, 3)
    cell = normal(rng, case.batch.sequences, width).astype(np.float32)
    values = {"x": normal(rng, len(case.batch), inputs), "weight": normal(rng, inputs, 3 * width) / inputs,
              "bias": normal(rng, 3 * width)}
    return run_primitive(
        rng, values, lambda x: recurrence.sru(x["x"], x["weight"], x["bias"], case.batch, cell)[0],
        lambda x: oracle.sru(oracle.linear(x["x"], x["weight"], x["bias"]), case.steps, case.starts, cell)[0])


def rms_norm(rng):
    """Not of one column, whose gradient is all but zero."""
    n, d = int(rng.choice(WIDTHS)), int(rng.choice(WIDTHS[1:]))
    return run_primitive(rng, {"x": normal(rng, n, d)}, lambda x: autodiff.rms_norm(x["x"]),
                         lambda x: oracle.rms_norm(x["x"]))


PRIMITIVES = {
    "gather": gather, "matmul": matmul, "add_bias": add_bias, "linear": linear,
    "add": two_alike(autodiff.add, np.add), "multiply": two_alike(autodiff.multiply, np.multiply),
    "multiply by itself": squared, "tanh": one(autodiff.tanh, np.tanh),
    "sigmoid": one(autodiff.sigmoid, oracle.sigmoid), "relu": one(autodiff.relu, oracle.relu),
    "dropout": dropout, "concatenate": concatenate, "reshape": reshape,
    "prefix_sum": prefix_sum, "decayed_sum": decayed_sum, "lstm": lstm, "gru": gru, "sru": sru,
    "rms_norm": rms_norm,
    "relu_squared": one(autodiff.relu_squared, lambda x: oracle.relu(x) ** 2),
}


@pytest.mark.parametrize("name", PRIMITIVES)
def test_primitive(name: str) -> None:
    check(name, PRIMITIVES[name])


def loss_case(operation, form):
    def draw(rng):
        n, v = widths(rng, 2)
        v += v == 1
        targets = rng.integers(-1, v, n).astype(np.int32)
        targets[0] = v - 1
        scale = float(rng.choice([1.0, 0.25]))
        values = {"logits": normal(rng, n, v).astype(np.float32) * 2}
        parameter = Parameter("logits", values["logits"])
        with Tape() as tape:
            logits = parameter if rng.random() < 0.5 else autodiff.add(parameter, np.zeros((n, v), np.float32))
            reported = operation(logits, targets, scale)
            tape.backward()
            gradients = {"logits": tape.leaf(parameter).gradient.copy()}
        values = {"logits": values["logits"].astype(float)}
        assert reported == pytest.approx(float(form(values["logits"], targets)), rel=1e-6)
        return (lambda x: scale * form(x["logits"], targets)), values, gradients
    return draw


LOSSES = {"cross_entropy": (autodiff.cross_entropy, oracle.cross_entropy),
          "squared": (autodiff.squared_error, oracle.squared_error)}


@pytest.mark.parametrize("name", LOSSES)
def test_loss(name: str) -> None:
    check(name, loss_case(*LOSSES[name]))


# models --------------------------------------------------------------------------------------------------------------

def model_case(name: str, rng: np.random.Generator) -> tuple[Any, Arrays, Arrays, Case]:
    vocab_size = int(rng.choice([3, 7, 13]))
    model, form = model_of(name, vocab_size, int(rng.integers(1 << 30))), NETWORKS[name][1]
    case = random_case(rng, vocab_size)
    carried = rng.random() < 0.5
    state = random_state(model, case.batch.sequences, rng) if carried else None
    known = (state or model.start(case.batch.sequences)).copy().arrays
    kind = str(rng.choice(list(LOSSES), p=[0.8, 0.2]))
    loss_form = LOSSES[kind][1]
    exact = model.head if kind in model.head.losses and not isinstance(model.head, SampledSoftmax) else None
    with Tape() as tape:
        if exact is not None and rng.random() < 0.7:
            reported = exact.loss(model.forward(case.batch, state)[0], case.targets, kind=kind)
        else:
            reported = LOSSES[kind][0](model.logits(case.batch, state)[0], case.targets)
        tape.backward()
        gradients = {name: tape.leaf(parameter).gradient.copy() for name, parameter in model.parameters.items()}
    values = {name: parameter.value.astype(float) for name, parameter in model.parameters.items()}

    def loss(p: Arrays) -> np.ndarray:
        return loss_form(form(model, p, case.ids, case.steps, case.starts, known), case.targets)
    assert reported == pytest.approx(float(loss(values)), rel=1e-5)
    return loss, values, gradients, case


@pytest.mark.parametrize("name", NETWORKS)
def test_model(name: str) -> None:
    smaller = []

    def draw(rng: np.random.Generator) -> tuple[Any, Arrays, Arrays]:
        loss, values, gradients, case = model_case(name, rng)
        smaller.append(len(values["output_bias"]) < len(case.batch))
        return loss, values, gradients
    check(name, draw)
    # the LSTM looks gates up in a projected dictionary where that is smaller than the batch: both ways were taken
    assert min(sum(smaller), len(smaller) - sum(smaller)) >= CASES // 5


def test_gradients_of_a_second_step_do_not_depend_on_the_first() -> None:
    """Buffers are used again, and what a leaf held is gone."""
    model = model_of("LSTM tied", 7)
    batches = [Batch.of([[1, 2, 3], [4]]), Batch.of([[5, 6]])]
    targets = [np.array([2, 0, 3, 1], np.int32), np.array([6, 0], np.int32)]

    def gradients(tape: Tape, which: int) -> Arrays:
        with tape:
            logits, _ = model.logits(batches[which])
            autodiff.cross_entropy(logits, targets[which])
            tape.backward()
            return {name: tape.leaf(parameter).gradient.copy() for name, parameter in model.parameters.items()}
    used = Tape()
    gradients(used, 0)
    for leaf in used.leaves.values():
        leaf.mark("stale")
    after, alone = gradients(used, 1), gradients(Tape(), 1)
    for name in alone:
        np.testing.assert_array_equal(after[name], alone[name])
