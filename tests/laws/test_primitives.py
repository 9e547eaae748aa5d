"""Laws of every public primitive: what it is given stays as it is, and every branch gets its gradient.

The gradients are compared with central differences of float64 forms. A primitive that spends its input says so in its
docstring, is in SPENDS, and whoever reads the input afterwards gets an error.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from fastlm import attention, autodiff, recurrence
from fastlm.autodiff import Parameter, Tape, Variable, ops
from fastlm.batch import Batch
from tests import oracle

Array = np.ndarray
F = np.float32
RNG = np.random.default_rng(15)
SPENDS = {"cross_entropy", "squared_error", "one_later"}
NO_PRIMITIVES = {"add_product"}   # public, but of use to those who write primitives alone
SPENT = "^this value was consumed by the loss or the primitive that read it; read it before$"


@dataclass
class Case:
    """A primitive by its name; `inputs` get gradients, `given` are the other arrays; `form` is `apply` in float64."""

    name: str
    apply: Callable[..., Any]
    form: Callable[..., Array] | None = None
    inputs: dict[str, Array] = field(default_factory=dict)
    given: list[Array] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.inputs)})"


def drawn(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(F)


# Three sequences of 4, 3 and 2 tokens; a document begins in the middle of the first and of the second.
STEPS = oracle.layout([4, 3, 2])
N, S, D, H, V = 9, 3, 5, 4, 6
IDS = np.array([1, 0, 5, 2, 2, 3, 4, 1, 0], np.int32)
STARTS = np.array([0, 1, 0, 0, 0, 0, 1, 0, 0], np.uint8)
BATCH = Batch(IDS, np.array([3, 3, 2, 1], np.uintp), S, STARTS)
PACKED = [BATCH.ids, BATCH.size, BATCH.starts, BATCH.offset]
IDS64 = IDS.astype(np.int64)
ROWS, TARGETS = np.array([2, -1, 0, 2, 1, 1, 2, 0, 2]), np.array([1, -1, 0, 4, 4, 2, 3, 0, 1], np.int32)
RATES, SLOPES, LENGTH = np.array([0.0, 0.5, 0.9], F), np.array([0.3, 0.05], F), np.array([2, 0, 1])
BAGS, HIDDEN, CELL, TOTAL, KEY = drawn(S, 3, D), drawn(S, H), drawn(S, H), drawn(S, D), drawn(S, 2)
PAST = drawn(S, 2, 2 * H) * (np.arange(2)[:, None] < LENGTH[:, None, None])
PAST_IDS, POSITION, ORDERS = np.array([[3, 1], [-1, -1], [2, -1]]), np.array([2, 0, 1]), np.array([1, 3])
MASK = np.zeros((N, D))


def dropped(x: Any) -> Variable:
    """Dropout, whose mask is kept for the form: which entries it zeroes depends on the tape."""
    out = autodiff.dropout(x, 0.25)
    MASK[:] = out.value != 0
    return out


def one_later(x: Array) -> Array:
    out, before = x.copy(), KEY.astype(float)
    for rows, live in STEPS:
        for row, s in zip(rows, live, strict=True):
            out[row, 1:3] = 0 if STARTS[row] else before[s]
            before[s] = x[row, 1:3]
    return out


def projected(x: Array, weight: Array, bias: Array) -> Array:
    return oracle.linear(x, weight, bias)


def network(width: int, **more: Array) -> dict[str, Array]:
    return {"x": drawn(N, D), "weight": drawn(D, width), "bias": drawn(width), **more}


X, X2, WEIGHT, BIAS, LOGITS = drawn(N, D), drawn(N, D), drawn(D, H), drawn(H), drawn(N, V)
CARRIED = [HIDDEN, CELL, *PACKED]
CASES = [
    Case("gather", lambda table: autodiff.gather(table, ROWS), lambda table: oracle.gather(table, ROWS),
         {"table": drawn(3, D)}, [ROWS]),
    Case("matmul", autodiff.matmul, np.matmul, {"x": X, "weight": WEIGHT}),
    Case("matmul", lambda x, transposed: autodiff.matmul(x, transposed, transpose=True), lambda x, w: x @ w.T,
         {"x": X, "transposed": drawn(H, D)}),
    Case("add_bias", autodiff.add_bias, oracle.add_bias, {"x": X, "bias": drawn(D)}),
    Case("linear", autodiff.linear, projected, {"x": X, "weight": WEIGHT, "bias": BIAS}),
    Case("linear", lambda x, transposed, bias: autodiff.linear(x, transposed, bias, transpose=True),
         lambda x, w, b: x @ w.T + b, {"x": X, "transposed": drawn(H, D), "bias": BIAS}),
    Case("add", autodiff.add, np.add, {"a": X, "b": X2}),
    Case("multiply", autodiff.multiply, np.multiply, {"a": X, "b": X2}),
    Case("matmul", lambda both: autodiff.matmul(both, both, transpose=True), lambda x: x @ x.T, {"both": X}),
    Case("add", lambda both: autodiff.add(both, both), lambda x: x + x, {"both": X}),
    Case("multiply", lambda both: autodiff.multiply(both, both), lambda x: x * x, {"both": X}),
    Case("concatenate", lambda both: autodiff.concatenate([both, both]), lambda x: oracle.concatenate([x, x]),
         {"both": X}),
    Case("tanh", autodiff.tanh, np.tanh, {"x": X}),
    Case("sigmoid", autodiff.sigmoid, oracle.sigmoid, {"x": X}),
    Case("relu", autodiff.relu, oracle.relu, {"x": X}),
    Case("relu_squared", autodiff.relu_squared, lambda x: oracle.relu(x)**2, {"x": X}),
    Case("rms_norm", autodiff.rms_norm, oracle.rms_norm, {"x": X}),
    Case("dropout", dropped, lambda x: x * MASK / 0.75, {"x": X}),
    Case("concatenate", lambda a, b: autodiff.concatenate([a, b]), lambda a, b: oracle.concatenate([a, b]),
         {"a": X, "b": WEIGHT[[0, 1, 2, 3, 4, 0, 1, 2, 3]]}),
    Case("reshape", lambda x: autodiff.reshape(x, (D, N)), lambda x: oracle.reshape(x, (D, N)), {"x": X}),
    Case("cross_entropy", lambda logits: autodiff.cross_entropy(logits, TARGETS, 0.7),
         lambda logits: 0.7 * oracle.cross_entropy(logits, TARGETS), {"logits": LOGITS}, [TARGETS]),
    Case("squared_error", lambda logits: autodiff.squared_error(logits, TARGETS, 0.7),
         lambda logits: 0.7 * oracle.squared_error(logits, TARGETS), {"logits": LOGITS}, [TARGETS]),
    Case("last_ids", lambda: recurrence.last_ids(BATCH, 3, PAST_IDS), given=[PAST_IDS, *PACKED]),
    Case("hashed_rows", lambda: recurrence.hashed_rows(BATCH, ORDERS, 50, PAST_IDS), given=[PAST_IDS, ORDERS, *PACKED]),
    Case("prefix_sum", lambda table, bias: recurrence.prefix_sum(table, bias, BATCH, 3, TOTAL, POSITION)[0],
         lambda table, bias: oracle.prefix_sum(table, bias, IDS, STEPS, STARTS, 3, TOTAL, POSITION)[0],
         {"table": drawn(3 * V, D), "bias": drawn(D)}, [TOTAL, POSITION, *PACKED]),
    Case("decayed_sum", lambda x: recurrence.decayed_sum(x, RATES, BATCH, BAGS)[0],
         lambda x: oracle.decayed_sum(x, RATES.astype(float), STEPS, STARTS, BAGS)[0], {"x": X},
         [RATES, BAGS, *PACKED]),
    Case("lstm", lambda x, w, b, u: recurrence.lstm(x, w, b, u, BATCH, HIDDEN, CELL)[0],
         lambda x, w, b, u: oracle.lstm(projected(x, w, b), u, STEPS, STARTS, HIDDEN, CELL)[0],
         network(4 * H, recurrent=drawn(H, 4 * H)), CARRIED),
    Case("lstm", lambda looked_up, w, b, u: recurrence.lstm(looked_up, w, b, u, BATCH, HIDDEN, CELL, IDS64)[0],
         lambda x, w, b, u: oracle.lstm(projected(x, w, b)[IDS], u, STEPS, STARTS, HIDDEN, CELL)[0],
         {"looked_up": drawn(V, D), "weight": drawn(D, 4 * H), "bias": drawn(4 * H), "recurrent": drawn(H, 4 * H)},
         [IDS64, *CARRIED]),
    Case("gru", lambda x, w, b, u, c: recurrence.gru(x, w, b, u, c, BATCH, HIDDEN)[0],
         lambda x, w, b, u, c: oracle.gru(projected(x, w, b), u, c, STEPS, STARTS, HIDDEN)[0],
         network(3 * H, recurrent=drawn(H, 3 * H), recurrent_bias=drawn(H)), CARRIED),
    Case("gru", lambda looked_up, w, b, u, c: recurrence.gru(looked_up, w, b, u, c, BATCH, HIDDEN, IDS64)[0],
         lambda x, w, b, u, c: oracle.gru(projected(x, w, b)[IDS], u, c, STEPS, STARTS, HIDDEN)[0],
         {"looked_up": drawn(V, D), "weight": drawn(D, 3 * H), "bias": drawn(3 * H), "recurrent": drawn(H, 3 * H),
          "recurrent_bias": drawn(H)}, [IDS64, *CARRIED]),
    Case("sru", lambda x, w, b: recurrence.sru(x, w, b, BATCH, CELL)[0],
         lambda x, w, b: oracle.sru(projected(x, w, b), STEPS, STARTS, CELL)[0], network(3 * H), CARRIED),
    Case("layer_norm", attention.layer_norm, oracle.layer_norm, {"x": X, "gain": drawn(D), "bias": drawn(D)}),
    Case("linear_gelu", attention.linear_gelu, lambda x, w, b: oracle.gelu(projected(x, w, b)), network(H)),
    Case("linear_residual", attention.linear_residual, lambda x, w, b, beside: projected(x, w, b) + beside,
         network(H, beside=drawn(N, H))),
    Case("linear_residual", lambda both, weight, bias: attention.linear_residual(both, weight, bias, both),
         lambda x, w, b: projected(x, w, b) + x, {"both": X, "weight": drawn(D, D), "bias": drawn(D)}),
    Case("Spans", lambda: attention.Spans(BATCH, LENGTH, 3), given=[LENGTH, *PACKED]),
    Case("attention", lambda qkv: attention.attention(qkv, SLOPES, attention.Spans(BATCH, LENGTH, 3), PAST)[0],
         lambda qkv: oracle.attention(qkv, SLOPES.astype(float), 3, STEPS, STARTS, PAST, LENGTH),
         {"qkv": drawn(N, 3 * H)}, [SLOPES, LENGTH, PAST, *PACKED]),
    Case("one_later", lambda x: attention.one_later(x, slice(1, 3), BATCH, KEY)[0], one_later, {"x": X},
         [KEY, *PACKED]),
]
TRAINED = [case for case in CASES if case.form is not None]


def test_no_primitive_is_forgotten() -> None:
    public = {name for module in (ops, recurrence, attention) for name, value in vars(module).items()
              if not name.startswith("_") and callable(value) and value.__module__ == module.__name__}
    assert {case.name for case in CASES} == public - NO_PRIMITIVES
    assert {name for name in autodiff.__all__ if getattr(autodiff, name).__module__ == "fastlm.autodiff.ops"} == {
        case.name for case in CASES if case.name in autodiff.__all__}


def tape() -> Tape:
    out = Tape()
    out.seed = 3   # of dropout
    return out


def weighing(out: Any) -> Array | None:
    """What a result's entries count in the sum that is differentiated; None for a loss, which is a sum already."""
    return None if isinstance(out, float) else np.random.default_rng(4).normal(size=out.value.shape).astype(F)


def differences(function: Callable[[dict[str, Array]], float], values: dict[str, Array], name: str,
                step: float = 1e-5) -> Array:
    """The central differences of a function of float64 arrays with respect to one of them."""
    values = {key: value.astype(float) for key, value in values.items()}
    out = np.zeros(values[name].shape)
    for at in np.ndindex(out.shape):
        before, ends = values[name][at], []
        for sign in (1, -1):
            values[name][at] = before + sign * step
            ends.append(float(function(values)))
        values[name][at], out[at] = before, (ends[0] - ends[1]) / (2 * step)
    return out


def gradient(case: Case, name: str, weights: Array | None) -> Array:
    """Of the sum of the results, weighed, with respect to an input."""
    return differences(lambda values: np.sum((1 if weights is None else weights) * case.form(*values.values())),
                       case.inputs, name)


def same(found: Array, wanted: Array) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5 * max(1.0, abs(wanted).max()))


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("recording", [None, False, True])
def test_arrays_stay_as_they_are(case: Case, recording: bool | None) -> None:
    inputs = {name: value.copy() for name, value in case.inputs.items()}
    arrays = [*inputs.values(), *case.given]
    before = [array.tobytes() for array in arrays]
    if recording is None:
        case.apply(*inputs.values())
    else:
        with Tape(record=recording) as on:
            on.seed = 3
            out = case.apply(*inputs.values())
            assert [array.tobytes() for array in arrays] == before
            if isinstance(out, Variable):
                out.grad_buffer()[...] = weighing(out)
            on.backward()
    assert [array.tobytes() for array in arrays] == before


@pytest.mark.parametrize("case", TRAINED, ids=str)
def test_parameters_stay_as_they_are_and_get_their_gradients(case: Case) -> None:
    parameters = [Parameter(name, value) for name, value in case.inputs.items()]
    with tape() as on:
        out = case.apply(*parameters)
        weights = weighing(out)
        result = out if weights is None else out.value.copy()
        if weights is not None:
            out.grad_buffer()[...] = weights
        on.backward()
        found = {parameter.name: on.leaf(parameter).gradient.copy() for parameter in parameters}
    for parameter in parameters:
        assert parameter.value.tobytes() == case.inputs[parameter.name].tobytes()
    wanted = case.form(*(value.astype(float) for value in case.inputs.values()))
    same(result if weights is not None else np.array(result) * 0.7, wanted)
    for name, own in found.items():
        same(own, gradient(case, name, weights))


@pytest.mark.parametrize("order", ["before", "after", "twice"])
@pytest.mark.parametrize("case", TRAINED, ids=str)
def test_both_branches_get_the_right_gradient(case: Case, order: str) -> None:
    """Inputs that nobody has read yet, and whose way back does not need them, are each read by the primitive and by a
    product before or after it, or by the primitive twice."""
    parameters = [Parameter(name, value) for name, value in case.inputs.items()]
    factors = {name: drawn(*value.shape) for name, value in case.inputs.items()}
    with tape() as on:
        read = [autodiff.add(parameter, np.zeros_like(parameter.value)) for parameter in parameters]
        assert all(x.may_overwrite for x in read)

        def others() -> list[Variable]:
            return [autodiff.multiply(x, factor) for x, factor in zip(read, factors.values(), strict=True)]
        products = others() if order == "before" else []
        outs = [case.apply(*read)]
        if order != "before" and case.name in SPENDS:
            with pytest.raises(RuntimeError, match=SPENT):
                others()
            return
        if order == "twice":
            outs.append(outs[0] if case.name == "dropout" else case.apply(*read))
        elif order == "after":
            products = others()
        before = [value.tobytes() for value in case.inputs.values()]
        assert [x.value.tobytes() for x in read] == before
        for out in [*dict.fromkeys(outs), *products]:
            if isinstance(out, Variable):
                out.grad_buffer()[...] = weighing(out)
        on.backward()
        assert [x.value.tobytes() for x in read] == before
        found = {parameter.name: on.leaf(parameter).gradient.copy() for parameter in parameters}
    for (name, own), product in zip(found.items(), products or [None] * len(found), strict=True):
        wanted = len(set(outs)) * gradient(case, name, weighing(outs[0]))
        same(own, wanted if product is None else wanted + factors[name] * weighing(product))


@pytest.mark.parametrize("case", [case for case in TRAINED if case.name not in ("cross_entropy", "squared_error")],
                         ids=str)
def test_a_result_that_may_be_spent_is_not_needed_on_the_way_back(case: Case) -> None:
    """A loss writes over the results of primitives that say they are may_overwrite, and copies the others."""
    parameters = [Parameter(name, value) for name, value in case.inputs.items()]
    targets = np.arange(N if case.name != "reshape" else D, dtype=np.int32) % 3
    with tape() as on:
        out = case.apply(*parameters)
        may_overwrite = out.may_overwrite
        autodiff.cross_entropy(out, targets)
        assert out.consumed == may_overwrite
        on.backward()
        found = {parameter.name: on.leaf(parameter).gradient.copy() for parameter in parameters}
    for parameter in parameters:
        assert parameter.value.tobytes() == case.inputs[parameter.name].tobytes()
    for name, own in found.items():
        same(own, differences(lambda values: oracle.cross_entropy(case.form(*values.values()), targets), case.inputs,
                              name))


def test_what_spends_its_input_says_so() -> None:
    for name in SPENDS - {"squared_error"}:   # whose docstring refers to that of cross_entropy
        function = getattr(autodiff, name, None) or getattr(attention, name)
        assert "consumed" in function.__doc__ or "spent" in function.__doc__


@pytest.mark.parametrize("recording", [None, False, True])
def test_columns_are_moved_in_place_where_nobody_else_needs_them(recording: bool | None) -> None:
    def moved() -> None:
        x = autodiff.add(X, np.zeros_like(X))
        out, _ = attention.one_later(x, slice(1, 3), BATCH, KEY)
        assert out.value is x.value
        with pytest.raises(RuntimeError, match=SPENT):
            autodiff.tanh(x)
        x = autodiff.add(X, np.zeros_like(X))
        autodiff.tanh(x)
        out, _ = attention.one_later(x, slice(1, 3), BATCH, KEY)
        assert not np.shares_memory(out.value, x.value) and x.value.tobytes() == X.tobytes()
    if recording is None:
        moved()
    else:
        with Tape(record=recording):
            moved()
